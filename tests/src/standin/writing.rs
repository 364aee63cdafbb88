//! Appending, one call at a time or many in one session, and deleting.

use super::event::{Expected, Proposed, Refused, Written};
use super::faults::Failure;
use super::latency::Delayed;
use super::log::Log;
use super::protocol::rpc;
use super::protocol::shared::{AllStreamPosition, StreamIdentifier};
use super::protocol::streams::append_req::{
    Content, ProposedMessage, options::ExpectedStreamRevision,
};
use super::protocol::streams::append_resp::{self, success, wrong_expected_version};
use super::protocol::streams::batch_append_req::options::ExpectedStreamPosition;
use super::protocol::streams::batch_append_resp;
use super::protocol::streams::delete_req::{
    self, options::ExpectedStreamRevision as DeletedRevision,
};
use super::protocol::streams::{AppendReq, AppendResp, BatchAppendReq, BatchAppendResp};
use super::reading::{name, plain};
use super::server::Member;
use super::status;
use super::under_way::Turn;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

/// One append: where, after what, and what.
struct Append {
    stream: String,
    expected: Expected,
    events: Vec<Proposed>,
}

/// One of the log's two ways to delete a stream.
pub(super) type Deletion = fn(&Log, &str, Expected) -> Result<Written, Refused>;

impl Member {
    /// Append: all events of one call, or none of them.
    pub(super) async fn append_once(
        &self,
        headers: &MetadataMap,
        request: Streaming<AppendReq>,
    ) -> Result<AppendResp, Status> {
        self.cluster.seen().appends += 1;
        self.begin_write(headers)?;
        let append = received(request, self.cluster.config.max_append_size).await?;
        let expected = append.expected;
        let stream = append.stream.clone();
        let under_way = &self.cluster.under_way;
        if under_way.has(&stream, &append.events) {
            sleep(self.cluster.config.write_timeout).await;
            return Err(status::timed_out("the same write is under way"));
        }
        let turn = self.turn(&append);
        let outcome = self.faulty(turn, || self.write(append)).await?;
        match outcome {
            Ok(written) => Ok(appended(written)),
            Err(Refused::WrongVersion { current }) => Ok(conflict(expected, current)),
            Err(Refused::Deleted) => Err(status::stream_deleted(&stream)),
        }
    }

    /// Delete and Tombstone: the position of what says so in the log.
    pub(super) async fn delete_once(
        &self,
        headers: &MetadataMap,
        options: delete_req::Options,
        delete: Deletion,
    ) -> Result<Option<u64>, Status> {
        self.cluster.seen().deletes += 1;
        self.begin_write(headers)?;
        let stream = name(options.stream_identifier);
        let expected = deletion_expectation(options.expected_stream_revision);
        let delete = || delete(&self.cluster.log, &stream, expected);
        let outcome = self.faulty(None, delete).await?;
        let written = outcome.map_err(|refused| status::not_deleted(&stream, expected, refused))?;
        Ok(written.position)
    }

    /// `BatchAppend`: answers each append of the session by its correlation id, until the client ends it. What ends the
    /// session early is said by its status.
    pub(super) async fn append_batches(
        self,
        headers: MetadataMap,
        mut requests: Streaming<BatchAppendReq>,
        answers: Sender<Result<BatchAppendResp, Status>>,
    ) {
        let answers = Delayed::before(answers);
        let mut parts = HashMap::new();
        while let Ok(Some(part)) = requests.message().await {
            let (wait, answer) = match self.append_part(&headers, &mut parts, part).await {
                Ok(None) => continue,
                Ok(Some((wait, answer))) => (wait, Ok(answer)),
                Err(status) => (Duration::ZERO, Err(status)),
            };
            let over = answer.is_err();
            let latency = self.cluster.latency.get();
            if !wait.is_zero() {
                answers.clone().send_aside(answer, wait, latency);
            } else if !answers.send(answer, latency).await || over {
                return;
            }
        }
    }

    /// An append may come in parts; nothing is answered before the last. With the answer, how long the server waits
    /// before it sends it.
    async fn append_part(
        &self,
        headers: &MetadataMap,
        parts: &mut HashMap<Uuid, Append>,
        part: BatchAppendReq,
    ) -> Result<Option<(Duration, BatchAppendResp)>, Status> {
        let correlation = part.correlation_id.clone();
        let id = plain(correlation.clone());
        if let Some(options) = part.options {
            let expected = batch_expectation(options.expected_stream_position);
            let stream = name(options.stream_identifier);
            let events = Vec::new();
            parts.insert(
                id,
                Append {
                    stream,
                    expected,
                    events,
                },
            );
        }
        let Some(append) = parts.get_mut(&id) else {
            return Ok(None);
        };
        let messages = part.proposed_messages.into_iter().map(proposal);
        let events: Result<Vec<_>, _> = messages.collect();
        let stream = identifier(&append.stream);
        let mut wait = Duration::ZERO;
        let result = match events {
            Err(bad) => Some(batch_append_resp::Result::Error(status::bad_request(
                bad.message(),
            ))),
            Ok(events) => {
                append.events.extend(events);
                if !part.is_final {
                    return Ok(None);
                }
                let append = parts.remove(&id).expect("it was just added to");
                if self.cluster.under_way.has(&append.stream, &append.events) {
                    wait = self.cluster.config.write_timeout;
                    Some(batch_append_resp::Result::Error(status::batch_timed_out()))
                } else {
                    self.append_batch(headers, append).await?
                }
            }
        };
        let answer = |result| BatchAppendResp {
            correlation_id: correlation,
            stream_identifier: Some(stream),
            result: Some(result),
            // A real server leaves it out.
            expected_stream_position: None,
        };
        Ok(result.map(answer).map(|answer| (wait, answer)))
    }

    /// One append of a session: its answer, or none when it is to hang.
    async fn append_batch(
        &self,
        headers: &MetadataMap,
        append: Append,
    ) -> Result<Option<batch_append_resp::Result>, Status> {
        use batch_append_resp::Result::{Error, Success};
        self.cluster.seen().batch_appends += 1;
        match self.begin_write(headers) {
            Err(denied) if denied.code() == Code::PermissionDenied => {
                return Ok(Some(Error(status::batch_denied())));
            }
            begun => begun?,
        }
        let limit = self.cluster.config.max_append_size;
        if size(&append.events) > limit {
            return Ok(Some(Error(status::batch_too_big(limit))));
        }
        let expected = append.expected;
        let stream = identifier(&append.stream);
        let turn = self.turn(&append);
        self.delay().await;
        let faults = &self.cluster.faults;
        if let Some(failure) = faults.before_write() {
            return self.fail_batch(failure).await;
        }
        match self.write(append) {
            Ok(written) => {
                if let Some(failure) = faults.after_write() {
                    return self.fail_batch(failure).await;
                }
                answered_in(turn, self.cluster.latency.get());
                Ok(Some(Success(batch_appended(written))))
            }
            Err(refused) => Ok(Some(Error(status::of_batch(&stream, expected, refused)))),
        }
    }

    /// A time-out concerns one append, which is also the only one to hang; everything else ends the session.
    async fn fail_batch(
        &self,
        failure: Failure,
    ) -> Result<Option<batch_append_resp::Result>, Status> {
        match failure {
            Failure::Hang => Ok(None),
            Failure::TimedOut => {
                let timed_out: rpc::Status = status::batch_timed_out();
                Ok(Some(batch_append_resp::Result::Error(timed_out)))
            }
            failure => Err(self.fail(failure).await),
        }
    }

    /// Does what a call asks for, unless it is to fail before that; or does it, and fails then.
    async fn faulty(
        &self,
        turn: Option<Turn<'_>>,
        write: impl FnOnce() -> Result<Written, Refused>,
    ) -> Result<Result<Written, Refused>, Status> {
        self.delay().await;
        let faults = &self.cluster.faults;
        if let Some(failure) = faults.before_write() {
            return Err(self.fail(failure).await);
        }
        let outcome = write();
        if outcome.is_err() {
            return Ok(outcome);
        }
        let lag = self.cluster.log.lagging();
        let lost = faults.after_write();
        // A lost answer is not on its way any more.
        let way = lost.map_or_else(|| self.cluster.latency.get(), |_| Duration::ZERO);
        answered_in(turn, lag + way);
        sleep(lag).await;
        match lost {
            Some(failure) => Err(self.fail(failure).await),
            None => Ok(outcome),
        }
    }

    /// Marks the write as under way; one that the log has already is answered at once.
    fn turn(&self, append: &Append) -> Option<Turn<'_>> {
        let Append { stream, events, .. } = append;
        let known = self.cluster.log.knows(stream, events);
        (!known).then(|| self.cluster.under_way.begin(stream, events))
    }

    fn write(&self, append: Append) -> Result<Written, Refused> {
        let log = &self.cluster.log;
        if self.cluster.faults.ignores_expectations() {
            return Ok(log.append_regardless(&append.stream, append.events));
        }
        log.append(&append.stream, append.expected, append.events)
    }
}

fn answered_in(turn: Option<Turn<'_>>, time: Duration) {
    if let Some(turn) = turn {
        turn.answered_in(time);
    }
}

/// The whole of a call's messages: the options first, then the events, one by one.
async fn received(mut request: Streaming<AppendReq>, limit: usize) -> Result<Append, Status> {
    let first = request.message().await?.and_then(|first| first.content);
    let Some(Content::Options(options)) = first else {
        return Err(Status::invalid_argument(
            "an append begins with its options",
        ));
    };
    let mut events = Vec::new();
    while let Some(AppendReq { content }) = request.message().await? {
        let Some(Content::ProposedMessage(message)) = content else {
            return Err(Status::invalid_argument(
                "after its options, an append has events",
            ));
        };
        events.push(proposal(message)?);
        if size(&events) > limit {
            return Err(status::too_big(limit));
        }
    }
    Ok(Append {
        stream: name(options.stream_identifier),
        expected: expectation(options.expected_stream_revision),
        events,
    })
}

fn size(events: &[Proposed]) -> usize {
    events.iter().map(Proposed::size).sum()
}

fn expectation(expected: Option<ExpectedStreamRevision>) -> Expected {
    match expected {
        Some(ExpectedStreamRevision::Revision(revision)) => Expected::Revision(revision),
        Some(ExpectedStreamRevision::NoStream(())) => Expected::NoStream,
        Some(ExpectedStreamRevision::StreamExists(())) => Expected::StreamExists,
        Some(ExpectedStreamRevision::Any(())) | None => Expected::Any,
    }
}

fn deletion_expectation(expected: Option<DeletedRevision>) -> Expected {
    match expected {
        Some(DeletedRevision::Revision(revision)) => Expected::Revision(revision),
        Some(DeletedRevision::NoStream(())) => Expected::NoStream,
        Some(DeletedRevision::StreamExists(())) => Expected::StreamExists,
        Some(DeletedRevision::Any(())) | None => Expected::Any,
    }
}

fn batch_expectation(expected: Option<ExpectedStreamPosition>) -> Expected {
    match expected {
        Some(ExpectedStreamPosition::StreamPosition(revision)) => Expected::Revision(revision),
        Some(ExpectedStreamPosition::NoStream(())) => Expected::NoStream,
        Some(ExpectedStreamPosition::StreamExists(())) => Expected::StreamExists,
        Some(ExpectedStreamPosition::Any(())) | None => Expected::Any,
    }
}

fn proposal(message: ProposedMessage) -> Result<Proposed, Status> {
    let mut known = message.metadata;
    let mut take = |name| {
        known
            .remove(name)
            .ok_or_else(|| status::missing_metadata(name))
    };
    Ok(Proposed {
        id: plain(message.id),
        event_type: take("type")?,
        json: take("content-type")? == "application/json",
        metadata: message.custom_metadata,
        data: message.data,
    })
}

fn appended(written: Written) -> AppendResp {
    use success::{CurrentRevisionOption as Revision, PositionOption as Position};
    let revision = written.revision.map(Revision::CurrentRevision);
    let position = written.position.map(|position| {
        Position::Position(append_resp::Position {
            commit_position: position,
            prepare_position: position,
        })
    });
    let success = append_resp::Success {
        current_revision_option: revision.or(Some(Revision::NoStream(()))),
        position_option: position.or(Some(Position::NoPosition(()))),
    };
    AppendResp {
        result: Some(append_resp::Result::Success(success)),
    }
}

fn batch_appended(written: Written) -> batch_append_resp::Success {
    use batch_append_resp::success::{
        CurrentRevisionOption as Revision, PositionOption as Position,
    };
    let revision = written.revision.map(Revision::CurrentRevision);
    let position = written.position.map(|position| {
        Position::Position(AllStreamPosition {
            commit_position: position,
            prepare_position: position,
        })
    });
    batch_append_resp::Success {
        current_revision_option: revision.or(Some(Revision::NoStream(()))),
        position_option: position.or(Some(Position::NoPosition(()))),
    }
}

/// A conflict is an answer of Append, not an error; it is said twice, for clients of old.
fn conflict(expected: Expected, current: Option<u64>) -> AppendResp {
    use wrong_expected_version::{
        CurrentRevisionOption as Current, CurrentRevisionOption2060 as OldCurrent,
        ExpectedRevisionOption as Expectation, ExpectedRevisionOption2060 as OldExpectation,
    };
    let current_now = current.map_or(Current::CurrentNoStream(()), Current::CurrentRevision);
    let current_then = current.map_or(
        OldCurrent::NoStream2060(()),
        OldCurrent::CurrentRevision2060,
    );
    let (expected_now, expected_then) = match expected {
        Expected::Any => (Expectation::ExpectedAny(()), OldExpectation::Any2060(())),
        Expected::StreamExists => (
            Expectation::ExpectedStreamExists(()),
            OldExpectation::StreamExists2060(()),
        ),
        Expected::NoStream => (
            Expectation::ExpectedNoStream(()),
            OldExpectation::ExpectedRevision2060(u64::MAX),
        ),
        Expected::Revision(revision) => (
            Expectation::ExpectedRevision(revision),
            OldExpectation::ExpectedRevision2060(revision),
        ),
    };
    let wrong = append_resp::WrongExpectedVersion {
        current_revision_option_20_6_0: Some(current_then),
        expected_revision_option_20_6_0: Some(expected_then),
        current_revision_option: Some(current_now),
        expected_revision_option: Some(expected_now),
    };
    AppendResp {
        result: Some(append_resp::Result::WrongExpectedVersion(wrong)),
    }
}

fn identifier(stream: &str) -> StreamIdentifier {
    StreamIdentifier {
        stream_name: stream.to_owned().into(),
    }
}
