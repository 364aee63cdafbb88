//! The finished event: what surrounds what happened, and the chain of hashes that proves it unaltered.
//! `docs/spec/envelope.md` is the specification, `docs/hash-chain.md` works three examples by hand.

use crate::event::Event;
use crate::hashing::HashInput;
use crate::ids::{Actor, CallId, CommandId, Correlation, EventId, Position, Revision};
use crate::stored::{self, Payload};
use crate::time::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

pub use crate::hashing::{Digest, Hash, roll};
pub use crate::personal::PersonalPart;

/// Where a call's history stands: how many events, and the last one's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many events.
    pub revision: Revision,
    /// The last one's hash; zeros before the first.
    pub hash: Hash,
}

/// What all events that one command brought about share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The call.
    pub call: CallId,
    /// The command.
    pub command: CommandId,
    /// The command's digest.
    pub digest: Digest,
    /// When it happened, never before the event before (R62).
    pub at: Timestamp,
    /// When it was reported to have happened, only where that was earlier (R62).
    pub reported_at: Option<Timestamp>,
    /// When the store took it.
    pub recorded_at: Timestamp,
    /// Text to find related work by.
    pub correlation: Option<Correlation>,
    /// Who asked; nobody for what the telephone system reports.
    pub actor: Option<Actor>,
}

/// One event as it is kept for ever, but for its position, which the store adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// What it shares with the other events of its command.
    pub cause: Arc<Cause>,
    /// Its place among them, from 0.
    pub index: u32,
    /// Its place in the call, from 1.
    pub revision: Revision,
    /// What happened, as today's rules read it from the payload; no hash covers this reading.
    pub event: Event,
    /// What happened, as it was written.
    pub payload: Payload,
    /// What in it identifies a customer, unless it was made unreadable.
    pub personal: Option<PersonalPart>,
    /// Covers the payload, everything it came with, and the event before.
    pub hash: Hash,
}

/// An event in the order of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of all events of that store.
    pub position: Position,
    /// The event.
    pub recorded: RecordedEvent,
}

/// Events of one call that are kept whole or not at all, and the head they continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    expected: Head,
    events: Vec<RecordedEvent>,
}

/// Events that no store may be asked to keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// An append without events would be acknowledged without a trace.
    #[error("there is no event to append")]
    Empty,
    /// The events do not continue the head, or are of several calls.
    #[error("revision {revision} of call {call} does not continue the events before it")]
    NotConsecutive {
        /// The call of the event that does not fit.
        call: CallId,
        /// Its revision.
        revision: Revision,
    },
}

/// A chain that does not hold: somebody or something altered the history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("call {call} was altered at revision {revision}: {what}")]
pub struct Altered {
    /// The call.
    pub call: CallId,
    /// The first event that does not verify.
    pub revision: Revision,
    /// What does not hold.
    pub what: &'static str,
}

impl Head {
    /// The head of a call nobody wrote to.
    pub const NONE: Head = Head {
        revision: Revision(0),
        hash: Hash([0; 32]),
    };
}

impl Batch {
    /// The batch, if it has events and they are the next ones of one call.
    pub fn new(expected: Head, events: Vec<RecordedEvent>) -> Result<Self, InvalidBatch> {
        let Some(first) = events.first() else {
            return Err(InvalidBatch::Empty);
        };
        let numbered = events.iter().zip(expected.revision.0 + 1..);
        let stray = |(event, revision): &(&RecordedEvent, u64)| {
            event.revision.0 != *revision || event.cause.call != first.cause.call
        };
        match numbered.into_iter().find(stray) {
            Some((event, _)) => Err(InvalidBatch::NotConsecutive {
                call: event.cause.call.clone(),
                revision: event.revision,
            }),
            None => Ok(Self { expected, events }),
        }
    }

    /// Finishes what `decide` said: ids, payloads, hashes.
    pub fn finish(
        expected: Head,
        cause: Cause,
        events: Vec<Event>,
        mut personal: Option<PersonalPart>,
    ) -> Result<Self, InvalidBatch> {
        let cause = Arc::new(cause);
        let mut head = expected;
        let mut finished = Vec::with_capacity(events.len());
        for (event, index) in events.into_iter().zip(0..) {
            let personal = personal.take_if(|_| event.has_personal_text());
            let event = finished_event(head, &cause, index, event, personal);
            head = event.head();
            finished.push(event);
        }
        Self::new(expected, finished)
    }

    /// The call.
    pub fn call(&self) -> &CallId {
        &self.events[0].cause.call
    }

    /// The head the events continue.
    pub fn expected(&self) -> Head {
        self.expected
    }

    /// The events; there is at least one.
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// The head once they are kept.
    pub fn head(&self) -> Head {
        self.events[self.events.len() - 1].head()
    }

    /// The events, to be kept.
    pub fn into_events(self) -> Vec<RecordedEvent> {
        self.events
    }
}

fn finished_event(
    head: Head,
    cause: &Arc<Cause>,
    index: u32,
    event: Event,
    personal: Option<PersonalPart>,
) -> RecordedEvent {
    let payload = stored::encode(&event, personal.as_ref());
    let mut recorded = RecordedEvent {
        cause: Arc::clone(cause),
        index,
        revision: head.revision.plus(1),
        event,
        payload,
        personal,
        hash: Head::NONE.hash,
    };
    recorded.hash = recorded.hash_after(head.hash);
    recorded
}

impl RecordedEvent {
    /// UUID version 5 of the command's id and `CALL/INDEX`.
    pub fn id(&self) -> EventId {
        let name = format!("{}/{}", self.cause.call, self.index);
        EventId(Uuid::new_v5(&self.cause.command.0, name.as_bytes()))
    }

    /// The call's head once this event is its last.
    pub fn head(&self) -> Head {
        Head {
            revision: self.revision,
            hash: self.hash,
        }
    }

    /// The hash this event must have after an event with that hash.
    pub fn hash_after(&self, previous: Hash) -> Hash {
        let cause = &*self.cause;
        let mut input = HashInput::new("kaigi-event-v1");
        input.bytes(&previous.0);
        input.text(cause.call.as_str());
        input.integer(self.revision.0);
        input.text(self.payload.event_type.name());
        input.integer(self.payload.version);
        input.integer(cause.at.as_millis());
        input.optional_integer(cause.reported_at.map(Timestamp::as_millis));
        input.integer(cause.recorded_at.as_millis());
        input.bytes(self.id().0.as_bytes());
        input.bytes(cause.command.0.as_bytes());
        input.bytes(&cause.digest.0);
        input.optional(
            cause
                .correlation
                .as_ref()
                .map(|text| text.as_str().as_bytes()),
        );
        let actor = cause.actor.as_ref().map(ToString::to_string);
        input.optional(actor.as_ref().map(String::as_bytes));
        input.bytes(&self.payload.bytes);
        Hash(input.sha256())
    }

    /// Whether the personal text is the one the payload commits to; an unreadable one cannot be asked.
    fn keeps_its_commitment(&self) -> bool {
        match &self.personal {
            Some(part) => stored::commitment(&self.payload) == Some(part.commitment()),
            None => true,
        }
    }
}

/// The head after the events, if every hash holds; nothing is verified of the positions, which no hash covers.
pub fn verify<'a>(
    head: Head,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Head, Altered> {
    events.into_iter().try_fold(head, |head, event| {
        let altered = |what| Altered {
            call: event.cause.call.clone(),
            revision: event.revision,
            what,
        };
        if event.revision != head.revision.plus(1) {
            return Err(altered("events are missing before it"));
        }
        if event.hash != event.hash_after(head.hash) {
            return Err(altered("its hash does not cover what is stored"));
        }
        if !event.keeps_its_commitment() {
            return Err(altered(
                "its personal text is not the one it was recorded with",
            ));
        }
        Ok(event.head())
    })
}
