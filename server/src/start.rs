//! How a service starts: its reader, what subscribes to it, and what watches over both.

use crate::access::Guards;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::read_models::Views;
use crate::service::{Lags, Service};
use crate::settings::Settings;
use crate::turns::Turns;
use crate::{clock_log, verify};
use domain::{EventStore, Handler, StoreError};
use engine::follower::Reader;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

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
        let handler = Arc::new(handler);
        let clock = Clock::of(&handler, &*store, settings.max_ahead_ms).await?;
        let guards = guards.within(&settings, clock.clone());
        let metrics = Metrics::new();
        let turns = Arc::new(Turns::new(&guards));
        let budget = Budget::within(&settings, &guards);
        let reader = Reader::start(
            Arc::clone(&store),
            folder.as_deref(),
            settings.stop_at_damage,
        );
        let feed = Feed::subscribed(Arc::clone(&reader), &settings, Arc::clone(&turns));
        let subscribed =
            Views::subscribed(Arc::clone(&reader), folder, &settings, Arc::clone(&turns));
        let views = subscribed.await?;
        let service = Arc::new(Self {
            store,
            handler,
            settings,
            guards,
            reader,
            feed,
            views,
            metrics,
            log,
            clock,
            lags: Lags::default(),
            turns,
            budget,
            stopping: watch::Sender::new(false),
        });
        if let Some(why) = service.views.refused_checkpoint() {
            service.log.notice("checkpoint_refused", why);
        }
        verify::start(&service);
        clock_log::start(&service);
        Ok(service)
    }
}
