//! Equal batches that are under way at the same time share one write and its answer.
//!
//! A server drops a write that repeats one still under way, and its sender waits until the server's limit of 2 s.

use domain::envelope::Hash;
use domain::{AppendError, Batch, CallId, Revision, StoredEvent};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Answer = Result<Vec<StoredEvent>, AppendError>;

/// The batches under way in this process.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>);

/// What equal batches have in common. The last hash covers the events and all before them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    call: CallId,
    expected: (Revision, Hash),
    last: Hash,
}

/// What a batch becomes when it arrives.
enum Role<'a> {
    /// It is written.
    Writer(Writer<'a>),
    /// An equal one is being written: this receives its answer.
    Sharer(watch::Receiver<Option<Answer>>),
}

/// The one that writes. Dropped early, it leaves the place to one of those that wait.
struct Writer<'a> {
    flights: &'a Flights,
    key: Key,
    answer: watch::Sender<Option<Answer>>,
}

impl Flights {
    /// Writes the batch, or waits for the answer to an equal one.
    pub(crate) async fn share(&self, batch: &Batch, write: impl Future<Output = Answer>) -> Answer {
        let mut write = pin!(write);
        loop {
            match self.role(batch) {
                Role::Writer(writer) => return writer.publish(write.as_mut().await),
                Role::Sharer(mut answer) => {
                    // An error means that the writer was dropped.
                    if let Ok(answer) = answer.wait_for(Option::is_some).await
                        && let Some(answer) = answer.as_ref().filter(|answer| fits(answer, batch))
                    {
                        return answer.clone();
                    }
                }
            }
        }
    }

    fn role(&self, batch: &Batch) -> Role<'_> {
        let key = Key::of(batch);
        match self.all().entry(key.clone()) {
            Entry::Occupied(flight) => Role::Sharer(flight.get().clone()),
            Entry::Vacant(place) => {
                let (answer, receiver) = watch::channel(None);
                place.insert(receiver);
                Role::Writer(Writer {
                    flights: self,
                    key,
                    answer,
                })
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer<'_> {
    /// Batches that arrive from now on are written anew, because this answer may be out of date for them.
    fn publish(self, answer: Answer) -> Answer {
        self.flights.all().remove(&self.key);
        self.answer.send_replace(Some(answer.clone()));
        answer
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let mut all = self.flights.all();
        let ours = all.get(&self.key);
        if ours.is_some_and(|flight| flight.same_channel(&self.answer.subscribe())) {
            all.remove(&self.key);
        }
    }
}

impl Key {
    fn of(batch: &Batch) -> Self {
        let expected = batch.expected();
        Self {
            call: batch.call().clone(),
            expected: (expected.revision, expected.hash),
            last: batch.head().hash,
        }
    }
}

/// Whether the answer to an equal batch, which came a little earlier, answers this one. A call that had not come as far
/// as the batch expects may have come further meanwhile; all other answers stay true.
fn fits(answer: &Answer, batch: &Batch) -> bool {
    match answer {
        Ok(events) => events
            .iter()
            .map(|event| &event.recorded)
            .eq(batch.events()),
        Err(AppendError::Conflict { expected, actual }) => actual > expected,
        Err(AppendError::Store(_)) => true,
    }
}
