//! Stores with events in them, for what reads them.

use crate::Run;
use crate::calls::{EVENTS_OF_CALL, commands_of};
use crate::sides::{Kaigi, LayoutD, Side, Sqlite};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tempfile::TempDir;

/// How many calls go on at once, and so how far the events of one lie apart.
const CALLS_AT_ONCE: usize = 64;

/// How many events a command brings about where nothing else is said.
pub(crate) const EVENTS_OF_COMMAND: usize = 3;

/// The same calls in each of the sides that can be read.
pub(crate) struct Filled {
    folder: TempDir,
    pub(crate) calls: u64,
}

impl Filled {
    pub(crate) fn by(run: &Run) -> Self {
        let folder = tempfile::tempdir_in(run.folder).expect("a folder can be made");
        let calls = run.events / EVENTS_OF_CALL;
        run.runtime.block_on(async {
            fill::<Kaigi>(folder.path(), calls, EVENTS_OF_COMMAND).await;
            fill::<Sqlite>(folder.path(), calls, EVENTS_OF_COMMAND).await;
            fill::<LayoutD>(folder.path(), calls, EVENTS_OF_COMMAND).await;
        });
        Self { folder, calls }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn events(&self) -> u64 {
        self.calls * EVENTS_OF_CALL
    }
}

/// Opens the side in the folder, plays the calls, and closes it.
pub(crate) async fn fill<S: Side>(folder: &Path, calls: u64, events_of_command: usize) {
    let side = Arc::new(S::open(folder).await);
    play(&side, 0..calls, events_of_command).await;
    let side = Arc::into_inner(side).expect("the writers are done");
    side.close().await;
}

/// Plays the calls, many at once; each is made when its turn comes.
pub(crate) async fn play<S: Side>(side: &Arc<S>, calls: Range<u64>, events_of_command: usize) {
    let next = Arc::new(AtomicU64::new(calls.start));
    let writers = (0..CALLS_AT_ONCE).map(|_| {
        let (side, next) = (Arc::clone(side), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= calls.end {
                    return;
                }
                for batch in commands_of(number, events_of_command) {
                    side.append(S::command(&batch)).await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer does not panic");
    }
}
