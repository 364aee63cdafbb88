//! What surrounds a block in the log. From a frame alone it can be told where it begins and ends, which positions it
//! holds, and whether its commit is there whole; so damage is passed over, and a torn write is told from damage.
//!
//! A frame is its header, 32 bytes, and the block: magic (4), the block's length (4), the first event's position (8),
//! how many events (4), how many of the same commit stand in frames before (4) and behind (4), and a CRC-32 of all this
//! (4). Integers are big-endian. Frozen: a new layout gets another magic.

/// Not UTF-8, so no text that is stored can look like it.
pub(crate) const MAGIC: [u8; 4] = [0xfb, b'k', 0xfb, 1];

/// How long a header is.
pub(crate) const HEADER_BYTES: usize = 32;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Of the block, in bytes.
    pub(crate) length: u32,
    /// The position of the first event.
    pub(crate) first: u64,
    pub(crate) events: u32,
    /// Events of the same commit in the frames before.
    pub(crate) before: u32,
    /// Events of the same commit in the frames behind.
    pub(crate) behind: u32,
}

impl Header {
    /// The block's length.
    pub(crate) fn length(&self) -> usize {
        self.length as usize
    }

    /// The length of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.length()
    }

    /// The position of the commit's first event.
    pub(crate) fn commit(&self) -> u64 {
        self.first.saturating_sub(self.before.into())
    }

    /// The position behind the frame.
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(self.events.into())
    }

    pub(crate) fn write(&self, into: &mut [u8]) {
        into[..4].copy_from_slice(&MAGIC);
        into[4..8].copy_from_slice(&self.length.to_be_bytes());
        into[8..16].copy_from_slice(&self.first.to_be_bytes());
        into[16..20].copy_from_slice(&self.events.to_be_bytes());
        into[20..24].copy_from_slice(&self.before.to_be_bytes());
        into[24..28].copy_from_slice(&self.behind.to_be_bytes());
        let checksum = crc32fast::hash(&into[..28]);
        into[28..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The header at the beginning of the bytes, if there is one and it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let number = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if header[..4] != MAGIC || number(28) != crc32fast::hash(&header[..28]) {
            return None;
        }
        Some(Self {
            length: number(4),
            first: u64::from(number(8)) << 32 | u64::from(number(12)),
            events: number(16),
            before: number(20),
            behind: number(24),
        })
    }
}
