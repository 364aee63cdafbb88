//! Reading one call from its stream, everything verified on the way.

use crate::event::{Found, found, stream};
use crate::link::{Failure, Link, Time, no_leader};
use domain::{CallId, Head, Revision, StoreError, StoredEvent};
use eventstore::{Client, Error, ReadStream, ReadStreamOptions, ResolvedEvent, StreamPosition};
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

/// The answer's events. It is over with the last one that was asked for: servers look on for another one before they
/// say so.
pub(crate) async fn drained(
    mut stream: ReadStream,
    most: usize,
) -> Result<Vec<ResolvedEvent>, Error> {
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
