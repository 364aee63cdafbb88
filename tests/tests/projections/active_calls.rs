//! `active-calls`.

use crate::{connect_through, read, shown};
use projections::{ActiveCalls, Filter, Followed as _, Listing};
use serde_json::json;
use tests::ledger::{Ledger, after};
use tests::scenario::*;

#[test]
fn a_live_call_is_shown_with_everybody_in_it() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_through("billing", ANA))
        .ask("c1", 10, start_monitoring(SAM, ANA))
        .ask("c1", 20, barge_in(SAM))
        .ask("c1", 30, start_consult(ANA, BEN))
        .ask("c1", 40, accept_consult(BEN))
        .ask("c1", 50, start_conference(ANA))
        .ask("c1", 60, hold(ANA, CUSTOMER))
        .ask("c1", 70, start_consult_holding_nobody(BEN, EXPERT));
    let model = read::<ActiveCalls>(&ledger.events());
    let listing = Listing::new(after(90_000), model.events(), model.state().rows());
    assert_eq!(
        shown(listing),
        json!({
            "as_of": "2026-11-22T09:01:30.000Z",
            "position": 12,
            "count": 12,
            "proof": model.events().rolling_hash.to_string(),
            "rows": [{
                "call": "c1",
                "revision": 12,
                "queue": "billing",
                "phase": "conference",
                "phase_since": "2026-11-22T09:00:50.000Z",
                "answered_at": "2026-11-22T09:00:00.000Z",
                "primary": "agent:ana",
                "parties": [
                    {
                        "party": "customer",
                        "joined_at": "2026-11-22T09:00:00.000Z",
                        "held_by": "agent:ana",
                        "held_since": "2026-11-22T09:01:00.000Z",
                    },
                    {
                        "party": "agent:ana",
                        "joined_at": "2026-11-22T09:00:00.000Z",
                        "held_by": null,
                        "held_since": null,
                    },
                    {
                        "party": "agent:ben",
                        "joined_at": "2026-11-22T09:00:50.000Z",
                        "held_by": null,
                        "held_since": null,
                    },
                ],
                "consult": {
                    "by": "agent:ben",
                    "target": "dial:+39061234",
                    "state": "ringing",
                    "hold": "none",
                },
                "supervisors": [{
                    "supervisor": "supervisor:sam",
                    "agent": "agent:ana",
                    "mode": "barged_in",
                    "since": "2026-11-22T09:00:10.000Z",
                }],
            }],
        })
    );
}

#[test]
fn what_is_not_there_is_null() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 1, start_consult(ANA, EXPERT))
        .ask("c1", 2, accept_consult(EXPERT))
        .ask("c1", 3, transfer_call(ANA));
    let model = read::<ActiveCalls>(&ledger.events());
    let row = shown(&model.state().rows()[0]);
    assert_eq!(
        [&row["queue"], &row["primary"], &row["consult"]],
        [&json!(null), &json!(null), &json!(null)]
    );
    assert_eq!(row["supervisors"], json!([]));
}

#[test]
fn calls_come_in_the_order_they_were_answered_and_leave_when_they_end() {
    let ledger = Ledger::new();
    ledger
        .ask("a-later-one", 5, connect_call(ANA))
        .ask("b", 0, connect_call(ANA))
        .ask("a", 0, connect_call(ANA))
        .ask("over", 0, connect_call(ANA))
        .ask("over", 9, end_call(ANA));
    let model = read::<ActiveCalls>(&ledger.events());
    let calls: Vec<_> = model
        .state()
        .rows()
        .iter()
        .map(|row| row.call.0.to_string())
        .collect();
    assert_eq!(calls, ["a", "b", "a-later-one"]);
}

#[test]
fn a_call_is_idle_once_nothing_has_happened_for_longer_than_asked() {
    let ledger = Ledger::new();
    ledger
        .ask("forgotten", 0, connect_call(ANA))
        .ask("busy", 0, connect_call(BEN))
        .ask("busy", 60, hold(BEN, CUSTOMER));
    let model = read::<ActiveCalls>(&ledger.events());
    let idle = |seconds: u64, for_seconds: u64| {
        let filter = Filter {
            idle_ms: Some(for_seconds * 1000),
            ..Filter::default()
        };
        let as_of = after(seconds * 1000);
        let rows = model.state().rows().into_iter();
        rows.filter(|row| filter.fits_at(&row.facets(), as_of))
            .map(|row| row.call.0.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(idle(30, 30), [""; 0]);
    assert_eq!(idle(31, 30), ["forgotten"]);
    assert_eq!(idle(91, 30), ["busy", "forgotten"]);
}
