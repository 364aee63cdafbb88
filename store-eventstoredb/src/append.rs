//! Appending: always with an expected number and explicit ids, repeated until the outcome is known.

use crate::event::{stream, written};
use crate::link::{Failure, Link, no_leader};
use crate::read;
use domain::memory::head_differs;
use domain::{AppendError, Batch, Head, Revision, StoreError, StoredEvent};
use eventstore::{AppendToStreamOptions, Client, Error, EventData, StreamState, WriteResult};
use std::time::Duration;

/// The server takes 1 MiB at once; what it counts beside our bytes is not ours to know.
pub(crate) const LARGEST: usize = 900 * 1024;

/// Keeps the batch whole and reads it back: only the server knows the positions, and what was read back is there.
pub(crate) async fn append(link: &Link, batch: &Batch) -> Result<Vec<StoredEvent>, AppendError> {
    let (events, bytes) = written(batch);
    if bytes > LARGEST {
        return Err(too_large(batch, bytes).into());
    }
    if let Some(conflict) = unlike_its_call(link, batch).await? {
        return settled(link, batch, conflict).await;
    }
    match write(link, batch, events).await {
        Ok(written) => confirmed(link, batch, written.next_expected_version).await,
        Err(Failure::Conflict(number)) => {
            settled(link, batch, number.map_or(0, |last| last + 1)).await
        }
        Err(failure) => Err(unwritten(link, batch, failure).into()),
    }
}

/// The server compares numbers only: whether the batch continues this call's history is for us to see, before it is
/// written. Where the call ends, if that is before the batch begins.
async fn unlike_its_call(link: &Link, batch: &Batch) -> Result<Option<u64>, AppendError> {
    let expected = batch.expected();
    let hash = match expected.revision {
        Revision(0) => Some(Head::NONE.hash),
        revision => match link.heads.hash(batch.call(), revision) {
            Some(hash) => Some(hash),
            None => hash_there(link, batch).await?,
        },
    };
    match hash {
        Some(hash) if hash == expected.hash => Ok(None),
        Some(_) => Err(head_differs(batch)),
        None => {
            let there = read::call(link, batch.call(), Revision(0), None).await?;
            Ok(Some(there.len() as u64))
        }
    }
}

/// The hash of the event that the batch continues, if the call has come so far.
async fn hash_there(
    link: &Link,
    batch: &Batch,
) -> Result<Option<domain::envelope::Hash>, StoreError> {
    let last = batch.expected().revision.0 - 1;
    let page = read::page(link, batch.call(), last, 1).await?;
    let there = page.first().map(|found| &found.event.recorded);
    Ok(there
        .filter(|event| event.revision == batch.expected().revision)
        .map(|event| event.hash))
}

async fn write(link: &Link, batch: &Batch, events: Vec<EventData>) -> Result<WriteResult, Failure> {
    let state = match batch.expected().revision.0 {
        0 => StreamState::NoStream,
        revision => StreamState::StreamRevision(revision - 1),
    };
    let stream = stream(batch.call());
    link.call(|client, limit| attempt(client, link, stream.clone(), state, events.clone(), limit))
        .await
}

async fn attempt(
    client: Client,
    link: &Link,
    stream: String,
    state: StreamState,
    events: Vec<EventData>,
    limit: Duration,
) -> Result<WriteResult, Error> {
    let mut options = AppendToStreamOptions::default()
        .stream_state(state)
        .requires_leader(true)
        .deadline(limit);
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let written = client.append_to_stream(stream, &options, events).await;
    written.map_err(no_leader)
}

/// What was written, as the call's stream has it.
async fn confirmed(link: &Link, batch: &Batch, last: u64) -> Result<Vec<StoredEvent>, AppendError> {
    if last + 1 != batch.head().revision.0 {
        return Err(StoreError::Corrupt(format!(
            "stream {} went on from an event that is gone: its next was number {last}, not {}; somebody deleted or \
             truncated it",
            stream(batch.call()),
            batch.head().revision.0 - 1
        ))
        .into());
    }
    match kept(link, batch).await? {
        Some(events) => Ok(events),
        None => Err(StoreError::Corrupt(format!(
            "stream {} does not hold what was written to it",
            stream(batch.call())
        ))
        .into()),
    }
}

/// Another write came first: ours, whose answer was lost, or somebody else's.
async fn settled(link: &Link, batch: &Batch, actual: u64) -> Result<Vec<StoredEvent>, AppendError> {
    let expected = batch.expected().revision;
    if actual > expected.0
        && let Some(events) = kept(link, batch).await?
    {
        return Ok(events);
    }
    Err(AppendError::Conflict {
        expected,
        actual: Revision(actual),
    })
}

/// The batch as it is kept, if it is.
async fn kept(link: &Link, batch: &Batch) -> Result<Option<Vec<StoredEvent>>, StoreError> {
    let after = batch.expected();
    let wanted = batch.events();
    let mut there = Vec::with_capacity(wanted.len());
    while there.len() < wanted.len() {
        let next = after.revision.0 + there.len() as u64;
        let page = read::page(
            link,
            batch.call(),
            next,
            (wanted.len() - there.len()).min(1000),
        )
        .await?;
        if page.is_empty() {
            return Ok(None);
        }
        there.extend(page.into_iter().map(|found| found.event));
    }
    let recorded = there.iter().map(|event| &event.recorded);
    Ok(recorded.eq(wanted).then_some(there))
}

fn too_large(batch: &Batch, bytes: usize) -> StoreError {
    StoreError::Refused(format!(
        "the {} events for call {} take {bytes} bytes, and a cluster takes {LARGEST} at once; nothing was written",
        batch.events().len(),
        batch.call()
    ))
}

fn unwritten(link: &Link, batch: &Batch, failure: Failure) -> StoreError {
    let what = format!("write to stream {}", stream(batch.call()));
    match failure {
        Failure::Unanswered(why) => StoreError::Unavailable(format!(
            "cannot {what}: {why}; whether it was written is unknown until the same is sent again"
        )),
        failure => failure.into_store_error(&what, &link.url),
    }
}
