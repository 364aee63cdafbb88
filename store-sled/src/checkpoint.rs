//! Bringing the index into the tree: every so many events, spread over the commits that follow, because a burst would
//! hold up whoever writes then.

use crate::index::{Index, Rows};
use crate::keys;
use crate::open::Recovered;
use domain::CallId;

/// Which rows of the index are due.
pub(crate) struct Checkpoint {
    every: u64,
    /// Counts checkpoints; a call is noted as changed once for each.
    number: u64,
    /// Where the last one began.
    began: u64,
    /// Calls that changed since.
    changed: Vec<CallId>,
    /// Calls whose rows are still to be written; how many there were; the position they are good for.
    due: Vec<CallId>,
    due_at_first: usize,
    reaches: u64,
    /// The number under which the next rows are written.
    next_rows: u64,
}

impl Checkpoint {
    /// The number of the first checkpoint; calls that were never noted have 0.
    pub(crate) const FIRST: u64 = 1;

    pub(crate) fn new(every: u64, recovered: &mut Recovered) -> Self {
        let mark = recovered.mark;
        Self {
            every: every.max(1),
            number: Self::FIRST,
            began: mark,
            changed: std::mem::take(&mut recovered.changed),
            due: Vec::new(),
            due_at_first: 0,
            reaches: mark,
            next_rows: recovered.next_rows,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn note(&mut self, call: CallId) {
        self.changed.push(call);
    }

    /// Whether a commit has rows to bring; `last` is the position up to which the index is durable already.
    pub(crate) fn is_due(&self, last: u64) -> bool {
        !self.due.is_empty() || last - self.began >= self.every
    }

    /// Adds the commit's share of rows to its batch. Answers how many rows it added.
    pub(crate) fn share(
        &mut self,
        index: &mut Index,
        last: u64,
        events: u64,
        batch: &mut sled::Batch,
    ) -> u64 {
        if self.due.is_empty() {
            self.begin(last);
        }
        // All rows within the first half of the time until the next checkpoint.
        let share = (self.due_at_first as u64 * events).div_ceil(self.every.div_ceil(2));
        self.write(index, usize::try_from(share).unwrap_or(usize::MAX), batch)
    }

    /// Everything that is not in the tree yet, unless there is nothing. Answers how many rows it is.
    pub(crate) fn rest(&mut self, index: &mut Index, last: u64) -> Option<(sled::Batch, u64)> {
        if self.due.is_empty() && self.reaches == last {
            return None;
        }
        let mut batch = sled::Batch::default();
        self.due.append(&mut self.changed);
        self.reaches = last;
        let rows = self.write(index, usize::MAX, &mut batch);
        Some((batch, rows))
    }

    fn begin(&mut self, last: u64) {
        self.due = std::mem::take(&mut self.changed);
        self.due_at_first = self.due.len();
        self.began = last;
        self.reaches = last;
        self.number += 1;
    }

    fn write(&mut self, index: &mut Index, most: usize, batch: &mut sled::Batch) -> u64 {
        let kept = self.due.len().saturating_sub(most.max(1));
        let mut rows = Rows::from(self.next_rows);
        for call in self.due.drain(kept..) {
            index.write_row(&call, &mut rows);
        }
        let (written, next) = rows.finish(batch);
        self.next_rows = next;
        if self.due.is_empty() {
            batch.insert(keys::MARK, &write_mark(self.reaches)[..]);
        }
        written
    }
}

pub(crate) fn write_mark(reaches: u64) -> [u8; 12] {
    let position = reaches.to_be_bytes();
    let mut mark = [0; 12];
    mark[..8].copy_from_slice(&position);
    mark[8..].copy_from_slice(&crc32fast::hash(&position).to_be_bytes());
    mark
}

/// The position up to which the rows in the tree are complete.
pub(crate) fn read_mark(mark: &[u8]) -> Option<u64> {
    let (position, checksum) = mark.split_first_chunk()?;
    let holds = *checksum == crc32fast::hash(position).to_be_bytes();
    holds.then_some(u64::from_be_bytes(*position))
}
