//! Reading across damage: a stretch of the log that cannot be read frame by frame, and which of its events are whole all
//! the same.
//!
//! No hash covers a position, and an altered name of a call may be that of another. So an event of a damaged block is
//! whole only where the index, which holds every call's events together under checksums of its own, has the same event,
//! and stands where the index says. For an archived call the index has only positions, and the hash chain decides.

use crate::block::frame::Header;
use crate::block::{Fragments, Groups, LONGEST_BLOCK};
use crate::history::History;
use crate::log::{End, Log, LogError, Piece};
use crate::rows::{Row, Rows};
use crate::shared::Shared;
use domain::envelope::verify;
use domain::{
    CallId, DamagedEvent, Head, Position, RecordedEvent, Revision, StoreError, StoredEvent,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

const REASON: &str = "the log does not hold it as it was written";

/// A stretch of the log with damage, up to the next whole frame.
#[derive(Debug)]
pub(crate) struct Gap {
    /// The address where it begins.
    pub(crate) start: u64,
    /// Its positions.
    pub(crate) positions: Range<u64>,
    /// The address of the next whole frame.
    pub(crate) end: u64,
    whole: BTreeMap<u64, StoredEvent>,
    /// The calls of the events that are not whole.
    calls: HashMap<u64, CallId>,
}

impl Gap {
    /// Reads it from that position and address on. `until` is the end of the log.
    pub(crate) fn read(
        shared: &Shared,
        rows: &Rows,
        from: End,
        until: End,
    ) -> Result<Self, StoreError> {
        let mut raw = Raw::begin(from);
        raw.read(&shared.log, until)?;
        let positions = from.position..raw.next;
        let judge = Judge {
            shared,
            rows,
            readable: &raw.fragments.events,
        };
        let whole = judge.whole(&positions)?;
        let lost = positions.clone().filter(|at| !whole.contains_key(at));
        let calls = judge.calls_of(lost.collect(), &raw.fragments.calls)?;
        Ok(Self {
            start: from.address,
            positions,
            end: raw.end,
            whole,
            calls,
        })
    }

    /// The event at a position of the gap, or what to report in its place.
    pub(crate) fn event(&self, log: &Log, position: u64) -> Result<StoredEvent, DamagedEvent> {
        let whole = self.whole.get(&position).cloned();
        whole.ok_or_else(|| DamagedEvent {
            position: Position(position),
            call: self.calls.get(&position).cloned(),
            stream: log.file_of(position),
            number: position,
            reason: REASON.to_owned(),
        })
    }
}

/// What can be read of a gap, not verified yet.
struct Raw {
    fragments: Fragments,
    /// The position after what was read.
    next: u64,
    end: u64,
}

impl Raw {
    fn begin(from: End) -> Self {
        Self {
            fragments: Fragments::default(),
            next: from.position,
            end: from.address,
        }
    }

    fn read(&mut self, log: &Log, until: End) -> Result<(), LogError> {
        while self.end < until.address {
            let first_of_file = log.first_of_file(self.end);
            self.next = first_of_file.map_or(self.next, |first| first.max(self.next));
            match log.piece(self.end, until.address)? {
                Piece::Whole { header, .. } if header.first >= self.next => {
                    self.next = header.first;
                    return Ok(());
                }
                // A frame that is there twice.
                Piece::Whole { header, .. } => self.end += header.frame_bytes() as u64,
                Piece::Damaged { header, block, end } => {
                    self.take(header, &block);
                    self.end = end;
                }
            }
        }
        self.next = until.position + 1;
        Ok(())
    }

    /// Without a header, only the next piece tells how many events this one held.
    fn take(&mut self, header: Option<Header>, block: &[u8]) {
        let block = &block[..block.len().min(LONGEST_BLOCK)];
        self.fragments.take(block);
        self.next = header.map_or(self.next, |header| header.next().max(self.next));
    }
}

/// Decides which events of a gap are whole.
struct Judge<'a> {
    shared: &'a Shared,
    rows: &'a Rows,
    readable: &'a [RecordedEvent],
}

impl Judge<'_> {
    fn whole(&self, positions: &Range<u64>) -> Result<BTreeMap<u64, StoredEvent>, StoreError> {
        let mut whole = BTreeMap::new();
        for event in self.readable {
            let position = self.position_if_whole(event)?;
            if let Some(position) = position.filter(|position| positions.contains(position)) {
                let stored = StoredEvent {
                    position: Position(position),
                    recorded: event.clone(),
                };
                whole.insert(position, stored);
            }
        }
        Ok(whole)
    }

    fn position_if_whole(&self, event: &RecordedEvent) -> Result<Option<u64>, StoreError> {
        let call = &event.cause.call;
        let Some(before) = event.revision.0.checked_sub(1) else {
            return Ok(None);
        };
        Ok(match self.row(call)? {
            None => None,
            Some(Row::Whole(history)) => {
                let there = history
                    .events(call, Revision(before), 1)
                    .unwrap_or_default();
                let same = there.first().filter(|there| there.recorded == *event);
                same.map(|there| there.position.0)
            }
            Some(Row::Places(_, places)) => {
                let position = position_of(&places, before + 1);
                position.filter(|_| self.continues(event, before, &places))
            }
        })
    }

    /// Whether the event continues the one before it.
    fn continues(&self, event: &RecordedEvent, before: u64, places: &[(u64, u64)]) -> bool {
        let head = match before {
            0 => Some(Head::NONE),
            before => self.head(&event.cause.call, before, places),
        };
        head.is_some_and(|head| verify(head, [event]).is_ok())
    }

    /// Where the call stood at that revision.
    fn head(&self, call: &CallId, revision: u64, places: &[(u64, u64)]) -> Option<Head> {
        let of_log = position_of(places, revision).and_then(|at| self.event_at(at));
        if let Some(event) = of_log {
            return Some(event.recorded.head());
        }
        let mut readable = self.readable.iter();
        let there =
            readable.find(|event| event.cause.call == *call && event.revision.0 == revision);
        there.map(RecordedEvent::head)
    }

    /// The event at that position, if its frame is whole.
    fn event_at(&self, position: u64) -> Option<StoredEvent> {
        let (log, end) = (&self.shared.log, self.shared.end().address);
        let (first, address) = log.locate(position, end).ok()?;
        let mut frames = log.frames(address, end).at_once(0);
        let read = frames.next(first).ok()??;
        let events = Groups::new(first, read.block).and_then(Groups::events);
        let mut events = events.ok()?.into_iter();
        events.find(|event| event.position.0 == position)
    }

    /// What the index knows of the call; nothing where its row is damaged.
    fn row(&self, call: &CallId) -> Result<Option<Row>, StoreError> {
        if let Some(history) = self.shared.live().get(call) {
            return Ok(Some(Row::Whole(history.clone())));
        }
        match self.rows.get(call) {
            Err(error) if error.is_damage() => Ok(None),
            row => row,
        }
    }

    /// The calls of those positions. The calls that the damaged blocks name are looked at first, because only a name
    /// that was altered makes it necessary to look at all.
    fn calls_of(
        &self,
        lost: HashSet<u64>,
        named: &HashSet<CallId>,
    ) -> Result<HashMap<u64, CallId>, StoreError> {
        let mut calls = CallsOfLost {
            lost,
            found: HashMap::new(),
        };
        // Most gaps are explained by these few rows; all others are read only for what is left.
        for call in named {
            calls.look(call, self.row(call)?);
        }
        if !calls.lost.is_empty() {
            self.look_everywhere(&mut calls)?;
        }
        Ok(calls.found)
    }

    fn look_everywhere(&self, calls: &mut CallsOfLost) -> Result<(), StoreError> {
        for (call, entry) in self.shared.live().calls() {
            calls.look_in(call, &entry.history);
        }
        let read = self.rows.each_completed(|call| {
            if !calls.lost.is_empty() {
                calls.look(&call, self.row(&call)?);
            }
            Ok(())
        });
        // Where the index cannot be read on, the calls of the other positions stay unknown.
        match read {
            Err(error) if error.is_damage() => Ok(()),
            read => read,
        }
    }
}

/// The calls of lost events, as far as they are found.
struct CallsOfLost {
    lost: HashSet<u64>,
    found: HashMap<u64, CallId>,
}

impl CallsOfLost {
    fn look(&mut self, call: &CallId, row: Option<Row>) {
        match row {
            Some(Row::Whole(history)) => self.look_in(call, &history),
            Some(Row::Places(_, places)) => self.note(call, &places),
            None => {}
        }
    }

    fn look_in(&mut self, call: &CallId, history: &History) {
        self.note(call, &history.places(call).unwrap_or_default());
    }

    fn note(&mut self, call: &CallId, places: &[(u64, u64)]) {
        for (first, events) in places {
            for position in *first..first.saturating_add(*events) {
                if self.lost.remove(&position) {
                    self.found.insert(position, call.clone());
                }
            }
        }
    }
}

/// Where the event of that revision stands.
fn position_of(places: &[(u64, u64)], revision: u64) -> Option<u64> {
    let mut before = 0;
    for (first, events) in places {
        if revision <= before + events {
            return Some(first + (revision - before - 1));
        }
        before += events;
    }
    None
}
