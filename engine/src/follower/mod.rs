//! One reader of a store, and any number of subscribers to it.
//!
//! A [`Reader`] reads each event once, counts it, rolls the hash, notices the end of the store, its failures and that it
//! was restored, and keeps the last events in memory (the [`Tail`]). A [`Subscription`] takes batches from there. One that
//! begins elsewhere, or falls behind, reads pages of the store by itself until it meets the tail. Both read with the same
//! cursor, which accepts a page only as the continuation of what was read before.

mod counted;
mod cursor;
mod marks;
mod proof_file;
mod reader;
mod span;
mod subscription;
mod tail;

pub use counted::Counted;
pub use reader::Reader;
pub use span::Span;
pub use subscription::{Batch, Run, Step, Subscription};
pub use tail::{Known, Place, State, Tail};
