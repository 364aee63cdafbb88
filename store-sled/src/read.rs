//! What readers share with the committing thread, and how they read.

use crate::block::Groups;
use crate::counts::Counts;
use crate::damage::Damage;
use crate::error::closed;
use crate::gap::Gap;
use crate::history::{History, gather};
use crate::live::{Live, Stage};
use crate::log::{Frames, Log, LogError};
use crate::notes::Acknowledged;
use crate::open::{End, Recovered};
use crate::rows::{Mark, Row, Rows};
use domain::{
    CallId, DamagedEvent, Head, Position, Revision, StoreError, StoredEvent, WriteHealth,
};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// What readers see. Events are added by the committing thread, once its commit is durable.
pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    /// None once the store is closed.
    rows: RwLock<Option<Rows>>,
    live: RwLock<Live>,
    pub(crate) progress: watch::Sender<Progress>,
    /// The position up to which the index on disk is complete.
    pub(crate) mark: AtomicU64,
    /// Why the index cannot be written any more.
    index_failed: Mutex<Option<String>>,
    health: watch::Sender<WriteHealth>,
    /// The last damaged stretch of the log that was read, since readers go through it event by event.
    gap: Mutex<Option<Arc<Gap>>>,
    pub(crate) counts: Counts,
}

/// How far the store is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The last durable position: nothing behind it is ever shown.
    pub(crate) last: u64,
    /// The address behind the last durable frame.
    pub(crate) end: u64,
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn new(
        log: Arc<Log>,
        rows: Rows,
        live: Live,
        mark: u64,
        last: u64,
        end: u64,
    ) -> Self {
        let closed = false;
        Self {
            log,
            rows: RwLock::new(Some(rows)),
            live: RwLock::new(live),
            progress: watch::Sender::new(Progress { last, end, closed }),
            mark: AtomicU64::new(mark),
            index_failed: Mutex::new(None),
            health: watch::Sender::default(),
            gap: Mutex::new(None),
            counts: Counts::default(),
        }
    }

    /// A panic elsewhere leaves the calls whole: they change only where nothing can fail any more.
    pub(crate) fn live(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live_mut(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self) -> u64 {
        self.progress.borrow().last
    }

    pub(crate) fn end(&self) -> u64 {
        self.progress.borrow().end
    }

    /// The last durable position and the address after it.
    fn durable(&self) -> End {
        let progress = self.progress.borrow();
        End {
            position: progress.last,
            address: progress.end,
        }
    }

    /// Shows events up to that position, which end at that address.
    pub(crate) fn show(&self, last: u64, end: u64) {
        self.progress.send_modify(|progress| {
            progress.last = last;
            progress.end = end;
        });
    }

    pub(crate) fn index_failed(&self) -> Option<String> {
        let failed = self.index_failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fail_index(&self, why: String) {
        let mut failed = self
            .index_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(why);
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
            health.failures += u64::from(health.trouble.is_none());
            health.trouble = Some(why);
        });
    }

    pub(crate) fn writes_again(&self) {
        self.health.send_modify(|health| health.trouble = None);
    }

    /// Verifies that the index is where it was opened.
    pub(crate) fn verify_index(&self) -> Result<(), String> {
        let verified = self.with_rows(|rows| rows.verify().map_err(StoreError::Unavailable));
        verified.map_err(|error| error.to_string())
    }

    /// Puts another index in the place of one that failed; returns its mark, and the note of what is acknowledged. Readers
    /// get an error meanwhile, because it can take long, and they may be on threads that must not wait.
    pub(crate) fn replace_index(
        &self,
        recover: impl FnOnce() -> Result<Recovered, String>,
    ) -> Result<(Mark, Acknowledged), String> {
        let lock = || self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let failed = lock().take();
        // Sled may not be able to write what it still has; all of it follows from the log.
        let _ = crate::guard::guarded(|| drop(failed));
        let recovered = recover()?;
        let mut rows = lock();
        *self.live_mut() = recovered.live;
        *rows = Some(recovered.rows);
        self.mark.store(recovered.mark.position, Relaxed);
        let mut failed = self
            .index_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failed = None;
        Ok((recovered.mark, recovered.acknowledged))
    }

    /// Lets go of the files once nobody reads any more; whoever waits is told.
    pub(crate) fn release(&self) {
        let rows = self
            .rows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.progress.send_modify(|progress| progress.closed = true);
        // Dropping lets sled write what it still has; all of it follows from the log.
        let _ = crate::guard::guarded(|| drop(rows));
    }

    /// At most `max` events of the call after that revision.
    pub(crate) fn read_call(
        &self,
        call: &CallId,
        after: Revision,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.with_rows(|rows| {
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
        match row {
            None => Ok(None),
            Some(Row::Whole(history)) => Ok(Some(history)),
            Some(Row::Places(head, places)) => {
                Ok(Some(gather(&self.log, self.end(), call, head, &places)?))
            }
        }
    }

    /// At most `max` events of all calls after that position, up to a damaged one.
    pub(crate) fn read_all(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let end = self.durable();
        let wanted = wanted(after.0, end.position, max);
        // Whoever closed it is told so.
        self.with_rows(|_| Ok(()))?;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let start = self.start_for(after.0 + 1, end.address)?;
        let mut between = Between {
            after: after.0,
            until: after.0 + wanted as u64,
            next: start.position,
            events: Vec::with_capacity(wanted),
        };
        self.read_between(&mut between, start, end)?;
        Ok(between.events)
    }

    /// Reads what is wanted, or up to a damaged event, which is the error if no event is before it.
    fn read_between(&self, between: &mut Between, start: End, end: End) -> Result<(), StoreError> {
        let at_once = between.events.capacity() * 192;
        let mut frames = self.log.frames(start.address, end.address).at_once(at_once);
        let mut last = start;
        while between.next <= between.until {
            last = between.reached(&frames);
            match between.take(&mut frames) {
                Ok(()) => {}
                Err(LogError::Damage(damage)) => {
                    let gap = self.gap(last, end, &damage)?;
                    if let Err(damaged) = between.pass(&gap, &self.log) {
                        return between.stop_before(damaged);
                    }
                    frames = self.log.frames(gap.end, end.address).at_once(at_once);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if between.next == between.until + 1 {
            last = between.reached(&frames);
        }
        self.log.remember(last.position, last.address);
        Ok(())
    }

    /// Where reading begins to come to that position.
    fn start_for(&self, position: u64, end: u64) -> Result<End, LogError> {
        let gap = self.last_gap();
        if let Some(gap) = gap.filter(|gap| gap.positions.contains(&position)) {
            let (position, address) = (gap.positions.start, gap.start);
            return Ok(End { position, address });
        }
        let (position, address) = self.log.locate(position, end)?;
        Ok(End { position, address })
    }

    /// The damaged stretch of the log that begins there.
    fn gap(&self, from: End, end: End, damage: &Damage) -> Result<Arc<Gap>, StoreError> {
        if let Some(gap) = self.last_gap().filter(|gap| gap.start == from.address) {
            return Ok(gap);
        }
        let gap = self.with_rows(|rows| Gap::read(self, rows, from, end))?;
        if gap.positions.is_empty() {
            return Err(damage.clone().into());
        }
        let gap = Arc::new(gap);
        *self.gap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&gap));
        Ok(gap)
    }

    fn last_gap(&self) -> Option<Arc<Gap>> {
        let gap = self.gap.lock();
        gap.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The event at that position, if its frame is whole.
    pub(crate) fn event_at(&self, position: u64) -> Option<StoredEvent> {
        let end = self.end();
        let (first, address) = self.log.locate(position, end).ok()?;
        let mut frames = self.log.frames(address, end).at_once(0);
        let read = frames.next(first).ok()??;
        let events = Groups::new(first, read.block).and_then(Groups::events);
        let mut events = events.ok()?.into_iter();
        events.find(|event| event.position.0 == position)
    }

    pub(crate) fn with_rows<T>(
        &self,
        work: impl FnOnce(&Rows) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        work(rows.as_ref().ok_or_else(|| self.without_rows())?)
    }
}

impl Shared {
    /// Why there is no index: the store was closed, or its index failed and cannot be opened again yet.
    fn without_rows(&self) -> StoreError {
        match self.health.borrow().trouble.clone() {
            Some(why) if !self.progress.borrow().closed => StoreError::Unavailable(why),
            Some(_) | None => closed(),
        }
    }
}

/// What is damaged in the index alone is made again from the log when the store is opened the next time.
fn damaged_index(rows: &Rows, damage: &Damage) -> StoreError {
    let advice = match make_anew(rows.path()) {
        Ok(()) => "no event is lost: open the store again, and its index is made anew from the log",
        Err(_) => "no event is lost: remove the store's folder index and open it again",
    };
    StoreError::Corrupt(format!("{damage}; {advice}"))
}

/// Has an index made anew when the store is opened next.
pub(crate) fn make_anew(index: &Path) -> io::Result<()> {
    fs::write(index.join(REBUILD), "")
}

/// Stands in an index that is to be made anew.
pub(crate) const REBUILD: &str = "make-anew";

/// How many of the events after that place there are to be read.
fn wanted(after: u64, last: u64, max: usize) -> usize {
    let there = last.saturating_sub(after);
    max.min(usize::try_from(there).unwrap_or(usize::MAX))
}

fn missing(position: u64) -> Damage {
    Damage::new("the events from there on are missing").at(position)
}

/// Events of all calls as they are read, frame by frame.
struct Between {
    after: u64,
    until: u64,
    /// Where the next frame has to begin.
    next: u64,
    events: Vec<StoredEvent>,
}

impl Between {
    fn reached(&self, frames: &Frames<'_>) -> End {
        End {
            position: self.next,
            address: frames.address(),
        }
    }

    fn take(&mut self, frames: &mut Frames<'_>) -> Result<(), LogError> {
        let had = self.events.len();
        let taken = self.take_frame(frames);
        if taken.is_err() {
            self.events.truncate(had);
        }
        taken
    }

    fn take_frame(&mut self, frames: &mut Frames<'_>) -> Result<(), LogError> {
        let read = frames.next(self.next)?;
        let read = read.ok_or_else(|| missing(self.next))?;
        let mut groups = Groups::new(self.next, read.block)?;
        while let Some(group) = groups.next()? {
            if groups.next_position() <= self.after + 1 || group.first > self.until {
                continue;
            }
            let wanted = |position, _| position > self.after && position <= self.until;
            let events = &mut self.events;
            group.open()?.each(wanted, |event| events.push(event))?;
        }
        self.next = groups.next_position();
        Ok(())
    }

    /// Takes what is whole of a gap, up to the first event that is not.
    fn pass(&mut self, gap: &Gap, log: &Log) -> Result<(), DamagedEvent> {
        let from = gap.positions.start.max(self.after + 1);
        for position in from..gap.positions.end.min(self.until + 1) {
            self.events.push(gap.event(log, position)?);
        }
        self.next = gap.positions.end;
        Ok(())
    }

    fn stop_before(&self, damaged: DamagedEvent) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Err(damaged.into());
        }
        Ok(())
    }
}
