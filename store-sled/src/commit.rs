//! Committing: one write and one sync for all that waits.
//!
//! A commit passes five steps, and a crash between any two of them is safe:
//!
//! 1. Its frames are written to the end of the log. A crash may leave a part: no later commit stands after it and
//!    no note tells of its position, so opening cuts it off.
//! 2. The log is synced. From here on opening finds the commit whole and keeps it, although its senders may never hear
//!    of it. They send the same batch again, and get the events that were kept.
//! 3. *acknowledged* notes the last position. The note is not synced, so it may be behind the log after a power cut; it
//!    is never ahead, because it is written only after the sync. Opening relies on that: what is noted and not there
//!    counts as lost.
//! 4. The calls in memory grow, and the last position moves. Readers see the commit from here on.
//! 5. The senders get their answers, and the indexer hears of completed calls. What it has not written is read from the
//!    log again at the next opening.

use crate::block::{Blocks, Sealed};
use crate::error::failed_write;
use crate::folder::Folder;
use crate::indexer::{IndexThread, ROWS_AT_ONCE, Told};
use crate::jobs::{Append, Kept};
use crate::live::{Grown, Stage};
use crate::log::{End, Writer};
use crate::notes::{Acknowledged, Purpose};
use crate::options::Options;
use crate::round::{Accepted, Known, Round, conflict};
use crate::shared::Shared;
use domain::{AppendError, Batch, CallId, Head, StoreError, StoreId, StoredEvent};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How many checkpoints the index may be behind before writing waits for it, each of at least so many events.
const MAX_BEHIND: u64 = 8;
const LEAST_EVENTS: u64 = 4096;

/// Why the store takes no events.
pub(crate) struct Stopped {
    pub(crate) cause: Cause,
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Writing to the log or to the index failed.
    Write,
    /// Files of the store are not where they were.
    Gone,
}

impl Stopped {
    fn by_write(why: String) -> Self {
        let cause = Cause::Write;
        Self { cause, why }
    }

    fn by_loss(why: String) -> Self {
        let cause = Cause::Gone;
        Self { cause, why }
    }
}

/// What commits: the end of the log, and all that follows from it.
pub(crate) struct Committer {
    pub(crate) folder: Folder,
    pub(crate) log: Writer,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) shared: Arc<Shared>,
    /// The thread that writes the index; `None` after it could not be started again.
    pub(crate) indexer: Option<IndexThread>,
    /// Calls that are completed, of which the indexer was not told yet.
    pub(crate) completed: Vec<CallId>,
    /// After how many events the index's mark is to move.
    pub(crate) checkpoint_every: u64,
    /// Where it last was told to.
    pub(crate) due_at: u64,
    pub(crate) last: u64,
    /// How many the last commit answered.
    pub(crate) answered: usize,
    /// Why nothing is written now.
    pub(crate) stopped: Option<Stopped>,
    pub(crate) purpose: Purpose,
    pub(crate) id: StoreId,
    pub(crate) options: Options,
}

impl Committer {
    /// Commits all that waits.
    pub(crate) fn settle(&mut self, mut waiting: Vec<Append>) {
        while !waiting.is_empty() {
            waiting = self.round(waiting);
        }
    }

    /// One commit of what waits; answers what has to wait on.
    pub(crate) fn round(&mut self, waiting: Vec<Append>) -> Vec<Append> {
        if let Some(stopped) = &self.stopped {
            refuse(waiting, &StoreError::Unavailable(stopped.why.clone()));
            return Vec::new();
        }
        if self.purpose == Purpose::Archive {
            refuse(waiting, &archive());
            return Vec::new();
        }
        let mut round = Round::after(self.last, waiting.len());
        // Only this thread adds events, so heads stay as they are until it commits.
        let live = self.shared.live();
        for append in waiting {
            round.add(&self.shared, &live, append);
        }
        drop(live);
        // Outside of the lock: this reads and decodes events. It may run before the commit, because what it looks for was
        // committed earlier.
        for append in round.perhaps_kept.drain(..) {
            let kept = kept(&self.shared, &append.work.batch);
            // The sender may not wait any more, here and below.
            let _ = append.answer.send(kept.map(Kept::Before));
        }
        if !round.accepted.is_empty() {
            self.commit(round.blocks, round.accepted, round.known);
        }
        round.later
    }

    fn commit(&mut self, blocks: Blocks, accepted: Vec<Accepted>, known: Known) {
        let Sealed { bytes, last } = blocks.finish();
        let synced = match self.make_durable(&bytes, last) {
            Ok(synced) => synced,
            Err(Stopped { cause, why }) => {
                // Before its senders know: what they ask next sees it.
                self.stop(cause, why.clone());
                let appends = accepted.into_iter().map(|accepted| accepted.append);
                refuse(appends, &StoreError::Unavailable(why));
                return;
            }
        };
        self.shared.counts.committed(last - self.last, synced);
        self.publish(&accepted, known, last);
        self.answered = accepted.len();
        for Accepted { append, first } in accepted {
            let Append { work, answer } = append;
            if work.stage == Stage::Completed {
                self.completed.push(work.call.clone());
            }
            let _ = answer.send(Ok(Kept::Now(first, work)));
        }
        self.tell_indexer();
    }

    /// One write, one sync, and a note of how far that was. Answers how long the sync took. The log's file must still be
    /// there afterwards: a deleted file can be written and synced, too.
    fn make_durable(&mut self, frames: &[u8], last: u64) -> Result<Duration, Stopped> {
        // Without an index, completed calls would stay in memory for as long as commits go on.
        if let Some(why) = self.shared.index_failed() {
            return Err(Stopped::by_write(why));
        }
        // A file is created by its path, which may lead to another store's folder by now.
        let begins_a_file = self.log.is_file_full();
        if begins_a_file {
            self.verify_files()?;
        }
        self.shared.counts.syncs.fetch_add(1, Relaxed);
        let written = self.log.append(self.last + 1, frames);
        // Files that are gone may be why the write failed, and then they are what to report.
        if begins_a_file || written.is_err() {
            self.verify_files()?;
        }
        let failed = |error| Stopped::by_write(failed_write(&error));
        let synced = written.map_err(failed)?;
        // Before the note: what is noted and not there counts as lost.
        self.log.verify().map_err(Stopped::by_loss)?;
        if let Err(error) = self.acknowledged.write(last) {
            self.verify_files()?;
            return Err(failed(error));
        }
        Ok(synced)
    }

    /// Shows the events. The position is raised before the calls are let go, so that no reader sees an event of a call
    /// that is not yet among all events.
    fn publish(&mut self, accepted: &[Accepted], mut known: Known, last: u64) {
        // One lock for all calls and the position: a reader that finds a call grown finds its events in the log, too.
        let mut live = self.shared.live_mut();
        for Accepted { append, first } in accepted {
            let work = &append.work;
            let grown = Grown {
                first: *first,
                groups: work.groups.groups,
                bytes: work.groups.each(),
                head: work.head,
                stage: work.stage,
            };
            // The rows of completed calls that go on again were read when their batches were admitted. Nearly all
            // commits have none, and are spared the lookups.
            let known = if known.is_empty() {
                None
            } else {
                known.remove(&work.call)
            };
            live.total += u64::from(work.expected == Head::NONE);
            live.grow(&work.call, known, grown);
        }
        self.last = last;
        self.shared.show(End {
            position: last,
            address: self.log.address(),
        });
    }

    /// Waits if the indexer has enough to do: calls whose rows are not written yet are kept in memory. It is told of
    /// many at once, for waking it costs as much as writing a row.
    fn tell_indexer(&mut self) {
        if self.completed.len() >= ROWS_AT_ONCE {
            let completed = std::mem::take(&mut self.completed);
            self.tell(Told::Completed(completed));
        }
        if self.last - self.due_at >= self.checkpoint_every {
            self.due_at = self.last;
            self.tell(Told::Due);
            self.let_index_catch_up();
        }
    }

    /// What is behind the mark is read again when the store is opened, so that must not become much.
    fn let_index_catch_up(&self) {
        let most = MAX_BEHIND * self.checkpoint_every.max(LEAST_EVENTS);
        let behind = || self.last - self.shared.mark.load(Relaxed);
        // Not forever: where the indexer is gone, the next commit is refused with its reason.
        while behind() > most && self.has_indexer() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn begin_segment(&mut self) -> Result<(), StoreError> {
        if self.purpose == Purpose::Archive {
            return Err(archive());
        }
        // After a failure the end of the log is not known to be on the disk, and a file that follows it would say that
        // it is.
        self.must_write()?;
        self.log.begin_segment(self.last + 1).map_err(|error| {
            let why = failed_write(&error);
            self.stop(Cause::Write, why.clone());
            StoreError::Unavailable(why)
        })
    }

    fn must_write(&self) -> Result<(), StoreError> {
        match &self.stopped {
            None => Ok(()),
            Some(stopped) => Err(StoreError::Unavailable(stopped.why.clone())),
        }
    }

    /// Brings the whole index to the disk, so that the next opening replays nothing.
    pub(crate) fn finish_index(&mut self) -> Result<(), StoreError> {
        // After a failed write the index may know less than the log, and opening replays the rest.
        self.must_write()?;
        // The files of another store may be at this one's path.
        let verified = self.verify_files();
        verified.map_err(|stopped| StoreError::Unavailable(stopped.why))?;
        let (answer, answered) = sync_channel(1);
        self.tell(Told::Finish(answer));
        answered.recv().unwrap_or_else(|_| {
            let failed = self.shared.index_failed();
            let why = failed.unwrap_or_else(|| "the index was not finished".to_owned());
            Err(StoreError::Unavailable(why))
        })
    }

    /// Lets go of the files; once this is done, the store can be opened again.
    pub(crate) fn release(self) {
        let Self {
            folder,
            shared,
            indexer,
            ..
        } = self;
        // The indexer uses the rows, so it ends first.
        if let Some(indexer) = indexer {
            indexer.stop();
        }
        shared.release();
        // The lock on the folder goes last, with the folder: the next process finds all files let go.
        folder.await_release();
    }

    pub(crate) fn tell(&self, told: Told) {
        if let Some(indexer) = &self.indexer {
            indexer.tell(told);
        }
    }

    /// Whether the thread of the index runs. It does not after an attempt to renew the index that failed half-way.
    pub(crate) fn has_indexer(&self) -> bool {
        self.indexer.as_ref().is_some_and(IndexThread::is_alive)
    }

    /// Verifies that every file is there that the store must not lose.
    pub(crate) fn verify_files(&self) -> Result<(), Stopped> {
        let (log, acknowledged) = (&self.shared.log, &self.acknowledged);
        let verified = self.folder.verify_files(log, acknowledged);
        verified.map_err(Stopped::by_loss)
    }

    /// Takes no events from now on. The first reason of each kind is kept, because the later ones follow from it.
    pub(crate) fn stop(&mut self, cause: Cause, why: String) {
        if self
            .stopped
            .as_ref()
            .is_some_and(|stopped| stopped.cause == cause)
        {
            return;
        }
        self.shared.cannot_write(why.clone());
        self.stopped = Some(Stopped { cause, why });
    }
}

/// The events as they were committed before, if they are the same.
fn kept(shared: &Shared, batch: &Batch) -> Result<Vec<StoredEvent>, AppendError> {
    let wanted = batch.events().len();
    let kept = shared.read_call(batch.call(), batch.expected().revision, wanted)?;
    let recorded = kept.iter().map(|stored| &stored.recorded);
    if recorded.eq(batch.events()) {
        return Ok(kept);
    }
    let actual = shared.head(batch.call())?;
    Err(conflict(batch, actual))
}

fn refuse(appends: impl IntoIterator<Item = Append>, why: &StoreError) {
    for append in appends {
        let _ = append.answer.send(Err(why.clone().into()));
    }
}

fn archive() -> StoreError {
    let what = "it is an archive, which nobody writes to; use the store it belongs to";
    StoreError::Refused(what.to_owned())
}
