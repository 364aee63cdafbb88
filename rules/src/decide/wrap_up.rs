//! Wrap-up: who owes it, what settles it, and how others assist.

use super::conditions::{as_agent, as_party};
use crate::call::{Call, Phase, Stage};
use crate::event::{Event, Personal};
use crate::ids::{Actor, AgentId, GivenReason, Note, Party, Reason};
use crate::rejection::{self, Rejection};

/// R51: exactly one reason settles it, and the last one completes a call that has ended (R52).
pub(super) fn apply_wrap_up(
    call: &Call,
    by: &Actor,
    reason: &GivenReason,
) -> Result<Vec<Event>, Rejection> {
    let agent = agent_once_here(call, by)?;
    may_settle(call, agent)?;
    let mut events = vec![Event::WrapUpApplied {
        agent: agent.clone(),
        reason: not_blank(reason)?,
    }];
    if completes(call, agent) {
        events.push(Event::CallCompleted);
    }
    Ok(events)
}

/// R48, R51: only after leaving or after the end, by an agent who owes one, and never twice.
fn may_settle(call: &Call, agent: &AgentId) -> Result<(), Rejection> {
    let open = call.open_wrap_up(agent).is_some();
    if call.has(&Party::Agent(agent.clone())) {
        return Err(still_in_call(call, agent, open));
    }
    if open {
        return Ok(());
    }
    let mut wrap_ups = call.wrap_ups().iter();
    if wrap_ups.any(|wrap_up| wrap_up.agent == *agent) {
        return Err(rejection::wrap_up_already_applied(agent));
    }
    Err(conferenced(agent))
}

fn still_in_call(call: &Call, agent: &AgentId, open: bool) -> Rejection {
    if call.primary() == Some(agent) || open {
        rejection::wrap_up_not_owed(
            51,
            format!(
                "agent:{agent} is in the call; leave it or end it first, then apply the reason"
            ),
        )
    } else {
        conferenced(agent)
    }
}

/// R48: a conferenced agent cannot apply a reason to the conference.
fn conferenced(agent: &AgentId) -> Rejection {
    rejection::wrap_up_not_owed(
        48,
        format!(
            "agent:{agent} owes no wrap-up on this call, only an agent who left as primary does; assist with suggest_wrap_up"
        ),
    )
}

/// R49: whoever is or was in the call may suggest a reason; it settles nothing.
pub(super) fn suggest_wrap_up(
    call: &Call,
    by: &Actor,
    reason: &GivenReason,
    note: Option<&Note>,
) -> Result<Vec<Event>, Rejection> {
    let agent = agent_once_here(call, by)?;
    if suggestion_recipients(call, agent).next().is_none() {
        return Err(rejection::wrap_up_not_owed(
            49,
            "no other agent owes wrap-up on this call; suggest a reason once one does, or in Wrap-up Assist".to_owned(),
        ));
    }
    Ok(vec![Event::WrapUpSuggested {
        by: agent.clone(),
        reason: not_blank(reason)?,
        note: note.cloned().map(Personal::Clear),
    }])
}

/// R49: whom a suggestion by that agent reaches: all others who owe wrap-up, and in Wrap-up Assist the primary.
pub fn suggestion_recipients<'a>(
    call: &'a Call,
    by: &'a AgentId,
) -> impl Iterator<Item = &'a AgentId> {
    let owing = call.open_wrap_ups().map(|wrap_up| &wrap_up.agent);
    let primary = match call.phase() {
        Some(Phase::WrapUpAssist) => call.primary(),
        Some(Phase::Talking | Phase::Conference | Phase::Ended) | None => None,
    };
    let primary = primary.filter(|agent| call.open_wrap_up(agent).is_none());
    owing.chain(primary).filter(move |agent| *agent != by)
}

/// R52: a call is completed when it has ended and every owed wrap-up is settled.
pub(super) fn all_settled(call: &Call) -> bool {
    call.open_wrap_ups().next().is_none()
}

fn completes(call: &Call, settled: &AgentId) -> bool {
    let others = |wrap_up: &crate::call::WrapUp| wrap_up.agent != *settled;
    matches!(call.stage, Stage::Ended(_)) && !call.open_wrap_ups().any(others)
}

/// For wrap-up, "in the call" is "is or was in the main call", after the end too.
fn agent_once_here<'a>(call: &Call, by: &'a Actor) -> Result<&'a AgentId, Rejection> {
    if matches!(call.stage, Stage::Unopened) {
        return Err(rejection::call_not_found());
    }
    let party = as_party(by)?;
    if !call.has(party) && !call.had(party) {
        return Err(rejection::not_in_call(party));
    }
    as_agent(party)
}

/// R51: not blank, by Unicode white space; otherwise kept as given.
fn not_blank(reason: &GivenReason) -> Result<Reason, Rejection> {
    let reason = reason.as_str().parse();
    reason.map_err(|_| rejection::wrap_up_reason_missing())
}
