//! Putting a party on hold by hand, and resuming it.

use super::conditions::{acting_agent, customer_present, in_call, live, release};
use crate::call::{Call, Hold, Live};
use crate::event::Event;
use crate::ids::{Actor, AgentId, Party};
use crate::rejection::{self, Rejection};

/// R16: in a two-party call and in a conference.
pub(super) fn hold(call: &Call, by: &Actor, party: &Party) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    may_hold(live, by)?;
    customer_present(live)?;
    in_call(call, party)?;
    if party.is_agent(by) {
        return Err(rejection::cannot_hold_self());
    }
    if placed_hold(live, party).is_some() {
        return Err(rejection::already_held(party));
    }
    Ok(vec![Event::PartyHeld {
        party: party.clone(),
        by: by.clone(),
    }])
}

/// R16: the primary may hold another party; a conferenced agent may not (R43).
fn may_hold(live: &Live, by: &AgentId) -> Result<(), Rejection> {
    if live.roster.primary() == Some(by) {
        Ok(())
    } else {
        Err(rejection::not_primary(
            by,
            16,
            "only the primary holds a party; ask them to, or start a consult, which holds the others",
        ))
    }
}

/// R17: releases a held party.
pub(super) fn resume(call: &Call, by: &Actor, party: &Party) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    may_resume(live, by, party)?;
    customer_present(live)?;
    in_call(call, party)?;
    if placed_hold(live, party).is_none() {
        return Err(rejection::not_held(party));
    }
    Ok(vec![release(party)])
}

/// R17: whoever held the party may resume it, and the primary.
fn may_resume(live: &Live, by: &AgentId, party: &Party) -> Result<(), Rejection> {
    let is_holder = placed_hold(live, party).is_some_and(|hold| hold.by == *by);
    if is_holder || live.roster.primary() == Some(by) {
        Ok(())
    } else {
        Err(rejection::not_primary(
            by,
            17,
            "only the primary, or whoever placed the hold, resumes a party; ask one of them",
        ))
    }
}

fn placed_hold<'a>(live: &'a Live, party: &Party) -> Option<&'a Hold> {
    live.roster.seat(party)?.hold.as_ref()
}
