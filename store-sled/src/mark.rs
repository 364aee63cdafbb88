//! The index's mark, the one row of sled that is of no call.

use crate::bytes::Cursor;
use crate::log::End;
use domain::Head;
use domain::envelope::Hash;

/// The version of its layout, the first byte.
const LAYOUT: u8 = 1;

/// How far the rows reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The last position they know.
    pub(crate) position: u64,
    /// Where the log goes on behind it.
    pub(crate) address: u64,
    /// How many calls there are up to it.
    pub(crate) calls: u64,
    /// The digest of all events up to it.
    pub(crate) digest: Hash,
}

impl Mark {
    /// Where the log goes on after it.
    pub(crate) fn end(&self) -> End {
        End {
            position: self.position,
            address: self.address,
        }
    }

    /// Of an index that knows nothing yet.
    pub(crate) fn at_start() -> Self {
        Self {
            position: 0,
            address: 0,
            calls: 0,
            digest: Head::NONE.hash,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT];
        for number in [self.position, self.address, self.calls] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.digest.0);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    /// The mark, if its checksum holds.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (covered, checksum) = bytes.split_last_chunk()?;
        let holds = u32::from_be_bytes(*checksum) == crc32fast::hash(covered);
        let mut left = Cursor::new(covered.strip_prefix(&[LAYOUT]).filter(|_| holds)?);
        let mut number = || left.array().map(u64::from_be_bytes);
        let (position, address, calls) = (number()?, number()?, number()?);
        let digest = Hash(left.array()?);
        left.is_empty().then_some(Self {
            position,
            address,
            calls,
            digest,
        })
    }
}
