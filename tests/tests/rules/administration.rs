//! Time and administration: R61 to R63.

use domain::call::WrapUpState;
use domain::command::CommandType;
use domain::{Call, Timestamp, clamped};
use tests::scenario::*;

#[test]
fn r61_a_calls_handle_time_runs_from_its_answer_to_its_end_wrap_up_work_is_outside() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, CUSTOMER))
        .later(60_000)
        .and(hang_up(CUSTOMER))
        .later(30_000)
        .when(end_call(ANA))
        .then_state(|call| assert_eq!(handle_ms(call), 96_000))
        .when(apply_wrap_up(ANA, "billing"))
        .then_state(|call| {
            assert_eq!(handle_ms(call), 96_000);
            assert!(call.completed_at() > call.ended_at());
        });
}

#[test]
fn r61_wrap_up_work_runs_from_leaving_to_the_reason() {
    let call = given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .later(45_000)
        .and(apply_wrap_up(ANA, "billing"))
        .and(end_call(BEN))
        .later(45_000)
        .call();
    let [settled, open] = call.wrap_ups() else {
        panic!("two wrap-ups");
    };
    let WrapUpState::Applied { at, .. } = settled.state else {
        panic!("settled");
    };
    assert_eq!(at.millis_since(settled.since), 46_000);
    assert_eq!(open.state, WrapUpState::Owed);
}

#[test]
fn r62_an_event_earlier_than_its_predecessor_takes_the_predecessors_time() {
    let call = given(a_call(ANA)).and(hold(ANA, CUSTOMER)).call();
    let last = call.last_at();
    assert_eq!(clamped(&call, last.minus_millis(1)), last);
    assert_eq!(clamped(&call, Timestamp::MIN), last);
    assert_eq!(clamped(&call, last), last);
    assert_eq!(clamped(&call, last.plus_millis(1)), last.plus_millis(1));
}

#[test]
fn r62_the_first_event_of_a_call_keeps_its_time() {
    let nobody_called = Call::default();
    assert_eq!(clamped(&nobody_called, Timestamp::MIN), Timestamp::MIN);
    assert_eq!(clamped(&nobody_called, start()), start());
}

#[test]
fn r62_durations_come_from_the_times_on_events() {
    let call = given(a_call(ANA))
        .later(5_000)
        .and(hold(ANA, CUSTOMER))
        .later(7_000)
        .call();
    let hold = seat_of(&call, CUSTOMER).hold.as_ref().unwrap();
    assert_eq!(hold.since.millis_since(call.answered_at()), 6_000);
    assert_eq!(call.last_at(), hold.since);
}

#[test]
fn r63_there_is_no_administrators_command() {
    let (names, senders): (Vec<_>, Vec<_>) = commands_of_the_interface().unzip();
    assert_eq!(names, CommandType::NAMES);
    let administrative = |sender: &&str| sender.contains("admin");
    assert!(!senders.iter().any(administrative), "{senders:?}");
}

fn handle_ms(call: &Call) -> u64 {
    let ended_at = call.ended_at().expect("ended");
    ended_at.millis_since(call.answered_at())
}

/// The name of each command in the table of `interface.md`, and who sends it.
fn commands_of_the_interface() -> impl Iterator<Item = (&'static str, &'static str)> {
    let interface = include_str!("../../../docs/spec/interface.md");
    let chapter = interface
        .split("\n## ")
        .find(|text| text.starts_with("Commands"));
    let rows = chapter.expect("a chapter on commands").lines();
    let rows = rows.filter(|line| line.starts_with("| `") && !line.starts_with("| `type`"));
    rows.flat_map(|row| {
        let columns: Vec<_> = row.split(" | ").collect();
        let sender = columns[2];
        let names = columns[0].split('`').skip(1).step_by(2);
        names.map(move |name| (name, sender))
    })
}
