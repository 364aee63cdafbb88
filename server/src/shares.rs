//! A semaphore for each key, kept as long as it is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Semaphore;

/// How many keys may be remembered before those that are not in use are forgotten.
const SWEEP_AT: usize = 64;

/// See the module.
pub(crate) struct Shares {
    permits: usize,
    of_key: Mutex<HashMap<Arc<str>, Weak<Semaphore>>>,
}

impl Shares {
    pub(crate) fn of_each(permits: usize) -> Self {
        Self {
            permits,
            of_key: Mutex::default(),
        }
    }

    /// The semaphore of that key.
    pub(crate) fn of(&self, key: &str) -> Arc<Semaphore> {
        let mut of_key = self.of_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = of_key.get(key).and_then(Weak::upgrade) {
            return known;
        }
        if of_key.len() >= SWEEP_AT {
            of_key.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.permits));
        of_key.insert(key.into(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_in_use_are_forgotten() {
        let shares = Shares::of_each(1);
        let used = shares.of("used");
        for key in 0..10 * SWEEP_AT {
            drop(shares.of(&key.to_string()));
        }
        assert!(shares.of_key.lock().unwrap().len() <= SWEEP_AT);
        assert!(Arc::ptr_eq(&used, &shares.of("used")));
    }
}
