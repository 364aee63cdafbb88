//! `monitoring`.

use crate::{read, shown};
use projections::Monitoring;
use serde_json::{Value, json};
use tests::ledger::Ledger;
use tests::scenario::*;

fn rows(ledger: &Ledger) -> Value {
    shown(read::<Monitoring>(&ledger.events()).state().rows())
}

#[test]
fn what_a_supervisor_may_is_shown_with_the_rule_that_refuses() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_consult(ANA, BEN))
        .ask("c1", 2, accept_consult(BEN))
        .ask("c1", 3, start_conference(ANA))
        .ask("c1", 4, start_monitoring(SAM, BEN))
        .ask("c1", 5, start_monitoring(SUE, ANA))
        .ask("c1", 6, barge_in(SUE));
    let session = |supervisor: &str, agent: &str, mode: &str, second: u64, rule: Option<&str>| {
        json!({
            "supervisor": supervisor,
            "agent": agent,
            "mode": mode,
            "since": format!("2026-11-22T09:00:0{second}.000Z"),
            "may_barge_in": rule.is_none(),
            "rule": rule,
        })
    };
    assert_eq!(
        rows(&ledger),
        json!([{
            "call": "c1",
            "may_start": true,
            "rule": null,
            "sessions": [
                session("supervisor:sam", "agent:ben", "monitoring", 4, None),
                session("supervisor:sue", "agent:ana", "barged_in", 5, Some("R59")),
            ],
        }])
    );
    ledger.ask("c1", 7, hang_up(CUSTOMER));
    assert_eq!(
        rows(&ledger),
        json!([{
            "call": "c1",
            "may_start": false,
            "rule": "R53",
            "sessions": [
                session("supervisor:sam", "agent:ben", "monitoring", 4, Some("R54")),
                session("supervisor:sue", "agent:ana", "barged_in", 5, Some("R59")),
            ],
        }])
    );
    ledger.ask("c1", 8, end_call(ANA));
    assert_eq!(rows(&ledger), json!([]));
}

#[test]
fn where_no_agent_is_left_nobody_can_be_listened_through() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_monitoring(SAM, ANA))
        .ask("c1", 2, start_consult(ANA, EXPERT))
        .ask("c1", 3, accept_consult(EXPERT))
        .ask("c1", 4, transfer_call(ANA));
    assert_eq!(
        rows(&ledger),
        json!([{ "call": "c1", "may_start": false, "rule": "R58", "sessions": [] }])
    );
}
