//! The log: one sequence of events, shared by all nodes and lost when the stand-in stops. A stream is a view of it.

use super::event::{END_OF_STREAM, Expected, Proposed, Recorded, Refused, Written};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use uuid::Uuid;

/// How many writes go by between two events of the server's own, so that nobody may take `$all` for his own.
const WRITES_PER_STATISTIC: u64 = 10;

/// The stream of the server's own statistics.
const STATISTICS: &str = "$stats-127.0.0.1:2113";

/// What all nodes share. Tests reach past the protocol with it: foreign events, damage, truncation.
#[derive(Debug)]
pub struct Log {
    records: Mutex<Records>,
    grown: watch::Sender<()>,
}

impl Log {
    pub(super) fn new() -> Self {
        let mut records = Records {
            end: 124, // A real log begins with a record that is no event.
            ..Records::default()
        };
        let limits = Proposed::json("$metadata", &json!({ "$maxAge": 86_400 }));
        records.record(&format!("$${STATISTICS}"), limits);
        records.note_statistics();
        Self {
            records: Mutex::new(records),
            grown: watch::Sender::default(),
        }
    }

    /// Every event, those of the server included, in the order of the log.
    pub fn events(&self) -> Vec<Recorded> {
        let records = self.records();
        let kept = records.events.iter().filter(|event| !event.scavenged);
        kept.cloned().collect()
    }

    /// The events of one stream, also those that a truncation hides from readers until a scavenge removes them.
    pub fn stream(&self, name: &str) -> Vec<Recorded> {
        let records = self.records();
        let places = records.streams.get(name).map(|stream| &stream.places[..]);
        let places = places.unwrap_or_default().iter();
        let events = places.map(|place| &records.events[*place]);
        events.filter(|event| !event.scavenged).cloned().collect()
    }

    /// Writes as the protocol does, past rights and faults: somebody else's events, say.
    pub fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, Refused> {
        self.change(|records| records.append(stream, expected, events))
    }

    /// Writes what is there already, too, wherever its stream is.
    pub(super) fn append_regardless(&self, stream: &str, events: Vec<Proposed>) -> Written {
        self.change(|records| records.write(stream, events))
    }

    /// Whether the first of the events already stands in that stream.
    pub(super) fn knows(&self, stream: &str, events: &[Proposed]) -> bool {
        let first = events.first();
        first.is_some_and(|first| self.records().seen(stream, first).is_some())
    }

    /// Changes a recorded event in place, as a damaged disk or a forger would; false if it is not there.
    pub fn alter(&self, stream: &str, revision: u64, how: impl FnOnce(&mut Proposed)) -> bool {
        self.change(|records| {
            let places = records.streams.get(stream).map(|stream| &stream.places);
            let revision = usize::try_from(revision).ok();
            let place = places.and_then(|places| places.get(revision?)).copied();
            let event = place.map(|place| &mut records.events[place].event);
            event.map(how).is_some()
        })
    }

    /// From now on what is written can be read only so much later, and is answered then; who comes in between meets it
    /// all the same. So it is in a cluster, until most nodes have a write.
    pub fn lag(&self, lag: Duration) {
        self.records().lag = lag;
    }

    pub(super) fn lagging(&self) -> Duration {
        self.records().lag
    }

    /// Takes the log back to its first events, as one that was brought back from a backup.
    pub fn roll_back(&self, events: usize) {
        self.change(|records| {
            let kept: Vec<_> = records.events.drain(..).take(events).collect();
            *records = Records {
                end: 124,
                ..Records::default()
            };
            for recorded in kept {
                records.record(&recorded.stream, recorded.event);
            }
        });
    }

    /// Hides the events of a stream below that revision from readers of the stream, as `$tb` does.
    pub fn truncate(&self, stream: &str, before: u64) {
        self.change(|records| records.truncate(stream, before));
    }

    /// Deletes a stream softly: its events can no longer be read, and its numbering goes on.
    pub fn delete(&self, stream: &str, expected: Expected) -> Result<Written, Refused> {
        self.change(|records| {
            records.check(stream, expected, &[deletion()])?;
            Ok(records.truncate(stream, END_OF_STREAM))
        })
    }

    /// Removes what no reader of a stream sees any more from `$all`, too. The last event of a stream stays, because the
    /// stream numbers on from it.
    pub fn scavenge(&self) {
        self.change(Records::scavenge);
    }

    /// Deletes a stream for good.
    pub fn tombstone(&self, stream: &str, expected: Expected) -> Result<Written, Refused> {
        self.change(|records| {
            records.check(stream, expected, &[deletion()])?;
            Ok(records.record(stream, deletion()))
        })
    }

    /// Tells of every change from now on.
    pub(super) fn grown(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        // Damage done by a closure of a test that panicked is that test's.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        let done = change(&mut self.records());
        self.grown.send_replace(());
        done
    }
}

/// What stands in the log, and where.
#[derive(Debug, Default)]
pub(super) struct Records {
    events: Vec<Recorded>,
    /// The position of the next event.
    end: u64,
    streams: HashMap<String, Stream>,
    /// Where each id was last recorded, for writers who expect nothing.
    ids: HashMap<Uuid, (String, u64)>,
    writes: u64,
    /// How long after it was written an event can be read.
    lag: Duration,
}

/// Where a stream's events stand, and how much of them readers see.
#[derive(Debug, Default)]
struct Stream {
    places: Vec<usize>,
    truncated_before: u64,
    max_count: Option<u64>,
    tombstoned: bool,
}

/// What a reader finds under a name.
pub(super) enum Found {
    /// Nobody has written there, or it was deleted softly.
    Nothing,
    /// It is gone for good.
    Tombstone,
    /// The revisions that can be read.
    Revisions(Range<u64>),
}

impl Records {
    pub(super) fn find(&self, name: &str) -> Found {
        match self.streams.get(name) {
            None => Found::Nothing,
            Some(stream) if stream.tombstoned => Found::Tombstone,
            Some(stream) if stream.places.is_empty() || stream.softly_deleted() => Found::Nothing,
            Some(stream) => self.found(stream),
        }
    }

    fn found(&self, stream: &Stream) -> Found {
        let readable = stream.readable();
        let visible = self.visible();
        let there = stream.places.partition_point(|place| *place < visible) as u64;
        if there == 0 {
            return Found::Nothing;
        }
        Found::Revisions(readable.start.min(there)..readable.end.min(there))
    }

    /// How many events can be read by now.
    fn visible(&self) -> usize {
        if self.lag.is_zero() {
            return self.events.len();
        }
        let lag = u64::try_from(self.lag.as_nanos() / 100).unwrap_or(u64::MAX);
        let until = now().saturating_sub(lag);
        self.events.partition_point(|event| event.created <= until)
    }

    pub(super) fn of_stream(&self, name: &str, revisions: Range<u64>) -> Vec<Recorded> {
        let Some(stream) = self.streams.get(name) else {
            return Vec::new();
        };
        let events = revisions.map(|revision| &self.events[stream.places[index(revision)]]);
        events.filter(|event| !event.scavenged).cloned().collect()
    }

    pub(super) fn all(&self) -> &[Recorded] {
        &self.events[..self.visible()]
    }

    /// How many events stand before that position; none if no event starts there. Behind the end it is all of them.
    pub(super) fn place(&self, position: u64) -> Option<usize> {
        if position == 0 || position >= self.end {
            return Some(if position == 0 { 0 } else { self.visible() });
        }
        let found = self
            .events
            .binary_search_by_key(&position, |event| event.position);
        found.ok()
    }

    fn append(
        &mut self,
        name: &str,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, Refused> {
        match self.check(name, expected, &events)? {
            Some(known) => Ok(known),
            None => Ok(self.write(name, events)),
        }
    }

    fn write(&mut self, name: &str, events: Vec<Proposed>) -> Written {
        let stream = self.streams.entry(name.to_owned()).or_default();
        let next = stream.next();
        let mut written = Written {
            revision: next.checked_sub(1),
            position: None,
        };
        if stream.softly_deleted() && !events.is_empty() {
            self.truncate(name, next);
        }
        for event in events {
            written = self.record(name, event);
        }
        self.writes += 1;
        if self.writes.is_multiple_of(WRITES_PER_STATISTIC) {
            self.note_statistics();
        }
        written
    }

    /// Nothing if the events may be written now, or what they came to when they were written before.
    fn check(
        &self,
        name: &str,
        expected: Expected,
        events: &[Proposed],
    ) -> Result<Option<Written>, Refused> {
        let unwritten = Stream::default();
        let stream = self.streams.get(name).unwrap_or(&unwritten);
        let wrong = Refused::WrongVersion {
            current: stream.next().checked_sub(1),
        };
        if stream.tombstoned || (expected == Expected::StreamExists && stream.softly_deleted()) {
            return Err(Refused::Deleted);
        }
        let next = match expected {
            Expected::StreamExists if stream.places.is_empty() => return Err(wrong),
            Expected::Any | Expected::StreamExists => match events.first() {
                Some(first) => self.seen(name, first).unwrap_or(stream.next()),
                None => stream.next(),
            },
            Expected::NoStream => 0,
            Expected::Revision(revision) => revision.saturating_add(1),
        };
        if next >= stream.next() {
            return if next == stream.next() {
                Ok(None)
            } else {
                Err(wrong)
            };
        }
        let known = self.known(stream, next, events);
        if known == events.len() && known > 0 {
            let last = &self.events[stream.places[index(next) + known - 1]];
            return Ok(Some(Written {
                revision: Some(last.revision),
                position: Some(last.position),
            }));
        }
        let recreates = expected == Expected::NoStream && known == 0 && stream.softly_deleted();
        if recreates { Ok(None) } else { Err(wrong) }
    }

    /// The revision under which that event already stands in that stream.
    fn seen(&self, name: &str, event: &Proposed) -> Option<u64> {
        let (stream, revision) = self.ids.get(&event.id)?;
        (stream == name).then_some(*revision)
    }

    /// How many of the events, from the first, already stand in the stream from that revision on.
    fn known(&self, stream: &Stream, from: u64, events: &[Proposed]) -> usize {
        let recorded = stream.places[index(from)..].iter();
        let pairs = recorded.zip(events);
        pairs
            .take_while(|(place, event)| self.events[**place].event.id == event.id)
            .count()
    }

    fn record(&mut self, name: &str, event: Proposed) -> Written {
        let stream = self.streams.entry(name.to_owned()).or_default();
        let revision = if event.event_type == "$streamDeleted" {
            stream.tombstoned = true;
            END_OF_STREAM
        } else {
            stream.places.push(self.events.len());
            stream.next() - 1
        };
        if let Some(limited) = name.strip_prefix("$$") {
            let limited = self.streams.entry(limited.to_owned()).or_default();
            limited.limit(&event);
        }
        self.ids.insert(event.id, (name.to_owned(), revision));
        let recorded = Recorded {
            position: self.end,
            stream: name.to_owned(),
            revision,
            created: now(),
            event,
            scavenged: false,
        };
        let position = Some(recorded.position);
        self.end += recorded.length();
        self.events.push(recorded);
        Written {
            revision: Some(revision),
            position,
        }
    }

    fn truncate(&mut self, name: &str, before: u64) -> Written {
        let limits = Proposed::json("$metadata", &json!({ "$tb": before }));
        self.record(&format!("$${name}"), limits)
    }

    fn scavenge(&mut self) {
        for stream in self.streams.values() {
            for place in &stream.places[..stream.to_scavenge()] {
                self.events[*place].scavenged = true;
            }
        }
    }

    fn note_statistics(&mut self) {
        let statistics = json!({ "es-writes": self.writes });
        self.record(STATISTICS, Proposed::json("$statsCollected", &statistics));
    }
}

impl Stream {
    /// The revision of the next event.
    fn next(&self) -> u64 {
        self.places.len() as u64
    }

    fn softly_deleted(&self) -> bool {
        self.truncated_before == END_OF_STREAM
    }

    fn readable(&self) -> Range<u64> {
        let newest = self.max_count.unwrap_or(u64::MAX);
        let first = self.next().saturating_sub(newest);
        first.max(self.truncated_before).min(self.next())..self.next()
    }

    /// How many events, from the first, a scavenge removes.
    fn to_scavenge(&self) -> usize {
        if self.tombstoned {
            return self.places.len();
        }
        index(self.readable().start).min(self.places.len().saturating_sub(1))
    }

    /// Takes over what an event of its metadata stream says.
    fn limit(&mut self, metadata: &Proposed) {
        let said: Value = serde_json::from_slice(&metadata.data).unwrap_or_default();
        self.truncated_before = said["$tb"].as_u64().unwrap_or_default();
        self.max_count = said["$maxCount"].as_u64();
    }
}

fn deletion() -> Proposed {
    Proposed::json("$streamDeleted", &json!({}))
}

fn index(revision: u64) -> usize {
    usize::try_from(revision).expect("a revision in memory is an index")
}

fn now() -> u64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since_1970.as_nanos() / 100).unwrap_or(u64::MAX)
}
