//! An event as the cluster keeps it: `docs/eventstoredb.md` shows one.

use domain::envelope::{Hash, verify};
use domain::json::{Parts, parse_parts, write_parts};
use domain::{
    Batch, CallId, DamagedEvent, Head, Position, RecordedEvent, Revision, StoreError, StoredEvent,
};
use eventstore::EventData;
use serde_json::value::RawValue;
use uuid::Uuid;

/// What the name of a call's stream begins with; the server takes what stands before the dash for the category.
pub(crate) const PREFIX: &str = "call-";

/// What the name of a call's metadata stream begins with. The server keeps a stream's limits there.
pub(crate) const METADATA_PREFIX: &str = "$$call-";

/// The type of the event that ends a stream which was deleted for good.
const TOMBSTONE: &str = "$streamDeleted";

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

/// Reads an event of a call's stream. Anything else in such a stream is damage, and the error names it.
pub(crate) fn found(read: &eventstore::RecordedEvent) -> Result<Found, StoreError> {
    if read.position.commit == u64::MAX {
        return Err(StoreError::Refused(format!(
            "event {} of stream {}: the server does not tell its position",
            read.revision,
            read.stream_id(),
        )));
    }
    let (recorded, previous) = verified(read).map_err(|reason| damaged(read, reason))?;
    let position = Position(read.position.commit);
    Ok(Found {
        event: StoredEvent { position, recorded },
        previous,
    })
}

/// The event and the hash before it, or what is wrong with it.
fn verified(read: &eventstore::RecordedEvent) -> Result<(RecordedEvent, Hash), String> {
    if read.event_type == TOMBSTONE {
        return Err("the stream was deleted for good".to_owned());
    }
    let parsed = parse_parts(&read.event_type, &read.data, &read.custom_metadata);
    let (recorded, previous) = parsed.map_err(|why| format!("it is not ours: {why}"))?;
    if stream(&recorded.cause.call) != read.stream_id() {
        return Err(format!("it is one of call {}", recorded.cause.call));
    }
    if Some(recorded.revision.0) != read.revision.checked_add(1) {
        return Err(format!("it says that it is revision {}", recorded.revision));
    }
    let before = Head {
        revision: Revision(read.revision),
        hash: previous,
    };
    verify(before, [&recorded]).map_err(|altered| altered.to_string())?;
    if read.id != id(recorded.hash) {
        return Err("its id does not follow from its hash".to_owned());
    }
    if read.position.commit != read.position.prepare {
        return Err("it was written in a transaction, which we never do".to_owned());
    }
    Ok((recorded, previous))
}

fn damaged(read: &eventstore::RecordedEvent, reason: String) -> StoreError {
    let stream = read.stream_id();
    StoreError::from(DamagedEvent {
        position: Position(read.position.commit),
        call: stream
            .strip_prefix(PREFIX)
            .and_then(|call| call.parse().ok()),
        stream: stream.to_owned(),
        number: read.revision,
        reason,
    })
}
