//! Reading all calls from `$all`, everything verified on the way.

use crate::call_stream::{PAGE, drained};
use crate::event::{METADATA_PREFIX, PREFIX, found};
use crate::limits;
use crate::link::{Link, Time, no_leader};
use domain::{Position, StoreError, StoredEvent};
use eventstore::{
    Client, Error, ReadAllOptions, ReadStream, ResolvedEvent, StreamPosition, SubscriptionFilter,
};
use std::time::Duration;

/// At most `max` events of all calls after that position, up to a damaged one.
pub(crate) async fn all(
    link: &Link,
    after: Position,
    max: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let most = max.min(PAGE);
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut from = after;
    loop {
        let read = after_position(link, from, most).await?;
        let mut events = whole(link, after, &read).await?;
        events.truncate(most);
        // A full page of metadata that harms nothing is not the end.
        if !events.is_empty() || read.len() <= most {
            return Ok(events);
        }
        from = read.last().map_or(from, position);
    }
}

/// At most `most` events of calls and their metadata after that position. A read from a position begins with the event
/// that stands there, so one more is asked for.
async fn after_position(
    link: &Link,
    after: Position,
    most: usize,
) -> Result<Vec<ResolvedEvent>, StoreError> {
    let stretch = Stretch {
        from: from(after),
        only: Only::CallsAndMetadata,
        way: Way::Forwards,
        most: most + 1,
    };
    of_all(link, link.long_time(), stretch).await
}

/// The events after that position, up to the first damaged one, which is the error if no event is before it.
async fn whole(
    link: &Link,
    after: Position,
    read: &[ResolvedEvent],
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events = Vec::with_capacity(read.len());
    for event in read.iter().filter(|event| position(event) > after) {
        match readable(link, event.get_original_event()).await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {}
            // What is whole before the damage is worth having; the next page begins with it.
            Err(error) if error.is_damage() && !events.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

/// The event of a call; `None` for metadata that harms nothing.
async fn readable(
    link: &Link,
    read: &eventstore::RecordedEvent,
) -> Result<Option<StoredEvent>, StoreError> {
    if read.stream_id().starts_with(METADATA_PREFIX) {
        return limits::check(link, read).await.map(|()| None);
    }
    found(read).map(|found| Some(found.event))
}

fn position(event: &ResolvedEvent) -> Position {
    Position(event.get_original_event().position.commit)
}

/// A part of `$all`.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) from: StreamPosition<eventstore::Position>,
    pub(crate) only: Only,
    pub(crate) way: Way,
    pub(crate) most: usize,
}

/// Which events of `$all`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    Calls,
    /// Also the metadata of calls' streams, which may hide events.
    CallsAndMetadata,
    Everything,
}

impl Only {
    /// The window is how many events the server looks through before it says so; a regex would beat the prefixes.
    fn filter(self) -> Option<SubscriptionFilter> {
        let calls = SubscriptionFilter::on_stream_name()
            .add_prefix(PREFIX)
            .max(500);
        match self {
            Only::Calls => Some(calls),
            Only::CallsAndMetadata => Some(calls.add_prefix(METADATA_PREFIX)),
            Only::Everything => None,
        }
    }
}

/// In which direction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forwards,
    Backwards,
}

/// Events of `$all` as the server has them.
pub(crate) async fn of_all(
    link: &Link,
    time: Time,
    stretch: Stretch,
) -> Result<Vec<ResolvedEvent>, StoreError> {
    let read = link.call(time, |client, limit| read_all(client, link, stretch, limit));
    let read = read.await;
    read.map_err(|failure| failure.into_store_error("read $all", &link.url))
}

pub(crate) async fn read_all(
    client: Client,
    link: &Link,
    stretch: Stretch,
    limit: Duration,
) -> Result<Vec<ResolvedEvent>, Error> {
    let read = begin_read_all(client, link, stretch, Some(limit)).await?;
    drained(read, stretch.most).await
}

/// The same, as the events arrive. Without a limit it may take as long as events keep coming.
pub(crate) async fn begin_read_all(
    client: Client,
    link: &Link,
    stretch: Stretch,
    limit: Option<Duration>,
) -> Result<ReadStream, Error> {
    let mut options = ReadAllOptions::default()
        .position(stretch.from)
        .max_count(stretch.most)
        .requires_leader(true);
    if let Some(limit) = limit {
        options = options.deadline(limit);
    }
    options = match stretch.way {
        Way::Forwards => options.forwards(),
        Way::Backwards => options.backwards(),
    };
    if let Some(filter) = stretch.only.filter() {
        options = options.filter(filter);
    }
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    client.read_all(&options).await.map_err(no_leader)
}

/// Where a read after that position begins: with the event there, which the caller has.
pub(crate) fn from(after: Position) -> StreamPosition<eventstore::Position> {
    match after {
        Position::START => StreamPosition::Start,
        Position(after) => StreamPosition::Position(place(after)),
    }
}

/// An event's own place, to read on from.
fn place(position: u64) -> eventstore::Position {
    eventstore::Position {
        commit: position,
        prepare: position,
    }
}
