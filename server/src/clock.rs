//! The machine's clock, which may be set while the service runs. It is compared with the time that has passed since the
//! last look, and with the last time that the store has recorded.

use domain::{EventStore, Handler, Position, StoreError, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How far the clock may be behind the latest time that is known.
const MAX_BEHIND_MS: u64 = 60_000;

/// A smaller difference is no jump.
const LEAST_JUMP_MS: u64 = 1_000;

/// The clock, shared by all that ask it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Inner>);

struct Inner {
    wall: Box<dyn Fn() -> Timestamp + Send + Sync>,
    max_ahead_ms: u64,
    state: Mutex<State>,
}

struct State {
    /// The latest time that the clock has shown without a jump, or that the store has recorded.
    latest: Timestamp,
    /// What the clock showed at the last look at which it had not jumped, and when that was.
    anchor: (Timestamp, Instant),
}

/// What is wrong with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockError {
    /// It shows a time before one that is known to have been, by that many milliseconds.
    Behind(u64),
    /// It has jumped ahead, by that many milliseconds.
    Ahead(u64),
}

impl Clock {
    /// The machine's.
    pub(crate) fn of_machine() -> Self {
        Self::new(domain::now, u64::MAX, domain::now())
    }

    /// The one by which the handler records, and which the store's last event shows to have been at least there.
    pub(crate) async fn of(
        handler: &Arc<Handler>,
        store: &dyn EventStore,
        max_ahead_ms: u64,
    ) -> Result<Self, StoreError> {
        let recorded = last_recorded(store).await?;
        let handler = Arc::clone(handler);
        let latest = recorded.map_or(handler.now(), |recorded| recorded.max(handler.now()));
        Ok(Self::new(move || handler.now(), max_ahead_ms, latest))
    }

    fn new(
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
        max_ahead_ms: u64,
        latest: Timestamp,
    ) -> Self {
        let anchor = (wall(), Instant::now());
        Self(Arc::new(Inner {
            wall: Box::new(wall),
            max_ahead_ms,
            state: Mutex::new(State { latest, anchor }),
        }))
    }

    /// The latest time that is known to have been: it does not go back with the clock, so no key that has expired
    /// becomes valid again.
    pub(crate) fn latest(&self) -> Timestamp {
        let shown = (self.0.wall)();
        let mut state = self.state();
        state.see(shown, self.0.max_ahead_ms);
        state.latest.max(shown)
    }

    /// What is wrong with the clock now, if anything is.
    pub(crate) fn error(&self) -> Option<ClockError> {
        let shown = (self.0.wall)();
        let mut state = self.state();
        if let Some(ahead_ms) = state.see(shown, self.0.max_ahead_ms) {
            return Some(ClockError::Ahead(ahead_ms));
        }
        let behind_ms = state.latest.millis_since(shown);
        (behind_ms > MAX_BEHIND_MS).then_some(ClockError::Behind(behind_ms))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in what the clock shows, or returns by how many milliseconds it has jumped ahead.
    fn see(&mut self, shown: Timestamp, max_ahead_ms: u64) -> Option<u64> {
        let (anchor, since) = self.anchor;
        let passed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A clock that was set back and is right again has not jumped.
        let expected = anchor.plus_millis(passed_ms).max(self.latest);
        let ahead_ms = shown.millis_since(expected);
        // Both are cut to whole milliseconds, and the clock may be corrected a little.
        if ahead_ms > max_ahead_ms.max(LEAST_JUMP_MS) {
            return Some(ahead_ms);
        }
        self.latest = self.latest.max(shown);
        self.anchor = (shown, Instant::now());
        None
    }
}

impl ClockError {
    /// How far the clock is off, in milliseconds, and in which direction: negative if it is behind.
    pub(crate) fn signed_ms(self) -> i64 {
        match self {
            ClockError::Behind(ms) => i64::try_from(ms).map_or(i64::MIN, |ms| -ms),
            ClockError::Ahead(ms) => i64::try_from(ms).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn event(self) -> &'static str {
        match self {
            ClockError::Behind(_) => "clock_behind",
            ClockError::Ahead(_) => "clock_ahead",
        }
    }

    pub(crate) fn detail(self) -> String {
        match self {
            ClockError::Behind(ms) => format!(
                "the clock is {ms} ms before a time that has been recorded or shown already; commands are taken, new \
                 calls get times that are too early, and keys expire by the later time: correct the clock"
            ),
            ClockError::Ahead(ms) => format!(
                "the clock has jumped {ms} ms ahead; commands are taken, and the calls that they touch keep that time: \
                 correct the clock, or restart the service if the new time is right"
            ),
        }
    }
}

/// When the store recorded its last event, if it has one that can be read.
async fn last_recorded(store: &dyn EventStore) -> Result<Option<Timestamp>, StoreError> {
    let last = match store.info().await {
        Ok(info) => info.last,
        // A store that is away is waited for elsewhere. Until the next start the clock alone counts.
        Err(StoreError::Unavailable(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let before = Position(last.0.saturating_sub(1));
    let read = store.read_all(before, 1).await;
    // A damaged event is reported elsewhere, and says nothing about the time.
    let events = read.unwrap_or_default();
    Ok(events.first().map(|event| event.recorded.cause.recorded_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const HOUR_MS: u64 = 3_600_000;

    /// A clock that the test sets.
    fn settable(max_ahead_ms: u64) -> (Clock, Arc<AtomicU64>) {
        let start = domain::now();
        let shown = Arc::new(AtomicU64::new(start.as_millis()));
        let wall = Arc::clone(&shown);
        let wall = move || Timestamp::from_millis(wall.load(Ordering::Relaxed)).unwrap();
        (Clock::new(wall, max_ahead_ms, start), shown)
    }

    #[test]
    fn the_latest_time_does_not_go_back_with_the_clock() {
        let (clock, shown) = settable(60_000);
        let latest = clock.latest();
        shown.fetch_sub(HOUR_MS, Ordering::Relaxed);
        assert_eq!(clock.latest(), latest);
        assert_eq!(clock.error(), Some(ClockError::Behind(HOUR_MS)));
        shown.fetch_add(HOUR_MS, Ordering::Relaxed);
        assert_eq!(clock.error(), None);
    }

    #[test]
    fn a_jump_ahead_counts_while_it_lasts_and_is_not_kept() {
        let (clock, shown) = settable(60_000);
        let before = clock.latest();
        shown.fetch_add(HOUR_MS, Ordering::Relaxed);
        assert!(matches!(clock.error(), Some(ClockError::Ahead(ms)) if ms > HOUR_MS - 60_000));
        assert_eq!(clock.latest(), before.plus_millis(HOUR_MS));
        shown.fetch_sub(HOUR_MS, Ordering::Relaxed);
        assert_eq!(clock.error(), None);
        assert_eq!(clock.latest(), before);
    }
}
