//! `calls`.

use crate::shown;
use domain::call::Phase;
use domain::event::Personal;
use domain::{Command, Event, Request, StoredEvent};
use projections::{CallFilter, CallList};
use serde_json::{Value, json};
use tests::ledger::{Ledger, after};
use tests::scenario::*;

/// One call that is over, one that goes on, one of which nothing but the agent is known.
fn a_day() -> Ledger {
    let ledger = Ledger::new();
    let connect = |agent: Who, customer: &str, queue: &str| Command::ConnectCall {
        agent: agent.party(),
        customer: customer.parse().ok(),
        queue: queue.parse().ok(),
    };
    ledger
        .ask("over", 0, connect(ANA, "+81 3 1", "billing"))
        .ask("over", 1, start_consult(ANA, BEN))
        .ask("over", 2, decline_consult(BEN))
        .ask("over", 3, end_call(ANA))
        .ask("over", 4, apply_wrap_up(ANA, "billing"))
        .ask("live", 10, connect(ANA, "+81 3 2", "sales"))
        .ask("live", 11, start_consult(ANA, DAN))
        .ask("live", 12, accept_consult(DAN))
        .ask("live", 13, start_conference(ANA))
        .ask("bare", 20, connect_call(EVA));
    let request = Request {
        call: "live".parse().expect("a call's identifier"),
        id: None,
        at: Some(after(30_000)),
        correlation: "ticket 7".parse().ok(),
        expect: None,
        command: hold(ANA, CUSTOMER),
    };
    ledger.take(&request).expect("the primary may hold");
    ledger
}

fn found(events: &[StoredEvent], filter: CallFilter) -> Value {
    let mut list = CallList::new(filter);
    for page in events.chunks(3) {
        list.fold(page);
    }
    shown(list.rows())
}

fn names(filter: CallFilter) -> Vec<String> {
    let rows = found(&a_day().events(), filter);
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row["call"].as_str().expect("a call").to_owned())
        .collect()
}

#[test]
fn a_call_is_listed_with_all_it_can_be_found_by() {
    let mut events = a_day().events();
    for event in &mut events {
        if let Event::CallConnected {
            customer: customer @ Some(_),
            queue: Some(queue),
            ..
        } = &mut event.recorded.event
            && queue.as_str() == "sales"
        {
            *customer = Some(Personal::Erased);
        }
    }
    assert_eq!(
        found(&events, CallFilter::default()),
        json!([
            {
                "call": "over",
                "revision": 11,
                "phase": "ended",
                "queue": "billing",
                "customer": "+81 3 1",
                "answered_at": "2026-11-22T09:00:00.000Z",
                "answered_by": "agent:ana",
                "ended_at": "2026-11-22T09:00:03.000Z",
                "completed": true,
                "primary": null,
                "agents": ["agent:ana", "agent:ben"],
                "correlations": [],
            },
            {
                "call": "live",
                "revision": 9,
                "phase": "conference",
                "queue": "sales",
                "customer": null,
                "answered_at": "2026-11-22T09:00:10.000Z",
                "answered_by": "agent:ana",
                "ended_at": null,
                "completed": false,
                "primary": "agent:ana",
                "agents": ["agent:ana", "agent:dan"],
                "correlations": ["ticket 7"],
            },
            {
                "call": "bare",
                "revision": 1,
                "phase": "talking",
                "queue": null,
                "customer": null,
                "answered_at": "2026-11-22T09:00:20.000Z",
                "answered_by": "agent:eva",
                "ended_at": null,
                "completed": false,
                "primary": "agent:eva",
                "agents": ["agent:eva"],
                "correlations": [],
            },
        ])
    );
}

#[test]
fn all_that_is_asked_must_fit() {
    let any = CallFilter::default;
    let agent = |who: Who| CallFilter {
        agent: Some(who.agent()),
        ..any()
    };
    assert_eq!(names(agent(ANA)), ["over", "live"]);
    assert_eq!(names(agent(BEN)), ["over"], "who was only asked");
    assert_eq!(names(agent(IDA)), [""; 0]);
    let queue = "billing".parse().ok();
    assert_eq!(names(CallFilter { queue, ..any() }), ["over"]);
    let customer = "+81 3 2".parse().ok();
    assert_eq!(names(CallFilter { customer, ..any() }), ["live"]);
    let correlation = "ticket 7".parse().ok();
    assert_eq!(
        names(CallFilter {
            correlation,
            ..any()
        }),
        ["live"]
    );
    let phase = Some(Phase::Ended);
    assert_eq!(names(CallFilter { phase, ..any() }), ["over"]);
    let (from, to) = (Some(after(10_000)), Some(after(20_000)));
    assert_eq!(names(CallFilter { from, ..any() }), ["live", "bare"]);
    assert_eq!(names(CallFilter { to, ..any() }), ["over", "live"]);
    let early = CallFilter { to: from, ..any() };
    assert_eq!(names(early), ["over"], "what follows brings no call back");
    assert_eq!(
        names(CallFilter {
            from,
            to,
            phase,
            ..any()
        }),
        [""; 0]
    );
}
