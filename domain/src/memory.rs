//! A store in memory: for tests, and for whoever wants to try a file of commands without keeping it.

use crate::store::{AppendError, EventStore, StoreError, StoreInfo};
use async_trait::async_trait;
use rules::DamagedEvent;
use rules::envelope::{Batch, Head, StoredEvent};
use rules::ids::{CallId, Position, Revision, StoreId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// Keeps events until it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    id: StoreId,
    log: Mutex<Log>,
    last: watch::Sender<Position>,
}

/// All events in order, and where each call's stand among them.
#[derive(Debug, Default)]
struct Log {
    events: Vec<StoredEvent>,
    calls: HashMap<CallId, Vec<usize>>,
    /// The damaged events by position, and what is wrong with each.
    damaged: BTreeMap<Position, String>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            id: StoreId(Uuid::new_v4()),
            log: Mutex::default(),
            last: watch::Sender::new(Position::START),
        }
    }
}

impl MemoryStore {
    /// An empty store with an identity of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Damages the event at that position, if there is one: it can no longer be read, nor its call past it.
    pub fn damage(&self, position: Position, reason: &str) {
        let mut log = self.log();
        if log.at(position).is_some() {
            log.damaged.insert(position, reason.to_owned());
        }
    }

    /// Makes a damaged event readable again.
    pub fn mend(&self, position: Position) {
        self.log().damaged.remove(&position);
    }

    /// A panic elsewhere leaves the log whole: it changes only once nothing can fail any more.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn append(&mut self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let places = self.calls.entry(batch.call().clone()).or_default();
        let actual = Revision(places.len() as u64);
        let expected = batch.expected();
        let last = places.last().map(|&place| self.events[place].recorded.hash);
        let last = last.unwrap_or(Head::NONE.hash);
        if actual != expected.revision {
            return self.repeated(&batch).ok_or(AppendError::Conflict {
                expected: expected.revision,
                actual,
            });
        }
        if last != expected.hash {
            return Err(head_differs(&batch));
        }
        let first = self.events.len();
        let stored: Vec<_> = (first as u64 + 1..)
            .zip(batch.into_events())
            .map(|(position, recorded)| StoredEvent {
                position: Position(position),
                recorded,
            })
            .collect();
        places.extend(first..first + stored.len());
        self.events.extend(stored.iter().cloned());
        Ok(stored)
    }

    /// The events as kept, if the batch is there already.
    fn repeated(&self, batch: &Batch) -> Option<Vec<StoredEvent>> {
        let kept = self.of_call(batch.call(), batch.expected().revision);
        let kept: Vec<_> = kept.take(batch.events().len()).cloned().collect();
        let same = kept
            .iter()
            .map(|stored| &stored.recorded)
            .eq(batch.events());
        same.then_some(kept)
    }

    fn at(&self, position: Position) -> Option<&StoredEvent> {
        let place = usize::try_from(position.0.checked_sub(1)?).ok()?;
        self.events.get(place)
    }

    /// The events up to the first damaged one, which is the error if no event is before it.
    fn whole<'e>(
        &self,
        events: impl Iterator<Item = &'e StoredEvent>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut whole = Vec::new();
        for event in events {
            match self.damaged.get(&event.position) {
                None => whole.push(event.clone()),
                Some(_) if !whole.is_empty() => break,
                Some(reason) => return Err(damaged_event(event, reason).into()),
            }
        }
        Ok(whole)
    }

    fn of_call(&self, call: &CallId, after: Revision) -> impl Iterator<Item = &StoredEvent> {
        let places = self.calls.get(call).map_or(&[][..], Vec::as_slice);
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        places.iter().skip(after).map(|&place| &self.events[place])
    }
}

fn damaged_event(event: &StoredEvent, reason: &str) -> DamagedEvent {
    let call = &event.recorded.cause.call;
    DamagedEvent {
        position: event.position,
        call: Some(call.clone()),
        stream: format!("call-{call}"),
        number: event.recorded.revision.0 - 1,
        reason: reason.to_owned(),
    }
}

/// The revision is right and the hash is not: the caller's history is not this store's.
pub fn head_differs(batch: &Batch) -> AppendError {
    AppendError::Store(StoreError::Corrupt(format!(
        "the hash of call {} at revision {} is not the one the new events continue",
        batch.call(),
        batch.expected().revision
    )))
}

#[async_trait]
impl EventStore for MemoryStore {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let mut log = self.log();
        let stored = log.append(batch)?;
        self.last.send_replace(Position(log.events.len() as u64));
        Ok(stored)
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let log = self.log();
        let mut events = log.of_call(call, after);
        let damaged = events.find_map(|event| Some((event, log.damaged.get(&event.position)?)));
        match damaged {
            Some((event, reason)) => Err(damaged_event(event, reason).into()),
            None => Ok(log.of_call(call, after).cloned().collect()),
        }
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let log = self.log();
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        log.whole(log.events.iter().skip(after).take(max))
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        wait_past(&self.last, position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        let log = self.log();
        let events = log.events.len() as u64;
        let places = log.calls.values();
        let calls = places.filter(|places| !places.is_empty()).count();
        Ok(StoreInfo {
            id: self.id,
            format: "memory".to_owned(),
            events: Some(events),
            calls: Some(calls as u64),
            bytes_on_disk: None,
            last: Position(events),
            remarks: Vec::new(),
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Waits until the store's last position is past that one.
pub async fn wait_past(
    last: &watch::Sender<Position>,
    position: Position,
) -> Result<Position, StoreError> {
    let mut last = last.subscribe();
    let reached = last.wait_for(|last| *last > position).await;
    let reached = reached.map(|last| *last);
    reached.map_err(|_| StoreError::Unavailable("it was closed".to_owned()))
}
