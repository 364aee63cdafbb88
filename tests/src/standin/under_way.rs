//! Writes that are not answered yet. A real server drops a write that repeats one of them: it expects the client to
//! retry, and only its own time limit ends the request.

use super::event::Proposed;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The stream and the ids of the events: what makes two writes the same.
type Write = (String, Vec<Uuid>);

/// When the answer of a write arrives, once the write is in the log.
type Arrival = Option<Instant>;

/// How many writes there are at least between two cleanups.
const BETWEEN_CLEANUPS: usize = 1024;

/// The writes that their clients have no answer to yet.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    writes: Mutex<HashMap<Write, Arrival>>,
}

/// A write that is under way. Dropping it ends that, unless its answer is on its way.
pub(super) struct Turn<'a> {
    under_way: &'a UnderWay,
    write: Option<Write>,
}

impl UnderWay {
    /// Whether the same write is under way.
    pub(super) fn has(&self, stream: &str, events: &[Proposed]) -> bool {
        let arrival = self.writes().get(&write(stream, events)).copied();
        arrival.is_some_and(|arrival| is_to_come(arrival, Instant::now()))
    }

    pub(super) fn count(&self) -> usize {
        let now = Instant::now();
        let writes = self.writes();
        let arrivals = writes.values();
        arrivals
            .filter(|arrival| is_to_come(**arrival, now))
            .count()
    }

    /// Starts a write.
    pub(super) fn begin(&self, stream: &str, events: &[Proposed]) -> Turn<'_> {
        let write = write(stream, events);
        let mut writes = self.writes();
        if writes.len() >= BETWEEN_CLEANUPS && writes.len() == writes.capacity() {
            let now = Instant::now();
            writes.retain(|_, arrival| is_to_come(*arrival, now));
        }
        writes.insert(write.clone(), None);
        Turn {
            under_way: self,
            write: Some(write),
        }
    }

    fn writes(&self) -> MutexGuard<'_, HashMap<Write, Arrival>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The write is in the log, and its answer arrives after that time.
    pub(super) fn answered_in(mut self, time: Duration) {
        if let Some(write) = self.write.take() {
            let arrival = Instant::now() + time;
            self.under_way.writes().insert(write, Some(arrival));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            self.under_way.writes().remove(&write);
        }
    }
}

fn write(stream: &str, events: &[Proposed]) -> Write {
    (
        stream.to_owned(),
        events.iter().map(|event| event.id).collect(),
    )
}

fn is_to_come(arrival: Arrival, now: Instant) -> bool {
    arrival.is_none_or(|arrival| arrival > now)
}
