//! Read models: folds over the events of all calls. They know no store, read no clock and do no I/O; the program
//! that keeps them beside a store hands events in and writes checkpoints out.
//!
//! Read top-down: what a read model is ([`Projection`], [`ReadModel`]) and how it is kept ([`Checkpointed`]); then the
//! four, [`ActiveCalls`], [`WrapUpQueue`], [`HandleTimes`] and [`Monitoring`], and [`AllFour`] at once; then
//! [`CallList`], which is folded anew for each question. Every rule they show is asked of `domain`.

mod active_calls;
mod all_four;
mod call_list;
mod checkpoint;
mod handle_times;
mod listing;
mod monitoring;
mod read_model;
mod sketch;
mod wrap_up_queue;

pub use active_calls::{ActiveCall, ActiveCalls};
pub use all_four::AllFour;
pub use call_list::{CallFilter, CallList, ListedCall};
pub use checkpoint::{CheckpointError, Checkpointed};
pub use handle_times::{
    AgentTimes, Behind, By, CallTimes, Explained, ExplainedRow, HandleTimes, Key, TimesFilter,
    UnknownName, Window, WindowRow,
};
pub use listing::{Listing, Row};
pub use monitoring::{MonitoredCall, MonitoredSession, Monitoring};
pub use read_model::{Projection, ReadModel, SetAside};
pub use sketch::Sketch;
pub use wrap_up_queue::{OwedWrapUp, SuggestedReason, WrapUpQueue};
