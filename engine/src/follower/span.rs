//! Two prefixes, and whether a store still leads from the one to the other.

use super::counted::Counted;
use domain::{EventStore, Prefix, StoreError, leads};
use std::sync::Arc;

/// The most events that are read again for one page, after damaged ones.
const LONGEST: u64 = 64;

/// What was read of a store: a prefix, and a shorter one that it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shorter one.
    pub from: Prefix,
    /// Everything that was read.
    pub to: Prefix,
}

impl Span {
    /// Nothing was read.
    pub const NONE: Self = Self::at(Prefix::NONE);

    /// That prefix, without one before it.
    pub const fn at(prefix: Prefix) -> Self {
        Self {
            from: prefix,
            to: prefix,
        }
    }

    /// This and the next entries: the last whole event, everything before it, and what follows it. A damaged event alone
    /// would prove little, because its bytes are not known.
    #[must_use]
    pub fn and(self, entries: &[Arc<Counted>]) -> Self {
        let whole = entries.iter().rposition(|entry| entry.event().is_some());
        let from = match whole {
            Some(0) => self.to,
            Some(last) => entries[last - 1].up_to,
            None if self.len() < LONGEST => self.from,
            None => self.to,
        };
        let to = entries.last().map_or(self.to, |last| last.up_to);
        Self { from, to }
    }

    fn len(self) -> u64 {
        self.to.count - self.from.count
    }

    /// Whether it is that of a single event.
    pub(super) fn is_of_one(self) -> bool {
        self.len() == 1
    }

    /// Whether the store still has these events.
    pub(super) async fn holds(self, store: &dyn EventStore) -> Result<bool, StoreError> {
        leads(store, self.from, self.to).await
    }
}
