//! `handle-times` by windows of time.

use crate::{connect_through, read, shown};
use domain::StoredEvent;
use projections::{Behind, By, Checkpointed, HandleTimes, TimesFilter, Window, WindowRow};
use serde_json::{Value, json};
use tests::ledger::{Ledger, after};
use tests::scenario::*;

const MINUTE: u64 = 60;

/// The agent talks from the one second to the other and settles ten seconds later.
fn talks(ledger: &Ledger, call: &str, queue: &str, agent: Who, from: u64, to: u64) {
    ledger
        .ask(call, from, connect_through(queue, agent))
        .ask(call, to, end_call(agent))
        .ask(call, to + 10, apply_wrap_up(agent, "billing"));
}

/// Calls that end between nine and eleven.
fn a_morning() -> Vec<StoredEvent> {
    let ledger = Ledger::new();
    talks(&ledger, "s1", "sales", ANA, 0, 100);
    talks(&ledger, "s2", "sales", BEN, 0, 15 * MINUTE - 1);
    talks(&ledger, "s3", "sales", ANA, 14 * MINUTE, 15 * MINUTE);
    talks(&ledger, "b1", "billing", ANA, 30 * MINUTE, 31 * MINUTE);
    talks(&ledger, "s4", "sales", ANA, 59 * MINUTE, 61 * MINUTE);
    ledger
        .ask("none", 0, connect_call(BEN))
        .ask("none", 200, end_call(BEN));
    ledger.events()
}

fn windows(events: &[StoredEvent], window: Window, by: By, filter: &TimesFilter) -> Vec<WindowRow> {
    read::<HandleTimes>(events)
        .state()
        .windows(window, by, filter)
}

fn of_metric(rows: Vec<WindowRow>, metric: &str) -> Vec<WindowRow> {
    rows.into_iter()
        .filter(|row| row.metric == metric)
        .collect()
}

/// Key, beginning, count, sum in seconds and what is open.
fn short(row: &WindowRow) -> (Value, String, u64, u64, u64) {
    let from = row.from.0.to_string()[11..16].to_owned();
    (
        shown(&row.key),
        from,
        row.count,
        row.sum_ms / 1000,
        row.open,
    )
}

fn handle(window: Window, by: By) -> Vec<(Value, String, u64, u64, u64)> {
    let rows = windows(&a_morning(), window, by, &TimesFilter::default());
    of_metric(rows, "handle").iter().map(short).collect()
}

#[test]
fn a_row_says_all_of_a_metric() {
    let ledger = Ledger::new();
    talks(&ledger, "one", "sales", ANA, 0, 10);
    talks(&ledger, "two", "sales", ANA, 10, 25);
    let rows = windows(
        &ledger.events(),
        Window::Hour,
        By::Queue,
        &TimesFilter::default(),
    );
    let metrics: Vec<_> = rows.iter().map(|row| row.metric).collect();
    assert_eq!(
        metrics,
        [
            "talking",
            "conference",
            "wrap_up_assist",
            "handle",
            "customer_held",
            "consult"
        ]
    );
    assert_eq!(
        shown(&rows[3]),
        json!({
            "key": "sales",
            "from": "2026-11-22T09:00:00.000Z",
            "to": "2026-11-22T10:00:00.000Z",
            "metric": "handle",
            "count": 2,
            "sum_ms": 25_000,
            "mean_ms": 12_500,
            // Within 1 % of 10 and of 15 seconds, and the same on every machine.
            "p50_ms": 9_983,
            "p90_ms": 14_891,
            "p95_ms": 14_891,
            "p99_ms": 14_891,
            "max_ms": 15_000,
            "open": 0,
        })
    );
    let rows = windows(
        &ledger.events(),
        Window::Hour,
        By::Agent,
        &TimesFilter::default(),
    );
    let metrics: Vec<_> = rows.iter().map(|row| row.metric).collect();
    assert_eq!(
        metrics,
        [
            "engaged",
            "held",
            "wrap_up",
            "handle",
            "conference",
            "consult",
            "wrap_up_assist"
        ]
    );
    assert_eq!(shown(&rows[3])["key"], "agent:ana");
    assert_eq!(rows[3].sum_ms, 25_000 + 2 * 10_000);
}

#[test]
fn a_mean_is_rounded_to_the_nearest_millisecond_half_a_one_upwards() {
    let mean = |ends: &[u64]| {
        let ledger = Ledger::new();
        for (call, ms) in (0..).zip(ends) {
            let call = format!("c{call}");
            ledger.ask_at(&call, after(0), connect_call(ANA)).ask_at(
                &call,
                after(*ms),
                end_call(ANA),
            );
        }
        windows(
            &ledger.events(),
            Window::Day,
            By::All,
            &TimesFilter::default(),
        )[0]
        .mean_ms
    };
    assert_eq!(mean(&[1, 2]), Some(2));
    assert_eq!(mean(&[1, 1, 2]), Some(1));
    assert_eq!(mean(&[1, 2, 2]), Some(2));
}

#[test]
fn windows_follow_the_end_of_calls_and_longer_ones_are_made_of_shorter() {
    let all = |from: &str, count, sum, open| (json!("all"), from.to_owned(), count, sum, open);
    assert_eq!(
        handle(Window::Quarter, By::All),
        [
            all("09:00", 3, 100 + 899 + 200, 0),
            all("09:15", 1, 60, 0),
            all("09:30", 1, 60, 0),
            all("10:00", 1, 120, 0),
        ]
    );
    assert_eq!(
        handle(Window::Hour, By::All),
        [all("09:00", 5, 1319, 0), all("10:00", 1, 120, 0)]
    );
    assert_eq!(handle(Window::Day, By::All), [all("00:00", 6, 1439, 0)]);
}

#[test]
fn calls_are_counted_by_queue_and_those_of_none_by_null() {
    let row = |key, count, sum| (key, "00:00".to_owned(), count, sum, 0);
    assert_eq!(
        handle(Window::Day, By::Queue),
        [
            row(json!(null), 1, 200),
            row(json!("billing"), 1, 60),
            row(json!("sales"), 4, 1179),
        ]
    );
}

#[test]
fn an_agents_part_is_open_until_it_is_settled_and_then_counts_where_the_call_ended() {
    let row =
        |key: &str, from: &str, count, sum, open| (json!(key), from.to_owned(), count, sum, open);
    assert_eq!(
        handle(Window::Hour, By::Agent),
        [
            row("agent:ana", "09:00", 3, 100 + 60 + 60 + 30, 0),
            row("agent:ben", "09:00", 1, 899 + 10, 1),
            row("agent:ana", "10:00", 1, 130, 0),
        ]
    );
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(BEN))
        .ask("c1", 200, end_call(BEN));
    let open = windows(
        &ledger.events(),
        Window::Quarter,
        By::Agent,
        &TimesFilter::default(),
    );
    assert_eq!(open.len(), 7);
    assert_eq!(short(&open[3]), row("agent:ben", "09:00", 0, 0, 1));
    assert_eq!(
        (open[3].mean_ms, open[3].p99_ms, open[3].max_ms),
        (None, None, None)
    );
    ledger.ask("c1", 3 * 60 * MINUTE, apply_wrap_up(BEN, "billing"));
    let settled = windows(
        &ledger.events(),
        Window::Quarter,
        By::Agent,
        &TimesFilter::default(),
    );
    assert_eq!(
        short(&settled[3]),
        row("agent:ben", "09:00", 1, 3 * 60 * MINUTE, 0)
    );
}

#[test]
fn who_was_only_consulted_counts_for_that_and_nothing_else() {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_call(ANA))
        .ask("c1", 5, start_consult(ANA, DAN))
        .ask("c1", 10, accept_consult(DAN))
        .ask("c1", 17, end_consult(DAN))
        .ask("c1", 40, end_call(ANA));
    let rows = windows(
        &ledger.events(),
        Window::Day,
        By::Agent,
        &TimesFilter::default(),
    );
    let dan = json!("agent:dan");
    let of_dan: Vec<_> = rows.iter().filter(|row| shown(&row.key) == dan).collect();
    assert_eq!(of_dan.len(), 1);
    assert_eq!(
        (of_dan[0].metric, of_dan[0].count, of_dan[0].sum_ms),
        ("consult", 1, 7000)
    );
}

#[test]
fn a_filter_narrows_what_is_counted_and_takes_whole_windows() {
    let count = |by, filter: &TimesFilter| {
        let rows = windows(&a_morning(), Window::Hour, by, filter);
        let rows = of_metric(rows, "handle");
        rows.iter().map(|row| row.count).collect::<Vec<_>>()
    };
    let any = TimesFilter::default;
    let queue = "sales".parse().ok();
    let sales = TimesFilter { queue, ..any() };
    assert_eq!(count(By::All, &sales), [3, 1]);
    assert_eq!(count(By::Agent, &sales), [2, 1, 1], "Ana, Ben; then Ana");
    let agent = Some(BEN.agent());
    let of_ben = TimesFilter { agent, ..any() };
    assert_eq!(count(By::All, &of_ben), [2]);
    assert_eq!(
        count(By::Queue, &of_ben),
        [1, 1],
        "of no queue, and of sales"
    );
    assert_eq!(count(By::Agent, &of_ben), [1]);
    let from = Some(after(59 * MINUTE * 1000));
    assert_eq!(count(By::All, &TimesFilter { from, ..any() }), [5, 1]);
    let from = Some(after(60 * MINUTE * 1000));
    assert_eq!(count(By::All, &TimesFilter { from, ..any() }), [1]);
    let to = from;
    assert_eq!(count(By::All, &TimesFilter { to, ..any() }), [5]);
}

#[test]
fn a_span_that_ends_before_it_begins_has_no_windows() {
    let between = |from: u64, to: u64| TimesFilter {
        from: Some(after(from * MINUTE * 1000)),
        to: Some(after(to * MINUTE * 1000)),
        ..TimesFilter::default()
    };
    for by in [By::All, By::Queue, By::Agent] {
        for (from, to) in [(59, 58), (60, 10), (20, 20), (15, 15)] {
            let rows = windows(&a_morning(), Window::Hour, by, &between(from, to));
            assert_eq!(rows, [], "{from} to {to}");
        }
        assert!(!windows(&a_morning(), Window::Hour, by, &between(20, 21)).is_empty());
    }
}

#[test]
fn the_calls_behind_a_row_add_up_to_it() {
    let model: Checkpointed<HandleTimes> = read(&a_morning());
    let queue = "sales".parse().ok();
    let filters = [
        TimesFilter::default(),
        TimesFilter {
            queue,
            ..TimesFilter::default()
        },
    ];
    for (by, filter) in [By::All, By::Queue, By::Agent]
        .into_iter()
        .flat_map(|by| filters.each_ref().map(|filter| (by, filter)))
    {
        let explained = model.state().explain(Window::Hour, by, filter);
        for row in model.state().windows(Window::Hour, by, filter) {
            let behind = explained.behind(&row);
            assert!(adds_up(&row, &behind), "{row:?} {behind:?}");
        }
    }
}

fn adds_up(row: &WindowRow, behind: &Behind<'_, '_>) -> bool {
    let part = format!("{}_ms", row.metric);
    let rows = shown(behind);
    let rows = rows.as_array().expect("rows").iter();
    let of_agent = matches!(behind, Behind::Agents(_));
    let (open, whole): (Vec<_>, Vec<_>) = rows.partition(|row| of_agent && row["open"] == 1);
    let sum: u64 = whole.iter().filter_map(|row| row[&part].as_u64()).sum();
    (whole.len() as u64, sum, open.len() as u64) == (row.count, row.sum_ms, row.open)
}

#[test]
fn names_of_windows_and_keys_are_the_interfaces() {
    assert_eq!("15m".parse(), Ok(Window::Quarter));
    assert_eq!("1h".parse(), Ok(Window::Hour));
    assert_eq!("1d".parse(), Ok(Window::Day));
    assert_eq!("queue".parse(), Ok(By::Queue));
    assert_eq!("agent".parse(), Ok(By::Agent));
    assert_eq!("all".parse(), Ok(By::All));
    let error = "2h".parse::<Window>().expect_err("no such window");
    assert_eq!(error.to_string(), "\"2h\" is none of 15m, 1h, 1d");
}
