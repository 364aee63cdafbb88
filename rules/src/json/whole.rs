//! A stored event as text that gives it back to the byte: its JSON as everybody sees it, and beside that what it does
//! not show. On one line for dumps; as data and metadata for stores that keep the two apart.

use super::event::{Data, envelope, head};
use super::hex::{Hex, Sha256Text};
use super::{EventJson, Text};
use crate::envelope::{Cause, Digest, Hash, PersonalPart, RecordedEvent, StoredEvent};
use crate::event::EventType;
use crate::ids::{Actor, CallId, CommandId, Correlation, KeyId, Position, Revision};
use crate::stored::{self, DecodeError, Payload};
use crate::time::Timestamp;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// A text that is no event as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// No JSON object of the fields an event has.
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// A type of event that nobody here knows.
    #[error("{0:?} is an unknown type of event; use the kaigi that wrote it, or a newer one")]
    UnknownType(String),
    /// The payload is none of its type and version.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// What everybody reads is not what the bytes say: the text was edited.
    #[error("the field `{0}` says something other than the stored bytes")]
    Contradiction(String),
}

/// Writes the event as one line.
pub fn write_line(event: &StoredEvent) -> String {
    let mut line = json(&Line(event));
    line.push('\n');
    line
}

/// Reads an event from its line, with or without the end of line; exactly the one that was written, or none.
pub fn parse_line(line: &str) -> Result<StoredEvent, InvalidEvent> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let read: Read<'_> = from_json(line)?;
    let position = Position(read.position.ok_or_else(|| lacks("position"))?);
    let event_type = event_type(read.event_type.as_ref().ok_or_else(|| lacks("type"))?)?;
    let recorded = read.event(event_type)?;
    let event = StoredEvent { position, recorded };
    says_nothing_else(line, &json(&Line(&event)))?;
    Ok(event)
}

/// An event as two JSON objects: what happened, and everything it came with but its type and position, which a store
/// that keeps the two apart has places of its own for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What happened, as the interface shows it under `data`.
    pub data: String,
    /// The other fields of the interface, what a dump has under `stored`, and `previous`, the hash of the event before.
    /// `$correlationId` (the correlation, or the command) and `$causationId` (the command) are where tools of such
    /// stores look for them.
    pub metadata: String,
}

/// Writes the event that follows one with that hash (zeros before the first) as two parts.
pub fn write_parts(event: &RecordedEvent, previous: Hash) -> Parts {
    Parts {
        data: json(&Data(&event.event)),
        metadata: json(&Metadata { event, previous }),
    }
}

/// Reads an event from its parts, and the hash it says the event before it has; exactly the one that was written, or
/// none. Whether the hashes hold is not asked.
pub fn parse_parts(
    type_name: &str,
    data: &[u8],
    metadata: &[u8],
) -> Result<(RecordedEvent, Hash), InvalidEvent> {
    let event_type = event_type(type_name)?;
    let metadata = text(metadata)?;
    let read: Read<'_> = from_json(metadata)?;
    let previous = Hash(read.previous.ok_or_else(|| lacks("previous"))?.0);
    let event = read.event(event_type)?;
    let meant = write_parts(&event, previous);
    says_nothing_else(metadata, &meant.metadata)?;
    says_nothing_else(text(data)?, &meant.data)?;
    Ok((event, previous))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("an event is JSON")
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, InvalidEvent> {
    serde_json::from_str(text).map_err(|error| {
        InvalidEvent::NotAnEvent(error.to_string().replace(" at line 1 column", " at column"))
    })
}

fn text(bytes: &[u8]) -> Result<&str, InvalidEvent> {
    str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to() + 1;
        InvalidEvent::NotAnEvent(format!("not UTF-8 at byte {place}"))
    })
}

fn lacks(field: &str) -> InvalidEvent {
    InvalidEvent::NotAnEvent(format!("missing field `{field}`"))
}

fn event_type(name: &str) -> Result<EventType, InvalidEvent> {
    EventType::named(name).ok_or_else(|| InvalidEvent::UnknownType(name.chars().take(80).collect()))
}

/// Fields may stand in any order, and a field that the interface gained later may be missing.
fn says_nothing_else(said: &str, meant: &str) -> Result<(), InvalidEvent> {
    if said == meant {
        return Ok(());
    }
    let (said, meant): (Value, Value) = (from_json(said)?, from_json(meant)?);
    let Value::Object(said) = said else {
        return Err(InvalidEvent::NotAnEvent(
            "expected a JSON object".to_owned(),
        ));
    };
    let mut fields = said.iter();
    match fields.find(|(field, value)| !holds(value, &meant[field.as_str()])) {
        Some((field, _)) => Err(InvalidEvent::Contradiction(field.clone())),
        None => Ok(()),
    }
}

fn holds(said: &Value, meant: &Value) -> bool {
    match (said, meant) {
        (Value::Object(said), Value::Object(meant)) => {
            let mut fields = said.iter();
            fields.all(|(field, value)| meant.get(field).is_some_and(|meant| holds(value, meant)))
        }
        _ => said == meant,
    }
}

struct Line<'a>(&'a StoredEvent);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        EventJson(self.0).entries(&mut map)?;
        map.serialize_entry("stored", &Stored::from(&self.0.recorded))?;
        map.end()
    }
}

struct Metadata<'a> {
    event: &'a RecordedEvent,
    previous: Hash,
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let cause = &*event.cause;
        let mut map = serializer.serialize_map(None)?;
        match &cause.correlation {
            Some(correlation) => map.serialize_entry("$correlationId", &Text(correlation))?,
            None => map.serialize_entry("$correlationId", &Text(cause.command))?,
        }
        map.serialize_entry("$causationId", &Text(cause.command))?;
        head(event, &mut map)?;
        envelope(event, &mut map)?;
        map.serialize_entry("previous", &Text(self.previous))?;
        map.serialize_entry("stored", &Stored::from(event))?;
        map.end()
    }
}

/// What the event's JSON does not show.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    index: u32,
    payload: Hex,
    personal: Option<Personal>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Personal {
    key: KeyId,
    salt: Sha256Text,
    text: String,
}

/// What is taken of a text; all else must follow from it.
#[derive(Deserialize)]
struct Read<'a> {
    position: Option<u64>,
    call: CallId,
    revision: u64,
    #[serde(borrow, rename = "type")]
    event_type: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "from_text")]
    at: Timestamp,
    #[serde(default, deserialize_with = "from_optional_text")]
    reported_at: Option<Timestamp>,
    #[serde(deserialize_with = "from_text")]
    recorded_at: Timestamp,
    command: CommandId,
    correlation: Option<Correlation>,
    #[serde(default, deserialize_with = "from_optional_text")]
    actor: Option<Actor>,
    version: u64,
    digest: Sha256Text,
    hash: Sha256Text,
    previous: Option<Sha256Text>,
    stored: Stored,
}

impl From<&RecordedEvent> for Stored {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            index: event.index,
            payload: Hex(event.payload.bytes.clone()),
            personal: event.personal.as_ref().map(Personal::from),
        }
    }
}

impl From<&PersonalPart> for Personal {
    fn from(part: &PersonalPart) -> Self {
        Self {
            key: part.key,
            salt: Sha256Text(part.salt),
            text: part.text.to_string(),
        }
    }
}

impl From<Personal> for PersonalPart {
    fn from(part: Personal) -> Self {
        Self {
            key: part.key,
            salt: part.salt.0,
            text: part.text.into(),
        }
    }
}

impl Read<'_> {
    fn event(self, event_type: EventType) -> Result<RecordedEvent, InvalidEvent> {
        let payload = Payload {
            event_type,
            version: self.version,
            bytes: self.stored.payload.0,
        };
        let personal = self.stored.personal.map(PersonalPart::from);
        let cause = Cause {
            call: self.call,
            command: self.command,
            digest: Digest(self.digest.0),
            at: self.at,
            reported_at: self.reported_at,
            recorded_at: self.recorded_at,
            correlation: self.correlation,
            actor: self.actor,
        };
        Ok(RecordedEvent {
            cause: Arc::new(cause),
            index: self.stored.index,
            revision: Revision(self.revision),
            event: stored::decode(&payload, personal.as_ref())?,
            payload,
            personal,
            hash: Hash(self.hash.0),
        })
    }
}

fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

fn from_optional_text<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    let parsed = text.map(|text| text.parse().map_err(D::Error::custom));
    parsed.transpose()
}
