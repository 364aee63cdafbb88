//! What the committing thread does after a failed write, and about each second: it verifies that the store's files are
//! where they were, and resumes once the cause of a failure is gone.
//!
//! Nothing is acknowledged after a failed sync until the end of the log was written and synced again. What was written
//! after the last acknowledged commit is cut off: no reader has seen it, and its senders know that the outcome is unknown.
//!
//! Resuming may fail or be killed after any step, and is begun again from the first: each step leaves a store that opens.

use crate::commit::{Cause, Committer, Stopped};
use crate::error::failed_write;
use crate::indexer::IndexThread;
use crate::mark::Mark;
use crate::notes::Purpose;
use crate::open::{self, Recovered};

/// How much must fit on the disk before the store resumes: the longest commit, and two segments of the index.
const ROOM_BYTES: usize = 4 * 1024 * 1024;

impl Committer {
    /// Verifies that the store's files are there, and resumes after a failure if that is possible.
    pub(crate) fn look(&mut self) {
        if self.purpose == Purpose::Archive {
            return;
        }
        // First, because all that follows writes by the paths of these files.
        if let Err(Stopped { cause, why }) = self.verify_files() {
            return self.stop(cause, why);
        }
        // An index that is gone is made anew, so it is a failure to resume from, and not a loss.
        if let Err(why) = self.shared.verify_index() {
            self.shared.fail_index(why);
        }
        if let Some(why) = self.shared.index_failed() {
            self.stop(Cause::Write, why);
        }
        if self.stopped.is_none() {
            return;
        }
        match self.resume() {
            // The next commit may begin now: the log ends where readers know, and is on the disk up to there.
            Ok(()) => {
                self.stopped = None;
                self.shared.writes_again();
            }
            Err(why) => self.stop(Cause::Write, why),
        }
    }

    fn resume(&mut self) -> Result<(), String> {
        let failed = |error| failed_write(&error);
        // With room for a few bytes only, the store would resume and fail in turns.
        self.folder.must_have_room(ROOM_BYTES).map_err(failed)?;
        // The note first: it must never be ahead of the log, and a commit that was refused may have been noted.
        let noted = self.acknowledged.write_durably(self.last);
        noted.map_err(failed)?;
        // The failed commit goes, and the pages that it shares with acknowledged events are written again: the system may
        // hold them for written although the disk never got them.
        self.log
            .cut_back(self.shared.end().address)
            .map_err(failed)?;
        // Last, because an index must not reach beyond the log: it is read against the log as it is from now on.
        if self.shared.index_failed().is_some() || !self.has_indexer() {
            self.renew_index()?;
        }
        Ok(())
    }

    /// Opens the index again, or makes it anew from the log. Sled does nothing after a failed write.
    fn renew_index(&mut self) -> Result<(), String> {
        // The old thread ends before another reads the rows: it could write to them until then.
        if let Some(indexer) = self.indexer.take() {
            indexer.stop();
        }
        let mark = self.recovered()?;
        // These are in memory again, as completed calls without a row, and the new thread begins with them.
        self.completed.clear();
        self.due_at = mark.position;
        let indexer = IndexThread::start(&self.shared, &self.folder, mark);
        self.indexer = Some(indexer.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Puts a new index in the place of the one that failed, and returns its mark.
    fn recovered(&mut self) -> Result<Mark, String> {
        // Sled locks its files, so the old index is closed before it is opened again.
        self.shared.close_index();
        let Recovered {
            index,
            acknowledged,
            ..
        } = self.read_again()?;
        let mark = index.mark;
        self.shared.put_index(index);
        self.acknowledged = acknowledged;
        let removed = self.folder.remove_old_indexes();
        removed.map_err(|error| failed_write(&error))?;
        Ok(mark)
    }

    fn read_again(&self) -> Result<Recovered, String> {
        let log = &self.shared.log;
        let recovered = open::recover_again(&self.folder, log, self.id, self.last, &self.options);
        let recovered = recovered.map_err(|error| error.to_string())?;
        // Opening an index looks for the end of the log by itself. Nothing was written since the log was cut back, so
        // another end means that another process did.
        if recovered.end == self.shared.end() {
            return Ok(recovered);
        }
        let (there, last) = (recovered.end.position, self.last);
        Err(format!(
            "its log ends at position {there}, and not at {last}"
        ))
    }
}
