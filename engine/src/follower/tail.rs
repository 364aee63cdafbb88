//! The end of what was read: the last events, the kept prefixes, and how the reader is doing. One lock guards it, so a
//! subscriber that joins gets each event once.

use super::counted::Counted;
use super::marks::Marks;
use super::span::Span;
use domain::{Position, Prefix};
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// The number of events in memory; a subscriber further back reads the store.
const RECENT: usize = 16_384;

/// How the reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What it has read.
    pub prefix: Prefix,
    /// Whether it has come to the store's end since it began or last failed.
    pub caught_up: bool,
    /// Why it cannot go on; it tries again and again.
    pub error: Option<String>,
    /// Whether the kept proof did not hold, so that it was computed anew from the first event.
    pub rebuilt: bool,
    /// Why the proof is not kept any more, if so; the next start reads more.
    pub not_kept: Option<String>,
    /// Whether nothing followed at its last look.
    pub(super) is_at_end: bool,
    /// How often it has begun: 0 until the kept proof was compared with the store.
    generation: u64,
}

/// See the module.
pub struct Tail {
    inner: Mutex<Inner>,
    state: watch::Sender<State>,
    store_end: watch::Sender<Option<Position>>,
    doubted: Notify,
}

struct Inner {
    marks: Marks,
    recent: VecDeque<Arc<Counted>>,
    /// What was read before the first of the recent events.
    before_recent: Prefix,
    /// The shortest prefix after which a subscriber read something else.
    doubt: Option<u64>,
    /// Everything is to be read again.
    doubts_all: bool,
}

/// What has to be compared with the store.
#[derive(Clone, Copy)]
pub(super) enum Doubt {
    /// Kept prefixes: the first must lead to the second.
    Of(Span),
    /// All of it.
    OfAll,
}

/// A place in the store, in one of the reader's beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Everything up to it.
    pub reached: Prefix,
    /// The number of the beginning.
    pub generation: u64,
}

/// What comes after a place.
pub(super) enum After {
    /// These.
    Entries(Vec<Arc<Counted>>),
    /// Nothing yet.
    Nothing,
    /// It is not among the recent events, or they are not what was read up to it.
    Elsewhere,
    /// The reader has begun anew, with this number.
    Anew(u64),
}

/// How a position or count relates to the events that are known.
pub enum Known {
    /// Exactly this.
    Exactly(Prefix),
    /// Past the first, and at or before the second.
    Between(Prefix, Prefix),
    /// Past everything.
    Beyond,
}

impl Default for Tail {
    fn default() -> Self {
        let state = State {
            prefix: Prefix::NONE,
            caught_up: false,
            error: None,
            rebuilt: false,
            not_kept: None,
            is_at_end: false,
            generation: 0,
        };
        Self {
            inner: Mutex::new(Inner::of(Marks::default())),
            state: watch::Sender::new(state),
            store_end: watch::Sender::new(None),
            doubted: Notify::new(),
        }
    }
}

impl Tail {
    /// How the reader stands.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// To wait for a state.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Where the store ended at the last look; each look counts as a change. `None` before the first one.
    pub fn store_ends(&self) -> watch::Receiver<Option<Position>> {
        self.store_end.subscribe()
    }

    /// What was read.
    pub fn end(&self) -> Place {
        let state = self.state.borrow();
        Place {
            reached: state.prefix,
            generation: state.generation,
        }
    }

    /// What was read, with a prefix shortly before it, and in which of the beginnings.
    pub fn end_span(&self) -> (Span, u64) {
        let inner = self.inner();
        let end = self.end();
        let whole = inner
            .recent
            .iter()
            .rposition(|entry| entry.event().is_some());
        let from = match whole {
            None => inner.marks.last_span().from,
            Some(0) => inner.before_recent,
            Some(last) => inner.recent[last - 1].up_to,
        };
        let to = end.reached;
        (Span { from, to }, end.generation)
    }

    /// Begins where those marks end.
    pub(super) fn begin(&self, marks: Marks) {
        let mut inner = self.inner();
        self.state.send_modify(|state| {
            state.prefix = marks.last();
            state.generation += 1;
        });
        *inner = Inner::of(marks);
    }

    /// What was read does not hold: everything is read anew.
    pub(super) fn begin_anew(&self) {
        let mut inner = self.inner();
        *inner = Inner::of(Marks::default());
        self.state.send_modify(|state| {
            state.prefix = Prefix::NONE;
            state.caught_up = false;
            state.is_at_end = false;
            // It was read just now, and what it said is why everything begins anew.
            state.error = None;
            state.rebuilt = true;
            state.generation += 1;
        });
    }

    /// Takes the next entries in.
    pub(super) fn publish(&self, entries: Vec<Arc<Counted>>) {
        let Some(end) = entries.last().map(|last| last.up_to) else {
            return;
        };
        let mut inner = self.inner();
        for entry in entries {
            inner.take(entry);
        }
        self.state.send_modify(|state| {
            state.prefix = end;
            state.is_at_end = false;
        });
    }

    /// The reader has read all that the store had a moment ago, or even all that it has just now.
    pub(super) fn has_caught_up(&self, is_at_end: bool) {
        self.state.send_if_modified(|state| {
            let is_news =
                !state.caught_up || state.error.is_some() || (is_at_end && !state.is_at_end);
            state.caught_up = true;
            state.error = None;
            state.is_at_end |= is_at_end;
            is_news
        });
    }

    pub(super) fn store_ends_at(&self, end: Position) {
        self.store_end.send_replace(Some(end));
    }

    pub(super) fn failed(&self, error: String) {
        self.state.send_modify(|state| {
            state.caught_up = false;
            state.is_at_end = false;
            state.error = Some(error);
        });
    }

    /// The proof is not kept any more.
    pub(super) fn not_kept(&self, error: String) {
        self.state.send_modify(|state| state.not_kept = Some(error));
    }

    /// The proof is kept again.
    pub(super) fn kept(&self) {
        self.state
            .send_if_modified(|state| state.not_kept.take().is_some());
    }

    /// A subscriber found that the store does not go on after that place as was read before. The reader compares.
    pub fn doubt(&self, place: Place) {
        let mut inner = self.inner();
        if place.generation == self.end().generation {
            let count = place.reached.count;
            inner.doubt = Some(inner.doubt.map_or(count, |doubt| doubt.min(count)));
            self.doubted.notify_one();
        }
    }

    /// Everything that was read is to be read again.
    pub fn doubt_all(&self) {
        self.inner().doubts_all = true;
        self.doubted.notify_one();
    }

    /// Waits until there is a doubt. Dropping the future loses none.
    pub(super) async fn doubted(&self) -> Doubt {
        loop {
            self.doubted.notified().await;
            let mut inner = self.inner();
            if inner.doubts_all {
                return Doubt::OfAll;
            }
            if let Some(count) = inner.doubt.take() {
                let (from, next) = inner.marks.around_count(count);
                let to = next.unwrap_or(self.end().reached);
                return Doubt::Of(Span { from, to });
            }
        }
    }

    /// Whether a place is what is known of so many events, if anything is.
    pub fn agrees(&self, place: Place) -> bool {
        let inner = self.inner();
        let count = place.reached.count;
        let known = inner.recent(count).or_else(|| inner.marks.of(count));
        place.generation == self.end().generation
            && known.is_none_or(|known| known == place.reached)
    }

    /// Whether the reader stands at the store's end, and has read less than that.
    pub(super) fn ends_before(&self, reached: Prefix) -> bool {
        let state = self.state.borrow();
        state.is_at_end && state.prefix.count < reached.count
    }

    /// At most `most` entries after that place.
    pub(super) fn after(&self, place: Place, most: usize) -> After {
        let inner = self.inner();
        let generation = self.end().generation;
        if place.generation != generation {
            return After::Anew(generation);
        }
        let Some(next) = inner.after(place.reached) else {
            return After::Elsewhere;
        };
        match next.take(most).cloned().collect::<Vec<_>>() {
            entries if entries.is_empty() => After::Nothing,
            entries => After::Entries(entries),
        }
    }

    /// At most so many entries after the one prefix, up to the other, if they are among the recent ones.
    pub fn between(&self, from: Prefix, to: Prefix, most: usize) -> Option<Vec<Arc<Counted>>> {
        let ahead = usize::try_from(to.count.saturating_sub(from.count)).ok()?;
        let inner = self.inner();
        let next = inner.after(from)?.take(ahead.min(most));
        Some(next.cloned().collect())
    }

    /// All events at or before that position.
    pub fn at_position(&self, position: Position) -> Known {
        let inner = self.inner();
        let Some(end) = self.begun() else {
            return Known::Beyond;
        };
        if position == end.position {
            return Known::Exactly(end);
        }
        if position > end.position {
            return Known::Beyond;
        }
        let past = inner
            .recent
            .partition_point(|entry| entry.up_to.position <= position);
        if let Some(entry) = past.checked_sub(1).and_then(|last| inner.recent.get(last)) {
            return Known::Exactly(entry.up_to);
        }
        let (mark, next) = inner.marks.around_position(position);
        exactly_or_between(mark, next.unwrap_or(end), mark.position == position)
    }

    /// The prefix of the first `count` events.
    pub fn of_count(&self, count: u64) -> Known {
        let inner = self.inner();
        let Some(end) = self.begun() else {
            return Known::Beyond;
        };
        if count == end.count {
            return Known::Exactly(end);
        }
        if count > end.count {
            return Known::Beyond;
        }
        if let Some(known) = inner.recent(count) {
            return Known::Exactly(known);
        }
        let (mark, next) = inner.marks.around_count(count);
        exactly_or_between(mark, next.unwrap_or(end), mark.count == count)
    }

    /// What was read, once the kept proof was compared with the store: a place before that would begin at the first event.
    fn begun(&self) -> Option<Prefix> {
        let state = self.state.borrow();
        (state.generation > 0).then_some(state.prefix)
    }

    /// A panic elsewhere leaves it whole: nothing in it fails half-way.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exactly_or_between(mark: Prefix, next: Prefix, exactly: bool) -> Known {
    if exactly {
        Known::Exactly(mark)
    } else {
        Known::Between(mark, next)
    }
}

impl Inner {
    /// With the marks alone. Doubts about what was known before have been resolved.
    fn of(marks: Marks) -> Self {
        Self {
            before_recent: marks.last(),
            marks,
            recent: VecDeque::new(),
            doubt: None,
            doubts_all: false,
        }
    }

    fn take(&mut self, entry: Arc<Counted>) {
        if entry.up_to.is_mark() {
            self.marks.push(entry.up_to);
        }
        if self.recent.len() == RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.before_recent = oldest.up_to;
        }
        self.recent.push_back(entry);
    }

    /// The prefix of so many events, if the last of them is recent.
    fn recent(&self, count: u64) -> Option<Prefix> {
        let events = count.checked_sub(self.before_recent.count)?;
        let last = usize::try_from(events).ok()?.checked_sub(1)?;
        self.recent.get(last).map(|entry| entry.up_to)
    }

    /// All entries after that prefix, if they are recent and follow from it.
    fn after(&self, reached: Prefix) -> Option<Iter<'_, Arc<Counted>>> {
        let known = if reached.count == self.before_recent.count {
            self.before_recent
        } else {
            self.recent(reached.count)?
        };
        let passed = usize::try_from(reached.count - self.before_recent.count).ok()?;
        (known == reached).then(|| self.recent.range(passed..))
    }
}
