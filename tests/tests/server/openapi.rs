//! The OpenAPI document against the real answers.

use domain::command::CommandType;
use domain::json::{EventJson, parse_command, write_command};
use domain::{EventStore, Handler, MemoryStore, Position, Request, StoredEvent};
use engine::keys::Role;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use server::Settings;
use server::access::Access;
use server::route::{Parameter, Place, Route};
use simulate::{Day, simulate};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use tests::api::Api;
use tests::arbitrary::everything_anybody_can_ask;
use tests::clients::{Client, client};
use tests::judge::Judge;
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
    assert_eq!(variants.len(), CommandType::ALL.len());
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
    let api = Api::new(server::operations::document(&server::routes::table()));
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
    let api = Api::new(server::operations::document(&server::routes::table()));
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

/// Values of all kinds; each parameter allows some of them.
const VALUES: [&str; 36] = [
    "",
    " ",
    "a",
    "0",
    "1",
    "7",
    "-1",
    "+1",
    "1.5",
    "1e3",
    ".",
    "..",
    "NaN",
    "inf",
    "10001",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "true",
    "TRUE",
    "yes",
    "agent:ana",
    "supervisor:sam",
    "agent:",
    "a/b",
    "a b",
    "\u{e9}",
    "4h",
    "4 h",
    "1h",
    "call",
    "-call",
    "2026-11-22T09:00:00Z",
    "2026-11-22",
    "soon",
    "9999999999h",
];

/// A text that is too long for every parameter that has a limit.
fn too_long() -> String {
    "x".repeat(5000)
}

fn parameters(route: &Route) -> Vec<Parameter> {
    let parameters = route.operation.parameters.iter();
    let is_ignored = |name| ["traceparent", "If-None-Match"].contains(&name);
    let judged = parameters.filter(|parameter| !is_ignored(parameter.name));
    judged.cloned().collect()
}

/// Whether the parameter can have that value, by the document alone.
fn fits(api: &Api, parameter: &Parameter, value: &str) -> bool {
    let typed = match parameter.schema["type"].as_str() {
        Some("integer" | "number" | "boolean") => serde_json::from_str(value).ok(),
        _ => Some(json!(value)),
    };
    typed.is_some_and(|typed: Value| api.fits(&parameter.schema, &typed.to_string()).is_ok())
}

#[test]
fn a_parameter_is_checked_as_the_document_says() {
    let api = Api::new(server::operations::document(&server::routes::table()));
    let mut fitting = 0;
    for route in server::routes::table() {
        let in_url = |parameter: &Parameter| parameter.place != Place::Header;
        for parameter in parameters(&route).into_iter().filter(in_url) {
            for value in VALUES
                .iter()
                .map(|value| (*value).to_owned())
                .chain([too_long()])
            {
                let expected = fits(&api, &parameter, &value);
                let told = format!("{} {}={value:.80}", route.path, parameter.name);
                // The document cannot say how numbers are written in a query.
                let is_written_otherwise = ["1e3", "-1", "+1"].contains(&&*value);
                let is_text = parameter.schema["type"] == "string";
                if is_text || !is_written_otherwise {
                    assert_eq!(parameter.check(&value).is_ok(), expected, "{told}");
                }
                fitting += usize::from(expected);
            }
        }
    }
    assert!(fitting > 200, "{fitting}");
}

#[tokio::test]
async fn a_value_that_the_document_does_not_allow_is_refused_by_every_route() {
    let settings = Settings {
        rate_per_key: 1_000_000,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    let api = Api::new(document(&service).await);
    for route in server::routes::table() {
        for parameter in parameters(&route) {
            let values = VALUES
                .iter()
                .map(|value| (*value).to_owned())
                .chain([too_long()]);
            for value in values.filter(|value| !fits(&api, &parameter, value)) {
                let Some(request) = asked(&service, &route, &parameter, &value) else {
                    continue;
                };
                let answer = request.send().await.unwrap();
                let status = answer.status().as_u16();
                let told = format!("{} {}={value:.80}: {status}", route.path, parameter.name);
                let problem = answer.text().await.unwrap();
                assert_eq!(status, 422, "{told} {problem}");
                assert!(problem.contains("bad_value"), "{told} {problem}");
                assert!(problem.contains(parameter.name), "{told} {problem}");
            }
        }
    }
    service.stop().await;
}

/// A request with that value; none where the value cannot stand there at all.
fn asked(
    service: &Running,
    route: &Route,
    parameter: &Parameter,
    value: &str,
) -> Option<RequestBuilder> {
    let keys = &service.keys;
    let key = match route.access {
        Access::Roles(roles) if roles.contains(&Role::Operator) => &keys.operator,
        Access::Roles(roles) if roles.contains(&Role::Telephony) => &keys.telephony,
        Access::Roles(_) | Access::Everyone => &keys.reader,
    };
    let encoded = value.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").expect("a text takes what is written to it");
        text
    });
    let path = match parameter.place {
        Place::Path if ["", ".", ".."].contains(&value) => return None,
        Place::Path => route
            .path
            .replace(&format!("{{{}}}", parameter.name), &encoded),
        Place::Query => format!("{}?{}={encoded}", route.path, parameter.name),
        Place::Header => route.path.to_owned(),
    };
    let path = path.replace("{call}", "c1");
    let request = service.request(route.method.clone(), key, &path);
    let request = match parameter.place {
        Place::Header if route.is_stream() => request.header("accept", "text/event-stream"),
        Place::Header | Place::Path | Place::Query => request,
    };
    let request = request.header("content-type", "application/json");
    let body = json!({"type": "connect_call", "agent": "agent:ana"});
    let request = match route.operation.body {
        Some(_) => request.body(body.to_string()),
        None => request,
    };
    Some(match parameter.place {
        // A client cannot send it, or it is sent without the spaces around it.
        Place::Header if value.trim() != value || !value.is_ascii() => return None,
        Place::Header => request.header(parameter.name, value),
        Place::Path | Place::Query => request,
    })
}

#[tokio::test]
async fn every_route_answers_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        keys: Some(folder.path().join("keys.json")),
        ..Setup::default()
    };
    let service = Running::with(setup).await;
    Judge::of(&service.url, &service.keys)
        .await
        .every_route()
        .await;
    service.stop().await;
}

#[tokio::test]
async fn a_stream_takes_a_token_in_place_of_a_key_and_nothing_else_does() {
    let service = Running::start().await;
    let document = document(&service).await;
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (&json!("apiKey"), &json!("query"), &json!("token"))
    );
    let security = |path: &str| &document["paths"][path]["get"]["security"];
    for path in ["/v1/active-calls/changes", "/v1/events"] {
        assert_eq!(*security(path), json!([{"key": []}, {"token": []}]));
    }
    assert_eq!(*security("/v1/active-calls"), json!([{"key": []}]));
    service.stop().await;
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
