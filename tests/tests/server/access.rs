//! Who may do what: every route against every role.

use domain::json::write_command;
use domain::{Actor, CallId, EventStore, Handler, MemoryStore, Position, Request};
use engine::keys::{Grant, Key, KeyFile, Keys};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use server::Parts;
use server::access::{Access, Guards};
use server::log::Log;
use server::route::Route;
use server::routes::table;
use server::{Service, Settings};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::arbitrary::{everything_anybody_can_ask, what_is_asked_of_a_call};
use tests::service::{Held, one_of_each, random_part};
#[cfg(unix)]
use tests::skip::skip;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running service whose guards the test chose.
struct Served {
    url: String,
    service: Arc<Service>,
    log: Lines,
    client: Client,
    serving: JoinHandle<usize>,
}

/// What a service wrote to its log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The last line; null before the first.
    fn last(&self) -> Value {
        let text = self.text();
        let line = text.lines().last();
        line.map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
    }
}

impl Served {
    async fn by(guards: Guards, settings: Settings) -> Self {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let log = Lines::default();
        let parts = Parts {
            handler: Handler::new(Arc::clone(&store)),
            store,
            settings,
            guards,
            folder: None,
            log: Log::to(log.clone()),
        };
        let service = Service::start(parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(server::listen::serve(listener, Arc::clone(&service)));
        Self {
            url,
            service,
            log,
            client: Client::new(),
            serving,
        }
    }

    async fn with_keys(keys: Vec<Key>) -> Self {
        Self::by(Guards::new(Keys::of(keys)), Settings::default()).await
    }

    async fn with_file(path: &Path) -> Self {
        Self::by(Guards::new(Keys::open(path).unwrap()), Settings::default()).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// What a body of JSON to that path is answered with.
    async fn post(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, path).bearer_auth(key);
        let request = request.header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }

    /// Whether the key takes a route of its role.
    async fn admits(&self, key: &str) -> bool {
        let (status, _) = answer(self.get("/v1/keys").bearer_auth(key)).await;
        status == 200
    }

    async fn stop(self) {
        self.service.stop();
        self.serving.await.unwrap();
        self.service.close().await;
    }
}

/// Status and body, null for none.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// No key of the test asks too often.
fn fast() -> Settings {
    Settings {
        rate_per_key: 1_000_000,
        ..Settings::default()
    }
}

fn operator() -> (Key, String) {
    Key::create("operator", vec![Grant::Operator])
}

/// An operator's key with a name that no other key has.
fn another_operator() -> (Key, String) {
    let (mut key, text) = operator();
    key.name = key.id.clone();
    (key, text)
}

/// Who may take which route, as the issue of the service says it; written here without looking at the code.
const MATRIX: &[(&str, &str, &[&str])] = &[
    ("GET", "/", EVERYONE),
    ("GET", "/healthz", EVERYONE),
    ("GET", "/readyz", EVERYONE),
    ("GET", "/openapi.json", EVERYONE),
    ("GET", "/metrics", &["reader", "operator"]),
    ("POST", "/v1/calls/{call}/commands", SENDERS),
    ("POST", "/v1/commands", SENDERS),
    ("GET", "/v1/calls", HISTORIANS),
    ("GET", "/v1/calls.json", HISTORIANS),
    ("GET", "/v1/calls.csv", HISTORIANS),
    ("GET", "/v1/calls.ndjson", HISTORIANS),
    ("GET", "/v1/calls/{call}", CALL_READERS),
    ("GET", "/v1/calls/{call}/events", HISTORIANS),
    ("GET", "/v1/events", HISTORIANS),
    ("GET", "/v1/proof", HISTORIANS),
    ("GET", "/v1/position", HISTORIANS),
    ("GET", "/v1/active-calls", VIEWERS),
    ("GET", "/v1/active-calls.json", VIEWERS),
    ("GET", "/v1/active-calls.csv", VIEWERS),
    ("GET", "/v1/active-calls.ndjson", VIEWERS),
    ("GET", "/v1/active-calls/changes", VIEWERS),
    ("GET", "/v1/wrap-up-queue", VIEWERS),
    ("GET", "/v1/wrap-up-queue.json", VIEWERS),
    ("GET", "/v1/wrap-up-queue.csv", VIEWERS),
    ("GET", "/v1/wrap-up-queue.ndjson", VIEWERS),
    ("GET", "/v1/wrap-up-queue/changes", VIEWERS),
    ("GET", "/v1/handle-times", VIEWERS),
    ("GET", "/v1/handle-times.json", VIEWERS),
    ("GET", "/v1/handle-times.csv", VIEWERS),
    ("GET", "/v1/handle-times.ndjson", VIEWERS),
    ("GET", "/v1/handle-times/changes", VIEWERS),
    ("GET", "/v1/monitoring", VIEWERS),
    ("GET", "/v1/monitoring.json", VIEWERS),
    ("GET", "/v1/monitoring.csv", VIEWERS),
    ("GET", "/v1/monitoring.ndjson", VIEWERS),
    ("GET", "/v1/monitoring/changes", VIEWERS),
    ("GET", "/v1/read-models", &["reader", "auditor", "operator"]),
    ("POST", "/v1/read-models/rebuild", &["operator"]),
    ("GET", "/v1/store", HISTORIANS),
    (
        "POST",
        "/v1/tokens",
        &["ana", "sam", "reader", "auditor", "operator"],
    ),
    ("GET", "/v1/keys", &["operator"]),
    ("POST", "/v1/keys", &["operator"]),
    ("DELETE", "/v1/keys/{id}", &["operator"]),
];

const EVERYONE: &[&str] = &["everyone"];
const SENDERS: &[&str] = &["telephony", "ana", "sam"];
const VIEWERS: &[&str] = &["ana", "sam", "reader", "auditor"];
const CALL_READERS: &[&str] = &["telephony", "ana", "sam", "auditor", "operator"];
const HISTORIANS: &[&str] = &["auditor", "operator"];

fn may_take(route: &Route) -> &'static [&'static str] {
    let named = |(method, path, _): &&(&str, &str, _)| {
        route.method.as_str() == *method && route.path == *path
    };
    let Some((_, _, who)) = MATRIX.iter().find(named) else {
        let (method, path) = (&route.method, route.path);
        panic!("{method} {path} is not in the matrix: write there who may take it");
    };
    who
}

/// The role of the key that the matrix calls so.
fn role_of(who: &str) -> &str {
    match who {
        "ana" => "desk",
        "sam" => "supervisor",
        role => role,
    }
}

/// Whether that path leads to the route.
fn matches_path(route: &str, path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let template: Vec<_> = route.split('/').collect();
    let fits = |(part, of): (&&str, &&str)| part == of || of.starts_with('{');
    parts.len() == template.len() && parts.iter().zip(&template).all(fits)
}

/// A path that leads to the route.
fn path(route: &Route) -> String {
    let parts = route.path.split('/');
    let parts = parts.map(|part| match part {
        "{call}" => "c1",
        part if part.starts_with('{') => "none",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Keys that nobody has or nobody may use any more.
fn useless_keys(keys: &mut Vec<Key>) -> Vec<(&'static str, String)> {
    let everything = vec![
        Grant::Telephony,
        Grant::Reader,
        Grant::Auditor,
        Grant::Operator,
    ];
    let (mut revoked, of_revoked) = Key::create("revoked", everything.clone());
    revoked.revoked_at = Some(domain::now());
    let (mut expired, of_expired) = Key::create("expired", everything.clone());
    expired.expires_at = Some(domain::now());
    let (_, unknown) = Key::create("unknown", everything.clone());
    let (known, of_known) = Key::create("known", everything);
    let mut other_secret = of_known.clone();
    let last = if other_secret.pop() == Some('A') {
        'B'
    } else {
        'A'
    };
    other_secret.push(last);
    keys.extend([revoked, expired, known]);
    vec![
        ("revoked", of_revoked),
        ("expired", of_expired),
        ("unknown", unknown),
        ("another secret", other_secret),
        ("no key at all", "kaigi".to_owned()),
        ("nothing", String::new()),
    ]
}

fn by_name(held: &Held) -> [(&'static str, &str); 6] {
    [
        ("telephony", &held.telephony),
        ("ana", &held.ana),
        ("sam", &held.sam),
        ("reader", &held.reader),
        ("auditor", &held.auditor),
        ("operator", &held.operator),
    ]
}

/// Status and code of an answer whose body may never end.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let media = response.headers().get("content-type").cloned();
    if media.is_none_or(|media| media != "application/problem+json") {
        return (status, String::new());
    }
    // An answer to HEAD has none.
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default();
    (status, code.to_owned())
}

/// A question at a route, by one of its methods: GET is also asked as HEAD.
struct Asked<'a> {
    service: &'a Served,
    method: Method,
    path: String,
}

impl Asked<'_> {
    async fn without_a_key(&self) -> (u16, String) {
        let request = self.service.request(self.method.clone(), &self.path);
        refusal(request.send().await.unwrap()).await
    }

    async fn with(&self, key: &str) -> (u16, String) {
        let request = self.service.request(self.method.clone(), &self.path);
        refusal(request.bearer_auth(key).send().await.unwrap()).await
    }

    async fn is_open(&self) {
        let (status, _) = self.without_a_key().await;
        let Asked { method, path, .. } = self;
        assert!(![401, 403].contains(&status), "{method} {path}: {status}");
    }

    async fn is_open_only_to(&self, who: &[&str], held: &Held, useless: &[(&str, String)]) {
        let Asked { method, path, .. } = self;
        let (status, _) = self.without_a_key().await;
        assert_eq!(status, 401, "{method} {path} without a key");
        for (what, key) in useless {
            let (status, _) = self.with(key).await;
            assert_eq!(status, 401, "{method} {path} with a key: {what}");
        }
        for (name, key) in by_name(held) {
            let (status, code) = self.with(key).await;
            let told = format!("{method} {path} as {name}: {status} {code}");
            if who.contains(&name) {
                assert!(![401, 403].contains(&status), "{told}");
            } else {
                assert_eq!(status, 403, "{told}");
                assert!(self.has_no_body() || code == "role_missing", "{told}");
                self.names_the_roles(key).await;
            }
        }
    }

    /// A 403 says which roles would do.
    async fn names_the_roles(&self, key: &str) {
        let request = self.service.request(self.method.clone(), &self.path);
        let (_, problem) = answer(request.bearer_auth(key)).await;
        let named = problem["roles"].as_array().into_iter().flatten();
        let named: BTreeSet<_> = named.filter_map(Value::as_str).collect();
        let of_route = |(method, path, _): &&(&str, &str, _)| {
            self.method.as_str() == *method && matches_path(path, &self.path)
        };
        let admitted = MATRIX.iter().filter(of_route);
        let admitted = admitted.flat_map(|(_, _, who): &(_, _, &[&'static str])| *who);
        let admitted: BTreeSet<_> = admitted.map(|who| role_of(who)).collect();
        assert!(
            self.has_no_body() || named == admitted,
            "{named:?} of {}",
            self.path
        );
    }

    fn has_no_body(&self) -> bool {
        self.method == Method::HEAD
    }
}

#[tokio::test]
async fn every_route_is_taken_by_those_roles_that_may_and_by_nobody_else() {
    let (mut keys, held) = one_of_each();
    let useless = useless_keys(&mut keys);
    let service = Served::by(Guards::new(Keys::of(keys)), fast()).await;
    for route in table() {
        let who = may_take(&route);
        let also_head = (route.method == Method::GET).then_some(Method::HEAD);
        for method in [route.method.clone()].into_iter().chain(also_head) {
            let asked = Asked {
                service: &service,
                method,
                path: path(&route),
            };
            if who == EVERYONE {
                assert_eq!(route.access, Access::Everyone, "{}", route.path);
                asked.is_open().await;
            } else {
                asked.is_open_only_to(who, &held, &useless).await;
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_reads_the_calls_that_it_may_send_commands_for() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    let send = async |call: &str, command: Value| {
        let path = format!("/v1/calls/{call}/commands");
        let (status, body) = service.post(&held.telephony, &path, &command).await;
        assert_eq!(status, 200, "{body}");
    };
    let connect = |agent: &str| json!({"type": "connect_call", "agent": agent});
    send("of-ana", connect("agent:ana")).await;
    send("of-dan", connect("agent:dan")).await;
    let consult = json!({"type": "start_consult", "by": "agent:dan", "target": "agent:ben"});
    send("of-dan", consult).await;
    let decline = json!({"type": "decline_consult", "by": "agent:ben"});
    send("of-dan", decline).await;
    for (key, call, expected) in [
        (&held.ana, "of-ana", 200),
        (&held.ana, "of-dan", 403),
        (&held.ben, "of-ana", 403),
        (&held.ben, "of-dan", 200),
        (&held.ana, "of-nobody", 404),
        (&held.telephony, "of-ana", 200),
        (&held.sam, "of-dan", 200),
        (&held.auditor, "of-dan", 200),
        (&held.reader, "of-ana", 403),
    ] {
        let (status, body) =
            answer(service.get(&format!("/v1/calls/{call}")).bearer_auth(key)).await;
        assert_eq!(status, expected, "{call}: {body}");
        if call == "of-dan" && status == 403 {
            assert_eq!(
                (&body["code"], &body["roles"]),
                (&json!("not_yours"), &json!(["auditor"]))
            );
        }
    }
    let stale = json!({"type": "end_call", "by": "agent:ana", "expect": 7});
    let (status, conflict) = service
        .post(&held.ana, "/v1/calls/of-ana/commands", &stale)
        .await;
    assert_eq!(status, 412);
    let look = service.get("/v1/calls/of-ana").bearer_auth(&held.ana);
    let (_, call) = answer(look).await;
    assert_eq!(call["revision"], conflict["revision"], "it can look again");
    let ended = json!({"type": "hang_up", "party": "agent:ana"});
    let (_, problem) = service
        .post(&held.ana, "/v1/calls/of-ana/commands", &ended)
        .await;
    assert_eq!(problem["roles"], json!(["telephony"]));
    service.stop().await;
}

#[tokio::test]
async fn no_other_method_or_spelling_of_a_path_leads_anywhere() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    for route in table() {
        let path = path(&route);
        let of_path = || table().into_iter().filter(|other| other.path == route.path);
        for method in ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "QUERY"] {
            if of_path().any(|other| other.method.as_str() == method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = service.request(method, &path).bearer_auth(&held.operator);
            let (status, body) = answer(request).await;
            assert_eq!((status, &body["code"]), (405, &json!("no_such_method")));
        }
        if path == "/" {
            continue;
        }
        for other in [
            format!("{path}/"),
            format!("/{path}"),
            path.to_uppercase(),
            format!("/%{:02x}{}", path.as_bytes()[1], &path[2..]),
            format!("{path}%00"),
        ] {
            let got = status(service.request(route.method.clone(), &other)).await;
            assert!([401, 404].contains(&got), "{other}: {got}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_stands_in_one_header_after_bearer_and_nowhere_else() {
    let (key, text) = operator();
    let service = Served::with_keys(vec![key]).await;
    let ask = |value: &str| {
        let request = service.get("/v1/keys");
        status(request.header("authorization", value))
    };
    for value in [
        format!("Bearer {text}"),
        format!("bearer {text}"),
        format!("BEARER   {text}"),
    ] {
        assert_eq!(ask(&value).await, 200, "{value}");
    }
    for value in [
        text.clone(),
        format!("Basic {text}"),
        format!("Bearer{text}"),
        format!("Bearer {text}x"),
        format!("Bearer {text}, Bearer {text}"),
        format!("Bearer {}", text.to_uppercase()),
        format!("Bearer {}", &text[..20]),
    ] {
        assert_eq!(ask(&value).await, 401, "{value}");
    }
    let twice = service
        .get("/v1/keys")
        .bearer_auth(&text)
        .bearer_auth(&text);
    assert_eq!(status(twice).await, 401);
    for query in ["key", "token", "access_token", "authorization", "api_key"] {
        let path = format!("/v1/keys?{query}={text}");
        assert_eq!(status(service.get(&path)).await, 401, "{path}");
        let both = status(service.get(&path).bearer_auth(&text)).await;
        assert_eq!(both, 422, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn facts_come_from_telephony_and_supervisors_only_monitor() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    let path = "/v1/calls/c1/commands";
    let mine = [
        json!({"type": "start_consult", "by": "agent:ana", "target": "agent:ben"}),
        json!({"type": "press_end", "by": "agent:ana"}),
    ];
    let of_ana = mine.each_ref();
    let of_sam = [
        json!({"type": "start_monitoring", "by": "supervisor:sam", "agent": "agent:ana"}),
        json!({"type": "barge_in", "by": "supervisor:sam"}),
        json!({"type": "stop_monitoring", "by": "supervisor:sam"}),
    ];
    let of_nobody_here = [
        json!({"type": "connect_call", "agent": "agent:ana"}),
        json!({"type": "consult_unanswered"}),
        json!({"type": "hang_up", "party": "agent:ana"}),
        json!({"type": "lose_connection", "party": "agent:ana"}),
        json!({"type": "press_end", "by": "agent:dan"}),
        json!({"type": "press_end", "by": "agent:Ana"}),
        json!({"type": "press_end", "by": "agent:sam"}),
        json!({"type": "press_end", "by": "dial:1"}),
        json!({"type": "press_end", "by": "customer"}),
        json!({"type": "press_end", "by": "supervisor:sam"}),
        json!({"type": "start_consult", "by": "supervisor:sam", "target": "agent:ben"}),
        json!({"type": "barge_in", "by": "supervisor:ana"}),
    ];
    let not_yours = async |key: &str, command: &Value| {
        let mut command = command.clone();
        command["call"] = "c1".into();
        let (status, body) = service.post(key, path, &command).await;
        (status, &body["code"]) == (403, &json!("not_yours"))
    };
    for command in of_ana {
        assert!(!not_yours(&held.ana, command).await, "{command}");
        assert!(not_yours(&held.ben, command).await, "{command}");
        assert!(not_yours(&held.sam, command).await, "{command}");
        assert!(!not_yours(&held.telephony, command).await, "{command}");
    }
    for command in &of_sam {
        assert!(!not_yours(&held.sam, command).await, "{command}");
        assert!(not_yours(&held.ana, command).await, "{command}");
    }
    for command in &of_nobody_here {
        for key in [&held.ana, &held.sam] {
            assert!(not_yours(key, command).await, "{command}");
        }
    }
    service.stop().await;
}

/// Sends what is asked with that key, whoever asks.
async fn sent(service: &Served, key: &str, request: &Request) -> u16 {
    let path = format!("/v1/calls/{}/commands", request.call);
    let send = service.request(Method::POST, &path).bearer_auth(key);
    let send = send.header("content-type", "application/json");
    status(send.body(write_command(request))).await
}

/// Who asked for what was recorded after that position, and up to which.
async fn actors(service: &Served, after: &mut Position) -> BTreeSet<Option<Actor>> {
    let store = &service.service.store;
    let events = store.read_all(*after, 1000).await.unwrap();
    *after = events.last().map_or(*after, |event| event.position);
    let actors = events.iter().map(|event| &event.recorded.cause.actor);
    actors.cloned().collect()
}

#[test]
fn whatever_is_sent_with_an_agents_key_only_that_agent_acts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (keys, held) = one_of_each();
    let service = runtime.block_on(Served::by(Guards::new(Keys::of(keys)), fast()));
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let ana: Actor = "agent:ana".parse().unwrap();
    let only_ana = BTreeSet::from([Some(ana)]);
    let calls = std::cell::Cell::new(0);
    let acted = std::cell::Cell::new(0);
    let as_ana = async |request: &Request, after: &mut Position| {
        let accepted = sent(&service, &held.ana, request).await == 200;
        let actors = actors(&service, after).await;
        acted.set(acted.get() + actors.len());
        (accepted, actors)
    };
    let ran = runner.run(&what_is_asked_of_a_call(), |asked| {
        calls.set(calls.get() + 1);
        let call: CallId = format!("c{}", calls.get()).parse().unwrap();
        let request = |command| Request {
            call: call.clone(),
            id: None,
            at: None,
            correlation: None,
            expect: None,
            command,
        };
        runtime.block_on(async {
            let mut after = Position(0);
            actors(&service, &mut after).await;
            while !actors(&service, &mut after).await.is_empty() {}
            for asked in asked {
                let request = request(asked.command);
                let (accepted, by) = as_ana(&request, &mut after).await;
                prop_assert!(by.is_subset(&only_ana), "{request:?}: {by:?}");
                if !accepted {
                    sent(&service, &held.telephony, &request).await;
                    actors(&service, &mut after).await;
                }
            }
            for command in everything_anybody_can_ask() {
                let request = request(command);
                let (_, by) = as_ana(&request, &mut after).await;
                prop_assert!(by.is_subset(&only_ana), "{request:?}: {by:?}");
            }
            Ok(())
        })
    });
    ran.unwrap();
    assert!(acted.get() > 0, "she never did anything");
    runtime.block_on(service.stop());
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_an_allowed_one_may_read_every_answer() {
    let (key, text) = operator();
    let settings = Settings {
        allowed_origins: vec!["https://desk.example".to_owned()],
        ..Settings::default()
    };
    let service = Served::by(Guards::new(Keys::of([key])), settings).await;
    let from = |origin: &str| service.get("/v1/keys").header("origin", origin);
    let own = service.url.clone();
    let port = own.rsplit_once(':').unwrap().1;
    for origin in [
        "https://evil.example",
        "http://desk.example",
        "https://desk.example.evil.example",
        "https://desk.example:8443",
        "null",
        "",
        &format!("http://localhost:{port}"),
        &format!("{own}.evil.example"),
        &format!("ftp{}", &own[4..]),
    ] {
        let response = from(origin).bearer_auth(&text).send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin");
        assert_eq!(allowed, None, "{origin}");
        let told = refusal(response).await;
        assert_eq!(told, (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    let twice = from("https://desk.example").header("origin", "https://desk.example");
    assert_eq!(status(twice.bearer_auth(&text)).await, 403);
    assert_eq!(status(from(&own).bearer_auth(&text)).await, 200);
    for (request, expected) in [
        (from("https://desk.example").bearer_auth(&text), 200),
        (from("https://desk.example"), 401),
        (
            service
                .get("/nothing")
                .header("origin", "https://desk.example"),
            404,
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        let headers = response.headers();
        assert_eq!(
            headers["access-control-allow-origin"],
            "https://desk.example"
        );
        assert_eq!(headers["vary"], "origin");
        let shown = headers["access-control-expose-headers"].to_str().unwrap();
        for name in [
            "etag",
            "kaigi-position",
            "kaigi-as-of",
            "kaigi-store",
            "kaigi-count",
            "kaigi-rolling-hash",
            "kaigi-proof",
            "kaigi-caught-up",
            "kaigi-complete",
            "retry-after",
            "link",
        ] {
            assert!(shown.split(", ").any(|shown| shown == name), "{name}");
        }
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }
    let plain = service.get("/healthz").send().await.unwrap();
    assert_eq!(plain.headers()["vary"], "origin");
    assert_eq!(plain.headers()["x-content-type-options"], "nosniff");
    service.stop().await;
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_tells_the_methods_of_the_path() {
    let settings = Settings {
        allowed_origins: vec!["https://desk.example".to_owned()],
        ..Settings::default()
    };
    let service = Served::by(Guards::new(Keys::of([])), settings).await;
    let preflight = |path: &str, origin: &str| {
        let request = service.request(Method::OPTIONS, path);
        let request = request.header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .send()
    };
    let response = preflight("/v1/keys", "https://desk.example").await.unwrap();
    assert_eq!(response.status(), 204);
    let told = |name: &str| {
        let value = response.headers()[name].to_str().unwrap();
        value
            .split(',')
            .map(|part| part.trim().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let methods = told("access-control-allow-methods");
    for method in ["GET", "HEAD", "POST"] {
        assert!(methods.contains(method), "{methods:?}");
    }
    let taken = told("access-control-allow-headers");
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "last-event-id",
    ] {
        assert!(taken.contains(name), "{name}");
    }
    let other = preflight("/v1/keys", "https://evil.example").await.unwrap();
    assert_eq!(other.status(), 403);
    assert!(!other.headers().contains_key("access-control-allow-methods"));
    let nowhere = preflight("/nothing", "https://desk.example").await.unwrap();
    assert_eq!(nowhere.status(), 404);
    service.stop().await;
}

#[tokio::test]
async fn without_keys_only_a_loopback_host_is_answered() {
    let service = Served::by(Guards::open(), Settings::default()).await;
    let path = "/v1/keys";
    let of = |host: &str| service.get(path).header("host", host);
    for host in [
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1",
        "127.8.9.1:8080",
        "[::1]:1",
        "[::1]",
    ] {
        assert_eq!(status(of(host)).await, 409, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1:80",
        "[::2]",
        "::2",
        "",
    ] {
        let (status, body) = answer(of(host)).await;
        assert_eq!(
            (status, &body["code"]),
            (403, &json!("host_not_allowed")),
            "{host}"
        );
    }
    let (status, body) = answer(service.get(path).header("origin", "http://evil.example")).await;
    assert_eq!((status, &body["code"]), (403, &json!("origin_not_allowed")));
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_ask_again_and_no_other_is() {
    let (fast, of_fast) = operator();
    let (slow, of_slow) = operator();
    let settings = Settings {
        rate_per_key: 2,
        ..Settings::default()
    };
    let service = Served::by(Guards::new(Keys::of([fast, slow])), settings).await;
    let mut refused = None;
    for _ in 0..10_000 {
        let response = service
            .get("/v1/keys")
            .bearer_auth(&of_fast)
            .send()
            .await
            .unwrap();
        if response.status() != 200 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("it is not that slow");
    let after: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&after), "{after}");
    assert_eq!(
        refusal(refused).await,
        (429, "too_many_requests".to_owned())
    );
    assert!(service.admits(&of_slow).await);
    eventually("it may ask again", async || service.admits(&of_fast).await).await;
    service.stop().await;
}

#[tokio::test]
async fn by_default_a_desk_asks_far_less_often_than_the_telephone_system() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    let command = json!({"type": "press_end", "by": "agent:ana"});
    let send = async |key: &str| service.post(key, "/v1/calls/c1/commands", &command).await.0;
    let mut taken = 0;
    while send(&held.ana).await != 429 {
        taken += 1;
        assert!(taken < 10_000, "it is not that slow");
    }
    assert!(taken >= 50, "{taken}");
    assert_eq!(send(&held.ben).await, 403, "each desk has its own rate");
    for _ in 0..taken {
        assert_ne!(send(&held.telephony).await, 429);
    }
    service.stop().await;
}

#[tokio::test]
async fn without_keys_nothing_is_limited() {
    let settings = Settings {
        rate_per_key: 1,
        rate_burst_ms: 0,
        ..Settings::default()
    };
    let service = Served::by(Guards::open(), settings).await;
    for _ in 0..20 {
        assert_eq!(status(service.get("/v1/active-calls")).await, 200);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_has_so_many_streams_and_no_more_until_one_ends() {
    let (mut keys, held) = one_of_each();
    let (other, of_other) = Key::create("other", vec![Grant::Reader]);
    keys.push(other);
    let settings = Settings {
        max_streams_per_key: 2,
        heartbeat_ms: 20,
        ..Settings::default()
    };
    let service = Served::by(Guards::new(Keys::of(keys)), settings).await;
    let stream = async |key: &str| {
        let stream = service.get("/v1/active-calls/changes").bearer_auth(key);
        stream.send().await.unwrap()
    };
    let open = [stream(&held.reader).await, stream(&held.reader).await];
    assert!(open.iter().all(|stream| stream.status() == 200));
    let refused = stream(&held.reader).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "5");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "too_many_streams");
    assert_eq!(stream(&of_other).await.status(), 200);
    let list = service.get("/v1/active-calls").bearer_auth(&held.reader);
    assert_eq!(status(list).await, 200, "what is no stream is no stream");
    drop(open);
    eventually("there is room again", async || {
        stream(&held.reader).await.status() == 200
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn the_log_tells_of_lines_that_their_sender_may_not_send() {
    let (desk, text) = Key::create("desk", vec![Grant::Desk("ana".parse().unwrap())]);
    let id = desk.id.clone();
    let service = Served::by(Guards::new(Keys::of(vec![desk])), fast()).await;
    let line = json!({"call": "c1", "type": "press_end", "by": "agent:ben"});
    let request = service.request(Method::POST, "/v1/commands");
    let request = request.header("content-type", "application/x-ndjson");
    let request = request
        .bearer_auth(&text)
        .body(format!("{line}\n").repeat(100));
    assert_eq!(status(request).await, 200);
    let told = || {
        let text = service.log.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let denied = lines.filter(|line: &Value| line["code"] == "not_yours");
        denied.collect::<Vec<_>>()
    };
    let count = || {
        told()
            .iter()
            .map(|line| line["lines"].as_u64().unwrap())
            .sum::<u64>()
    };
    eventually("all of them are told", async || count() == 100).await;
    assert!(told().len() < 100, "many in one line");
    assert_eq!(told()[0]["route"], "/v1/commands");
    assert_eq!(told()[0]["key"], id.as_str());
    service.stop().await;
}

#[tokio::test]
async fn the_log_tells_why_somebody_was_denied_and_no_secret() {
    let (mut keys, held) = one_of_each();
    let useless = useless_keys(&mut keys);
    let id = |name: &str| {
        let key = keys.iter().find(|key| key.name == name);
        key.unwrap().id.clone()
    };
    let (of_reader, of_revoked, of_expired) = (id("reader"), id("revoked"), id("expired"));
    let service = Served::with_keys(keys).await;
    let ask = |key: &str| status(service.get("/v1/keys?secret=kept-private").bearer_auth(key));
    // A line may be written after its answer was read.
    let logged = async |code: &str, key: Value| {
        let is_told = || {
            let line = service.log.last();
            (&line["code"], &line["key"]) == (&json!(code), &key)
        };
        eventually(code, async || is_told()).await;
    };
    status(service.get("/v1/keys")).await;
    logged("key_missing", Value::Null).await;
    ask(&held.reader).await;
    logged("role_missing", of_reader.into()).await;
    for (what, text) in &useless {
        ask(text).await;
        match *what {
            "revoked" => logged("key_revoked", of_revoked.as_str().into()).await,
            "expired" => logged("key_expired", of_expired.as_str().into()).await,
            _ => logged("key_unknown", Value::Null).await,
        }
    }
    status(
        service
            .get("/v1/keys")
            .header("origin", "http://evil.example"),
    )
    .await;
    logged("origin_not_allowed", Value::Null).await;
    let told = service.log.text();
    for (_, secret) in by_name(&held) {
        assert!(!told.contains(random_part(secret)));
    }
    assert!(
        !told.contains("kept-private") && !told.contains("Bearer"),
        "{told}"
    );
    service.stop().await;
}

#[tokio::test]
async fn the_log_has_no_word_that_a_client_chose() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    let method = Method::from_bytes(b"SECRET-0800").unwrap();
    let request = service.request(method, "/v1/secret-0800?secret-0800=1");
    let request = request
        .bearer_auth(&held.reader)
        .header("user-agent", "secret-0800")
        .header("referer", "secret-0800")
        .header("traceparent", "00-secret-0800")
        .header("secret-0800", "1");
    status(request).await;
    eventually("it is logged", async || {
        service.log.last()["method"] == "other"
    })
    .await;
    let log = service.log.text().to_lowercase();
    assert!(!log.contains("secret"), "{log}");
    let metrics = service.get("/metrics").bearer_auth(&held.reader);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(!metrics.to_lowercase().contains("secret"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn nobody_learns_whether_a_key_was_there() {
    let (mut keys, _) = one_of_each();
    let useless = useless_keys(&mut keys);
    let service = Served::with_keys(keys).await;
    let mut told = BTreeSet::new();
    for (_, text) in &useless {
        let (_, body) = answer(service.get("/v1/keys").bearer_auth(text)).await;
        told.insert(body.to_string());
    }
    let (_, without) = answer(service.get("/v1/keys")).await;
    assert_eq!(told, BTreeSet::from([without.to_string()]));
    service.stop().await;
}

#[tokio::test]
async fn an_operator_makes_lists_and_revokes_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (key, text) = operator();
    KeyFile::at(&path).add(key).unwrap();
    let service = Served::with_file(&path).await;
    let wanted =
        json!({"name": "ana", "roles": ["desk"], "agent": "agent:ana", "expires_at": null});
    let (status_created, made) = service.post(&text, "/v1/keys", &wanted).await;
    assert_eq!(status_created, 201, "{made}");
    let of_ana = made["key"].as_str().unwrap();
    let command = json!({"call": "c1", "type": "press_end", "by": "agent:ana"});
    let (sent, body) = service
        .post(of_ana, "/v1/calls/c1/commands", &command)
        .await;
    assert!(![401, 403].contains(&sent), "{body}");
    let (_, list) = answer(service.get("/v1/keys").bearer_auth(&text)).await;
    let names: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    assert_eq!(names, ["operator", "ana"]);
    assert!(!list.to_string().contains("sha256") && list["keys"][1].get("key").is_none());
    let revoke = |id: &str| {
        let request = service.request(Method::DELETE, &format!("/v1/keys/{id}"));
        answer(request.bearer_auth(&text))
    };
    let (taken, problem) = service.post(&text, "/v1/keys", &wanted).await;
    assert_eq!((taken, &problem["code"]), (409, &json!("name_taken")));
    let id = made["id"].as_str().unwrap();
    let (first, revoked) = revoke(id).await;
    assert_eq!(first, 200);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(revoke(id).await, (200, revoked));
    let (sent, _) = service
        .post(of_ana, "/v1/calls/c1/commands", &command)
        .await;
    assert_eq!(sent, 401);
    let (missing, body) = revoke("none").await;
    assert_eq!((missing, &body["code"]), (404, &json!("key_not_found")));
    for (wanted, expected) in [
        (json!({"name": "x", "roles": []}), 422),
        (json!({"name": " ", "roles": ["reader"]}), 422),
        (json!({"name": "x", "roles": ["reader", "reader"]}), 422),
        (json!({"name": "x", "roles": ["desk"]}), 422),
        (
            json!({"name": "x", "roles": ["reader"], "agent": "agent:ana"}),
            422,
        ),
        (
            json!({"name": "x", "roles": ["desk"], "agent": "supervisor:ana"}),
            422,
        ),
        (
            json!({"name": "x", "roles": ["reader"], "expires_at": "soon"}),
            422,
        ),
        (json!({"name": "x", "roles": ["root"]}), 400),
        (json!({"name": "x", "roles": ["reader"], "limit": 1}), 400),
    ] {
        let (status, body) = service.post(&text, "/v1/keys", &wanted).await;
        assert_eq!(status, expected, "{wanted}: {body}");
    }
    service.stop().await;
}

#[tokio::test]
async fn keys_in_memory_cannot_be_changed() {
    let (key, text) = operator();
    let service = Served::with_keys(vec![key]).await;
    let wanted = json!({"name": "x", "roles": ["reader"]});
    let (status, body) = service.post(&text, "/v1/keys", &wanted).await;
    assert_eq!((status, &body["code"]), (409, &json!("keys_not_kept")));
    assert!(service.admits(&text).await);
    service.stop().await;
}

#[tokio::test]
async fn a_changed_key_file_is_read_again_and_a_bad_one_leaves_the_keys_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::at(&path);
    let (first, of_first) = operator();
    file.add(first.clone()).unwrap();
    let service = Served::with_file(&path).await;
    let keys = || service.service.guards.keys().unwrap();
    assert!(service.admits(&of_first).await);
    let (second, of_second) = another_operator();
    assert!(!service.admits(&of_second).await);
    file.add(second).unwrap();
    eventually("the second is admitted", async || {
        service.admits(&of_second).await
    })
    .await;

    let good = std::fs::read(&path).unwrap();
    for bad in [
        "",
        "{\"format\":1,\"keys\":[",
        "{\"format\":2,\"keys\":[]}",
        "{\"format\":1,\"keys\":[],\"only_from\":\"10.0.0.0/8\"}",
    ] {
        std::fs::write(&path, bad).unwrap();
        eventually("it is said", async || {
            keys()
                .trouble()
                .is_some_and(|trouble| trouble.contains("no key file"))
        })
        .await;
        assert!(service.admits(&of_first).await && service.admits(&of_second).await);
        let metrics = service.get("/metrics").bearer_auth(&of_first).send().await;
        let metrics = metrics.unwrap().text().await.unwrap();
        let failed = metrics
            .lines()
            .find_map(|line| line.strip_prefix("kaigi_failed_key_reads_total "));
        assert!(failed.unwrap().parse::<u64>().unwrap() > 0);
        let wanted = json!({"name": "x", "roles": ["reader"]});
        let (status, _) = service.post(&of_first, "/v1/keys", &wanted).await;
        assert_eq!(status, 503);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        std::fs::write(&path, &good).unwrap();
        eventually("it is read again", async || keys().trouble().is_none()).await;
    }
    std::fs::remove_file(&path).unwrap();
    eventually("it is missed", async || keys().trouble().is_some()).await;
    assert!(service.admits(&of_first).await);
    std::fs::write(&path, &good).unwrap();
    file.revoke(&first.id, domain::now()).unwrap();
    eventually("the first is revoked", async || {
        !service.admits(&of_first).await
    })
    .await;
    assert!(service.admits(&of_second).await);
    service.stop().await;
}

#[test]
fn two_who_make_keys_at_once_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let file = KeyFile::at(&path);
            std::thread::spawn(move || {
                let keys = (0..25).map(|_| another_operator().0);
                let add = |key: Key| {
                    file.add(key.clone()).unwrap();
                    key.id
                };
                keys.map(add).collect::<Vec<_>>()
            })
        })
        .collect();
    let made = makers.into_iter().flat_map(|maker| maker.join().unwrap());
    let made: BTreeSet<_> = made.collect();
    let kept = KeyFile::at(&path).keys().unwrap();
    assert_eq!(made.len(), 100);
    assert_eq!(
        kept.into_iter().map(|key| key.id).collect::<BTreeSet<_>>(),
        made
    );
}

#[test]
fn who_is_killed_before_the_new_file_takes_its_place_leaves_the_old_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::at(&path);
    let (first, _) = operator();
    file.add(first.clone()).unwrap();
    std::fs::write(folder.path().join("keys.json.new"), "{\"format\":1,\"ke").unwrap();
    assert_eq!(file.keys().unwrap(), std::slice::from_ref(&first));
    let (second, _) = another_operator();
    file.add(second.clone()).unwrap();
    assert_eq!(file.keys().unwrap(), [first, second]);
    assert!(!folder.path().join("keys.json.new").exists());
}

#[test]
fn a_missing_file_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let error = Keys::open(&path).unwrap_err().to_string();
    assert!(error.contains("kaigi keys create"), "{error}");
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_a_new_file_and_a_changed_one_keeps_its_rights_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (real, path) = (
        folder.path().join("real.json"),
        folder.path().join("keys.json"),
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = KeyFile::at(&real);
    file.add(operator().0).unwrap();
    assert_eq!(mode(&real), 0o600);
    assert!(!file.is_readable_by_others());
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(file.is_readable_by_others());
    symlink(&real, &path).unwrap();
    KeyFile::at(&path).add(another_operator().0).unwrap();
    assert_eq!(mode(&real), 0o640);
    assert!(path.is_symlink());
    assert_eq!(file.keys().unwrap().len(), 2);
}

#[cfg(unix)]
#[test]
fn a_changed_file_stays_its_owners_whoever_changes_it() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::at(&path);
    if chown(folder.path(), Some(4711), Some(4712)).is_err() {
        return skip("keys stay their owner's", "only root can give files away");
    }
    let is_theirs = |path: &Path| {
        let about = std::fs::metadata(path).unwrap();
        assert_eq!(
            (about.uid(), about.gid()),
            (4711, 4712),
            "{}",
            path.display()
        );
    };
    file.add(operator().0).unwrap();
    is_theirs(&path);
    is_theirs(&folder.path().join("keys.json.lock"));
    chown(folder.path(), Some(0), Some(0)).unwrap();
    file.add(another_operator().0).unwrap();
    is_theirs(&path);
}

/// The streams that there are.
fn streams() -> Vec<Arc<Route>> {
    let is_stream = |route: &Arc<Route>| {
        let mut answers = route.operation.answers.iter();
        answers.any(|answer| {
            answer
                .content
                .iter()
                .any(|(media, _)| *media == "text/event-stream")
        })
    };
    table().into_iter().filter(is_stream).collect()
}

#[tokio::test]
async fn a_token_is_given_to_who_may_take_the_stream_and_for_streams_only() {
    let (keys, held) = one_of_each();
    let service = Served::with_keys(keys).await;
    for route in streams() {
        let path = path(&route);
        for (name, key) in by_name(&held) {
            let wanted = json!({"stream": path});
            let (status, body) = service.post(key, "/v1/tokens", &wanted).await;
            if !may_take(&route).contains(&name) {
                assert_eq!(status, 403, "{path} as {name}: {body}");
                continue;
            }
            assert_eq!(status, 201, "{path} as {name}: {body}");
            let url = body["url"].as_str().unwrap();
            let stream = service.get(url).header("accept", "text/event-stream");
            assert_eq!(self::status(stream).await, 200, "{path} as {name}");
            let more = service.get(&format!("{url}&more=1"));
            assert_eq!(self::status(more).await, 401, "{path} as {name}");
        }
    }
    for stream in [
        "",
        "/",
        "/healthz",
        "/v1/keys",
        "/v1/calls/c1/commands",
        "/nothing",
        "http://evil.example/v1/events",
        "//evil.example/v1/events",
        "/v1/events#here",
        "/v1/events/",
        "/v1/events?token=1",
    ] {
        let (status, body) = service
            .post(&held.operator, "/v1/tokens", &json!({"stream": stream}))
            .await;
        assert_eq!(status, 422, "{stream}: {body}");
    }
    service.stop().await;
}
