//! `wrap-up-queue`.

use crate::{connect_through, read, shown};
use domain::event::Personal;
use domain::{Event, StoredEvent};
use projections::WrapUpQueue;
use serde_json::{Value, json};
use tests::ledger::Ledger;
use tests::scenario::*;

/// Ana leaves a conference with Ben and Dan as primary; Dan assists, before the customer leaves and after.
fn a_story() -> Ledger {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_through("billing", ANA))
        .ask("c1", 10, start_consult(ANA, BEN))
        .ask("c1", 20, accept_consult(BEN))
        .ask("c1", 30, start_conference(ANA))
        .ask("c1", 40, start_consult(ANA, DAN))
        .ask("c1", 50, accept_consult(DAN))
        .ask("c1", 60, start_conference(ANA))
        .ask("c1", 70, exit_conference(ANA))
        .ask(
            "c1",
            80,
            suggest_wrap_up_noting(DAN, "billing", "asked twice"),
        )
        .ask("c1", 90, hang_up(CUSTOMER))
        .ask("c1", 100, suggest_wrap_up(DAN, "refund"))
        .ask("c1", 110, exit_conference(DAN));
    ledger
}

fn rows(events: &[StoredEvent]) -> Value {
    shown(read::<WrapUpQueue>(events).state().rows())
}

#[test]
fn who_owes_is_shown_with_what_reached_them() {
    let refund = json!({
        "by": "agent:dan",
        "reason": "refund",
        "note": null,
        "at": "2026-11-22T09:01:40.000Z",
    });
    assert_eq!(
        rows(&a_story().events()),
        json!([
            {
                "call": "c1",
                "agent": "agent:ana",
                "queue": "billing",
                "since": "2026-11-22T09:01:10.000Z",
                "why": "exited",
                "suggestions": [
                    {
                        "by": "agent:dan",
                        "reason": "billing",
                        "note": "asked twice",
                        "at": "2026-11-22T09:01:20.000Z",
                    },
                    refund,
                ],
            },
            {
                "call": "c1",
                "agent": "agent:ben",
                "queue": "billing",
                "since": "2026-11-22T09:01:50.000Z",
                "why": "call_ended",
                "suggestions": [refund],
            },
        ])
    );
}

#[test]
fn a_row_appears_once_the_agent_owes_and_leaves_once_it_is_settled() {
    let ledger = a_story();
    let before_the_end = ledger.events();
    let before_the_end: Vec<_> = before_the_end
        .into_iter()
        .filter(|event| event.recorded.cause.at < tests::ledger::after(110_000))
        .collect();
    assert_eq!(rows(&before_the_end).as_array().map(Vec::len), Some(1));
    ledger.ask("c1", 120, apply_wrap_up(ANA, "billing"));
    let rest = rows(&ledger.events());
    assert_eq!(rest.as_array().map(Vec::len), Some(1));
    assert_eq!(rest[0]["agent"], "agent:ben");
    ledger.ask("c1", 130, apply_wrap_up(BEN, "refund"));
    assert_eq!(rows(&ledger.events()), json!([]));
}

#[test]
fn an_erased_note_is_null() {
    let mut events = a_story().events();
    for event in &mut events {
        if let Event::WrapUpSuggested {
            note: note @ Some(_),
            ..
        } = &mut event.recorded.event
        {
            *note = Some(Personal::Erased);
        }
    }
    assert_eq!(rows(&events)[0]["suggestions"][0]["note"], json!(null));
}

#[test]
fn what_was_suggested_for_a_settled_wrap_up_does_not_reach_the_next() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_consult(ANA, BEN))
        .ask("c1", 2, accept_consult(BEN))
        .ask("c1", 3, start_conference(ANA))
        .ask("c1", 4, exit_conference(ANA))
        .ask("c1", 5, suggest_wrap_up(BEN, "billing"))
        .ask("c1", 6, apply_wrap_up(ANA, "billing"))
        .ask("c1", 7, start_consult(BEN, ANA))
        .ask("c1", 8, accept_consult(ANA))
        .ask("c1", 9, start_conference(BEN))
        .ask("c1", 10, exit_conference(BEN))
        .ask("c1", 11, end_call(ANA));
    let rows = rows(&ledger.events());
    assert_eq!(rows[1]["agent"], "agent:ana");
    assert_eq!(rows[1]["suggestions"], json!([]));
}

#[test]
fn the_oldest_comes_first_and_of_equal_ones_the_call_then_the_agent_decides() {
    let ledger = Ledger::new();
    for call in ["b", "a"] {
        ledger
            .ask(call, 0, connect_call(ANA))
            .ask(call, 5, end_call(ANA));
    }
    ledger
        .ask("z", 0, connect_call(BEN))
        .ask("z", 4, hang_up(CUSTOMER));
    let rows = rows(&ledger.events());
    let rows = rows.as_array().expect("rows");
    let calls: Vec<_> = rows.iter().map(|row| &row["call"]).collect();
    assert_eq!(calls, ["z", "a", "b"]);
}
