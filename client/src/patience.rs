//! How often and how soon a service is asked again.

use crate::ClientError;
use domain::Backoff;
use std::time::Duration;

/// How often and how soon to try again what a repetition does no harm to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often in all.
    pub attempts: u32,
    /// How long to wait before the second one; then twice as long each time.
    pub first_wait: Duration,
    /// Never longer than this, also if the service asks for more.
    pub longest_wait: Duration,
}

/// How long to wait before each further attempt, until patience ends.
#[derive(Debug, Clone)]
pub struct Waits {
    patience: Patience,
    attempts: u32,
    backoff: Backoff,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// The waits of one request.
    pub fn waits(self) -> Waits {
        Waits {
            patience: self,
            attempts: 1,
            backoff: Backoff::new(self.first_wait, self.longest_wait),
        }
    }
}

impl Waits {
    /// How long to wait after that failure, or none if that was the last attempt.
    pub fn next(&mut self, after: &ClientError) -> Option<Duration> {
        if self.attempts >= self.patience.attempts || !after.is_passing() {
            return None;
        }
        self.attempts += 1;
        let wait = self.backoff.pause();
        let wait = after.retry_after().map_or(wait, |asked| asked.max(wait));
        Some(wait.min(self.patience.longest_wait))
    }

    /// Something succeeded meanwhile.
    pub fn begin_anew(&mut self) {
        *self = self.patience.waits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[test]
    fn waits_grow_end_and_heed_what_the_service_asks_for() {
        let refused = |status, retry_after| ClientError::Refused {
            url: String::new(),
            problem: Box::new(Problem {
                status,
                code: String::new(),
                rule: None,
                detail: String::new(),
                revision: None,
                retry_after,
            }),
        };
        let patience = Patience {
            attempts: 4,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(2),
        };
        let mut waits = patience.waits();
        let millis = [(None, 200), (Some(1), 1000), (Some(9), 2000)];
        for (asked, expected) in millis {
            let error = refused(503, asked.map(Duration::from_secs));
            assert_eq!(waits.next(&error), Some(Duration::from_millis(expected)));
        }
        assert_eq!(waits.next(&refused(503, None)), None);
        waits.begin_anew();
        assert_eq!(waits.next(&refused(403, None)), None);
        assert!(waits.next(&refused(429, None)).is_some());
    }
}
