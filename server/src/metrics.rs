//! What is counted and timed, for Prometheus.

use crate::log::Line;

/// All counters and histograms of the service.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn request(&self, _line: &Line) {}
}
