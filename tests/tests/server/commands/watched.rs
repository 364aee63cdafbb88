//! A store in memory that can be made to wait or to fail, and that tells how many wait.

use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, EventStore, MemoryStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::service::{Running, Setup};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long what must come is waited for.
const BOUND: Duration = Duration::from_mins(1);

pub(crate) struct Watched {
    inner: MemoryStore,
    open: watch::Sender<bool>,
    waiting: watch::Sender<Waiting>,
    faults: Mutex<HashMap<CallId, AppendError>>,
    is_defective: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Waiting {
    now: usize,
    most: usize,
}

impl Watched {
    /// One that takes what comes.
    pub(crate) fn open() -> Self {
        Self {
            inner: MemoryStore::new(),
            open: watch::Sender::new(true),
            waiting: watch::Sender::default(),
            faults: Mutex::default(),
            is_defective: false,
        }
    }

    /// One that keeps whoever writes waiting.
    pub(crate) fn shut() -> Self {
        let store = Self::open();
        store.open.send_replace(false);
        store
    }

    /// Fails whatever is written to that call.
    pub(crate) fn failing(self, call: &str, error: AppendError) -> Self {
        let call = call.parse().expect("the call is valid");
        self.faults.lock().unwrap().insert(call, error);
        self
    }

    /// Fails no more.
    pub(crate) fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Panics whenever it is asked for a call.
    pub(crate) fn defective(mut self) -> Self {
        self.is_defective = true;
        self
    }

    /// Keeps whoever writes waiting from now on.
    pub(crate) fn keep_out(&self) {
        self.open.send_replace(false);
    }

    /// A service on it.
    pub(crate) async fn served(self) -> (Arc<Self>, Running) {
        let store = Arc::new(self);
        let setup = Setup {
            store: Arc::clone(&store) as Arc<dyn EventStore>,
            ..Setup::default()
        };
        (store, Running::with(setup).await)
    }

    /// Lets everybody in.
    pub(crate) fn let_in(&self) {
        self.open.send_replace(true);
    }

    /// Until so many wait to be let in.
    pub(crate) async fn until_waiting(&self, wanted: usize) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|waiting| waiting.now == wanted);
        let reached = timeout(BOUND, reached).await;
        reached.expect("they come").expect("the store lives");
    }

    /// How many were being written at once at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.waiting.borrow().most
    }

    /// Until it holds so many events.
    pub(crate) async fn until_holding(&self, events: u64) {
        let before = Position(events - 1);
        let reached = timeout(BOUND, self.inner.wait_past(before)).await;
        reached.expect("they come").expect("it answers");
    }

    pub(crate) async fn events(&self) -> u64 {
        self.inner.info().await.expect("it answers").last.0
    }
}

#[async_trait]
impl EventStore for Watched {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let fault = self.faults.lock().unwrap().get(batch.call()).cloned();
        if let Some(error) = fault {
            return Err(error);
        }
        self.waiting.send_modify(|waiting| {
            waiting.now += 1;
            waiting.most = waiting.most.max(waiting.now);
        });
        let mut open = self.open.subscribe();
        let let_in = open.wait_for(|open| *open).await;
        let_in.expect("the store lives");
        self.waiting.send_modify(|waiting| waiting.now -= 1);
        self.inner.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        assert!(!self.is_defective, "a defect that the test wants");
        self.inner.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.inner.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.inner.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
