//! Reading: one call from its stream, all calls from `$all`, everything verified on the way.

use crate::event::{Found, METADATA_PREFIX, PREFIX, found, stream};
use crate::limits;
use crate::link::{Failure, Link, Time, no_leader};
use domain::{CallId, Head, Position, Revision, StoreError, StoredEvent};
use eventstore::{
    Client, Error, ReadAllOptions, ReadStream, ReadStreamOptions, ResolvedEvent, StreamPosition,
    SubscriptionFilter,
};
use std::time::Duration;

/// How many events are asked for at once.
pub(crate) const PAGE: usize = 1000;

/// The call's events after that head, whose hash is known or not; every event's link to the one before is verified.
pub(crate) async fn call(
    link: &Link,
    call: &CallId,
    after: Revision,
    head: Option<Head>,
) -> Result<Vec<StoredEvent>, StoreError> {
    // Without a head to go by, the event it would be is read, too.
    let mut head = head.filter(|head| head.revision == after);
    let known = head.is_some() || after == Revision(0);
    let mut next = if known { after.0 } else { after.0 - 1 };
    let mut events = Vec::new();
    loop {
        let page = page(link, link.time(), call, next, PAGE).await?;
        let read = page.len();
        for Found { event, previous } in page {
            continues(call, next, head, &event, previous)?;
            head = Some(event.recorded.head());
            next += 1;
            if event.recorded.revision > after {
                events.push(event);
            }
        }
        if read < PAGE {
            return Ok(events);
        }
    }
}

/// So many events of the call's stream from that number on; none if there is no such stream.
pub(crate) async fn page(
    link: &Link,
    time: Time,
    call: &CallId,
    from: u64,
    most: usize,
) -> Result<Vec<Found>, StoreError> {
    let from = StreamPosition::Position(from);
    let read = of_stream(link, time, call, from, most).await?;
    let events = read.iter().map(ResolvedEvent::get_original_event);
    events.map(found).collect()
}

/// How many events the call's stream has, by the number of its last.
pub(crate) async fn length(link: &Link, time: Time, call: &CallId) -> Result<u64, StoreError> {
    let last = of_stream(link, time, call, StreamPosition::End, 1).await?;
    Ok(last
        .first()
        .map_or(0, |last| last.get_original_event().revision + 1))
}

/// The number of the first event that the call's stream still shows; `None` where it shows none.
pub(crate) async fn first_number(
    link: &Link,
    time: Time,
    call: &CallId,
) -> Result<Option<u64>, StoreError> {
    let first = of_stream(link, time, call, StreamPosition::Start, 1).await?;
    Ok(first
        .first()
        .map(|first| first.get_original_event().revision))
}

async fn of_stream(
    link: &Link,
    time: Time,
    call: &CallId,
    from: StreamPosition<u64>,
    most: usize,
) -> Result<Vec<ResolvedEvent>, StoreError> {
    let stream = stream(call);
    let read = link
        .call(time, |client, limit| {
            read_stream(client, link, stream.clone(), from, most, limit)
        })
        .await;
    match read {
        Err(Failure::Missing) => Ok(Vec::new()),
        read => read.map_err(|failure| {
            failure.into_store_error(&format!("read stream {stream}"), &link.url)
        }),
    }
}

/// Where the stream begins elsewhere than at 0, or has gaps, somebody deleted or cut off what was there.
fn continues(
    call: &CallId,
    number: u64,
    head: Option<Head>,
    event: &StoredEvent,
    previous: domain::envelope::Hash,
) -> Result<(), StoreError> {
    let found = event.recorded.revision;
    if found.0 != number + 1 {
        return Err(StoreError::Corrupt(format!(
            "stream {} has no event {number}: the next one is {}; somebody deleted or truncated it",
            stream(call),
            found.0 - 1
        )));
    }
    let before = if number == 0 { Some(Head::NONE) } else { head };
    if before.is_some_and(|before| before.hash != previous) {
        return Err(StoreError::Corrupt(format!(
            "event {number} of stream {} does not continue the one before it",
            stream(call)
        )));
    }
    Ok(())
}

pub(crate) async fn read_stream(
    client: Client,
    link: &Link,
    stream: String,
    from: StreamPosition<u64>,
    most: usize,
    limit: Duration,
) -> Result<Vec<ResolvedEvent>, Error> {
    let mut options = ReadStreamOptions::default()
        .position(from)
        .max_count(most)
        .requires_leader(true)
        .deadline(limit);
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let read = client.read_stream(stream, &options).await;
    drained(read.map_err(no_leader)?, most).await
}

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

/// The answer's events. It is over with the last one that was asked for: servers look on for another one before they
/// say so.
async fn drained(mut stream: ReadStream, most: usize) -> Result<Vec<ResolvedEvent>, Error> {
    let mut events = Vec::new();
    while events.len() < most {
        match stream.next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => break,
            // A stream that is there cannot be missing from its second event on.
            Err(error) if !events.is_empty() => return Err(no_leader(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}
