//! Commands go on while reads compute.
//!
//! The service runs on one thread here, and a read of the store blocks its thread, as computing does. If a read ran
//! where requests are served, no command would be answered.

use crate::read_models::{parsed, sent};
use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, EventStore, MemoryStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent,
};
use reqwest::header::ACCEPT;
use serde_json::json;
use std::sync::{Arc, Condvar, Mutex};
use tests::contract::in_time;
use tests::scenario::{ANA, connect_call};
use tests::service::{Running, Setup};
use tokio::sync::watch;

/// A store that blocks readers of its first event, as long as it is told to.
struct Blocking {
    store: MemoryStore,
    is_blocked: Mutex<bool>,
    changed: Condvar,
    blocks: watch::Sender<u64>,
}

impl Blocking {
    fn set(&self, blocked: bool) {
        *self.is_blocked.lock().unwrap() = blocked;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut blocked = self.is_blocked.lock().unwrap();
        if *blocked {
            self.blocks.send_modify(|times| *times += 1);
        }
        while *blocked {
            blocked = self.changed.wait(blocked).unwrap();
        }
    }
}

#[async_trait]
impl EventStore for Blocking {
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
        if call.as_str() == "c1" && after == Revision(0) {
            self.pass();
        }
        self.store.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if after == Position::START {
            self.pass();
        }
        self.store.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_read_that_computes_does_not_hold_up_commands() {
    let store = Arc::new(Blocking {
        store: MemoryStore::new(),
        is_blocked: Mutex::new(false),
        changed: Condvar::new(),
        blocks: watch::Sender::new(0),
    });
    let service = Running::with(Setup {
        store: Arc::clone(&store) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    let mut last = Position::START;
    for call in 1..=3 {
        last = sent(&service, &format!("c{call}"), connect_call(ANA)).await;
    }
    service
        .service
        .views
        .wait_for(last, std::time::Duration::from_mins(1))
        .await
        .unwrap();
    for (number, (path, accept)) in [
        ("/v1/calls/c1", "*/*"),
        ("/v1/calls/c1/events", "*/*"),
        ("/v1/calls/c1/events?form=whole", "*/*"),
        ("/v1/events", "application/json"),
        ("/v1/events", "application/x-ndjson"),
        ("/v1/calls", "application/json"),
        ("/v1/calls?agent=ana", "text/csv"),
        ("/v1/proof?count=1", "*/*"),
    ]
    .into_iter()
    .enumerate()
    {
        store.set(true);
        let mut blocks = store.blocks.subscribe();
        blocks.mark_unchanged();
        let question = service
            .get(&service.keys.auditor, path)
            .header(ACCEPT, accept);
        let read =
            tokio::spawn(async move { question.send().await.unwrap().text().await.unwrap() });
        // The feed has the last events at hand, so a proof may need no store.
        if !path.starts_with("/v1/proof") {
            in_time(blocks.changed()).await.unwrap();
        }
        let command = json!({"type": "connect_call", "agent": "agent:ana"});
        let answer = in_time(service.send(&format!("new{number}"), &command)).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(parsed(answer).await["accepted"], true);
        store.set(false);
        assert!(!in_time(read).await.unwrap().is_empty(), "{path}");
    }
    service.stop().await;
}
