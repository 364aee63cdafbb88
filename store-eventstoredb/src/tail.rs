//! Where all calls' events end, and waiting for more.
//!
//! Nobody subscribes: a subscription of the vendor's client that the server ends cleanly spins for ever and takes its
//! thread with it. Whoever waits asks where `$all` ends, which costs the server one read of one event, for all who wait
//! in this process together; what this process writes itself wakes them at once.

use crate::link::Link;
use crate::read::{Only, Stretch, Way, of_all};
use domain::{Position, StoreError};
use eventstore::{ResolvedEvent, StreamPosition};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

/// The pause between two looks: short while there is traffic, longer while there is none.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

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
            looking: Mutex::new(Looking::new()),
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
        if end < looking.end {
            self.begin_anew(looking);
        }
        if end != looking.end
            && let Err(error) = self.look_on(link, looking, end).await
        {
            // One that has grown past its former end since has other places, and refuses ours.
            if !matches!(error, StoreError::Refused(_)) {
                return Err(error);
            }
            self.begin_anew(looking);
            self.look_on(link, looking, end).await?;
        }
        let quiet = *self.last.borrow() == before;
        looking.pause = if quiet {
            (looking.pause * 3 / 2).min(LONGEST)
        } else {
            SHORTEST
        };
        Ok(())
    }

    /// A cluster that was brought back from a backup ends earlier than it did.
    fn begin_anew(&self, looking: &mut Looking) {
        *looking = Looking::new();
        self.last.send_if_modified(|last| {
            *last = last.map(|_| Position::START);
            false
        });
    }

    /// There is more than there was, ours or not: looks until that end.
    async fn look_on(
        &self,
        link: &Link,
        looking: &mut Looking,
        end: Option<eventstore::Position>,
    ) -> Result<(), StoreError> {
        while let Some(seen) = looking.seen {
            let stretch = Stretch {
                from: StreamPosition::Position(seen),
                only: Only::Calls,
                way: Way::Forwards,
                most: WINDOW,
            };
            let read = of_all(link, link.long_time(), stretch).await?;
            let last = read.last().map(place);
            if let Some(last) = last {
                self.saw(Position(last.commit));
            }
            if read.len() < WINDOW {
                break;
            }
            looking.seen = last;
        }
        if looking.seen.is_none()
            && let Some(last) = self::end(link, Only::Calls).await?
        {
            self.saw(Position(last.commit));
        }
        looking.seen = looking.seen.max(end);
        looking.end = end;
        Ok(())
    }
}

impl Looking {
    fn new() -> Self {
        Self {
            end: None,
            seen: None,
            pause: SHORTEST,
        }
    }
}

/// The last event of all, or of all calls.
async fn end(link: &Link, only: Only) -> Result<Option<eventstore::Position>, StoreError> {
    let time = match only {
        Only::Everything => link.time(),
        Only::Calls | Only::CallsAndMetadata => link.long_time(),
    };
    let last = Stretch {
        from: StreamPosition::End,
        only,
        way: Way::Backwards,
        most: 1,
    };
    let read = of_all(link, time, last).await?;
    Ok(read.first().map(place))
}

fn place(event: &ResolvedEvent) -> eventstore::Position {
    event.get_original_event().position
}

fn closed() -> StoreError {
    StoreError::Unavailable("it was closed".to_owned())
}
