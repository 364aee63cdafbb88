//! How often a key may ask, by its roles.

use crate::Settings;
use engine::keys::{Grant, Role};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often each key may ask: a number of requests a second, and as many at once as it saved up.
pub(super) struct Rates {
    chosen: Chosen,
    /// For each key, until when its requests so far would last if they came evenly.
    until: Mutex<LruCache<String, Instant>>,
}

/// Requests a second; 0 for no limit.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    every_key: u32,
    telephony: u32,
    desk: u32,
    supervisor: u32,
    reader: u32,
    auditor: u32,
    operator: u32,
    burst: Duration,
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
        Self {
            chosen: Chosen {
                every_key: settings.rate_per_key,
                telephony: settings.rate_telephony,
                desk: settings.rate_desk,
                supervisor: settings.rate_supervisor,
                reader: settings.rate_reader,
                auditor: settings.rate_auditor,
                operator: settings.rate_operator,
                burst: Duration::from_millis(settings.rate_burst_ms),
            },
            until: Mutex::new(LruCache::new(MOST_KEYS)),
        }
    }

    /// Counts one request of that key, or says how long it has to wait.
    pub(super) fn take(&self, key: &str, grants: &[Grant]) -> Result<(), Duration> {
        let Some(pace) = self.chosen.pace(grants) else {
            return Ok(());
        };
        self.paced(key, pace)
    }

    /// Counts one request of that key, and waits until it may be made.
    pub(super) async fn pace(&self, key: &str, grants: &[Grant]) {
        let Some(pace) = self.chosen.pace(grants) else {
            return;
        };
        // A stream leaves room for single requests of the same key, which are refused where it waits.
        let pace = Pace {
            ahead: pace.ahead * 3 / 4,
            ..pace
        };
        while let Err(wait) = self.paced(key, pace) {
            tokio::time::sleep(wait).await;
        }
    }

    fn paced(&self, key: &str, pace: Pace) -> Result<(), Duration> {
        self.counted(key, |even, now| {
            let wait = pace.wait(even, now);
            if wait.is_zero() {
                Ok(even + pace.each)
            } else {
                Err(wait)
            }
        })
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

impl Chosen {
    /// The pace of a key with those roles: that of the fastest of them. None for no limit.
    fn pace(&self, grants: &[Grant]) -> Option<Pace> {
        let rates = grants.iter().map(|grant| self.rate(grant.role()));
        // No limit is faster than any.
        let fastest = rates.max_by_key(|rate| rate.wrapping_sub(1))?;
        (fastest > 0).then(|| Pace::of(fastest, self.burst))
    }

    fn rate(&self, role: Role) -> u32 {
        if self.every_key > 0 {
            return self.every_key;
        }
        match role {
            Role::Telephony => self.telephony,
            Role::Desk => self.desk,
            Role::Supervisor => self.supervisor,
            Role::Reader => self.reader,
            Role::Auditor => self.auditor,
            Role::Operator => self.operator,
        }
    }
}

impl Pace {
    fn of(rate: u32, burst: Duration) -> Self {
        let each = Duration::from_secs(1) / rate;
        // One request may always come at once.
        let ahead = burst.saturating_sub(each);
        Self { each, ahead }
    }

    /// How long until what would be due then may be made.
    fn wait(self, even: Instant, now: Instant) -> Duration {
        (even - now).saturating_sub(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests such a key may make at once; none for no limit.
    fn at_once(settings: &Settings, grants: &[Grant]) -> Option<u128> {
        let pace = Rates::within(settings).chosen.pace(grants)?;
        Some(1 + pace.ahead.as_nanos() / pace.each.as_nanos())
    }

    #[test]
    fn a_desk_has_a_few_a_second_and_a_telephone_system_thousands() {
        let settings = Settings::default();
        let desk = Grant::Desk("ana".parse().unwrap());
        assert_eq!(at_once(&settings, std::slice::from_ref(&desk)), Some(50));
        assert_eq!(at_once(&settings, &[Grant::Telephony]), Some(50_000));
        let both = [desk, Grant::Reader];
        assert_eq!(at_once(&settings, &both), Some(500), "the faster of both");
    }

    #[test]
    fn zero_is_no_limit_and_a_rate_of_every_key_replaces_those_of_the_roles() {
        let free = Settings {
            rate_operator: 0,
            ..Settings::default()
        };
        let both = [Grant::Reader, Grant::Operator];
        assert_eq!(at_once(&free, &both), None);
        let slow = Settings {
            rate_per_key: 2,
            ..free
        };
        assert_eq!(at_once(&slow, &both), Some(10));
    }

    #[tokio::test]
    async fn a_stream_at_its_rate_leaves_room_for_single_requests_of_its_key() {
        use futures_util::FutureExt as _;

        let rates = Rates::within(&Settings {
            rate_desk: 1,
            rate_burst_ms: 100_000,
            ..Settings::default()
        });
        let desk = [Grant::Desk("ana".parse().unwrap())];
        let lines = (0..200).take_while(|_| rates.pace("key", &desk).now_or_never().is_some());
        let lines = lines.count();
        assert!((75..99).contains(&lines), "{lines}");
        assert_eq!(rates.take("key", &desk), Ok(()));
        assert!(rates.pace("key", &desk).now_or_never().is_none());
    }
}
