//! What the threads of a store and its readers share: the log up to its durable end, the index, and how the store is.

use crate::counts::Counts;
use crate::damage::Damage;
use crate::error::closed;
use crate::guard::guarded;
use crate::history::History;
use crate::index::Index;
use crate::live::{Live, Stage};
use crate::locks;
use crate::log::{End, Log};
use crate::rows::Rows;
use domain::{CallId, Head, Revision, StoreError, StoredEvent, WriteHealth};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// What readers see. Events are added by the committing thread, once its commit is durable.
pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    /// None once the store is closed.
    rows: RwLock<Option<Rows>>,
    live: RwLock<Live>,
    pub(crate) progress: watch::Sender<Progress>,
    /// The position of the index's mark: up to there the index on disk is complete.
    pub(crate) mark: AtomicU64,
    /// Why the index cannot be written any more.
    index_failed: Mutex<Option<String>>,
    health: watch::Sender<WriteHealth>,
    pub(crate) counts: Counts,
}

/// How far the store is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The last durable position and the address after its frame: nothing after it is ever shown.
    pub(crate) end: End,
    pub(crate) closed: bool,
}

impl Shared {
    /// Of a log that ends there.
    pub(crate) fn new(log: Arc<Log>, index: Index, end: End) -> Self {
        let progress = Progress { end, closed: false };
        Self {
            log,
            rows: RwLock::new(Some(index.rows)),
            live: RwLock::new(index.live),
            progress: watch::Sender::new(progress),
            mark: AtomicU64::new(index.mark.position),
            index_failed: Mutex::new(None),
            health: watch::Sender::default(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn live(&self) -> RwLockReadGuard<'_, Live> {
        locks::read(&self.live)
    }

    pub(crate) fn live_mut(&self) -> RwLockWriteGuard<'_, Live> {
        locks::write(&self.live)
    }

    /// The end of what is durable.
    pub(crate) fn end(&self) -> End {
        self.progress.borrow().end
    }

    /// Shows events up to there.
    pub(crate) fn show(&self, end: End) {
        self.progress.send_modify(|progress| progress.end = end);
    }

    pub(crate) fn index_failed(&self) -> Option<String> {
        locks::lock(&self.index_failed).clone()
    }

    /// The first reason is kept: the later ones follow from it.
    pub(crate) fn fail_index(&self, error: StoreError) {
        let why = match error {
            StoreError::Unavailable(why) => why,
            other => other.to_string(),
        };
        locks::lock(&self.index_failed).get_or_insert(why);
    }

    /// The completed calls whose rows are not written yet.
    pub(crate) fn completed(&self) -> Vec<CallId> {
        let live = self.live();
        let completed = live
            .calls()
            .filter(|(_, entry)| entry.stage == Stage::Completed);
        completed.map(|(call, _)| call.clone()).collect()
    }

    pub(crate) fn write_health(&self) -> WriteHealth {
        self.health.borrow().clone()
    }

    pub(crate) async fn write_health_changed(&self, seen: &WriteHealth) -> WriteHealth {
        let mut health = self.health.subscribe();
        match health.wait_for(|health| health != seen).await {
            Ok(health) => health.clone(),
            // The sender is dropped with this.
            Err(_) => self.write_health(),
        }
    }

    pub(crate) fn cannot_write(&self, why: String) {
        self.health.send_modify(|health| {
            // Attempts to resume that fail belong to the same failure.
            health.failures += u64::from(health.trouble.is_none());
            health.trouble = Some(why);
        });
    }

    pub(crate) fn writes_again(&self) {
        self.health.send_modify(|health| health.trouble = None);
    }

    /// Verifies that the index is where it was opened.
    pub(crate) fn verify_index(&self) -> Result<(), StoreError> {
        self.with_rows(|rows| rows.verify().map_err(StoreError::Unavailable))
    }

    /// Lets go of an index that failed. Readers get an error until there is another, because making one can take long and
    /// they may be on threads that must not wait.
    pub(crate) fn close_index(&self) {
        let rows = locks::write(&self.rows).take();
        drop_rows(rows);
    }

    /// Puts another index in the place of one that failed.
    pub(crate) fn put_index(&self, index: Index) {
        // The rows stay locked meanwhile: a reader locks them before it looks into memory, and must not find a call of the
        // one index and the rows of the other.
        let mut rows = locks::write(&self.rows);
        *self.live_mut() = index.live;
        *rows = Some(index.rows);
        self.mark.store(index.mark.position, Relaxed);
        *locks::lock(&self.index_failed) = None;
    }

    /// Lets go of the files once no reader uses them, and wakes all that wait for events.
    pub(crate) fn release(&self) {
        let rows = locks::write(&self.rows).take();
        self.progress.send_modify(|progress| progress.closed = true);
        drop_rows(rows);
    }

    /// At most `max` events of the call after that revision.
    pub(crate) fn read_call(
        &self,
        call: &CallId,
        after: Revision,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.with_rows(|rows| {
            // Memory first. The indexer lets go of a call only after its row is written, so the call is in one of the two.
            let live = self.live().get(call).cloned();
            let history = match live {
                Some(history) => Some(history),
                None => self.row_of(rows, call)?,
            };
            let history = history.unwrap_or(History::NONE);
            let wanted = wanted(after.0, history.head.revision.0, max);
            if wanted == 0 {
                return Ok(Vec::new());
            }
            let events = history.events(call, after, wanted);
            events.map_err(|damage| damaged_index(rows, &damage))
        })
    }

    /// Where the call stands.
    pub(crate) fn head(&self, call: &CallId) -> Result<Head, StoreError> {
        let live = self.live().get(call).map(|history| history.head);
        match live {
            Some(head) => Ok(head),
            None => Ok(self.known(call)?.map_or(Head::NONE, |history| history.head)),
        }
    }

    /// What the index on disk knows of a call that is not in memory.
    pub(crate) fn known(&self, call: &CallId) -> Result<Option<History>, StoreError> {
        self.with_rows(|rows| self.row_of(rows, call))
    }

    fn row_of(&self, rows: &Rows, call: &CallId) -> Result<Option<History>, StoreError> {
        let row = rows.get(call).map_err(|error| match error {
            StoreError::Corrupt(what) => damaged_index(rows, &Damage::new(what)),
            other @ (StoreError::DamagedEvent(_)
            | StoreError::Unavailable(_)
            | StoreError::Refused(_)) => other,
        })?;
        let history = row.map(|row| row.history(&self.log, self.end().address, call));
        Ok(history.transpose()?)
    }

    pub(crate) fn with_rows<T>(
        &self,
        work: impl FnOnce(&Rows) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let rows = locks::read(&self.rows);
        work(rows.as_ref().ok_or_else(|| self.without_rows())?)
    }

    /// Why there is no index: the store was closed, or its index failed and cannot be opened again yet.
    fn without_rows(&self) -> StoreError {
        match self.health.borrow().trouble.clone() {
            Some(why) if !self.progress.borrow().closed => StoreError::Unavailable(why),
            Some(_) | None => closed(),
        }
    }
}

/// Dropping lets sled write what it still has, and it may not be able to. All of it follows from the log.
fn drop_rows(rows: Option<Rows>) {
    let _ = guarded(|| drop(rows));
}

/// What is damaged in the index alone is made again from the log when the store is opened the next time.
fn damaged_index(rows: &Rows, damage: &Damage) -> StoreError {
    // Nothing is repaired while the store runs: sled's own state is not trusted after that.
    let advice = match rows.make_anew() {
        Ok(()) => "no event is lost: open the store again, and its index is made anew from the log",
        Err(_) => "no event is lost: remove the store's folder index and open it again",
    };
    StoreError::Corrupt(format!("{damage}; {advice}"))
}

/// How many of the events after that place there are to be read.
pub(crate) fn wanted(after: u64, last: u64, max: usize) -> usize {
    let there = last.saturating_sub(after);
    max.min(usize::try_from(there).unwrap_or(usize::MAX))
}
