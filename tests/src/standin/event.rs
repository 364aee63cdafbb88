//! Events as they are proposed and recorded, and what a writer expects and is told.

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

/// The revision that the server gives a tombstone, and the truncation that means "all of it".
pub const END_OF_STREAM: u64 = i64::MAX.cast_unsigned();

/// An event that a writer would like to have recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What a retry is recognised by.
    pub id: Uuid,
    /// Its type, such as `call-connected`.
    pub event_type: String,
    /// Whether the data is said to be JSON.
    pub json: bool,
    /// The writer's own metadata.
    pub metadata: Bytes,
    /// What happened.
    pub data: Bytes,
}

impl Proposed {
    /// An event of that type with a random id and no metadata.
    pub fn json(event_type: &str, data: &Value) -> Self {
        Self {
            id: Uuid::new_v4(),
            event_type: event_type.to_owned(),
            json: true,
            metadata: Bytes::new(),
            data: data.to_string().into(),
        }
    }

    /// What it counts towards the largest append.
    pub(super) fn size(&self) -> usize {
        2 * self.event_type.len() + self.metadata.len() + self.data.len()
    }
}

/// An event as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it starts in the log, in bytes: positions are not dense.
    pub position: u64,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// When it was recorded, in units of 100 ns since 1970.
    pub created: u64,
    /// What the writer proposed.
    pub event: Proposed,
    pub(super) scavenged: bool,
}

impl Recorded {
    /// How many bytes of the log it takes.
    pub(super) fn length(&self) -> u64 {
        const FRAME: usize = 94;
        (FRAME + 2 * self.stream.len() + self.event.size()) as u64
    }
}

/// What a writer expects of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// That nobody has written to it.
    NoStream,
    /// That somebody has.
    StreamExists,
    /// That its last event has this revision.
    Revision(u64),
}

impl Expected {
    /// The number that stands for it in messages.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::NoStream => -1,
            Self::Any => -2,
            Self::StreamExists => -4,
            Self::Revision(revision) => revision.cast_signed(),
        }
    }
}

/// What a successful write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision of the last event written; none if the stream is still empty.
    pub revision: Option<u64>,
    /// Where that event stands in the log; none if none was written.
    pub position: Option<u64>,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The stream is not where the writer expects it to be.
    WrongVersion {
        /// The revision of its last event.
        current: Option<u64>,
    },
    /// The stream is gone for good.
    Deleted,
}
