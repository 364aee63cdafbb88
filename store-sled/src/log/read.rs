//! Reading frame after frame.

use super::error::LogError;
use super::segment::Segment;
use super::segments::{End, Log};
use crate::block::frame::{HEADER_BYTES, Header};
use crate::block::{Group, Groups, LONGEST_BLOCK};
use crate::damage::Damage;
use std::sync::Arc;

/// How much is read from the disk at once.
const CHUNK: usize = 256 * 1024;

/// A header that tells of a longer one is damaged.
const LONGEST_FRAME: usize = HEADER_BYTES + LONGEST_BLOCK;

/// Frames of the log, one after the other.
pub(crate) struct Frames<'a> {
    log: &'a Log,
    segment: Option<(Arc<Segment>, u64)>,
    /// Bytes of the segment, and the address of the first of them.
    buffer: Vec<u8>,
    buffered_from: u64,
    chunk: usize,
    address: u64,
    until: u64,
}

impl Log {
    /// Frames from that address on, which must be where one begins, up to another.
    pub(crate) fn frames(&self, from: u64, until: u64) -> Frames<'_> {
        Frames::new(self, from, until)
    }

    /// Hands every group after `from` to `take`, up to an address.
    pub(crate) fn each_group<E: From<LogError>>(
        &self,
        from: End,
        until: u64,
        mut take: impl FnMut(Group<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut frames = self.frames(from.address, until);
        let mut next = from.position + 1;
        while let Some(read) = frames.next(next)? {
            let mut groups = Groups::new(next, read.block).map_err(LogError::from)?;
            while let Some(group) = groups.next().map_err(LogError::from)? {
                take(group)?;
            }
            next = read.header.next();
        }
        Ok(())
    }

    /// The bytes between two addresses of one segment, as far as they are there.
    pub(crate) fn bytes(&self, from: u64, until: u64) -> Result<Vec<u8>, LogError> {
        let Some((segment, end)) = self.segment_at(from) else {
            return Ok(Vec::new());
        };
        let until = end.map_or(until, |end| end.min(until));
        let length = usize::try_from(until.saturating_sub(from)).unwrap_or(0);
        let mut bytes = vec![0; length];
        let read = segment.read_at(from, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// A frame where it was read.
#[derive(Clone, Copy)]
pub(crate) struct Framed<'b> {
    pub(crate) header: Header,
    pub(crate) block: &'b [u8],
}

impl<'a> Frames<'a> {
    fn new(log: &'a Log, from: u64, until: u64) -> Self {
        Self {
            log,
            segment: None,
            buffer: Vec::new(),
            buffered_from: 0,
            chunk: CHUNK,
            address: from,
            until,
        }
    }

    /// Reads about so much at once, where little is needed.
    pub(crate) fn at_once(mut self, bytes: usize) -> Self {
        self.chunk = bytes.clamp(LONGEST_FRAME, CHUNK);
        self
    }

    /// Where the next frame begins.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// The next frame, which has to begin with that position; nothing at the end.
    pub(crate) fn next(&mut self, position: u64) -> Result<Option<Framed<'_>>, LogError> {
        if self.address >= self.until {
            return Ok(None);
        }
        let damaged = |what: &str| LogError::from(Damage::new(what).at(position));
        let header = self.bytes(HEADER_BYTES)?.and_then(Header::read);
        let header = header.ok_or_else(|| damaged("the log is damaged"))?;
        if header.first != position {
            return Err(damaged("the events from there on are missing"));
        }
        let address = self.address;
        let bytes = header.frame_bytes();
        if bytes > LONGEST_FRAME || self.bytes(bytes)?.is_none() {
            return Err(damaged("the log is cut off"));
        }
        self.address += bytes as u64;
        let start = usize::try_from(address - self.buffered_from).expect("it is in the buffer");
        Ok(Some(Framed {
            header,
            block: &self.buffer[start + HEADER_BYTES..start + bytes],
        }))
    }

    /// So many bytes from the address on; nothing if there are fewer.
    fn bytes(&mut self, wanted: usize) -> Result<Option<&[u8]>, LogError> {
        if !self.holds(wanted) {
            self.fill()?;
        }
        if !self.holds(wanted) {
            return Ok(None);
        }
        let start = usize::try_from(self.address - self.buffered_from).expect("it is in there");
        Ok(Some(&self.buffer[start..start + wanted]))
    }

    fn holds(&self, wanted: usize) -> bool {
        let end = self.buffered_from + self.buffer.len() as u64;
        self.address >= self.buffered_from && self.address + wanted as u64 <= end
    }

    /// Fills the buffer from the address on, with bytes of one segment.
    fn fill(&mut self) -> Result<(), LogError> {
        let found = match self.segment.take() {
            Some((segment, end)) if (segment.start..end).contains(&self.address) => {
                Some((segment, end))
            }
            _ => self
                .log
                .segment_at(self.address)
                .map(|(segment, end)| (segment, end.unwrap_or(self.until))),
        };
        let Some((segment, end)) = found else {
            return Ok(());
        };
        let left = end.min(self.until).saturating_sub(self.address);
        let bytes = usize::try_from(left).map_or(self.chunk, |left| left.min(self.chunk));
        self.buffer.resize(bytes, 0);
        let read = segment.read_at(self.address, &mut self.buffer)?;
        self.buffer.truncate(read);
        self.buffered_from = self.address;
        self.segment = Some((segment, end));
        Ok(())
    }
}
