//! A place in a store, and the pages after it.
//!
//! A cluster can be restored to another history between any two reads. A page is therefore accepted only with a proof that
//! it continues what was read before: it begins with the last event that is known, or that event is read again after it.

use super::counted::Counted;
use super::span::Span;
use domain::{Backoff, DamagedEvent, Entry, EventStore, Pages, StoreError, StoredEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The most events in a page.
pub(super) const PAGE: usize = 1024;

/// A page of this many events is probably followed by many more.
const MANY: usize = 500;

/// The events read at once after a damaged one: damaged events often stand together, and each page ends before one.
const AFTER_DAMAGE: usize = 16;

/// The pauses after failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// See the module.
pub(super) struct Cursor {
    store: Arc<dyn EventStore>,
    stop_at_damage: bool,
    span: Span,
    /// The size of the next page: small after a damaged event, and doubled with each page.
    page: usize,
    ahead: Option<Ahead>,
    /// The store was seen to have the span.
    is_verified: bool,
    /// The end was reported; the next step waits for more.
    is_at_end: bool,
    /// The latest attempt failed; the next one waits.
    backoff: Option<Backoff>,
}

/// Pages that the store reads ahead.
struct Ahead {
    pages: Box<dyn Pages>,
    /// The next page begins with the last event of the span.
    overlaps: bool,
}

/// The outcome of one step.
pub(super) enum Read {
    /// The next entries; there is at least one.
    Entries(Vec<Arc<Counted>>),
    /// There are no more for now.
    End,
    /// The store does not have what was read before.
    Contradiction,
    /// The store failed; the next step tries again, after a pause.
    Failed(StoreError),
}

/// A page of the store.
enum Page {
    Events(Vec<StoredEvent>),
    Damaged(DamagedEvent),
    Contradiction,
}

impl Cursor {
    pub(super) fn new(store: Arc<dyn EventStore>, span: Span, stop_at_damage: bool) -> Self {
        Self {
            store,
            stop_at_damage,
            span,
            page: PAGE,
            ahead: None,
            is_verified: false,
            is_at_end: false,
            backoff: None,
        }
    }

    /// One that reads from the first event, after the same pause: a store that contradicts itself is not read without rest.
    pub(super) fn begin_anew(self) -> Self {
        let backoff = self.backoff;
        let anew = Self::new(self.store, Span::NONE, self.stop_at_damage);
        Self { backoff, ..anew }
    }

    /// What was read.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Whether the store was seen to have what was read before.
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// Reads on. The future owns the cursor, so that it can be kept while other work is due: a read that began again each
    /// time would never finish on a slow store.
    pub(super) async fn step(mut self) -> (Self, Read) {
        if let Some(backoff) = &mut self.backoff {
            sleep(backoff.pause()).await;
        }
        let read = self.attempt().await.unwrap_or_else(Read::Failed);
        match read {
            Read::Entries(_) | Read::End => self.backoff = None,
            Read::Contradiction | Read::Failed(_) => {
                self.backoff.get_or_insert(BACKOFF);
                self.ahead = None;
                self.is_at_end = false;
            }
        }
        (self, read)
    }

    async fn attempt(&mut self) -> Result<Read, StoreError> {
        if let Some(events) = self.next_ahead().await {
            return Ok(self.take(events.into_iter().map(Entry::Event)));
        }
        loop {
            if self.is_at_end {
                self.store.wait_past(self.span.to.position).await?;
            }
            match self.read().await? {
                Page::Events(events) if events.is_empty() => {
                    if !std::mem::replace(&mut self.is_at_end, true) {
                        return Ok(Read::End);
                    }
                }
                Page::Events(events) => return Ok(self.take_and_read_ahead(events)),
                Page::Damaged(event) if self.stop_at_damage => return Err(event.into()),
                Page::Damaged(event) => {
                    let read = self.take([Entry::Damaged(event)]);
                    self.page = AFTER_DAMAGE;
                    return Ok(read);
                }
                Page::Contradiction => return Ok(Read::Contradiction),
            }
        }
    }

    /// The next page, if it continues the span.
    async fn read(&mut self) -> Result<Page, StoreError> {
        let overlapping = self.read_overlapping().await?;
        let overlaps = overlapping.is_some();
        if let Some(events) = overlapping.filter(|events| !events.is_empty()) {
            self.is_verified = true;
            return Ok(Page::Events(events));
        }
        let next = match self.store.read_all(self.span.to.position, self.page).await {
            Ok(events) => Ok(Page::Events(events)),
            Err(StoreError::DamagedEvent(event)) if event.position > self.span.to.position => {
                Ok(Page::Damaged(*event))
            }
            Err(error) => Err(error),
        };
        // Nothing follows, so nothing can be taken for a continuation.
        let is_end = matches!(&next, Ok(Page::Events(events)) if events.is_empty());
        let is_proved = overlaps && is_end;
        if !is_proved && !self.span.holds(&*self.store).await? {
            return Ok(Page::Contradiction);
        }
        self.is_verified = true;
        next
    }

    /// The events after the span, read together with its last one. `None` if they were not: the span is longer, its last
    /// event is damaged, or the store has another one there.
    async fn read_overlapping(&self) -> Result<Option<Vec<StoredEvent>>, StoreError> {
        if !self.span.is_of_one() {
            return Ok(None);
        }
        let from = self.span.from.position;
        match self.store.read_all(from, self.page + 1).await {
            Ok(events) => Ok(self.without_the_last_of_the_span(events)),
            Err(StoreError::DamagedEvent(_) | StoreError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn without_the_last_of_the_span(
        &self,
        mut events: Vec<StoredEvent>,
    ) -> Option<Vec<StoredEvent>> {
        let first = events.first()?;
        (self.span.from.plus(first) == self.span.to).then(|| {
            events.remove(0);
            events
        })
    }

    /// The next page of those that the store reads ahead. They are pages of one read, which has one history, so only the
    /// first one has to overlap.
    async fn next_ahead(&mut self) -> Option<Vec<StoredEvent>> {
        loop {
            let ahead = self.ahead.as_mut()?;
            let mut events = ahead.pages.next().await;
            if std::mem::take(&mut ahead.overlaps) {
                events = events.and_then(|events| self.without_the_last_of_the_span(events));
            }
            match events {
                Some(events) if events.is_empty() => {}
                Some(events) => return Some(events),
                None => self.ahead = None,
            }
        }
    }

    fn take_and_read_ahead(&mut self, events: Vec<StoredEvent>) -> Read {
        let many = events.len() >= MANY;
        let read = self.take(events.into_iter().map(Entry::Event));
        if many {
            let pages = self.store.read_ahead(self.span.from.position, PAGE);
            self.ahead = pages.map(|pages| Ahead {
                pages,
                overlaps: true,
            });
        }
        read
    }

    fn take(&mut self, entries: impl IntoIterator<Item = Entry>) -> Read {
        let mut before = self.span.to;
        let counted = entries.into_iter().map(|entry| {
            let counted = Counted::after(before, entry);
            before = counted.up_to;
            Arc::new(counted)
        });
        let entries: Vec<_> = counted.collect();
        self.span = self.span.and(&entries);
        self.page = self.page.saturating_mul(2).min(PAGE);
        self.is_at_end = false;
        Read::Entries(entries)
    }
}
