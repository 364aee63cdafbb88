//! Where streams go over from history to what comes. One lock guards how far the mailboxes were filled, so that neither a
//! gap nor a repeat is possible there.

use super::filter::Filter;
use super::mailboxes::{Mailboxes, Reason};
use super::queue::Receiver;
use domain::Prefix;
use engine::follower::{Counted, Place, Tail};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The most events that are handed over at once.
pub(super) const PAGE: usize = 64;

/// See the module.
pub(super) struct Live {
    pub(super) tail: Arc<Tail>,
    inner: Mutex<Inner>,
}

struct Inner {
    mailboxes: Mailboxes,
    /// Every mailbox was given what it is for, up to here.
    delivered: Place,
}

/// How a stream goes on from a place.
pub(super) enum Onwards {
    /// These come next, and there are more.
    These(Vec<Arc<Counted>>),
    /// These come next, and then what is put into the mailbox.
    Joined(Vec<Arc<Counted>>, Registration),
    /// The next so many are in the store.
    InStore(u64),
    /// There is no such place any more.
    Gone,
}

/// A subscriber's end of its mailbox; dropping it closes the mailbox.
pub(super) struct Registration {
    live: Arc<Live>,
    number: u64,
    waiting: Receiver<Arc<Counted>>,
    why: Arc<OnceLock<Reason>>,
}

impl Live {
    pub(super) fn of(tail: Arc<Tail>) -> Self {
        let inner = Inner {
            mailboxes: Mailboxes::default(),
            delivered: tail.end(),
        };
        Self {
            tail,
            inner: Mutex::new(inner),
        }
    }

    /// Begins where the reader stands, if it has begun anew; streams of before are cut off. Returns where mailboxes are
    /// filled from now on.
    pub(super) fn follow(&self) -> Place {
        let mut inner = self.inner();
        inner.follow(&self.tail);
        inner.delivered
    }

    /// Hands each mailbox what it is for, unless the reader has begun anew since.
    pub(super) fn deliver(&self, entries: &[Arc<Counted>], generation: u64) {
        let mut inner = self.inner();
        if generation != inner.delivered.generation {
            return;
        }
        for entry in entries {
            inner.mailboxes.deliver(entry);
            inner.delivered.reached = entry.up_to;
        }
    }

    /// Ends every stream.
    pub(super) fn close(&self) {
        self.inner().mailboxes.cut_off_all(Reason::Stopping);
    }

    /// How to go on from there. A stream that joins is given everything past it, once.
    pub(super) fn onwards(
        self: &Arc<Self>,
        place: Place,
        filter: &Filter,
        capacity: usize,
    ) -> Onwards {
        let mut inner = self.inner();
        inner.follow(&self.tail);
        let (delivered, end) = (inner.delivered, self.tail.end());
        let ahead = end.reached.count.checked_sub(place.reached.count);
        let Some(ahead) = ahead.filter(|_| place.generation == delivered.generation) else {
            return Onwards::Gone;
        };
        let Some(mut next) = self
            .tail
            .between(place.reached, delivered.reached, PAGE + 1)
        else {
            return Onwards::InStore(ahead);
        };
        if next.len() > PAGE {
            next.truncate(PAGE);
            return Onwards::These(next);
        }
        // The reader may be further than the mailboxes, and the place may be there.
        let after = place.reached.count.max(delivered.reached.count);
        let (number, waiting, why) = inner.mailboxes.open(filter.clone(), after, capacity);
        let registration = Registration {
            live: Arc::clone(self),
            number,
            waiting,
            why,
        };
        Onwards::Joined(next, registration)
    }

    fn leave(&self, number: u64) {
        self.inner().mailboxes.close(number);
    }

    /// How far everything was looked through for a subscriber for whom nothing waits; `None` for one that was cut off.
    fn looked_through(&self, number: u64, is_empty: impl FnOnce() -> bool) -> Option<Prefix> {
        let inner = self.inner();
        let reached = inner.delivered.reached;
        let in_time = inner.mailboxes.has(number, reached.count) && is_empty();
        in_time.then_some(reached)
    }

    /// A panic elsewhere leaves it whole: nothing in it fails half-way.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn follow(&mut self, tail: &Tail) {
        let end = tail.end();
        if end.generation != self.delivered.generation {
            self.mailboxes.cut_off_all(Reason::StoreChanged);
            self.delivered = end;
        }
    }
}

impl Registration {
    /// Waits for the next event; none once everything was taken out of a mailbox that was closed.
    pub(super) async fn next(&mut self) -> Option<Arc<Counted>> {
        self.waiting.next().await
    }

    /// The next event, if it is there.
    pub(super) fn next_now(&mut self) -> Option<Arc<Counted>> {
        self.waiting.next_now()
    }

    /// Why the mailbox was closed.
    pub(super) fn why(&self) -> Reason {
        self.why.get().copied().unwrap_or(Reason::Stopping)
    }

    /// How far everything was looked through, if nothing waits.
    pub(super) fn looked_through(&self) -> Option<Prefix> {
        let is_empty = || self.waiting.is_empty();
        self.live.looked_through(self.number, is_empty)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.live.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::json::parse_command;
    use domain::{Handler, MemoryStore};
    use engine::follower::{Reader, Span, Step, Subscription};

    /// Mailboxes that are filled when the test says so.
    struct Recorded {
        handler: Handler,
        live: Arc<Live>,
        subscription: Subscription,
        /// It reads as long as it is there.
        _reader: Arc<Reader>,
    }

    impl Recorded {
        async fn nothing() -> Self {
            let store = Arc::new(MemoryStore::new());
            let reader = Reader::start(Arc::clone(&store) as _, None, false);
            let live = Arc::new(Live::of(Arc::clone(reader.tail())));
            let mut states = live.tail.states();
            states.wait_for(|state| state.caught_up).await.unwrap();
            let generation = live.follow().generation;
            Self {
                handler: Handler::new(store),
                live,
                subscription: reader.subscribe(Span::NONE, generation),
                _reader: reader,
            }
        }

        /// Delivers the only event of another call.
        async fn event(&mut self, call: &str) -> Prefix {
            let command =
                format!(r#"{{"call":"{call}","type":"connect_call","agent":"agent:ana"}}"#);
            let request = parse_command(&command).unwrap();
            let (id, now) = (self.handler.random_id(), self.handler.now());
            self.handler.handle(&request, id, now).await.unwrap();
            loop {
                if let Step::Batch(batch) = self.subscription.next().await {
                    self.live.deliver(&batch.entries, batch.generation);
                    return batch.entries.last().unwrap().up_to;
                }
            }
        }

        fn joined(&self, from: Place, room: usize) -> (usize, Registration) {
            match self.live.onwards(from, &Filter::default(), room) {
                Onwards::Joined(events, registration) => (events.len(), registration),
                Onwards::These(_) | Onwards::InStore(_) | Onwards::Gone => {
                    panic!("it is in memory")
                }
            }
        }
    }

    #[tokio::test]
    async fn who_joins_is_told_what_there_was_and_what_comes_each_once() {
        let mut recorded = Recorded::nothing().await;
        let start = recorded.live.tail.end();
        let first = recorded.event("c").await;
        let (there, mut registration) = recorded.joined(start, 1);
        assert_eq!(there, 1);
        let second = recorded.event("d").await;
        let next = registration.next_now().unwrap();
        assert_eq!(next.up_to, second);
        assert_eq!(second, first.plus_entry(&next.entry));
        assert!(registration.next_now().is_none());
    }

    #[tokio::test]
    async fn who_joins_ahead_of_the_mailboxes_is_told_nothing_twice() {
        let mut recorded = Recorded::nothing().await;
        let start = recorded.live.tail.end();
        let first = recorded.event("c").await;
        let read = Place {
            reached: first,
            ..start
        };
        recorded.live.inner().delivered = start;
        let (there, mut registration) = recorded.joined(read, 2);
        assert_eq!(there, 0);
        assert_eq!(registration.looked_through(), None);
        let entries = recorded.live.tail.between(start.reached, first, 2).unwrap();
        recorded.live.deliver(&entries, start.generation);
        assert!(registration.next_now().is_none());
        assert_eq!(registration.looked_through(), Some(first));
    }

    #[tokio::test]
    async fn nothing_was_looked_through_past_what_still_waits_or_was_not_put_in() {
        let mut recorded = Recorded::nothing().await;
        let (_, mut registration) = recorded.joined(recorded.live.tail.end(), 1);
        assert_eq!(registration.looked_through(), Some(Prefix::NONE));
        let first = recorded.event("c").await;
        assert_eq!(registration.looked_through(), None);
        assert!(registration.next_now().is_some());
        assert_eq!(registration.looked_through(), Some(first));
        recorded.event("d").await;
        recorded.event("e").await;
        assert_eq!(registration.why(), Reason::TooSlow);
        assert!(registration.next_now().is_none(), "nothing is kept for it");
        assert_eq!(registration.looked_through(), None);
    }

    #[tokio::test]
    async fn nobody_goes_on_from_a_place_of_another_beginning() {
        let mut recorded = Recorded::nothing().await;
        recorded.event("c").await;
        let place = recorded.live.tail.end();
        recorded.live.tail.doubt_all();
        while recorded.live.tail.end().generation == place.generation {
            tokio::task::yield_now().await;
        }
        let gone = recorded.live.onwards(place, &Filter::default(), 1);
        assert!(matches!(gone, Onwards::Gone));
    }
}
