//! What one commit is made of: of the batches that wait, those that continue their calls.

use crate::block::Blocks;
use crate::history::History;
use crate::jobs::{Append, Work};
use crate::live::Live;
use crate::shared::Shared;
use domain::memory::head_differs;
use domain::{AppendError, Batch, CallId, Head, StoreError};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// How many bytes of blocks one commit takes; a longer batch is committed alone.
const MAX_BYTES: usize = 1024 * 1024;

/// What one commit is made of.
pub(crate) struct Round {
    pub(crate) blocks: Blocks,
    pub(crate) accepted: Vec<Accepted>,
    /// Where calls stand once this commit is durable.
    heads: HashMap<CallId, Head, RandomState>,
    /// What the index on disk knows of calls that are written to again.
    pub(crate) known: Known,
    /// What has to wait for this commit, or for room in the next.
    pub(crate) later: Vec<Append>,
    /// What may have been committed before.
    pub(crate) perhaps_kept: Vec<Append>,
}

/// Calls as the index on disk knows them.
pub(crate) type Known = HashMap<CallId, History, RandomState>;

/// A batch that the commit takes, and the position of its first event.
pub(crate) struct Accepted {
    pub(crate) append: Append,
    pub(crate) first: u64,
}

/// What to do with a batch.
enum Admission {
    Next,
    /// The call's head is known once this commit is durable.
    Later,
    /// It continues an earlier head and ends at or before the present one.
    PerhapsKept,
    Refused(AppendError),
}

impl Round {
    /// Of at most so many batches.
    pub(crate) fn after(last: u64, batches: usize) -> Self {
        Self {
            blocks: Blocks::after(last),
            accepted: Vec::with_capacity(batches),
            heads: HashMap::with_capacity_and_hasher(batches, RandomState::default()),
            known: Known::default(),
            later: Vec::new(),
            perhaps_kept: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, shared: &Shared, live: &Live, append: Append) {
        // In order, also within a call: all that come after this one wait as well.
        if self.blocks.bytes() > MAX_BYTES {
            return self.later.push(append);
        }
        match self.admit(shared, live, &append.work) {
            Admission::Next => self.accept(append),
            Admission::Later => self.later.push(append),
            Admission::PerhapsKept => self.perhaps_kept.push(append),
            Admission::Refused(error) => {
                let _ = append.answer.send(Err(error));
            }
        }
    }

    fn admit(&mut self, shared: &Shared, live: &Live, work: &Work) -> Admission {
        if let Some(length) = work.too_long {
            let what = format!("an event of {length} bytes is longer than it takes");
            return Admission::Refused(StoreError::Refused(what).into());
        }
        // Two batches of one call fit one commit if the second continues the first. Any other waits until the first is
        // durable: judged now, it could be told of a conflict with events that may never be kept.
        if let Some(head) = self.heads.get(&work.call) {
            return if *head == work.expected {
                Admission::Next
            } else {
                Admission::Later
            };
        }
        if let Some(history) = live.get(&work.call) {
            return against(history.head, work);
        }
        // In memory is what goes on. What is not there was completed, or is new; only the rows can tell.
        match shared.known(&work.call) {
            Ok(None) => against(Head::NONE, work),
            Ok(Some(history)) => {
                let admission = against(history.head, work);
                if matches!(admission, Admission::Next) {
                    self.known.insert(work.call.clone(), history);
                }
                admission
            }
            Err(error) => Admission::Refused(error.into()),
        }
    }

    fn accept(&mut self, append: Append) {
        let work = &append.work;
        // A batch's groups stand next to each other, as the port promises of its events.
        let first = self.blocks.next();
        for group in work.groups.each() {
            self.blocks.push(group);
        }
        self.heads.insert(work.call.clone(), work.head);
        self.accepted.push(Accepted { append, first });
    }
}

fn against(head: Head, work: &Work) -> Admission {
    if head == work.expected {
        return Admission::Next;
    }
    // The same revision and another hash: the sender continues another history than this one.
    if head.revision == work.expected.revision {
        return Admission::Refused(head_differs(&work.batch));
    }
    // It would end at or before the present head, so the same batch may have been committed: its sender asks again after an
    // answer that was lost. The events decide, once the round is over.
    if work.head.revision < head.revision || work.head == head {
        return Admission::PerhapsKept;
    }
    Admission::Refused(conflict(&work.batch, head))
}

pub(crate) fn conflict(batch: &Batch, actual: Head) -> AppendError {
    AppendError::Conflict {
        expected: batch.expected().revision,
        actual: actual.revision,
    }
}
