//! The calls that go on, in memory: where each stands, and its events. A call that is completed leaves as soon as its
//! row is in the index on disk.

use crate::damage::Damage;
use crate::history::History;
use crate::rows::WasLive;
use domain::event::EventType;
use domain::{Batch, CallId, Head};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// The calls that are not, or not only, in the index on disk.
#[derive(Default)]
pub(crate) struct Live {
    calls: HashMap<CallId, Entry, RandomState>,
    /// Calls that changed since the checkpoint of that number began.
    changed: Vec<CallId>,
    checkpoint: u64,
    /// How many calls the store has.
    pub(crate) total: u64,
}

/// A call that goes on, or waits for its row to be written.
pub(crate) struct Entry {
    pub(crate) history: History,
    pub(crate) stage: Stage,
    /// Whether there is a row on disk of it as a call that goes on.
    pub(crate) on_disk: WasLive,
    /// The checkpoint for which it is noted as changed.
    noted: u64,
}

/// Whether a call's row belongs among those that are read when the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    GoesOn,
    Completed,
}

/// Whether the index knew what stands behind its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Already,
    Now,
}

impl Live {
    pub(crate) fn get(&self, call: &CallId) -> Option<&History> {
        self.calls.get(call).map(|entry| &entry.history)
    }

    pub(crate) fn entry(&self, call: &CallId) -> Option<&Entry> {
        self.calls.get(call)
    }

    /// Notes that a row of it as a call that goes on is about to be on disk.
    pub(crate) fn note_on_disk(&mut self, call: &CallId) {
        if let Some(entry) = self.calls.get_mut(call) {
            entry.on_disk = WasLive::Yes;
        }
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (&CallId, &Entry)> {
        self.calls.iter()
    }

    /// Takes in a row as it was read from disk.
    pub(crate) fn insert(&mut self, call: CallId, history: History, stage: Stage) {
        let noted = self.checkpoint.wrapping_sub(1);
        let entry = Entry {
            history,
            stage,
            on_disk: WasLive::Yes,
            noted,
        };
        self.calls.insert(call, entry);
    }

    /// Takes in events that are durable now. A call that is not in memory begins with what the disk knows of it.
    pub(crate) fn grow<'a>(
        &mut self,
        call: &CallId,
        known: Option<History>,
        grown: Grown<impl Iterator<Item = &'a [u8]>>,
    ) {
        let Some(entry) = self.calls.get_mut(call) else {
            return self.begin(call, known, grown);
        };
        entry.grow(grown);
        if std::mem::replace(&mut entry.noted, self.checkpoint) != self.checkpoint {
            self.changed.push(call.clone());
        }
    }

    fn begin<'a>(
        &mut self,
        call: &CallId,
        known: Option<History>,
        grown: Grown<impl Iterator<Item = &'a [u8]>>,
    ) {
        let history = known.unwrap_or(History::NONE);
        let mut entry = Entry {
            history,
            stage: Stage::GoesOn,
            on_disk: WasLive::No,
            noted: self.checkpoint,
        };
        entry.grow(grown);
        self.changed.push(call.clone());
        self.calls.insert(call.clone(), entry);
    }

    /// Takes in what the log holds behind the index's mark, unless a newer row knew it already; answers whether one did.
    pub(crate) fn replay<'a>(
        &mut self,
        call: &CallId,
        known: Option<History>,
        first_revision: u64,
        grown: Grown<impl Iterator<Item = &'a [u8]>>,
    ) -> Result<Known, Damage> {
        let there = self.get(call).or(known.as_ref());
        let there = there.map_or(Head::NONE, |history| history.head);
        if grown.head.revision < there.revision || grown.head == there {
            return Ok(Known::Already);
        }
        if first_revision != there.revision.0 + 1 {
            let what = "the index and the log do not agree where the call stands";
            return Err(Damage::new(what)
                .at(grown.first)
                .of(call.as_str(), first_revision));
        }
        self.grow(call, known, grown);
        Ok(Known::Now)
    }

    /// The calls that changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<CallId> {
        self.checkpoint += 1;
        std::mem::take(&mut self.changed)
    }

    /// Lets go of a completed call whose row is on disk, unless it grew meanwhile.
    pub(crate) fn let_go(&mut self, call: &CallId, written: Head) {
        let is_written =
            |entry: &Entry| entry.history.head == written && entry.stage == Stage::Completed;
        if self.calls.get(call).is_some_and(is_written) {
            self.calls.remove(call);
        }
    }
}

impl Entry {
    fn grow<'a>(&mut self, grown: Grown<impl Iterator<Item = &'a [u8]>>) {
        let Grown {
            first,
            groups,
            bytes,
            head,
            stage,
        } = grown;
        self.history.push(first, groups, bytes, head);
        self.stage = stage;
    }
}

/// What one commit brought a call.
pub(crate) struct Grown<G> {
    /// The position of the first event.
    pub(crate) first: u64,
    /// How many groups it brought, and their bytes.
    pub(crate) groups: usize,
    pub(crate) bytes: G,
    pub(crate) head: Head,
    pub(crate) stage: Stage,
}

/// A call is over for good with its last event (R52); whoever writes to it all the same finds it again.
pub(crate) fn stage_after(last: EventType) -> Stage {
    match last {
        EventType::CallCompleted => Stage::Completed,
        _ => Stage::GoesOn,
    }
}

pub(crate) fn stage_of(batch: &Batch) -> Stage {
    let last = batch.events().last();
    last.map_or(Stage::GoesOn, |event| stage_after(event.payload.event_type))
}
