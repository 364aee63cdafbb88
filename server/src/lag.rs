//! How far behind in time one reader is of what another one had.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Samples that are kept. Further ones take the place of every second one, so the oldest always stays.
const MOST: usize = 1024;

/// Positions with the time at which each was reached, kept until the reader has passed them.
#[derive(Debug)]
pub(crate) struct Milestones<T>(Mutex<VecDeque<(Instant, T)>>);

impl<T> Default for Milestones<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Ord + Copy> Milestones<T> {
    /// Notes the position that is reached now. A store that was restored may stand before what it had; later positions
    /// are dropped then.
    pub(crate) fn stands_at(&self, at: T) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.retain(|(_, sample)| *sample <= at);
        if samples.back().is_some_and(|(_, sample)| *sample == at) {
            return;
        }
        if samples.len() == MOST {
            let mut keeps = false;
            samples.retain(|_| {
                keeps = !keeps;
                keeps
            });
        }
        samples.push_back((Instant::now(), at));
    }

    /// The age of the oldest position after the reader's; zero if there is none.
    pub(crate) fn lag(&self, reached: T) -> Duration {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while samples
            .front()
            .is_some_and(|(_, sample)| *sample <= reached)
        {
            samples.pop_front();
        }
        let oldest = samples.front();
        oldest.map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, MOST, Milestones};
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn lag_is_the_age_of_the_oldest_sample_that_was_not_reached() {
        let milestones = Milestones::default();
        for at in [10, 20, 20, 30] {
            milestones.stands_at(at);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(milestones.lag(5), Duration::from_secs(4));
        assert_eq!(milestones.lag(10), Duration::from_secs(3));
        assert_eq!(milestones.lag(25), Duration::from_secs(1));
        assert_eq!(milestones.lag(30), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn samples_past_a_restored_store_do_not_count() {
        let milestones = Milestones::default();
        milestones.stands_at(100);
        milestones.stands_at(7);
        assert_eq!(milestones.lag(7), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_sample_stays_however_many_follow() {
        let milestones = Milestones::default();
        for at in 1..=10 * MOST {
            milestones.stands_at(at);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(milestones.lag(0), Duration::from_secs(10 * MOST as u64));
    }
}
