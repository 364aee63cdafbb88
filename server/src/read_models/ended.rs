//! How long calls took that ended while this process looked on, counted by length.

use domain::{CallId, Event, Spread, StoredEvent, Timestamp};
use projections::{AllFour, ReadModel};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Up to how many milliseconds a call takes, group by group.
const MS: &[u64] = &[
    15_000, 30_000, 60_000, 120_000, 180_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000,
    7_200_000, 14_400_000,
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ended {
    counts: [AtomicU64; MS.len() + 1],
    sum_ms: AtomicU64,
}

impl Ended {
    /// Counts the calls that these events ended, as the model has them afterwards.
    pub(super) fn count(&self, events: &[&StoredEvent], model: &ReadModel<AllFour>) {
        for (call, at) in events.iter().filter_map(|event| ends(event)) {
            if let Some(times) = model.times_of_call(call, at) {
                self.add(times.handle_ms);
            }
        }
    }

    pub(super) fn spread(&self) -> Spread {
        Spread {
            bounds: MS,
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            sum: self.sum_ms.load(Relaxed),
        }
    }

    fn add(&self, ms: u64) {
        let group = MS.partition_point(|bound| *bound < ms);
        self.counts[group].fetch_add(1, Relaxed);
        self.sum_ms.fetch_add(ms, Relaxed);
    }
}

fn ends(stored: &StoredEvent) -> Option<(&CallId, Timestamp)> {
    let cause = &stored.recorded.cause;
    matches!(stored.recorded.event, Event::CallEnded { .. }).then_some((&cause.call, cause.at))
}
