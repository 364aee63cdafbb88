//! Commands on a store that fails now and then, before or after it has written.

use async_trait::async_trait;
use domain::json::write_command;
use domain::{
    AppendError, Batch, CallId, EventStore, Handler, MemoryStore, Position, Revision, StoreError,
    StoreId, StoreInfo, StoredEvent,
};
use kaigi::exit::Exit;
use kaigi::run::{Stopped, Tally};
use serde_json::Value;
use simulate::{Day, simulate};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A store that is away at some of the calls.
struct Flaky {
    inner: MemoryStore,
    calls: AtomicUsize,
    /// How many of ten calls fail.
    failing: usize,
}

impl Flaky {
    fn failing(failing: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            calls: AtomicUsize::new(0),
            failing,
        })
    }

    fn is_away(&self) -> bool {
        // Failures are spread over the ten.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        (call * 7) % 10 < self.failing
    }
}

fn away<T, E: From<StoreError>>() -> Result<T, E> {
    Err(StoreError::Unavailable("no leader".to_owned()).into())
}

#[async_trait]
impl EventStore for Flaky {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        if self.is_away() {
            return away();
        }
        let written = self.inner.append(batch).await;
        if self.is_away() { away() } else { written }
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        if self.is_away() {
            return away();
        }
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

/// The answers to a day of commands on that store, without what differs from run to run.
async fn run(store: &Arc<Flaky>, patience: Duration) -> (Exit, Tally, Vec<Value>) {
    let day = simulate(&Day { calls: 12, seed: 3 });
    let lines: Vec<_> = day.map(|request| write_command(&request)).collect();
    let input = Box::new(Cursor::new(lines.join("\n").into_bytes()));
    let handler = Arc::new(Handler::new(Arc::clone(store) as Arc<dyn EventStore>));
    let mut printed = Vec::new();
    let (exit, tally) = kaigi::run::run(handler, patience, input, &mut printed, |_| ()).await;
    let printed = String::from_utf8(printed).unwrap();
    let answers = printed.lines().map(decision).collect();
    (exit, tally, answers)
}

fn decision(line: &str) -> Value {
    let answer: Value = serde_json::from_str(line).unwrap();
    let fields = ["line", "id", "accepted", "revision", "rejection"];
    fields.map(|field| answer[field].clone()).to_vec().into()
}

/// Each call's events, in order, without what differs from run to run.
async fn histories(store: &Flaky) -> Vec<(String, u64, String)> {
    let events = store.read_all(Position::START, 100_000).await.unwrap();
    let mut events: Vec<_> = events
        .into_iter()
        .map(|stored| {
            let recorded = stored.recorded;
            let event = format!("{:?}", recorded.event);
            (recorded.cause.call.to_string(), recorded.revision.0, event)
        })
        .collect();
    events.sort();
    events
}

const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn with_a_store_that_fails_often_calls_become_what_they_would_without() {
    let (flaky, steady) = (Flaky::failing(4), Flaky::failing(0));
    let (exit, tally, answers) = run(&flaky, PATIENCE).await;
    let (_, _, expected) = run(&steady, PATIENCE).await;
    assert_eq!((exit, tally.undecided), (Exit::Done, 0));
    assert_eq!(answers, expected);
    assert_eq!(histories(&flaky).await, histories(&steady).await);
}

#[tokio::test]
async fn with_a_store_that_never_answers_each_line_is_undecided_once_patience_ends() {
    let (exit, tally, answers) = run(&Flaky::failing(10), Duration::from_millis(300)).await;
    assert_eq!(exit, Exit::TryAgain);
    assert_eq!(tally.stopped, Some(Stopped::ByStore));
    assert_eq!(tally.undecided, answers.len() as u64);
    let lines = answers.iter().map(|answer| answer[0].as_u64());
    assert!(lines.eq((1..=tally.lines).map(Some)));
}
