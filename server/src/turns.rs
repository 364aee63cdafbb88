//! Turns at heavy computations, so that reads leave cores to commands.
//!
//! Everything that takes more than a fraction of a millisecond runs here, on a thread that may block, in pieces that
//! take a few milliseconds. Half of the cores compute at the same time, at least one. A key waits for its own turns
//! first and has at most one piece in the common queue, so a key that asks for much delays others by one piece.

use crate::access::Guards;
use crate::shares::Shares;
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// See the module.
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    keys: Shares,
}

/// A place among those that compute, and the key's turn.
struct Turn {
    _of_key: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// The key of computations that no key asked for.
pub(crate) const OWN: &str = "";

impl Turns {
    /// On half of the cores. Without keys all clients share the turns.
    pub(crate) fn new(guards: &Guards) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let places = (cores / 2).max(1);
        let of_each = if guards.keys().is_some() { 1 } else { places };
        Self::with(places, of_each)
    }

    fn with(places: usize, of_each: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            keys: Shares::of_each(of_each),
        }
    }

    /// Computes once it is the key's turn. The work goes on if the caller stops waiting, and keeps its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let turn = self.turn(key).await;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.expect("what is computed does not panic")
    }

    /// Runs the future until it first waits, as its turn; after that, without a turn. A store on this machine reads and
    /// decodes within the turn; a cluster is waited for outside it.
    pub(crate) async fn begin<T: Send + 'static>(
        &self,
        key: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let mut future = Box::pin(future);
        let begun = self.run(key, move || match future.as_mut().now_or_never() {
            Some(done) => Ok(done),
            None => Err(future),
        });
        match begun.await {
            Ok(done) => done,
            Err(future) => future.await,
        }
    }

    async fn turn(&self, key: &str) -> Turn {
        let of_key = self.keys.of(key).acquire_owned().await;
        let of_all = Arc::clone(&self.places).acquire_owned().await;
        let never_closed = "turns are never closed";
        Turn {
            _of_key: of_key.expect(never_closed),
            _of_all: of_all.expect(never_closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn no_more_compute_at_once_than_there_are_places() {
        let turns = Arc::new(Turns::with(2, 1));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..64).map(|number| {
            let (turns, now, most) = (Arc::clone(&turns), Arc::clone(&now), Arc::clone(&most));
            async move {
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                turns.run(&format!("key{}", number % 8), work).await;
            }
        });
        futures_util::future::join_all(tasks).await;
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_key_that_asks_for_much_delays_others_by_one_piece() {
        let turns = Arc::new(Turns::with(1, 1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let mut tasks = Vec::new();
        let first = Arc::clone(&turns);
        tasks.push(tokio::spawn(async move {
            let work = move || {
                started.send(()).unwrap();
                wait.recv().unwrap();
            };
            first.run("greedy", work).await;
        }));
        has_started.await.unwrap();
        let names = (0..10).map(|_| "greedy").chain(["modest"]);
        for name in names {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                turns
                    .run(name, move || order.lock().unwrap().push(name))
                    .await;
            }));
        }
        // The test runs on one thread, so after this all of them wait.
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let place = order.iter().position(|name| *name == "modest");
        assert!(place.unwrap() <= 1, "{order:?}");
    }

    #[tokio::test]
    async fn what_waits_for_something_else_holds_no_turn() {
        let turns = Arc::new(Turns::with(1, 1));
        let (answer, answered) = oneshot::channel::<u64>();
        let begun = turns.begin("waits", async move { answered.await.unwrap() });
        let other = async {
            assert_eq!(turns.run("other", || 1).await, 1);
            answer.send(7).unwrap();
        };
        let (seven, ()) = tokio::join!(begun, other);
        assert_eq!(seven, 7);
    }
}
