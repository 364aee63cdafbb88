//! What every read model is: calls, as `domain` evolves them, with something beside.

use domain::{
    Call, CallId, DamagedEvent, Event, Position, Revision, StoredEvent, Timestamp, evolve_in_place,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

/// What a read model keeps beside the calls themselves. It is a function of their histories alone: any order of events
/// that keeps each call's own gives the same rows.
pub trait Projection:
    Debug + Clone + Eq + Default + Serialize + DeserializeOwned + 'static
{
    /// Its name in the interface.
    const NAME: &'static str;

    /// The version of what is kept. A checkpoint of another version is thrown away and the read model built anew, so
    /// this rises with every change to what is kept or to what it means; a call as `domain` keeps it is part of that.
    const VERSION: u32;

    /// What is kept of one call, as long as the call is.
    type OfCall: Debug + Clone + Eq + Default + Serialize + DeserializeOwned;

    /// Takes in an event of a call that was as it is before.
    fn take_in(of_call: &mut Self::OfCall, before: &Call, event: &Event, at: Timestamp);

    /// Whether the call need not be kept any more.
    fn is_over(call: &Call) -> bool;

    /// Takes what is to be kept of a call that is not kept any more.
    fn let_go(&mut self, id: &CallId, call: &Call, of_call: Self::OfCall);

    /// Removes what it took of that call, which turned out to be damaged.
    fn forget(&mut self, id: &CallId);
}

/// A projection that keeps what `M` keeps: `M` itself, or one that has it among others.
pub trait Holds<M: Projection>: Projection {
    /// What `M` keeps of a call.
    fn of_call(of_call: &Self::OfCall) -> &M::OfCall;

    /// What `M` keeps of calls that are over.
    fn held(&self) -> &M;

    /// Beside what `M` keeps of a call, nothing.
    fn with_of_call(of_call: M::OfCall) -> Self::OfCall;

    /// Beside what `M` keeps of calls that are over, nothing.
    fn with_held(held: M) -> Self;
}

impl<M: Projection> Holds<M> for M {
    fn of_call(of_call: &M::OfCall) -> &M::OfCall {
        of_call
    }

    fn held(&self) -> &M {
        self
    }

    fn with_of_call(of_call: M::OfCall) -> M::OfCall {
        of_call
    }

    fn with_held(held: M) -> M {
        held
    }
}

/// A read model as the events it has taken in make it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct ReadModel<P: Projection> {
    calls: ByCall<Kept<P::OfCall>>,
    own: P,
    /// The damaged events, in the store's order: their calls are left out.
    damaged: Vec<SetAside>,
    set_aside: BTreeSet<CallId>,
}

/// A damaged event, as long as its call is left out for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The position of the damaged event.
    pub position: Position,
    /// The position before it. `None` where the event is whole and one before it is missing.
    pub after: Option<Position>,
    /// The call that is left out; `None` where the store cannot tell whose event it is.
    pub call: Option<CallId>,
    /// Where the store keeps the event.
    pub stream: String,
    /// Its number there.
    pub number: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A call that is not over, and what a read model keeps beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    pub(crate) call: Call,
    pub(crate) of_call: T,
}

/// What is kept of each call. Call ids come from outside, so the hashes are seeded.
pub(crate) type ByCall<T> = HashMap<CallId, T, foldhash::fast::RandomState>;

impl<P: Projection> ReadModel<P> {
    /// One of those calls, and what is kept of the others.
    pub(crate) fn of(calls: ByCall<Kept<P::OfCall>>, own: P) -> Self {
        Self {
            calls,
            own,
            ..Self::default()
        }
    }

    /// The same as part of `Q`, which then answers for this read model alone.
    pub(crate) fn into_part_of<Q: Holds<P>>(self) -> ReadModel<Q> {
        let calls = self.calls.into_iter().map(|(id, Kept { call, of_call })| {
            let of_call = Q::with_of_call(of_call);
            (id, Kept { call, of_call })
        });
        ReadModel {
            calls: calls.collect(),
            own: Q::with_held(self.own),
            damaged: self.damaged,
            set_aside: self.set_aside,
        }
    }

    /// How many calls are kept because they are not over.
    pub fn kept_calls(&self) -> usize {
        self.calls.len()
    }

    /// At most `max` calls that go on, after that one: by when they were answered, then by call.
    pub fn live_after(&self, after: Option<(Timestamp, &CallId)>, max: usize) -> Vec<&CallId> {
        let calls = self.calls.iter();
        let live = calls.filter(|(_, kept)| kept.call.is_live());
        let places = live.map(|(id, kept)| (kept.call.answered_at(), id));
        let mut places: Vec<_> = places
            .filter(|place| after.is_none_or(|after| *place > after))
            .collect();
        if places.len() > max {
            places.select_nth_unstable(max);
            places.truncate(max);
        }
        places.sort_unstable();
        places.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes in further events, in the order of the store.
    pub(crate) fn fold<E: Borrow<StoredEvent>>(&mut self, events: &[E]) {
        for (id, run) in runs(events) {
            self.take_in(id, run);
        }
    }

    /// Leaves the event's call out, with all that is known of it and all that comes.
    pub(crate) fn set_aside(&mut self, event: &DamagedEvent, after: Option<Position>) {
        if let Some(call) = &event.call {
            self.calls.remove(call);
            self.own.forget(call);
            if !self.set_aside.insert(call.clone()) {
                // One entry a call: the first damaged event is why it is left out.
                return;
            }
        }
        self.damaged.push(SetAside::new(event, after));
    }

    /// The first damaged event of each call that is left out, and those of no known call, in the store's order.
    pub fn damaged(&self) -> &[SetAside] {
        &self.damaged
    }

    fn take_in<E: Borrow<StoredEvent>>(&mut self, id: &CallId, events: &[E]) {
        if self.set_aside.contains(id) {
            return;
        }
        let Some(Kept { call, of_call }) = kept(&mut self.calls, id, events) else {
            return;
        };
        for StoredEvent { position, recorded } in events.iter().map(Borrow::borrow) {
            let expected = Revision(call.revision().0 + 1);
            if recorded.revision != expected {
                let gap = gap(id, *position, expected, recorded.revision);
                return self.set_aside(&gap, None);
            }
            let (event, at) = (&recorded.event, recorded.cause.at);
            P::take_in(of_call, call, event, at);
            evolve_in_place(call, event, at);
        }
        if P::is_over(call)
            && let Some(Kept { call, of_call }) = self.calls.remove(id)
        {
            self.own.let_go(id, &call, of_call);
        }
    }

    /// A call that is not over, and what is kept beside it.
    pub(crate) fn kept_of<'a>(&'a self, id: &CallId) -> Option<(&'a CallId, &'a Kept<P::OfCall>)> {
        self.calls.get_key_value(id)
    }

    /// The calls that are not over, in no order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&CallId, &Kept<P::OfCall>)> {
        self.calls.iter()
    }

    /// What is kept of those that are.
    pub(crate) fn own(&self) -> &P {
        &self.own
    }
}

impl From<&SetAside> for DamagedEvent {
    fn from(damaged: &SetAside) -> Self {
        Self {
            position: damaged.position,
            call: damaged.call.clone(),
            stream: damaged.stream.clone(),
            number: damaged.number,
            reason: damaged.reason.clone(),
        }
    }
}

impl SetAside {
    fn new(event: &DamagedEvent, after: Option<Position>) -> Self {
        Self {
            position: event.position,
            after,
            call: event.call.clone(),
            stream: event.stream.clone(),
            number: event.number,
            reason: event.reason.clone(),
        }
    }
}

/// Events of a call are missing before that position.
fn gap(id: &CallId, position: Position, expected: Revision, found: Revision) -> DamagedEvent {
    DamagedEvent {
        position,
        call: Some(id.clone()),
        stream: format!("call-{id}"),
        number: expected.0 - 1,
        reason: format!("revision {expected} is missing; the next event is revision {found}"),
    }
}

/// Neighbouring events of one call: it is looked up once for all that one command brought about.
pub(crate) fn runs<E: Borrow<StoredEvent>>(events: &[E]) -> impl Iterator<Item = (&CallId, &[E])> {
    let runs = events.chunk_by(|one, other| same_call(one.borrow(), other.borrow()));
    runs.map(|run| (&run[0].borrow().recorded.cause.call, run))
}

/// Events of one command share their cause, which makes the usual comparison one of addresses.
fn same_call(one: &StoredEvent, other: &StoredEvent) -> bool {
    let (one, other) = (&one.recorded.cause, &other.recorded.cause);
    Arc::ptr_eq(one, other) || one.call == other.call
}

/// What is kept of the call, begun with its first event; nothing once it is over.
pub(crate) fn kept<'a, T: Default, E: Borrow<StoredEvent>>(
    calls: &'a mut ByCall<T>,
    id: &CallId,
    events: &[E],
) -> Option<&'a mut T> {
    let first = events.first()?.borrow();
    if first.recorded.revision == Revision(1) {
        Some(calls.entry(id.clone()).or_default())
    } else {
        calls.get_mut(id)
    }
}
