//! The OpenAPI document against the real answers.

use domain::json::{EventJson, parse_command, write_command};
use domain::{EventStore, Handler, MemoryStore, Position, Request, StoredEvent};
use kaigi::simulate::{Day, simulate};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tests::api::{Answered, Api};
use tests::arbitrary::everything_anybody_can_ask;
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
    let day: String = simulate(&Day { calls: 30, seed: 1 })
        .map(|mut request| {
            request.at = None;
            write_command(&request) + "\n"
        })
        .collect();
    let held = &service.keys;
    let judge = Judge {
        api: Api::new(document(&service).await),
        service: &service,
    };
    let commands = ("POST", "/v1/calls/{call}/commands");
    let connect =
        r#"{"type":"connect_call","agent":"agent:ana","customer":"+15550100","queue":"billing"}"#;
    judge
        .ask(
            ("POST", "/v1/commands"),
            "/v1/commands",
            &held.telephony,
            "",
            &(day + "{}\n"),
        )
        .await;
    for (path, key, body, expected) in [
        ("/v1/calls/c1/commands", &held.telephony, connect, 200),
        ("/v1/calls/c1/commands", &held.telephony, connect, 409),
        ("/v1/calls/c1/commands", &held.telephony, "{", 400),
        (
            "/v1/calls/none/commands",
            &held.ana,
            r#"{"type":"end_call","by":"agent:ana"}"#,
            404,
        ),
        (
            "/v1/calls/c1/commands",
            &held.telephony,
            r#"{"type":"end_call","by":"agent:ana","expect":7}"#,
            412,
        ),
        (
            "/v1/calls/c1/commands",
            &held.telephony,
            r#"{"type":"end_call","by":"nobody"}"#,
            422,
        ),
        (
            "/v1/calls/c1/commands",
            &held.ben,
            r#"{"type":"end_call","by":"agent:ana"}"#,
            403,
        ),
        ("/v1/calls/c1/commands", &held.reader, connect, 403),
        ("/v1/calls/c1/commands", &String::new(), connect, 401),
    ] {
        let (status, answer) = judge.ask(commands, path, key, "", body).await;
        assert_eq!(status, expected, "{answer}");
    }
    let last = service.service.views.position().0;
    let any = "";
    let rows = ["application/json", "application/x-ndjson", "text/csv"];
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
        for accept in rows {
            judge
                .ask(
                    ("GET", route),
                    &format!("{route}{query}"),
                    &held.reader,
                    accept,
                    any,
                )
                .await;
        }
        let changes = format!("{route}/changes");
        judge
            .ask(("GET", &changes), &changes, &held.reader, any, any)
            .await;
    }
    judge
        .ask(
            ("GET", "/v1/active-calls"),
            "/v1/active-calls",
            &held.reader,
            "image/png",
            any,
        )
        .await;
    for accept in rows {
        judge
            .ask(
                ("GET", "/v1/calls"),
                "/v1/calls?limit=3",
                &held.auditor,
                accept,
                any,
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
        judge
            .ask(("GET", route), path, &held.auditor, any, any)
            .await;
    }
    for form in ["plain", "whole", "cloudevents"] {
        let path = format!("/v1/events?form={form}&limit=5");
        judge
            .ask(
                ("GET", "/v1/events"),
                &path,
                &held.auditor,
                "application/x-ndjson",
                any,
            )
            .await;
        let path = format!("/v1/calls/c1/events?form={form}");
        let route = ("GET", "/v1/calls/{call}/events");
        judge
            .ask(route, &path, &held.auditor, "application/x-ndjson", any)
            .await;
    }
    judge
        .ask(
            ("GET", "/v1/events"),
            "/v1/events?after=0",
            &held.auditor,
            "text/event-stream",
            any,
        )
        .await;
    let key = r#"{"name":"wallboard","roles":["reader"]}"#;
    let (_, created) = judge
        .ask(("POST", "/v1/keys"), "/v1/keys", &held.operator, any, key)
        .await;
    let created: Value = serde_json::from_str(&created).unwrap();
    let revoked = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    for (route, path, key) in [
        (("GET", "/v1/keys"), "/v1/keys", &held.operator),
        (("DELETE", "/v1/keys/{id}"), &*revoked, &held.operator),
        (("DELETE", "/v1/keys/{id}"), "/v1/keys/none", &held.operator),
        (
            ("GET", "/v1/read-models"),
            "/v1/read-models",
            &held.operator,
        ),
        (
            ("POST", "/v1/read-models/rebuild"),
            "/v1/read-models/rebuild",
            &held.operator,
        ),
        (("GET", "/metrics"), "/metrics", &held.reader),
        (("GET", "/healthz"), "/healthz", &held.reader),
        (("GET", "/readyz"), "/readyz", &held.reader),
        (("GET", "/openapi.json"), "/openapi.json", &held.reader),
        (("GET", "/"), "/", &held.reader),
    ] {
        judge.ask(route, path, key, any, any).await;
    }
    let stream = r#"{"stream":"/v1/active-calls/changes"}"#;
    let (_, token) = judge
        .ask(
            ("POST", "/v1/tokens"),
            "/v1/tokens",
            &held.reader,
            any,
            stream,
        )
        .await;
    let token: Value = serde_json::from_str(&token).unwrap();
    let url = token["url"].as_str().unwrap();
    let by_token = service
        .request(reqwest::Method::GET, "", url)
        .send()
        .await
        .unwrap();
    assert_eq!(by_token.status(), 401, "a header goes before a token");
    let by_token = reqwest::get(format!("{}{url}", service.url)).await.unwrap();
    assert_eq!(by_token.status(), 200);
    drop(by_token);
    assert!(last > 0);
    let missing: Vec<_> = judge
        .api
        .successes()
        .difference(&judge.api.seen())
        .cloned()
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "nobody asked for these");
    service.stop().await;
}
