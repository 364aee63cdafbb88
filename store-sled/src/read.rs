//! What readers share with the committing thread, and how they read.

use crate::block::Groups;
use crate::damage::Damage;
use crate::error::{closed, failed_read};
use crate::guard::guarded;
use crate::index::Index;
use crate::keys;
use domain::{CallId, Position, Revision, StoreError, StoredEvent};
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// What readers see. Only the committing thread changes it, once its commit is durable.
pub(crate) struct Shared {
    /// None once the store is closed.
    db: RwLock<Option<sled::Db>>,
    index: RwLock<Index>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) counts: Counts,
}

/// How far the store is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The last durable position: nothing behind it is ever shown.
    pub(crate) last: u64,
    pub(crate) closed: bool,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) index_rows: AtomicU64,
    pub(crate) replayed: AtomicU64,
}

impl Shared {
    pub(crate) fn new(db: sled::Db, index: Index, last: u64) -> Self {
        let closed = false;
        Self {
            db: RwLock::new(Some(db)),
            index: RwLock::new(index),
            progress: watch::Sender::new(Progress { last, closed }),
            counts: Counts::default(),
        }
    }

    /// A panic elsewhere leaves the index whole: it changes only where nothing can fail any more.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self) -> u64 {
        self.progress.borrow().last
    }

    /// Lets go of the files once nobody reads any more; whoever waits is told.
    pub(crate) fn release(&self) {
        let db = self
            .db
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.progress.send_modify(|progress| progress.closed = true);
        // Dropping syncs the files; what fails there was acknowledged as durable before.
        let _ = guarded(|| drop(db));
    }

    /// At most `max` events of the call after that revision.
    pub(crate) fn read_call(
        &self,
        call: &CallId,
        after: Revision,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (blocks, head) = {
            let index = self.index();
            (index.blocks_after(call, after), index.head(call))
        };
        let wanted = wanted(after.0, head.revision.0, max);
        self.with_db(|db| {
            let mut of_call = OfCall {
                call,
                after,
                wanted,
                events: Vec::with_capacity(wanted),
            };
            for first in blocks {
                of_call.take(db, first)?;
            }
            of_call.complete()
        })
    }

    /// At most `max` events of all calls after that position.
    pub(crate) fn read_all(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let wanted = wanted(after.0, self.last(), max);
        self.with_db(|db| {
            if wanted == 0 {
                return Ok(Vec::new());
            }
            let mut between = Between {
                after: after.0,
                until: after.0 + wanted as u64,
                next: first_of_block_with(db, after.0 + 1)?,
                events: Vec::with_capacity(wanted),
            };
            let end = keys::block(between.until + 1);
            for block in db.range(keys::block(between.next)..end) {
                let (key, block) = block.map_err(failed_read)?;
                between.take(keys::first_of_block(&key), &block)?;
            }
            between.complete()
        })
    }

    pub(crate) fn with_db<T>(
        &self,
        work: impl FnOnce(&sled::Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(closed)?;
        guarded(|| work(db)).unwrap_or_else(|said| Err(StoreError::Corrupt(said)))
    }
}

/// How many of the events after that place there are to be read.
fn wanted(after: u64, last: u64, max: usize) -> usize {
    let there = last.saturating_sub(after);
    max.min(usize::try_from(there).unwrap_or(usize::MAX))
}

/// Where the block begins that holds the position.
fn first_of_block_with(db: &sled::Db, position: u64) -> Result<u64, StoreError> {
    let key = keys::block(position);
    // Readers that read on from where they were mostly stand at a block's end.
    if db.contains_key(key).map_err(failed_read)? {
        return Ok(position);
    }
    let before = db.get_lt(key).map_err(failed_read)?;
    let first = before.and_then(|(key, _)| keys::first_of_block(&key));
    first.ok_or_else(|| missing(position).into())
}

fn missing(position: u64) -> Damage {
    Damage::new("the events from there on are missing").at(position)
}

/// Events of one call as they are read, block by block.
struct OfCall<'a> {
    call: &'a CallId,
    after: Revision,
    wanted: usize,
    events: Vec<StoredEvent>,
}

impl OfCall<'_> {
    fn next_revision(&self) -> u64 {
        self.after.plus(self.events.len() + 1).0
    }

    fn damaged(&self, damage: Damage) -> Damage {
        damage.or_of(self.call.as_str(), self.next_revision())
    }

    fn take(&mut self, db: &sled::Db, first: u64) -> Result<(), StoreError> {
        if self.events.len() == self.wanted {
            return Ok(());
        }
        let block = db.get(keys::block(first)).map_err(failed_read)?;
        let block = block.ok_or_else(|| self.damaged(missing(first)))?;
        self.take_from(first, &block)
            .map_err(|damage| self.damaged(damage).into())
    }

    fn take_from(&mut self, first: u64, block: &[u8]) -> Result<(), Damage> {
        let mut groups = Groups::new(first, block)?;
        while let Some(group) = groups.next()? {
            if group.call != self.call.as_str() {
                continue;
            }
            let (next, last) = (self.next_revision(), self.after.plus(self.wanted).0);
            let group = group.open()?;
            if group.first_revision() > next {
                return Err(Damage::new("the event is missing"));
            }
            let wanted = |_, revision: Revision| (next..=last).contains(&revision.0);
            group.each(wanted, |event| self.events.push(event))?;
        }
        Ok(())
    }

    fn complete(self) -> Result<Vec<StoredEvent>, StoreError> {
        if self.events.len() == self.wanted {
            return Ok(self.events);
        }
        Err(self.damaged(Damage::new("the event is missing")).into())
    }
}

/// Events of all calls as they are read, block by block.
struct Between {
    after: u64,
    until: u64,
    /// Where the next block has to begin.
    next: u64,
    events: Vec<StoredEvent>,
}

impl Between {
    fn take(&mut self, first: Option<u64>, block: &[u8]) -> Result<(), Damage> {
        if first != Some(self.next) {
            return Err(missing(self.next));
        }
        let mut groups = Groups::new(self.next, block)?;
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

    fn complete(self) -> Result<Vec<StoredEvent>, StoreError> {
        if self.next > self.until {
            return Ok(self.events);
        }
        Err(missing(self.next).into())
    }
}
