//! The contract, put to every store there is.

use async_trait::async_trait;
use domain::{AppendError, Batch, EventStore, Head, MemoryStore, Position, Revision, StoredEvent};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use store_sled::SledStore;
use tempfile::TempDir;
use tests::contract::{Opener, a_whole_call, batches, chatter};
use tests::store_contract;

store_contract! {
    memory: Memory;
    sled_fresh: Sled::new();
    sled_reopened: Reopened(Sled::new());
}

/// Lives as long as it is open.
struct Memory;

#[async_trait]
impl Opener for Memory {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(MemoryStore::new())
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        store
    }
}

/// In a folder that goes when the test ends.
struct Sled(TempDir);

impl Sled {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

#[async_trait]
impl Opener for Sled {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(SledStore::open(&self.path()).expect("a store"))
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        store.close().await.expect("closed");
        drop(store);
        self.open().await
    }
}

/// Holds a call already, and was closed and opened since.
struct Reopened(Sled);

#[async_trait]
impl Opener for Reopened {
    async fn open(&self) -> Arc<dyn EventStore> {
        let store = self.0.open().await;
        for batch in batches(&"earlier".parse().expect("a call"), a_whole_call()).await {
            store.append(batch).await.expect("kept");
        }
        self.0.reopen(store).await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        self.0.reopen(store).await
    }
}

#[test]
fn a_batch_without_events_is_none() {
    assert!(Batch::new(Head::NONE, Vec::new()).is_err());
}

/// What may happen to a store, whatever its kind.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The call's next batch comes.
    Next(usize),
    /// One of its batches comes again, or too early, or from another history.
    Stray {
        call: usize,
        batch: usize,
        history: usize,
    },
    Reopen,
}

const CALLS: usize = 3;
const HISTORIES: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CALLS).prop_map(Step::Next),
        3 => (0..CALLS, 0..8_usize, 0..HISTORIES)
            .prop_map(|(call, batch, history)| Step::Stray { call, batch, history }),
        1 => Just(Step::Reopen),
    ]
}

/// Two different histories of each call.
fn histories() -> &'static [[Vec<Batch>; HISTORIES]; CALLS] {
    static ALL: OnceLock<[[Vec<Batch>; HISTORIES]; CALLS]> = OnceLock::new();
    ALL.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let history = |call: usize, story| {
            let call = format!("call-{call}").parse().expect("a call");
            runtime.block_on(batches(&call, story))
        };
        std::array::from_fn(|call| [history(call, a_whole_call()), history(call, chatter(30))])
    })
}

/// What the store answered, step by step, and what it holds in the end.
async fn answers(
    opener: &impl Opener,
    steps: &[Step],
) -> (
    Vec<Result<Vec<StoredEvent>, AppendError>>,
    Vec<Vec<StoredEvent>>,
) {
    let mut store = opener.open().await;
    let mut kept = [0; CALLS];
    let mut answers = Vec::new();
    for step in steps {
        let batch = match *step {
            Step::Next(call) => histories()[call][0].get(kept[call]),
            Step::Stray {
                call,
                batch,
                history,
            } => histories()[call][history].get(batch),
            Step::Reopen => {
                store = opener.reopen(store).await;
                None
            }
        };
        let Some(batch) = batch else { continue };
        let answer = store.append(batch.clone()).await;
        if let (Step::Next(call), Ok(_)) = (step, &answer) {
            kept[*call] += 1;
        }
        answers.push(answer);
    }
    (answers, held(&*store).await)
}

/// All events in pages of different sizes, and every call after every revision.
async fn held(store: &dyn EventStore) -> Vec<Vec<StoredEvent>> {
    let mut held = Vec::new();
    for page in [2, 1000] {
        for after in 0..60 {
            held.push(
                store
                    .read_all(Position(after), page)
                    .await
                    .expect("readable"),
            );
        }
    }
    for call in histories() {
        for after in 0..40 {
            let events = store.read_call(call[0][0].call(), Revision(after)).await;
            held.push(events.expect("readable"));
        }
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked of them in whatever order, the stores say the same.
    #[test]
    fn stores_cannot_be_told_apart(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.expect("a runtime");
        histories();
        let memory = runtime.block_on(answers(&Memory, &steps));
        let sled = runtime.block_on(answers(&Sled::new(), &steps));
        prop_assert_eq!(memory, sled);
    }
}
