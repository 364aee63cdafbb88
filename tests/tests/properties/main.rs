//! What holds in every call, whatever is asked of it: random calls, step by step.

mod invariants;
mod reach;
mod reference;

use domain::{Call, Command, Event, Rejection, Timestamp, clamped, decide, evolve};
use invariants::holds;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use reference::{Reference, expected_end, expected_primary};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use tests::arbitrary::{Asked, everything_anybody_can_ask, what_is_asked_of_a_call};

/// One command of a call, and what became of it.
struct Step {
    before: Call,
    command: Command,
    at: Timestamp,
    outcome: Result<Vec<Event>, Rejection>,
    after: Call,
}

impl Step {
    fn of(before: Call, command: Command, reported: Timestamp) -> Self {
        let at = clamped(&before, reported);
        let outcome = decide(&before, &command);
        let fold = |call, event| evolve(call, event, at);
        let after = outcome.iter().flatten().fold(before.clone(), fold);
        Self {
            before,
            command,
            at,
            outcome,
            after,
        }
    }

    fn events(&self) -> &[Event] {
        self.outcome.as_deref().unwrap_or_default()
    }

    fn has(&self, event: &Event) -> bool {
        self.events().contains(event)
    }
}

fn steps(asked: Vec<Asked>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for Asked { command, at } in asked {
        let before = steps
            .last()
            .map_or_else(Call::default, |step| step.after.clone());
        steps.push(Step::of(before, command, at));
    }
    let next = steps
        .last()
        .and_then(|last| accepted_next(last, steps.len()));
    steps.extend(next);
    steps
}

/// One of all the commands that the call accepts now, so that a new command is among the steps without a move of its own.
fn accepted_next(last: &Step, choice: usize) -> Option<Step> {
    let accepted = EVERYTHING
        .iter()
        .filter(|command| decide(&last.after, command).is_ok());
    let accepted: Vec<_> = accepted.collect();
    let choice = choice.checked_rem(accepted.len())?;
    Some(Step::of(
        last.after.clone(),
        accepted[choice].clone(),
        last.at,
    ))
}

/// Every command that anybody of the cast can give.
static EVERYTHING: LazyLock<Vec<Command>> = LazyLock::new(everything_anybody_can_ask);

/// A failing call belongs among the rule tests, where it stays; so no file of seeds is kept.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_must_hold_of_a_call_holds_after_every_command(asked in what_is_asked_of_a_call()) {
        for step in steps(asked) {
            holds(&step)?;
        }
    }

    #[test]
    fn and_after_anything_that_anybody_could_ask_next(asked in what_is_asked_of_a_call()) {
        let Some(last) = steps(asked).pop() else {
            return Ok(());
        };
        for command in EVERYTHING.iter() {
            holds(&Step::of(last.after.clone(), command.clone(), last.at))?;
        }
    }

    #[test]
    fn r02_never_are_there_more_than_eight_parties_not_even_between_two_events(
        asked in what_is_asked_of_a_call(),
    ) {
        for step in steps(asked) {
            let mut call = step.before.clone();
            for event in step.events() {
                call = evolve(call, event, step.at);
                prop_assert!(call.seats().len() <= 8);
            }
        }
    }

    #[test]
    fn a_call_replayed_from_its_events_is_the_call_as_it_was(asked in what_is_asked_of_a_call()) {
        let mut history: Vec<(Event, Timestamp)> = Vec::new();
        for step in steps(asked) {
            history.extend(step.events().iter().map(|event| (event.clone(), step.at)));
            let replayed = history.iter().fold(Call::default(), |call, (event, at)| evolve(call, event, *at));
            prop_assert_eq!(replayed.revision().0, history.len() as u64);
            prop_assert_eq!(replayed, step.after);
        }
    }

    #[test]
    fn r34_and_r36_the_call_ends_exactly_when_the_reference_says_so(asked in what_is_asked_of_a_call()) {
        each_with_reference(asked, |step, before, after| {
            let ended = step.events().iter().find_map(|event| match event {
                Event::CallEnded { cause } => Some(*cause),
                _ => None,
            });
            prop_assert_eq!(ended, expected_end(before, step.events()));
            if step.after.is_live() {
                prop_assert_eq!(after.is_over(), None);
            }
            Ok(())
        })?;
    }

    #[test]
    fn r24_and_r22_control_is_where_the_reference_says(asked in what_is_asked_of_a_call()) {
        each_with_reference(asked, |step, before, _| {
            if step.after.is_live() {
                let expected = expected_primary(before, step.events());
                prop_assert_eq!(step.after.primary(), expected.as_ref());
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_phase_is_what_the_reference_says(asked in what_is_asked_of_a_call()) {
        each_with_reference(asked, |step, _, after| {
            prop_assert_eq!(step.after.phase(), after.phase());
            Ok(())
        })?;
    }

    #[test]
    fn r50_and_r52_who_owes_wrap_up_is_who_the_reference_says(asked in what_is_asked_of_a_call()) {
        each_with_reference(asked, |step, _, after| {
            let owing: BTreeSet<_> = step.after.open_wrap_ups().map(|owed| owed.agent.clone()).collect();
            prop_assert_eq!(&owing, &after.owing);
            let completed = after.ended && after.owing.is_empty();
            prop_assert_eq!(step.after.completed_at().is_some(), completed);
            Ok(())
        })?;
    }

    #[test]
    fn r55_to_r58_sessions_are_where_the_reference_says(asked in what_is_asked_of_a_call()) {
        each_with_reference(asked, |step, _, after| {
            let sessions = step.after.sessions().iter();
            let sessions = sessions.map(|session| (session.supervisor.clone(), session.agent.clone()));
            prop_assert_eq!(&sessions.collect::<BTreeMap<_, _>>(), &after.sessions);
            Ok(())
        })?;
    }
}

/// Walks a call together with the reference model.
fn each_with_reference(
    asked: Vec<Asked>,
    check: impl Fn(&Step, &Reference, &Reference) -> TestCaseResult,
) -> TestCaseResult {
    let mut before = Reference::default();
    for step in steps(asked) {
        let after = before.after(step.events());
        check(&step, &before, &after)?;
        before = after;
    }
    Ok(())
}
