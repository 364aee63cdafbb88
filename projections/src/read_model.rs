//! What every read model is: calls, as `domain` evolves them, with something beside.

use domain::{Call, CallId, Event, Revision, StoredEvent, Timestamp, evolve_in_place};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

/// What a read model keeps beside the calls themselves. It is a function of their histories alone: any order of events
/// that keeps each call's own gives the same rows.
pub trait Projection: Debug + Clone + Eq + Default + Serialize + DeserializeOwned {
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
}

/// A read model as the events it has taken in make it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct ReadModel<P: Projection> {
    calls: ByCall<Kept<P::OfCall>>,
    own: P,
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
    /// Takes in further events, in the order of the store.
    pub(crate) fn fold(&mut self, events: &[StoredEvent]) {
        for (id, run) in runs(events) {
            self.take_in(id, run);
        }
    }

    fn take_in(&mut self, id: &CallId, events: &[StoredEvent]) {
        let Some(Kept { call, of_call }) = kept(&mut self.calls, id, events) else {
            return;
        };
        for StoredEvent { recorded, .. } in events {
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

    /// The calls that go on, the longest-running first; of equal ones by call.
    pub(crate) fn live_calls(&self) -> Vec<(&CallId, &Call)> {
        let calls = self.calls.iter().map(|(id, kept)| (id, &kept.call));
        let mut live: Vec<_> = calls.filter(|(_, call)| call.is_live()).collect();
        live.sort_unstable_by_key(|(id, call)| (call.answered_at(), *id));
        live
    }
}

/// Neighbouring events of one call: it is looked up once for all that one command brought about.
pub(crate) fn runs(events: &[StoredEvent]) -> impl Iterator<Item = (&CallId, &[StoredEvent])> {
    let runs = events.chunk_by(same_call);
    runs.map(|run| (&run[0].recorded.cause.call, run))
}

/// Events of one command share their cause, which makes the usual comparison one of addresses.
fn same_call(one: &StoredEvent, other: &StoredEvent) -> bool {
    let (one, other) = (&one.recorded.cause, &other.recorded.cause);
    Arc::ptr_eq(one, other) || one.call == other.call
}

/// What is kept of the call, begun with its first event; nothing once it is over.
pub(crate) fn kept<'a, T: Default>(
    calls: &'a mut ByCall<T>,
    id: &CallId,
    events: &[StoredEvent],
) -> Option<&'a mut T> {
    let first = events.first()?;
    if first.recorded.revision == Revision(1) {
        Some(calls.entry(id.clone()).or_default())
    } else {
        calls.get_mut(id)
    }
}
