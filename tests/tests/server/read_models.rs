//! The read models over HTTP.

use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, Command, EventStore, Handler, MemoryStore, Position, Request,
    Revision, StoreError, StoreId, StoreInfo, StoredEvent,
};
use projections::{
    ActiveCalls, AllFour, By, Checkpointed, ExplainedRow, Monitoring, ReadModel, Row, TimesFilter,
    Window, WrapUpQueue,
};
use reqwest::header::{ACCEPT, CACHE_CONTROL, ETAG, IF_NONE_MATCH, LINK, VARY};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json, to_value};
use server::Settings;
use server::operations::document;
use server::read_models::WhyRebuilt;
use simulate::{Day, simulate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use tests::api::{Answered, Api};
use tests::contract::in_time;
use tests::scenario::{
    ANA, BEN, CUSTOMER, DAN, EVA, SAM, a_conference, connect_call, hang_up, start_consult,
    start_monitoring,
};
use tests::service::{Running, Setup};
use tests::sse::Events;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// A store whose events are read for the test, which can be away for a while, and have another's put in its place.
pub(crate) struct Stand {
    id: StoreId,
    inner: RwLock<Arc<MemoryStore>>,
    /// Rises with whatever ends a wait.
    turned: watch::Sender<u64>,
    away: AtomicBool,
    /// Whether whoever reads it comes to a bad end.
    broken: AtomicBool,
    /// After which positions events were read.
    pub(crate) read: Mutex<Vec<Position>>,
}

impl Stand {
    pub(crate) fn of(inner: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            id: StoreId(Uuid::from_u128(5)),
            inner: RwLock::new(Arc::new(inner)),
            turned: watch::Sender::new(0),
            away: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            read: Mutex::default(),
        })
    }

    /// As an operator would: stop it, restore a copy, start it.
    pub(crate) fn restore(&self, copy: MemoryStore) {
        *self.inner.write().unwrap() = Arc::new(copy);
        self.turned.send_modify(|times| *times += 1);
    }

    fn go_away(&self) {
        self.away.store(true, Ordering::SeqCst);
        self.turned.send_modify(|times| *times += 1);
    }

    fn come_back(&self) {
        self.away.store(false, Ordering::SeqCst);
    }

    fn there(&self) -> Result<Arc<MemoryStore>, StoreError> {
        assert!(!self.broken.load(Ordering::SeqCst), "it is broken");
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("node-7 is away".to_owned()));
        }
        Ok(Arc::clone(&self.inner.read().unwrap()))
    }
}

#[async_trait]
impl EventStore for Stand {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.there()?.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.there()?.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read.lock().unwrap().push(after);
        self.there()?.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        let there = self.there()?;
        let mut turned = self.turned.subscribe();
        tokio::select! {
            _ = turned.changed() => Err(StoreError::Unavailable("it was stopped".to_owned())),
            last = there.wait_past(position) => last,
        }
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.there()?.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The better part of a day, taken by the store: calls of it still go on.
pub(crate) async fn begun(store: &Arc<dyn EventStore>, day: Day) {
    let handler = Handler::new(Arc::clone(store));
    let commands = simulate(&day).count() * 2 / 3;
    for request in simulate(&day).take(commands) {
        // The day has commands that a rule refuses.
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
}

/// A service on a store in which several centres are in the middle of their day, caught up.
pub(crate) async fn in_the_middle_of_a_day() -> (Running, Position) {
    in_the_middle_of_a_day_on(Arc::new(MemoryStore::new())).await
}

/// The same on that store, which is empty.
pub(crate) async fn in_the_middle_of_a_day_on(store: Arc<dyn EventStore>) -> (Running, Position) {
    for seed in 1..=8 {
        begun(&store, Day { calls: 40, seed }).await;
    }
    let handler = Handler::new(Arc::clone(&store));
    for command in a_conference([DAN, EVA]) {
        let id = handler.random_id();
        let conference = request("conference", command);
        handler
            .handle(&conference, id, handler.now())
            .await
            .unwrap();
    }
    let last = store.info().await.unwrap().last;
    let service = Running::with(Setup {
        store,
        ..Setup::default()
    })
    .await;
    let soon = std::time::Duration::from_mins(1);
    let views = &service.service.views;
    views.wait_for(last, soon).await.unwrap();
    while !views.caught_up() {
        tokio::task::yield_now().await;
    }
    (service, last)
}

/// The read models as the projections alone make them.
async fn folded(service: &Running) -> Checkpointed<AllFour> {
    let store = &service.service.store;
    let mut model = Checkpointed::new(store.id());
    model.fold(&all_events(&**store).await);
    model
}

/// However few the store answers at once.
pub(crate) async fn all_events(store: &dyn EventStore) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, |last| last.position);
        let events = store.read_all(after, usize::MAX).await.unwrap();
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}

/// Asks a dashboard's question.
async fn asked(service: &Running, path: &str) -> reqwest::Response {
    let reader = &service.keys.reader;
    service.get(reader, path).send().await.unwrap()
}

pub(crate) async fn text(response: reqwest::Response) -> String {
    response.text().await.unwrap()
}

pub(crate) async fn parsed(response: reqwest::Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// The whole answer to a question that is answered.
async fn answered(service: &Running, path: &str) -> Value {
    let response = asked(service, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    parsed(response).await
}

async fn rows(service: &Running, path: &str) -> Vec<Value> {
    let answer = answered(service, path).await;
    answer["rows"].as_array().unwrap().clone()
}

/// A refusal's status and code.
async fn refused(service: &Running, path: &str) -> (u16, String) {
    let response = asked(service, path).await;
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{path}"
    );
    let problem = parsed(response).await;
    (status, problem["code"].as_str().unwrap().to_owned())
}

fn shown<R: Row>(rows: &[R]) -> Value {
    to_value(rows).unwrap()
}

pub(crate) fn request(call: &str, command: Command) -> Request {
    Request {
        call: call.parse().unwrap(),
        id: None,
        at: None,
        correlation: None,
        expect: None,
        command,
    }
}

/// Sends a command past HTTP, and answers where its last event stands.
pub(crate) async fn sent(service: &Running, call: &str, command: Command) -> Position {
    let handler = &service.service.handler;
    let request = request(call, command);
    let answer = handler.handle(&request, handler.random_id(), handler.now());
    answer.await.unwrap().events.last().unwrap().position
}

/// A question, and the rows that a projection has for it.
type Expected = (String, Value, String);

fn expected<R: Row>(path: &str, rows: &[R]) -> Expected {
    (path.to_owned(), shown(rows), server::read_models::csv(rows))
}

fn all_lists(four: &ReadModel<AllFour>) -> Vec<Expected> {
    let all = TimesFilter::default();
    let windows = |window, by| four.windows(window, by, &all);
    let (by_queue, by_agent) = (
        windows(Window::Quarter, By::Queue),
        windows(Window::Hour, By::Agent),
    );
    let explained = four.explain(Window::Hour, By::Agent, &all);
    let explained: Vec<_> = by_agent
        .iter()
        .map(|row| ExplainedRow {
            row,
            calls: explained.behind(row),
        })
        .collect();
    vec![
        expected("/v1/active-calls", &four.rows_of::<ActiveCalls>()),
        expected("/v1/wrap-up-queue", &four.rows_of::<WrapUpQueue>()),
        expected("/v1/monitoring", &four.rows_of::<Monitoring>()),
        expected("/v1/handle-times", &four.calls(&all)),
        expected("/v1/handle-times?by=agent", &four.agents(&all)),
        expected("/v1/handle-times?window=1d", &windows(Window::Day, By::All)),
        expected("/v1/handle-times?window=15m&by=queue", &by_queue),
        expected("/v1/handle-times?window=1h&by=agent", &by_agent),
        expected(
            "/v1/handle-times?window=1h&by=agent&explain=true",
            &explained,
        ),
    ]
}

/// Asks for a list in all its forms, by header and by suffix; each must say the same, and what the document promises.
pub(crate) async fn is_listed(
    service: &Running,
    key: &str,
    (path, rows, csv): &(String, Value, String),
    position: Position,
) {
    let api = Api::new(document(&server::routes::table()));
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    for (suffix, accept, media_type, limit) in [
        ("", "application/json", "application/json", "&limit=10000"),
        ("", "application/x-ndjson", "application/x-ndjson", ""),
        ("", "text/csv", "text/csv; charset=utf-8", ""),
        (".json", "*/*", "application/json", "&limit=10000"),
        (".ndjson", "*/*", "application/x-ndjson", "&limit=10000"),
        (".csv", "*/*", "text/csv; charset=utf-8", "&limit=10000"),
    ] {
        let question = service.get(key, &format!("{bare}{suffix}?{query}{limit}"));
        let response = question.header(ACCEPT, accept).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], media_type);
        assert_eq!(headers["kaigi-position"], position.to_string().as_str());
        assert_eq!(headers["kaigi-complete"], "true", "{path}");
        let events = service.service.views.events();
        assert_eq!(headers["kaigi-count"], events.count.to_string().as_str());
        let proof = events.rolling_hash.to_string();
        assert_eq!(headers["kaigi-proof"], proof.as_str());
        let body = text(response).await;
        let answered = Answered {
            method: "GET",
            path: bare,
            status: 200,
            media_type,
            body: &body,
        };
        api.judge(&answered).unwrap();
        match media_type {
            "application/json" => {
                let answer: Value = serde_json::from_str(&body).unwrap();
                let as_of = headers["kaigi-as-of"].to_str().unwrap();
                let expected = json!({
                    "as_of": as_of, "position": position.0, "count": events.count,
                    "proof": events.rolling_hash.to_string(), "rows": rows, "next": null,
                });
                assert_eq!(answer, expected, "{path}");
            }
            "application/x-ndjson" => {
                let lines = body.lines();
                let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
                assert_eq!(lines.collect::<Value>(), *rows, "{path}");
            }
            _ => assert_eq!(body, *csv, "{path}"),
        }
    }
}

#[tokio::test]
async fn every_list_is_what_the_projection_says_in_each_form() {
    let (service, last) = in_the_middle_of_a_day().await;
    every_list_is_what_the_projection_says(&service, last).await;
    service.stop().await;
}

pub(crate) async fn every_list_is_what_the_projection_says(service: &Running, last: Position) {
    let model = folded(service).await;
    for list in all_lists(model.state()) {
        assert!(!list.1.as_array().unwrap().is_empty(), "{}", list.0);
        is_listed(service, &service.keys.reader, &list, last).await;
    }
}

/// Whether the value is somewhere in the row.
fn mentions(row: &Value, text: &str) -> bool {
    match row {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn only(rows: &[Value], fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    rows.iter().filter(|row| fits(row)).cloned().collect()
}

/// A text of that field that some rows have and others have not.
fn some_value(rows: &[Value], field: &str) -> String {
    let values = rows.iter().filter_map(|row| row[field].as_str());
    let values: BTreeSet<_> = values.collect();
    assert!(values.len() > 1, "all rows have the same {field}");
    (*values.first().unwrap()).to_owned()
}

#[tokio::test]
async fn each_filter_leaves_the_rows_that_fit() {
    let (service, _) = in_the_middle_of_a_day().await;
    for path in [
        "/v1/active-calls",
        "/v1/wrap-up-queue",
        "/v1/monitoring",
        "/v1/handle-times",
        "/v1/handle-times?by=agent",
    ] {
        let all = rows(&service, path).await;
        let join = if path.contains('?') { '&' } else { '?' };
        let filters: &[&str] = match path {
            "/v1/active-calls" => &["queue", "phase", "call"],
            "/v1/wrap-up-queue" => &["queue", "agent", "call"],
            "/v1/monitoring" => &["call"],
            "/v1/handle-times" => &["queue"],
            _ => &["queue", "agent"],
        };
        for filter in filters {
            let value = some_value(&all, filter);
            let found = rows(&service, &format!("{path}{join}{filter}={value}")).await;
            assert_eq!(found, only(&all, |row| row[filter] == value.as_str()));
            assert!(found.len() < all.len(), "{path} {filter}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_live_call_is_found_by_whoever_is_on_it() {
    let (service, _) = in_the_middle_of_a_day().await;
    sent(&service, "watched", connect_call(ANA)).await;
    let position = sent(&service, "watched", start_monitoring(SAM, ANA)).await;
    let path = format!("/v1/active-calls?min_position={position}");
    let all = rows(&service, &path).await;
    let found = rows(&service, "/v1/active-calls?agent=agent:ana").await;
    assert_eq!(found, only(&all, |row| row["call"] == "watched"));
    assert_eq!(found, rows(&service, "/v1/active-calls?agent=ana").await);
    let position = sent(&service, "watched", start_consult(ANA, BEN)).await;
    let path = format!("/v1/active-calls?agent=ben&min_position={position}");
    let consulted = rows(&service, &path).await;
    assert_eq!(consulted.len(), 1);
    assert_eq!(consulted[0]["consult"]["target"], "agent:ben");

    let all = rows(&service, "/v1/monitoring").await;
    let found = rows(&service, "/v1/monitoring?supervisor=supervisor:sam").await;
    assert_eq!(found, only(&all, |row| mentions(row, "supervisor:sam")));
    assert_eq!(found.len(), 1);
    for (text, flag) in [("true", true), ("false", false)] {
        let found = rows(&service, &format!("/v1/monitoring?may_start={text}")).await;
        assert_eq!(found, only(&all, |row| row["may_start"] == flag));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_call_whose_hang_up_never_came_is_idle() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let handler = Handler::new(Arc::clone(&store));
    let mut long_ago = request("forgotten", connect_call(ANA));
    long_ago.at = Some(handler.now().minus_millis(5 * 3_600_000));
    let id = handler.random_id();
    handler.handle(&long_ago, id, handler.now()).await.unwrap();
    let service = Running::with(Setup {
        store,
        ..Setup::default()
    })
    .await;
    let position = sent(&service, "fresh", connect_call(BEN)).await;
    let path = format!("/v1/active-calls?idle=4h&min_position={position}");
    let idle = rows(&service, &path).await;
    assert_eq!(idle.len(), 1);
    assert_eq!(idle[0]["call"], "forgotten");
    assert_eq!(rows(&service, "/v1/active-calls?idle=6h").await.len(), 0);
    let response = asked(&service, "/v1/active-calls?idle=4h").await;
    assert!(
        !response.headers().contains_key(ETAG),
        "it changes by itself"
    );
    service.stop().await;
}

/// All pages of a list, each by the cursor of the one before.
async fn pages(service: &Running, path: &str, limit: usize) -> Vec<Value> {
    pages_with(service, path, limit, || ()).await
}

/// Reads every page and calls `after_page` after each one.
async fn pages_with(
    service: &Running,
    path: &str,
    limit: usize,
    after_page: impl Fn(),
) -> Vec<Value> {
    let join = if path.contains('?') { '&' } else { '?' };
    let first = format!("{path}{join}limit={limit}");
    let mut all = Vec::new();
    let mut next = Some(first.clone());
    while let Some(path) = next {
        let page = answered(service, &path).await;
        let rows = page["rows"].as_array().unwrap();
        assert!(rows.len() <= limit);
        all.extend(rows.iter().cloned());
        next = page["next"]
            .as_str()
            .map(|cursor| format!("{first}&cursor={cursor}"));
        after_page();
    }
    all
}

/// Values of one column in the order of the interface: nothing first.
fn in_order(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, _) => true,
        (Value::Bool(one), Value::Bool(other)) => one <= other,
        (Value::Number(one), Value::Number(other)) => one.as_u64() <= other.as_u64(),
        (Value::String(one), Value::String(other)) => one <= other,
        _ => false,
    }
}

#[tokio::test]
async fn every_declared_order_is_one_and_its_pages_make_the_whole() {
    let (service, _) = in_the_middle_of_a_day().await;
    for (path, columns) in [
        (
            "/v1/active-calls",
            "answered_at call revision queue phase phase_since primary",
        ),
        ("/v1/wrap-up-queue", "since call agent queue why"),
        ("/v1/monitoring", "call may_start rule"),
        (
            "/v1/handle-times",
            "ended_at call queue answered_at talking_ms conference_ms wrap_up_assist_ms handle_ms \
             customer_held_ms consult_ms open",
        ),
        (
            "/v1/handle-times?by=agent",
            "ended_at call agent queue answered_at engaged_ms held_ms wrap_up_ms handle_ms conference_ms consult_ms \
             wrap_up_assist_ms open",
        ),
        (
            "/v1/handle-times?window=1h&by=queue",
            "from key metric count sum_ms mean_ms p50_ms p90_ms p95_ms p99_ms max_ms open",
        ),
    ] {
        let join = if path.contains('?') { '&' } else { '?' };
        let usual = rows(&service, path).await;
        assert_eq!(pages(&service, path, 17).await, usual, "{path}");
        let as_set = |rows: &[Value]| rows.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        for column in columns.split_whitespace() {
            let ascending = format!("{path}{join}sort={column}");
            let descending = format!("{path}{join}sort=-{column}");
            let (up, down) = (
                pages(&service, &ascending, 61).await,
                pages(&service, &descending, 61).await,
            );
            assert_eq!(up, rows(&service, &ascending).await);
            assert_eq!(as_set(&up), as_set(&usual));
            assert_eq!(as_set(&down), as_set(&usual));
            for pair in up.windows(2) {
                assert!(in_order(&pair[0][column], &pair[1][column]), "{ascending}");
            }
            for pair in down.windows(2) {
                assert!(in_order(&pair[1][column], &pair[0][column]), "{descending}");
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_no_list_can_be_asked_is_refused() {
    let (service, _) = in_the_middle_of_a_day().await;
    for query in [
        "/v1/active-calls?sort=parties",
        "/v1/active-calls?limit=0",
        "/v1/active-calls?limit=10001",
        "/v1/active-calls?cursor=nonsense",
        "/v1/active-calls?idle=4",
        "/v1/active-calls?idle=h",
        "/v1/active-calls?phase=sleeping",
        "/v1/active-calls?supervisor=sam",
        "/v1/active-calls?agent=supervisor:sam",
        "/v1/wrap-up-queue?since=now",
        "/v1/monitoring?may_start=perhaps",
        "/v1/handle-times?by=queue",
        "/v1/handle-times?by=all",
        "/v1/handle-times?by=moon",
        "/v1/handle-times?by=call&window=1h",
        "/v1/handle-times?by=moon&window=1h",
        "/v1/handle-times?window=2h",
        "/v1/handle-times?explain=true",
        "/v1/handle-times?from=yesterday",
        "/v1/handle-times/changes?by=queue",
    ] {
        let (status, code) = refused(&service, query).await;
        assert_eq!((status, code.as_str()), (422, "bad_value"), "{query}");
    }
    let cursor = answered(&service, "/v1/active-calls?limit=1").await["next"].clone();
    let cursor = cursor.as_str().unwrap();
    for query in [
        format!("/v1/active-calls?sort=-call&cursor={cursor}"),
        format!("/v1/wrap-up-queue?cursor={cursor}"),
    ] {
        assert_eq!(refused(&service, &query).await.0, 422, "{query}");
    }
    let reader = &service.keys.reader;
    let image = service
        .get(reader, "/v1/active-calls")
        .header(ACCEPT, "image/png");
    let response = image.send().await.unwrap();
    assert_eq!(response.status(), 406);
    assert_eq!(parsed(response).await["code"], "not_acceptable");
    service.stop().await;
}

#[tokio::test]
async fn a_link_leads_to_the_next_page_in_the_same_form() {
    let (service, _) = in_the_middle_of_a_day().await;
    let path = "/v1/handle-times.csv?by=agent&sort=-handle_ms&from=2020-01-01T00:00:00Z";
    let all = text(asked(&service, path).await).await;
    let all: Vec<_> = all.lines().skip(1).map(str::to_owned).collect();
    assert!(all.len() > 50, "{all:?}");
    let mut found = Vec::new();
    let mut next = Some(format!("{path}&limit=16"));
    while let Some(path) = next {
        let response = asked(&service, &path).await;
        let link = response.headers().get(LINK);
        let link = link.map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| {
            let path = link.strip_suffix(">; rel=\"next\"").unwrap();
            path.strip_prefix('<').unwrap().to_owned()
        });
        let lines = text(response).await;
        found.extend(lines.lines().skip(1).map(str::to_owned));
    }
    assert_eq!(found, all);
    service.stop().await;
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again_until_something_happens() {
    let (service, _) = in_the_middle_of_a_day().await;
    let path = "/v1/wrap-up-queue";
    let etag = asked(&service, path).await.headers()[ETAG].clone();
    let again = |path: &str| {
        let question = service.get(&service.keys.reader, path);
        question.header(IF_NONE_MATCH, etag.clone()).send()
    };
    let unchanged = again(path).await.unwrap();
    assert_eq!(unchanged.status(), 304);
    assert_eq!(unchanged.headers()[ETAG], etag);
    assert_eq!(unchanged.headers()[VARY], "accept, authorization");
    assert_eq!(unchanged.headers()[CACHE_CONTROL], "private, no-cache");
    assert_eq!(text(unchanged).await, "");
    assert_eq!(
        again("/v1/wrap-up-queue?limit=2").await.unwrap().status(),
        200
    );
    assert_eq!(again("/v1/wrap-up-queue.csv").await.unwrap().status(), 200);
    let position = sent(&service, "new", connect_call(ANA)).await;
    let soon = std::time::Duration::from_mins(1);
    service
        .service
        .views
        .wait_for(position, soon)
        .await
        .unwrap();
    assert_eq!(again(path).await.unwrap().status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn a_position_that_does_not_come_is_said_to_be_ahead() {
    let (service, last) = in_the_middle_of_a_day().await;
    let path = format!("/v1/monitoring?wait=0&min_position={}", last.0 + 1);
    let response = asked(&service, &path).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem = parsed(response).await;
    assert_eq!(problem["code"], "projection_behind");
    assert_eq!(problem["position"], last.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wrote_reads_what_it_wrote() {
    let (service, _) = in_the_middle_of_a_day().await;
    let service = Arc::new(service);
    let writers = (0..8).map(|writer| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            for number in 0..25 {
                let call = format!("w{writer}-{number}");
                let position = sent(&service, &call, connect_call(ANA)).await;
                let path = format!("/v1/active-calls?call={call}&min_position={position}");
                assert_eq!(rows(&service, &path).await.len(), 1, "{path}");
                let position = sent(&service, &call, hang_up(ANA)).await;
                let path = format!("/v1/active-calls?call={call}&min_position={position}");
                assert_eq!(rows(&service, &path).await.len(), 0, "{path}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    Arc::into_inner(service).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_every_row_that_stays_once_whatever_comes_and_goes() {
    let service = Arc::new(Running::start().await);
    let mut staying = BTreeSet::new();
    let mut last = Position::START;
    for number in 0..40 {
        // Others come to stand before, between and behind them.
        let call = format!("{}-stays", number * 7 % 40 + 10);
        last = sent(&service, &call, connect_call(ANA)).await;
        staying.insert(call);
    }
    let soon = std::time::Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    // Each page lets the writer add two calls. A page has at least three rows, so the pages in order of time come to an end
    // however slowly they are read.
    let allowance = Arc::new(Semaphore::new(0));
    let writer = {
        let (service, allowance) = (Arc::clone(&service), Arc::clone(&allowance));
        tokio::spawn(async move {
            for number in 0.. {
                let Ok(permit) = allowance.acquire().await else {
                    return;
                };
                permit.forget();
                let call = format!("{}-goes-{number}", number % 60);
                sent(&service, &call, connect_call(BEN)).await;
                if number >= 10 {
                    let earlier = number - 10;
                    let call = format!("{}-goes-{earlier}", earlier % 60);
                    sent(&service, &call, hang_up(CUSTOMER)).await;
                }
            }
        })
    };
    for round in 0..6 {
        for sort in ["call", "-call", "answered_at", "-answered_at", "revision"] {
            let path = format!("/v1/active-calls?sort={sort}");
            let rows = pages_with(&service, &path, 3 + round, || allowance.add_permits(2)).await;
            let calls = rows
                .iter()
                .map(|row| row["call"].as_str().unwrap().to_owned());
            let mut times = BTreeMap::new();
            for call in calls.filter(|call| call.ends_with("-stays")) {
                *times.entry(call).or_insert(0) += 1;
            }
            assert!(times.values().all(|times| *times == 1), "{sort} {times:?}");
            assert_eq!(times.len(), staying.len(), "{sort}");
        }
    }
    allowance.close();
    writer.await.unwrap();
    Arc::into_inner(service).unwrap().stop().await;
}

pub(crate) async fn standing(service: &Running) -> Value {
    let operator = &service.keys.operator;
    let response = service.get(operator, "/v1/read-models").send().await;
    parsed(response.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_disturbs_neither_who_writes_nor_who_reads() {
    let (service, _) = in_the_middle_of_a_day().await;
    let service = Arc::new(service);
    let reader = &service.keys.reader;
    let changes = service.get(reader, "/v1/active-calls/changes");
    let mut changes = Events::of(changes.send().await.unwrap());
    changes.next_named("caught_up").await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (service, done) = (Arc::clone(&service), Arc::clone(&done));
        tokio::spawn(async move {
            let mut seen = 0;
            for number in 0.. {
                let call = format!("during-{number}");
                let position = sent(&service, &call, connect_call(ANA)).await;
                let path = format!("/v1/active-calls?call={call}&min_position={position}");
                let answer = answered(&service, &path).await;
                assert_eq!(answer["rows"].as_array().unwrap().len(), 1);
                assert!(answer["position"].as_u64().unwrap() >= seen);
                seen = answer["position"].as_u64().unwrap();
                if done.load(Ordering::SeqCst) {
                    return position;
                }
            }
            unreachable!("it goes on until it is done")
        })
    };
    for _ in 0..3 {
        let operator = &service.keys.operator;
        let rebuild = service.request(Method::POST, operator, "/v1/read-models/rebuild");
        let response = rebuild.send().await.unwrap();
        assert_eq!(response.status(), 202);
        assert!(parsed(response).await["rebuilding"].is_object());
        changes.next_named("reset").await.unwrap();
        changes.next_named("caught_up").await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let last = writer.await.unwrap();
    let path = format!("/v1/active-calls?min_position={last}");
    let expected = shown(&folded(&service).await.state().rows_of::<ActiveCalls>());
    assert_eq!(answered(&service, &path).await["rows"], expected);
    assert_eq!(standing(&service).await["rebuilding"], Value::Null);
    drop(changes);
    Arc::into_inner(service).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_goes_back_when_a_rebuilt_model_takes_the_place_of_the_old_one() {
    let (service, _) = in_the_middle_of_a_day().await;
    let service = Arc::new(service);
    let reader = &service.keys.reader;
    let changes = service.get(reader, "/v1/monitoring/changes");
    let mut changes = Events::of(changes.send().await.unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|writer| {
        let (service, done) = (Arc::clone(&service), Arc::clone(&done));
        tokio::spawn(async move {
            for number in 0.. {
                let call = format!("w{writer}-{number}");
                let position = sent(&service, &call, connect_call(ANA)).await;
                let soon = std::time::Duration::from_mins(1);
                service
                    .service
                    .views
                    .wait_for(position, soon)
                    .await
                    .unwrap();
                if done.load(Ordering::SeqCst) {
                    return;
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let watching = {
        let (service, done) = (Arc::clone(&service), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut seen = Position::START;
            while !done.load(Ordering::SeqCst) {
                let position = service.service.views.position();
                assert!(position >= seen, "{position} after {seen}");
                seen = position;
                std::thread::yield_now();
            }
        })
    };
    for _ in 0..4 {
        service.service.views.rebuild(WhyRebuilt::Asked);
        changes.next_named("reset").await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    watching.join().unwrap();
    drop(changes);
    Arc::into_inner(service).unwrap().stop().await;
}

/// Asks until the answer is so; a service that never comes to it never ends.
async fn until(service: &Running, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = answered(service, path).await;
        if fits(&answer) {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_restart_goes_on_from_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::of(MemoryStore::new());
    let setup = || Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        folder: Some(folder.path().to_owned()),
        ..Setup::default()
    };
    let service = Running::with(setup()).await;
    sent(&service, "c1", connect_call(ANA)).await;
    let before = sent(&service, "c2", connect_call(BEN)).await;
    let soon = std::time::Duration::from_mins(1);
    service.service.views.wait_for(before, soon).await.unwrap();
    service.stop().await;

    let store: Arc<dyn EventStore> = Arc::clone(&stand) as Arc<dyn EventStore>;
    let handler = Handler::new(store);
    let later = request("c3", connect_call(ANA));
    let id = handler.random_id();
    let answer = handler.handle(&later, id, handler.now()).await.unwrap();
    let last = answer.events.last().unwrap().position;
    stand.read.lock().unwrap().clear();

    let service = Running::with(setup()).await;
    assert!(service.service.views.position() >= before);
    let path = format!("/v1/active-calls?min_position={last}");
    assert_eq!(rows(&service, &path).await.len(), 3);
    // The feed reads for itself, from the start if it kept nothing.
    let read = stand.read.lock().unwrap().clone();
    assert!(read.contains(&before), "{read:?}");
    service.stop().await;

    std::fs::write(folder.path().join("all-four"), b"something else").unwrap();
    let service = Running::with(setup()).await;
    assert_eq!(rows(&service, &path).await.len(), 3);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_waited_for() {
    let stand = Stand::of(MemoryStore::new());
    let service = Running::with(Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    let position = sent(&service, "c1", connect_call(ANA)).await;
    let path = format!("/v1/active-calls?min_position={position}");
    assert_eq!(rows(&service, &path).await.len(), 1);
    stand.go_away();
    while standing(&service).await["trouble"].is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        rows(&service, &path).await.len(),
        1,
        "it answers from memory"
    );
    stand.come_back();
    while !standing(&service).await["trouble"].is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(standing(&service).await["behind_ms"], 0);
    let position = sent(&service, "c2", connect_call(BEN)).await;
    let path = format!("/v1/active-calls?min_position={position}&wait=30");
    assert_eq!(rows(&service, &path).await.len(), 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_restored_is_read_anew() {
    let stand = Stand::of(MemoryStore::new());
    let service = Running::with(Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    sent(&service, "c1", connect_call(ANA)).await;
    let position = sent(&service, "lost", connect_call(BEN)).await;
    let path = format!("/v1/active-calls?min_position={position}");
    assert_eq!(rows(&service, &path).await.len(), 2);

    let copy: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    let handler = Handler::new(Arc::clone(&copy) as Arc<dyn EventStore>);
    let kept = request("kept", connect_call(ANA));
    let id = handler.random_id();
    handler.handle(&kept, id, handler.now()).await.unwrap();
    drop(handler);
    stand.restore(Arc::into_inner(copy).unwrap());
    let anew = |answer: &Value| mentions(answer, "kept");
    let answer = until(&service, "/v1/active-calls", anew).await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1);
    assert_eq!(answer["position"], 1);
    let position = sent(&service, "c3", connect_call(BEN)).await;
    let path = format!("/v1/active-calls?min_position={position}");
    assert_eq!(rows(&service, &path).await.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn how_the_read_models_do_is_told_to_operators_and_dashboards() {
    let (service, last) = in_the_middle_of_a_day().await;
    let told = standing(&service).await;
    let events = service.service.views.events();
    assert_eq!(
        told,
        json!({
            "position": last.0, "count": events.count, "proof": events.rolling_hash.to_string(),
            "set_aside": [], "caught_up": true, "following": true, "store_position": last.0, "behind_ms": 0,
            "rebuilding": null, "checkpoint_position": null, "trouble": null, "checkpoint_trouble": null,
            "store_trouble": null, "feed_trouble": null, "proof_trouble": null, "keys_trouble": null,
        })
    );
    assert_eq!(answered(&service, "/v1/read-models").await, told);
    let reader = &service.keys.reader;
    let rebuild = service.request(Method::POST, reader, "/v1/read-models/rebuild");
    assert_eq!(rebuild.send().await.unwrap().status(), 403);
    service.stop().await;
}

#[tokio::test]
async fn no_question_waits_longer_than_the_operator_lets_it() {
    let service = Running::with(Setup {
        settings: Settings {
            max_wait_ms: 1,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    let (status, code) = refused(
        &service,
        "/v1/active-calls?min_position=1&wait=1000000000000",
    )
    .await;
    assert_eq!((status, code.as_str()), (503, "projection_behind"));
    service.stop().await;
}

#[tokio::test]
async fn who_waits_does_not_hold_up_the_end_of_the_service() {
    let service = Running::start().await;
    let address = service.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    // The second question is taken up with the first one's answer.
    let healthy = "GET /healthz HTTP/1.1\r\nHost: kaigi\r\n\r\n";
    let waiting = format!(
        "GET /v1/active-calls?min_position=9&wait=29.5 HTTP/1.1\r\nHost: kaigi\r\nAuthorization: Bearer {}\r\n\r\n",
        service.keys.reader
    );
    let questions = format!("{healthy}{waiting}");
    connection.write_all(questions.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    connection.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 204 No");
    service.service.stop();
    let mut rest = String::new();
    in_time(connection.read_to_string(&mut rest)).await.unwrap();
    let (_, answer) = rest.split_once("HTTP/1.1 503").expect("it is refused");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains(r#""code":"stopping""#), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn a_wait_is_a_number_of_seconds() {
    let service = Running::start().await;
    for (wait, expected) in [
        ("0", (503, "projection_behind")),
        ("0.01", (503, "projection_behind")),
        ("-1", (422, "bad_value")),
        ("soon", (422, "bad_value")),
        ("NaN", (422, "bad_value")),
    ] {
        let path = format!("/v1/active-calls?min_position=9&wait={wait}");
        let (status, code) = refused(&service, &path).await;
        assert_eq!((status, code.as_str()), expected, "{wait}");
    }
    service.stop().await;
}

/// What everybody is told of whether the service can be relied upon, once it is of that status.
async fn readiness(service: &Running, status: u16) -> (String, Value) {
    let client = reqwest::Client::new();
    let url = format!("{}/readyz", service.url);
    in_time(async {
        loop {
            let answer = client.get(&url).send().await.unwrap();
            if answer.status() == status {
                let text = answer.text().await.unwrap();
                let said = serde_json::from_str(&text).unwrap();
                return (text, said);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_ask_for_readiness_and_only_who_looks_after_it_is_told_why_not() {
    let stand = Stand::of(MemoryStore::new());
    let service = Running::with(Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    let (_, ready) = readiness(&service, 200).await;
    assert_eq!(
        ready,
        json!({"position": 0, "count": 0, "trouble": [], "set_aside": 0})
    );
    stand.go_away();
    let (text, said) = readiness(&service, 503).await;
    assert_eq!(
        (&said["code"], &said["why"]),
        (&json!("not_ready"), &json!("store_unavailable"))
    );
    assert_eq!((&said["position"], &said["count"]), (&json!(0), &json!(0)));
    assert!(!text.contains("node-7"), "{text}");
    for trouble in ["trouble", "feed_trouble"] {
        let says = |told: &Value| {
            told[trouble]
                .as_str()
                .is_some_and(|told| told.contains("node-7"))
        };
        while !says(&standing(&service).await) {
            tokio::task::yield_now().await;
        }
    }
    stand.come_back();
    readiness(&service, 200).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_nothing_follows_the_store_for_is_not_ready() {
    let stand = Stand::of(MemoryStore::new());
    let service = Running::with(Setup {
        store: Arc::clone(&stand) as Arc<dyn EventStore>,
        ..Setup::default()
    })
    .await;
    readiness(&service, 200).await;
    stand.broken.store(true, Ordering::SeqCst);
    stand.turned.send_modify(|times| *times += 1);
    let (_, said) = in_time(async {
        loop {
            let said = readiness(&service, 503).await;
            if said.1["why"] == "ended" {
                return said;
            }
        }
    })
    .await;
    assert_eq!(said["code"], "not_ready");
    assert_eq!(standing(&service).await["following"], false);
    stand.broken.store(false, Ordering::SeqCst);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_told_and_nothing_is_refused_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in-the-way");
    std::fs::write(&file, b"no folder").unwrap();
    let service = Running::with(Setup {
        folder: Some(file),
        ..Setup::default()
    })
    .await;
    let position = sent(&service, "c1", connect_call(ANA)).await;
    let path = format!("/v1/active-calls?min_position={position}");
    assert_eq!(rows(&service, &path).await.len(), 1);
    let (text, said) = readiness(&service, 200).await;
    assert_eq!(said["trouble"], json!(["proof"]));
    assert!(!text.contains("in-the-way"), "{text}");
    assert!(standing(&service).await["proof_trouble"].is_string());
    let inner = Arc::clone(&service.service);
    service.stop().await;
    let not_kept = inner.views.standing().not_kept.expect("it is told");
    assert!(not_kept.contains("in-the-way"), "{not_kept}");
}
