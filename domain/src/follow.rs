//! Following a store: what is there, then what comes, each event once and in order, and where the one ends.

use crate::store::{EventStore, Pages, StoreError};
use rules::DamagedEvent;
use rules::envelope::StoredEvent;
use rules::ids::Position;
use std::sync::Arc;

/// After a page of this many events, or a full one, there are probably many more.
const MANY: usize = 500;

/// Events read at once after a damaged event: damaged ones often stand together, and each page ends before one.
const AFTER_DAMAGE: usize = 16;

/// A reader's place in a store. It keeps nothing but that place, so a reader that stops resumes from its checkpoint.
pub struct Follower {
    store: Arc<dyn EventStore>,
    after: Position,
    page: usize,
    /// Events read at once: few after a damaged event, because more may follow, and twice as many each time.
    next_page: usize,
    /// The next pages while there are many, where the store reads ahead.
    ahead: Option<Box<dyn Pages>>,
    /// The reader was told, and has to wait now.
    caught_up: bool,
}

/// What a follower comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The next events; there is at least one.
    Events(Vec<StoredEvent>),
    /// The next event is damaged. The follower has moved past it; a caller that cannot go on without it must stop.
    Damaged(DamagedEvent),
    /// All that was there has been handed out; this is where the last of it stands.
    CaughtUp(Position),
}

impl Follower {
    /// Begins after that position, reading at most `page` events at once (at least one).
    pub fn new(store: Arc<dyn EventStore>, after: Position, page: usize) -> Self {
        Self {
            store,
            after,
            page: page.max(1),
            next_page: page.max(1),
            ahead: None,
            caught_up: false,
        }
    }

    /// The position of the last event handed out.
    pub fn position(&self) -> Position {
        self.after
    }

    /// Returns the next events. At the end it returns `CaughtUp` once, and then waits for more. Dropping the future
    /// loses no event: nothing is awaited between taking events and returning them.
    pub async fn next(&mut self) -> Result<Followed, StoreError> {
        if let Some(events) = self.next_ahead().await {
            return Ok(self.hand_out(events));
        }
        loop {
            if self.caught_up {
                self.store.wait_past(self.after).await?;
            }
            let events = match self.store.read_all(self.after, self.next_page).await {
                Ok(events) => events,
                Err(StoreError::DamagedEvent(damaged)) if damaged.position > self.after => {
                    self.after = damaged.position;
                    self.next_page = AFTER_DAMAGE.min(self.page);
                    self.caught_up = false;
                    return Ok(Followed::Damaged(*damaged));
                }
                Err(error) => return Err(error),
            };
            if !events.is_empty() {
                return Ok(self.hand_out_and_read_ahead(events));
            }
            if !self.caught_up {
                self.caught_up = true;
                return Ok(Followed::CaughtUp(self.after));
            }
        }
    }

    /// The next page of those that were read ahead.
    async fn next_ahead(&mut self) -> Option<Vec<StoredEvent>> {
        let events = self.ahead.as_mut()?.next().await;
        if events.is_none() {
            self.ahead = None;
        }
        events
    }

    fn hand_out_and_read_ahead(&mut self, events: Vec<StoredEvent>) -> Followed {
        let many = events.len() >= MANY.min(self.page);
        let handed_out = self.hand_out(events);
        if many {
            self.ahead = self.store.read_ahead(self.after, self.page);
        }
        handed_out
    }

    fn hand_out(&mut self, events: Vec<StoredEvent>) -> Followed {
        self.next_page = self.next_page.saturating_mul(2).min(self.page);
        self.after = events.last().map_or(self.after, |last| last.position);
        self.caught_up = false;
        Followed::Events(events)
    }
}
