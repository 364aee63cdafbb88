//! The rules of a conference call: pure functions from a command and a history to events, and the forms in which both are
//! written.
//!
//! Read top-down: who and what ([`ids`], [`command`], [`event`], [`rejection`]), a call and its rules ([`call`],
//! [`decide`](decide()), [`evolve`](evolve())), how events are finished and kept ([`envelope`], [`stored`]), and how the
//! interface writes them ([`json`]).

pub mod call;
pub mod command;
mod decide;
pub mod entry;
pub mod envelope;
pub mod event;
mod evolve;
mod hashing;
pub mod ids;
pub mod json;
mod personal;
pub mod rejection;
pub mod stored;
pub mod table;
mod time;
mod time_span;

pub use call::Call;
pub use command::{Command, Request};
pub use decide::{barge_in_allowed, clamped, decide, monitoring_allowed, suggestion_recipients};
pub use entry::{DamagedEvent, Entry};
pub use envelope::{Batch, Cause, Head, RecordedEvent, StoredEvent};
pub use event::Event;
pub use evolve::{evolve, evolve_in_place};
pub use ids::*;
pub use rejection::{Rejection, RejectionCode, Rule};
pub use time::{InvalidTime, Timestamp};
pub use time_span::{InvalidTimeSpan, TimeSpan};
