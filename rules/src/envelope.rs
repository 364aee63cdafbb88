//! The finished event: what surrounds what happened, and the chain of hashes that proves it unaltered.
//! `docs/spec/envelope.md` is the specification, `docs/hash-chain.md` works three examples by hand.

use crate::command::Command;
use crate::event::Event;
use crate::ids::{Actor, CallId, CommandId, Correlation, EventId, KeyId, Position, Revision};
use crate::stored::{self, Payload};
use crate::time::Timestamp;
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// SHA-256 over an event and its predecessor's hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// SHA-256 over a command.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

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

/// The part of an event that identifies a customer, kept beside the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalPart {
    /// The key it is, or later will be, encrypted with.
    pub key: KeyId,
    /// 32 random bytes, so that the commitment does not give the text away.
    pub salt: [u8; 32],
    /// The text.
    pub text: SmolStr,
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
            let personal = personal.take_if(|_| has_personal_text(&event));
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

fn has_personal_text(event: &Event) -> bool {
    match event {
        Event::CallConnected { customer, .. } => customer.is_some(),
        Event::WrapUpSuggested { note, .. } => note.is_some(),
        Event::ConsultRequested { .. }
        | Event::ConsultStarted { .. }
        | Event::ConsultEnded { .. }
        | Event::PartyJoined { .. }
        | Event::ConferenceStarted { .. }
        | Event::PartyHeld { .. }
        | Event::PartyReleased { .. }
        | Event::PartyLeft { .. }
        | Event::ControlTransferred { .. }
        | Event::ControlVacated { .. }
        | Event::ConferenceDissolved
        | Event::WrapUpAssistEntered
        | Event::CallEnded { .. }
        | Event::CallCompleted
        | Event::WrapUpOwed { .. }
        | Event::WrapUpApplied { .. }
        | Event::MonitoringStarted { .. }
        | Event::SupervisorBargedIn { .. }
        | Event::MonitoringMoved { .. }
        | Event::MonitoringEnded { .. } => false,
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

/// The digest of a store's events in their order, one event further: SHA-256 of the digest before it, which is zeros
/// before the first, and its hash.
pub fn roll(before: Hash, event: Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before.0);
    hasher.update(event.0);
    Hash(hasher.finalize().into())
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

impl PersonalPart {
    /// What payload and digest cover in the text's place: SHA-256 of salt and text.
    pub fn commitment(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.salt);
        hasher.update(self.text.as_bytes());
        hasher.finalize().into()
    }
}

/// The personal text of a command, if it has one.
pub fn personal_text(command: &Command) -> Option<&str> {
    match command {
        Command::ConnectCall { customer, .. } => {
            customer.as_ref().map(super::ids::CustomerNumber::as_str)
        }
        Command::SuggestWrapUp { note, .. } => note.as_ref().map(super::ids::Note::as_str),
        Command::StartConsult { .. }
        | Command::AcceptConsult { .. }
        | Command::DeclineConsult { .. }
        | Command::ConsultUnanswered
        | Command::EndConsult { .. }
        | Command::StartConference { .. }
        | Command::Hold { .. }
        | Command::Resume { .. }
        | Command::TransferCall { .. }
        | Command::ExitConference { .. }
        | Command::EndCall { .. }
        | Command::PressEnd { .. }
        | Command::HangUp { .. }
        | Command::LoseConnection { .. }
        | Command::ApplyWrapUp { .. }
        | Command::StartMonitoring { .. }
        | Command::BargeIn { .. }
        | Command::StopMonitoring { .. } => None,
    }
}

/// The bytes a hash covers: a tag, then fields, each preceded by its length in four bytes, so that no two lists of
/// fields give the same bytes. An optional field begins with 0 or 1.
pub(crate) struct HashInput(Vec<u8>);

impl HashInput {
    pub(crate) fn new(tag: &str) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(tag.as_bytes());
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, field: &[u8]) {
        self.length(field.len());
        self.0.extend_from_slice(field);
    }

    pub(crate) fn text(&mut self, field: &str) {
        self.bytes(field.as_bytes());
    }

    pub(crate) fn integer(&mut self, field: u64) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn optional(&mut self, field: Option<&[u8]>) {
        match field {
            Some(field) => {
                self.length(field.len() + 1);
                self.0.push(1);
                self.0.extend_from_slice(field);
            }
            None => self.bytes(&[0]),
        }
    }

    pub(crate) fn optional_integer(&mut self, field: Option<u64>) {
        self.optional(field.map(u64::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a field is far shorter than 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
    }
}

macro_rules! shown_as_hex {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
shown_as_hex!(Hash, Digest);

impl Hash {
    /// The hash of 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(hash))
    }
}
