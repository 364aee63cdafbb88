//! What most rules ask first, and the small events that several of them bring about.

use crate::call::{Call, Consult, ConsultState, Live, Phase, SEATS, Stage};
use crate::event::{ConsultEnd, Event};
use crate::ids::{Actor, AgentId, Party};
use crate::rejection::{self, Rejection};

/// R1, R40: most commands need a call that goes on.
pub(super) fn live(call: &Call) -> Result<&Live, Rejection> {
    match &call.stage {
        Stage::Unopened => Err(rejection::call_not_found()),
        Stage::Live(live) => Ok(live),
        Stage::Ended(_) => Err(rejection::call_ended()),
    }
}

/// R40: who has left cannot act, and who never joined cannot either; a party on a consult leg has not joined.
pub(super) fn in_call(call: &Call, party: &Party) -> Result<(), Rejection> {
    if call.has(party) {
        Ok(())
    } else if call.had(party) {
        Err(rejection::already_left(party))
    } else {
        Err(rejection::not_in_call(party))
    }
}

/// R10, R44: the customer and dial numbers have no call controls.
pub(super) fn as_agent(party: &Party) -> Result<&AgentId, Rejection> {
    party.agent().ok_or_else(|| rejection::not_an_agent(party))
}

/// R60: a supervisor is never a party.
pub(super) fn as_party(by: &Actor) -> Result<&Party, Rejection> {
    match by {
        Actor::Party(party) => Ok(party),
        Actor::Supervisor(supervisor) => Err(rejection::supervisor_not_in_call(supervisor)),
    }
}

/// The agent in the main call who asks; held or consulting, they may act (R12, R13).
pub(super) fn acting_agent<'a>(call: &Call, by: &'a Actor) -> Result<&'a AgentId, Rejection> {
    let party = as_party(by)?;
    in_call(call, party)?;
    as_agent(party)
}

/// R46: with the customer gone, nobody is added, consulted, held, resumed or transferred to.
pub(super) fn customer_present(live: &Live) -> Result<(), Rejection> {
    match live.phase() {
        Phase::WrapUpAssist => Err(rejection::refused_in_wrap_up_assist()),
        Phase::Talking | Phase::Conference | Phase::Ended => Ok(()),
    }
}

/// R2, R3: at most eight parties; held ones count, supervisors and who left do not.
pub(super) fn seat_free(live: &Live) -> Result<(), Rejection> {
    if live.roster.seats().len() < SEATS {
        Ok(())
    } else {
        Err(rejection::call_full())
    }
}

/// Everybody held, in the order of tenure.
pub(super) fn held(live: &Live) -> impl Iterator<Item = &Party> {
    let held = live
        .roster
        .seats()
        .iter()
        .filter(|seat| seat.hold.is_some());
    held.map(|seat| &seat.party)
}

/// Whom the agent holds, in the order of tenure.
pub(super) fn held_by<'a>(live: &'a Live, agent: &'a AgentId) -> impl Iterator<Item = &'a Party> {
    let seats = live.roster.seats().iter();
    let held = seats.filter(move |seat| seat.hold.as_ref().is_some_and(|hold| hold.by == *agent));
    held.map(|seat| &seat.party)
}

pub(super) fn release(party: &Party) -> Event {
    Event::PartyReleased {
        party: party.clone(),
    }
}

/// How a consult ends that is stopped rather than answered, merged or transferred: by whether it still rang.
pub(super) fn stopped(consult: &Consult) -> Event {
    ended(
        consult,
        match consult.state {
            ConsultState::Ringing => ConsultEnd::Cancelled,
            ConsultState::Answered => ConsultEnd::Ended,
        },
    )
}

pub(super) fn ended(consult: &Consult, cause: ConsultEnd) -> Event {
    Event::ConsultEnded {
        by: consult.by.clone(),
        target: consult.target.clone(),
        cause,
    }
}
