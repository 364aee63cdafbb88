//! Limits on a call's stream: metadata that hides the call's first events from readers of the stream.
//!
//! The events stay in `$all` until a scavenge, so only the metadata shows that the call can no longer be read.

use crate::call_stream::first_number;
use crate::event::METADATA_PREFIX;
use crate::link::Link;
use domain::{CallId, DamagedEvent, Position, StoreError};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The number that stands for "all events there are", which is how a soft delete truncates.
const SOFT_DELETE: u64 = i64::MAX.cast_unsigned();

/// The part of a stream's metadata that hides events.
#[derive(Debug, Default, Deserialize)]
struct Limits {
    #[serde(rename = "$tb")]
    truncate_before: Option<u64>,
    #[serde(rename = "$maxCount")]
    max_count: Option<IgnoredAny>,
    #[serde(rename = "$maxAge")]
    max_age: Option<IgnoredAny>,
}

/// Returns the damage if this metadata limits a call's stream and the stream is not whole now. Other metadata, and
/// limits that were undone since, harm nothing.
pub(crate) async fn check(
    link: &Link,
    metadata: &eventstore::RecordedEvent,
) -> Result<(), StoreError> {
    let (Some(reason), Some(call)) = (Limits::of(metadata).reason(), call_of(metadata)) else {
        return Ok(());
    };
    match first_number(link, link.time(), &call).await {
        Ok(Some(0)) => Ok(()),
        // A stream that was deleted for good since cannot be read at all.
        Ok(_) | Err(StoreError::Corrupt(_)) => Err(damaged(metadata, call, reason).into()),
        Err(error) => Err(error),
    }
}

/// Whether this is metadata of a stream that hides no event.
pub(crate) fn is_harmless(event: &eventstore::RecordedEvent) -> bool {
    event.stream_id().starts_with(METADATA_PREFIX) && Limits::of(event).reason().is_none()
}

impl Limits {
    /// Metadata that is not understood limits nothing.
    fn of(metadata: &eventstore::RecordedEvent) -> Self {
        serde_json::from_slice(&metadata.data).unwrap_or_default()
    }

    /// What the metadata does to the stream, if it can hide events.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self {
                truncate_before: Some(SOFT_DELETE),
                ..
            } => Some("the stream was deleted"),
            Self {
                truncate_before: Some(1..),
                ..
            } => Some("the stream was truncated"),
            Self {
                max_count: Some(_), ..
            } => Some("the stream keeps only its last events ($maxCount)"),
            Self {
                max_age: Some(_), ..
            } => Some("the stream drops its old events ($maxAge)"),
            Self {
                truncate_before: Some(0) | None,
                max_count: None,
                max_age: None,
            } => None,
        }
    }
}

fn call_of(metadata: &eventstore::RecordedEvent) -> Option<CallId> {
    let call = metadata.stream_id().strip_prefix(METADATA_PREFIX)?;
    call.parse().ok()
}

/// A limit hides a stream's first events, so number 0 is the first that is missing.
fn damaged(metadata: &eventstore::RecordedEvent, call: CallId, reason: &str) -> DamagedEvent {
    DamagedEvent {
        position: Position(metadata.position.commit),
        stream: crate::event::stream(&call),
        call: Some(call),
        number: 0,
        reason: reason.to_owned(),
    }
}
