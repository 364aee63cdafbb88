//! Whether a command may be, and what follows from it. Where several rules refuse, the most general wins:
//! the call, then the actor (in the call, an agent, their role), then the phase, then the target and the rest.

mod conditions;
mod consult;
mod hold;
mod leaving;
mod monitoring;
mod wrap_up;

pub use monitoring::{barge_in_allowed, monitoring_allowed};
pub use wrap_up::suggestion_recipients;

use crate::call::{Call, Stage};
use crate::command::Command;
use crate::event::{Event, Personal};
use crate::ids::{CustomerNumber, Party, Queue};
use crate::rejection::{self, Rejection};
use crate::time::Timestamp;
use conditions::as_agent;

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
