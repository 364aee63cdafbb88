//! Finding a position in the log without an index: by halves, since a frame can be recognised wherever one begins to
//! read.

use super::error::LogError;
use super::segments::Log;
use crate::block::frame::{HEADER_BYTES, Header, MAGIC};
use crate::block::{Groups, MAX_BLOCK_BYTES};
use crate::locks;

/// Within so many bytes frames are followed one by one.
const NEAR: u64 = 128 * 1024;

impl Log {
    /// Remembers that a frame with that first position begins there.
    pub(crate) fn remember(&self, first: u64, address: u64) {
        locks::lock(&self.hints).remember(first, address);
    }

    /// The first position and the address of the frame that holds the position, which is before the end of the log; or
    /// of the first damaged frame that is met on the way there.
    pub(crate) fn locate(&self, position: u64, until: u64) -> Result<(u64, u64), LogError> {
        let hint = locks::lock(&self.hints).near(position);
        let (mut first, mut address) = match hint {
            Some(hint) => hint,
            None => self.halve(position, until)?,
        };
        let mut frames = self.frames(address, until).at_once(64 * 1024);
        loop {
            address = frames.address();
            let frame = match frames.next(first) {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(LogError::Damage(_)) => return Ok((first, address)),
                Err(error) => return Err(error),
            };
            if frame.header.next() > position {
                return Ok((first, address));
            }
            first = frame.header.next();
        }
    }

    /// A frame not far before the one that holds the position.
    fn halve(&self, position: u64, until: u64) -> Result<(u64, u64), LogError> {
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.first <= position);
        let Some(segment) = behind.checked_sub(1).and_then(|at| segments.get(at)) else {
            return Err(self.before_the_first(position));
        };
        let end = segments.get(behind).map_or(until, |next| next.start);
        let mut low = (segment.first, segment.start);
        let mut high = end;
        while high.saturating_sub(low.1) > NEAR {
            let middle = low.1 + (high - low.1) / 2;
            // Frames have their positions, and positions ascend with addresses. Where nothing whole is found up to `high`, the
            // search goes on before the middle, and ends at a whole frame before the damage.
            match self.find(middle, high)? {
                Some((address, header)) if header.first <= position => {
                    low = (header.first, address);
                }
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The first whole frame at or behind that address, whose block holds what was written.
    pub(crate) fn find(&self, from: u64, until: u64) -> Result<Option<(u64, Header)>, LogError> {
        let mut from = from;
        while from < until {
            let Some((segment, end)) = self.segment_at(from) else {
                return Ok(None);
            };
            let end = end.unwrap_or(until).min(until);
            // A frame may begin at the chunk's last byte.
            let mut chunk = vec![0; 4 * (MAX_BLOCK_BYTES + HEADER_BYTES)];
            let bytes =
                usize::try_from(end - from).map_or(chunk.len(), |left| left.min(chunk.len()));
            let read = segment.read_at(from, &mut chunk[..bytes])?;
            let chunk = &chunk[..read];
            if let Some((at, header)) = first_frame(chunk) {
                return Ok(Some((from + at as u64, header)));
            }
            // A frame may begin in this chunk and end in the next, so chunks overlap by more than one frame.
            let passed = read.saturating_sub(2 * MAX_BLOCK_BYTES).max(1) as u64;
            from = if from + read as u64 >= end {
                end.max(from + 1)
            } else {
                from + passed
            };
        }
        Ok(None)
    }
}

fn first_frame(chunk: &[u8]) -> Option<(usize, Header)> {
    let starts = chunk.windows(MAGIC.len()).enumerate();
    let mut starts = starts.filter(|(_, bytes)| *bytes == MAGIC);
    starts.find_map(|(at, _)| {
        let header = Header::read(&chunk[at..])?;
        let block = chunk.get(at + HEADER_BYTES..at + header.frame_bytes())?;
        let whole = Groups::new(header.first, block).is_ok();
        whole.then_some((at, header))
    })
}
