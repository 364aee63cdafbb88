//! Two prefixes, and whether a store still leads from the one to the other.

use super::counted::Counted;
use domain::{EventStore, Prefix, StoreError, leads};
use std::sync::Arc;

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

    /// This and the next entries: the last one of them, and everything before it.
    #[must_use]
    pub fn and(self, entries: &[Arc<Counted>]) -> Self {
        match entries {
            [] => self,
            [last] => Self {
                from: self.to,
                to: last.up_to,
            },
            [.., before, last] => Self {
                from: before.up_to,
                to: last.up_to,
            },
        }
    }

    /// Whether it is that of a single event.
    pub(super) fn is_of_one(self) -> bool {
        self.to.count == self.from.count + 1
    }

    /// Whether the store still has these events.
    pub(super) async fn holds(self, store: &dyn EventStore) -> Result<bool, StoreError> {
        leads(store, self.from, self.to).await
    }
}
