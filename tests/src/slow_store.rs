//! A store whose every answer takes a time that the test chooses, and that is away at times. It holds nothing itself.

use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, EventStore, Position, Revision, StoreError, StoreId, StoreInfo,
    StoredEvent,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// See the module. A write is not delayed: what is acknowledged is there, and readers learn of it late.
pub struct SlowStore {
    inner: Arc<dyn EventStore>,
    /// The time that each answer takes, one after the other and from the first one again.
    delays: Vec<Duration>,
    next: AtomicUsize,
    began: Instant,
    /// When it is away, in seconds since it began.
    outages: Vec<std::ops::Range<u64>>,
}

impl SlowStore {
    /// A store that answers like that one, later.
    pub fn new(inner: Arc<dyn EventStore>, delays: Vec<Duration>) -> Self {
        Self {
            inner,
            delays,
            next: AtomicUsize::new(0),
            began: Instant::now(),
            outages: Vec::new(),
        }
    }

    /// It cannot be read in those seconds since its beginning.
    #[must_use]
    pub fn away(mut self, seconds: impl IntoIterator<Item = std::ops::Range<u64>>) -> Self {
        self.outages.extend(seconds);
        self
    }

    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = answer.await;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(delay) = self.delays.get(turn % self.delays.len().max(1)) {
            sleep(*delay).await;
        }
        let second = self.began.elapsed().as_secs();
        if self.outages.iter().any(|outage| outage.contains(&second)) {
            return Err(StoreError::Unavailable("no node leads just now".to_owned()));
        }
        answer
    }
}

#[async_trait]
impl EventStore for SlowStore {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.inner.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.answer(self.inner.read_call(call, after)).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.answer(self.inner.read_all(after, max)).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.answer(self.inner.wait_past(position)).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.answer(self.inner.info()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
