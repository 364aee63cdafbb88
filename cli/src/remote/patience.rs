//! How long a run waits for a service.

use domain::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause between requests for what was not decided, also if the service asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The pauses between such requests.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), LONGEST_WAIT);

/// How long the service may decide nothing.
pub(super) struct Patience {
    pub(super) limit: Duration,
    /// When the last command was decided, or the first of those that wait was read if that was later.
    pub(super) since: Instant,
    backoff: Backoff,
}

impl Patience {
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            limit,
            since: Instant::now(),
            backoff: BACKOFF,
        }
    }

    pub(super) fn begin_anew(&mut self) {
        *self = Self::of(self.limit);
    }

    pub(super) fn never_retries(&self) -> bool {
        self.limit.is_zero()
    }

    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() >= self.limit
    }

    /// When to send the next request: after a pause, and once more when patience ends.
    pub(super) fn next_attempt(&mut self, retry_after: Option<Duration>) -> Instant {
        let pause = retry_after.unwrap_or_default().max(self.backoff.pause());
        let next = Instant::now() + pause.min(LONGEST_WAIT);
        next.min(self.since + self.limit)
    }
}
