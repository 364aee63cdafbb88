//! The keys of the one tree. A commit is atomic within one tree only, so everything is in it, told apart by the first
//! byte: `c` rows of the index, by call, `e` a block of events, `mark` how far the index reaches, `meta` what it is.

use std::ops::Range;

/// What the store is.
pub(crate) const META: &[u8] = b"meta";
/// The position up to which the index is in the tree.
pub(crate) const MARK: &[u8] = b"mark";

const BLOCK: u8 = b'e';
const ROWS: u8 = b'c';

/// The block that begins at that position.
pub(crate) fn block(first: u64) -> [u8; 9] {
    numbered(BLOCK, first)
}

/// The position at which that block begins.
pub(crate) fn first_of_block(key: &[u8]) -> Option<u64> {
    number(BLOCK, key)
}

/// All blocks.
pub(crate) fn blocks() -> Range<[u8; 1]> {
    [BLOCK]..[BLOCK + 1]
}

/// All rows of the index.
pub(crate) fn rows() -> Range<[u8; 1]> {
    [ROWS]..[ROWS + 1]
}

/// Some rows of the index, numbered as they were written, from 1.
pub(crate) fn some_rows(number: u64) -> [u8; 9] {
    numbered(ROWS, number)
}

/// The number under which rows were written.
pub(crate) fn number_of_rows(key: &[u8]) -> Option<u64> {
    number(ROWS, key)
}

fn numbered(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn number(kind: u8, key: &[u8]) -> Option<u64> {
    let (first, number) = key.split_first()?;
    let number = number.try_into().ok().map(u64::from_be_bytes);
    number.filter(|_| *first == kind)
}
