//! What all routes share.

use crate::access::Guards;
use crate::feed::Feed;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::read_models::Views;
use crate::{Settings, route};
use axum::Router;
use domain::{EventStore, Handler, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
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
    /// The events as they come, and the proof that none is missing.
    pub feed: Feed,
    /// The four read models.
    pub views: Views,
    /// What is counted and timed.
    pub metrics: Metrics,
    /// One line a request.
    pub log: Log,
    stopping: watch::Sender<bool>,
}

/// What a service is made of.
pub struct Parts {
    /// The open store.
    pub store: Arc<dyn EventStore>,
    /// The loop that takes commands for it; a test may set its clock.
    pub handler: Handler,
    /// What the operator chose.
    pub settings: Settings,
    /// Who may do what.
    pub guards: Guards,
    /// Where read models and the proof are kept between two runs; none keeps nothing.
    pub folder: Option<PathBuf>,
    /// Where requests are told.
    pub log: Log,
}

impl Service {
    /// Starts following the store; must be called within a runtime. Questions are answered at once, from what was read so far.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StoreError> {
        let Parts {
            store,
            handler,
            settings,
            guards,
            folder,
            log,
        } = parts;
        let guards = guards.within(&settings);
        let metrics = Metrics::new();
        let feed = Feed::start(Arc::clone(&store), folder.as_deref(), &settings);
        let views = Views::start(Arc::clone(&store), folder).await?;
        Ok(Arc::new(Self {
            store,
            handler: Arc::new(handler),
            settings,
            guards,
            feed,
            views,
            metrics,
            log,
            stopping: watch::Sender::new(false),
        }))
    }

    /// Every route, guarded, as one service.
    pub fn router(self: &Arc<Self>) -> Router {
        route::router(self)
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
