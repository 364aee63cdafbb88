//! Compares what is served with what it was made from: the read models with the reader, by the count and the rolling hash
//! of their events. It measures how far each lags behind the store, and looks whether a damaged event is whole again.

use crate::Service;
use crate::log::Log;
use crate::read_models::{WhyRebuilt, is_whole_again};
use domain::{EventStore, Position, Prefix, WriteHealth, leads};
use projections::SetAside;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// The pause between two comparisons.
const BETWEEN_COMPARISONS: Duration = Duration::from_secs(1);

/// The pause between two looks at damaged events.
const BETWEEN_LOOKS_AT_DAMAGE: Duration = Duration::from_secs(10);

/// Damaged events that are read again in one look; the next look continues after them.
const LOOKED_AT_ONCE: usize = 16;

/// Time for one comparison with the store.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The state kept between two comparisons.
struct Verifier {
    service: Weak<Service>,
    /// The tag of the read models that were rebuilt because they differed. If the new ones differ, too, it is the feed
    /// that is wrong.
    differed: Option<u32>,
    next_look_at_damage: Instant,
    /// Damaged events before this position were looked at.
    looked_at: Position,
}

/// Starts the tasks, which end when the service stops or is dropped.
pub(crate) fn start(service: &Arc<Service>) {
    let store_ends = service.reader.tail().store_ends();
    tokio::spawn(follow_the_end(Arc::downgrade(service), store_ends));
    tokio::spawn(follow_the_feed(Arc::downgrade(service)));
    let store = Arc::clone(&service.store);
    tokio::spawn(follow_the_writing(Arc::downgrade(service), store));
    let verifier = Verifier {
        service: Arc::downgrade(service),
        differed: None,
        next_look_at_damage: Instant::now() + BETWEEN_LOOKS_AT_DAMAGE,
        looked_at: Position::START,
    };
    tokio::spawn(verifier.run());
}

/// Notes where the store ends at each look of the reader.
async fn follow_the_end(service: Weak<Service>, mut store_ends: watch::Receiver<Option<Position>>) {
    while store_ends.changed().await.is_ok() {
        let end = *store_ends.borrow_and_update();
        let Some(service) = running(&service) else {
            return;
        };
        if let Some(end) = end {
            service.lags.store.stands_at(end);
        }
    }
}

/// Notes where the feed stands, and refuses commands for the calls that the read models leave out.
async fn follow_the_feed(service: Weak<Service>) {
    let mut ticks = each_second();
    // The tag changes with every change of what is left out.
    let mut refused_for = None;
    loop {
        ticks.tick().await;
        let Some(service) = running(&service) else {
            return;
        };
        let feed = service.feed.state().prefix;
        service.lags.feed.stands_at(feed.count);
        let tag = Some(service.views.tag());
        if tag != refused_for {
            refused_for = tag;
            let damaged = service.views.damaged().await;
            let of_calls = damaged.iter().filter_map(|damaged| {
                let call = damaged.call.clone()?;
                Some((call, damaged.into()))
            });
            service.handler.refuse_damaged(of_calls.collect());
        }
    }
}

/// Logs when the store stops taking events, and when it takes them again.
async fn follow_the_writing(service: Weak<Service>, store: Arc<dyn EventStore>) {
    let mut seen = WriteHealth::default();
    loop {
        // The pause bounds how long this task outlives the service.
        let changed = timeout(BETWEEN_COMPARISONS, store.write_health_changed(&seen)).await;
        let Some(service) = running(&service) else {
            return;
        };
        if let Ok(health) = changed {
            log_change(&service.log, &seen, &health);
            seen = health;
        }
    }
}

fn log_change(log: &Log, seen: &WriteHealth, health: &WriteHealth) {
    if let Some(why) = &health.trouble {
        return log.error("store_not_writable", why);
    }
    if seen.trouble.is_none() {
        // It failed and resumed since it was looked at.
        log.error("store_not_writable", "writing failed for a moment");
    }
    log.notice("store_writable", "the store takes events again");
}

fn each_second() -> Interval {
    let mut ticks = interval(BETWEEN_COMPARISONS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn running(service: &Weak<Service>) -> Option<Arc<Service>> {
    service.upgrade().filter(|service| !service.is_stopping())
}

impl Verifier {
    async fn run(mut self) {
        let mut ticks = each_second();
        loop {
            ticks.tick().await;
            let Some(service) = running(&self.service) else {
                return;
            };
            // Those that are being built will not have what is wrong with these.
            if service.views.standing().rebuilding.is_none() {
                self.compare(&service).await;
                self.look_at_damage(&service).await;
            }
        }
    }

    /// The rolling hash covers everything before, so equal hashes prove that no event is missing, doubled or altered.
    async fn compare(&mut self, service: &Service) {
        let Some((own, of_feed)) = comparable(service) else {
            return;
        };
        if own == of_feed {
            self.differed = None;
            return;
        }
        let tag = service.views.tag();
        if let Some(why) = self.expected_difference(service).await {
            return service.views.rebuild(why);
        }
        let detail = format!(
            "the read models were made from {} events with rolling hash {}, and the feed has {} there",
            own.count, own.rolling_hash, of_feed.rolling_hash
        );
        match self.differed {
            Some(rebuilt) if rebuilt == tag => {}
            Some(_) => {
                service.log.error("feed_differs", &detail);
                service.feed.read_anew();
                self.differed = None;
            }
            None => {
                service.log.error("read_models_differ", &detail);
                service.views.rebuild(WhyRebuilt::Differs);
                self.differed = Some(tag);
            }
        }
    }

    /// The feed notices some changes of the store first, and then the read models are only late.
    async fn expected_difference(&mut self, service: &Service) -> Option<WhyRebuilt> {
        if self.whole_again(service).await.is_some() {
            return Some(WhyRebuilt::WholeAgain);
        }
        let (mark, events) = (service.views.mark(), service.views.events());
        let leads = timeout(LONGEST_LOOK, leads(&*service.store, mark, events)).await;
        matches!(leads, Ok(Ok(false))).then_some(WhyRebuilt::Restored)
    }

    async fn look_at_damage(&mut self, service: &Service) {
        if Instant::now() < self.next_look_at_damage {
            return;
        }
        self.next_look_at_damage = Instant::now() + BETWEEN_LOOKS_AT_DAMAGE;
        if let Some(damaged) = self.whole_again(service).await {
            let (position, stream) = (damaged.position, damaged.stream);
            let detail = format!("the event at position {position} of {stream} can be read again");
            service.log.notice("damage_is_gone", &detail);
            service.feed.read_anew();
            service.views.rebuild(WhyRebuilt::WholeAgain);
        }
    }

    /// One of the damaged events that can be read again, if any of those that are looked at now can.
    async fn whole_again(&mut self, service: &Service) -> Option<SetAside> {
        if service.views.set_aside() == 0 {
            return None;
        }
        let damaged = service.views.damaged().await;
        for damaged in self.next_to_look_at(damaged) {
            if is_whole_again(&*service.store, &damaged).await {
                return Some(damaged);
            }
        }
        None
    }

    /// Those after the ones of the last look, and the first ones again after the last ones.
    fn next_to_look_at(&mut self, damaged: Vec<SetAside>) -> Vec<SetAside> {
        // Where the store cannot tell whose events are damaged, gaps are their doing, and go when they go.
        let has_unknown = damaged.iter().any(|damaged| damaged.call.is_none());
        let damaged = damaged.into_iter();
        let mut damaged: Vec<_> = damaged
            .filter(|damaged| damaged.after.is_some() || !has_unknown)
            .collect();
        let next = damaged.partition_point(|damaged| damaged.position <= self.looked_at);
        damaged.rotate_left(next);
        damaged.truncate(LOOKED_AT_ONCE);
        self.looked_at = damaged.last().map_or(Position::START, |last| last.position);
        damaged
    }
}

/// The events of the read models, and as many events of the feed, at the last place that the feed keeps.
fn comparable(service: &Service) -> Option<(Prefix, Prefix)> {
    let candidates = [service.views.events(), service.views.mark()];
    candidates
        .into_iter()
        .find_map(|own| Some((own, service.feed.prefix_of(own.count)?)))
}
