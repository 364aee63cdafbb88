//! A store may answer fewer events than it was asked for: what it has left is read, too, and damage is not its end.

use crate::calls::every_call_is_found;
use crate::read_models::{
    begun, every_list_is_what_the_projection_says, in_the_middle_of_a_day_on, parsed, standing,
};
use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, EventStore, MemoryStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent,
};
use reqwest::Method;
use serde_json::Value;
use simulate::Day;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::service::{Running, Setup};

/// So many events are answered at most.
const AT_MOST: usize = 7;

/// A store that answers a few events at once, whatever it is asked for, and none past where it is damaged.
struct Short {
    store: MemoryStore,
    damaged_after: AtomicU64,
}

impl Short {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            damaged_after: AtomicU64::new(u64::MAX),
        })
    }

    fn damage_after(&self, position: u64) {
        self.damaged_after.store(position, Ordering::SeqCst);
    }
}

#[async_trait]
impl EventStore for Short {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let damaged_after = self.damaged_after.load(Ordering::SeqCst);
        if after.0 >= damaged_after {
            return Err(StoreError::Corrupt("an event is damaged".to_owned()));
        }
        let mut events = self.store.read_all(after, max.min(AT_MOST)).await?;
        events.retain(|event| event.position.0 <= damaged_after);
        Ok(events)
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[tokio::test]
async fn every_call_and_every_list_are_whole_on_a_store_with_short_pages() {
    let (service, last) = in_the_middle_of_a_day_on(Short::new()).await;
    every_call_is_found(&service, last).await;
    every_list_is_what_the_projection_says(&service, last).await;
    service.stop().await;
}

#[tokio::test]
async fn short_pages_are_not_the_end_of_the_store() {
    let store: Arc<dyn EventStore> = Short::new();
    begun(&store, Day { calls: 40, seed: 1 }).await;
    let last = store.info().await.unwrap().last;
    let service = Running::with(Setup {
        store,
        ..Setup::default()
    })
    .await;
    let views = &service.service.views;
    while !views.caught_up() {
        tokio::task::yield_now().await;
    }
    assert_eq!(views.position(), last);
    service.stop().await;
}

#[tokio::test]
async fn a_rebuild_on_short_pages_takes_in_everything() {
    let (service, last) = in_the_middle_of_a_day_on(Short::new()).await;
    let operator = &service.keys.operator;
    let rebuild = service.request(Method::POST, operator, "/v1/read-models/rebuild");
    assert_eq!(rebuild.send().await.unwrap().status(), 202);
    while !standing(&service).await["rebuilding"].is_null() {
        tokio::task::yield_now().await;
    }
    every_list_is_what_the_projection_says(&service, last).await;
    service.stop().await;
}

#[tokio::test]
async fn calls_behind_damage_are_not_left_out_unsaid() {
    let store = Short::new();
    let (service, last) =
        in_the_middle_of_a_day_on(Arc::clone(&store) as Arc<dyn EventStore>).await;
    store.damage_after(last.0 - 10);
    let auditor = &service.keys.auditor;
    let answer = service.get(auditor, "/v1/calls").send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let problem: Value = parsed(answer).await;
    assert_eq!(problem["code"], "store_damaged");
    service.stop().await;
}
