//! Keeping copies of a store, whatever its kind: all of it goes through the port, while commands go on.
//!
//! Read top-down: what proves that two stores hold the same calls ([`heads`]), what is damaged in one
//! ([`survey`](mod@survey), [`damage`]), one store into another
//! ([`copy`](mod@copy)), the text anybody can read ([`dump`](mod@dump), [`line`](mod@line)), a folder that grows by what
//! is new ([`backup`](mod@backup)), and the way back ([`restore`]).

pub mod backup;
mod backup_fault;
mod commands;
pub mod copy;
pub mod damage;
pub mod dump;
mod error;
pub mod heads;
pub mod line;
mod progress;
pub mod restore;
pub mod survey;
mod window;

pub use backup::{Backed, Manifest, backup};
pub use backup_fault::{BackupFault, MANIFEST};
pub use copy::{Copied, copy, copy_whole_calls};
pub use damage::{DamagedCalls, Fault};
pub use domain::json::Sha256Text;
pub use dump::dump;
pub use error::CopyError;
pub use heads::StoreDigest;
pub use progress::{Progress, Report, Work};
pub use restore::{Source, Verified};
pub use survey::{Survey, digest, prefix, survey};
