//! Following a store: what is there, then what comes, each event once and in order, and where the one ends.

use crate::envelope::StoredEvent;
use crate::ids::Position;
use crate::store::{DamagedEvent, EventStore, StoreError};
use std::sync::Arc;

/// A reader's place in a store. It keeps nothing but that place, so a reader that stops resumes from its checkpoint.
pub struct Follower {
    store: Arc<dyn EventStore>,
    after: Position,
    page: usize,
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
            caught_up: false,
        }
    }

    /// The position of the last event handed out.
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next events, or word that there are no more: once each time, and then this waits until there are. Whoever
    /// drops it while it waits has lost nothing.
    pub async fn next(&mut self) -> Result<Followed, StoreError> {
        loop {
            if self.caught_up {
                self.store.wait_past(self.after).await?;
            }
            let events = match self.store.read_all(self.after, self.page).await {
                Ok(events) => events,
                Err(StoreError::DamagedEvent(damaged)) if damaged.position > self.after => {
                    self.after = damaged.position;
                    self.caught_up = false;
                    return Ok(Followed::Damaged(*damaged));
                }
                Err(error) => return Err(error),
            };
            if let Some(last) = events.last() {
                self.after = last.position;
                self.caught_up = false;
                return Ok(Followed::Events(events));
            }
            if !self.caught_up {
                self.caught_up = true;
                return Ok(Followed::CaughtUp(self.after));
            }
        }
    }
}
