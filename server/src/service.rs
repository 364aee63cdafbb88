//! What all routes share.

use crate::access::Guards;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::lag::Milestones;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::read_models::Views;
use crate::settings::Settings;
use crate::turns::Turns;
use domain::{EventStore, Handler, Position};
use engine::follower::Reader;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The service on one open store, whoever it is reached by.
pub struct Service {
    /// The store.
    pub store: Arc<dyn EventStore>,
    /// The loop that takes commands for it.
    pub handler: Arc<Handler>,
    /// What the operator chose.
    pub settings: Settings,
    /// Who may do what.
    pub guards: Guards,
    /// The reader of the store, to which the feed and the read models subscribe.
    pub(crate) reader: Arc<Reader>,
    /// The events as they come, and the proof that none is missing.
    pub feed: Feed,
    /// The four read models.
    pub views: Views,
    /// What is counted and timed.
    pub metrics: Metrics,
    /// One line a request.
    pub log: Log,
    /// The clock that keys expire by, and whether it can be right.
    pub(crate) clock: Clock,
    pub(crate) lags: Lags,
    /// Where reads compute.
    pub(crate) turns: Arc<Turns>,
    /// What waits to be sent.
    pub(crate) budget: Budget,
    pub(crate) stopping: watch::Sender<bool>,
}

/// Recent positions of the store and counts of the feed, to compute how far their readers lag.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    pub(crate) store: Milestones<Position>,
    pub(crate) feed: Milestones<u64>,
}

impl Service {
    /// For how long the feed has not read what the store had, and the read models what the feed had.
    pub(crate) fn lag(&self) -> Duration {
        let feed = self.lags.store.lag(self.feed.state().prefix.position);
        let views = self.lags.feed.lag(self.views.events().count);
        feed.max(views)
    }

    /// Whether the store takes events, as far as it can tell.
    pub(crate) fn takes_events(&self) -> bool {
        let health = self.store.write_health();
        health.is_none_or(|health| health.trouble.is_none())
    }

    /// Tells streams to end and the rest to finish.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether it was told to.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until it is.
    pub async fn stopped(&self) {
        // The sender is this service's own, so this ends only when the condition holds.
        let _ = self
            .stopping
            .subscribe()
            .wait_for(|stopping| *stopping)
            .await;
    }

    /// Keeps what the next start need not read again. The store is closed by whoever opened it.
    pub async fn close(&self) {
        self.stop();
        self.feed.close().await;
        self.views.close().await;
    }
}
