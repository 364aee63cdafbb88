//! The calls that matter, each handed on to where it is served.

use super::access::Right;
use super::filter::Filter;
use super::log::Log;
use super::protocol::streams::delete_resp::{Position, PositionOption};
use super::protocol::streams::read_req::Options as ReadOptions;
use super::protocol::streams::read_req::options::{
    CountOption, FilterOption, ReadDirection, StreamOption, uuid_option,
};
use super::protocol::streams::streams_server::Streams;
use super::protocol::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp,
};
use super::reading::{Extent, Ids, Over, Reading};
use super::server::Member;
use super::writing::Deletion;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// How many answers wait for a slow client.
const BUFFER: usize = 64;

/// Answers as they come.
type Answers<T> = ReceiverStream<Result<T, Status>>;

#[async_trait]
impl Streams for Member {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        let (headers, _, ReadReq { options }) = request.into_parts();
        let options = options.ok_or_else(|| Status::invalid_argument("a read without options"))?;
        let right = match options.stream_option {
            Some(StreamOption::All(_)) => Right::ReadAll,
            _ => Right::ReadStreams,
        };
        self.note(&options);
        self.begin_read(&headers, right).await?;
        let filter = match &options.filter_option {
            Some(FilterOption::Filter(filter)) => Some(Filter::new(filter.clone())?),
            Some(FilterOption::NoFilter(())) | None => None,
        };
        let (answers, answered) = channel(BUFFER);
        tokio::spawn(read(self.clone(), options, filter, answers));
        Ok(Response::new(ReceiverStream::new(answered)))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let (headers, _, events) = request.into_parts();
        let answer = self.append_once(&headers, events).await?;
        Ok(Response::new(answer))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let (headers, _, requests) = request.into_parts();
        self.cluster.access.identify(&headers)?;
        let (answers, answered) = channel(BUFFER);
        tokio::spawn(self.clone().append_batches(headers, requests, answers));
        Ok(Response::new(ReceiverStream::new(answered)))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.serve_deletion(request, Log::delete).await
    }

    async fn tombstone(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.serve_deletion(request, Log::tombstone).await
    }
}

impl Member {
    async fn serve_deletion(
        &self,
        request: Request<DeleteReq>,
        delete: Deletion,
    ) -> Result<Response<DeleteResp>, Status> {
        let (headers, _, DeleteReq { options }) = request.into_parts();
        let options = options.ok_or_else(|| Status::invalid_argument("a deletion of nothing"))?;
        let position = self.delete_once(&headers, options, delete).await?;
        let position = position.map(|position| {
            PositionOption::Position(Position {
                commit_position: position,
                prepare_position: position,
            })
        });
        Ok(Response::new(DeleteResp {
            position_option: position.or(Some(PositionOption::NoPosition(()))),
        }))
    }

    fn note(&self, options: &ReadOptions) {
        let mut seen = self.cluster.seen();
        match options.count_option {
            Some(CountOption::Subscription(_)) => seen.subscriptions += 1,
            Some(CountOption::Count(_)) | None => seen.reads += 1,
        }
    }
}

/// Answers until there is nothing more to say, nobody listens, or subscriptions are told to end.
async fn read(
    member: Member,
    options: ReadOptions,
    filter: Option<Filter>,
    answers: Sender<Result<ReadResp, Status>>,
) {
    let mut end = member.cluster.faults.end_of_subscriptions();
    let follows = matches!(options.count_option, Some(CountOption::Subscription(_)));
    let gone = answers.clone();
    tokio::select! {
        _ = answer(member, options, filter, answers) => {}
        () = gone.closed() => {}
        _ = end.changed(), if follows => {}
    }
}

async fn answer(
    member: Member,
    options: ReadOptions,
    filter: Option<Filter>,
    answers: Sender<Result<ReadResp, Status>>,
) -> Result<(), Over> {
    let ids = options.uuid_option.and_then(|option| option.content);
    let compatibility = options.control_option.map(|option| option.compatibility);
    let reading = Reading {
        member,
        ids: match ids {
            Some(uuid_option::Content::String(())) => Ids::Text,
            Some(uuid_option::Content::Structured(())) | None => Ids::Structured,
        },
        told_positions: compatibility >= Some(1),
        answers,
    };
    let backwards = options.read_direction == i32::from(ReadDirection::Backwards);
    match (options.stream_option, options.count_option) {
        (Some(StreamOption::Stream(stream)), Some(CountOption::Count(count))) => {
            let extent = Extent { backwards, count };
            reading.read_stream(stream, extent).await
        }
        (Some(StreamOption::All(all)), Some(CountOption::Count(count))) => {
            let extent = Extent { backwards, count };
            reading.read_all(all, filter, extent).await
        }
        (Some(StreamOption::Stream(stream)), _) => reading.follow_stream(stream).await,
        (Some(StreamOption::All(all)), _) => reading.follow_all(all, filter).await,
        (None, _) => Ok(()),
    }
}
