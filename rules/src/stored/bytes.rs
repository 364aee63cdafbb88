//! Reading and writing the bytes of payloads.

use crate::ids::InvalidText;
use serde::{Deserialize, Serialize};

/// Longer than the longest payload there can be, so that encoding needs no growing buffer.
pub(super) const LONGEST: usize = 1024;

/// The bytes are no such struct, or hold a text that never was valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl From<postcard::Error> for Damaged {
    fn from(_: postcard::Error) -> Self {
        Damaged
    }
}

impl From<InvalidText> for Damaged {
    fn from(_: InvalidText) -> Self {
        Damaged
    }
}

/// Reads exactly one value: bytes behind it are damage, too.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Damaged> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, _) => Err(Damaged),
    }
}

pub(super) fn write<'b, T: Serialize>(value: &T, buffer: &'b mut [u8]) -> &'b [u8] {
    postcard::to_slice(value, buffer).expect("the longest payload fits the buffer")
}
