//! Collects the figures that the gauges show.

use super::gauges::Gauges;
use crate::clock::ClockError;
use crate::service::Service;
use domain::Timestamp;
use domain::call::Phase;
use engine::keys::Keys;
use projections::{ActiveCall, ActiveCalls, OwedWrapUp, WrapUpQueue};

/// Collects the figures, and computes those of the read models in a turn of that key.
pub(crate) async fn observe(service: &Service, key: &str) -> Gauges {
    let (views, feed) = (&service.views, service.feed.state());
    let lag = service.lag().max(views.behind().since);
    let streams = service.feed.subscribers();
    let subscribers = streams.filtered + streams.unfiltered + views.subscribers();
    let stands = views.ask(key, |model, _| {
        let state = model.state();
        let calls = state.rows_of::<ActiveCalls>();
        (by_phase(&calls), since(&state.rows_of::<WrapUpQueue>()))
    });
    let (calls, owed) = stands.await;
    let oldest_ms = owed.first().map(|since| domain::now().millis_since(*since));
    Gauges {
        calls: Some(calls),
        wrap_ups_owed: Some(owed.len() as u64),
        oldest_wrap_up_ms: Some(oldest_ms.unwrap_or(0)),
        handle_ms: Some(views.handle_times()),
        projection_lag_events: Some(feed.prefix.count.saturating_sub(views.events().count)),
        projection_lag_ms: Some(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
        set_aside: Some(views.set_aside() as u64),
        rebuilt: views
            .rebuilt()
            .map(|(why, times)| (why.name(), times))
            .into(),
        feed_position: Some(feed.prefix.position.0),
        subscribers: Some(subscribers as u64),
        store_writable: service
            .store
            .write_health()
            .map(|health| u64::from(health.trouble.is_none())),
        commits: service.store.commits(),
        log_lines_dropped: service.log.dropped(),
        failed_key_reads: service.guards.keys().map(Keys::failed_reads),
        clock_error_ms: service.clock.error().map_or(0, ClockError::signed_ms),
    }
}

/// Every phase of a call that goes on, and how many are in it.
fn by_phase(calls: &[ActiveCall<'_>]) -> Vec<(&'static str, u64)> {
    let going_on = Phase::ALL.iter().filter(|phase| **phase != Phase::Ended);
    let count = |name| calls.iter().filter(|call| call.phase == Some(name)).count();
    going_on
        .map(|phase| (phase.name(), count(phase.name()) as u64))
        .collect()
}

/// Since when each is owed, the oldest first.
fn since(owed: &[OwedWrapUp<'_>]) -> Vec<Timestamp> {
    owed.iter().map(|owed| owed.since.0).collect()
}
