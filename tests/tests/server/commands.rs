//! Commands over HTTP, one by one.

pub(crate) mod conversation;
mod retry;
mod stream;
mod watched;
pub(crate) mod wire;

use domain::{AppendError, Revision, StoreError};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use server::Settings;
use tests::service::{Running, Setup};
use uuid::Uuid;
use watched::Watched;
use wire::Wire;

const PATH: &str = "/v1/calls/c1/commands";
const CONNECT: &str = r#"{"type":"connect_call","agent":"agent:ana"}"#;
const HOLD: &str = r#"{"type":"hold","by":"agent:ana","party":"customer"}"#;
const RESUME: &str = r#"{"type":"resume","by":"agent:ana","party":"customer"}"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

type Headers<'a> = &'a [(&'a str, &'a str)];

const JSON: Headers<'static> = &[("content-type", "application/json")];

async fn post(
    service: &Running,
    key: &str,
    body: impl Into<reqwest::Body>,
    headers: Headers<'_>,
) -> Response {
    let request = service.request(Method::POST, key, PATH).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.expect("it answers")
}

/// A command with the telephone system's key, and further headers.
async fn send(service: &Running, body: &str, headers: Headers<'_>) -> Response {
    let headers = [JSON, headers].concat();
    post(service, &service.keys.telephony, body.to_owned(), &headers).await
}

async fn accepted(service: &Running, body: &str, headers: Headers<'_>) -> Value {
    let response = send(service, body, headers).await;
    let status = response.status();
    let answer = json_of(response).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("the answer is whole");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The problem, once its status and code are those.
async fn problem(response: Response, status: u16, code: &str) -> Value {
    let (actual, headers) = (response.status(), response.headers().clone());
    let problem = json_of(response).await;
    assert_eq!(
        (actual.as_u16(), &problem["code"]),
        (status, &json!(code)),
        "{problem}"
    );
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(problem["status"], status);
    let retries = headers.contains_key("retry-after");
    assert_eq!(
        retries,
        actual == StatusCode::SERVICE_UNAVAILABLE,
        "{problem}"
    );
    problem
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().expect("there is one")
}

#[tokio::test]
async fn an_accepted_command_is_answered_with_its_events_revision_and_position() {
    let service = Running::start().await;
    accepted(&service, CONNECT, &[]).await;
    let consult = r#"{"type":"start_consult","by":"agent:ana","target":"agent:ben","call":"c1"}"#;
    let response = send(&service, consult, &[]).await;
    let headers = response.headers();
    assert_eq!(headers["etag"], "\"3\"");
    assert_eq!(headers["kaigi-position"], "3");
    assert_eq!(headers["content-type"], "application/json");
    let answer = json_of(response).await;
    assert_eq!(answer["accepted"], true);
    assert_eq!(
        (&answer["call"], &answer["revision"]),
        (&json!("c1"), &json!(3))
    );
    let types: Vec<_> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert_eq!(types, ["consult_requested", "party_held"]);
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_command_says_why_and_is_not_applied() {
    let service = Running::start().await;
    let long = format!("{CONNECT}{}", " ".repeat(64 * 1024));
    let table: [(&[u8], Headers<'_>, u16, &str, &str); 26] = [
        (b"", JSON, 400, "malformed", "ends before the command does"),
        (&CONNECT.as_bytes()[..20], JSON, 400, "malformed", "cut off"),
        (b"{\"type\":\"connect_call\",\"agent\":\"agent:\xff\"}", JSON, 400, "malformed", "UTF-8 at byte 39"),
        (b"[]", JSON, 400, "malformed", "expected a JSON object"),
        (b"{\"type\":\"hold\",\"by\":\"agent:ana\"}", JSON, 400, "malformed", "`party`"),
        (b"{\"type\":\"end_call\",\"by\":\"agent:ana\",\"party\":\"customer\"}", JSON, 400, "malformed", "`party`"),
        (b"{\"type\":\"end_call\",\"by\":\"agent:ana\",\"why\":1}", JSON, 400, "malformed", "`why`"),
        (b"{\"agent\":\"agent:ana\"}", JSON, 400, "malformed", "`type`"),
        (b"{\"type\":\"dance\"}", JSON, 422, "bad_value", "`type`"),
        (b"{\"type\":\"connect_call\",\"agent\":\"ana\"}", JSON, 422, "bad_value", "`agent`"),
        (b"{\"type\":\"connect_call\",\"agent\":\"agent:ana\",\"id\":\"1\"}", JSON, 422, "bad_value", "UUID"),
        (b"{\"type\":\"connect_call\",\"agent\":\"agent:ana\",\"call\":\"c2\"}", JSON, 422, "call_differs", "c2"),
        (
            b"{\"type\":\"connect_call\",\"agent\":\"agent:ana\",\"at\":\"2999-01-01T00:00:00.000Z\"}",
            JSON, 422, "at_in_the_future", "60000 ms",
        ),
        (CONNECT.as_bytes(), &[], 415, "media_type", "application/json"),
        (CONNECT.as_bytes(), &[("content-type", "text/plain")], 415, "media_type", "application/json"),
        (CONNECT.as_bytes(), &[("content-type", "application/json; charset=latin1")], 415, "media_type", "UTF-8"),
        (long.as_bytes(), JSON, 413, "body_too_large", "65536 bytes"),
        (CONNECT.as_bytes(), &[JSON[0], ("idempotency-key", "7")], 422, "bad_value", "Idempotency-Key"),
        (CONNECT.as_bytes(), &[JSON[0], ("idempotency-key", "\"")], 422, "bad_value", "Idempotency-Key"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "*")], 422, "bad_value", "If-Match"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "W/\"0\"")], 422, "bad_value", "If-Match"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "\"0\", \"1\"")], 422, "bad_value", "If-Match"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "\"+1\"")], 422, "bad_value", "If-Match"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "\"99999999999999999999\"")], 422, "bad_value", "If-Match"),
        (CONNECT.as_bytes(), &[JSON[0], ("if-match", "0"), ("if-match", "0")], 422, "bad_value", "If-Match"),
        (
            b"{\"type\":\"connect_call\",\"agent\":\"agent:ana\",\"expect\":1}",
            &[JSON[0], ("if-match", "0")], 422, "bad_value", "`expect`",
        ),
    ];
    for (body, headers, status, code, said) in table {
        let response = post(&service, &service.keys.telephony, body.to_owned(), headers).await;
        let problem = problem(response, status, code).await;
        assert!(detail(&problem).contains(said), "{problem}");
    }
    let first = accepted(&service, CONNECT, &[]).await;
    assert_eq!(first["revision"], 1, "nothing was applied before");
    service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_for_clients_over_http_and_in_no_words_of_the_parser() {
    let service = Running::start().await;
    for (body, code, status, said) in [
        ("nope", "malformed", 400, "no JSON"),
        (r#"{"type":"nope"}"#, "bad_value", 422, "/openapi.json"),
        (
            &format!("{CONNECT}{HOLD}"),
            "malformed",
            400,
            "--data-binary",
        ),
    ] {
        let problem = problem(send(&service, body, &[]).await, status, code).await;
        let detail = detail(&problem);
        assert!(detail.contains(said), "{detail}");
        assert!(
            !detail.contains("kaigi help") && !detail.contains("expected ident"),
            "{detail}"
        );
    }
    let limit = service.get(&service.keys.reader, "/v1/active-calls?limit=abc");
    let problem = problem(limit.send().await.unwrap(), 422, "bad_value").await;
    assert!(
        detail(&problem).contains("a whole number between 1 and 10000"),
        "{problem}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_content_type_may_say_that_the_body_is_in_utf_8() {
    let service = Running::start().await;
    for (n, content_type) in [
        "application/json;charset=utf-8",
        "Application/JSON ; charset=\"UTF-8\"",
    ]
    .into_iter()
    .enumerate()
    {
        let body = [CONNECT, HOLD][n];
        let headers = [("content-type", content_type)];
        let response = post(&service, &service.keys.telephony, body, &headers).await;
        assert_eq!(response.status(), 200, "{content_type}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_parameter_that_the_route_does_not_have_is_refused() {
    let service = Running::start().await;
    let path = format!("{PATH}?expect=1");
    let request = service.request(Method::POST, &service.keys.telephony, &path);
    let response = request
        .header("content-type", "application/json")
        .body(CONNECT);
    problem(response.send().await.unwrap(), 422, "bad_value").await;
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_has_its_rule_what_to_do_and_where_the_call_stands() {
    let service = Running::start().await;
    let unknown = problem(send(&service, HOLD, &[]).await, 404, "call_not_found").await;
    assert_eq!(
        (&unknown["rule"], &unknown["revision"]),
        (&json!("R1"), &json!(0))
    );
    accepted(&service, CONNECT, &[]).await;
    accepted(&service, HOLD, &[]).await;
    let id = Uuid::new_v4().to_string();
    let held = send(&service, HOLD, &[("idempotency-key", &id)]).await;
    let held = problem(held, 409, "already_held").await;
    assert_eq!(
        (&held["rule"], &held["revision"]),
        (&json!("R16"), &json!(2))
    );
    assert_eq!((&held["call"], &held["id"]), (&json!("c1"), &json!(id)));
    assert!(!detail(&held).is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_command_that_expects_another_revision_is_a_conflict_by_header_and_by_body() {
    let service = Running::start().await;
    accepted(&service, CONNECT, &[("if-match", "\"0\"")]).await;
    accepted(&service, HOLD, &[("if-match", "1")]).await;
    let at_2 = r#"{"type":"resume","by":"agent:ana","party":"customer","expect":1}"#;
    for (body, headers) in [
        (RESUME, [("if-match", "\"1\"")]),
        (at_2, [("if-match", "1")]),
    ] {
        let response = send(&service, body, &headers).await;
        let conflict = problem(response, 412, "conflict").await;
        assert_eq!(
            (&conflict["revision"], &conflict["rule"]),
            (&json!(2), &Value::Null)
        );
    }
    accepted(&service, RESUME, &[("if-match", "\"2\"")]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_command_sent_again_with_its_id_is_answered_as_before_and_writes_nothing() {
    let (store, service) = Watched::open().served().await;
    let id = Uuid::new_v4().to_string();
    let quoted = format!("\"{id}\"");
    let in_body = format!(r#"{{"type":"connect_call","agent":"agent:ana","id":"{id}"}}"#);
    let first = accepted(&service, CONNECT, &[("idempotency-key", &id)]).await;
    assert_eq!(first["id"], json!(id));
    for (body, headers) in [
        (CONNECT, vec![("idempotency-key", id.as_str())]),
        (CONNECT, vec![("idempotency-key", quoted.as_str())]),
        (&in_body, vec![]),
        (&in_body, vec![("idempotency-key", id.as_str())]),
    ] {
        assert_eq!(accepted(&service, body, &headers).await, first);
    }
    assert_eq!(store.events().await, 1);
    let other = Uuid::new_v4().to_string();
    let response = send(&service, &in_body, &[("idempotency-key", &other)]).await;
    let differs = problem(response, 422, "bad_value").await;
    assert!(detail(&differs).contains(&other), "{differs}");
    service.stop().await;
}

#[tokio::test]
async fn an_id_belongs_to_the_call_whichever_key_sends_it() {
    let service = Running::start().await;
    accepted(&service, CONNECT, &[]).await;
    let id = Uuid::new_v4().to_string();
    let headers = [JSON, &[("idempotency-key", id.as_str())]].concat();
    let by_ana = json_of(post(&service, &service.keys.ana, HOLD, &headers).await).await;
    assert_eq!(by_ana["accepted"], true);
    let by_telephony = post(&service, &service.keys.telephony, HOLD, &headers).await;
    assert_eq!(json_of(by_telephony).await, by_ana);
    let press = r#"{"type":"press_end","by":"agent:ben"}"#;
    let by_ben = post(&service, &service.keys.ben, press, &headers).await;
    problem(by_ben, 422, "command_id_reused").await;
    service.stop().await;
}

#[tokio::test]
async fn nobody_learns_of_a_call_by_a_command_that_is_not_theirs() {
    let service = Running::start().await;
    let before = post(&service, &service.keys.ben, HOLD, JSON).await;
    let before = problem(before, 403, "not_yours").await;
    accepted(&service, CONNECT, &[]).await;
    let after = post(&service, &service.keys.ben, HOLD, JSON).await;
    assert_eq!(problem(after, 403, "not_yours").await, before);
    let reader = post(&service, &service.keys.reader, HOLD, JSON).await;
    assert_eq!(reader.status(), 403);
    service.stop().await;
}

#[tokio::test]
async fn the_trace_of_a_request_is_the_correlation_of_a_command_that_has_none() {
    let service = Running::start().await;
    accepted(&service, CONNECT, &[]).await;
    let trace = format!("00-{TRACE}-b7ad6b7169203331-01");
    let own = r#"{"type":"resume","by":"agent:ana","party":"customer","correlation":"mine"}"#;
    for (body, traceparent, correlation) in [
        (HOLD, trace.as_str(), json!(TRACE)),
        (own, &trace, json!("mine")),
        (HOLD, "00-nonsense-01", Value::Null),
    ] {
        let answer = accepted(&service, body, &[("traceparent", traceparent)]).await;
        assert_eq!(answer["events"][0]["correlation"], correlation);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_retry_within_another_trace_is_still_the_same_command() {
    let service = Running::start().await;
    let id = Uuid::new_v4().to_string();
    let mut answers = Vec::new();
    for parent in ["b7ad6b7169203331", "00f067aa0ba902b7"] {
        let trace = format!("00-{TRACE}-{parent}-01").replace("0af7", &parent[..4]);
        let headers = [("idempotency-key", id.as_str()), ("traceparent", &trace)];
        answers.push(accepted(&service, CONNECT, &headers).await);
    }
    assert_eq!(answers[0], answers[1]);
    service.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_says_whether_to_try_again() {
    let failing = |call, error| (call, AppendError::Store(error));
    let away = || "gone".to_owned();
    let conflict = AppendError::Conflict {
        expected: Revision(0),
        actual: Revision(1),
    };
    for ((call, error), status, code) in [
        (
            failing("c1", StoreError::Unavailable(away())),
            503,
            "store_unavailable",
        ),
        (
            failing("c1", StoreError::Corrupt(away())),
            500,
            "store_damaged",
        ),
        (
            failing("c1", StoreError::Refused(away())),
            500,
            "store_refuses",
        ),
        (("c1", conflict), 503, "unsettled"),
    ] {
        let (_, service) = Watched::open().failing(call, error).served().await;
        problem(send(&service, CONNECT, &[]).await, status, code).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let settings = Settings {
        idle_timeout_ms: 20,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    let headers = ["content-type: application/json", "content-length: 100"];
    let mut wire = Wire::post(&service, PATH, &headers).await;
    wire.send(&CONNECT.as_bytes()[..10]).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 408);
    assert!(answer.body.contains("body_timeout"), "{}", answer.body);
    service.stop().await;
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_limited_all_the_same() {
    let service = Running::start().await;
    let headers = [
        "content-type: application/json",
        "transfer-encoding: chunked",
    ];
    let mut wire = Wire::post(&service, PATH, &headers).await;
    for _ in 0..65 {
        wire.chunk(&" ".repeat(1024)).await;
    }
    let answer = wire.answer().await;
    assert_eq!(answer.status, 413);
    service.stop().await;
}

#[tokio::test]
async fn a_command_that_was_under_way_when_the_service_was_told_to_stop_is_answered() {
    let (store, service) = Watched::open().served().await;
    let length = format!("content-length: {}", CONNECT.len());
    let headers = [
        "content-type: application/json",
        "expect: 100-continue",
        &length,
    ];
    let mut wire = Wire::post(&service, PATH, &headers).await;
    wire.until_asked_for_the_body().await;
    service.service.stop();
    wire.send(CONNECT.as_bytes()).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.headers.contains("etag: \"1\""), "{}", answer.headers);
    service.stop().await;
    assert_eq!(store.events().await, 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_undo_its_command_and_can_ask_again() {
    let (store, service) = Watched::shut().served().await;
    let id = Uuid::new_v4().to_string();
    let key = format!("idempotency-key: {id}");
    let length = format!("content-length: {}", CONNECT.len());
    let headers = ["content-type: application/json", &length, &key];
    let mut wire = Wire::post(&service, PATH, &headers).await;
    wire.send(CONNECT.as_bytes()).await;
    store.until_waiting(1).await;
    drop(wire);
    // The service hears of it before it is asked anything else on another connection.
    service
        .get(&service.keys.telephony, "/healthz")
        .send()
        .await
        .unwrap();
    store.let_in();
    store.until_holding(1).await;
    let answer = accepted(&service, CONNECT, &[("idempotency-key", &id)]).await;
    assert_eq!(answer["revision"], 1);
    assert_eq!(store.events().await, 1, "nothing twice");
    service.stop().await;
}

#[tokio::test]
async fn a_defect_is_answered_and_the_service_goes_on() {
    let (_, service) = Watched::open().defective().served().await;
    problem(send(&service, CONNECT, &[]).await, 500, "defect").await;
    for path in ["/v1/calls/c1", "/v1/calls/c1?at=2026-01-01T00:00:00.000Z"] {
        let asked = service.get(&service.keys.auditor, path).send().await;
        problem(asked.expect("it answers"), 500, "defect").await;
    }
    let metrics = service.get(&service.keys.operator, "/metrics").send().await;
    let metrics = metrics.expect("it answers").text().await.unwrap();
    let counted = "route=\"/v1/calls/{call}\",method=\"GET\",status=\"500\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    service.stop().await;
}
