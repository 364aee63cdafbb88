//! One event on one line: its JSON as everybody sees it, and beside it what that does not show of the stored bytes.

use crate::sha256::{Hex, Sha256Text};
use domain::envelope::{Digest, Hash, PersonalPart};
use domain::event::EventType;
use domain::json::EventJson;
use domain::stored::{self, DecodeError, Payload};
use domain::{
    Actor, CallId, Cause, CommandId, Correlation, KeyId, Position, RecordedEvent, Revision,
    StoredEvent, Timestamp,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// A line of a dump that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    /// No JSON object of the fields a line has.
    #[error("not a line of a dump: {0}")]
    NotALine(String),
    /// The file begins otherwise.
    #[error("this is no dump: its first line is not {{\"kaigi_dump\":1,...}}")]
    NoHeader,
    /// A newer program wrote it.
    #[error(
        "the dump is of format {found}, and this program reads {}; use the kaigi that wrote it, or a newer one",
        crate::dump::FORMAT
    )]
    NewerFormat {
        /// The format it is of.
        found: u64,
    },
    /// A type of event that nobody here knows.
    #[error("{0:?} is an unknown type of event; use the kaigi that wrote the dump, or a newer one")]
    UnknownType(String),
    /// The payload is none of its type and version.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// What everybody reads is not what the bytes say: the line was edited.
    #[error("the field `{0}` says something other than the stored bytes")]
    Contradiction(String),
    /// Longer than any event.
    #[error("longer than {} bytes, which no event is", crate::dump::LONGEST_LINE)]
    TooLong,
    /// Events are missing, or stand in another order.
    #[error("position {found} stands after position {before}")]
    OutOfOrder {
        /// The position before.
        before: Position,
        /// The one that is not after it.
        found: Position,
    },
    /// The file ends before the line that closes it.
    #[error("the dump ends here without its closing line: it was cut short")]
    Truncated,
    /// Something follows the line that closes it.
    #[error("something follows the closing line")]
    Trailing,
    /// The closing line is another dump's.
    #[error("the closing line says {said}, and there are {there}")]
    Miscounted {
        /// What it says.
        said: String,
        /// What there is.
        there: String,
    },
    /// A byte before the closing line was changed.
    #[error(
        "the lines above were changed: their SHA-256 is {there}, and the closing line says {said}"
    )]
    Changed {
        /// What the closing line says.
        said: Sha256Text,
        /// What it is.
        there: Sha256Text,
    },
    /// The file cannot be read on.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// An event as a line says it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    stored: Stored,
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

/// What is taken of a line; all else must follow from it.
#[derive(Deserialize)]
struct Read<'a> {
    position: u64,
    call: CallId,
    revision: u64,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
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
    stored: Stored,
}

/// Writes the event as one line.
pub fn write_line(event: &StoredEvent) -> String {
    let mut line = rendered(event);
    line.push('\n');
    line
}

/// Reads an event from its line, with or without the end of line; exactly the one that was written, or none.
pub fn parse_line(line: &str) -> Result<StoredEvent, InvalidLine> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let read: Read<'_> = serde_json::from_str(line).map_err(|error| not_a_line(&error))?;
    let event = read.event()?;
    let rendered = rendered(&event);
    if rendered != line {
        says_nothing_else(line, &rendered)?;
    }
    Ok(event)
}

fn rendered(event: &StoredEvent) -> String {
    serde_json::to_string(&Written::from(event)).expect("an event is JSON")
}

/// Fields may stand in any order, and a field that the interface gained later may be missing.
fn says_nothing_else(said: &str, meant: &str) -> Result<(), InvalidLine> {
    let parsed = |text| serde_json::from_str(text).map_err(|error| not_a_line(&error));
    let (said, meant): (Value, Value) = (parsed(said)?, parsed(meant)?);
    let Value::Object(said) = said else {
        return Err(InvalidLine::NotALine("expected a JSON object".to_owned()));
    };
    let mut fields = said.iter();
    match fields.find(|(field, value)| !holds(value, &meant[field.as_str()])) {
        Some((field, _)) => Err(InvalidLine::Contradiction(field.clone())),
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

pub(crate) fn not_a_line(error: &serde_json::Error) -> InvalidLine {
    let what = error.to_string().replace(" at line 1 column", " at column");
    InvalidLine::NotALine(what)
}

impl<'a> From<&'a StoredEvent> for Written<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        let recorded = &event.recorded;
        Self {
            event: EventJson(event),
            stored: Stored {
                index: recorded.index,
                payload: Hex(recorded.payload.bytes.clone()),
                personal: recorded.personal.as_ref().map(Personal::from),
            },
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
    fn event(self) -> Result<StoredEvent, InvalidLine> {
        let payload = Payload {
            event_type: event_type(&self.event_type)?,
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
        let recorded = RecordedEvent {
            cause: Arc::new(cause),
            index: self.stored.index,
            revision: Revision(self.revision),
            event: stored::decode(&payload, personal.as_ref())?,
            payload,
            personal,
            hash: Hash(self.hash.0),
        };
        let position = Position(self.position);
        Ok(StoredEvent { position, recorded })
    }
}

fn event_type(name: &str) -> Result<EventType, InvalidLine> {
    let mut known = EventType::ALL.iter();
    let found = known.find(|event_type| event_type.name() == name);
    found
        .copied()
        .ok_or_else(|| InvalidLine::UnknownType(name.chars().take(80).collect()))
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
