//! Whether the random calls go where rules meet.

use crate::{Step, config, steps};
use domain::call::{Mode, Phase};
use domain::event::{ConsultEnd, EndCause, EventType, LeaveReason, MonitoringEnd};
use domain::{Event, RejectionCode};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use tests::arbitrary::what_is_asked_of_a_call;

/// Properties say little about calls that never come up.
#[test]
fn the_random_calls_reach_every_event_every_rejection_and_every_corner() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..config().cases {
        let tree = what_is_asked_of_a_call().new_tree(&mut runner);
        for step in steps(tree.expect("nothing is filtered").current()) {
            reached.extend(step.events().iter().map(kind));
            let refused = step.outcome.as_ref().err();
            reached.extend(refused.map(|no| no.code.name().to_owned()));
            reached.extend(corners(&step));
        }
    }
    let missed = everything().filter(|name| !reached.contains(name));
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// An event by its type and how it came about.
fn kind(event: &Event) -> String {
    let cause = match event {
        Event::ConsultEnded { cause, .. } => cause.name(),
        Event::PartyLeft { reason, .. } => reason.name(),
        Event::CallEnded { cause } => cause.name(),
        Event::MonitoringEnded { cause, .. } => cause.name(),
        _ => "",
    };
    format!("{} {cause}", event.event_type().name())
}

fn everything() -> impl Iterator<Item = String> {
    let kinds = EventType::ALL.iter().flat_map(|event| {
        let causes = match event {
            EventType::ConsultEnded => names(ConsultEnd::ALL, ConsultEnd::name),
            EventType::PartyLeft => names(LeaveReason::ALL, LeaveReason::name),
            EventType::CallEnded => names(EndCause::ALL, EndCause::name),
            EventType::MonitoringEnded => names(MonitoringEnd::ALL, MonitoringEnd::name),
            _ => vec![""],
        };
        let kind = |cause| format!("{} {cause}", event.name());
        causes.into_iter().map(kind)
    });
    let codes = RejectionCode::ALL.iter().map(|code| code.name().to_owned());
    kinds.chain(codes).chain(CORNERS.map(str::to_owned))
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(name).collect()
}

const CORNERS: [&str; 9] = [
    "eight parties",
    "one party and a leg in Wrap-up Assist",
    "a conference without an agent",
    "a rejoined party",
    "two open wrap-ups",
    "two wrap-ups of one agent",
    "a primary whose wrap-up is open",
    "a barged-in session in Wrap-up Assist",
    "a held primary",
];

fn corners(step: &Step) -> impl Iterator<Item = String> {
    let call = &step.after;
    let assist = call.phase() == Some(Phase::WrapUpAssist);
    let conference = call.phase() == Some(Phase::Conference);
    let owed_by = call.wrap_ups().iter().map(|wrap_up| &wrap_up.agent);
    let mut sessions = call.sessions().iter();
    let primarys_seat = call.seats().iter().find(|seat| {
        let agent = seat.party.agent();
        agent.is_some() && agent == call.primary()
    });
    let is_reached = [
        call.seats().len() == 8,
        assist && call.seats().len() == 1,
        conference && call.primary().is_none(),
        call.seats().iter().any(|seat| call.had(&seat.party)),
        call.open_wrap_ups().count() == 2,
        owed_by.collect::<BTreeSet<_>>().len() < call.wrap_ups().len(),
        call.primary()
            .is_some_and(|primary| call.open_wrap_up(primary).is_some()),
        assist && sessions.any(|session| session.mode == Mode::BargedIn),
        primarys_seat.is_some_and(|seat| seat.hold.is_some()),
    ];
    let reached = CORNERS.into_iter().zip(is_reached);
    let reached = reached.filter(|(_, is_reached)| *is_reached);
    reached.map(|(name, _)| name.to_owned())
}
