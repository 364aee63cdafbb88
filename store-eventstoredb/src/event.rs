//! An event as the cluster keeps it: `docs/eventstoredb.md` shows one.

use domain::envelope::{Hash, verify};
use domain::json::{Parts, parse_parts, write_parts};
use domain::{Batch, CallId, Head, Position, RecordedEvent, Revision, StoreError, StoredEvent};
use eventstore::EventData;
use serde_json::value::RawValue;
use uuid::Uuid;

/// What the name of a call's stream begins with; the server takes what stands before the dash for the category.
pub(crate) const PREFIX: &str = "call-";

/// What an event costs beside its data and metadata, rounded up: type, id and the server's own.
const OVERHEAD: usize = 256;

pub(crate) fn stream(call: &CallId) -> String {
    format!("{PREFIX}{call}")
}

/// The batch's events for the server, and how many bytes they take.
pub(crate) fn written(batch: &Batch) -> (Vec<EventData>, usize) {
    let mut previous = batch.expected().hash;
    let mut bytes = 0;
    let mut events = Vec::with_capacity(batch.events().len());
    for event in batch.events() {
        let parts = write_parts(event, previous);
        bytes += parts.data.len() + parts.metadata.len() + OVERHEAD;
        events.push(event_data(event, parts));
        previous = event.hash;
    }
    (events, bytes)
}

fn event_data(event: &RecordedEvent, parts: Parts) -> EventData {
    let data = RawValue::from_string(parts.data).expect("it was written as JSON");
    let data = EventData::json(event.payload.event_type.name(), &data);
    data.expect("JSON is written as it stands")
        .id(id(event.hash))
        .metadata(parts.metadata.into_bytes().into())
}

/// By this id the server knows an event again that it has already: one of the same bytes after the same history, and
/// no other. UUID version 5 of the hash's hexadecimal digits, in the namespace of object identifiers.
pub(crate) fn id(hash: Hash) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, hash.to_string().as_bytes())
}

/// An event as it was read, verified as far as itself goes.
pub(crate) struct Found {
    pub(crate) event: StoredEvent,
    /// The hash that the event before it must have.
    pub(crate) previous: Hash,
}

/// Reads an event of ours; whatever else stands in a stream of ours is damage, and named.
pub(crate) fn found(read: &eventstore::RecordedEvent) -> Result<Found, StoreError> {
    let damage = |what: &dyn std::fmt::Display| {
        StoreError::Corrupt(format!(
            "event {} of stream {} at position {}: {what}",
            read.revision,
            read.stream_id(),
            read.position.commit,
        ))
    };
    let parsed = parse_parts(&read.event_type, &read.data, &read.custom_metadata);
    let (recorded, previous) = parsed.map_err(|why| damage(&format!("it is not ours: {why}")))?;
    if stream(&recorded.cause.call) != read.stream_id() {
        return Err(damage(&format!(
            "it is one of call {}",
            recorded.cause.call
        )));
    }
    if recorded.revision.0 != read.revision + 1 {
        return Err(damage(&format!(
            "it says that it is revision {}",
            recorded.revision
        )));
    }
    let before = Head {
        revision: Revision(read.revision),
        hash: previous,
    };
    verify(before, [&recorded]).map_err(|altered| damage(&altered))?;
    if read.id != id(recorded.hash) {
        return Err(damage(&"its id does not follow from its hash"));
    }
    if read.position.commit == u64::MAX {
        return Err(damage(&"the server does not tell its position"));
    }
    if read.position.commit != read.position.prepare {
        return Err(damage(
            &"it was written in a transaction, which we never do",
        ));
    }
    let position = Position(read.position.commit);
    Ok(Found {
        event: StoredEvent { position, recorded },
        previous,
    })
}
