//! Consults, and what becomes of an answered one: a conference or a transfer.

use super::conditions::{
    acting_agent, as_agent, as_party, customer_present, ended, held, live, release, seat_free,
};
use super::leaving::{self, consult_ends};
use crate::call::{Call, Consult, ConsultState, Live, Phase};
use crate::command::{HoldScope, Origin};
use crate::event::{ConsultEnd, Event, LeaveReason};
use crate::ids::{Actor, AgentId, Party, Target};
use crate::rejection::{self, Rejection};

/// R12: true for a consult from two parties and from a conference, by the primary or a conferenced agent.
pub(super) fn start_consult(
    call: &Call,
    by: &Actor,
    target: &Target,
    hold: HoldScope,
) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    may_add(live, target)?;
    let mut events = vec![Event::ConsultRequested {
        by: by.clone(),
        target: target.clone(),
        hold,
    }];
    if hold == HoldScope::Others {
        events.extend(held_for_consult(live, by));
    }
    Ok(events)
}

/// R42: adding is consulting and merging; it needs the customer, somebody outside, no other consult and a free seat.
fn may_add(live: &Live, target: &Target) -> Result<(), Rejection> {
    customer_present(live)?;
    if live.roster.has(&target.to_party()) {
        return Err(rejection::already_in_call(target));
    }
    no_other_consult(live)?;
    seat_free(live)
}

/// R14: one consult at a time in a call.
fn no_other_consult(live: &Live) -> Result<(), Rejection> {
    match &live.consult {
        Some(consult) => Err(rejection::consult_in_progress(&consult.by, &consult.target)),
        None => Ok(()),
    }
}

/// R12: everybody else is held; who is held already stays held by its holder, with no second event.
fn held_for_consult<'a>(live: &'a Live, by: &'a AgentId) -> impl Iterator<Item = Event> {
    let seats = live.roster.seats().iter();
    let heard = seats.filter(|seat| seat.hold.is_none() && !seat.party.is_agent(by));
    heard.map(|seat| Event::PartyHeld {
        party: seat.party.clone(),
        by: by.clone(),
    })
}

/// R5: only the target answers, once; a dial number can, too.
pub(super) fn accept_consult(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let consult = ringing_for(live(call)?, by)?;
    Ok(vec![Event::ConsultStarted {
        by: consult.by.clone(),
        target: consult.target.clone(),
    }])
}

/// R15: declining adds nobody.
pub(super) fn decline_consult(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let consult = ringing_for(live(call)?, by)?;
    Ok(vec![ended(consult, ConsultEnd::Declined)])
}

/// R15: an unanswered consult adds nobody.
pub(super) fn consult_unanswered(call: &Call) -> Result<Vec<Event>, Rejection> {
    let consult = ringing(consult(live(call)?)?)?;
    Ok(vec![ended(consult, ConsultEnd::NotAnswered)])
}

fn consult(live: &Live) -> Result<&Consult, Rejection> {
    live.consult.as_ref().ok_or_else(rejection::no_consult)
}

fn ringing_for<'a>(live: &'a Live, by: &Actor) -> Result<&'a Consult, Rejection> {
    let consult = consult(live)?;
    match by {
        Actor::Party(party) if consult.target.is(party) => ringing(consult),
        Actor::Party(_) | Actor::Supervisor(_) => {
            Err(rejection::not_consulted(by, &consult.target))
        }
    }
}

fn ringing(consult: &Consult) -> Result<&Consult, Rejection> {
    match consult.state {
        ConsultState::Ringing => Ok(consult),
        ConsultState::Answered => Err(rejection::consult_already_answered()),
    }
}

fn answered(consult: &Consult) -> Result<&Consult, Rejection> {
    match consult.state {
        ConsultState::Answered => Ok(consult),
        ConsultState::Ringing => Err(rejection::consult_not_answered(&consult.target)),
    }
}

/// R15, R34: its initiator ends it at any time, a consulted agent an answered one; it may take the call with it.
pub(super) fn end_consult(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let consult = match (as_party(by)?, &live.consult) {
        (party, Some(consult)) if consult.target.is(party) => {
            as_agent(party)?;
            answered(consult)?
        }
        _ => initiated_by(live, acting_agent(call, by)?)?,
    };
    Ok(consult_ends(call, live, consult))
}

fn initiated_by<'a>(live: &'a Live, by: &AgentId) -> Result<&'a Consult, Rejection> {
    let consult = consult(live)?;
    if consult.by == *by {
        Ok(consult)
    } else {
        Err(rejection::not_consult_initiator(&consult.by))
    }
}

/// R5 to R11: merges the answered consult; all hear each other.
pub(super) fn start_conference(
    call: &Call,
    by: &Actor,
    origin: Origin,
) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    may_merge(live, by)?;
    customer_present(live)?;
    let consult = consult(live)?;
    at_desktop(origin)?;
    answered(consult)?;
    seat_free(live)?;
    Ok(merged(live, consult))
}

/// R11: only the agent who started the consult may merge it.
fn may_merge(live: &Live, by: &AgentId) -> Result<(), Rejection> {
    match &live.consult {
        Some(consult) if consult.by != *by => Err(rejection::not_consult_initiator(&consult.by)),
        Some(_) | None => Ok(()),
    }
}

/// R6: a conference is started from the agent desktop.
fn at_desktop(origin: Origin) -> Result<(), Rejection> {
    match origin {
        Origin::Desktop => Ok(()),
        Origin::Device => Err(rejection::desktop_required()),
    }
}

/// R7: every held party is released. R8: who merges into a conference that exists does not become primary.
fn merged(live: &Live, consult: &Consult) -> Vec<Event> {
    let mut events = vec![
        ended(consult, ConsultEnd::Merged),
        Event::PartyJoined {
            party: consult.target.clone(),
        },
    ];
    events.extend(held(live).map(release));
    if live.phase() != Phase::Conference {
        events.push(Event::ConferenceStarted {
            primary: live.roster.primary().unwrap_or(&consult.by).clone(),
        });
    }
    events
}

/// R21: in a two-party call the primary puts the answered consult in their place.
pub(super) fn transfer_call(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    may_transfer(live, by)?;
    customer_present(live)?;
    if live.phase() == Phase::Conference {
        return Err(rejection::refused_in_conference());
    }
    let consult = answered(consult(live)?)?;
    Ok(transferred(call, live, by, consult))
}

/// R21: reserved to the primary.
fn may_transfer(live: &Live, by: &AgentId) -> Result<(), Rejection> {
    if live.roster.primary() == Some(by) {
        Ok(())
    } else {
        Err(rejection::not_primary(
            by,
            21,
            "only the primary transfers; exit_conference leaves the call to the others",
        ))
    }
}

fn transferred(call: &Call, live: &Live, by: &AgentId, consult: &Consult) -> Vec<Event> {
    let party = Party::Agent(by.clone());
    let mut events = vec![
        ended(consult, ConsultEnd::Transferred),
        Event::PartyJoined {
            party: consult.target.clone(),
        },
        Event::PartyLeft {
            party: party.clone(),
            reason: LeaveReason::Transferred,
        },
    ];
    events.extend(held(live).filter(|held| **held != party).map(release));
    let successor = consult.target.agent();
    events.push(leaving::control_after(by, successor));
    events.extend(leaving::sessions_after(live, by, successor));
    events.extend(leaving::owed_on_leaving(call, by));
    events
}
