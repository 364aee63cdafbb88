//! `handle-times`: how long calls and agents' parts in them took (R61), singly and by windows of time.
//!
//! A call's figures are kept beside it until it is completed, and then added to the 15 minutes in which it ended. What
//! has ended and is not completed is added when it is asked for, so that nothing that may still change is ever summed.

mod description;
mod ended;
mod explained;
mod parts;
mod rows;
mod shared;
mod snapshot;
mod summary;
mod tally;
mod times;
mod window;

pub use explained::{Behind, Explained, ExplainedRow};
pub use rows::{AgentTimes, CallTimes, WindowRow};
pub use times::HandleTimes;
pub use window::{By, Key, TimesFilter, UnknownName, Window};
