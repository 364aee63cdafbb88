//! How events lie in the log: blocks of at most 16 KiB, one or more for each commit, each in a frame.
//!
//! A block is its layout's version (1 byte), a checksum (4), then groups. A group is what one command brought about:
//! what its events share stands once, then event after event. Ids, indexes and previous hashes follow from that and are
//! not stored. This layout is frozen: a new one gets a version of its own, and this one stays readable.

mod format;
pub(crate) mod frame;
mod read;
mod write;

pub(crate) use format::{LONGEST_BLOCK, MAX_BLOCK_BYTES, MAX_EVENT_BYTES};
pub(crate) use read::{Fragments, Group, Groups, intact_events, read_part};
pub(crate) use write::{Blocks, GroupBytes, Sealed, longest, write_part};
