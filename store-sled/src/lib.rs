//! The embedded store: one folder, nothing to install.
//!
//! Every event is in the log (`log`), files of our own that are only appended to. What follows from it is in an index:
//! the calls that go on in memory (`live`), those that are completed in sled (`rows`), each with its events together.
//!
//! Read top-down: what the outside sees (here), the folder (`folder`), opening (`open`), the one thread that writes the
//! log (`commit`) and the one that brings the index to the disk (`indexer`), readers (`read`), and the bytes themselves
//! ([`layout`], `block`, `history`, `bytes`).
//!
//! Events are acknowledged once they are on the disk. Nothing that is not is ever shown.

pub mod archive;
mod at;
mod block;
mod bytes;
mod calls;
pub mod check;
mod commit;
mod counts;
mod damage;
mod error;
mod folder;
mod gap;
mod guard;
mod history;
mod indexer;
pub mod layout;
mod live;
mod log;
mod new_log;
mod notes;
mod open;
mod presence;
mod reach;
mod read;
pub mod repair;
mod resume;
mod rows;
mod tail;
#[cfg(test)]
mod testing;
mod upgrade;

pub use error::OpenError;

use async_trait::async_trait;
use commit::{Append, Committer, Job, Kept, Work};
use domain::{
    AppendError, Batch, CallId, CommitFigures, EventStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent, WriteHealth,
};
use error::closed;
use folder::Folder;
use indexer::Indexer;
use log::Writer;
use open::{Found, Recovered};
use read::Shared;
use resume::{spawn_indexer, tick};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// How many batches may wait for the committing thread; who comes after them waits to be let in.
const MAX_WAITING: usize = 4096;

/// The events of all calls, in a folder.
///
/// Reads run on the caller's thread: a call takes microseconds (one of 30 events about 10 where the system has its files in
/// memory), and all events are read in pieces of 256 KiB.
pub struct SledStore {
    id: StoreId,
    path: PathBuf,
    shared: Arc<Shared>,
    /// None only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while calls are archived: one at a time.
    archiving: tokio::sync::Mutex<()>,
}

/// What can be chosen when a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// After how many events the index on disk is brought up to the log: 65,536 unless said otherwise. More makes
    /// opening after a kill slower, less makes writing slower.
    pub checkpoint_every: u64,
    /// About how many bytes of memory the index on disk is cached in: 64 MiB unless said otherwise. Beside it the calls
    /// that go on are in memory, and nothing else that grows.
    pub cache_bytes: u64,
    /// How long a file of the log may become before the next one is begun: 64 MiB unless said otherwise. Whole files are
    /// archived.
    pub log_file_bytes: u64,
    /// The unit in which sled writes a new index: 2 MiB unless said otherwise. Smaller ones make a store of few calls
    /// smaller, for tests that damage each byte.
    pub index_segment_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_every: 65_536,
            cache_bytes: 64 * 1024 * 1024,
            log_file_bytes: 64 * 1024 * 1024,
            index_segment_bytes: None,
        }
    }
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How often it committed; each commit takes every batch that waits.
    pub commits: u64,
    /// How often it made the disk keep what was written to the log: once for each commit.
    pub syncs: u64,
    /// How many rows of the index it wrote.
    pub index_rows: u64,
    /// How many events it read when it was opened, because the index did not reach as far as the log.
    pub replayed: u64,
    /// How many calls are in memory now: those that go on, and completed ones whose rows wait to be written.
    pub calls_in_memory: u64,
}

impl SledStore {
    /// Whether there is a store in that folder; opening it may still show that it is damaged.
    pub fn is_at(path: &Path) -> bool {
        folder::is_store(path)
    }

    /// Opens the store in that folder; a new one is made if there is nothing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Options::default())
    }

    /// Opens the store with other than the usual options.
    pub fn open_with(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::start(open::open(path, options)?, options)
    }

    fn start(found: Found, options: &Options) -> Result<Self, OpenError> {
        let Recovered {
            rows,
            live,
            mark,
            end,
            tail,
            acknowledged,
        } = found.recovered;
        let (id, path) = (found.id, found.folder.path().to_owned());
        let (log, reaches) = (Arc::clone(&found.log), mark.position);
        let shared = Shared::new(log, rows, live, reaches, end.position, end.address);
        let shared = Arc::new(shared);
        shared
            .counts
            .replayed
            .store(end.position - mark.position, Relaxed);
        let (indexer, told) = std::sync::mpsc::sync_channel(indexer::MAX_WAITING);
        let head = found.folder.head();
        let completed = shared.completed();
        let index = Indexer::new(Arc::clone(&shared), told, head, mark, completed);
        let index = spawn_indexer(index, &path, &shared)?;
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let (ticking, ended) = std::sync::mpsc::channel();
        let ticked = jobs.downgrade();
        spawn("kaigi-tick", &path, move || tick(&ticked, &ended))?;
        let bytes = options.log_file_bytes;
        let committer = Committer {
            log: Writer::new(found.log, tail, found.folder.log(), id, end.address, bytes),
            folder: found.folder,
            acknowledged,
            shared: Arc::clone(&shared),
            jobs: waiting,
            indexer,
            completed: Vec::new(),
            thread: Some(index),
            checkpoint_every: options.checkpoint_every.max(1),
            due_at: mark.position,
            last: end.position,
            answered: 0,
            stopped: None,
            looked: Instant::now(),
            purpose: found.purpose,
            id,
            options: options.clone(),
            ticking,
        };
        let readers = Arc::clone(&shared);
        let thread = spawn("kaigi-commit", &path, move || {
            // A panic was reported where it happened; readers and followers must not wait for what never comes.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| committer.run()));
            readers.release();
        })?;
        Ok(Self {
            id,
            path,
            shared,
            jobs: Some(jobs),
            thread: Mutex::new(Some(thread)),
            archiving: tokio::sync::Mutex::new(()),
        })
    }

    /// What it has done since it was opened.
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        Stats {
            commits: counts.commits.load(Relaxed),
            syncs: counts.syncs.load(Relaxed),
            index_rows: counts.index_rows.load(Relaxed),
            replayed: counts.replayed.load(Relaxed),
            calls_in_memory: self.shared.live().calls().count() as u64,
        }
    }

    async fn ask(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().expect("only dropping takes it");
        jobs.send(job).await.map_err(|_| closed())
    }

    /// The thread has let go of the files when this returns.
    fn join(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // It answers for its own panics.
        let _ = thread.map(JoinHandle::join);
    }
}

fn spawn(
    name: &str,
    path: &Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread
        .spawn(work)
        .map_err(|error| OpenError::from_io(path, error))
}

/// Like a kill: what is acknowledged is there when the store is opened again, which reads the log behind the index.
impl Drop for SledStore {
    fn drop(&mut self) {
        self.jobs = None;
        self.join();
    }
}

#[async_trait]
impl EventStore for SledStore {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let work = Work::of(batch);
        let append = Append { work, answer };
        self.ask(Job::Append(append)).await?;
        let kept = answered.await.unwrap_or_else(|_| Err(closed().into()));
        kept.map(Kept::events)
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.shared.read_call(call, after, usize::MAX)
    }

    async fn read_call_page(
        &self,
        call: &CallId,
        after: Revision,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.shared.read_call(call, after, max)
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.shared.read_all(after, max)
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress
            .wait_for(|progress| progress.closed || progress.last > position.0)
            .await
            .map_err(|_| closed())?;
        if reached.last > position.0 {
            return Ok(Position(reached.last));
        }
        Err(closed())
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.shared.with_rows(|_| Ok(()))?;
        let (last, calls) = {
            let live = self.shared.live();
            (self.shared.last(), live.total)
        };
        Ok(StoreInfo {
            id: self.id,
            format: format!("sled, format {}", notes::FORMAT),
            events: Some(last),
            calls: Some(calls),
            bytes_on_disk: Some(Folder::bytes_on_disk(&self.path)),
            last: Position(last),
            remarks: Vec::new(),
        })
    }

    fn commits(&self) -> Option<CommitFigures> {
        Some(self.shared.counts.figures())
    }

    fn write_health(&self) -> Option<WriteHealth> {
        Some(self.shared.write_health())
    }

    async fn write_health_changed(&self, seen: &WriteHealth) -> WriteHealth {
        self.shared.write_health_changed(seen).await
    }

    /// Commits what waits, brings the index into the store, and lets go of the folder: it can be opened again when this
    /// returns. Closing a closed store does nothing.
    async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.ask(Job::Close(answer)).await.is_err() {
            return Ok(());
        }
        let written = answered.await.unwrap_or(Ok(()));
        self.join();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{a_call, block_on};
    use std::fs::File;

    /// Syncing a device fails, so this is a store whose disk fails until its file is opened again.
    fn store_that_cannot_sync(path: &Path) -> SledStore {
        let mut found = open::open(path, &Options::default()).expect("a store");
        let device = File::options().write(true).open("/dev/null");
        found.recovered.tail = device.expect("a device");
        SledStore::start(found, &Options::default()).expect("a thread")
    }

    #[test]
    fn a_store_resumes_by_itself_after_a_failed_sync_and_nothing_acknowledged_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        block_on(async {
            let call = a_call("c1").await;
            let store = SledStore::open(folder.path()).expect("a store");
            let kept = store.append(call[0].clone()).await.expect("kept");
            store.close().await.expect("closed");

            let store = store_that_cannot_sync(folder.path());
            let healthy = store.write_health().expect("it can tell");
            let Err(AppendError::Store(StoreError::Unavailable(why))) =
                store.append(call[1].clone()).await
            else {
                panic!("acknowledged what is not on the disk");
            };
            assert!(why.contains("nothing acknowledged is lost"), "{why}");
            let all = store.read_all(Position::START, 10).await;
            assert_eq!(all.as_ref(), Ok(&kept), "what is not durable is not shown");

            let mut health = store.write_health_changed(&healthy).await;
            while health.trouble.is_some() {
                health = store.write_health_changed(&health).await;
            }
            assert_eq!(health.failures, 1);
            let again = store.append(call[1].clone()).await.expect("kept once");
            store.close().await.expect("closed");

            let store = SledStore::open(folder.path()).expect("it opens again");
            let all = store.read_all(Position::START, 10).await.expect("readable");
            assert_eq!(all, [kept, again].concat());
        });
    }

    /// No event that the domain makes is so long, so the length is a made-up one.
    #[test]
    fn an_event_that_is_too_long_is_refused_and_others_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        block_on(async {
            let store = SledStore::open(folder.path()).expect("a store");
            let batch = a_call("c1").await.swap_remove(0);
            let mut work = Work::of(batch.clone());
            work.too_long = Some(20_000);
            let (answer, answered) = oneshot::channel();
            let asked = store.ask(Job::Append(Append { work, answer })).await;
            asked.expect("it runs");
            let refused = answered.await.expect("answered").err();
            let what = "an event of 20000 bytes is longer than it takes".to_owned();
            assert_eq!(refused, Some(StoreError::Refused(what).into()));
            store.append(batch).await.expect("kept");
        });
    }
}
