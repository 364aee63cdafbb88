//! What must hold of a call after every command.

use crate::Step;
use domain::call::{Call, ConsultState, Mode, Phase, Seat};
use domain::command::HoldScope;
use domain::{
    Actor, AgentId, Command, Event, Party, Rejection, Rule, SupervisorId, Target, barge_in_allowed,
    decide, monitoring_allowed, suggestion_recipients,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::BTreeSet;

/// What must hold after every command, whatever came before it.
pub(crate) fn holds(step: &Step) -> TestCaseResult {
    let checks = [
        something_happens_or_a_rule_says_why,
        the_seats_are_in_order,
        the_primary_is_the_longest_serving_agent_in_the_call,
        holds_are_placed_by_agents_in_the_call,
        the_consult_joins_an_agent_of_the_call_with_somebody_outside,
        sessions_are_through_agents_of_the_call,
        an_agent_owes_one_wrap_up_at_a_time,
        the_phase_is_the_one_announced,
        nothing_follows_the_end_but_wrap_up,
        it_is_completed_once_and_last,
        who_may_be_monitored_can_be,
        who_may_suggest_can,
        the_call_and_the_actor_come_first,
        events_come_in_the_order_of_the_interface,
        events_agree_with_the_call_before_and_after,
    ];
    checks.iter().try_for_each(|check| check(step))
}

fn something_happens_or_a_rule_says_why(step: &Step) -> TestCaseResult {
    match &step.outcome {
        Ok(events) => {
            prop_assert!(!events.is_empty());
            prop_assert_eq!(step.after.last_at(), step.at);
        }
        Err(rejection) => {
            prop_assert!((1..=63).contains(&rejection.rule.0));
            prop_assert!(!rejection.message.is_empty());
            prop_assert_eq!(&step.after, &step.before);
        }
    }
    Ok(())
}

/// R2, R24: everybody once, longest tenure first.
fn the_seats_are_in_order(step: &Step) -> TestCaseResult {
    let seats = step.after.seats();
    prop_assert!(seats.len() <= 8);
    prop_assert!(seats.is_sorted_by_key(|seat| seat.joined_at));
    let parties: BTreeSet<_> = seats.iter().map(|seat| &seat.party).collect();
    prop_assert_eq!(parties.len(), seats.len());
    prop_assert_eq!(seats.is_empty(), !step.after.is_live());
    if let Some(customer) = seats.iter().position(|seat| seat.party == Party::Customer) {
        prop_assert_eq!(customer, 0);
    }
    Ok(())
}

/// R22, R24: control passes by leaving only and to the longest-serving agent, so that is who always has it.
fn the_primary_is_the_longest_serving_agent_in_the_call(step: &Step) -> TestCaseResult {
    let mut seats = step.after.seats().iter();
    let longest_serving = seats.find_map(|seat| seat.party.agent());
    prop_assert_eq!(step.after.primary(), longest_serving);
    Ok(())
}

/// R16 to R18, R20.
fn holds_are_placed_by_agents_in_the_call(step: &Step) -> TestCaseResult {
    let call = &step.after;
    for Seat { party, hold, .. } in call.seats() {
        let Some(hold) = hold else { continue };
        prop_assert!(call.has(&Party::Agent(hold.by.clone())));
        prop_assert!(!party.is_agent(&hold.by));
        prop_assert_ne!(call.phase(), Some(Phase::WrapUpAssist));
        prop_assert!(hold.since <= call.last_at());
    }
    let formed = |event: &Event| matches!(event, Event::PartyJoined { .. });
    if step.events().iter().any(formed) {
        prop_assert!(call.seats().iter().all(|seat| seat.hold.is_none()));
    }
    Ok(())
}

/// R12 to R14, R47.
fn the_consult_joins_an_agent_of_the_call_with_somebody_outside(step: &Step) -> TestCaseResult {
    let call = &step.after;
    let Some(consult) = call.consult() else {
        return Ok(());
    };
    prop_assert!(call.has(&Party::Agent(consult.by.clone())));
    prop_assert!(!call.has(&consult.target.to_party()));
    prop_assert!(call.seats().len() < 8);
    if call.phase() == Some(Phase::WrapUpAssist) {
        prop_assert_eq!(consult.state, ConsultState::Answered);
    }
    if let Command::StartConsult {
        hold: HoldScope::Others,
        ..
    } = &step.command
        && step.outcome.is_ok()
    {
        let heard = call.seats().iter().filter(|seat| seat.hold.is_none());
        prop_assert!(
            heard
                .into_iter()
                .all(|seat| seat.party.is_agent(&consult.by))
        );
    }
    Ok(())
}

/// R57 to R59.
fn sessions_are_through_agents_of_the_call(step: &Step) -> TestCaseResult {
    let sessions = step.after.sessions();
    for session in sessions {
        prop_assert!(step.after.has(&Party::Agent(session.agent.clone())));
    }
    let supervisors: BTreeSet<_> = sessions.iter().map(|session| &session.supervisor).collect();
    prop_assert_eq!(supervisors.len(), sessions.len());
    Ok(())
}

fn an_agent_owes_one_wrap_up_at_a_time(step: &Step) -> TestCaseResult {
    let owing: Vec<_> = step.after.open_wrap_ups().map(|owed| &owed.agent).collect();
    let agents: BTreeSet<_> = owing.iter().collect();
    prop_assert_eq!(agents.len(), owing.len());
    for agent in owing {
        prop_assert!(step.after.had(&Party::Agent(agent.clone())));
    }
    Ok(())
}

/// R4, R39, R45: whoever only listens to the events knows the phase.
fn the_phase_is_the_one_announced(step: &Step) -> TestCaseResult {
    let announced = step.events().iter().filter_map(|event| match event {
        Event::CallConnected { .. } | Event::ConferenceDissolved => Some(Phase::Talking),
        Event::ConferenceStarted { .. } => Some(Phase::Conference),
        Event::WrapUpAssistEntered => Some(Phase::WrapUpAssist),
        Event::CallEnded { .. } => Some(Phase::Ended),
        _ => None,
    });
    let announced: Vec<_> = announced.collect();
    prop_assert!(announced.len() <= 1);
    prop_assert_eq!(
        step.after.phase(),
        announced.first().copied().or(step.before.phase())
    );
    let entered = step.before.phase() != step.after.phase();
    prop_assert_eq!(entered, !announced.is_empty());
    if entered {
        prop_assert_eq!(step.after.phase_since(), step.at);
    }
    Ok(())
}

/// R51, R53, R58.
fn nothing_follows_the_end_but_wrap_up(step: &Step) -> TestCaseResult {
    let mut ended = step.before.ended_at().is_some();
    for event in step.events() {
        let is_wrap_up = matches!(
            event,
            Event::WrapUpOwed { .. }
                | Event::WrapUpApplied { .. }
                | Event::WrapUpSuggested { .. }
                | Event::CallCompleted
                | Event::MonitoringEnded { .. }
        );
        prop_assert!(!ended || is_wrap_up, "{event:?}");
        ended |= matches!(event, Event::CallEnded { .. });
    }
    if ended {
        prop_assert_eq!(step.after.seats().len(), 0);
        prop_assert_eq!(step.after.sessions().len(), 0);
        prop_assert_eq!(step.after.consult(), None);
        prop_assert_eq!(step.after.primary(), None);
    }
    Ok(())
}

/// R52.
fn it_is_completed_once_and_last(step: &Step) -> TestCaseResult {
    let settled = step.after.ended_at().is_some() && step.after.open_wrap_ups().count() == 0;
    prop_assert_eq!(step.after.completed_at().is_some(), settled);
    if step.before.completed_at().is_some() {
        prop_assert!(step.outcome.is_err());
    }
    if step.has(&Event::CallCompleted) {
        prop_assert_eq!(step.events().last(), Some(&Event::CallCompleted));
    }
    Ok(())
}

/// R53, R54, R58, R59: the read model and the rules give one answer.
fn who_may_be_monitored_can_be(step: &Step) -> TestCaseResult {
    let call = &step.after;
    let allowed = monitoring_allowed(call);
    prop_assert_eq!(allowed == Err(Rule(58)), without_agent(call));
    let by = Actor::Supervisor("somebody-new".parse().expect("an ID"));
    for seat in call
        .seats()
        .iter()
        .filter(|seat| seat.party.agent().is_some())
    {
        let agent = seat.party.clone();
        let decided = decide(
            call,
            &Command::StartMonitoring {
                by: by.clone(),
                agent,
            },
        );
        prop_assert_eq!(decided.map(drop).map_err(|no| no.rule), allowed);
    }
    for session in call.sessions() {
        let by = Actor::Supervisor(session.supervisor.clone());
        let decided = decide(call, &Command::BargeIn { by });
        let allowed = barge_in_allowed(call, session);
        prop_assert_eq!(decided.map(drop).map_err(|no| no.rule), allowed);
        prop_assert!(allowed.is_err() || session.mode == Mode::Monitoring);
    }
    Ok(())
}

fn without_agent(call: &Call) -> bool {
    let monitorable = matches!(call.phase(), Some(Phase::Talking | Phase::Conference));
    monitorable && call.primary().is_none()
}

/// R49.
fn who_may_suggest_can(step: &Step) -> TestCaseResult {
    let Command::SuggestWrapUp {
        by: Actor::Party(Party::Agent(by)),
        ..
    } = &step.command
    else {
        return Ok(());
    };
    let call = &step.before;
    let was_here = call.has(&by.clone().into()) || call.had(&by.clone().into());
    let owing = call.open_wrap_ups().any(|owed| owed.agent != *by);
    let assists = call.phase() == Some(Phase::WrapUpAssist) && call.primary() != Some(by);
    let reached = suggestion_recipients(call, by).next().is_some();
    prop_assert_eq!(reached, owing || assists);
    let accepted = |rejection: &Rejection| rejection.rule == Rule(51);
    let accepted = step.outcome.as_ref().map_or_else(accepted, |_| true);
    prop_assert_eq!(accepted, was_here && reached);
    Ok(())
}

/// R10, R40, R44: the call, then whether the actor is in it, then whether they are an agent.
fn the_call_and_the_actor_come_first(step: &Step) -> TestCaseResult {
    let Some(by) = by_of_a_call_control(&step.command) else {
        return Ok(());
    };
    let call = &step.before;
    let expected = match by {
        _ if call.phase().is_none() => "call_not_found",
        _ if !call.is_live() => "call_ended",
        Actor::Party(party) if call.has(party) && party.agent().is_some() => return Ok(()),
        Actor::Party(party) if call.has(party) => "not_an_agent",
        Actor::Party(party) if call.had(party) => "already_left",
        Actor::Party(_) | Actor::Supervisor(_) => "not_in_call",
    };
    let refused = step.outcome.as_ref().err().map(|no| no.code.name());
    prop_assert_eq!(refused, Some(expected), "{:?}", step.command);
    Ok(())
}

fn by_of_a_call_control(command: &Command) -> Option<&Actor> {
    match command {
        Command::StartConsult { by, .. }
        | Command::StartConference { by, .. }
        | Command::Hold { by, .. }
        | Command::Resume { by, .. }
        | Command::TransferCall { by }
        | Command::ExitConference { by }
        | Command::EndCall { by }
        | Command::PressEnd { by } => Some(by),
        _ => None,
    }
}

/// What follows a leave, in the groups of `interface.md`, and within a group by tenure or by when sessions began.
fn events_come_in_the_order_of_the_interface(step: &Step) -> TestCaseResult {
    let Some((Event::PartyLeft { .. }, consequences)) = step.events().split_first() else {
        return Ok(());
    };
    prop_assert!(consequences.is_sorted_by_key(group), "{consequences:?}");
    let seats = step.before.seats();
    let tenure = |party: &Party| seats.iter().position(|seat| seat.party == *party);
    let released = consequences.iter().filter_map(|event| match event {
        Event::PartyReleased { party } => Some(tenure(party)),
        _ => None,
    });
    prop_assert!(released.is_sorted_by(|a, b| a < b));
    let left = consequences.iter().filter_map(|event| match event {
        Event::PartyLeft { party, .. } => Some(tenure(party)),
        _ => None,
    });
    prop_assert!(left.is_sorted_by(|a, b| a < b));
    let sessions = step.before.sessions();
    let moved = consequences.iter().filter_map(|event| match event {
        Event::MonitoringMoved { supervisor, .. } | Event::MonitoringEnded { supervisor, .. } => {
            Some(
                sessions
                    .iter()
                    .position(|session| session.supervisor == *supervisor),
            )
        }
        _ => None,
    });
    prop_assert!(moved.is_sorted_by(|a, b| a < b));
    Ok(())
}

fn group(event: &Event) -> u8 {
    match event {
        Event::PartyReleased { .. } => 1,
        Event::ConsultEnded { .. } => 2,
        Event::PartyLeft { .. }
        | Event::ControlTransferred { .. }
        | Event::ControlVacated { .. } => 3,
        Event::CallEnded { .. } | Event::ConferenceDissolved | Event::WrapUpAssistEntered => 4,
        Event::MonitoringMoved { .. } | Event::MonitoringEnded { .. } => 5,
        Event::WrapUpOwed { .. } => 6,
        Event::CallCompleted => 7,
        _ => 0,
    }
}

/// What an event says of who did what to whom is so.
fn events_agree_with_the_call_before_and_after(step: &Step) -> TestCaseResult {
    for event in step.events() {
        prop_assert!(agrees(event, &step.before, &step.after), "{event:?}");
    }
    Ok(())
}

#[allow(
    clippy::match_wildcard_for_single_variants,
    reason = "a new event needs a line only if it says more"
)]
fn agrees(event: &Event, before: &Call, after: &Call) -> bool {
    let had_session = |supervisor| session_of(before, supervisor).is_some();
    match event {
        Event::ConsultRequested { by, target, .. } => consults(after, by, target),
        Event::ConsultStarted { by, target } => consults(before, by, target),
        Event::ConsultEnded { by, target, .. } => {
            consults(before, by, target) && after.consult().is_none()
        }
        Event::PartyHeld { party, by } => {
            holder(before, party).is_none() && holder(after, party) == Some(by)
        }
        Event::PartyReleased { party } => {
            holder(before, party).is_some() && holder(after, party).is_none()
        }
        Event::PartyJoined { party } => {
            !before.has(&party.to_party()) && after.has(&party.to_party())
        }
        Event::PartyLeft { party, .. } => before.has(party) && !after.has(party),
        Event::ConferenceStarted { primary } => after.primary() == Some(primary),
        Event::ControlTransferred { from, to } => {
            before.primary() == Some(from) && after.primary() == Some(to)
        }
        Event::ControlVacated { from } => {
            before.primary() == Some(from) && after.primary().is_none()
        }
        Event::WrapUpOwed { agent } => {
            before.primary() == Some(agent) && after.open_wrap_up(agent).is_some()
        }
        Event::WrapUpApplied { agent, .. } => {
            before.open_wrap_up(agent).is_some() && after.open_wrap_up(agent).is_none()
        }
        Event::MonitoringStarted { supervisor, agent } => {
            !had_session(supervisor) && session_of(after, supervisor) == Some(agent)
        }
        Event::MonitoringMoved {
            supervisor,
            from,
            to,
        } => {
            session_of(before, supervisor) == Some(from)
                && session_of(after, supervisor) == Some(to)
                && after.primary() == Some(to)
        }
        Event::SupervisorBargedIn { supervisor } | Event::MonitoringEnded { supervisor, .. } => {
            had_session(supervisor)
        }
        Event::CallConnected { .. } => before.phase().is_none(),
        Event::ConferenceDissolved => before.phase() == Some(Phase::Conference),
        Event::WrapUpAssistEntered => before.has(&Party::Customer),
        Event::CallEnded { .. } => before.is_live(),
        Event::CallCompleted => before.completed_at().is_none(),
        // A suggestion settles nothing (R49), and neither does an event that has no line here.
        _ => before.wrap_ups() == after.wrap_ups(),
    }
}

fn consults(call: &Call, by: &AgentId, target: &Target) -> bool {
    let consult = call.consult();
    consult.is_some_and(|consult| consult.by == *by && consult.target == *target)
}

fn holder<'a>(call: &'a Call, party: &Party) -> Option<&'a AgentId> {
    let mut seats = call.seats().iter();
    let seat = seats.find(|seat| seat.party == *party)?;
    seat.hold.as_ref().map(|hold| &hold.by)
}

fn session_of<'a>(call: &'a Call, supervisor: &SupervisorId) -> Option<&'a AgentId> {
    let mut sessions = call.sessions().iter();
    let session = sessions.find(|session| session.supervisor == *supervisor)?;
    Some(&session.agent)
}
