//! The changes of read models as a stream.

use crate::narrow::{a_narrow_client, everything, read_until};
use crate::read_models::{in_the_middle_of_a_day, parsed, request, sent};
use domain::{Command, Position, Request, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use reqwest::Method;
use serde_json::{Value, json};
use server::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tests::arbitrary::{Asked, what_is_asked_of_a_call};
use tests::contract::in_time;
use tests::scenario::{
    ANA, BEN, CUSTOMER, SAM, accept_consult, apply_wrap_up, connect_call, hang_up, hold,
    start_conference, start_consult, start_monitoring,
};
use tests::service::{Running, Setup};
use tests::sse::{Events, Sent};

const STREAMS: [(&str, &str); 9] = [
    ("/v1/active-calls", ""),
    ("/v1/active-calls", "agent=agent:ana"),
    ("/v1/active-calls", "phase=conference"),
    ("/v1/wrap-up-queue", ""),
    ("/v1/wrap-up-queue", "agent=agent:ben"),
    ("/v1/monitoring", "supervisor=supervisor:sam"),
    ("/v1/monitoring", "may_start=true"),
    ("/v1/handle-times", "by=call&from=1970-01-01T00:00:00Z"),
    ("/v1/handle-times", "by=agent&from=1970-01-01T00:00:00Z"),
];

/// Whoever keeps rows by what the stream says, and comes back after each cut.
#[derive(Default)]
struct Dashboard {
    rows: BTreeMap<String, Value>,
    /// The last id it was given.
    last: Option<String>,
    /// Whether it was ever told that it had all rows.
    whole: bool,
}

impl Dashboard {
    /// Takes in an event, which must say something new once all rows are there. Before, what changed while the first rows
    /// were sent follows after them.
    fn take(&mut self, sent: &Sent) {
        let data = sent.json();
        match sent.event.as_str() {
            "row" => {
                let (key, row) = (data["key"].to_string(), data["row"].clone());
                let before = self.rows.insert(key, row.clone());
                let is_new = before != Some(row);
                assert!(is_new || !self.whole, "a row was sent twice: {data}");
            }
            "gone" => {
                assert_eq!(data["row"], Value::Null);
                let before = self.rows.remove(&data["key"].to_string());
                let was_there = before.is_some();
                assert!(
                    was_there || !self.whole,
                    "a row went that was not there: {data}"
                );
            }
            "reset" => *self = Self::default(),
            "caught_up" => self.whole = true,
            "progress" => {}
            other => panic!("nobody said what `{other}` is"),
        }
        if !sent.id.is_empty() {
            self.last = Some(sent.id.clone());
        }
    }

    /// Comes back where it was; without an id there is nothing to go on from.
    async fn connected(&mut self, service: &Running, (path, query): (&str, &str)) -> Events {
        let path = format!("{path}/changes?{query}");
        let mut question = service.get(&service.keys.reader, &path);
        match &self.last {
            Some(last) => question = question.header("Last-Event-ID", last),
            None => self.rows.clear(),
        }
        Events::of(question.send().await.unwrap())
    }
}

async fn connected(service: &Running, path: &str) -> Events {
    let question = service.get(&service.keys.reader, path);
    Events::of(question.send().await.unwrap())
}

fn position(sent: &Sent) -> Position {
    Position(sent.json()["position"].as_u64().unwrap_or_default())
}

/// The rows of the list, by the key that the stream gives them.
async fn listed(service: &Running, (path, query): (&str, &str)) -> BTreeMap<String, Value> {
    let path = format!("{path}?{query}&limit=10000");
    let response = service.get(&service.keys.reader, &path).send().await;
    let answer = parsed(response.unwrap()).await;
    let rows = answer["rows"].as_array().unwrap().iter();
    let is_of_agents = path.contains("wrap-up") || path.contains("by=agent");
    rows.map(|row| {
        let key = if is_of_agents {
            json!({"call": row["call"], "agent": row["agent"]})
        } else {
            json!({"call": row["call"]})
        };
        (key.to_string(), row.clone())
    })
    .collect()
}

/// What is asked of a few calls, in turns.
fn in_turns(calls: Vec<Vec<Asked>>) -> Vec<Request> {
    let mut calls: Vec<_> = calls.into_iter().map(Vec::into_iter).collect();
    let mut requests = Vec::new();
    loop {
        let before = requests.len();
        for (number, asked) in calls.iter_mut().enumerate() {
            requests.extend(asked.next().map(|asked| Request {
                call: format!("c{number}").parse().unwrap(),
                id: None,
                at: Some(asked.at),
                correlation: None,
                expect: None,
                command: asked.command,
            }));
        }
        if requests.len() == before {
            return requests;
        }
    }
}

async fn write(service: &Running, requests: Vec<Request>) -> Position {
    let handler = &service.service.handler;
    for request in requests {
        // Some of it is refused.
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
    service.service.store.info().await.unwrap().last
}

/// Follows with cuts after so many events each, until it was told of everything up to the position.
async fn followed(
    service: &Running,
    stream: (&str, &str),
    mut cuts: impl Iterator<Item = usize>,
    mut end: tokio::sync::watch::Receiver<Option<Position>>,
) -> Dashboard {
    let mut dashboard = Dashboard::default();
    loop {
        let mut events = dashboard.connected(service, stream).await;
        let cut = cuts.next().unwrap_or(usize::MAX);
        for _ in 0..cut {
            let sent = events.next().await.expect("the stream goes on");
            dashboard.take(&sent);
            let end = *end.borrow_and_update();
            let is_told = matches!(sent.event.as_str(), "caught_up" | "progress");
            if is_told && end.is_some_and(|end| position(&sent) >= end) {
                assert!(dashboard.whole);
                return dashboard;
            }
        }
    }
}

async fn whatever_is_cut_the_rows_are_right(
    before: Vec<Vec<Asked>>,
    during: Vec<Vec<Asked>>,
    cuts: Vec<usize>,
) {
    let service = Running::with(Setup {
        settings: Settings {
            heartbeat_ms: 5,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    write(&service, in_turns(before)).await;
    let (ended, end) = tokio::sync::watch::channel(None);
    let dashboards = STREAMS.map(|stream| {
        let cuts = cuts.clone().into_iter();
        followed(&service, stream, cuts, end.clone())
    });
    let writing = async {
        let last = write(&service, in_turns(during)).await;
        ended.send_replace(Some(last));
    };
    let (dashboards, ()) = tokio::join!(futures_util::future::join_all(dashboards), writing);
    for (stream, dashboard) in STREAMS.into_iter().zip(dashboards) {
        assert_eq!(dashboard.rows, listed(&service, stream).await, "{stream:?}");
    }
    service.stop().await;
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn a_stream_makes_the_rows_of_the_list_whatever_is_cut(
        before in vec(what_is_asked_of_a_call(), 0..4),
        during in vec(what_is_asked_of_a_call(), 1..5),
        cuts in vec(0_usize..12, 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(whatever_is_cut_the_rows_are_right(before, during, cuts));
    }
}

#[tokio::test]
async fn all_rows_come_first_in_the_order_of_the_list() {
    let (service, last) = in_the_middle_of_a_day().await;
    for stream in STREAMS {
        let (path, query) = stream;
        let mut events = connected(&service, &format!("{path}/changes?{query}")).await;
        let mut rows = Vec::new();
        let end = loop {
            let sent = events.next().await.unwrap();
            if sent.event != "row" {
                break sent;
            }
            assert_eq!(sent.id, "", "whoever is cut off here begins anew");
            assert_eq!(position(&sent), last);
            rows.push(sent.json()["row"].clone());
        };
        assert_eq!(end.event, "caught_up");
        assert!(end.id.starts_with(&format!("{last}-")), "{}", end.id);
        let question = service.get(&service.keys.reader, &format!("{path}?{query}"));
        let listed = parsed(question.send().await.unwrap()).await;
        assert_eq!(json!(rows), listed["rows"], "{stream:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_row_that_stops_to_fit_is_gone_and_one_that_begins_to_is_there() {
    let service = Running::start().await;
    sent(&service, "c1", connect_call(ANA)).await;
    let last = sent(&service, "c1", start_consult(ANA, BEN)).await;
    let soon = Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    let mut talking = connected(&service, "/v1/active-calls/changes?phase=talking").await;
    let mut conferences = connected(&service, "/v1/active-calls/changes?phase=conference").await;
    assert_eq!(talking.next().await.unwrap().event, "row");
    assert_eq!(talking.next().await.unwrap().event, "caught_up");
    assert_eq!(conferences.next().await.unwrap().event, "caught_up");
    sent(&service, "c1", accept_consult(BEN)).await;
    sent(&service, "c1", start_conference(ANA)).await;
    let gone = talking.next_named("gone").await.unwrap().json();
    assert_eq!(gone["key"], json!({"call": "c1"}));
    let row = conferences.next().await.unwrap();
    assert_eq!(row.event, "row");
    assert_eq!(row.json()["row"]["phase"], "conference");
    service.stop().await;
}

#[tokio::test]
async fn only_rows_that_changed_are_sent() {
    let service = Running::start().await;
    let mut events = connected(&service, "/v1/monitoring/changes").await;
    events.next_named("caught_up").await.unwrap();
    sent(&service, "c1", connect_call(ANA)).await;
    sent(&service, "c1", hold(ANA, CUSTOMER)).await;
    sent(&service, "c1", start_monitoring(SAM, ANA)).await;
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|row: &Value| row["sessions"] == json!([]))
    {
        let sent = events.next().await.unwrap();
        assert_eq!(sent.event, "row");
        seen.push(sent.json()["row"].clone());
    }
    // The hold shows nowhere in it; how far the fold got at once, nobody knows.
    assert!(seen.len() <= 2, "{seen:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_is_completed_at_once_has_its_times() {
    let service = Running::start().await;
    let mut by_call = connected(&service, "/v1/handle-times/changes").await;
    let mut by_agent = connected(&service, "/v1/handle-times/changes?by=agent").await;
    by_call.next_named("caught_up").await.unwrap();
    by_agent.next_named("caught_up").await.unwrap();
    sent(&service, "c1", connect_call(ANA)).await;
    sent(&service, "c1", hang_up(CUSTOMER)).await;
    let last = sent(&service, "c1", apply_wrap_up(ANA, "billing")).await;
    for (events, key) in [
        (&mut by_call, json!({"call": "c1"})),
        (&mut by_agent, json!({"call": "c1", "agent": "agent:ana"})),
    ] {
        let row = loop {
            let row = events.next_named("row").await.unwrap().json();
            assert_eq!(row["key"], key);
            if row["row"]["open"] == 0 {
                break row;
            }
        };
        assert_eq!(row["position"], last.0);
    }
    service.stop().await;
}

async fn at(service: &Running, call: &str, command: Command, at: Timestamp) {
    let request = Request {
        at: Some(at),
        ..request(call, command)
    };
    let handler = &service.service.handler;
    let answer = handler.handle(&request, handler.random_id(), handler.now());
    answer.await.unwrap();
}

/// The calls of the rows that come first.
async fn calls_to_begin_with(service: &Running, path: &str) -> Vec<Value> {
    let mut events = connected(service, path).await;
    let mut calls = Vec::new();
    loop {
        let sent = events.next().await.unwrap();
        if sent.event == "caught_up" {
            return calls;
        }
        calls.push(sent.json()["key"]["call"].clone());
    }
}

#[tokio::test]
async fn ended_calls_begin_with_the_last_24_hours_unless_it_is_said_since_when() {
    const HOUR_MS: u64 = 3_600_000;
    let service = Running::start().await;
    let now = service.service.handler.now();
    let ago = |hours| now.minus_millis(hours * HOUR_MS);
    for (call, hours) in [("old", 49), ("yesterday", 25), ("today", 23)] {
        at(&service, call, connect_call(ANA), ago(hours + 1)).await;
        at(&service, call, hang_up(CUSTOMER), ago(hours)).await;
    }
    let last = service.service.store.info().await.unwrap().last;
    let soon = Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    let path = "/v1/handle-times/changes";
    for by in ["call", "agent"] {
        let since = |query: String| format!("{path}?by={by}{query}");
        for (query, expected) in [
            (String::new(), vec!["today"]),
            (format!("&from={}", ago(26)), vec!["yesterday", "today"]),
            (format!("&to={}", ago(24)), vec!["yesterday"]),
        ] {
            let calls = calls_to_begin_with(&service, &since(query)).await;
            assert_eq!(calls, expected);
        }
    }
    // What is not sent first is sent when it changes.
    let mut events = connected(&service, path).await;
    events.next_named("caught_up").await.unwrap();
    sent(&service, "old", apply_wrap_up(ANA, "billing")).await;
    let row = events.next().await.unwrap().json();
    assert_eq!(row["key"], json!({"call": "old"}));
    service.stop().await;
}

#[tokio::test]
async fn a_stream_that_has_caught_up_says_the_proof_of_its_events() {
    let (service, _) = in_the_middle_of_a_day().await;
    let events = service.service.views.events();
    let mut stream = connected(&service, "/v1/active-calls/changes").await;
    let caught_up = stream.next_named("caught_up").await.unwrap().json();
    assert_eq!(
        caught_up,
        json!({
            "position": events.position.0, "count": events.count, "proof": events.rolling_hash.to_string(),
        })
    );
    service.stop().await;
}

/// More calls ended than are taken at once, and while they are taken, wrap-ups are applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_while_all_are_taken_are_as_they_are_then() {
    let service = Running::with(Setup {
        settings: Settings {
            heartbeat_ms: 5,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    let calls = 3000;
    for call in 0..calls {
        at(
            &service,
            &format!("c{call}"),
            connect_call(ANA),
            domain::now(),
        )
        .await;
        at(
            &service,
            &format!("c{call}"),
            hang_up(CUSTOMER),
            domain::now(),
        )
        .await;
    }
    let end = tokio::sync::watch::channel(None);
    let stream = ("/v1/handle-times", "by=agent&from=1970-01-01T00:00:00Z");
    let writing = async {
        for call in (0..calls).rev() {
            let wrap_up = apply_wrap_up(ANA, "billing");
            at(&service, &format!("c{call}"), wrap_up, domain::now()).await;
        }
        let last = service.service.store.info().await.unwrap().last;
        end.0.send_replace(Some(last));
    };
    let followers = (0..8).map(|_| followed(&service, stream, std::iter::empty(), end.1.clone()));
    let followers = futures_util::future::join_all(followers);
    let (dashboards, ()) = tokio::join!(followers, writing);
    let listed = listed(&service, stream).await;
    assert_eq!(listed.len(), calls);
    for dashboard in dashboards {
        assert_eq!(dashboard.rows, listed);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_known_any_more_begins_anew() {
    let (service, _) = in_the_middle_of_a_day().await;
    for id in ["1-00000000", "1.1-00000000", "99999999-0123abcd"] {
        let question = service.get(&service.keys.reader, "/v1/active-calls/changes");
        let response = question.header("Last-Event-ID", id).send().await;
        let mut events = Events::of(response.unwrap());
        let first = events.next().await.unwrap();
        assert_eq!(first.event, "reset", "{id}");
        assert!(first.json()["reason"].is_string());
        assert_eq!(events.next().await.unwrap().event, "row");
    }
    for id in ["1", "x-00000000", "1.-00000000", "1-xyz"] {
        let question = service.get(&service.keys.reader, "/v1/active-calls/changes");
        let response = question.header("Last-Event-ID", id).send().await.unwrap();
        assert_eq!(response.status(), 422, "{id}");
    }
    service.stop().await;
}

#[tokio::test]
async fn who_is_too_slow_is_cut_off_and_comes_back() {
    let service = Running::with(Setup {
        settings: Settings {
            max_waiting_events: 0,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    let mut events = connected(&service, "/v1/active-calls/changes").await;
    let before = events.next_named("caught_up").await.unwrap();
    sent(&service, "c1", connect_call(ANA)).await;
    let cut_off = events.next().await.unwrap();
    assert_eq!(cut_off.event, "cut_off");
    assert_eq!(cut_off.json()["reason"], "too_slow");
    assert_eq!(cut_off.id, before.id, "it goes on from where it was");
    assert_eq!(events.next().await, None);
    let question = service.get(&service.keys.reader, "/v1/active-calls/changes");
    let response = question.header("Last-Event-ID", cut_off.id).send().await;
    let mut events = Events::of(response.unwrap());
    let row = events.next().await.unwrap();
    assert_eq!(row.event, "row");
    assert_eq!(row.json()["row"]["call"], "c1");
    assert_eq!(events.next().await.unwrap().event, "caught_up");
    service.stop().await;
}

/// The calls whose rows were sent.
fn calls_of<'s>(sent: impl IntoIterator<Item = &'s Sent>) -> BTreeSet<String> {
    let rows = sent.into_iter().filter(|sent| sent.event == "row");
    rows.map(|sent| sent.json()["key"]["call"].to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_cut_off_and_can_go_on_while_others_are_told_everything() {
    let service = Running::with(Setup {
        settings: Settings {
            max_waiting_events: 500,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    let path = "/v1/active-calls/changes";
    let mut quick = connected(&service, path).await;
    quick.next_named("caught_up").await.unwrap();
    let mut slow = a_narrow_client(&service, &service.keys.reader, path).await;
    let begun = read_until(&mut slow, "caught_up").await;
    let mut told = BTreeSet::new();
    for round in 0..40 {
        for call in 0..200 {
            let call = format!("c{round}-{call}");
            at(&service, &call, connect_call(ANA), domain::now()).await;
        }
        for _ in 0..200 {
            let row = quick.next_named("row").await.unwrap();
            told.extend(calls_of([&row]));
        }
    }
    assert_eq!(told.len(), 8000);
    let slow = everything(slow, begun).await;
    let end = slow.last().unwrap();
    assert_eq!(end.event, "cut_off");
    assert_eq!(end.json()["reason"], "too_slow");
    let mut got = calls_of(&slow);
    assert!(got.len() < told.len());
    let question = service.get(&service.keys.reader, path);
    let response = question.header("Last-Event-ID", &end.id).send().await;
    let mut resumed = Events::of(response.unwrap());
    loop {
        let sent = resumed.next().await.unwrap();
        if sent.event == "caught_up" {
            break;
        }
        assert!(got.is_disjoint(&calls_of([&sent])), "sent twice");
        got.extend(calls_of([&sent]));
    }
    assert_eq!(got, told);
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_stops_says_so() {
    let (service, _) = in_the_middle_of_a_day().await;
    let mut events = connected(&service, "/v1/monitoring/changes").await;
    events.next_named("caught_up").await.unwrap();
    assert_eq!(service.service.views.subscribers(), 1);
    let stopping = tokio::spawn(service.stop());
    let last = events.next().await.unwrap();
    assert_eq!(last.event, "stopping");
    assert!(!last.id.is_empty());
    assert_eq!(events.next().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_rebuilt_read_model_is_sent_anew() {
    let (service, _) = in_the_middle_of_a_day().await;
    let stream = ("/v1/handle-times", "by=agent&from=2000-01-01T00:00:00Z");
    let mut dashboard = Dashboard::default();
    let mut events = dashboard.connected(&service, stream).await;
    dashboard.take(&events.next().await.unwrap());
    let operator = &service.keys.operator;
    let rebuild = service.request(Method::POST, operator, "/v1/read-models/rebuild");
    rebuild.send().await.unwrap();
    let mut anew = false;
    while !(anew && dashboard.whole) {
        let sent = events.next().await.unwrap();
        anew |= sent.event == "reset";
        dashboard.take(&sent);
    }
    assert_eq!(dashboard.rows, listed(&service, stream).await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_which_nothing_fits_says_where_it_stands_however_much_happens() {
    let settings = Settings {
        heartbeat_ms: 300,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    let mut events = connected(&service, "/v1/active-calls/changes?queue=nobody").await;
    events.next_named("caught_up").await.unwrap();
    let handler = Arc::clone(&service.service.handler);
    let writing = tokio::spawn(async move {
        for number in 0.. {
            let connect = request(&format!("c{number}"), connect_call(ANA));
            let id = handler.random_id();
            handler.handle(&connect, id, handler.now()).await.unwrap();
        }
    });
    let told = in_time(events.next()).await.unwrap();
    assert_eq!(told.event, "progress");
    assert!(position(&told) > Position::START);
    writing.abort();
    service.stop().await;
}
