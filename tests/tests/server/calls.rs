//! Finding calls, and one call as it stands or stood.

use crate::read_models::{
    Stand, all_events, in_the_middle_of_a_day, is_listed, parsed, sent, text,
};
use async_trait::async_trait;
use domain::call::Phase;
use domain::handle::rebuild;
use domain::json::{CallJson, EventJson, parse_line};
use domain::{
    AppendError, Batch, CallId, EventStore, MemoryStore, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent,
};
use projections::{CallFilter, CallList};
use reqwest::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use serde_json::{Value, json, to_value};
use server::operations::document;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::api::{Answered, Api};
use tests::contract::in_time;
use tests::scenario::{ANA, BEN, connect_call, hang_up};
use tests::service::{Running, Setup};
use tokio::sync::watch;

async fn asked(service: &Running, path: &str) -> reqwest::Response {
    let auditor = &service.keys.auditor;
    service.get(auditor, path).send().await.unwrap()
}

async fn answered(service: &Running, path: &str) -> Value {
    let response = asked(service, path).await;
    assert_eq!(response.status(), 200, "{path}");
    parsed(response).await
}

async fn refused(service: &Running, path: &str) -> (u16, Value) {
    let response = asked(service, path).await;
    (response.status().as_u16(), parsed(response).await)
}

fn found(events: &[StoredEvent], filter: CallFilter) -> (Value, String) {
    let mut list = CallList::new(filter);
    list.fold(events);
    let rows = list.rows();
    (to_value(&rows).unwrap(), server::read_models::csv(&rows))
}

/// What can be said of a call, each alone.
fn questions(one: &Value) -> Vec<(String, CallFilter)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (agent, correlation) = (text(&one["agents"][0]), text(&one["correlations"][0]));
    let (customer, queue, at) = (
        text(&one["customer"]),
        text(&one["queue"]),
        text(&one["answered_at"]),
    );
    let question = |query: String, say: fn(&mut CallFilter, &str)| {
        let mut filter = CallFilter::default();
        let (_, value) = query.split_once('=').unwrap();
        say(&mut filter, value);
        (query.replace('+', "%2B"), filter)
    };
    vec![
        (String::new(), CallFilter::default()),
        question(format!("agent={agent}"), |filter, value| {
            filter.agent = value.strip_prefix("agent:").unwrap().parse().ok();
        }),
        question(format!("customer={customer}"), |filter, value| {
            filter.customer = value.parse().ok();
        }),
        question(format!("queue={queue}"), |filter, value| {
            filter.queue = value.parse().ok();
        }),
        question(format!("correlation={correlation}"), |filter, value| {
            filter.correlation = value.parse().ok();
        }),
        question(format!("from={at}"), |filter, value| {
            filter.from = value.parse().ok();
        }),
        question(format!("to={at}"), |filter, value| {
            filter.to = value.parse().ok();
        }),
        question("phase=conference".to_owned(), |filter, _| {
            filter.phase = Some(Phase::Conference);
        }),
    ]
}

#[tokio::test]
async fn calls_are_found_by_whatever_is_said_of_them() {
    let (service, last) = in_the_middle_of_a_day().await;
    let events = all_events(&*service.service.store).await;
    let (all, _) = found(&events, CallFilter::default());
    let mut all = all.as_array().unwrap().iter();
    let one = all.rfind(|row| {
        let said = [&row["queue"], &row["customer"], &row["correlations"][0]];
        said.iter().all(|value| value.is_string())
    });
    for (query, filter) in questions(one.expect("most calls have all of it")) {
        let (rows, csv) = found(&events, filter);
        assert!(!rows.as_array().unwrap().is_empty(), "{query}");
        let expected = (format!("/v1/calls?{query}"), rows, csv);
        is_listed(&service, &service.keys.auditor, &expected, last).await;
    }
    for query in ["phase=sleeping", "agent=supervisor:sam", "limit=0", "x=1"] {
        let (status, problem) = refused(&service, &format!("/v1/calls?{query}")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("bad_value")));
    }
    service.stop().await;
}

/// All calls of the store, in one answer of each form.
pub(crate) async fn every_call_is_found(service: &Running, last: Position) {
    let events = all_events(&*service.service.store).await;
    let (rows, csv) = found(&events, CallFilter::default());
    let expected = ("/v1/calls".to_owned(), rows, csv);
    is_listed(service, &service.keys.auditor, &expected, last).await;
}

#[tokio::test]
async fn pages_of_calls_make_the_whole_while_calls_come() {
    let (service, _) = in_the_middle_of_a_day().await;
    let (all, _) = found(
        &all_events(&*service.service.store).await,
        CallFilter::default(),
    );
    let all = all.as_array().unwrap().clone();
    for sort in ["answered_at", "-answered_at", "call", "-revision"] {
        let first = format!("/v1/calls?limit=9&sort={sort}");
        let mut rows = Vec::new();
        let mut next = Some(first.clone());
        while let Some(path) = next {
            let page = answered(&service, &path).await;
            rows.extend(page["rows"].as_array().unwrap().iter().cloned());
            next = page["next"]
                .as_str()
                .map(|cursor| format!("{first}&cursor={cursor}"));
            let call = format!("later-{sort}-{}", rows.len());
            sent(&service, &call, connect_call(ANA)).await;
        }
        let call = |row: &Value| row["call"].as_str().unwrap().to_owned();
        let old: Vec<_> = rows
            .iter()
            .map(call)
            .filter(|call| !call.starts_with("later"))
            .collect();
        let once: BTreeSet<_> = old.iter().cloned().collect();
        assert_eq!(old.len(), all.len(), "{sort}");
        assert_eq!(once, all.iter().map(call).collect(), "{sort}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_question_that_is_asked_again_reads_only_what_is_new() {
    let stand = Stand::of(MemoryStore::new());
    let service = Running::with(Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    let first = sent(&service, "c1", connect_call(ANA)).await;
    assert_eq!(
        answered(&service, "/v1/calls?agent=ana").await["rows"][0]["call"],
        "c1"
    );
    let etag = asked(&service, "/v1/calls?agent=ana").await.headers()[ETAG].clone();
    let question = service.get(&service.keys.auditor, "/v1/calls?agent=ana");
    let response = question.header(IF_NONE_MATCH, etag).send().await.unwrap();
    assert_eq!(response.status(), 304);
    let second = sent(&service, "c2", connect_call(ANA)).await;
    // What follows the store for other reasons has read on to there before it is looked at who reads what.
    let soon = std::time::Duration::from_mins(1);
    service.service.views.wait_for(second, soon).await.unwrap();
    stand.read.lock().unwrap().clear();
    let answer = answered(&service, "/v1/calls?agent=ana").await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 2);
    assert_eq!(answer["position"], second.0);
    let read = stand.read.lock().unwrap().clone();
    assert!(read.contains(&first), "{read:?}");
    assert!(!read.contains(&Position::START), "{read:?}");
    service.stop().await;
}

#[tokio::test]
async fn one_call_is_shown_as_it_stands_and_as_it_stood() {
    let (service, _) = in_the_middle_of_a_day().await;
    let api = Api::new(document(&server::routes::table()));
    let (all, _) = found(
        &all_events(&*service.service.store).await,
        CallFilter::default(),
    );
    for row in all.as_array().unwrap().iter().take(12) {
        let id: CallId = row["call"].as_str().unwrap().parse().unwrap();
        let store = &service.service.store;
        let history = store.read_call(&id, Revision(0)).await.unwrap();
        let mut points = vec![(String::new(), history.len())];
        for (place, stored) in history.iter().enumerate() {
            points.push((format!("?revision={}", place + 1), place + 1));
            let at = stored.recorded.cause.at;
            let until = history.partition_point(|stored| stored.recorded.cause.at <= at);
            points.push((format!("?at={at}"), until));
        }
        for (query, count) in points {
            let path = format!("/v1/calls/{id}{query}");
            let response = asked(&service, &path).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()[ETAG], format!("\"{count}\"").as_str());
            let position = history[count - 1].position.to_string();
            assert_eq!(response.headers()["kaigi-position"], position.as_str());
            let body = text(response).await;
            api.judge(&Answered {
                method: "GET",
                path: "/v1/calls/{call}",
                status: 200,
                media_type: "application/json",
                body: &body,
            })
            .unwrap();
            let (call, _) = rebuild(&history[..count]).unwrap();
            let shown: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(shown, to_value(CallJson::new(&id, &call)).unwrap());
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_is_not_there_or_not_yet_is_not_found() {
    let service = Running::start().await;
    sent(&service, "c1", connect_call(ANA)).await;
    for path in ["/v1/calls/c2", "/v1/calls/c2/events"] {
        let (status, problem) = refused(&service, path).await;
        assert_eq!((status, &problem["code"]), (404, &json!("call_not_found")));
        assert_eq!(problem["rule"], "R1");
    }
    for (path, status, code) in [
        ("/v1/calls/c1?revision=0", 404, "no_such_revision"),
        ("/v1/calls/c1?revision=2", 404, "no_such_revision"),
        ("/v1/calls/c1?at=2020-01-01T00:00:00Z", 404, "not_yet_begun"),
        (
            "/v1/calls/c1?revision=1&at=2030-01-01T00:00:00Z",
            422,
            "bad_value",
        ),
        ("/v1/calls/c1?revision=x", 422, "bad_value"),
        ("/v1/calls/c1/events?form=odd", 422, "bad_value"),
        ("/v1/calls/c%201", 422, "bad_value"),
    ] {
        let (answered, problem) = refused(&service, path).await;
        assert_eq!(
            (answered, &problem["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_a_client_has_is_not_sent_again() {
    let service = Running::start().await;
    sent(&service, "c1", connect_call(ANA)).await;
    let etag = asked(&service, "/v1/calls/c1").await.headers()[ETAG].clone();
    let again = || {
        let question = service.get(&service.keys.auditor, "/v1/calls/c1");
        question.header(IF_NONE_MATCH, etag.clone()).send()
    };
    let unchanged = again().await.unwrap();
    assert_eq!(unchanged.status(), 304);
    assert_eq!(unchanged.headers()[ETAG], "\"1\"");
    sent(&service, "c1", hang_up(ANA)).await;
    assert_eq!(again().await.unwrap().status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn events_of_a_call_are_told_in_both_forms() {
    let service = Running::start().await;
    sent(&service, "c1", connect_call(ANA)).await;
    sent(&service, "other", connect_call(BEN)).await;
    sent(&service, "c1", hang_up(ANA)).await;
    let id: CallId = "c1".parse().unwrap();
    let store = &service.service.store;
    let history = store.read_call(&id, Revision(0)).await.unwrap();
    let (_, head) = rebuild(&history).unwrap();
    for after in 0..=history.len() {
        let path = format!("/v1/calls/c1/events?after={after}");
        let answer = answered(&service, &path).await;
        let events: Vec<_> = history[after..].iter().map(EventJson).collect();
        assert_eq!(
            answer,
            json!({
                "call": "c1", "revision": history.len(), "head": head.hash.to_string(), "events": events,
            })
        );
        let whole = text(asked(&service, &format!("{path}&form=whole")).await).await;
        let whole: Vec<_> = whole
            .lines()
            .map(|line| parse_line(line).unwrap())
            .collect();
        assert_eq!(whole, history[after..]);
        let question = service.get(&service.keys.auditor, &path);
        let lines = question.header(ACCEPT, "application/x-ndjson").send().await;
        let lines = text(lines.unwrap()).await;
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(lines.collect::<Value>(), json!(events));
    }
    let question = service.get(&service.keys.auditor, "/v1/calls/c1/events?form=whole");
    let response = question.header(ACCEPT, "application/json").send().await;
    assert_eq!(response.unwrap().status(), 406);
    service.stop().await;
}

/// A store that somebody laid hands on.
struct Altered {
    store: MemoryStore,
    altered: AtomicBool,
}

#[async_trait]
impl EventStore for Altered {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut events = self.store.read_call(call, after).await?;
        if self.altered.load(Ordering::SeqCst) {
            events[1].recorded.payload.bytes[0] ^= 1;
        }
        Ok(events)
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[tokio::test]
async fn a_history_that_was_altered_is_not_shown_as_one() {
    let store = Arc::new(Altered {
        store: MemoryStore::new(),
        altered: AtomicBool::new(false),
    });
    let service = Running::with(Setup {
        store: Arc::clone(&store) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    sent(&service, "c1", connect_call(ANA)).await;
    sent(&service, "c1", hang_up(ANA)).await;
    store.altered.store(true, Ordering::SeqCst);
    for path in [
        "/v1/calls/c1",
        "/v1/calls/c1?revision=1",
        "/v1/calls/c1/events",
    ] {
        let (status, problem) = refused(&service, path).await;
        assert_eq!((status, &problem["code"]), (500, &json!("history_altered")));
        assert_eq!(problem["call"], "c1");
        assert_eq!(problem["revision"], 2, "{path}");
    }
    let whole = asked(&service, "/v1/calls/c1/events?form=whole").await;
    assert_eq!(
        whole.status(),
        200,
        "who looks for what was altered is shown it"
    );
    store.altered.store(false, Ordering::SeqCst);
    service.stop().await;
}

/// A store with a gate: while it is closed, whoever reads it from its first event waits and is counted.
struct Gated {
    store: MemoryStore,
    closed: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

#[async_trait]
impl EventStore for Gated {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if after == Position::START && *self.closed.borrow() {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let mut closed = self.closed.subscribe();
            closed.wait_for(|closed| !closed).await.unwrap();
        }
        self.store.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[tokio::test]
async fn two_look_through_all_events_at_once_and_others_are_told_to_come_back() {
    let store = Arc::new(Gated {
        store: MemoryStore::new(),
        closed: watch::Sender::new(false),
        waiting: watch::Sender::new(0),
    });
    let service = Running::with(Setup {
        store: Arc::clone(&store) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    // So many that whoever else follows the store begins further on when it looks at it again.
    for call in 0..1100 {
        sent(&service, &format!("c{call}"), connect_call(ANA)).await;
    }
    let last = store.info().await.unwrap().last;
    let soon = Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    let path = format!("/v1/events?after={last}");
    assert_eq!(asked(&service, &path).await.status(), 200);
    store.closed.send_replace(true);
    let folding = ["/v1/calls?agent=ana", "/v1/calls?agent=ben"];
    let folding = folding.map(|path| service.get(&service.keys.auditor, path).send());
    let folding = tokio::spawn(futures_util::future::join_all(folding));
    let mut waiting = store.waiting.subscribe();
    in_time(waiting.wait_for(|waiting| *waiting == 2))
        .await
        .unwrap();
    let refused = in_time(asked(&service, "/v1/calls?phase=talking")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(parsed(refused).await["code"], "busy");
    assert_eq!(*store.waiting.borrow(), 2, "it never had its turn");
    store.closed.send_replace(false);
    for answer in folding.await.unwrap() {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let answer = answered(&service, "/v1/calls?phase=talking&limit=1").await;
    assert_eq!(answer["rows"][0]["call"], "c0");
    service.stop().await;
}
