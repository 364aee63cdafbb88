//! How things stand at the moment: told by those who know, and asked of them with every scrape.

use super::labels::{ByPhase, ByWhy};
use domain::{CommitFigures, Spread};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::AtomicU64;

/// How things stand. What nobody tells is left out, so that no figure is there that is not true.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Gauges {
    /// Calls that go on, by phase, those of no call with 0.
    pub(crate) calls: Option<Vec<(&'static str, u64)>>,
    /// How many agents owe wrap-up.
    pub(crate) wrap_ups_owed: Option<u64>,
    /// How long the oldest of them has been owed, in milliseconds; 0 if none is.
    pub(crate) oldest_wrap_up_ms: Option<u64>,
    /// How long calls took that ended while this process ran, in milliseconds (R61).
    pub(crate) handle_ms: Option<Spread>,
    /// How many events the read models are behind the feed.
    pub(crate) projection_lag_events: Option<u64>,
    /// How long ago the store took the first event that they are behind, in milliseconds; 0 if they are not.
    pub(crate) projection_lag_ms: Option<u64>,
    /// How many damaged events keep their calls out of the read models.
    pub(crate) set_aside: Option<u64>,
    /// How often the read models were built from the first event, by reason.
    pub(crate) rebuilt: Vec<(&'static str, u64)>,
    /// The position up to which the feed has read.
    pub(crate) feed_position: Option<u64>,
    /// How many follow the feed or a read model's changes.
    pub(crate) subscribers: Option<u64>,
    /// Whether the store takes events: 1 or 0.
    pub(crate) store_writable: Option<u64>,
    /// The store's commits.
    pub(crate) commits: Option<CommitFigures>,
    /// Lines that were not written to the log because it took no more.
    pub(crate) log_lines_dropped: u64,
    /// How often the key file could not be read, so that the keys before stayed in force.
    pub(crate) failed_key_reads: Option<u64>,
    /// How far the clock is from what it must show, in milliseconds: negative if it is behind, 0 if it may be right.
    pub(crate) clock_error_ms: i64,
}

impl Gauges {
    /// All that is known, to be written as text.
    pub(super) fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("kaigi");
        self.register_calls(&mut registry);
        self.register_following(&mut registry);
        self.register_commits(&mut registry);
        registry.register(
            "log_lines_dropped",
            "Lines that were not written to the log because it took no more",
            ConstCounter::new(self.log_lines_dropped),
        );
        registry.register_with_unit(
            "clock_error",
            "How far the clock is from what it must show: negative if it is behind, 0 if it may be right",
            Unit::Seconds,
            ConstGauge::new(signed_seconds(self.clock_error_ms)),
        );
        if let Some(failed) = self.failed_key_reads {
            registry.register(
                "failed_key_reads",
                "How often the key file could not be read, so that the keys before stayed in force",
                ConstCounter::new(failed),
            );
        }
        registry
    }

    fn register_calls(&self, registry: &mut Registry) {
        if let Some(calls) = &self.calls {
            let family = Family::<ByPhase, Gauge<u64, AtomicU64>>::default();
            for (phase, count) in calls {
                family.get_or_create(&ByPhase { phase }).set(*count);
            }
            registry.register("calls", "Calls that go on, by phase", family);
        }
        gauge(
            registry,
            "wrap_ups_owed",
            "Agents who owe wrap-up",
            self.wrap_ups_owed,
        );
        gauge_ms(
            registry,
            "oldest_wrap_up",
            "How long the oldest wrap-up has been owed",
            self.oldest_wrap_up_ms,
        );
        let handle = self.handle_ms.clone();
        if let Some(spread) = handle {
            let histogram = Told {
                spread,
                in_one: 1000,
            };
            registry.register_with_unit(
                "handle",
                "How long calls took that ended since the service started",
                Unit::Seconds,
                histogram,
            );
        }
    }

    fn register_following(&self, registry: &mut Registry) {
        gauge(
            registry,
            "projection_lag_events",
            "How many events the read models are behind the feed",
            self.projection_lag_events,
        );
        gauge_ms(
            registry,
            "projection_lag",
            "How long the read models have been behind the store",
            self.projection_lag_ms,
        );
        gauge(
            registry,
            "calls_set_aside",
            "Damaged events that keep their calls out of the read models",
            self.set_aside,
        );
        let rebuilt = Family::<ByWhy, Counter>::default();
        for (why, times) in &self.rebuilt {
            rebuilt.get_or_create(&ByWhy { why }).inc_by(*times);
        }
        registry.register(
            "read_model_rebuilt",
            "How often the read models were built from the first event, by reason",
            rebuilt,
        );
        gauge(
            registry,
            "feed_position",
            "The position up to which the feed has read",
            self.feed_position,
        );
        gauge(
            registry,
            "subscribers",
            "Who follows the feed or a read model's changes",
            self.subscribers,
        );
    }

    fn register_commits(&self, registry: &mut Registry) {
        gauge(
            registry,
            "store_writable",
            "Whether the store takes events (1) or writing to it fails (0)",
            self.store_writable,
        );
        let Some(CommitFigures { events, sync_us }) = self.commits.clone() else {
            return;
        };
        let events = Told {
            spread: events,
            in_one: 1,
        };
        registry.register(
            "commit_events",
            "Events that a commit of the store keeps",
            events,
        );
        let syncs = Told {
            spread: sync_us,
            in_one: 1_000_000,
        };
        registry.register_with_unit(
            "sync",
            "How long the disk takes to make a commit durable",
            Unit::Seconds,
            syncs,
        );
    }
}

fn gauge(registry: &mut Registry, name: &str, about: &str, value: Option<u64>) {
    if let Some(value) = value {
        registry.register(name, about, ConstGauge::new(value));
    }
}

fn gauge_ms(registry: &mut Registry, name: &str, about: &str, value: Option<u64>) {
    if let Some(ms) = value {
        let seconds = ConstGauge::new(as_float(ms) / 1000.0);
        registry.register_with_unit(name, about, Unit::Seconds, seconds);
    }
}

fn signed_seconds(ms: i64) -> f64 {
    let seconds = as_float(ms.unsigned_abs()) / 1000.0;
    if ms < 0 { -seconds } else { seconds }
}

/// A histogram that somebody else counted.
#[derive(Debug)]
struct Told {
    spread: Spread,
    /// How many of the spread's units are one of the figure's.
    in_one: u64,
}

impl EncodeMetric for Told {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let one = as_float(self.in_one);
        let bounds = self.spread.bounds.iter();
        let bounds = bounds.map(|bound| as_float(*bound) / one);
        let bounds = bounds.chain([f64::INFINITY]);
        let groups: Vec<_> = bounds.zip(self.spread.counts.iter().copied()).collect();
        let count = self.spread.counts.iter().sum();
        let sum = as_float(self.spread.sum) / one;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &groups, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure that large is looked at, not counted with"
)]
fn as_float(value: u64) -> f64 {
    value as f64
}
