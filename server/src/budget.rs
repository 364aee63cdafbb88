//! Bytes of answers that are made and wait to be sent are counted, for each key and in all.
//!
//! What is to be sent takes its bytes from the key's allowance before it is made, and gives them back when they were
//! written to the connection or the connection is gone. A key that does not read its answers waits for itself.
//!
//! No answer holds an allowance while it waits for another: a key's answers could wait for each other without end. A snapshot
//! that a long answer is made from counts as a place instead.

use crate::access::Guards;
use crate::shares::Shares;
use crate::{Problem, Settings};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// In what unit bytes are counted.
const UNIT: usize = 1024;

/// How many long answers of a key may be made from snapshots at once.
const MOST_SNAPSHOTS: usize = 64;

/// How long an answer waits for its bytes before it is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    keys: Shares,
    most_of_key: u32,
    snapshots: Shares,
}

/// Bytes that were taken, until this is dropped.
pub(crate) struct Allowance {
    of_key: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

/// Bytes with what they took.
struct Covered {
    bytes: Vec<u8>,
    _allowance: Allowance,
}

impl Budget {
    /// Within the limits for each key and for all of them. Without keys there is one allowance for all clients.
    pub(crate) fn within(settings: &Settings, guards: &Guards) -> Self {
        let most_of_all = units(settings.max_unsent_bytes);
        let (most_of_key, most_snapshots) = match guards.keys() {
            Some(_) => (units(settings.max_unsent_bytes_per_key), MOST_SNAPSHOTS),
            None => (
                most_of_all,
                settings.max_connections.clamp(1, Semaphore::MAX_PERMITS),
            ),
        };
        let most_of_key = most_of_key.min(most_of_all);
        Self {
            all: Arc::new(Semaphore::new(most_of_all as usize)),
            keys: Shares::of_each(most_of_key as usize),
            most_of_key,
            snapshots: Shares::of_each(most_snapshots),
        }
    }

    /// A place for an answer that is made from a snapshot while the client reads.
    pub(crate) async fn snapshot(&self, key: &str) -> Result<OwnedSemaphorePermit, Problem> {
        let place = timeout(LONGEST_WAIT, self.snapshots.of(key).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(unread)
    }

    /// Waits for that number of bytes, or for the whole allowance of the key if that is less.
    pub(crate) async fn take(&self, key: &str, bytes: usize) -> Allowance {
        let units = units(bytes).min(self.most_of_key);
        let of_key = self.keys.of(key).acquire_many_owned(units).await;
        let of_all = Arc::clone(&self.all).acquire_many_owned(units).await;
        let never_closed = "the budget is never closed";
        Allowance {
            of_key: of_key.expect(never_closed),
            of_all: of_all.expect(never_closed),
        }
    }

    /// The same, but not for long: for answers that have not begun.
    pub(crate) async fn take_in_time(&self, key: &str, bytes: usize) -> Result<Allowance, Problem> {
        let taken = timeout(LONGEST_WAIT, self.take(key, bytes)).await;
        taken.map_err(|_| unread())
    }
}

fn unread() -> Problem {
    let detail = "this key has too many answers that are not read yet, or the service has; read them, then ask again";
    Problem::try_again("unread_answers", detail, 5)
}

impl Allowance {
    /// The bytes, which give back what they took once they were sent. What was taken too much is given back at once.
    pub(crate) fn cover(mut self, bytes: Vec<u8>) -> Bytes {
        self.fit(units(bytes.len()));
        Bytes::from_owner(Covered {
            bytes,
            _allowance: self,
        })
    }

    /// Gives the surplus back, or takes what is missing as far as it is there: what is made already cannot wait.
    fn fit(&mut self, needed: u32) {
        let taken = self.of_key.num_permits();
        let surplus = taken.saturating_sub(needed as usize);
        drop(self.of_key.split(surplus));
        drop(self.of_all.split(surplus));
        let missing = needed.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        let further = |of: &OwnedSemaphorePermit| {
            let share = Arc::clone(of.semaphore());
            share.try_acquire_many_owned(missing).ok()
        };
        if let (Some(of_key), Some(of_all)) = (further(&self.of_key), further(&self.of_all)) {
            self.of_key.merge(of_key);
            self.of_all.merge(of_all);
        }
    }
}

impl AsRef<[u8]> for Covered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// At least one, and no more than a semaphore has.
fn units(bytes: usize) -> u32 {
    let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(most);
    units.clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::keys::Keys;
    use futures_util::FutureExt as _;

    const ALL: usize = 8 * UNIT;

    fn budget(of_key: usize, all: usize) -> Budget {
        let settings = Settings {
            max_unsent_bytes_per_key: of_key,
            max_unsent_bytes: all,
            ..Settings::default()
        };
        Budget::within(&settings, &Guards::new(Keys::of([])))
    }

    fn taken(budget: &Budget, all: usize) -> usize {
        all - budget.all.available_permits() * UNIT
    }

    #[tokio::test]
    async fn a_key_waits_for_its_own_bytes_and_no_other_key_does() {
        let budget = budget(4 * UNIT, 100 * UNIT);
        let first = budget.take("a", 4 * UNIT).await;
        let mut second = Box::pin(budget.take("a", 1));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(budget.take("b", UNIT).now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn bytes_count_until_their_last_part_is_sent() {
        let budget = budget(ALL, ALL);
        let allowance = budget.take("a", ALL).await;
        let mut bytes = allowance.cover(vec![0; 2 * UNIT]);
        assert_eq!(taken(&budget, ALL), 2 * UNIT, "the surplus is given back");
        let part = bytes.split_to(10);
        drop(bytes);
        assert_eq!(taken(&budget, ALL), 2 * UNIT);
        drop(part);
        assert_eq!(taken(&budget, ALL), 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_larger_than_the_allowance_takes_all_of_it() {
        let budget = budget(4 * UNIT, ALL);
        let all = budget.take("a", 1000 * UNIT).await;
        assert_eq!(taken(&budget, ALL), 4 * UNIT);
        drop(all.cover(vec![0; 1000 * UNIT]));
        assert_eq!(taken(&budget, ALL), 0);
    }
}
