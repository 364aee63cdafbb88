//! What the store's threads count while they work, for whoever asks how it is doing.

use domain::{CommitFigures, Spread};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Up to how many events a commit keeps, group by group.
const EVENTS: &[u64] = &[
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
];

/// Up to how many microseconds a sync takes, group by group.
const SYNC_US: &[u64] = &[
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

pub(crate) struct Counts {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) index_rows: AtomicU64,
    pub(crate) replayed: AtomicU64,
    events: Groups,
    sync_us: Groups,
}

/// Values, counted by their size. One thread counts, others may look on, for whom a value more or less is the same.
struct Groups {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            index_rows: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            events: Groups::by(EVENTS),
            sync_us: Groups::by(SYNC_US),
        }
    }
}

impl Counts {
    /// Counts a commit of so many events, which the disk took so long to keep.
    pub(crate) fn committed(&self, events: u64, synced: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.events.count(events);
        let us = u64::try_from(synced.as_micros()).unwrap_or(u64::MAX);
        self.sync_us.count(us);
    }

    pub(crate) fn figures(&self) -> CommitFigures {
        CommitFigures {
            events: self.events.spread(),
            sync_us: self.sync_us.spread(),
        }
    }
}

impl Groups {
    fn by(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0));
        Self {
            bounds,
            counts: counts.collect(),
            sum: AtomicU64::new(0),
        }
    }

    fn count(&self, value: u64) {
        let group = self.bounds.partition_point(|bound| *bound < value);
        self.counts[group].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn spread(&self) -> Spread {
        Spread {
            bounds: self.bounds,
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_with_those_up_to_its_bound_and_a_larger_one_with_the_last() {
        let counts = Counts::default();
        for events in [1, 2, 3, 4, 8192, 8193] {
            counts.committed(events, Duration::from_micros(25));
        }
        let CommitFigures { events, sync_us } = counts.figures();
        assert_eq!(events.counts[..3], [1, 1, 2]);
        assert_eq!(events.counts[13..], [1, 1]);
        assert_eq!(events.sum, 16_395);
        assert_eq!((sync_us.counts[0], sync_us.sum), (6, 150));
    }
}
