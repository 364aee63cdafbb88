//! Prefixes of a store's events: how many there are, where the last one stands, and one hash over all of them.

use crate::store::{EventStore, StoreError};
use rules::envelope::{Hash, Head, StoredEvent, roll};
use rules::ids::Position;
use rules::{DamagedEvent, Entry};

/// All events of a store up to one of them. A damaged event counts as one event, with [`DamagedEvent::hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The number of events.
    pub count: u64,
    /// The position of the last event.
    pub position: Position,
    /// r(n): SHA-256 of r(n-1) and the hash of the n-th event; r(0) is zeros.
    pub rolling_hash: Hash,
}

/// Events between two prefixes that are kept, so that any other one is found by reading at most this many.
pub const INTERVAL: u64 = 1024;

impl Prefix {
    /// Before the first event.
    pub const NONE: Prefix = Prefix {
        count: 0,
        position: Position::START,
        rolling_hash: Head::NONE.hash,
    };

    /// This prefix and the next event.
    #[must_use]
    pub fn plus(self, event: &StoredEvent) -> Self {
        self.and(event.position, event.recorded.hash)
    }

    /// This prefix and the next event, which is damaged.
    #[must_use]
    pub fn plus_damaged(self, event: &DamagedEvent) -> Self {
        self.and(event.position, event.hash())
    }

    /// This prefix and what stands next.
    #[must_use]
    pub fn plus_entry(self, entry: &Entry) -> Self {
        match entry {
            Entry::Event(event) => self.plus(event),
            Entry::Damaged(event) => self.plus_damaged(event),
        }
    }

    /// Whether it is one that is kept.
    pub fn is_mark(&self) -> bool {
        self.count.is_multiple_of(INTERVAL)
    }

    fn and(self, position: Position, hash: Hash) -> Self {
        Self {
            count: self.count + 1,
            position,
            rolling_hash: roll(self.rolling_hash, hash),
        }
    }
}

/// Whether the store's events after the one prefix make the other. A store that refuses to read after the first
/// prefix's position has no event there; it may have been restored from a copy.
pub async fn leads(store: &dyn EventStore, from: Prefix, to: Prefix) -> Result<bool, StoreError> {
    let mut reached = from;
    while reached.count < to.count {
        let wanted = (to.count - reached.count).min(INTERVAL);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        reached = match store.read_all(reached.position, wanted).await {
            Ok(events) if events.is_empty() => return Ok(false),
            Ok(events) => events.iter().fold(reached, Prefix::plus),
            Err(StoreError::DamagedEvent(damaged)) if damaged.position > reached.position => {
                reached.plus_damaged(&damaged)
            }
            Err(StoreError::Refused(_)) if reached.position > Position::START => {
                // Unless it refuses every read, as it does where the right to read was taken away.
                match store.read_all(Position::START, 1).await {
                    Ok(_) | Err(StoreError::DamagedEvent(_)) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
    }
    Ok(reached == to)
}
