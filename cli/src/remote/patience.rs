//! How long a run waits for a service.

use std::time::Duration;
use tokio::time::Instant;

/// The pause before the second request for what was not decided, doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest such pause, also if the service asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long the service may decide nothing.
pub(super) struct Patience {
    pub(super) limit: Duration,
    /// When the last command was decided, or the first of those that wait was read if that was later.
    pub(super) since: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            limit,
            since: Instant::now(),
            pause: FIRST_WAIT,
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
        let pause = retry_after.unwrap_or_default().max(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_WAIT);
        let next = Instant::now() + pause.min(LONGEST_WAIT);
        next.min(self.since + self.limit)
    }
}
