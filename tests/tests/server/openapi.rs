//! The OpenAPI document against the real answers.

use domain::json::{EventJson, parse_command, write_command};
use domain::{EventStore, Handler, MemoryStore, Position, Request, StoredEvent};
use kaigi::simulate::{Day, simulate};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tests::api::{Answered, Api};
use tests::arbitrary::everything_anybody_can_ask;
use tests::clients::{Client, client};
use tests::service::{Running, Setup};

async fn document(service: &Running) -> Value {
    let answer = service.get("", "/openapi.json").send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Every value of `$ref` in there.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target.clone());
                    }
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_schema_that_is_named_is_there() {
    let service = Running::start().await;
    let document = document(&service).await;
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for name in named {
        let pointer = name.strip_prefix('#').expect("all is in one document");
        assert!(document.pointer(pointer).is_some(), "{name}");
    }
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/openapi.json");
    std::fs::write(file, document.to_string()).unwrap();
    service.stop().await;
}

#[tokio::test]
async fn each_command_is_read_as_the_document_says() {
    let service = Running::start().await;
    let document = document(&service).await;
    let api = Api::new(document.clone());
    let command = Api::schema("Command");
    let variants = document["components"]["schemas"]["Command"]["oneOf"]
        .as_array()
        .unwrap();
    assert_eq!(variants.len(), 20);
    for variant in variants {
        let name = variant["$ref"].as_str().unwrap().trim_start_matches('#');
        let schema = document.pointer(name).unwrap();
        let whole: Value = schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(field, schema)| (field.clone(), example(field, schema)))
            .collect();
        api.fits(&command, &whole.to_string()).unwrap();
        parse_command(&whole.to_string()).unwrap();
        for field in schema["required"].as_array().unwrap() {
            let mut lacking = whole.clone();
            lacking
                .as_object_mut()
                .unwrap()
                .remove(field.as_str().unwrap());
            assert!(
                api.fits(&command, &lacking.to_string()).is_err(),
                "{lacking}"
            );
            assert!(parse_command(&lacking.to_string()).is_err(), "{lacking}");
        }
        let mut more = whole.clone();
        more["nonsense"] = 1.into();
        assert!(api.fits(&command, &more.to_string()).is_err(), "{more}");
        assert!(parse_command(&more.to_string()).is_err(), "{more}");
    }
    service.stop().await;
}

/// A value that the field can have.
fn example(field: &str, schema: &Value) -> Value {
    match field {
        "type" => schema["const"].clone(),
        "call" => "c1".into(),
        "id" => "5f1d2c77-1a0b-4c55-8a3e-77d190abcdef".into(),
        "at" => "2026-11-22T09:00:00.000Z".into(),
        "expect" => 3.into(),
        "customer" => "+15550100".into(),
        "hold" => "none".into(),
        "origin" => "device".into(),
        "by" | "agent" | "party" | "target" => "agent:ana".into(),
        "correlation" | "queue" | "reason" | "note" => "billing".into(),
        _ => panic!("no example of {field}"),
    }
}

#[test]
fn whatever_can_be_asked_is_a_command_by_the_document() {
    let api = Api::new(server::operations::document(&server::route::table()));
    let schema = Api::schema("Command");
    for command in everything_anybody_can_ask() {
        let request = Request {
            call: "c1".parse().unwrap(),
            id: None,
            at: None,
            correlation: None,
            expect: None,
            command,
        };
        api.fits(&schema, &write_command(&request)).unwrap();
    }
}

#[tokio::test]
async fn every_event_of_a_day_is_one_by_the_document() {
    let api = Api::new(server::operations::document(&server::route::table()));
    let schema = Api::schema("Event");
    let mut types = BTreeSet::new();
    for stored in a_day(60).await {
        let json = serde_json::to_string(&EventJson(&stored)).unwrap();
        api.fits(&schema, &json).unwrap();
        types.insert(stored.recorded.payload.event_type.name());
    }
    assert!(types.len() > 15, "only {types:?}");
}

async fn a_day(calls: u64) -> Vec<StoredEvent> {
    let store = Arc::new(MemoryStore::new());
    let handler = Handler::new(Arc::clone(&store) as Arc<dyn EventStore>);
    for request in simulate(&Day { calls, seed: 1 }) {
        // The day has commands that a rule refuses.
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
    store.read_all(Position::START, usize::MAX).await.unwrap()
}

/// Asks, and holds whatever is answered against the document.
struct Judge<'a> {
    service: &'a Running,
    api: Api,
}

impl Judge<'_> {
    /// The first so many bytes of the answer to that route: a stream has no end.
    async fn ask(
        &self,
        route: (&str, &str),
        path: &str,
        key: &str,
        accept: &str,
        body: &str,
    ) -> (u16, String) {
        let method = route.0.parse().unwrap();
        let mut request = self.service.request(method, key, path);
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        if !body.is_empty() {
            let lines = path == "/v1/commands";
            let media_type = if lines {
                "application/x-ndjson"
            } else {
                "application/json"
            };
            request = request
                .header("content-type", media_type)
                .body(body.to_owned());
        }
        let mut answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let media_type = answer.headers().get("content-type").cloned();
        let media_type = media_type.map_or(String::new(), |media_type| {
            media_type.to_str().unwrap().to_owned()
        });
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.unwrap() {
            text.extend_from_slice(&chunk);
            if media_type.starts_with("text/event-stream") {
                break;
            }
        }
        let body = String::from_utf8(text).unwrap();
        let answered = Answered {
            method: route.0,
            path: route.1,
            status,
            media_type: &media_type,
            body: &body,
        };
        self.api
            .judge(&answered)
            .unwrap_or_else(|why| panic!("{} {path}: {why}", route.0));
        (status, body)
    }
}

#[tokio::test]
async fn every_route_answers_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        keys: Some(folder.path().join("keys.json")),
        ..Setup::default()
    };
    let service = Running::with(setup).await;
    let judge = Judge {
        api: Api::new(document(&service).await),
        service: &service,
    };
    judge.commands().await;
    judge.read_models().await;
    judge.history().await;
    judge.keys_and_tokens().await;
    judge.operation().await;
    let successes = judge.api.successes();
    let missing: Vec<_> = successes.difference(&judge.api.seen()).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "nobody asked for these");
    service.stop().await;
}

const ROWS: [&str; 3] = ["application/json", "application/x-ndjson", "text/csv"];

/// No `Accept`.
const ANY: &str = "";

/// No body.
const NONE: &str = "";

impl Judge<'_> {
    async fn commands(&self) {
        let held = &self.service.keys;
        let day: String = simulate(&Day { calls: 30, seed: 1 })
            .map(|mut request| {
                request.at = None;
                write_command(&request) + "\n"
            })
            .collect();
        let many = ("POST", "/v1/commands");
        self.ask(many, "/v1/commands", &held.telephony, ANY, &(day + "{}\n"))
            .await;
        let one = ("POST", "/v1/calls/{call}/commands");
        let connect = r#"{"type":"connect_call","agent":"agent:ana","customer":"+15550100","queue":"billing"}"#;
        let end = r#"{"type":"end_call","by":"agent:ana"}"#;
        let stale = r#"{"type":"end_call","by":"agent:ana","expect":7}"#;
        let nobody = r#"{"type":"end_call","by":"nobody"}"#;
        let no_key = String::new();
        for (call, key, body, expected) in [
            ("c1", &held.telephony, connect, 200),
            ("c1", &held.telephony, connect, 409),
            ("c1", &held.telephony, "{", 400),
            ("none", &held.ana, end, 404),
            ("c1", &held.telephony, stale, 412),
            ("c1", &held.telephony, nobody, 422),
            ("c1", &held.ben, end, 403),
            ("c1", &held.reader, connect, 403),
            ("c1", &no_key, connect, 401),
        ] {
            let path = format!("/v1/calls/{call}/commands");
            let (status, answer) = self.ask(one, &path, key, ANY, body).await;
            assert_eq!(status, expected, "{answer}");
        }
    }

    async fn read_models(&self) {
        let reader = &self.service.keys.reader;
        for (route, query) in [
            ("/v1/active-calls", "?queue=billing"),
            ("/v1/active-calls", "?nonsense=1"),
            ("/v1/active-calls", "?min_position=99999999&wait=0"),
            ("/v1/wrap-up-queue", ""),
            ("/v1/handle-times", ""),
            ("/v1/handle-times", "?by=agent"),
            ("/v1/handle-times", "?window=1h&by=queue"),
            ("/v1/handle-times", "?window=1h&by=agent&explain=true"),
            ("/v1/monitoring", "?limit=1"),
        ] {
            for accept in ROWS {
                let path = format!("{route}{query}");
                self.ask(("GET", route), &path, reader, accept, NONE).await;
            }
            let changes = format!("{route}/changes");
            self.ask(("GET", &changes), &changes, reader, ANY, NONE)
                .await;
        }
        let calls = ("GET", "/v1/active-calls");
        let (status, _) = self.ask(calls, calls.1, reader, "image/png", NONE).await;
        assert_eq!(status, 406);
    }

    async fn history(&self) {
        let auditor = &self.service.keys.auditor;
        for accept in ROWS {
            self.ask(
                ("GET", "/v1/calls"),
                "/v1/calls?limit=3",
                auditor,
                accept,
                NONE,
            )
            .await;
        }
        for (route, path) in [
            ("/v1/calls/{call}", "/v1/calls/c1"),
            ("/v1/calls/{call}", "/v1/calls/none"),
            ("/v1/calls/{call}", "/v1/calls/c1?revision=9"),
            ("/v1/calls/{call}/events", "/v1/calls/c1/events"),
            ("/v1/calls/{call}/events", "/v1/calls/none/events"),
            ("/v1/events", "/v1/events"),
            ("/v1/events", "/v1/events?form=cloudevents"),
            ("/v1/events", "/v1/events?after=99999999"),
            ("/v1/events", "/v1/events?after=many"),
            ("/v1/proof", "/v1/proof"),
            ("/v1/proof", "/v1/proof?count=99999999"),
            ("/v1/position", "/v1/position"),
            ("/v1/store", "/v1/store"),
        ] {
            self.ask(("GET", route), path, auditor, ANY, NONE).await;
        }
        let (events, of_call) = (("GET", "/v1/events"), ("GET", "/v1/calls/{call}/events"));
        for form in ["plain", "whole", "cloudevents"] {
            let path = format!("/v1/events?form={form}&limit=5");
            self.ask(events, &path, auditor, ROWS[1], NONE).await;
            let path = format!("/v1/calls/c1/events?form={form}");
            self.ask(of_call, &path, auditor, ROWS[1], NONE).await;
        }
        self.ask(
            events,
            "/v1/events?after=0",
            auditor,
            "text/event-stream",
            NONE,
        )
        .await;
    }

    async fn keys_and_tokens(&self) {
        let (reader, operator) = (&self.service.keys.reader, &self.service.keys.operator);
        let key = r#"{"name":"wallboard","roles":["reader"]}"#;
        let keys = ("POST", "/v1/keys");
        let (_, created) = self.ask(keys, "/v1/keys", operator, ANY, key).await;
        let created: Value = serde_json::from_str(&created).unwrap();
        let created = format!("/v1/keys/{}", created["id"].as_str().unwrap());
        self.ask(("GET", "/v1/keys"), "/v1/keys", operator, ANY, NONE)
            .await;
        for path in [&*created, "/v1/keys/none"] {
            self.ask(("DELETE", "/v1/keys/{id}"), path, operator, ANY, NONE)
                .await;
        }
        let stream = r#"{"stream":"/v1/active-calls/changes"}"#;
        let tokens = ("POST", "/v1/tokens");
        let (_, token) = self.ask(tokens, "/v1/tokens", reader, ANY, stream).await;
        let token: Value = serde_json::from_str(&token).unwrap();
        let url = format!("{}{}", self.service.url, token["url"].as_str().unwrap());
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    }

    async fn operation(&self) {
        let (reader, operator) = (&self.service.keys.reader, &self.service.keys.operator);
        for (method, path, key) in [
            ("GET", "/v1/read-models", operator),
            ("POST", "/v1/read-models/rebuild", operator),
            ("GET", "/metrics", reader),
            ("GET", "/healthz", reader),
            ("GET", "/readyz", reader),
            ("GET", "/openapi.json", reader),
            ("GET", "/", reader),
        ] {
            self.ask((method, path), path, key, ANY, NONE).await;
        }
    }
}

#[tokio::test]
async fn a_backend_team_needs_nothing_but_the_document() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let check = "a client generated of the OpenAPI document";
    let install = || client(Client::OpenApiInPython, folder, check);
    let Some(python) = tokio::task::spawn_blocking(install).await.unwrap() else {
        return;
    };
    let service = Running::start().await;
    let before = json!({"type": "connect_call", "agent": "agent:cleo"});
    assert_eq!(service.send("before", &before).await.status(), 200);
    let (url, keys) = (service.url.clone(), service.keys.clone());
    let run = move || {
        python.run(
            "backend_team.py",
            &[&url, &keys.telephony, &keys.reader, &keys.auditor],
        )
    };
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{complained}");
    let proof: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let last = service.service.feed.state().prefix;
    assert_eq!(proof["events"], last.count);
    assert_eq!(proof["rolling_hash"], last.rolling_hash.to_string());
    service.stop().await;
}
