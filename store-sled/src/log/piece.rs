//! Reading a log that may be damaged, piece by piece.

use super::error::LogError;
use super::segments::Log;
use crate::block::Groups;
use crate::block::frame::{HEADER_BYTES, Header, MAGIC};

/// What stands at an address of the log.
pub(crate) enum Piece {
    /// A frame whose block holds what was written.
    Whole { header: Header, block: Vec<u8> },
    /// Anything else, up to where the next frame begins.
    Damaged {
        /// The frame's header, if that is whole.
        header: Option<Header>,
        block: Vec<u8>,
        /// Where to read on.
        end: u64,
    },
}

impl Log {
    /// What stands at that address, where a frame should begin. A piece never reaches into the next file.
    pub(crate) fn piece(&self, address: u64, until: u64) -> Result<Piece, LogError> {
        let until = self.file_end(address).map_or(until, |end| end.min(until));
        let start = self.bytes(address, (address + HEADER_BYTES as u64).min(until))?;
        match Header::read(&start) {
            Some(header) => self.framed(address, header, until),
            None => self.without_header(address, until),
        }
    }

    fn framed(&self, address: u64, header: Header, until: u64) -> Result<Piece, LogError> {
        let end = address + header.frame_bytes() as u64;
        let block = self.bytes(address + HEADER_BYTES as u64, end.min(until))?;
        if block.len() != header.length() {
            return self.without_header(address, until);
        }
        if holds_its_events(&header, &block) {
            return Ok(Piece::Whole { header, block });
        }
        let header = Some(header);
        Ok(Piece::Damaged { header, block, end })
    }

    fn without_header(&self, address: u64, until: u64) -> Result<Piece, LogError> {
        let whole = self.find(address + 1, until)?;
        let end = whole.map_or(until, |(next, _)| next);
        let mut block = self.bytes(address + HEADER_BYTES as u64, end)?;
        // The frame after it may be damaged, too, but for its header.
        let next = first_header(&block);
        let end = next.map_or(end, |at| address + (HEADER_BYTES + at) as u64);
        block.truncate(next.unwrap_or(block.len()));
        let header = None;
        Ok(Piece::Damaged { header, block, end })
    }

    /// The address where the file with that address ends, unless it is the one that grows.
    fn file_end(&self, address: u64) -> Option<u64> {
        self.segment_at(address).and_then(|(_, end)| end)
    }
}

fn holds_its_events(header: &Header, block: &[u8]) -> bool {
    let events = Groups::new(header.first, block).and_then(Groups::events);
    events.is_ok_and(|events| events.len() == header.events as usize)
}

/// Where the first whole header begins.
fn first_header(bytes: &[u8]) -> Option<usize> {
    let mut starts = bytes.windows(MAGIC.len()).enumerate();
    starts
        .find(|(at, start)| *start == MAGIC && Header::read(&bytes[*at..]).is_some())
        .map(|(at, _)| at)
}
