//! The proof of completeness: how many events there are up to one of them, and a digest of all their hashes.

use domain::envelope::{Hash, roll};
use domain::{Head, Position, StoredEvent};

/// Every so many events a prefix is kept, so that any other one is found by reading at most so many.
pub const INTERVAL: u64 = 1024;

/// All events of a store up to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// How many there are.
    pub count: u64,
    /// Where the last of them stands.
    pub position: Position,
    /// SHA-256 of the rolling hash before the last one, zeros before the first, and its hash.
    pub rolling_hash: Hash,
}

/// The prefixes that are kept, from that of no events on, one every [`INTERVAL`] events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<Prefix>);

impl Prefix {
    /// Before the first event.
    pub const NONE: Prefix = Prefix {
        count: 0,
        position: Position::START,
        rolling_hash: Head::NONE.hash,
    };

    /// One event further.
    #[must_use]
    pub fn plus(self, event: &StoredEvent) -> Self {
        Self {
            count: self.count + 1,
            position: event.position,
            rolling_hash: roll(self.rolling_hash, event.recorded.hash),
        }
    }

    /// Whether it is one that is kept.
    pub(super) fn is_mark(&self) -> bool {
        self.count.is_multiple_of(INTERVAL)
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self(vec![Prefix::NONE])
    }
}

impl Marks {
    /// Takes the next one, or says that it is none.
    pub(super) fn push(&mut self, mark: Prefix) -> bool {
        let last = self.last();
        let follows = mark.count == last.count + INTERVAL && mark.position > last.position;
        if follows {
            self.0.push(mark);
        }
        follows
    }

    pub(super) fn last(&self) -> Prefix {
        self.0[self.0.len() - 1]
    }

    /// The one before the last; the last, if it is the only one.
    pub(super) fn last_but_one(&self) -> Prefix {
        self.0[self.0.len().saturating_sub(2)]
    }

    /// Of so many events, if it is kept.
    pub(super) fn of(&self, count: u64) -> Option<Prefix> {
        let place = usize::try_from(count / INTERVAL).ok()?;
        let mark = self.0.get(place).copied();
        mark.filter(|mark| mark.count == count)
    }

    /// The longest of at most so many events, and the next one, if there is.
    pub(super) fn around_count(&self, count: u64) -> (Prefix, Option<Prefix>) {
        self.around(|mark| mark.count <= count)
    }

    /// The longest that ends at or before that position, and the next one, if there is.
    pub(super) fn around_position(&self, position: Position) -> (Prefix, Option<Prefix>) {
        self.around(|mark| mark.position <= position)
    }

    fn around(&self, before: impl Fn(&Prefix) -> bool) -> (Prefix, Option<Prefix>) {
        let after = self.0.partition_point(before);
        let mark = self.0[after.saturating_sub(1)];
        (mark, self.0.get(after).copied())
    }
}
