//! Leaving, who controls the call afterwards, and when it is over.

use super::conditions::{acting_agent, held, held_by, in_call, live, release, stopped};
use crate::call::{Call, Consult, ConsultState, Live, Phase, Seat};
use crate::event::{EndCause, Event, LeaveReason, MonitoringEnd};
use crate::ids::{Actor, AgentId, Party};
use crate::rejection::{self, Rejection};

/// R30: accepted in a conference and in Wrap-up Assist, from the primary too.
pub(super) fn exit_conference(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    can_exit(live)?;
    Ok(leave(
        call,
        live,
        &Party::Agent(by.clone()),
        LeaveReason::Exited,
    ))
}

/// R39: a conference reduced to the customer and one other is an ordinary call again, and End is its way out.
fn can_exit(live: &Live) -> Result<(), Rejection> {
    match live.phase() {
        Phase::Talking | Phase::Ended => Err(rejection::not_in_conference()),
        Phase::Conference | Phase::WrapUpAssist => Ok(()),
    }
}

/// R28: the primary's End ends the call for everybody.
pub(super) fn end_call(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    if !ends_for_everybody(live, by) {
        return Err(rejection::not_primary(
            by,
            32,
            "only the primary ends the call for everybody; leave it with exit_conference or press_end",
        ));
    }
    Ok(end_by_primary(call, live, by, LeaveReason::CallEnded))
}

/// R30: the End button ends the call for a primary, and only leaves for a conferenced agent.
pub(super) fn press_end(call: &Call, by: &Actor) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    let by = acting_agent(call, by)?;
    Ok(if ends_for_everybody(live, by) {
        end_by_primary(call, live, by, LeaveReason::CallEnded)
    } else {
        leave(call, live, &Party::Agent(by.clone()), LeaveReason::Exited)
    })
}

/// R28, R32, R33: whoever is primary can end the call for everybody, and nobody else.
fn ends_for_everybody(live: &Live, agent: &AgentId) -> bool {
    live.roster.primary() == Some(agent)
}

/// R41: a fact of the telephone network.
pub(super) fn hang_up(call: &Call, party: &Party) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    if let Some(consult) = leg_of(live, party) {
        return Ok(consult_ends(call, live, consult));
    }
    in_call(call, party)?;
    Ok(match phone_of_primary(live, party) {
        Some(primary) => end_by_primary(call, live, primary, LeaveReason::HungUp),
        None => leave(call, live, party, LeaveReason::HungUp),
    })
}

/// R29: the primary hanging up the physical phone ends the call for everybody; R31: another agent only leaves.
fn phone_of_primary<'a>(live: &Live, party: &'a Party) -> Option<&'a AgentId> {
    party
        .agent()
        .filter(|agent| ends_for_everybody(live, agent))
}

/// R29: a lost connection is only a leave, the primary's too.
pub(super) fn lose_connection(call: &Call, party: &Party) -> Result<Vec<Event>, Rejection> {
    let live = live(call)?;
    if let Some(consult) = leg_of(live, party) {
        return Ok(consult_ends(call, live, consult));
    }
    in_call(call, party)?;
    Ok(leave(call, live, party, LeaveReason::ConnectionLost))
}

/// R41: the answered leg whose target the party is; of a ringing one nothing can hang up.
fn leg_of<'a>(live: &'a Live, party: &Party) -> Option<&'a Consult> {
    live.answered_leg()
        .filter(|consult| consult.target.is(party))
}

/// Who would talk on once a party has left or a leg is over.
pub(super) struct Rest<'a> {
    live: &'a Live,
    gone: Option<&'a Party>,
    leg: Option<&'a Consult>,
}

impl<'a> Rest<'a> {
    /// R34: a leg goes with its initiator, and then its target no longer counts.
    fn without(live: &'a Live, gone: &'a Party) -> Self {
        let stays = |consult: &&Consult| !gone.is_agent(&consult.by);
        Self {
            live,
            gone: Some(gone),
            leg: live.answered_leg().filter(stays),
        }
    }

    pub(super) fn without_leg(live: &'a Live) -> Self {
        Self {
            live,
            gone: None,
            leg: None,
        }
    }

    fn seats(&self) -> impl Iterator<Item = &'a Seat> {
        let gone = self.gone;
        let seats = self.live.roster.seats().iter();
        seats.filter(move |seat| Some(&seat.party) != gone)
    }

    /// A party on an answered leg counts, a ringing one does not, supervisors never do.
    fn count(&self) -> usize {
        self.seats().count() + usize::from(self.leg.is_some())
    }

    fn has_customer(&self) -> bool {
        self.seats().any(|seat| seat.party == Party::Customer)
    }

    fn has_agent(&self) -> bool {
        self.seats().any(|seat| seat.party.agent().is_some())
    }

    /// The consult that cannot go on: its initiator left, or it rang when the customer left or the call ended.
    fn stopped_consult(&self, ends: bool) -> Option<&'a Consult> {
        let consult = self.live.consult.as_ref()?;
        let initiator_left = self.gone.is_some_and(|gone| gone.is_agent(&consult.by));
        let goes_on =
            !ends && !initiator_left && (self.has_customer() || survives_the_customer(consult));
        (!goes_on).then_some(consult)
    }
}

/// R34 is judged before R36: at most one party is left, or the customer and every agent have left.
pub(super) fn end_cause(rest: &Rest<'_>) -> Option<EndCause> {
    if rest.count() <= 1 {
        Some(EndCause::OnePartyLeft)
    } else if customer_and_agents_left(rest) {
        Some(EndCause::CustomerAndAgentsLeft)
    } else {
        None
    }
}

/// R36: the call ends when the customer and every agent have left, even if dial numbers remain.
fn customer_and_agents_left(rest: &Rest<'_>) -> bool {
    !rest.has_customer() && !rest.has_agent()
}

/// R47: on entering Wrap-up Assist a ringing consult is cancelled; an answered one may go on.
fn survives_the_customer(consult: &Consult) -> bool {
    consult.state == ConsultState::Answered
}

/// R23, R37, R38: the others talk on, unless it is over (R27: that is asked first).
fn leave(call: &Call, live: &Live, party: &Party, reason: LeaveReason) -> Vec<Event> {
    let rest = Rest::without(live, party);
    let cause = end_cause(&rest);
    let enters_wrap_up_assist = cause.is_none() && *party == Party::Customer;
    let mut events = vec![Event::PartyLeft {
        party: party.clone(),
        reason,
    }];
    events.extend(released_by_leaving(live, party, enters_wrap_up_assist));
    events.extend(rest.stopped_consult(cause.is_some()).map(stopped));
    let primary_left = party
        .agent()
        .filter(|agent| live.roster.primary() == Some(agent));
    match cause {
        Some(cause) => {
            let owing = primary_left.or(live.roster.primary());
            end(call, &rest, cause, owing, &mut events);
        }
        None => go_on(call, &rest, party, primary_left, &mut events),
    }
    events
}

/// R20: released are those whom the leaver held, and everybody when Wrap-up Assist begins: nobody is stranded.
fn released_by_leaving(live: &Live, party: &Party, enters_wrap_up_assist: bool) -> Vec<Event> {
    match party.agent() {
        _ if enters_wrap_up_assist => held(live)
            .filter(|held| *held != party)
            .map(release)
            .collect(),
        Some(agent) => held_by(live, agent).map(release).collect(),
        None => Vec::new(),
    }
}

/// What follows a leave that does not end the call.
fn go_on(
    call: &Call,
    rest: &Rest<'_>,
    party: &Party,
    primary_left: Option<&AgentId>,
    events: &mut Vec<Event>,
) {
    let successor = successor(rest);
    let primary = match primary_left {
        Some(from) => {
            events.push(control_after(from, successor));
            successor
        }
        None => rest.live.roster.primary(),
    };
    events.extend(phase_after(rest));
    if let Some(agent) = party.agent() {
        events.extend(sessions_after(rest.live, agent, primary));
    }
    if let Some(agent) = primary_left {
        events.extend(owed_on_leaving(call, agent));
    }
}

/// R24: control passes to the conferenced agent with the longest tenure, held and consulting ones included; never to
/// the customer or a dial number. Seats are in the order of joining, so of equal times the earlier event wins.
fn successor<'a>(rest: &Rest<'a>) -> Option<&'a AgentId> {
    rest.seats().find_map(|seat| seat.party.agent())
}

/// R24, R26: the successor takes control; where no agent remains, nobody does.
pub(super) fn control_after(from: &AgentId, successor: Option<&AgentId>) -> Event {
    match successor {
        Some(to) => Event::ControlTransferred {
            from: from.clone(),
            to: to.clone(),
        },
        None => Event::ControlVacated { from: from.clone() },
    }
}

/// R39: a conference of two is dissolved. R45: with the customer gone it is Wrap-up Assist.
fn phase_after(rest: &Rest<'_>) -> Option<Event> {
    let before = rest.live.phase();
    if before != Phase::WrapUpAssist && !rest.has_customer() {
        Some(Event::WrapUpAssistEntered)
    } else if before == Phase::Conference && rest.seats().count() == 2 {
        Some(Event::ConferenceDissolved)
    } else {
        None
    }
}

/// R55 to R58: a session whose agent left moves to the primary; with the last agent every session ends.
pub(super) fn sessions_after(live: &Live, left: &AgentId, primary: Option<&AgentId>) -> Vec<Event> {
    let sessions = live.sessions.iter();
    let after = sessions.filter_map(|session| match primary {
        None => Some(Event::MonitoringEnded {
            supervisor: session.supervisor.clone(),
            cause: MonitoringEnd::NoAgentLeft,
        }),
        Some(to) if session.agent == *left => Some(Event::MonitoringMoved {
            supervisor: session.supervisor.clone(),
            from: left.clone(),
            to: to.clone(),
        }),
        Some(_) => None,
    });
    after.collect()
}

/// R25, R50: who leaves as primary owes wrap-up at once, unless one is open already.
pub(super) fn owed_on_leaving(call: &Call, agent: &AgentId) -> Option<Event> {
    match call.open_wrap_up(agent) {
        Some(_) => None,
        None => Some(Event::WrapUpOwed {
            agent: agent.clone(),
        }),
    }
}

/// R28, R29: the primary leaves first, whom that released, the consult, then the others.
fn end_by_primary(call: &Call, live: &Live, primary: &AgentId, reason: LeaveReason) -> Vec<Event> {
    let party = Party::Agent(primary.clone());
    let rest = Rest::without(live, &party);
    let mut events = vec![Event::PartyLeft {
        party: party.clone(),
        reason,
    }];
    events.extend(released_by_leaving(live, &party, false));
    events.extend(rest.stopped_consult(true).map(stopped));
    end(
        call,
        &rest,
        EndCause::EndedByPrimary,
        Some(primary),
        &mut events,
    );
    events
}

/// The end: everybody still there leaves without releases, sessions end (R58), and the last primary owes (R50).
pub(super) fn end(
    call: &Call,
    rest: &Rest<'_>,
    cause: EndCause,
    owing: Option<&AgentId>,
    events: &mut Vec<Event>,
) {
    events.extend(rest.seats().map(|seat| Event::PartyLeft {
        party: seat.party.clone(),
        reason: LeaveReason::CallEnded,
    }));
    events.push(Event::CallEnded { cause });
    let sessions = rest.live.sessions.iter();
    events.extend(sessions.map(|session| Event::MonitoringEnded {
        supervisor: session.supervisor.clone(),
        cause: MonitoringEnd::CallEnded,
    }));
    events.extend(owing.and_then(|agent| owed_on_leaving(call, agent)));
    if owing.is_none() && super::wrap_up::all_settled(call) {
        events.push(Event::CallCompleted);
    }
}

/// The consult's end, and the call's if only one party is left by it (R34).
pub(super) fn consult_ends(call: &Call, live: &Live, consult: &Consult) -> Vec<Event> {
    let mut events = vec![stopped(consult)];
    let rest = Rest::without_leg(live);
    if let Some(cause) = end_cause(&rest) {
        end(call, &rest, cause, live.roster.primary(), &mut events);
    }
    events
}
