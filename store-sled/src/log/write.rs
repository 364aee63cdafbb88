//! Writing at the end of the log. One thread does.

use super::segment::{Segment, SegmentHeader};
use super::segments::Log;
use crate::at;
use domain::StoreId;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The unit in which the end of the log is written again after a failure: no system has larger pages.
const WRITTEN_AGAIN: u64 = 64 * 1024;

/// The end of the log.
pub(crate) struct Writer {
    log: Arc<Log>,
    folder: PathBuf,
    store: StoreId,
    segment: Arc<Segment>,
    file: File,
    /// Where the next frame goes.
    address: u64,
    /// A segment that is longer is followed by another.
    segment_bytes: u64,
}

impl Writer {
    /// Goes on at that address of the last segment, behind the last whole commit.
    pub(crate) fn new(
        log: Arc<Log>,
        file: File,
        folder: PathBuf,
        store: StoreId,
        address: u64,
        segment_bytes: u64,
    ) -> Self {
        let segment = log.last();
        Self {
            log,
            folder,
            store,
            segment,
            file,
            address,
            segment_bytes,
        }
    }

    /// Where the next frame goes.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Whether the next commit goes to another file.
    pub(crate) fn is_file_full(&self) -> bool {
        self.address - self.segment.start >= self.segment_bytes
    }

    /// Writes a commit and makes the disk keep it. Answers how long the disk took for the latter.
    pub(crate) fn append(&mut self, first: u64, frames: &[u8]) -> io::Result<Duration> {
        if self.is_file_full() {
            self.begin_segment(first)?;
        }
        // At the address, not at the end of the file: after a failure there may be a part of a commit beyond it.
        at::write_all(&self.file, frames, self.segment.offset(self.address))?;
        let begun = Instant::now();
        // This makes the length of the file durable, too, because the frames could not be read without it.
        self.file.sync_data()?;
        // Only now: after a failed write or sync the address is still the end of the last durable commit.
        self.address += frames.len() as u64;
        Ok(begun.elapsed())
    }

    /// Verifies that the open file is still where it was.
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.segment.verify()
    }

    /// Cuts off what is after that address, and makes the disk keep what is before it. After a failed sync the system may
    /// take pages for written that the disk never got. Only the last ones can hold events that were synced before, so
    /// those are written again.
    pub(crate) fn cut_back(&mut self, address: u64) -> io::Result<()> {
        let file = self.segment.to_write()?;
        let end = self.segment.offset(address);
        if file.metadata()?.len() < end {
            // Longer, it would have zeros in the place of events.
            return Err(io::Error::other(
                "the log is shorter than what was acknowledged",
            ));
        }
        file.set_len(end)?;
        // By whole pages: the first of them ends in acknowledged events, and the failed commit began in it.
        let from = end.saturating_sub(1) / WRITTEN_AGAIN * WRITTEN_AGAIN;
        let mut bytes = vec![0; usize::try_from(end - from).unwrap_or(0)];
        if at::read_full(&self.segment.file, &mut bytes, from)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at::write_all(&file, &bytes, from)?;
        file.sync_all()?;
        // The old handle may still have an error to report, of pages that were just written again.
        self.file = file;
        self.address = address;
        Ok(())
    }

    /// What is written from now on goes to a file of its own.
    pub(crate) fn begin_segment(&mut self, first: u64) -> io::Result<()> {
        // An empty file can be written to as it is, and two of them would have one name.
        if self.address == self.segment.start {
            return Ok(());
        }
        let header = SegmentHeader {
            store: self.store,
            first,
            start: self.address,
        };
        // All before it is durable, because each commit is. So the last file's first position is one that must be
        // there, and opening counts on it.
        let segment = Segment::create(&self.folder, &header)?;
        self.file = segment.to_write()?;
        self.segment = Arc::new(segment);
        self.log.push(Arc::clone(&self.segment));
        Ok(())
    }
}
