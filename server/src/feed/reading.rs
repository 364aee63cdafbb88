//! Reading the store with the proof beside each event, and finding the prefix that a client names.

use super::mailboxes::Reason;
use crate::Problem;
use crate::turns::Turns;
use axum::http::StatusCode;
use domain::{Entry, EventStore, INTERVAL, Position, Prefix, StoreError};
use engine::follower::{Known, Place, Tail};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What all who read share, and whose turns they take.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) tail: Arc<Tail>,
    pub(super) max_wait: Duration,
    pub(super) stop_at_damage: bool,
    pub(super) turns: Arc<Turns>,
    pub(super) key: Arc<str>,
}

/// Why there is nothing to be read from a place.
#[derive(Debug)]
pub(super) enum Broken {
    /// The store has something else there than was read before.
    Contradicts,
    /// The store fails.
    Store(StoreError),
}

impl Broken {
    /// Why a stream ends for it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Broken::Contradicts => Reason::StoreChanged,
            Broken::Store(_) => Reason::StoreUnavailable,
        }
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Problem {
        match broken {
            Broken::Contradicts => Problem::try_again(
                "store_changed",
                "the store answered something else than was read before, as after a restore; what was read is verified, and if \
                 it does not hold, everything is read anew",
                5,
            ),
            Broken::Store(error) => Problem::from(&error),
        }
    }
}

fn unavailable(error: &str) -> Problem {
    Problem::try_again("store_unavailable", error, 2)
}

impl Reading {
    /// At most so many events after that place, each with the prefix it ends. Never past a kept prefix, so that each of
    /// those is compared with what was found before.
    pub(super) async fn read_on(
        &self,
        place: Place,
        most: u64,
    ) -> Result<Vec<(Entry, Prefix)>, Broken> {
        let Place { reached, .. } = place;
        let most = most.min(INTERVAL - reached.count % INTERVAL);
        let store = Arc::clone(&self.store);
        let read = counted_from(store, reached, usize_of(most), self.stop_at_damage);
        let counted = match self.turns.begin(&self.key, read).await {
            Ok(counted) => counted,
            Err(error) => return Err(self.failed(place, error).await),
        };
        let end = counted.last().map_or(reached, |(_, end)| *end);
        if self.tail.agrees(Place {
            reached: end,
            ..place
        }) {
            Ok(counted)
        } else {
            Err(self.contradicted(place))
        }
    }

    /// A store refuses to read on from a place that it does not have, unless it refuses everything, as to somebody whose
    /// rights were taken away.
    async fn failed(&self, place: Place, error: StoreError) -> Broken {
        let is_refused = matches!(error, StoreError::Refused(_));
        if !is_refused || place.reached == Prefix::NONE {
            return Broken::Store(error);
        }
        match self.store.read_all(Position::START, 1).await {
            Ok(_) | Err(StoreError::DamagedEvent(_)) => self.contradicted(place),
            Err(error) => Broken::Store(error),
        }
    }

    /// Whether it is so for all, the reader finds out.
    pub(super) fn contradicted(&self, place: Place) -> Broken {
        self.tail.doubt(place);
        Broken::Contradicts
    }

    /// All events at or before that position.
    pub(super) async fn at(&self, position: Position) -> Result<Place, Problem> {
        loop {
            let end = self.tail.end();
            match self.tail.at_position(position) {
                Known::Exactly(prefix) => {
                    return Ok(Place {
                        reached: prefix,
                        ..end
                    });
                }
                Known::Between(from, to) => {
                    let is_past = |prefix: &Prefix| prefix.position > position;
                    return self
                        .between(
                            Place {
                                reached: from,
                                ..end
                            },
                            to,
                            is_past,
                        )
                        .await;
                }
                Known::Beyond => self.reach(position).await?,
            }
        }
    }

    /// The prefix of the first `count` events.
    pub(super) async fn first(&self, count: u64) -> Result<Place, Problem> {
        if let Known::Beyond = self.tail.of_count(count) {
            self.caught_up().await?;
        }
        let end = self.tail.end();
        match self.tail.of_count(count) {
            Known::Exactly(prefix) => Ok(Place {
                reached: prefix,
                ..end
            }),
            Known::Between(from, to) => {
                let is_past = |prefix: &Prefix| prefix.count > count;
                self.between(
                    Place {
                        reached: from,
                        ..end
                    },
                    to,
                    is_past,
                )
                .await
            }
            Known::Beyond => Err(no_such_prefix(end.reached)),
        }
    }

    /// All events there are.
    pub(super) async fn all(&self) -> Result<Place, Problem> {
        self.caught_up().await?;
        Ok(self.tail.end())
    }

    /// Reads on to the last one that is not past what is asked for, and to the end of the stretch, which must be as it
    /// was found before.
    async fn between(
        &self,
        from: Place,
        to: Prefix,
        is_past: impl Fn(&Prefix) -> bool,
    ) -> Result<Place, Problem> {
        let mut place = from;
        let mut found = from;
        while place.reached.count < to.count {
            let events = self.read_on(place, to.count - place.reached.count).await?;
            let Some((_, end)) = events.last() else {
                return Err(self.contradicted(place).into());
            };
            place.reached = *end;
            let not_past = events.iter().rev().find(|(_, up_to)| !is_past(up_to));
            if let Some((_, up_to)) = not_past {
                found.reached = *up_to;
            }
        }
        if place.reached == to {
            Ok(found)
        } else {
            Err(self.contradicted(place).into())
        }
    }

    /// Waits until the feed has read what the store may just have acknowledged.
    async fn reach(&self, position: Position) -> Result<(), Problem> {
        self.caught_up().await?;
        let last = self.store.info().await;
        let last = last.map_err(|error| Problem::from(&error))?.last;
        let end = self.tail.end().reached;
        if position > last.max(end.position) {
            return Err(ahead_of_store(end));
        }
        self.until(|end| end.position >= position).await
    }

    /// Waits, within bounds, until the feed stands like that.
    async fn until(&self, reached: impl Fn(Prefix) -> bool) -> Result<(), Problem> {
        let mut states = self.tail.states();
        let waiting = states.wait_for(|state| reached(state.prefix));
        match timeout(self.max_wait, waiting).await {
            Ok(_) => Ok(()),
            Err(_) => Err(behind()),
        }
    }

    /// Waits, within bounds, until the feed knows where the store ends.
    pub(super) async fn caught_up(&self) -> Result<(), Problem> {
        let mut states = self.tail.states();
        let waiting = states.wait_for(|state| state.caught_up || state.error.is_some());
        let Ok(Ok(state)) = timeout(self.max_wait, waiting).await else {
            return Err(behind());
        };
        match &state.error {
            Some(error) if !state.caught_up => Err(unavailable(error)),
            _ => Ok(()),
        }
    }
}

/// At most `most` events after that prefix, each with the prefix it ends.
async fn counted_from(
    store: Arc<dyn EventStore>,
    reached: Prefix,
    most: usize,
    stop_at_damage: bool,
) -> Result<Vec<(Entry, Prefix)>, StoreError> {
    let entries = match store.read_all(reached.position, most).await {
        Ok(events) => events.into_iter().map(Entry::Event).collect(),
        Err(StoreError::DamagedEvent(event)) if !stop_at_damage => vec![Entry::Damaged(*event)],
        Err(error) => return Err(error),
    };
    let mut end = reached;
    let counted = entries.into_iter().map(|entry| {
        end = end.plus_entry(&entry);
        (entry, end)
    });
    Ok(counted.collect())
}

/// A page is far shorter than any memory.
fn usize_of(events: u64) -> usize {
    usize::try_from(events).unwrap_or(usize::MAX)
}

fn behind() -> Problem {
    Problem::try_again(
        "feed_behind",
        "the feed has not read the whole store yet; /readyz tells when it has",
        2,
    )
}

pub(super) fn no_such_prefix(end: Prefix) -> Problem {
    let detail = format!("there are {} events; ask for a prefix of them", end.count);
    Problem::not_found("no_such_prefix", detail).with("count", end.count)
}

fn ahead_of_store(end: Prefix) -> Problem {
    let detail = format!(
        "the store ends at position {}, before the one that was named: this is another store, or one that was restored \
         from a copy; compare its id, and begin anew or from a position whose proof still holds (/v1/proof)",
        end.position
    );
    Problem::new(StatusCode::CONFLICT, "ahead_of_store", detail)
        .with("position", end.position.0)
        .with("count", end.count)
}
