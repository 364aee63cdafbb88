//! What a long run waits for, in words.

use client::ClientError;
use domain::{HandleError, StoreError};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the time of a wait that is shown is brought up to date.
const TICK: Duration = Duration::from_secs(1);

/// The times to bring it up to date.
pub fn ticks() -> Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A store or a service that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For what, and why it has to be waited for.
    pub what: String,
    /// When the wait began. Two waits differ in it.
    pub since: Instant,
    /// How long it may last.
    pub patience: Duration,
}

impl Waiting {
    /// For a command that was not decided.
    pub fn to_decide(error: &HandleError, since: Instant, patience: Duration) -> Self {
        let what = match error {
            HandleError::Store(StoreError::Unavailable(why)) => of_store(why),
            error => format!("waiting to send again: {error}"),
        };
        Self {
            what,
            since,
            patience,
        }
    }

    /// For a store that cannot be opened.
    pub fn to_open(error: &anyhow::Error, since: Instant, patience: Duration) -> Self {
        let what = of_store(&format!("{error:#}"));
        Self {
            what,
            since,
            patience,
        }
    }

    /// For a service that cannot be reached.
    pub fn for_service(error: &ClientError, since: Instant, patience: Duration) -> Self {
        let what = format!("waiting for the service: {error}");
        Self {
            what,
            since,
            patience,
        }
    }

    /// For what a service says about a command that it did not decide.
    pub fn for_decision(said: &str, since: Instant, patience: Duration) -> Self {
        let what = match said.strip_prefix("the store is not available: ") {
            Some(why) => of_store(why),
            None => format!("waiting to send again: {said}"),
        };
        Self {
            what,
            since,
            patience,
        }
    }

    /// What to say of it after so long.
    fn after(&self, waited: Duration) -> String {
        let (waited, patience) = (in_words(waited), in_words(self.patience));
        format!("{}, {waited} of {patience}", self.what)
    }

    /// Whether it is too short to mention: the next attempt may succeed.
    pub fn is_short(&self) -> bool {
        self.since.elapsed() < TICK
    }
}

fn of_store(why: &str) -> String {
    format!("waiting for the store: {why}")
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.after(self.since.elapsed()))
    }
}

/// In minutes and seconds, without those that are zero.
fn in_words(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    match (minutes, seconds) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_minutes_and_seconds() {
        for (seconds, expected) in [
            (0, "0 s"),
            (12, "12 s"),
            (120, "2 min"),
            (75, "1 min 15 s"),
            (7200, "120 min"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_wait_says_for_what_and_how_long() {
        let why = "the cluster has no leader just now (node 127.0.0.1:2113)";
        let error = HandleError::Store(StoreError::Unavailable(why.to_owned()));
        let (since, patience) = (Instant::now(), Duration::from_mins(2));
        let here = Waiting::to_decide(&error, since, patience);
        let there = Waiting::for_decision(&error.to_string(), since, patience);
        for waiting in [here, there] {
            let expected = format!("waiting for the store: {why}, 12 s of 2 min");
            assert_eq!(waiting.after(Duration::from_secs(12)), expected);
        }
    }
}
