//! What is kept of a metric in place of its values.

use crate::sketch::Sketch;
use serde::{Deserialize, Serialize};

/// A metric of the calls that ended in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    sum_ms: u64,
    max_ms: u64,
    sketch: Sketch,
}

impl Summary {
    fn add(&mut self, ms: u64) {
        self.sum_ms += ms;
        self.max_ms = self.max_ms.max(ms);
        self.sketch.add(ms);
    }

    fn merge(&mut self, other: &Summary) {
        self.sum_ms += other.sum_ms;
        self.max_ms = self.max_ms.max(other.max_ms);
        self.sketch.merge(&other.sketch);
    }

    pub(super) fn count(&self) -> u64 {
        self.sketch.count()
    }

    pub(super) fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// To the nearest millisecond, half a one upwards.
    pub(super) fn mean_ms(&self) -> Option<u64> {
        let count = self.count();
        (self.sum_ms + count / 2).checked_div(count)
    }

    pub(super) fn max_ms(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max_ms)
    }

    /// Within 1 %, and never more than the longest there was.
    pub(super) fn percentile_ms(&self, percent: u8) -> Option<u64> {
        let ms = self.sketch.percentile(percent)?;
        Some(ms.min(self.max_ms))
    }
}

/// Adds to each metric what there is to add.
pub(super) fn add(summaries: &mut [Summary], metrics: &[Option<u64>]) {
    for (summary, ms) in summaries.iter_mut().zip(metrics) {
        if let Some(ms) = ms {
            summary.add(*ms);
        }
    }
}

pub(super) fn merge(summaries: &mut [Summary], others: &[Summary]) {
    for (summary, other) in summaries.iter_mut().zip(others) {
        summary.merge(other);
    }
}
