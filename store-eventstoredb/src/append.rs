//! Appending: always with an expected number and explicit ids, repeated until the outcome is known.

use crate::call_stream::{self, PAGE};
use crate::deleted::refuse_soft_deleted;
use crate::event::{stream, written};
use crate::link::{Failure, Link, Time, no_leader};
use domain::envelope::Hash;
use domain::memory::head_differs;
use domain::{AppendError, Batch, Head, Revision, StoreError, StoredEvent};
use eventstore::{AppendToStreamOptions, Client, Error, EventData, StreamState, WriteResult};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The server takes 1 MiB at once; what it counts beside our bytes is not ours to know.
pub(crate) const LARGEST: usize = 900 * 1024;

/// After this long an answer may be lost, or the server has dropped a repetition of a write still under way: the call's
/// stream is read beside it.
const LATE: Duration = Duration::from_millis(100);

/// Keeps the batch whole and reads it back: only the server knows the positions, and what was read back is there.
pub(crate) async fn append(link: &Link, batch: &Batch) -> Result<Vec<StoredEvent>, AppendError> {
    let time = link.time();
    let (events, bytes) = written(batch);
    if bytes > LARGEST {
        return Err(too_large(batch, bytes).into());
    }
    if let Some(length) = unlike_its_call(link, time, batch).await? {
        return settled(link, time, batch, length).await;
    }
    if begins_unseen_call(link, batch) {
        refuse_soft_deleted(link, time, batch.call()).await?;
    }
    let mut writing = pin!(write(link, time, batch, events));
    match timeout(LATE, writing.as_mut()).await {
        Ok(answer) => answered(link, time, batch, answer, None).await,
        Err(_) => look_beside(link, time, batch, writing).await,
    }
}

/// Whether the batch expects no stream, and this process has not yet seen that there is none.
fn begins_unseen_call(link: &Link, batch: &Batch) -> bool {
    let seen = link.heads.head(batch.call());
    batch.expected() == Head::NONE && seen != Some(Head::NONE)
}

/// Maps the server's response to the result of the append.
async fn answered(
    link: &Link,
    time: Time,
    batch: &Batch,
    answer: Result<WriteResult, Failure>,
    looking: Option<Looking<'_>>,
) -> Result<Vec<StoredEvent>, AppendError> {
    match answer {
        Ok(written) => {
            let last = written.next_expected_version;
            confirmed(link, time, batch, last, looking).await
        }
        Err(Failure::Conflict(number)) => {
            settled(link, time, batch, number.map_or(0, |last| last + 1)).await
        }
        Err(failure) => Err(unwritten(link, batch, failure).into()),
    }
}

/// A look at the call's stream that is under way while the write has no answer.
struct Looking<'a> {
    kept: Pin<&'a mut (dyn Future<Output = Result<Kept, StoreError>> + Send)>,
    progress: &'a Progress,
}

/// How far a look at a call's stream has come.
#[derive(Default)]
struct Progress {
    /// Ends the pause before the next read.
    again: Notify,
}

/// Waits for the answer and looks at the call's stream meanwhile: what stands where the batch belongs answers it, too.
/// Dropping a write that is under way is safe then: it is there already, or the server refuses it.
async fn look_beside(
    link: &Link,
    time: Time,
    batch: &Batch,
    mut writing: Pin<&mut (impl Future<Output = Result<WriteResult, Failure>> + Send)>,
) -> Result<Vec<StoredEvent>, AppendError> {
    let progress = Progress::default();
    let mut looking = pin!(kept(link, time.beside(), batch, &progress));
    tokio::select! {
        biased;
        found = looking.as_mut() => match found {
            Ok(Kept::Whole(events)) => Ok(events),
            Ok(Kept::Otherwise) => Err(went_on(link, time, batch).await?),
            Err(_) => answered(link, time, batch, writing.await, None).await,
        },
        answer = writing.as_mut() => {
            let looking = Looking { kept: looking, progress: &progress };
            answered(link, time, batch, answer, Some(looking)).await
        }
    }
}

/// Other events stand where the batch belongs.
async fn went_on(link: &Link, time: Time, batch: &Batch) -> Result<AppendError, StoreError> {
    Ok(AppendError::Conflict {
        expected: batch.expected().revision,
        actual: Revision(call_stream::length(link, time, batch.call()).await?),
    })
}

/// The server compares numbers only: whether the batch continues this call's history is for us to see, before it is
/// written. Where the call ends, if that is before the batch begins.
async fn unlike_its_call(
    link: &Link,
    time: Time,
    batch: &Batch,
) -> Result<Option<u64>, AppendError> {
    let expected = batch.expected();
    let hash = match expected.revision {
        Revision(0) => Some(Head::NONE.hash),
        revision => match link.heads.hash(batch.call(), revision) {
            Some(hash) => Some(hash),
            None => hash_there(link, time, batch).await?,
        },
    };
    match hash {
        Some(hash) if hash == expected.hash => Ok(None),
        Some(_) => Err(head_differs(batch)),
        None => Ok(Some(call_stream::length(link, time, batch.call()).await?)),
    }
}

/// The hash of the event that the batch continues, if the call has come so far.
async fn hash_there(link: &Link, time: Time, batch: &Batch) -> Result<Option<Hash>, StoreError> {
    let expected = batch.expected().revision;
    let page = call_stream::page(link, time, batch.call(), expected.0 - 1, 1).await?;
    let there = page.first().map(|found| &found.event.recorded);
    let there = there.filter(|event| event.revision == expected);
    Ok(there.map(|event| event.hash))
}

async fn write(
    link: &Link,
    time: Time,
    batch: &Batch,
    events: Vec<EventData>,
) -> Result<WriteResult, Failure> {
    let state = match batch.expected().revision.0 {
        0 => StreamState::NoStream,
        revision => StreamState::StreamRevision(revision - 1),
    };
    let stream = stream(batch.call());
    link.call(time, |client, limit| {
        attempt(client, link, stream.clone(), state, events.clone(), limit)
    })
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
async fn confirmed(
    link: &Link,
    time: Time,
    batch: &Batch,
    last: u64,
    looking: Option<Looking<'_>>,
) -> Result<Vec<StoredEvent>, AppendError> {
    let stream = stream(batch.call());
    let expected = batch.head().revision.0 - 1;
    if last != expected {
        return Err(AppendError::Store(StoreError::Corrupt(format!(
            "stream {stream} went on from an event that is gone: its next was number {last}, not {expected}; somebody \
             deleted or truncated it"
        ))));
    }
    let kept = match looking {
        Some(looking) => {
            looking.progress.again.notify_one();
            looking.kept.await
        }
        None => kept(link, time, batch, &Progress::default()).await,
    };
    match kept? {
        Kept::Whole(events) => Ok(events),
        Kept::Otherwise => Err(AppendError::Store(StoreError::Corrupt(format!(
            "stream {stream} does not hold what was written to it"
        )))),
    }
}

/// Another write came first: ours, whose answer was lost, or somebody else's.
async fn settled(
    link: &Link,
    time: Time,
    batch: &Batch,
    actual: u64,
) -> Result<Vec<StoredEvent>, AppendError> {
    let expected = batch.expected().revision;
    if actual > expected.0
        && let Kept::Whole(events) = kept(link, time, batch, &Progress::default()).await?
    {
        return Ok(events);
    }
    Err(AppendError::Conflict {
        expected,
        actual: Revision(actual),
    })
}

/// What stands where the batch belongs.
enum Kept {
    Whole(Vec<StoredEvent>),
    Otherwise,
}

/// What stands where the batch belongs; something does. A server knows of a write a little before it can be read, so
/// this waits until it can: whoever hears of a conflict must find what it is with.
async fn kept(
    link: &Link,
    time: Time,
    batch: &Batch,
    progress: &Progress,
) -> Result<Kept, StoreError> {
    let wanted = batch.events();
    let mut there = Vec::with_capacity(wanted.len());
    let mut pauses = time.pauses();
    loop {
        let next = batch.expected().revision.0 + there.len() as u64;
        let most = (wanted.len() - there.len()).min(PAGE);
        let page = call_stream::page(link, time, batch.call(), next, most).await;
        let page = page.map_err(|error| unheard(batch, error))?;
        let waiting = page.is_empty();
        there.extend(page.into_iter().map(|found| found.event));
        let recorded = there.iter().map(|event| &event.recorded);
        if !recorded.eq(&wanted[..there.len()]) {
            return Ok(Kept::Otherwise);
        }
        if there.len() == wanted.len() {
            return Ok(Kept::Whole(there));
        }
        if !waiting {
            continue;
        }
        if !pauses.wait_unless(progress.again.notified()).await {
            let late = StoreError::Unavailable("no node has it yet".to_owned());
            return Err(unheard(batch, late));
        }
    }
}

/// The write is known, and what it came to is not.
fn unheard(batch: &Batch, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!(
            "cannot read back what was written to stream {}: {why}; send the same again to hear what came of it",
            stream(batch.call())
        )),
        error => error,
    }
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
