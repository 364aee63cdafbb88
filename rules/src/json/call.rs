//! One call as JSON.

use super::{AgentText, SupervisorText, Text};
use crate::call::{Call, Consult, Seat, Session, WrapUp, WrapUpState};
use crate::ids::{CallId, Party, Reason, Target};
use crate::time::Timestamp;
use serde::Serialize;

/// A call's state, as `kaigi show call` prints it.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct CallJson<'a> {
    pub call: &'a str,
    pub revision: u64,
    pub phase: Option<&'static str>,
    pub phase_since: Text<Timestamp>,
    pub queue: Option<Text<&'a crate::ids::Queue>>,
    pub primary: Option<AgentText<'a>>,
    pub parties: Vec<SeatJson<'a>>,
    pub consult: Option<ConsultJson<'a>>,
    pub supervisors: Vec<SessionJson<'a>>,
    pub wrap_ups: Vec<WrapUpJson<'a>>,
    pub answered_at: Text<Timestamp>,
    pub ended_at: Option<Text<Timestamp>>,
    pub ended_by: Option<&'static str>,
    pub completed: bool,
}

/// A party of the call.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct SeatJson<'a> {
    pub party: Text<&'a Party>,
    pub joined_at: Text<Timestamp>,
    pub held_by: Option<AgentText<'a>>,
    pub held_since: Option<Text<Timestamp>>,
}

/// The call's consult.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct ConsultJson<'a> {
    pub by: AgentText<'a>,
    pub target: Text<&'a Target>,
    pub state: &'static str,
    pub hold: &'static str,
}

/// A supervisor on the call.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct SessionJson<'a> {
    pub supervisor: SupervisorText<'a>,
    pub agent: AgentText<'a>,
    pub mode: &'static str,
    pub since: Text<Timestamp>,
}

/// A wrap-up, owed or settled.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct WrapUpJson<'a> {
    pub agent: AgentText<'a>,
    pub state: &'static str,
    pub since: Text<Timestamp>,
    pub reason: Option<Text<&'a Reason>>,
    pub applied_at: Option<Text<Timestamp>>,
}

impl<'a> CallJson<'a> {
    /// That call, as it stands.
    pub fn new(id: &'a CallId, call: &'a Call) -> Self {
        Self {
            call: id.as_str(),
            revision: call.revision().0,
            phase: call.phase().map(crate::call::Phase::name),
            phase_since: Text(call.phase_since()),
            queue: call.queue().map(Text),
            primary: call.primary().map(AgentText),
            parties: call.seats().iter().map(SeatJson::from).collect(),
            consult: call.consult().map(ConsultJson::from),
            supervisors: call.sessions().iter().map(SessionJson::from).collect(),
            wrap_ups: call.wrap_ups().iter().map(WrapUpJson::from).collect(),
            answered_at: Text(call.answered_at()),
            ended_at: call.ended_at().map(Text),
            ended_by: call.end_cause().map(crate::event::EndCause::name),
            completed: call.completed_at().is_some(),
        }
    }
}

impl<'a> From<&'a Seat> for SeatJson<'a> {
    fn from(seat: &'a Seat) -> Self {
        Self {
            party: Text(&seat.party),
            joined_at: Text(seat.joined_at),
            held_by: seat.hold.as_ref().map(|hold| AgentText(&hold.by)),
            held_since: seat.hold.as_ref().map(|hold| Text(hold.since)),
        }
    }
}

impl<'a> From<&'a Consult> for ConsultJson<'a> {
    fn from(consult: &'a Consult) -> Self {
        Self {
            by: AgentText(&consult.by),
            target: Text(&consult.target),
            state: consult.state.name(),
            hold: consult.hold.name(),
        }
    }
}

impl<'a> From<&'a Session> for SessionJson<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            supervisor: SupervisorText(&session.supervisor),
            agent: AgentText(&session.agent),
            mode: session.mode.name(),
            since: Text(session.since),
        }
    }
}

impl<'a> From<&'a WrapUp> for WrapUpJson<'a> {
    fn from(wrap_up: &'a WrapUp) -> Self {
        let (state, reason, applied_at) = match &wrap_up.state {
            WrapUpState::Owed => ("owed", None, None),
            WrapUpState::Applied { reason, at } => ("applied", Some(Text(reason)), Some(Text(*at))),
        };
        Self {
            agent: AgentText(&wrap_up.agent),
            state,
            since: Text(wrap_up.since),
            reason,
            applied_at,
        }
    }
}
