//! Following a store: what is there, then what comes, each event once and in order, and where the one ends.

use crate::envelope::StoredEvent;
use crate::ids::Position;
use crate::store::{EventStore, StoreError};
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
            let events = self.store.read_all(self.after, self.page).await?;
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
