//! The JSON of `docs/spec/interface.md`, once: commands, events, answers and a call. Nothing of it is what the
//! hashes cover; `whole` keeps the covered bytes beside it, for dumps and for stores that keep text.

mod call;
mod command;
mod event;
mod fields;
mod hex;
mod plain;
mod whole;

pub use call::{CallJson, ConsultJson, SeatJson, SessionJson, WrapUpJson};
pub use command::{parse_command, parse_command_for, write_command};
pub use event::{DamagedJson, EventJson, parse_damaged};
pub use fields::InvalidCommand;
pub(crate) use fields::{Fields, given};
pub use hex::{NotHex, Sha256Text, hex};
pub use plain::plain;
pub use whole::{InvalidEvent, Parts, parse_line, parse_parts, write_line, write_parts};

use crate::ids::{AgentId, SupervisorId};
use crate::table::Value;
use serde::{Serialize, Serializer};
use std::fmt::Display;

/// A value that JSON has as the text it is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An agent as `agent:ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentText<'a>(pub &'a AgentId);

impl Serialize for AgentText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("agent:{}", self.0))
    }
}

/// A supervisor as `supervisor:ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorText<'a>(pub &'a SupervisorId);

impl Serialize for SupervisorText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("supervisor:{}", self.0))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Value::Actor(actor) => serializer.collect_str(actor),
            Value::Party(party) => serializer.collect_str(party),
            Value::Target(target) => serializer.collect_str(target),
            Value::Agent(agent) => AgentText(agent).serialize(serializer),
            Value::Supervisor(supervisor) => SupervisorText(supervisor).serialize(serializer),
            Value::Text(text) | Value::Personal(text) => serializer.serialize_str(text),
            Value::Choice(name, _) => serializer.serialize_str(name),
            Value::Erased => serializer.serialize_none(),
        }
    }
}
