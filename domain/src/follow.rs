//! Following a store: what is there, then what comes, each event once and in order.

use crate::envelope::StoredEvent;
use crate::ids::Position;
use crate::store::{EventStore, StoreError};
use std::sync::Arc;

/// A reader's place in a store. It keeps nothing but that place, so a reader that stops resumes from its checkpoint.
pub struct Follower {
    store: Arc<dyn EventStore>,
    after: Position,
    page: usize,
}

impl Follower {
    /// Begins after that position, reading at most `page` events at once (at least one).
    pub fn new(store: Arc<dyn EventStore>, after: Position, page: usize) -> Self {
        Self {
            store,
            after,
            page: page.max(1),
        }
    }

    /// The position of the last event handed out.
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next events, waiting until there are some.
    pub async fn next(&mut self) -> Result<Vec<StoredEvent>, StoreError> {
        loop {
            let events = self.next_there().await?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.store.wait_past(self.after).await?;
        }
    }

    /// The next events, or none once everything there has been read.
    pub async fn next_there(&mut self) -> Result<Vec<StoredEvent>, StoreError> {
        let events = self.store.read_all(self.after, self.page).await?;
        if let Some(last) = events.last() {
            self.after = last.position;
        }
        Ok(events)
    }
}
