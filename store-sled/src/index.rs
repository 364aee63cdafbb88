//! The index, open: the rows on disk, the calls in memory, and how far the rows reach.

use crate::live::{Live, Stage};
use crate::mark::Mark;
use crate::rows::Rows;
use domain::{CallId, StoreError};

/// Where each call stands, and its events.
pub(crate) struct Index {
    pub(crate) rows: Rows,
    /// The calls that go on, or are not on disk yet.
    pub(crate) live: Live,
    pub(crate) mark: Mark,
}

impl Index {
    /// The index as its rows have it, without what the log holds after the mark.
    pub(crate) fn read(rows: Rows) -> Result<Self, StoreError> {
        let mark = rows.mark()?.unwrap_or_else(Mark::at_start);
        let mut live = Live::default();
        live.total = mark.calls;
        for (call, history) in rows.live()? {
            live.insert(call, history, Stage::GoesOn);
        }
        Ok(Self { rows, live, mark })
    }

    /// How many events all rows tell of: as many as the mark says, and those that newer rows knew already. Sled drops rows
    /// in silence where its file is damaged, and takes older ones for the newest.
    pub(crate) fn events_known(&self) -> Result<u64, StoreError> {
        let mut known = self.rows.completed_events()?;
        for (call, entry) in self.live.calls() {
            // A completed call that goes on again has a row of each kind, and the newer one counts.
            known += entry.history.head.revision.0;
            known = known.saturating_sub(self.rows.completed_events_of(call)?);
        }
        Ok(known)
    }

    /// The last revision that it knows of the call.
    pub(crate) fn revision_of(&self, call: &CallId) -> Result<u64, StoreError> {
        match self.live.get(call) {
            Some(history) => Ok(history.head.revision.0),
            None => self.rows.completed_events_of(call),
        }
    }
}
