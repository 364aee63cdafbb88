//! Supervisors: who may listen or speak in, and when not.

use super::conditions::{as_agent, in_call, live};
use crate::call::{Call, Live, Mode, Phase, Session};
use crate::event::{Event, MonitoringEnd};
use crate::ids::{Actor, Party, SupervisorId};
use crate::rejection::{self, Rejection, Rule};

/// R53: a supervisor listens through an agent of the call.
pub(super) fn start_monitoring(
    call: &Call,
    by: &Actor,
    agent: &Party,
) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let supervisor = listener(by)?;
    one_session(live, supervisor)?;
    phase_allows(live.phase(), Rule(53)).map_err(in_wrap_up_assist)?;
    in_call(call, agent)?;
    let agent = as_agent(agent)?.clone();
    let supervisor = supervisor.clone();
    Ok(vec![Event::MonitoringStarted { supervisor, agent }])
}

/// R53: whether a supervisor may begin to listen; if not, by which rule. Without an agent there is nobody to listen
/// through (R58).
pub fn monitoring_allowed(call: &Call) -> Result<(), Rule> {
    phase_allows(call.phase().unwrap_or(Phase::Ended), Rule(53))?;
    call.primary().map(|_| ()).ok_or(Rule(58))
}

/// R54, R59: whether that session may begin to speak; if not, by which rule.
pub fn barge_in_allowed(call: &Call, session: &Session) -> Result<(), Rule> {
    match session.mode {
        Mode::BargedIn => Err(Rule(59)),
        Mode::Monitoring => phase_allows(call.phase().unwrap_or(Phase::Ended), Rule(54)),
    }
}

/// R53, R54: sound exists in Wrap-up Assist, but nobody new listens or begins to speak there.
fn phase_allows(phase: Phase, refusing: Rule) -> Result<(), Rule> {
    match phase {
        Phase::Talking | Phase::Conference => Ok(()),
        Phase::WrapUpAssist | Phase::Ended => Err(refusing),
    }
}

/// R59: a supervisor has one session on a call at a time.
fn one_session(live: &Live, supervisor: &SupervisorId) -> Result<(), Rejection> {
    match live.session(supervisor) {
        Some(_) => Err(rejection::already_monitoring(
            supervisor,
            "barge in with it (barge_in) or stop it first (stop_monitoring)",
        )),
        None => Ok(()),
    }
}

/// R54, R59: speaking needs the supervisor's own running session.
pub(super) fn barge_in(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let session = own_session(live, by)?;
    if session.mode == Mode::BargedIn {
        return Err(rejection::already_monitoring(
            &session.supervisor,
            "it is barged in already, nothing is left to do",
        ));
    }
    barge_in_allowed(call, session).map_err(in_wrap_up_assist)?;
    Ok(vec![Event::SupervisorBargedIn {
        supervisor: session.supervisor.clone(),
    }])
}

/// A supervisor may stop at any time, in Wrap-up Assist too.
pub(super) fn stop_monitoring(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let session = own_session(live(call)?, by)?;
    Ok(vec![Event::MonitoringEnded {
        supervisor: session.supervisor.clone(),
        cause: MonitoringEnd::Requested,
    }])
}

fn listener(by: &Actor) -> Result<&SupervisorId, Rejection> {
    match by {
        Actor::Supervisor(supervisor) => Ok(supervisor),
        Actor::Party(party) => Err(rejection::monitoring_not_allowed(
            Rule(53),
            &format!("{party} is no supervisor; send it as supervisor:ID"),
        )),
    }
}

fn own_session<'a>(live: &'a Live, by: &Actor) -> Result<&'a Session, Rejection> {
    let session = match by {
        Actor::Supervisor(supervisor) => live.session(supervisor),
        Actor::Party(_) => None,
    };
    session.ok_or_else(|| rejection::not_monitoring(by))
}

fn in_wrap_up_assist(rule: Rule) -> Rejection {
    rejection::monitoring_not_allowed(
        rule,
        "the customer has left and the call is in Wrap-up Assist; a running session may continue as it is",
    )
}
