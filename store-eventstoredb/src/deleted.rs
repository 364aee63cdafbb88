//! Calls whose streams were soft-deleted. The server reads such a stream as missing and lets a writer that expects no
//! stream begin it anew, at a higher number; undoing the deletion would then no longer bring the call back whole.

use crate::call_stream::read_stream;
use crate::event::stream;
use crate::link::{Failure, Link, Time};
use domain::{CallId, StoreError};
use eventstore::{ResolvedEvent, StreamPosition};
use serde::Deserialize;

/// The number that a soft delete writes as the first readable one.
const DELETED: u64 = i64::MAX.cast_unsigned();

/// What a stream's metadata says of interest here.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "$tb", default)]
    truncate_before: Option<u64>,
}

/// An error if the call's stream was soft-deleted: one read of one event. The server may deny this user the metadata;
/// then the deletion is noticed only once the call is read back.
pub(crate) async fn refuse_soft_deleted(
    link: &Link,
    time: Time,
    call: &CallId,
) -> Result<(), StoreError> {
    let stream = stream(call);
    let metadata = format!("$${stream}");
    let read = link.call(time, |client, limit| {
        let metadata = metadata.clone();
        read_stream(client, link, metadata, StreamPosition::End, 1, limit)
    });
    match read.await {
        Ok(last) if last.first().is_some_and(says_deleted) => Err(StoreError::Corrupt(format!(
            "stream {stream} was deleted; remove $tb from its metadata to bring the call back"
        ))),
        Ok(_) | Err(Failure::Missing | Failure::Denied | Failure::Deleted) => Ok(()),
        Err(failure) => {
            Err(failure
                .into_store_error(&format!("read the metadata of stream {stream}"), &link.url))
        }
    }
}

fn says_deleted(metadata: &ResolvedEvent) -> bool {
    let metadata = metadata.get_original_event().as_json::<Metadata>();
    metadata.unwrap_or_default().truncate_before == Some(DELETED)
}
