//! `handle-times` of single calls, computed by hand.

use crate::{connect_through, read, shown};
use projections::{HandleTimes, TimesFilter};
use serde_json::{Value, json};
use tests::ledger::Ledger;
use tests::scenario::*;

/// Ana answers, holds, consults and merges Ben, who consults an expert; Ana exits, settles, and is merged in again;
/// the customer hangs up while the agents talk on.
fn a_story() -> Ledger {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_through("billing", ANA))
        .ask("c1", 60, hold(ANA, CUSTOMER))
        .ask("c1", 90, resume(ANA, CUSTOMER))
        .ask("c1", 100, start_consult(ANA, BEN))
        .ask("c1", 110, accept_consult(BEN))
        .ask("c1", 130, start_conference(ANA))
        .ask("c1", 150, start_consult(BEN, EXPERT))
        .ask("c1", 155, accept_consult(EXPERT))
        .ask("c1", 165, end_consult(BEN))
        .ask("c1", 170, resume(BEN, ANA))
        .ask("c1", 180, exit_conference(ANA))
        .ask("c1", 190, resume(BEN, CUSTOMER))
        .ask("c1", 200, apply_wrap_up(ANA, "billing"))
        .ask("c1", 210, start_consult_holding_nobody(BEN, ANA))
        .ask("c1", 215, accept_consult(ANA))
        .ask("c1", 220, start_conference(BEN))
        .ask("c1", 240, hang_up(CUSTOMER))
        .ask("c1", 270, exit_conference(BEN));
    ledger
}

fn calls(ledger: &Ledger) -> Value {
    let model = read::<HandleTimes>(&ledger.events());
    shown(model.state().calls(&TimesFilter::default()))
}

fn agents(ledger: &Ledger) -> Value {
    let model = read::<HandleTimes>(&ledger.events());
    shown(model.state().agents(&TimesFilter::default()))
}

#[test]
fn r61_a_calls_handle_time_runs_from_its_answer_to_its_end_in_three_phases() {
    assert_eq!(
        calls(&a_story()),
        json!([{
            "call": "c1",
            "queue": "billing",
            "answered_at": "2026-11-22T09:00:00.000Z",
            "ended_at": "2026-11-22T09:04:30.000Z",
            // Until Ben was merged at 130, and from Ana's exit at 180 until she was merged again at 220.
            "talking_ms": 170_000,
            "conference_ms": 70_000,
            // From the customer's hang-up at 240.
            "wrap_up_assist_ms": 30_000,
            "handle_ms": 270_000,
            // 60 to 90 by hand, 100 to 130 and 150 to 190 for consults.
            "customer_held_ms": 100_000,
            // 110 to 130, 155 to 165, 215 to 220; ringing is nothing.
            "consult_ms": 35_000,
            "open": 1,
        }])
    );
}

#[test]
fn r61_an_agents_handle_time_is_engaged_held_and_wrap_up() {
    let ledger = a_story();
    ledger.ask("c1", 300, apply_wrap_up(BEN, "refund"));
    assert_eq!(
        agents(&ledger),
        json!([
            {
                "call": "c1",
                "agent": "agent:ana",
                "queue": "billing",
                "answered_at": "2026-11-22T09:00:00.000Z",
                "ended_at": "2026-11-22T09:04:30.000Z",
                // In the call 0 to 180 and 220 to 270, of that held by Ben 150 to 170.
                "engaged_ms": 210_000,
                "held_ms": 20_000,
                // 180 to 200; at the end Ben was primary.
                "wrap_up_ms": 20_000,
                "handle_ms": 250_000,
                "conference_ms": 70_000,
                // 110 to 130 as initiator, 215 to 220 as target.
                "consult_ms": 25_000,
                "wrap_up_assist_ms": 30_000,
                "open": 0,
            },
            {
                "call": "c1",
                "agent": "agent:ben",
                "queue": "billing",
                "answered_at": "2026-11-22T09:00:00.000Z",
                "ended_at": "2026-11-22T09:04:30.000Z",
                "engaged_ms": 140_000,
                "held_ms": 0,
                "wrap_up_ms": 30_000,
                "handle_ms": 170_000,
                "conference_ms": 70_000,
                // 110 to 130 as target, 155 to 165 and 215 to 220 as initiator.
                "consult_ms": 35_000,
                "wrap_up_assist_ms": 30_000,
                "open": 0,
            },
        ])
    );
}

#[test]
fn r61_a_wrap_up_that_is_not_settled_has_no_end_and_is_not_summed() {
    let open = &agents(&a_story())[1];
    assert_eq!(open["agent"], "agent:ben");
    assert_eq!([&open["wrap_up_ms"], &open["open"]], [&json!(0), &json!(1)]);
    assert_eq!(open["handle_ms"], 140_000);
}

#[test]
fn r61_several_wrap_ups_of_one_agent_are_added_up() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_consult(ANA, BEN))
        .ask("c1", 2, accept_consult(BEN))
        .ask("c1", 3, start_conference(ANA))
        .ask("c1", 10, exit_conference(ANA))
        .ask("c1", 15, apply_wrap_up(ANA, "billing"))
        .ask("c1", 16, start_consult(BEN, ANA))
        .ask("c1", 17, accept_consult(ANA))
        .ask("c1", 20, start_conference(BEN))
        .ask("c1", 30, exit_conference(BEN))
        .ask("c1", 40, end_call(ANA))
        .ask("c1", 100, apply_wrap_up(ANA, "billing"))
        .ask("c1", 1000, apply_wrap_up(BEN, "billing"));
    let agents = agents(&ledger);
    assert_eq!(agents[0]["wrap_up_ms"], 65_000);
    assert_eq!(agents[0]["handle_ms"], 10_000 + 20_000 + 65_000);
    assert_eq!(agents[1]["wrap_up_ms"], 970_000);
}

#[test]
fn r61_who_comes_back_with_wrap_up_open_is_in_the_call_and_no_time_counts_twice() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_consult(ANA, BEN))
        .ask("c1", 2, accept_consult(BEN))
        .ask("c1", 3, start_conference(ANA))
        .ask("c1", 10, exit_conference(ANA))
        .ask("c1", 16, start_consult(BEN, ANA))
        .ask("c1", 17, accept_consult(ANA))
        .ask("c1", 20, start_conference(BEN))
        .ask("c1", 50, exit_conference(ANA))
        .ask("c1", 60, apply_wrap_up(ANA, "billing"))
        .ask("c1", 70, end_call(BEN));
    let ana = &agents(&ledger)[0];
    assert_eq!(ana["engaged_ms"], 40_000);
    assert_eq!(ana["wrap_up_ms"], 20_000, "10 to 20 and 50 to 60");
}

#[test]
fn r61_who_was_only_consulted_has_consult_time_and_no_other() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 5, start_consult_holding_nobody(ANA, DAN))
        .ask("c1", 10, accept_consult(DAN))
        .ask("c1", 17, end_consult(DAN))
        .ask("c1", 20, start_consult_holding_nobody(ANA, EVA))
        .ask("c1", 30, decline_consult(EVA))
        .ask("c1", 40, end_call(ANA));
    let agents = agents(&ledger);
    assert_eq!(
        agents.as_array().map(Vec::len),
        Some(2),
        "Eva never answered"
    );
    let dan = &agents[1];
    assert_eq!(
        [&dan["agent"], &dan["consult_ms"]],
        [&json!("agent:dan"), &json!(7000)]
    );
    for part in [
        "engaged_ms",
        "held_ms",
        "wrap_up_ms",
        "handle_ms",
        "conference_ms",
    ] {
        assert_eq!(dan[part], 0, "{part}");
    }
}

#[test]
fn r61_an_answered_leg_that_outlives_the_customer_goes_on_as_consult_time() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 5, start_consult(ANA, BEN))
        .ask("c1", 10, accept_consult(BEN))
        .ask("c1", 20, hang_up(CUSTOMER))
        .ask("c1", 35, end_consult(ANA));
    let call = &calls(&ledger)[0];
    assert_eq!(call["talking_ms"], 20_000);
    assert_eq!(call["wrap_up_assist_ms"], 15_000);
    assert_eq!(call["consult_ms"], 25_000);
    assert_eq!(call["customer_held_ms"], 15_000);
}

#[test]
fn r62_durations_come_from_the_times_on_events_and_never_run_backwards() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 100, connect_call(ANA))
        .ask("c1", 110, hold(ANA, CUSTOMER))
        // Reported late: in the call it is still 110.
        .ask("c1", 40, resume(ANA, CUSTOMER))
        .ask("c1", 130, end_call(ANA))
        .ask("c1", 120, apply_wrap_up(ANA, "billing"));
    let call = &calls(&ledger)[0];
    assert_eq!([&call["handle_ms"], &call["customer_held_ms"]], [30_000, 0]);
    let ana = &agents(&ledger)[0];
    assert_eq!([&ana["engaged_ms"], &ana["wrap_up_ms"]], [30_000, 0]);
}

#[test]
fn calls_count_when_they_have_ended_and_can_be_asked_for() {
    let ledger = Ledger::new();
    ledger
        .ask("live", 0, connect_through("billing", ANA))
        .ask("b", 0, connect_through("billing", BEN))
        .ask("b", 50, end_call(BEN))
        .ask("a", 0, connect_through("sales", ANA))
        .ask("a", 50, end_call(ANA))
        .ask("a", 60, apply_wrap_up(ANA, "sale"))
        .ask("early", 0, connect_call(ANA))
        .ask("early", 40, end_call(ANA));
    let model = read::<HandleTimes>(&ledger.events());
    let names = |filter: TimesFilter| {
        let rows = model.state().calls(&filter);
        rows.iter()
            .map(|row| row.call.0.to_string())
            .collect::<Vec<_>>()
    };
    let at = |seconds: u64| Some(tests::ledger::after(seconds * 1000));
    let any = TimesFilter::default;
    assert_eq!(names(any()), ["early", "a", "b"]);
    let agent = Some(ANA.agent());
    assert_eq!(names(TimesFilter { agent, ..any() }), ["early", "a"]);
    let queue = "billing".parse().ok();
    assert_eq!(names(TimesFilter { queue, ..any() }), ["b"]);
    assert_eq!(
        names(TimesFilter {
            from: at(50),
            ..any()
        }),
        ["a", "b"]
    );
    assert_eq!(
        names(TimesFilter {
            to: at(50),
            ..any()
        }),
        ["early"]
    );
    let backwards = TimesFilter {
        from: at(50),
        to: at(40),
        ..any()
    };
    assert_eq!(names(backwards), [""; 0]);
}
