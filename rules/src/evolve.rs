//! How each event changes a call. History is never wrong, so nothing here can fail.

use crate::call::{
    Call, Consult, ConsultState, Departure, Ended, Hold, Live, Mode, Session, Stage, WrapUp,
    WrapUpState,
};
use crate::event::{Event, LeaveReason};
use crate::ids::{AgentId, Party};
use crate::time::Timestamp;

/// The call after the event, which happened at `at`.
#[must_use]
pub fn evolve(mut call: Call, event: &Event, at: Timestamp) -> Call {
    evolve_in_place(&mut call, event, at);
    call
}

/// The same where the call lies: for whoever folds the events of many calls, moving each call to and fro costs as much
/// as what changes in it.
pub fn evolve_in_place(call: &mut Call, event: &Event, at: Timestamp) {
    call.revision = call.revision.plus(1);
    call.last_at = at;
    match event {
        Event::CallConnected { agent, queue, .. } => {
            call.record.answered_at = at;
            call.record.phase_since = at;
            call.record.queue.clone_from(queue);
            call.stage = Stage::Live(connected(agent, at));
        }
        Event::ConsultRequested { by, target, hold } => {
            let consult = Consult {
                by: by.clone(),
                target: target.clone(),
                hold: *hold,
                since: at,
                state: ConsultState::Ringing,
            };
            in_live(call, |live| consult_requested(live, consult));
        }
        Event::ConsultStarted { .. } => in_live(call, |live| consult_answered(live, at)),
        Event::ConsultEnded { .. } => in_live(call, consult_over),
        Event::PartyJoined { party } => {
            in_live(call, |live| live.roster.join(party.to_party(), at));
        }
        Event::ConferenceStarted { .. }
        | Event::ConferenceDissolved
        | Event::WrapUpAssistEntered => call.record.phase_since = at,
        Event::PartyHeld { party, by } => {
            let hold = Hold {
                by: by.clone(),
                since: at,
            };
            in_live(call, |live| live.roster.set_hold(party, Some(hold)));
        }
        Event::PartyReleased { party } => in_live(call, |live| live.roster.set_hold(party, None)),
        Event::PartyLeft { party, reason } => party_left(call, party, *reason, at),
        Event::ControlTransferred { to, .. } => in_live(call, |live| live.roster.take_control(to)),
        Event::CallEnded { cause } => {
            call.record.phase_since = at;
            call.stage = Stage::Ended(Ended {
                at,
                cause: *cause,
                completed_at: None,
            });
        }
        Event::CallCompleted => {
            if let Stage::Ended(ended) = &mut call.stage {
                ended.completed_at = Some(at);
            }
        }
        Event::WrapUpOwed { agent } => wrap_up_owed(call, agent, at),
        Event::WrapUpApplied { agent, reason } => {
            let state = WrapUpState::Applied {
                reason: reason.clone(),
                at,
            };
            settle(call, agent, state);
        }
        // The primary's seat went with `PartyLeft`; a suggestion settles nothing (R49), and who shows it keeps it.
        Event::ControlVacated { .. } | Event::WrapUpSuggested { .. } => {}
        Event::MonitoringStarted { supervisor, agent } => {
            let session = Session {
                supervisor: supervisor.clone(),
                agent: agent.clone(),
                mode: Mode::Monitoring,
                since: at,
            };
            in_live(call, |live| live.sessions.push(session));
        }
        Event::SupervisorBargedIn { supervisor } => in_live(call, |live| {
            let mut sessions = live.sessions.iter_mut();
            if let Some(session) = sessions.find(|session| session.supervisor == *supervisor) {
                session.mode = Mode::BargedIn;
            }
        }),
        Event::MonitoringMoved { supervisor, to, .. } => in_live(call, |live| {
            let mut sessions = live.sessions.iter_mut();
            if let Some(session) = sessions.find(|session| session.supervisor == *supervisor) {
                session.agent.clone_from(to);
            }
        }),
        Event::MonitoringEnded { supervisor, .. } => in_live(call, |live| {
            live.sessions
                .retain(|session| session.supervisor != *supervisor);
        }),
    }
}

/// What concerns the parties has nothing to change once the call is over: its sessions went with `CallEnded`.
fn in_live(call: &mut Call, change: impl FnOnce(&mut Live)) {
    if let Stage::Live(live) = &mut call.stage {
        change(live);
    }
}

/// Seats the customer, then the agent, at the same instant.
fn connected(agent: &AgentId, at: Timestamp) -> Live {
    let mut live = Live::default();
    live.roster.join(Party::Customer, at);
    live.roster.join(Party::Agent(agent.clone()), at);
    live.roster.take_control(agent);
    live
}

/// R13: while consulting, the agent stays a party: seat, tenure and role are kept.
fn consult_requested(live: &mut Live, consult: Consult) {
    live.consult = Some(consult);
}

fn consult_answered(live: &mut Live, at: Timestamp) {
    if let Some(consult) = &mut live.consult {
        consult.state = ConsultState::Answered;
        consult.since = at;
    }
}

/// R15: a consult that is over adds nobody, and the holds made for it stay until resumed.
fn consult_over(live: &mut Live) {
    live.consult = None;
}

fn party_left(call: &mut Call, party: &Party, reason: LeaveReason, at: Timestamp) {
    in_live(call, |live| live.roster.leave(party));
    let departures = &mut call.record.departures;
    match departures.iter_mut().find(|past| past.party == *party) {
        Some(past) => (past.reason, past.at) = (reason, at),
        None => push_few(
            departures,
            Departure {
                party: party.clone(),
                reason,
                at,
            },
        ),
    }
}

fn wrap_up_owed(call: &mut Call, agent: &AgentId, at: Timestamp) {
    let mut departures = call.record.departures.iter();
    let why = departures
        .find(|past| past.party.is_agent(agent))
        .map_or(LeaveReason::CallEnded, |past| past.reason);
    let state = WrapUpState::Owed;
    let agent = agent.clone();
    push_few(
        &mut call.record.wrap_ups,
        WrapUp {
            agent,
            since: at,
            why,
            state,
        },
    );
}

/// Grows by one at first: most calls end with two departures and one wrap-up, and there are many of them.
fn push_few<T>(list: &mut Vec<T>, item: T) {
    if list.len() < 2 {
        list.reserve_exact(1);
    }
    list.push(item);
}

fn settle(call: &mut Call, agent: &AgentId, state: WrapUpState) {
    let mut wrap_ups = call.record.wrap_ups.iter_mut();
    let owed =
        |wrap_up: &&mut WrapUp| wrap_up.agent == *agent && wrap_up.state == WrapUpState::Owed;
    if let Some(wrap_up) = wrap_ups.find(owed) {
        wrap_up.state = state;
    }
}
