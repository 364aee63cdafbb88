//! Whether a command may be, and what follows from it. Where several rules refuse, the most general wins:
//! the call, then the actor (in the call, an agent, their role), then the phase, then the target and the rest.

mod consult;
mod hold;
mod leaving;
mod monitoring;
mod wrap_up;

pub use monitoring::{barge_in_allowed, monitoring_allowed};
pub use wrap_up::suggestion_recipients;

use crate::call::{Call, Live, Phase, SEATS, Stage};
use crate::command::Command;
use crate::event::{Event, Personal};
use crate::ids::{Actor, AgentId, CustomerNumber, Party, Queue};
use crate::rejection::{self, Rejection};
use crate::time::Timestamp;

/// The events a command brings about, or the rule that refuses it. Pure, and the same for ever; no rule asks the time.
pub fn decide(call: &Call, command: &Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::ConnectCall {
            agent,
            customer,
            queue,
        } => connect_call(call, agent, customer.as_ref(), queue.as_ref()),
        Command::StartConsult { by, target, hold } => {
            consult::start_consult(call, by, target, *hold)
        }
        Command::AcceptConsult { by } => consult::accept_consult(call, by),
        Command::DeclineConsult { by } => consult::decline_consult(call, by),
        Command::ConsultUnanswered => consult::consult_unanswered(call),
        Command::EndConsult { by } => consult::end_consult(call, by),
        Command::StartConference { by, origin } => consult::start_conference(call, by, *origin),
        Command::Hold { by, party } => hold::hold(call, by, party),
        Command::Resume { by, party } => hold::resume(call, by, party),
        Command::TransferCall { by } => consult::transfer_call(call, by),
        Command::ExitConference { by } => leaving::exit_conference(call, by),
        Command::EndCall { by } => leaving::end_call(call, by),
        Command::PressEnd { by } => leaving::press_end(call, by),
        Command::HangUp { party } => leaving::hang_up(call, party),
        Command::LoseConnection { party } => leaving::lose_connection(call, party),
        Command::ApplyWrapUp { by, reason } => wrap_up::apply_wrap_up(call, by, reason),
        Command::SuggestWrapUp { by, reason, note } => {
            wrap_up::suggest_wrap_up(call, by, reason, note.as_ref())
        }
        Command::StartMonitoring { by, agent } => monitoring::start_monitoring(call, by, agent),
        Command::BargeIn { by } => monitoring::barge_in(call, by),
        Command::StopMonitoring { by } => monitoring::stop_monitoring(call, by),
    }
}

/// R62: time in a call never runs backwards; an earlier event takes its predecessor's time.
pub fn clamped(call: &Call, reported: Timestamp) -> Timestamp {
    reported.max(call.last_at())
}

/// R1, R8: the agent who answers is primary.
fn connect_call(
    call: &Call,
    agent: &Party,
    customer: Option<&CustomerNumber>,
    queue: Option<&Queue>,
) -> Result<Vec<Event>, Rejection> {
    if !matches!(call.stage, Stage::Unopened) {
        return Err(rejection::call_exists());
    }
    let agent = as_agent(agent)?.clone();
    let customer = customer.cloned().map(Personal::Clear);
    let queue = queue.cloned();
    Ok(vec![Event::CallConnected {
        agent,
        customer,
        queue,
    }])
}

/// R1, R40: most commands need a call that goes on.
fn live(call: &Call) -> Result<&Live, Rejection> {
    match &call.stage {
        Stage::Unopened => Err(rejection::call_not_found()),
        Stage::Live(live) => Ok(live),
        Stage::Ended(_) => Err(rejection::call_ended()),
    }
}

/// R40: who has left cannot act, and who never joined cannot either; a party on a consult leg has not joined.
fn in_call(call: &Call, party: &Party) -> Result<(), Rejection> {
    if call.has(party) {
        Ok(())
    } else if call.had(party) {
        Err(rejection::already_left(party))
    } else {
        Err(rejection::not_in_call(party))
    }
}

/// R10, R44: the customer and dial numbers have no call controls.
fn as_agent(party: &Party) -> Result<&AgentId, Rejection> {
    party.agent().ok_or_else(|| rejection::not_an_agent(party))
}

/// R60: a supervisor is never a party.
fn as_party(by: &Actor) -> Result<&Party, Rejection> {
    match by {
        Actor::Party(party) => Ok(party),
        Actor::Supervisor(supervisor) => Err(rejection::supervisor_not_in_call(supervisor)),
    }
}

/// The agent in the main call who asks; held or consulting, they may act (R12, R13).
fn acting_agent<'a>(call: &Call, by: &'a Actor) -> Result<&'a AgentId, Rejection> {
    let party = as_party(by)?;
    in_call(call, party)?;
    as_agent(party)
}

/// R46: with the customer gone, nobody is added, consulted, held, resumed or transferred to.
fn customer_present(live: &Live) -> Result<(), Rejection> {
    match live.phase() {
        Phase::WrapUpAssist => Err(rejection::refused_in_wrap_up_assist()),
        Phase::Talking | Phase::Conference | Phase::Ended => Ok(()),
    }
}

/// R2, R3: at most eight parties; held ones count, supervisors and who left do not.
fn seat_free(live: &Live) -> Result<(), Rejection> {
    if live.roster.seats().len() < SEATS {
        Ok(())
    } else {
        Err(rejection::call_full())
    }
}

/// Everybody held, in the order of tenure.
fn held(live: &Live) -> impl Iterator<Item = &Party> {
    let held = live
        .roster
        .seats()
        .iter()
        .filter(|seat| seat.hold.is_some());
    held.map(|seat| &seat.party)
}

/// Whom the agent holds, in the order of tenure.
fn held_by<'a>(live: &'a Live, agent: &'a AgentId) -> impl Iterator<Item = &'a Party> {
    let seats = live.roster.seats().iter();
    let held = seats.filter(move |seat| seat.hold.as_ref().is_some_and(|hold| hold.by == *agent));
    held.map(|seat| &seat.party)
}

fn release(party: &Party) -> Event {
    Event::PartyReleased {
        party: party.clone(),
    }
}
