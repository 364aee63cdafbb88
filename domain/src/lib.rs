//! The domain: the rules of a conference call ([`rules`], re-exported here), the port that events are stored through
//! ([`store`]), the loop that handles a command ([`handle`]), and the reader of what was stored ([`follow`]).

mod backoff;
mod clock;
pub mod follow;
pub mod handle;
pub mod json;
pub mod memory;
mod prefix;
pub mod store;

pub use backoff::Backoff;
pub use clock::now;
pub use follow::{Followed, Follower};
pub use handle::{Answer, HandleError, Handler};
pub use memory::MemoryStore;
pub use prefix::{INTERVAL, Prefix, leads};
pub use rules::ids::*;
pub use rules::{
    Batch, Call, Cause, Command, DamagedEvent, Entry, Event, Head, InvalidTime, InvalidTimeSpan,
    RecordedEvent, Rejection, RejectionCode, Request, Rule, StoredEvent, TimeSpan, Timestamp,
    barge_in_allowed, clamped, decide, evolve, evolve_in_place, monitoring_allowed,
    suggestion_recipients,
};
pub use rules::{call, command, entry, envelope, event, ids, rejection, stored, table};
pub use store::{
    AppendError, CommitFigures, EventStore, Pages, Spread, StoreError, StoreInfo, WriteHealth,
};
