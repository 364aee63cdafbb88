//! How often a key may ask.

use crate::Settings;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often each key may ask: so many times a second, and a second's worth at once.
pub(super) struct Rates {
    /// None for as often as it likes.
    pace: Option<Pace>,
    /// For each key, until when its requests so far would last if they came evenly.
    until: Mutex<LruCache<String, Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The time that one request is worth.
    each: Duration,
    /// How far ahead of an even pace a key may be.
    ahead: Duration,
}

/// A key that is forgotten because so many others came since is no faster than a new one.
const MOST_KEYS: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not 0");

impl Rates {
    pub(super) fn within(settings: &Settings) -> Self {
        let pace = |rate: u32| {
            let each = Duration::from_secs(1) / rate;
            let ahead = each * (rate - 1);
            Pace { each, ahead }
        };
        Self {
            pace: (settings.rate_per_key > 0).then(|| pace(settings.rate_per_key)),
            until: Mutex::new(LruCache::new(MOST_KEYS)),
        }
    }

    /// Counts one request of that key, or says how long it has to wait.
    pub(super) fn take(&self, key: &str) -> Result<(), Duration> {
        let Some(pace) = self.pace else { return Ok(()) };
        self.counted(key, |even, now| {
            let wait = pace.wait(even, now);
            if wait.is_zero() {
                Ok(even + pace.each)
            } else {
                Err(wait)
            }
        })
    }

    /// Counts one request of that key, and waits until it may be made.
    pub(super) async fn pace(&self, key: &str) {
        let Some(pace) = self.pace else { return };
        let mut wait = Duration::ZERO;
        let counted: Result<(), Duration> = self.counted(key, |even, now| {
            wait = pace.wait(even, now);
            Ok(even + pace.each)
        });
        if counted.is_ok() && !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn counted(
        &self,
        key: &str,
        count: impl FnOnce(Instant, Instant) -> Result<Instant, Duration>,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let even = until.get(key).map_or(now, |until| now.max(*until));
        let next = count(even, now)?;
        until.put(key.to_owned(), next);
        Ok(())
    }
}

impl Pace {
    /// How long until what would be due then may be made.
    fn wait(self, even: Instant, now: Instant) -> Duration {
        (even - now).saturating_sub(self.ahead)
    }
}
