//! Bringing the index up to the log: what the log holds after the index's mark.
//!
//! The mark is written after everything that it vouches for is on the disk, and rows go on being written after it. So
//! some of the events after the mark are known already, and others are not: a row may also have reached the disk before
//! the events that it tells of. Replaying therefore compares each group with what is known of its call, and takes it or
//! passes over it. Replaying twice changes nothing.

use crate::block::Group;
use crate::damage::Damage;
use crate::history::History;
use crate::index::Index;
use crate::live::{Grown, Known, Stage, stage_after};
use crate::log::{End, Log, LogError};
use crate::rows::RowBatch;
use domain::{CallId, Head, Revision, StoreError};

/// How many completed calls of the log are kept in memory while the index is made from it.
const ROWS_AT_ONCE: usize = 1024;

/// Why the index cannot be brought up to the log.
pub(crate) enum IndexError {
    Log(LogError),
    Rows(StoreError),
}

impl From<LogError> for IndexError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Damage> for IndexError {
    fn from(damage: Damage) -> Self {
        Self::Log(damage.into())
    }
}

impl From<StoreError> for IndexError {
    fn from(error: StoreError) -> Self {
        Self::Rows(error)
    }
}

/// The index with all that the log holds up to its end, and how many events after the mark its rows knew already.
pub(crate) fn replay(log: &Log, index: Index, end: End) -> Result<(Index, u64), IndexError> {
    let from = index.mark.end();
    let mut replay = Replay {
        log,
        end,
        index,
        completed: Vec::new(),
        known_already: 0,
    };
    log.each_group(from, end.address, |group| replay.take(group))?;
    Ok((replay.index, replay.known_already))
}

/// How many events of the log after the mark the rows know already. Nothing is changed.
pub(crate) fn known_behind(log: &Log, index: &Index, end: End) -> Result<u64, IndexError> {
    let mut known = 0;
    log.each_group(index.mark.end(), end.address, |group| {
        let events = u64::from(group.events);
        let last = group.raw()?.first_revision.saturating_add(events - 1);
        if last <= index.revision_of(&call_of(&group)?)? {
            known += events;
        }
        Ok::<_, IndexError>(())
    })?;
    Ok(known)
}

fn call_of(group: &Group<'_>) -> Result<CallId, Damage> {
    let damaged = || Damage::new("the call's identifier is damaged").at(group.first);
    group.call_id().ok_or_else(damaged)
}

/// The log after the mark on its way into memory, and where a whole index is made, on to the disk.
struct Replay<'a> {
    log: &'a Log,
    end: End,
    index: Index,
    completed: Vec<CallId>,
    /// Events after the mark that rows told of.
    known_already: u64,
}

impl Replay<'_> {
    fn take(&mut self, group: Group<'_>) -> Result<(), IndexError> {
        let call = call_of(&group)?;
        let shared = group.raw()?;
        let first_revision = shared.first_revision;
        let (last, hash) = shared.last()?;
        let stage = stage_after(last);
        let grown = Grown {
            first: group.first,
            groups: 1,
            bytes: [group.bytes].into_iter(),
            head: Head {
                revision: Revision(first_revision.saturating_add(u64::from(group.events) - 1)),
                hash,
            },
            stage,
        };
        // A call that is not in memory was completed before, or begins here.
        let known = match self.index.live.get(&call) {
            Some(_) => None,
            None => self.known(&call)?,
        };
        // The mark has the number of calls up to it, so each first event after it is of a new one.
        let live = &mut self.index.live;
        live.total += u64::from(first_revision == 1);
        let known = live.replay(&call, known, first_revision, grown)?;
        // Counted, because the rows must know as many events as the log has: sled drops rows in silence.
        if known == Known::Already {
            self.known_already += u64::from(group.events);
        }
        // A later group may continue the call all the same, so its stage is looked at again before its row is written.
        if stage == Stage::Completed {
            self.completed.push(call);
        }
        if self.completed.len() >= ROWS_AT_ONCE {
            self.write_completed()?;
        }
        Ok(())
    }

    fn known(&self, call: &CallId) -> Result<Option<History>, IndexError> {
        let row = match self.index.rows.get(call) {
            // A row may have reached the disk before the events it tells of. What is after the mark is read here.
            Err(StoreError::Corrupt(_)) => None,
            row => row?,
        };
        let history = row.map(|row| row.history(self.log, self.end.address, call));
        Ok(history.transpose()?)
    }

    /// Writes the rows of completed calls, so that an index that is made from a long log needs little memory. None of it
    /// is synced: the mark stays where it was, and the next opening would read the same again.
    fn write_completed(&mut self) -> Result<(), IndexError> {
        let Index { rows, live, .. } = &mut self.index;
        let mut batch = RowBatch::default();
        let mut written = Vec::new();
        for call in self.completed.drain(..) {
            if let Some(entry) = live.entry(&call)
                && entry.stage == Stage::Completed
            {
                let history = &entry.history;
                rows.put_completed(&mut batch, &call, history, entry.on_disk);
                written.push((call, history.head));
            }
        }
        rows.apply(batch)?;
        for (call, head) in written {
            live.let_go(&call, head);
        }
        Ok(())
    }
}
