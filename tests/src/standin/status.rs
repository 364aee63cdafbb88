//! The errors of the protocol, worded and marked as the server's, because clients read the words and the marks.

use super::event::{Expected, Refused};
use super::protocol::rpc;
use super::protocol::shared::{
    self, StreamIdentifier, WrongExpectedVersion,
    wrong_expected_version::{CurrentStreamRevisionOption, ExpectedStreamPositionOption},
};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Starting, or without a leader.
pub(super) fn not_ready() -> Status {
    Status::unavailable("Server Is Not Ready")
}

/// The cluster did not agree in time; whether the write is in is not known.
pub(super) fn timed_out(why: &str) -> Status {
    Status::aborted(format!("Operation timed out: {why}"))
}

pub(super) fn access_denied() -> Status {
    let denied = Status::permission_denied("Access Denied");
    marked(denied, &[("exception", "access-denied")])
}

/// Ask that node instead.
pub(super) fn not_leader(host: &str, port: u16) -> Status {
    let marks = [
        ("exception", "not-leader"),
        ("leader-endpoint-host", host),
        ("leader-endpoint-port", &port.to_string()),
    ];
    marked(Status::not_found("Leader info available"), &marks)
}

pub(super) fn stream_deleted(stream: &str) -> Status {
    let deleted = format!("Event stream '{stream}' is deleted.");
    let marks = [("exception", "stream-deleted"), ("stream-name", stream)];
    marked(Status::failed_precondition(deleted), &marks)
}

pub(super) fn too_big(limit: usize) -> Status {
    let marks = [
        ("exception", "maximum-append-size-exceeded"),
        ("maximum-append-size", &limit.to_string()),
    ];
    let too_big = format!("Maximum Append Size of {limit} Exceeded.");
    marked(Status::invalid_argument(too_big), &marks)
}

pub(super) fn missing_metadata(name: &str) -> Status {
    let marks = [
        ("exception", "missing-required-metadata-property"),
        ("required-metadata-properties", "type,content-type"),
    ];
    let missing = format!("Required Metadata Property '{name}' is missing");
    marked(Status::invalid_argument(missing), &marks)
}

/// Why a stream was not deleted; an append answers a wrong version otherwise.
pub(super) fn not_deleted(stream: &str, expected: Expected, refused: Refused) -> Status {
    let Refused::WrongVersion { current } = refused else {
        return stream_deleted(stream);
    };
    let expected = expected.number();
    let current = current.map_or(-1, u64::cast_signed);
    let wrong = format!(
        "Delete failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, Actual version: {current}"
    );
    let marks = [
        ("exception", "wrong-expected-version"),
        ("stream-name", stream),
        ("expected-version", &expected.to_string()),
        ("actual-version", &current.to_string()),
    ];
    marked(Status::failed_precondition(wrong), &marks)
}

/// Why one append of a batch was refused: a batch goes on after it, so the error stands in its answer.
pub(super) fn of_batch(
    stream: &StreamIdentifier,
    expected: Expected,
    refused: Refused,
) -> rpc::Status {
    match refused {
        Refused::Deleted => {
            let stream_identifier = Some(stream.clone());
            let deleted = shared::StreamDeleted { stream_identifier };
            batch_error(Code::NotFound, "StreamDeleted", &deleted)
        }
        Refused::WrongVersion { current } => {
            let wrong = wrong_version(expected, current);
            batch_error(Code::AlreadyExists, "WrongExpectedVersion", &wrong)
        }
    }
}

pub(super) fn batch_denied() -> rpc::Status {
    batch_error(
        Code::PermissionDenied,
        "AccessDenied",
        &shared::AccessDenied {},
    )
}

pub(super) fn batch_timed_out() -> rpc::Status {
    batch_error(Code::DeadlineExceeded, "Timeout", &shared::Timeout {})
}

pub(super) fn batch_too_big(limit: usize) -> rpc::Status {
    let max_append_size = u32::try_from(limit).unwrap_or(u32::MAX);
    let exceeded = shared::MaximumAppendSizeExceeded { max_append_size };
    batch_error(
        Code::InvalidArgument,
        "MaximumAppendSizeExceeded",
        &exceeded,
    )
}

pub(super) fn bad_request(message: &str) -> rpc::Status {
    let message = message.to_owned();
    let bad = shared::BadRequest { message };
    batch_error(Code::InvalidArgument, "BadRequest", &bad)
}

fn wrong_version(expected: Expected, current: Option<u64>) -> WrongExpectedVersion {
    use CurrentStreamRevisionOption as Current;
    use ExpectedStreamPositionOption as Position;
    let current = current.map_or(Current::CurrentNoStream(()), Current::CurrentStreamRevision);
    let expected = match expected {
        Expected::Any => Position::ExpectedAny(()),
        Expected::NoStream => Position::ExpectedNoStream(()),
        Expected::StreamExists => Position::ExpectedStreamExists(()),
        Expected::Revision(revision) => Position::ExpectedStreamPosition(revision),
    };
    WrongExpectedVersion {
        current_stream_revision_option: Some(current),
        expected_stream_position_option: Some(expected),
    }
}

/// An error whose details are the message of that name.
fn batch_error(code: Code, name: &str, details: &impl Message) -> rpc::Status {
    rpc::Status {
        code: code as i32,
        message: name.to_owned(),
        details: Some(prost_types::Any {
            type_url: format!("type.googleapis.com/event_store.client.{name}"),
            value: details.encode_to_vec(),
        }),
    }
}

fn marked(mut status: Status, marks: &[(&'static str, &str)]) -> Status {
    for (name, value) in marks {
        // A stream's name may hold what a header may not; the server leaves such a mark out, too.
        if let Ok(value) = MetadataValue::try_from(*value) {
            status.metadata_mut().insert(*name, value);
        }
    }
    status
}
