//! Reading: one call from its stream, all calls from `$all`, everything verified on the way.

use crate::event::{Found, PREFIX, found, stream};
use crate::link::{Failure, Link, no_leader};
use domain::{CallId, Head, Position, Revision, StoreError, StoredEvent};
use eventstore::{
    Client, Error, ReadAllOptions, ReadStream, ReadStreamOptions, ResolvedEvent, StreamPosition,
    SubscriptionFilter,
};
use std::time::Duration;

/// How many events are asked for at once.
const PAGE: usize = 1000;

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
        let page = page(link, call, next, PAGE).await?;
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
    call: &CallId,
    from: u64,
    most: usize,
) -> Result<Vec<Found>, StoreError> {
    let stream = stream(call);
    let read = link
        .call(|client, limit| read_stream(client, link, stream.clone(), from, most, limit))
        .await;
    match read {
        Ok(events) => events
            .iter()
            .map(|event| found(event.get_original_event()))
            .collect(),
        Err(Failure::Missing) => Ok(Vec::new()),
        Err(failure) => Err(failure.into_store_error(&format!("read stream {stream}"), &link.url)),
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

async fn read_stream(
    client: Client,
    link: &Link,
    stream: String,
    from: u64,
    most: usize,
    limit: Duration,
) -> Result<Vec<ResolvedEvent>, Error> {
    let mut options = ReadStreamOptions::default()
        .forwards()
        .position(StreamPosition::Position(from))
        .max_count(most)
        .requires_leader(true)
        .deadline(limit);
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let read = client.read_stream(stream, &options).await;
    drained(read.map_err(no_leader)?).await
}

/// At most `max` events of all calls after that position.
pub(crate) async fn all(
    link: &Link,
    after: Position,
    max: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let from = match after {
        Position::START => StreamPosition::Start,
        Position(after) => StreamPosition::Position(place(after)),
    };
    let most = max.min(PAGE);
    // A read from a position begins with the event that stands there, which the reader has.
    let read = all_from(
        link,
        from,
        Only::Calls,
        Way::Forwards,
        most.saturating_add(1),
    )
    .await?;
    let mut events = Vec::with_capacity(most);
    for event in &read {
        match found(event.get_original_event()) {
            Ok(Found { event, .. }) if event.position <= after => {}
            Ok(Found { event, .. }) => events.push(event),
            // What is whole before the damage is worth having; the next page begins with it.
            Err(_) if !events.is_empty() => break,
            Err(damage) => return Err(damage),
        }
    }
    events.truncate(most);
    Ok(events)
}

/// Which events of `$all`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    Calls,
    Everything,
}

/// In which direction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forwards,
    Backwards,
}

/// Events of `$all` as the server has them.
pub(crate) async fn all_from(
    link: &Link,
    from: StreamPosition<eventstore::Position>,
    only: Only,
    way: Way,
    most: usize,
) -> Result<Vec<ResolvedEvent>, StoreError> {
    all_within(link, link.url.deadline, from, only, way, most).await
}

/// The same, for longer.
pub(crate) async fn all_within(
    link: &Link,
    limit: Duration,
    from: StreamPosition<eventstore::Position>,
    only: Only,
    way: Way,
    most: usize,
) -> Result<Vec<ResolvedEvent>, StoreError> {
    let read = link
        .call_within(limit, |client, limit| {
            read_all(client, link, from, only, way, most, limit)
        })
        .await;
    read.map_err(|failure| failure.into_store_error("read $all", &link.url))
}

pub(crate) async fn read_all(
    client: Client,
    link: &Link,
    from: StreamPosition<eventstore::Position>,
    only: Only,
    way: Way,
    most: usize,
    limit: Duration,
) -> Result<Vec<ResolvedEvent>, Error> {
    let mut options = ReadAllOptions::default()
        .position(from)
        .max_count(most)
        .requires_leader(true)
        .deadline(limit);
    options = match way {
        Way::Forwards => options.forwards(),
        Way::Backwards => options.backwards(),
    };
    if only == Only::Calls {
        // The window is how many events the server looks through before it says so; a regex would beat the prefix.
        let calls = SubscriptionFilter::on_stream_name()
            .add_prefix(PREFIX)
            .max(500);
        options = options.filter(calls);
    }
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let read = client.read_all(&options).await;
    drained(read.map_err(no_leader)?).await
}

/// An event's own place, to read on from.
pub(crate) fn place(position: u64) -> eventstore::Position {
    eventstore::Position {
        commit: position,
        prepare: position,
    }
}

async fn drained(mut stream: ReadStream) -> Result<Vec<ResolvedEvent>, Error> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await? {
        events.push(event);
    }
    Ok(events)
}
