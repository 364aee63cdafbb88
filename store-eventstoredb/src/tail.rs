//! Where all calls' events end, and waiting for more.
//!
//! Nobody subscribes: a subscription of the vendor's client that the server ends cleanly spins for ever and takes its
//! thread with it. Whoever waits asks where `$all` ends, which costs the server one read of one event, for all who wait
//! in this process together; what this process writes itself wakes them at once.

use crate::link::Link;
use crate::read::{Only, Way, all_from, all_within};
use domain::{Position, StoreError};
use eventstore::{ResolvedEvent, StreamPosition};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

/// The pause between two looks: short while there is traffic, longer while there is none.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// How long the server may look for the last event of a call, past the events of others.
const LONG: Duration = Duration::from_mins(2);

/// At most so many events are looked at to see how far calls go.
const WINDOW: usize = 500;

/// What is known of the end of `$all`.
pub(crate) struct Tail {
    /// The position of the last event of a call that was seen; nothing once the store is closed.
    last: watch::Sender<Option<Position>>,
    /// Whoever holds it looks, for all who wait.
    looking: Mutex<Looking>,
}

struct Looking {
    /// The last event of all, as of the last look.
    end: Option<eventstore::Position>,
    /// Up to here all events of calls are known.
    seen: Option<eventstore::Position>,
    pause: Duration,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self {
            last: watch::Sender::new(Some(Position::START)),
            looking: Mutex::new(Looking {
                end: None,
                seen: None,
                pause: SHORTEST,
            }),
        }
    }

    /// An event of a call stands there.
    pub(crate) fn saw(&self, position: Position) {
        self.last.send_if_modified(|last| {
            let further = last.is_some_and(|last| position > last);
            if further {
                *last = Some(position);
            }
            further
        });
    }

    pub(crate) fn close(&self) {
        self.last.send_replace(None);
    }

    /// The position of the last event of a call, as of now.
    pub(crate) async fn position(&self, link: &Link) -> Result<Position, StoreError> {
        let mut looking = self.looking.lock().await;
        self.look(link, &mut looking).await?;
        self.last.borrow().ok_or_else(closed)
    }

    /// Waits until there is an event of a call past that position.
    pub(crate) async fn past(
        &self,
        link: &Link,
        position: Position,
    ) -> Result<Position, StoreError> {
        let mut last = self.last.subscribe();
        loop {
            match *last.borrow_and_update() {
                None => return Err(closed()),
                Some(last) if last > position => return Ok(last),
                Some(_) => {}
            }
            tokio::select! {
                _ = last.changed() => {}
                looked = self.look_again(link) => looked?,
            }
        }
    }

    async fn look_again(&self, link: &Link) -> Result<(), StoreError> {
        let mut looking = self.looking.lock().await;
        self.look(link, &mut looking).await?;
        sleep(looking.pause).await;
        Ok(())
    }

    async fn look(&self, link: &Link, looking: &mut Looking) -> Result<(), StoreError> {
        let before = *self.last.borrow();
        let end = end(link, Only::Everything).await?;
        if end != looking.end {
            self.look_on(link, looking, end).await?;
            looking.end = end;
        }
        let quiet = *self.last.borrow() == before;
        looking.pause = if quiet {
            (looking.pause * 3 / 2).min(LONGEST)
        } else {
            SHORTEST
        };
        Ok(())
    }

    /// There is more than there was, ours or not.
    async fn look_on(
        &self,
        link: &Link,
        looking: &mut Looking,
        end: Option<eventstore::Position>,
    ) -> Result<(), StoreError> {
        let Some(seen) = looking.seen else {
            if let Some(last) = self::end(link, Only::Calls).await? {
                self.saw(Position(last.commit));
            }
            looking.seen = end;
            return Ok(());
        };
        let from = StreamPosition::Position(seen);
        let read = all_from(link, from, Only::Calls, Way::Forwards, WINDOW).await?;
        let last = read.last().map(place);
        if let Some(last) = last {
            self.saw(Position(last.commit));
        }
        looking.seen = if read.len() < WINDOW {
            end.max(last)
        } else {
            last
        };
        Ok(())
    }
}

/// The last event of all, or of all calls.
async fn end(link: &Link, only: Only) -> Result<Option<eventstore::Position>, StoreError> {
    let limit = match only {
        Only::Everything => link.url.deadline,
        Only::Calls => link.url.deadline.max(LONG),
    };
    let read = all_within(link, limit, StreamPosition::End, only, Way::Backwards, 1).await?;
    Ok(read.first().map(place))
}

fn place(event: &ResolvedEvent) -> eventstore::Position {
    event.get_original_event().position
}

fn closed() -> StoreError {
    StoreError::Unavailable("it was closed".to_owned())
}
