//! A log written from its beginning, for a store that is made of another.

use crate::block::Blocks;
use crate::log::{Log, Writer};
use crate::options::Options;
use domain::StoreId;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How many bytes of frames are written at once.
const COMMIT_BYTES: usize = 1024 * 1024;

pub(crate) struct NewLog {
    writer: Writer,
    blocks: Blocks,
    last: u64,
}

impl NewLog {
    /// Begins a log of that store in an empty folder.
    pub(crate) fn begin(folder: &Path, store: StoreId) -> io::Result<Self> {
        let log = Arc::new(Log::begin(folder, store)?);
        let file = log.last().to_write()?;
        let bytes = Options::default().log_file_bytes;
        Ok(Self {
            writer: Writer::new(log, file, folder.to_owned(), store, 0, bytes),
            blocks: Blocks::after(0),
            last: 0,
        })
    }

    /// The position the next event gets.
    pub(crate) fn next(&self) -> u64 {
        self.blocks.next()
    }

    /// Adds a group, and now and then writes what there is.
    pub(crate) fn push(&mut self, group: &[u8]) -> io::Result<()> {
        self.blocks.push(group);
        if self.blocks.bytes() > COMMIT_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Writes the rest durably; answers the last position.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        if self.blocks.bytes() > 0 {
            self.write()?;
        }
        Ok(self.last)
    }

    fn write(&mut self) -> io::Result<()> {
        let after = Blocks::after(self.next() - 1);
        let sealed = std::mem::replace(&mut self.blocks, after).finish();
        self.writer.append(self.last + 1, &sealed.bytes)?;
        self.last = sealed.last;
        Ok(())
    }
}
