//! How long a write may wait for its answer before the call's stream is read beside it.
//!
//! Over a slow line that read shows what was written at about the time of the answer, and saves the read after it. So it
//! comes the earlier the more often it finds the batch, and later again where it came too early.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An answer that takes longer may be lost, or the server has dropped a repetition of a write still under way.
const LONGEST_US: u64 = 100_000;

/// Nearby servers answer sooner, and then nothing is read beside.
const SHORTEST_US: u64 = 5_000;

/// The wait before a look, as the looks so far suggest it.
pub(crate) struct Pace(AtomicU64);

impl Pace {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(LONGEST_US))
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// The look found the batch with its first read.
    pub(crate) fn came_in_time(&self) {
        let wait = self.0.load(Ordering::Relaxed);
        self.0
            .store((wait * 3 / 4).max(SHORTEST_US), Ordering::Relaxed);
    }

    /// Its first read found nothing.
    pub(crate) fn came_too_early(&self) {
        let wait = self.0.load(Ordering::Relaxed);
        self.0.store((wait * 2).min(LONGEST_US), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_shrinks_with_looks_in_time_and_grows_with_early_ones_within_its_limits() {
        let pace = Pace::new();
        pace.came_too_early();
        assert_eq!(pace.wait(), Duration::from_millis(100));
        for _ in 0..100 {
            let before = pace.wait();
            pace.came_in_time();
            assert!(pace.wait() <= before);
        }
        assert_eq!(pace.wait(), Duration::from_millis(5));
        pace.came_too_early();
        assert_eq!(pace.wait(), Duration::from_millis(10));
    }
}
