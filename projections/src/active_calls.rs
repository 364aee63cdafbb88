//! `active-calls`: which calls go on, in what phase, and with whom.

use crate::{Projection, ReadModel, Row};
use domain::json::{AgentText, ConsultJson, SeatJson, SessionJson, Text};
use domain::{Call, CallId, Event, Queue, Timestamp};
use serde::{Deserialize, Serialize};

/// The calls that go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCalls;

/// A call that goes on.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct ActiveCall<'a> {
    pub call: Text<&'a CallId>,
    pub revision: u64,
    pub queue: Option<Text<&'a Queue>>,
    pub phase: Option<&'static str>,
    pub phase_since: Text<Timestamp>,
    pub answered_at: Text<Timestamp>,
    pub primary: Option<AgentText<'a>>,
    pub parties: Vec<SeatJson<'a>>,
    pub consult: Option<ConsultJson<'a>>,
    pub supervisors: Vec<SessionJson<'a>>,
}

impl Row for ActiveCall<'_> {
    const COLUMNS: &'static [&'static str] = &[
        "call",
        "revision",
        "queue",
        "phase",
        "phase_since",
        "answered_at",
        "primary",
        "parties",
        "consult",
        "supervisors",
    ];
}

impl Projection for ActiveCalls {
    const NAME: &'static str = "active-calls";
    const VERSION: u32 = 1;

    type OfCall = ();

    /// Nothing beside the call is kept, and `domain`, which evolves that, names every event.
    fn take_in((): &mut (), _: &Call, _: &Event, _: Timestamp) {}

    fn is_over(call: &Call) -> bool {
        !call.is_live()
    }

    fn let_go(&mut self, _: &CallId, _: &Call, (): ()) {}

    fn forget(&mut self, _: &CallId) {}
}

impl ReadModel<ActiveCalls> {
    /// Every call, the longest-running first.
    pub fn rows(&self) -> Vec<ActiveCall<'_>> {
        rows(self)
    }

    /// The calls to which nothing has happened for longer than `idle_ms`: perhaps their hang-up never came.
    pub fn idle(&self, as_of: Timestamp, idle_ms: u64) -> Vec<ActiveCall<'_>> {
        idle(self, as_of, idle_ms)
    }
}

pub(crate) fn rows<P: Projection>(model: &ReadModel<P>) -> Vec<ActiveCall<'_>> {
    let calls = model.live_calls().into_iter();
    calls.map(|(id, call)| ActiveCall::new(id, call)).collect()
}

pub(crate) fn row<'a>(id: &'a CallId, call: &'a Call) -> Option<ActiveCall<'a>> {
    call.is_live().then(|| ActiveCall::new(id, call))
}

pub(crate) fn idle<P: Projection>(
    model: &ReadModel<P>,
    as_of: Timestamp,
    idle_ms: u64,
) -> Vec<ActiveCall<'_>> {
    let calls = model.live_calls().into_iter();
    let idle = calls.filter(|(_, call)| as_of.millis_since(call.last_at()) > idle_ms);
    idle.map(|(id, call)| ActiveCall::new(id, call)).collect()
}

impl<'a> ActiveCall<'a> {
    fn new(id: &'a CallId, call: &'a Call) -> Self {
        Self {
            call: Text(id),
            revision: call.revision().0,
            queue: call.queue().map(Text),
            phase: call.phase().map(domain::call::Phase::name),
            phase_since: Text(call.phase_since()),
            answered_at: Text(call.answered_at()),
            primary: call.primary().map(AgentText),
            parties: call.seats().iter().map(SeatJson::from).collect(),
            consult: call.consult().map(ConsultJson::from),
            supervisors: call.sessions().iter().map(SessionJson::from).collect(),
        }
    }
}
