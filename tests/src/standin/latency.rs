//! The distance between server and client: every answer arrives later by the same time.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, sleep_until};

/// How many answers of one session may be on their way at once.
const ON_THE_WAY: usize = 4096;

/// How much later each answer arrives, in whole milliseconds. Answers do not wait for each other.
#[derive(Debug, Default)]
pub(super) struct Latency {
    ms: AtomicU64,
}

impl Latency {
    pub(super) fn set(&self, latency: Duration) {
        let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }

    /// Delays the answer of one call. The response of a stream is delayed once, as a whole.
    pub(super) async fn delay<T>(&self, answer: impl Future<Output = T>) -> T {
        let answer = answer.await;
        let latency = self.get();
        if !latency.is_zero() {
            sleep(latency).await;
        }
        answer
    }
}

/// Delays each answer of a session, which is one long response, and keeps their order.
pub(super) struct Delayed<T> {
    on_the_way: Sender<(Instant, T)>,
}

impl<T> Clone for Delayed<T> {
    fn clone(&self) -> Self {
        let on_the_way = self.on_the_way.clone();
        Self { on_the_way }
    }
}

impl<T: Send + 'static> Delayed<T> {
    pub(super) fn before(answers: Sender<T>) -> Self {
        let (on_the_way, arriving) = channel(ON_THE_WAY);
        tokio::spawn(deliver(arriving, answers));
        Self { on_the_way }
    }

    /// Sends the answer on its way; false once the client is gone.
    pub(super) async fn send(&self, answer: T, latency: Duration) -> bool {
        let arrival = Instant::now() + latency;
        self.on_the_way.send((arrival, answer)).await.is_ok()
    }

    /// The same after a while, in which other answers go out.
    pub(super) fn send_aside(self, answer: T, wait: Duration, latency: Duration) {
        tokio::spawn(async move {
            sleep(wait).await;
            self.send(answer, latency).await
        });
    }
}

async fn deliver<T>(mut arriving: Receiver<(Instant, T)>, answers: Sender<T>) {
    while let Some((arrival, answer)) = arriving.recv().await {
        sleep_until(arrival).await;
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}
