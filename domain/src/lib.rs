//! The rules of a conference call: commands in, events out, and the port they are kept through.
//!
//! Read top-down: who and what ([`ids`], [`command`], [`event`], [`rejection`]), a call and its rules ([`call`],
//! [`evolve`](evolve()), [`decide`](decide())), then how events are finished and kept.

pub mod call;
pub mod command;
mod decide;
pub mod event;
mod evolve;
pub mod ids;
pub mod rejection;
mod time;

pub use call::Call;
pub use command::{Command, Request};
pub use decide::{barge_in_allowed, clamped, decide, monitoring_allowed, suggestion_recipients};
pub use event::Event;
pub use evolve::evolve;
pub use ids::*;
pub use rejection::{Rejection, RejectionCode, Rule};
pub use time::{InvalidTime, Timestamp};
