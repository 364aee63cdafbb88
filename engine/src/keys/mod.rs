//! API keys: roles, the keys themselves, the file they are kept in, and the set in force.

mod file;
mod key;
mod role;
mod watched;

pub use file::{KeyFile, KeyFileError, parse_agent, parse_supervisor};
pub use key::{BadKey, Key, KeyRow, Standing, Wanted};
pub use role::{Grant, Role, is_monitoring};
pub use watched::Keys;
