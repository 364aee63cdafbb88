//! The loop that takes commands, where the store or its caller does not behave.

use async_trait::async_trait;
use domain::json::parse_command;
use domain::{
    Answer, AppendError, Batch, CallId, EventStore, HandleError, Handler, MemoryStore, Position,
    Revision, StoreError, StoreId, StoreInfo, StoredEvent,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Keeps what it is given, and then, if it was told to, never answers.
#[derive(Default)]
struct Mute {
    store: MemoryStore,
    silent: AtomicBool,
    kept: Notify,
}

#[async_trait]
impl EventStore for Mute {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let stored = self.store.append(batch).await;
        if self.silent.load(Ordering::Relaxed) {
            self.kept.notify_one();
            std::future::pending::<()>().await;
        }
        stored
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read_all(after, max).await
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

async fn ask(handler: &Handler, line: &str) -> Result<Answer, HandleError> {
    let request = parse_command(line).expect("the test writes commands");
    handler
        .handle(&request, handler.random_id(), handler.now())
        .await
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_leaves_nothing_stale() {
    let store = Arc::new(Mute::default());
    let handler = Handler::new(Arc::clone(&store) as Arc<dyn EventStore>);
    let connect = r#"{"call":"c1","type":"connect_call","agent":"agent:ana"}"#;
    ask(&handler, connect).await.expect("accepted");
    store.silent.store(true, Ordering::Relaxed);
    let hold = r#"{"call":"c1","type":"hold","by":"agent:ana","party":"customer"}"#;
    tokio::select! {
        answer = ask(&handler, hold) => panic!("the store is silent: {answer:?}"),
        () = store.kept.notified() => {}
    }
    store.silent.store(false, Ordering::Relaxed);
    // By what the handler knew before, the customer is not held, and a rule would refuse.
    let resume = r#"{"call":"c1","type":"resume","by":"agent:ana","party":"customer"}"#;
    let resumed = ask(&handler, resume).await.expect("the hold was kept");
    assert_eq!(resumed.revision(), Revision(3));
}
