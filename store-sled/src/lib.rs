//! The embedded store: one folder, nothing to install.
//!
//! Every event is in the log (`log`), files of our own that are only appended to. What follows from it is in an index:
//! the calls that go on in memory (`live`), those that are completed in sled (`rows`), each with its events together.
//!
//! Events are acknowledged once they are on the disk. Nothing that is not is ever shown.
//!
//! The files stand in layers. Each names only what is in its own line further left, or in a line below it:
//!
//! ```text
//! the store        store, archive
//! its threads      indexer, jobs, round, commit, resume, queue        beside it: check, repair
//! reading          shared, gap, read
//! opening          replay, reach, tail, upgrade, open
//! the index        mark, history, calls, rows, live, index, index_copy
//! the folder       notes, log, new_log, folder
//! blocks, frames   block, layout
//! bytes and files  bytes, at, files, presence, damage, error, guard, counts, threads, locks, options
//! ```

pub mod archive;
mod at;
mod block;
mod bytes;
mod calls;
pub mod check;
mod commit;
mod counts;
mod damage;
mod error;
mod files;
mod folder;
mod gap;
mod guard;
mod history;
mod index;
mod index_copy;
mod indexer;
mod jobs;
pub mod layout;
mod live;
mod locks;
mod log;
mod mark;
mod new_log;
mod notes;
mod open;
mod options;
mod presence;
mod queue;
mod reach;
mod read;
pub mod repair;
mod replay;
mod resume;
mod round;
mod rows;
mod shared;
mod store;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod upgrade;

pub use error::OpenError;
pub use options::Options;
pub use store::{SledStore, Stats};
