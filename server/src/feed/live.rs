//! Where all who follow come together: the last events, how far the store was read, and a mailbox for each subscriber.
//! One lock guards it, so that going over from history to what comes leaves neither a gap nor a repeat.

use super::filter::Filter;
use super::form::Told;
use super::mailboxes::{Mailboxes, Reason, Registration};
use super::prefix::{Marks, Prefix};
use domain::Position;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// So many of the last events are at hand; who is further back reads the store.
const AT_HAND: usize = 16_384;

/// At most so many events are handed over at once.
pub(super) const PAGE: usize = 64;

/// How the feed stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What it has read.
    pub prefix: Prefix,
    /// Whether it has come to the store's end since it began or last failed.
    pub caught_up: bool,
    /// Why it cannot go on; it tries again and again.
    pub error: Option<String>,
    /// Whether the kept proof did not hold, so that it was computed anew from the first event.
    pub rebuilt: bool,
    /// Why the proof is not kept any more, if so; the next start reads more.
    pub not_kept: Option<String>,
    /// How often everything was begun anew.
    generation: u64,
}

/// See the module.
pub(super) struct Live {
    inner: Mutex<Inner>,
    state: watch::Sender<State>,
    /// Somebody read what contradicts the proof.
    doubted: Notify,
}

struct Inner {
    marks: Marks,
    at_hand: VecDeque<Arc<Told>>,
    mailboxes: Mailboxes,
    /// The shortest prefix that somebody went on from and found something else.
    doubt: Option<u64>,
    /// Whether everything is to be read again.
    doubts_everything: bool,
}

/// What may not be as it was read.
pub(super) enum Doubt {
    /// Kept prefixes: the first must lead to the second.
    Between(Prefix, Prefix),
    /// All of it.
    Everything,
}

/// A place in the feed, and in which of its beginnings it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) reached: Prefix,
    pub(super) generation: u64,
}

/// How somebody goes on from a place.
pub(super) enum Onwards {
    /// These come next, and there are more.
    These(Vec<Arc<Told>>),
    /// These come next, and then what is put into the mailbox.
    Joined(Vec<Arc<Told>>, Registration),
    /// The next so many are in the store.
    InStore(u64),
    /// There is no such place any more.
    Gone,
}

/// Where a position or count stands among what is known.
pub(super) enum Known {
    /// Exactly this.
    Exactly(Prefix),
    /// Past the first, and at or before the second.
    Between(Prefix, Prefix),
    /// Past everything.
    Beyond,
}

impl Default for Live {
    fn default() -> Self {
        let state = State {
            prefix: Prefix::NONE,
            caught_up: false,
            error: None,
            rebuilt: false,
            not_kept: None,
            generation: 0,
        };
        Self {
            inner: Mutex::new(Inner {
                marks: Marks::default(),
                at_hand: VecDeque::new(),
                mailboxes: Mailboxes::default(),
                doubt: None,
                doubts_everything: false,
            }),
            state: watch::Sender::new(state),
            doubted: Notify::new(),
        }
    }
}

impl Live {
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What it has read.
    pub(super) fn end(&self) -> Place {
        let state = self.state.borrow();
        Place {
            reached: state.prefix,
            generation: state.generation,
        }
    }

    /// To wait for a state.
    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Begins where those marks end.
    pub(super) fn begin(&self, marks: Marks, rebuilt: bool) {
        let mut inner = self.inner();
        self.state.send_modify(|state| {
            state.prefix = marks.last();
            state.rebuilt |= rebuilt;
        });
        inner.marks = marks;
    }

    /// What was read does not hold: everything is read anew, and nobody is told another word of it.
    pub(super) fn begin_anew(&self) {
        let mut inner = self.inner();
        inner.marks = Marks::default();
        inner.at_hand.clear();
        inner.mailboxes.cut_off_all(Reason::StoreChanged);
        // Who doubted what was known until now was heard.
        inner.doubt = None;
        inner.doubts_everything = false;
        self.state.send_modify(|state| {
            state.prefix = Prefix::NONE;
            state.caught_up = false;
            // It was read just now, and what it said is why everything begins anew.
            state.error = None;
            state.rebuilt = true;
            state.generation += 1;
        });
    }

    /// Takes in what comes next, and hands it to whoever asked for it.
    pub(super) fn publish(&self, events: Vec<Told>) {
        let mut inner = self.inner();
        let Some(end) = events.last().map(|told| told.up_to) else {
            return;
        };
        for told in events.into_iter().map(Arc::new) {
            inner.take(told);
        }
        self.state.send_modify(|state| state.prefix = end);
    }

    pub(super) fn caught_up(&self) {
        self.state.send_if_modified(|state| {
            let news = !state.caught_up || state.error.is_some();
            state.caught_up = true;
            state.error = None;
            news
        });
    }

    pub(super) fn failed(&self, error: String) {
        self.state.send_modify(|state| {
            state.caught_up = false;
            state.error = Some(error);
        });
    }

    /// The proof is not kept any more.
    pub(super) fn not_kept(&self, error: String) {
        self.state.send_modify(|state| state.not_kept = Some(error));
    }

    /// Ends every stream.
    pub(super) fn close(&self) {
        self.inner().mailboxes.cut_off_all(Reason::Stopping);
    }

    /// Somebody read on from there what cannot be, if what it was compared with is what is known now.
    pub(super) fn doubt(&self, place: Place) {
        let mut inner = self.inner();
        if place.generation == self.end().generation {
            let count = place.reached.count;
            inner.doubt = Some(inner.doubt.map_or(count, |doubt| doubt.min(count)));
            self.doubted.notify_one();
        }
    }

    /// Everything that was read is to be read again.
    pub(super) fn doubt_all(&self) {
        self.inner().doubts_everything = true;
        self.doubted.notify_one();
    }

    /// Waits until there is a doubt.
    pub(super) async fn doubted(&self) -> Doubt {
        loop {
            self.doubted.notified().await;
            let mut inner = self.inner();
            if inner.doubts_everything {
                return Doubt::Everything;
            }
            if let Some(count) = inner.doubt.take() {
                let (mark, next) = inner.marks.around_count(count);
                return Doubt::Between(mark, next.unwrap_or(self.end().reached));
            }
        }
    }

    /// A prefix that was found true, shortly before the end; the end must follow from it.
    pub(super) fn before_the_end(&self) -> Prefix {
        let inner = self.inner();
        let last_but_one = inner.at_hand.iter().rev().nth(1);
        last_but_one.map_or(inner.marks.last_but_one(), |told| told.up_to)
    }

    /// Whether a place is what is known of so many events, if anything is.
    pub(super) fn agrees(&self, place: Place) -> bool {
        let inner = self.inner();
        let count = place.reached.count;
        let at_hand = inner.at_hand(count).map(|told| told.up_to);
        let known = at_hand.or_else(|| inner.marks.of(count));
        place.generation == self.end().generation
            && known.is_none_or(|known| known == place.reached)
    }

    /// How to go on from there. Whoever joins is told everything past it, once.
    pub(super) fn onwards(
        self: &Arc<Self>,
        place: Place,
        filter: &Filter,
        capacity: usize,
    ) -> Onwards {
        let mut inner = self.inner();
        let end = self.end();
        let ahead = end.reached.count.checked_sub(place.reached.count);
        let Some(ahead) = ahead.filter(|_| end.generation == place.generation) else {
            return Onwards::Gone;
        };
        let Some(next) = inner.past(place.reached.count, ahead) else {
            return Onwards::InStore(ahead);
        };
        let more = next.len() > PAGE;
        let next: Vec<_> = next.take(PAGE).cloned().collect();
        if more {
            return Onwards::These(next);
        }
        let (number, waiting, why) = inner.mailboxes.open(filter.clone(), capacity);
        Onwards::Joined(
            next,
            Registration::new(Arc::clone(self), number, waiting, why),
        )
    }

    pub(super) fn leave(&self, number: u64) {
        self.inner().mailboxes.close(number);
    }

    /// How far everything was looked through for a subscriber for whom nothing waits; none for one that was cut off.
    pub(super) fn looked_through(
        &self,
        number: u64,
        is_empty: impl FnOnce() -> bool,
    ) -> Option<Prefix> {
        let inner = self.inner();
        let in_time = inner.mailboxes.has(number) && is_empty();
        in_time.then(|| self.end().reached)
    }

    pub(super) fn at_position(&self, position: Position) -> Known {
        let inner = self.inner();
        let end = self.end().reached;
        if position == end.position {
            return Known::Exactly(end);
        }
        if position > end.position {
            return Known::Beyond;
        }
        let past = inner
            .at_hand
            .partition_point(|told| told.up_to.position <= position);
        if let Some(told) = past.checked_sub(1).and_then(|last| inner.at_hand.get(last)) {
            return Known::Exactly(told.up_to);
        }
        let (mark, next) = inner.marks.around_position(position);
        exactly_or_between(mark, next.unwrap_or(end), mark.position == position)
    }

    pub(super) fn of_count(&self, count: u64) -> Known {
        let inner = self.inner();
        let end = self.end().reached;
        if count == end.count {
            return Known::Exactly(end);
        }
        if count > end.count {
            return Known::Beyond;
        }
        if let Some(told) = inner.at_hand(count) {
            return Known::Exactly(told.up_to);
        }
        let (mark, next) = inner.marks.around_count(count);
        exactly_or_between(mark, next.unwrap_or(end), mark.count == count)
    }

    /// A panic elsewhere leaves it whole: nothing in it fails half-way.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exactly_or_between(mark: Prefix, next: Prefix, exactly: bool) -> Known {
    if exactly {
        Known::Exactly(mark)
    } else {
        Known::Between(mark, next)
    }
}

impl Inner {
    fn take(&mut self, told: Arc<Told>) {
        if told.up_to.is_mark() {
            self.marks.push(told.up_to);
        }
        self.mailboxes.deliver(&told);
        if self.at_hand.len() == AT_HAND {
            self.at_hand.pop_front();
        }
        self.at_hand.push_back(told);
    }

    /// The event that so many end with, if it is at hand.
    fn at_hand(&self, count: u64) -> Option<&Told> {
        let first = self.at_hand.front()?;
        let place = count.checked_sub(first.up_to.count)?;
        let told = self.at_hand.get(usize::try_from(place).ok()?);
        told.map(Arc::as_ref)
    }

    /// The last `ahead` events, if they are all at hand.
    fn past(
        &self,
        count: u64,
        ahead: u64,
    ) -> Option<std::collections::vec_deque::Iter<'_, Arc<Told>>> {
        let ahead = usize::try_from(ahead).ok()?;
        let first = self.at_hand.len().checked_sub(ahead)?;
        let past = self.at_hand.range(first..);
        debug_assert!(
            past.clone()
                .next()
                .is_none_or(|told| told.up_to.count == count + 1)
        );
        Some(past)
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Filter;
    use super::super::form::Told;
    use super::super::mailboxes::{Reason, Registration};
    use super::{Live, Onwards, Place, Prefix};
    use domain::json::parse_command;
    use domain::{Entry, Handler, MemoryStore, StoredEvent};
    use std::sync::Arc;

    /// Two events of a call.
    async fn events() -> Vec<StoredEvent> {
        let handler = Handler::new(Arc::new(MemoryStore::new()));
        let mut events = Vec::new();
        for command in [
            r#"{"call":"c","type":"connect_call","agent":"agent:ana"}"#,
            r#"{"call":"c","type":"start_consult","by":"agent:ana","target":"agent:ben"}"#,
        ] {
            let request = parse_command(command).unwrap();
            let answer = handler.handle(&request, handler.random_id(), handler.now());
            events.extend(answer.await.unwrap().events);
        }
        events.truncate(2);
        events
    }

    fn publish(live: &Live, event: &StoredEvent) -> Prefix {
        let up_to = live.end().reached.plus(event);
        live.publish(vec![Told::new(Entry::Event(event.clone()), up_to)]);
        up_to
    }

    fn joined(live: &Arc<Live>, from: Place, room: usize) -> (usize, Registration) {
        match live.onwards(from, &Filter::default(), room) {
            Onwards::Joined(events, registration) => (events.len(), registration),
            Onwards::These(_) | Onwards::InStore(_) | Onwards::Gone => panic!("it is at hand"),
        }
    }

    #[tokio::test]
    async fn who_joins_is_told_what_there_was_and_what_comes_each_once() {
        let live = Arc::new(Live::default());
        let (start, events) = (live.end(), events().await);
        let first = publish(&live, &events[0]);
        let (there, mut registration) = joined(&live, start, 1);
        assert_eq!(there, 1);
        let second = publish(&live, &events[1]);
        assert_eq!(registration.next_now().unwrap().up_to, second);
        assert_eq!(second, first.plus(&events[1]));
        assert!(registration.next_now().is_none());
    }

    #[tokio::test]
    async fn nothing_was_looked_through_past_what_still_waits_or_was_not_put_in() {
        let live = Arc::new(Live::default());
        let events = events().await;
        let (_, mut registration) = joined(&live, live.end(), 1);
        assert_eq!(registration.looked_through(), Some(Prefix::NONE));
        let first = publish(&live, &events[0]);
        assert_eq!(registration.looked_through(), None);
        assert!(registration.next_now().is_some());
        assert_eq!(registration.looked_through(), Some(first));
        publish(&live, &events[1]);
        publish(&live, &events[1]);
        assert_eq!(registration.why(), Reason::TooSlow);
        assert!(registration.next_now().is_none(), "nothing is kept for it");
        assert_eq!(registration.looked_through(), None);
    }

    #[tokio::test]
    async fn nobody_goes_on_from_a_place_of_another_beginning() {
        let live = Arc::new(Live::default());
        publish(&live, &events().await[0]);
        let place = live.end();
        live.begin_anew();
        let gone = live.onwards(place, &Filter::default(), 1);
        assert!(matches!(gone, Onwards::Gone));
    }
}
