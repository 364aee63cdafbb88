//! What the committing thread does after a failed write, and about each second: it verifies that the store's files are
//! where they were, and resumes once the cause of a failure is gone.
//!
//! Nothing is acknowledged after a failed sync until the end of the log was written and synced again. What was written
//! after the last acknowledged commit is cut off: no reader has seen it, and its senders know that the outcome is unknown.

use crate::commit::{Committer, Job};
use crate::error::failed_write;
use crate::indexer::{self, Indexer};
use crate::notes::Purpose;
use crate::open::{self, End, Recovered};
use crate::presence;
use crate::read::Shared;
use crate::rows::Mark;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::WeakSender;

/// The pause between two looks at the files, and between two attempts to resume.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How much must fit on the disk before the store resumes: the longest commit, and two segments of the index.
const ROOM_BYTES: usize = 4 * 1024 * 1024;

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
    pub(crate) fn by_write(why: String) -> Self {
        let cause = Cause::Write;
        Self { cause, why }
    }

    pub(crate) fn by_loss(why: String) -> Self {
        let cause = Cause::Gone;
        Self { cause, why }
    }
}

/// Wakes the committing thread each second until `ended` is dropped.
pub(crate) fn tick(jobs: &WeakSender<Job>, ended: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(BETWEEN_LOOKS) {
        let Some(jobs) = jobs.upgrade() else {
            return;
        };
        // A thread with a full queue looks without being woken.
        let _ = jobs.try_send(Job::Look);
    }
}

impl Committer {
    /// Verifies that the store's files are there, and resumes after a failure if that is possible.
    pub(crate) fn look(&mut self) {
        self.looked = Instant::now();
        if self.purpose == Purpose::Archive {
            return;
        }
        if let Err(Stopped { cause, why }) = self.verify_files() {
            return self.stop(cause, why);
        }
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
            Ok(()) => {
                self.stopped = None;
                self.shared.writes_again();
            }
            Err(why) => self.stop(Cause::Write, why),
        }
    }

    /// Verifies that every file is there that the store must not lose.
    pub(crate) fn verify_files(&self) -> Result<(), Stopped> {
        let verified = presence::verify_all(&self.folder, &self.shared.log, &self.acknowledged);
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

    fn resume(&mut self) -> Result<(), String> {
        let failed = |error| failed_write(&error);
        self.folder.must_have_room(ROOM_BYTES).map_err(failed)?;
        // The note first: it must never be ahead of the log, and a commit that was refused may have been noted.
        let noted = self.acknowledged.write_durably(self.last);
        noted.map_err(failed)?;
        self.log.cut_back(self.shared.end()).map_err(failed)?;
        if self.shared.index_failed().is_some() || !self.has_indexer() {
            self.renew_index()?;
        }
        Ok(())
    }

    /// Whether the thread of the index runs. It does not after an attempt to renew the index that failed half-way.
    fn has_indexer(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// Opens the index again, or makes it anew from the log. Sled does nothing after a failed write. Readers get an error meanwhile.
    fn renew_index(&mut self) -> Result<(), String> {
        let (indexer, told) = std::sync::mpsc::sync_channel(indexer::MAX_WAITING);
        drop(std::mem::replace(&mut self.indexer, indexer));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let mark = self.recovered()?;
        self.completed.clear();
        self.due_at = mark.position;
        let (shared, head) = (Arc::clone(&self.shared), self.folder.head());
        let indexer = Indexer::new(shared, told, head, mark, self.shared.completed());
        let thread = spawn_indexer(indexer, self.folder.path(), &self.shared);
        self.thread = Some(thread.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Puts a new index in the place of the one that failed, and returns its mark.
    fn recovered(&mut self) -> Result<Mark, String> {
        let (mark, acknowledged) = self.shared.replace_index(|| self.read_again())?;
        self.acknowledged = acknowledged;
        let removed = self.folder.remove_old_indexes();
        removed.map_err(|error| failed_write(&error))?;
        Ok(mark)
    }

    fn read_again(&self) -> Result<Recovered, String> {
        let log = &self.shared.log;
        let recovered = open::recover_again(&self.folder, log, self.id, self.last, &self.options);
        let recovered = recovered.map_err(|error| error.to_string())?;
        let end = End {
            position: self.last,
            address: self.shared.end(),
        };
        if recovered.end == end {
            return Ok(recovered);
        }
        let (there, last) = (recovered.end.position, self.last);
        Err(format!(
            "its log ends at position {there}, and not at {last}"
        ))
    }
}

/// The thread that writes the index; a panic in it is a failure of the index.
pub(crate) fn spawn_indexer(
    indexer: Indexer,
    path: &Path,
    shared: &Arc<Shared>,
) -> Result<JoinHandle<()>, crate::OpenError> {
    let failed = Arc::clone(shared);
    crate::spawn("kaigi-index", path, move || {
        // The panic was reported where it happened.
        if panic::catch_unwind(AssertUnwindSafe(|| indexer.run())).is_err() {
            failed.fail_index("its index failed; it is opened again".to_owned());
        }
    })
}
