//! The rules of a conference call: commands in, events out, and the port they are kept through.
//!
//! Read top-down: who and what ([`ids`], [`command`], [`event`], [`rejection`]), a call and its rules ([`call`],
//! [`decide`](decide()), [`evolve`](evolve())), how events are finished and kept ([`envelope`], [`stored`],
//! [`store`]), and the loop that does it ([`handle`]).

pub mod call;
pub mod command;
mod decide;
pub mod envelope;
pub mod event;
mod evolve;
pub mod follow;
pub mod handle;
pub mod ids;
pub mod json;
pub mod memory;
mod prefix;
pub mod rejection;
pub mod store;
pub mod stored;
mod time;
mod time_span;

pub use call::Call;
pub use command::{Command, Request};
pub use decide::{barge_in_allowed, clamped, decide, monitoring_allowed, suggestion_recipients};
pub use envelope::{Batch, Cause, Head, RecordedEvent, StoredEvent};
pub use event::Event;
pub use evolve::{evolve, evolve_in_place};
pub use follow::{Followed, Follower};
pub use handle::{Answer, HandleError, Handler};
pub use ids::*;
pub use memory::MemoryStore;
pub use prefix::{INTERVAL, Prefix, leads};
pub use rejection::{Rejection, RejectionCode, Rule};
pub use store::{
    AppendError, CommitFigures, DamagedEvent, Entry, EventStore, Pages, Spread, StoreError,
    StoreInfo, WriteHealth,
};
pub use time::{InvalidTime, Timestamp};
pub use time_span::{InvalidTimeSpan, TimeSpan};
