//! What reading and writing a block share: how long things are, the flags of a group, and the checksum.

use crate::bytes::checksum_of;

/// The version of the layout, the first byte of every block.
pub(super) const LAYOUT: u8 = 1;

/// What precedes the groups: layout and checksum.
pub(super) const HEADER_BYTES: usize = 5;

/// Short enough to be read for a single call, long enough for one read of the disk.
pub(crate) const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// No longer block is ever written.
pub(crate) const LONGEST_BLOCK: usize = MAX_BLOCK_BYTES + 16 * 1024;

/// The longest event the domain makes takes half of this, so nothing it makes is refused.
pub(crate) const MAX_EVENT_BYTES: usize = 12 * 1024;

pub(super) const REPORTED: u8 = 1;
pub(super) const CORRELATED: u8 = 2;
pub(super) const LATER_PART: u8 = 4;
pub(super) const RESERVED: u8 = 8;
pub(super) const ACTOR_SHIFT: u8 = 4;

pub(super) const PERSONAL: u8 = 0x80;

/// Room for the group's length and its number of events, which are known once it is written.
pub(super) const GROUP_COUNTS: usize = 4;

/// Covers the position, too, so that a block under another's key is found.
pub(super) fn checksum(first: u64, groups: &[u8]) -> u32 {
    checksum_of(&first.to_be_bytes(), groups)
}
