//! What a reader finds at a position of a store: an event, or the place of one that is damaged.

use crate::envelope::{Hash, StoredEvent};
use crate::ids::{CallId, Position};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// An event that cannot be read as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEvent {
    /// Its position. Reading on after it continues with the next event.
    pub position: Position,
    /// The call it belongs to, where the store can still tell.
    pub call: Option<CallId>,
    /// Where the store keeps it: a stream of a cluster, a file of the embedded log.
    pub stream: String,
    /// Its number in that stream, as the store counts there.
    pub number: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What stands at one position of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A whole event.
    Event(StoredEvent),
    /// An event that cannot be read.
    Damaged(DamagedEvent),
}

impl Entry {
    /// Its position.
    pub fn position(&self) -> Position {
        match self {
            Entry::Event(event) => event.position,
            Entry::Damaged(event) => event.position,
        }
    }

    /// The event, unless it is damaged.
    pub fn whole(&self) -> Option<&StoredEvent> {
        match self {
            Entry::Event(event) => Some(event),
            Entry::Damaged(_) => None,
        }
    }
}

impl DamagedEvent {
    /// What the rolling hash takes in its place: SHA-256 of the line `kaigi-damaged-event-1`, the stream and the number,
    /// each ended by a line feed. The reason is left out, because a later version may word it otherwise.
    pub fn hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update("kaigi-damaged-event-1\n");
        hasher.update(format!("{}\n{}\n", self.stream, self.number));
        Hash(hasher.finalize().into())
    }
}

impl fmt::Display for DamagedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            stream,
            number,
            reason,
            ..
        } = self;
        write!(
            f,
            "event {number} of stream {stream} at position {position}: {reason}"
        )
    }
}
