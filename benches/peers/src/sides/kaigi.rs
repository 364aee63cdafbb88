//! Our store, through the port, as everybody uses it.

use super::{Counts, Readable, Side};
use domain::{Batch, CallId, EventStore, Position, Revision, StoredEvent};
use std::path::Path;
use store_sled::SledStore;
use tokio::runtime::Runtime;

/// How many events a reader takes at once.
const PAGE: usize = 4096;

pub(crate) struct Kaigi(SledStore);

fn opened(folder: &Path) -> SledStore {
    SledStore::open(&folder.join("calls")).expect("the store opens")
}

impl Side for Kaigi {
    const NAME: &'static str = "kaigi";

    type Command = Batch;

    fn command(batch: &Batch) -> Batch {
        batch.clone()
    }

    async fn open(folder: &Path) -> Self {
        Self(opened(folder))
    }

    async fn append(&self, command: Batch) {
        let kept = self.0.append(command).await;
        kept.expect("nobody else writes to the call");
    }

    fn counts(&self) -> Counts {
        let stats = self.0.stats();
        Counts {
            commits: Some(stats.commits),
            syncs: Some(stats.syncs),
        }
    }

    async fn close(self) {
        self.0.close().await.expect("the store closes");
    }
}

/// The store and the one thread that reads it.
pub(crate) struct KaigiReader(SledStore, Runtime);

impl Readable for KaigiReader {
    const NAME: &'static str = Kaigi::NAME;

    fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self(
            opened(folder),
            runtime.expect("it needs no more than a thread"),
        )
    }

    fn scan(&self, mut page: impl FnMut(&[StoredEvent])) {
        let Self(store, runtime) = self;
        runtime.block_on(async {
            let mut after = Position::START;
            loop {
                let events = store.read_all(after, PAGE).await;
                let events = events.expect("it can be read");
                let Some(last) = events.last() else { return };
                after = last.position;
                page(&events);
            }
        });
    }

    fn call(&self, call: &CallId) -> Vec<StoredEvent> {
        let Self(store, runtime) = self;
        let events = runtime.block_on(store.read_call(call, Revision(0)));
        events.expect("it can be read")
    }
}
