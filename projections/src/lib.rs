//! Read models: folds over the events of all calls. They know no store, read no clock and do no I/O; the program
//! that keeps them beside a store hands events in and writes checkpoints out.
//!
//! Read top-down: what a read model is ([`Projection`], [`ReadModel`]), how it is kept ([`Checkpointed`]) and how the
//! interface shows it ([`Description`]); then the list of them ([`AllFour`], [`descriptions`]), and each in its file;
//! then [`CallList`], which is folded anew for each question. Every rule they show is asked of `domain`.

mod active_calls;
mod call_list;
mod checkpoint;
mod description;
mod filter;
mod handle_times;
mod listing;
mod live;
mod monitoring;
mod read_model;
mod registry;
mod row;
mod shape;
mod sketch;
pub mod table;
mod wrap_up_queue;

pub use active_calls::{ActiveCall, ActiveCalls};
pub use call_list::{CallFilter, CallList, ListedCall};
pub use checkpoint::{CheckpointError, Checkpointed};
pub use description::{
    Description, Operation, Parameter, RowKind, ShowCommand, ShowOption, Values,
};
pub use filter::Filter;
pub use handle_times::{
    AgentTimes, Behind, By, CallTimes, Explained, ExplainedRow, HandleTimes, Key, TimesFilter,
    UnknownName, Window, WindowRow,
};
pub use listing::Listing;
pub use live::{KeptCall, LiveModel};
pub use monitoring::{MonitoredCall, MonitoredSession, Monitoring};
pub use read_model::{Holds, Projection, ReadModel, SetAside};
pub use registry::{AllFour, Visitor, descriptions, visit};
pub use row::{Cell, Facets, Followed, Place, Row, RowKey};
pub use shape::{Shape, Shaped, Type};
pub use sketch::Sketch;
pub use wrap_up_queue::{OwedWrapUp, SuggestedReason, WrapUpQueue};
