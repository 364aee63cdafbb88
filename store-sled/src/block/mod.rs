//! How events lie in the log: blocks of at most 16 KiB, one or more for each commit, each in a frame.
//!
//! A block is its layout's version (1 byte), a checksum (4), then groups. A group is what one command brought about:
//! what its events share stands once, then event after event. Ids, indexes and previous hashes follow from that and are
//! not stored. This layout is frozen: a new one gets a version of its own, and this one stays readable.

mod read;
mod write;

pub(crate) use read::{Fragments, Group, Groups, intact_events, read_part};
pub(crate) use write::{Blocks, GroupBytes, Sealed, longest, write_part};

/// The version of the layout, the first byte of every block.
const LAYOUT: u8 = 1;

/// What precedes the groups: layout and checksum.
const HEADER_BYTES: usize = 5;

/// Short enough to be read for a single call, long enough for one read of the disk.
pub(crate) const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// The longest event the domain makes takes half of this, so nothing it makes is refused.
pub(crate) const MAX_EVENT_BYTES: usize = 12 * 1024;

const REPORTED: u8 = 1;
const CORRELATED: u8 = 2;
const LATER_PART: u8 = 4;
const RESERVED: u8 = 8;
const ACTOR_SHIFT: u8 = 4;

const PERSONAL: u8 = 0x80;

/// Room for the group's length and its number of events, which are known once it is written.
const GROUP_COUNTS: usize = 4;

/// Covers the position, too, so that a block under another's key is found.
fn checksum(first: u64, groups: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&first.to_be_bytes());
    hasher.update(groups);
    hasher.finalize()
}
