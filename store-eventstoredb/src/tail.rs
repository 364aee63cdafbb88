//! Where all calls' events end, and waiting for more.
//!
//! Nobody subscribes: a subscription of the vendor's client that the server ends cleanly spins for ever and takes its
//! thread with it. Whoever waits asks where `$all` ends, which costs the server one read of one event, for all who wait
//! in this process together; what this process writes itself wakes them at once.

use crate::link::Link;
use crate::read::{Only, Stretch, Way, of_all};
use domain::{Position, StoreError};
use eventstore::{ResolvedEvent, StreamPosition};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

/// The pause between two looks: short while there is traffic, longer while there is none.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// Positions are byte offsets. With more of the log than this after the last known event of a call, a read backwards
/// from the end is slow, so reading on from the last look is cheaper.
const FAR_BYTES: u64 = 64 << 20;

/// What is known of the end of `$all`.
pub(crate) struct Tail {
    /// The position of the last event of a call that was seen; `None` once the store is closed.
    last: watch::Sender<Option<Position>>,
    /// How many bytes of other events stood after it at the last look.
    foreign_bytes: AtomicU64,
    /// Held by the task that looks, for all that wait.
    looking: Mutex<Looking>,
}

struct Looking {
    /// The last event of all, as of the last look. All events of calls up to here are known.
    end: Option<eventstore::Position>,
    pause: Duration,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self {
            last: watch::Sender::new(Some(Position::START)),
            foreign_bytes: AtomicU64::new(0),
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

    /// The position of the last event of a call, as of now: one read of one event. Only where a lot of foreign events
    /// follow that event, the last look helps to keep the server from reading all of them again.
    pub(crate) async fn position(&self, link: &Link) -> Result<Position, StoreError> {
        let known = self.last.borrow().ok_or_else(closed)?;
        if self.foreign_bytes.load(Ordering::Relaxed) > FAR_BYTES {
            self.look(link, &mut *self.looking.lock().await).await?;
            return self.last.borrow().ok_or_else(closed);
        }
        let end = end(link, Only::Calls).await?;
        let position = end.map_or(Position::START, |end| Position(end.commit));
        if position < known {
            self.begin_anew(&mut *self.looking.lock().await);
        }
        self.saw(position);
        Ok(position)
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
        if end != looking.end {
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

    /// A cluster that was restored from a backup ends earlier than it did. The next look finds where it ends.
    fn begin_anew(&self, looking: &mut Looking) {
        *looking = Looking::new();
        self.last.send_if_modified(|last| {
            *last = last.map(|_| Position::START);
            false
        });
    }

    /// The log has grown: finds the last event of a call in it. At most two reads of at most two events, however much
    /// was written, and the server passes over each foreign event at most twice.
    async fn look_on(
        &self,
        link: &Link,
        looking: &mut Looking,
        end: Option<eventstore::Position>,
    ) -> Result<(), StoreError> {
        if self.new_calls_events(link, looking).await?
            && let Some(last) = self::end(link, Only::Calls).await?
        {
            self.saw(Position(last.commit));
        }
        looking.end = end;
        let last = self.last.borrow().unwrap_or_default();
        let foreign = end.map_or(0, |end| end.commit.saturating_sub(last.0));
        self.foreign_bytes.store(foreign, Ordering::Relaxed);
        Ok(())
    }

    /// Whether an event of a call stands after the end of the last look, or may.
    async fn new_calls_events(
        &self,
        link: &Link,
        looking: &mut Looking,
    ) -> Result<bool, StoreError> {
        let Some(seen) = looking.end else {
            return Ok(true);
        };
        let after = Stretch {
            from: StreamPosition::Position(seen),
            only: Only::Calls,
            way: Way::Forwards,
            // The first may be the event at that position.
            most: 2,
        };
        match of_all(link, link.long_time(), after).await {
            Ok(read) => Ok(read.iter().any(|event| place(event) > seen)),
            // A log that has grown past its former end since it was restored has other positions.
            Err(StoreError::Refused(_)) => {
                self.begin_anew(looking);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

impl Looking {
    fn new() -> Self {
        Self {
            end: None,
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
