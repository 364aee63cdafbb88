//! The store as its users see it: the port, and the start and the end of its threads.

use crate::commit::Committer;
use crate::error::{OpenError, closed};
use crate::folder::{Folder, is_store};
use crate::indexer::IndexThread;
use crate::jobs::{Append, Job, Kept, Task, Work};
use crate::locks;
use crate::log::Writer;
use crate::notes::FORMAT;
use crate::open::{self, Found, Recovered};
use crate::options::Options;
use crate::queue::{Queue, tick};
use crate::read::Reader;
use crate::shared::Shared;
use crate::threads::spawn;
use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, CommitFigures, EventStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent, WriteHealth,
};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// How many batches may wait for the committing thread; who comes after them waits to be let in.
const MAX_WAITING: usize = 4096;

/// The events of all calls, in a folder.
///
/// Reads run on the caller's thread: a call takes microseconds (one of 30 events about 10 where the system has its files in
/// memory), and all events are read in pieces of 256 KiB.
pub struct SledStore {
    pub(crate) id: StoreId,
    pub(crate) path: PathBuf,
    pub(crate) shared: Arc<Shared>,
    reader: Reader,
    /// None only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while calls are archived: one at a time.
    pub(crate) archiving: tokio::sync::Mutex<()>,
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
        is_store(path)
    }

    /// Opens the store in that folder; a new one is made if there is nothing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Options::default())
    }

    /// Opens the store with other than the usual options.
    pub fn open_with(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::start(open::open(path, options)?, options)
    }

    /// Starts the threads of a store that was found.
    pub(crate) fn start(found: Found, options: &Options) -> Result<Self, OpenError> {
        let Recovered {
            index,
            end,
            tail,
            acknowledged,
        } = found.recovered;
        let (id, path, mark) = (found.id, found.folder.path().to_owned(), index.mark);
        let shared = Arc::new(Shared::new(Arc::clone(&found.log), index, end));
        let replayed = end.position - mark.position;
        shared.counts.replayed.store(replayed, Relaxed);
        let indexer = IndexThread::start(&shared, &found.folder, mark)?;
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
            indexer: Some(indexer),
            completed: Vec::new(),
            checkpoint_every: options.checkpoint_every.max(1),
            due_at: mark.position,
            last: end.position,
            answered: 0,
            stopped: None,
            purpose: found.purpose,
            id,
            options: options.clone(),
        };
        let queue = Queue {
            jobs: waiting,
            committer,
            looked: Instant::now(),
            ticking,
        };
        let readers = Arc::clone(&shared);
        let thread = spawn("kaigi-commit", &path, move || {
            // A panic was reported where it happened; readers and followers must not wait for what never comes.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| queue.run()));
            readers.release();
        })?;
        Ok(Self {
            id,
            path,
            reader: Reader::new(Arc::clone(&shared)),
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

    pub(crate) async fn ask(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().expect("only dropping takes it");
        jobs.send(job).await.map_err(|_| closed())
    }

    /// The thread has let go of the files when this returns.
    fn join(&self) {
        let thread = locks::lock(&self.thread).take();
        // It answers for its own panics.
        let _ = thread.map(JoinHandle::join);
    }
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
        self.reader.read_all(after, max)
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress
            .wait_for(|progress| progress.closed || progress.end.position > position.0)
            .await
            .map_err(|_| closed())?;
        let last = reached.end.position;
        if last > position.0 {
            return Ok(Position(last));
        }
        Err(closed())
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.shared.with_rows(|_| Ok(()))?;
        let (last, calls) = {
            let live = self.shared.live();
            (self.shared.end().position, live.total)
        };
        Ok(StoreInfo {
            id: self.id,
            format: format!("sled, format {FORMAT}"),
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
        if self.ask(Job::Task(Task::Close(answer))).await.is_err() {
            return Ok(());
        }
        let written = answered.await.unwrap_or(Ok(()));
        self.join();
        written
    }
}
