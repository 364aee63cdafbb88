//! What the committing thread is asked to do.

use crate::block::{GroupBytes, MAX_EVENT_BYTES, longest};
use crate::indexer::Told;
use crate::live::{Stage, stage_of};
use domain::{AppendError, Batch, CallId, Head, Position, StoreError, StoredEvent};
use tokio::sync::oneshot;

/// What the thread is asked to do.
pub(crate) enum Job {
    Append(Append),
    Task(Task),
}

/// What is no append. All appends that were asked for before are committed first.
pub(crate) enum Task {
    /// What is written from now on goes to a file of its own.
    BeginSegment(oneshot::Sender<Result<(), StoreError>>),
    /// Something for the indexer.
    Index(Told),
    /// Verify that the store's files are there, and resume after a failure.
    Look,
    /// Answered once the files are let go.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A batch, and the channel to its sender.
pub(crate) struct Append {
    pub(crate) work: Box<Work>,
    pub(crate) answer: oneshot::Sender<Result<Kept, AppendError>>,
}

/// A batch, and all that the one thread that writes needs to know of it, so that it need not look into the events.
pub(crate) struct Work {
    pub(crate) call: CallId,
    pub(crate) expected: Head,
    pub(crate) head: Head,
    pub(crate) stage: Stage,
    pub(crate) groups: GroupBytes,
    /// The length of an event that is too long to be kept.
    pub(crate) too_long: Option<usize>,
    pub(crate) batch: Batch,
}

impl Work {
    pub(crate) fn of(batch: Batch) -> Box<Self> {
        let lengths = batch.events().iter().map(longest);
        Box::new(Self {
            call: batch.call().clone(),
            expected: batch.expected(),
            head: batch.head(),
            stage: stage_of(&batch),
            groups: GroupBytes::of(batch.events()),
            too_long: lengths.filter(|length| *length > MAX_EVENT_BYTES).max(),
            batch,
        })
    }
}

/// A batch that is durable.
pub(crate) enum Kept {
    /// By this commit, from that position on.
    Now(u64, Box<Work>),
    /// Since it was asked for the first time.
    Before(Vec<StoredEvent>),
}

impl Kept {
    /// The events in the order of the store.
    pub(crate) fn events(self) -> Vec<StoredEvent> {
        match self {
            Kept::Now(first, work) => {
                let numbered = (first..).map(Position).zip(work.batch.into_events());
                numbered
                    .map(|(position, recorded)| StoredEvent { position, recorded })
                    .collect()
            }
            Kept::Before(events) => events,
        }
    }
}
