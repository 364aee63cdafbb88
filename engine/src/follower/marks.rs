//! The prefixes that the reader keeps, one every [`INTERVAL`] events.

use super::span::Span;
use domain::{INTERVAL, Position, Prefix};

/// The prefixes that are kept, from that of no events on, one every [`INTERVAL`] events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<Prefix>);

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

    /// The last one, which follows from the one before it.
    pub(super) fn last_span(&self) -> Span {
        Span {
            from: self.0[self.0.len().saturating_sub(2)],
            to: self.last(),
        }
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
