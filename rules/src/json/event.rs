//! An event as JSON.

use super::Text;
use crate::entry::DamagedEvent;
use crate::envelope::{RecordedEvent, StoredEvent};
use crate::event::Event;
use crate::ids::{CallId, Position};
use crate::table::Value;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// An event in its envelope, written as in the interface.
#[derive(Debug, Clone, Copy)]
pub struct EventJson<'a>(pub &'a StoredEvent);

/// A damaged event, in the place where the event would stand.
#[derive(Debug, Clone, Copy)]
pub struct DamagedJson<'a>(pub &'a DamagedEvent);

impl DamagedJson<'_> {
    /// Its type in JSON, which no event has.
    pub const TYPE: &'static str = "damaged_event";
}

/// The damaged event on a line of [`DamagedJson`]; `None` for any other line.
pub fn parse_damaged(line: &str) -> Option<DamagedEvent> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: String,
        position: Position,
        call: Option<CallId>,
        stream: String,
        number: u64,
        reason: String,
    }
    let line: Line = serde_json::from_str(line).ok()?;
    (line.kind == DamagedJson::TYPE).then_some(DamagedEvent {
        position: line.position,
        call: line.call,
        stream: line.stream,
        number: line.number,
        reason: line.reason,
    })
}

impl Serialize for DamagedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("position", &event.position.0)?;
        map.serialize_entry("call", &event.call.as_ref().map(Text))?;
        map.serialize_entry("type", Self::TYPE)?;
        map.serialize_entry("stream", &event.stream)?;
        map.serialize_entry("number", &event.number)?;
        map.serialize_entry("reason", &event.reason)?;
        map.serialize_entry("hash", &Text(event.hash()))?;
        map.end()
    }
}

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

impl<'a> EventJson<'a> {
    /// What happened alone, as it stands under `data`.
    pub fn data(self) -> impl Serialize + 'a {
        Data(&self.0.recorded.event)
    }

    /// All its fields, into an object that may have more.
    pub(super) fn entries<M: SerializeMap>(self, map: &mut M) -> Result<(), M::Error> {
        let StoredEvent { position, recorded } = self.0;
        map.serialize_entry("position", &position.0)?;
        head(recorded, map)?;
        map.serialize_entry("type", recorded.payload.event_type.name())?;
        envelope(recorded, map)?;
        map.serialize_entry("data", &Data(&recorded.event))
    }
}

/// Which event of which call it is.
pub(super) fn head<M: SerializeMap>(event: &RecordedEvent, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("call", event.cause.call.as_str())?;
    map.serialize_entry("revision", &event.revision.0)?;
    map.serialize_entry("id", &Text(event.id()))
}

/// What surrounds what happened.
pub(super) fn envelope<M: SerializeMap>(
    event: &RecordedEvent,
    map: &mut M,
) -> Result<(), M::Error> {
    let cause = &*event.cause;
    map.serialize_entry("at", &Text(cause.at))?;
    if let Some(reported_at) = cause.reported_at {
        map.serialize_entry("reported_at", &Text(reported_at))?;
    }
    map.serialize_entry("recorded_at", &Text(cause.recorded_at))?;
    map.serialize_entry("command", &Text(cause.command))?;
    map.serialize_entry("correlation", &cause.correlation.as_ref().map(Text))?;
    map.serialize_entry("actor", &cause.actor.as_ref().map(Text))?;
    map.serialize_entry("version", &event.payload.version)?;
    map.serialize_entry("digest", &Text(cause.digest))?;
    map.serialize_entry("hash", &Text(event.hash))
}

/// What the event's type says of it.
pub(super) struct Data<'a>(pub(super) &'a Event);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.0.fields() {
            map.serialize_entry(field.name, &value)?;
            // Null, and a mark beside it once the text was made unreadable.
            if value == Some(Value::Erased) {
                map.serialize_entry("erased", &true)?;
            }
        }
        map.end()
    }
}
