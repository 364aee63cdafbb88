//! The bytes that are kept for ever. Each version of a payload has its own plain structs, which never change;
//! today's events are read from any of them.

mod bytes;
mod digest;
mod v0;
mod v1;

pub use crate::personal::Commitment;
pub use digest::digest;

use crate::event::{Event, EventType};
use crate::personal::PersonalPart;
use bytes::{Damaged, LONGEST};

/// The version new payloads are written in.
pub const VERSION: u64 = 1;

/// A payload as it was written: hashed as it stands, never upcast first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What it is.
    pub event_type: EventType,
    /// The version of the struct it was written in.
    pub version: u64,
    /// Its postcard encoding, personal texts replaced by their commitments.
    pub bytes: Box<[u8]>,
}

/// Bytes that are no payload of their type and version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No module here reads that version: a newer program wrote it.
    #[error(
        "{event_type} in version {version} is unknown to this program; a newer one must read it"
    )]
    UnknownVersion {
        /// The event's type.
        event_type: &'static str,
        /// The version it was written in.
        version: u64,
    },
    /// The bytes do not fit the struct.
    #[error("the bytes of {event_type} in version {version} are damaged")]
    Damaged {
        /// The event's type.
        event_type: &'static str,
        /// The version it was written in.
        version: u64,
    },
}

/// Writes an event in today's version.
pub fn encode(event: &Event, personal: Option<&PersonalPart>) -> Payload {
    let mut buffer = [0; LONGEST];
    let bytes = v1::encode(event, personal, &mut buffer);
    Payload {
        event_type: event.event_type(),
        version: VERSION,
        bytes: bytes.into(),
    }
}

/// Reads an event from the version it was written in; older versions are upcast here and nowhere else.
pub fn decode(payload: &Payload, personal: Option<&PersonalPart>) -> Result<Event, DecodeError> {
    let event_type = payload.event_type.name();
    let version = payload.version;
    let event = match (version, payload.event_type) {
        (1, event_type) => v1::decode(event_type, &payload.bytes, personal),
        (0, EventType::ConsultRequested) => v0::consult_requested(&payload.bytes),
        _ => {
            return Err(DecodeError::UnknownVersion {
                event_type,
                version,
            });
        }
    };
    event.map_err(|Damaged| DecodeError::Damaged {
        event_type,
        version,
    })
}

/// What stands in the payload for a personal text, if it has one.
pub fn commitment(payload: &Payload) -> Option<Commitment> {
    match payload.version {
        1 => v1::commitment(payload.event_type, &payload.bytes),
        _ => None,
    }
}
