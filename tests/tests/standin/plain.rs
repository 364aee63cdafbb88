//! A client without anything of its own, for what the official one hides.

use std::time::Duration;
use tests::standin::StandIn;
use tests::standin::protocol::shared::StreamIdentifier;
use tests::standin::protocol::streams::append_req::options::ExpectedStreamRevision;
use tests::standin::protocol::streams::append_req::{self, Content, ProposedMessage};
use tests::standin::protocol::streams::read_req;
use tests::standin::protocol::streams::read_req::options::all_options::AllOption;
use tests::standin::protocol::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, SubscriptionOptions,
};
use tests::standin::protocol::streams::streams_client::StreamsClient;
use tests::standin::protocol::streams::{AppendReq, AppendResp, ReadReq, ReadResp, read_resp};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub(crate) type Streams = StreamsClient<Channel>;

pub(crate) async fn connect(standin: &StandIn, node: usize) -> Streams {
    let address = format!("http://127.0.0.1:{}", standin.ports()[node]);
    StreamsClient::connect(address).await.unwrap()
}

/// Appends an event to a stream that nobody has written to.
pub(crate) async fn append(streams: &mut Streams, stream: &str) -> Result<AppendResp, Status> {
    let stream_name = stream.to_owned().into();
    let options = Content::Options(append_req::Options {
        stream_identifier: Some(StreamIdentifier { stream_name }),
        expected_stream_revision: Some(ExpectedStreamRevision::NoStream(())),
    });
    let metadata = [("type", "a"), ("content-type", "application/json")];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let event = Content::ProposedMessage(ProposedMessage {
        metadata: metadata.into(),
        data: "{}".into(),
        ..ProposedMessage::default()
    });
    let messages = [options, event].map(|content| AppendReq {
        content: Some(content),
    });
    let answer = streams.append(tokio_stream::iter(messages)).await?;
    Ok(answer.into_inner())
}

pub(crate) async fn follow_all(streams: &mut Streams) -> Streaming<ReadResp> {
    try_follow_all(streams).await.unwrap()
}

pub(crate) async fn try_follow_all(streams: &mut Streams) -> Result<Streaming<ReadResp>, Status> {
    let start = Some(AllOption::Start(()));
    let options = read_req::Options {
        stream_option: Some(StreamOption::All(AllOptions { all_option: start })),
        count_option: Some(CountOption::Subscription(SubscriptionOptions {})),
        filter_option: Some(FilterOption::NoFilter(())),
        ..read_req::Options::default()
    };
    let request = ReadReq {
        options: Some(options),
    };
    Ok(streams.read(request).await?.into_inner())
}

/// What a subscription says next, or nothing if it ends; a test that would wait for ever fails instead.
pub(crate) async fn next(following: &mut Streaming<ReadResp>) -> Result<Option<ReadResp>, Status> {
    let next = timeout(Duration::from_secs(20), following.message()).await;
    next.expect("the subscription says something or ends")
}

pub(crate) async fn until_caught_up(following: &mut Streaming<ReadResp>) {
    while let Some(ReadResp { content }) = next(following).await.unwrap() {
        if matches!(content, Some(read_resp::Content::CaughtUp(_))) {
            return;
        }
    }
    panic!("the subscription ended");
}
