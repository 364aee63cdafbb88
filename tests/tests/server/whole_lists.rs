//! Lists are complete, or say that they are not.

use crate::read_models::{parsed, request, sent, text};
use domain::Position;
use reqwest::header::{ACCEPT, LINK};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::scenario::{ANA, BEN, CUSTOMER, apply_wrap_up, connect_call, hang_up, hold};
use tests::service::Running;
use tonic::codegen::http;
use tower::ServiceExt as _;

/// More than a page has.
const ENDED: usize = 1100;
const GOING_ON: usize = 1050;

/// Calls that ended, of two agents, and calls that go on; the read models have them all.
async fn many_calls() -> Running {
    let service = Running::start().await;
    let mut last = Position::START;
    for number in 0..ENDED + GOING_ON {
        let agent = if number % 2 == 0 { ANA } else { BEN };
        let call = format!("c{number}");
        last = sent(&service, &call, connect_call(agent)).await;
        if number < ENDED {
            sent(&service, &call, hang_up(CUSTOMER)).await;
            last = sent(&service, &call, apply_wrap_up(agent, "billing")).await;
        }
    }
    let soon = Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    service
}

/// The key that may ask for that.
fn key<'s>(service: &'s Running, path: &str) -> &'s str {
    if path.starts_with("/v1/calls") || path.starts_with("/v1/events") {
        &service.keys.auditor
    } else {
        &service.keys.reader
    }
}

/// Whether the answer says that it is complete, and its body.
async fn lines(service: &Running, path: &str, accept: &str) -> (bool, String) {
    let question = service.get(key(service, path), path);
    let response = question.header(ACCEPT, accept).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let complete = response.headers()["kaigi-complete"] == "true";
    if !path.contains("events") {
        assert_eq!(complete, response.headers().get(LINK).is_none(), "{path}");
    }
    (complete, text(response).await)
}

/// All rows, page by page in JSON.
async fn rows(service: &Running, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    let join = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = format!("{path}{join}limit=997{cursor}");
        let response = service.get(key(service, path), &page).send().await.unwrap();
        let complete = response.headers()["kaigi-complete"] == "true";
        let page = parsed(response).await;
        assert_eq!(complete, page["next"].is_null(), "{path}");
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn lines_without_a_limit_are_all_rows_and_an_explicit_limit_is_a_page() {
    let service = many_calls().await;
    for (path, expected) in [
        ("/v1/handle-times", ENDED),
        ("/v1/handle-times?sort=-ended_at", ENDED),
        ("/v1/handle-times?sort=-handle_ms", ENDED),
        ("/v1/handle-times?by=agent", ENDED),
        ("/v1/handle-times?by=agent&sort=agent", ENDED),
        ("/v1/active-calls", GOING_ON),
        ("/v1/monitoring", GOING_ON),
        ("/v1/calls", ENDED + GOING_ON),
        ("/v1/calls?sort=-call", ENDED + GOING_ON),
    ] {
        let rows = rows(&service, path).await;
        assert_eq!(rows.len(), expected, "{path}");
        let (complete, ndjson) = lines(&service, path, "application/x-ndjson").await;
        assert!(complete);
        let read: Vec<Value> = ndjson
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        assert_eq!(read, rows, "{path}");
        let (complete, csv) = lines(&service, path, "text/csv").await;
        assert!(complete);
        assert_eq!(csv.lines().count(), expected + 1, "{path}");
        let join = if path.contains('?') { '&' } else { '?' };
        for (limit, complete) in [(expected, true), (expected - 1, false), (1, false)] {
            let page = format!("{path}{join}limit={limit}");
            for accept in ["application/x-ndjson", "text/csv", "application/json"] {
                let (is_complete, _) = lines(&service, &page, accept).await;
                assert_eq!(is_complete, complete, "{page} {accept}");
            }
            let (_, csv_page) = lines(&service, &page, "text/csv").await;
            assert!(csv.starts_with(&csv_page), "{page}");
            assert_eq!(csv_page.lines().count(), limit + 1);
        }
        // What follows a page, too, comes whole.
        let (_, first) = lines(
            &service,
            &format!("{path}{join}limit=3"),
            "application/json",
        )
        .await;
        let first: Value = serde_json::from_str(&first).unwrap();
        let rest = format!("{path}{join}cursor={}", first["next"].as_str().unwrap());
        let (complete, rest) = lines(&service, &rest, "application/x-ndjson").await;
        assert!(complete);
        assert_eq!(rest.lines().count(), expected - 3, "{path}");
    }
    let (complete, page) = lines(&service, "/v1/handle-times", "application/json").await;
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(
        (complete, page["rows"].as_array().unwrap().len()),
        (false, 1000)
    );
    service.stop().await;
}

#[tokio::test]
async fn events_by_line_are_all_events_and_a_page_says_that_there_are_more() {
    let service = many_calls().await;
    let all = service.service.store.info().await.unwrap().last.0;
    let path = "/v1/events";
    let (complete, ndjson) = lines(&service, path, "application/x-ndjson").await;
    assert!(complete);
    assert_eq!(ndjson.lines().count() as u64, all);
    let (complete, one_call) = lines(&service, "/v1/events?call=c7", "application/x-ndjson").await;
    assert!(complete);
    let (_, of_call) = lines(&service, "/v1/calls/c7/events", "application/x-ndjson").await;
    assert_eq!(one_call, of_call);
    for (query, accept) in [
        ("?limit=7", "application/x-ndjson"),
        ("", "application/json"),
    ] {
        let (complete, _) = lines(&service, &format!("{path}{query}"), accept).await;
        assert!(!complete, "{query} {accept}");
    }
    service.stop().await;
}

/// A history that is longer than what is read at once.
#[tokio::test]
async fn a_long_history_is_whole_in_each_form() {
    let service = Running::start().await;
    sent(&service, "long", connect_call(ANA)).await;
    let handler = &service.service.handler;
    for turn in 0..2700 {
        let command = if turn % 2 == 0 {
            hold(ANA, CUSTOMER)
        } else {
            tests::scenario::resume(ANA, CUSTOMER)
        };
        let asked = request("long", command);
        handler
            .handle(&asked, handler.random_id(), handler.now())
            .await
            .unwrap();
    }
    let path = "/v1/calls/long/events";
    let json = parsed(
        service
            .get(&service.keys.auditor, path)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let events = json["events"].as_array().unwrap();
    let revision = json["revision"].as_u64().unwrap();
    assert_eq!(events.len() as u64, revision);
    assert!(revision > 2700);
    let revisions = events
        .iter()
        .map(|event| event["revision"].as_u64().unwrap());
    assert!(revisions.eq(1..=revision));
    for after in [0, 1, 511, 512, 513, 2560, revision - 1, revision] {
        let path = format!("{path}?after={after}");
        let part = parsed(
            service
                .get(&service.keys.auditor, &path)
                .send()
                .await
                .unwrap(),
        )
        .await;
        let after = usize::try_from(after).unwrap();
        assert_eq!(
            part["events"].as_array().unwrap()[..],
            events[after..],
            "{path}"
        );
        let (_, ndjson) = lines(&service, &path, "application/x-ndjson").await;
        let ndjson: Vec<Value> = ndjson
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(ndjson[..], events[after..], "{path}");
    }
    let (_, whole) = lines(&service, &format!("{path}?form=whole"), "*/*").await;
    assert_eq!(whole.lines().count() as u64, revision);
    for shown in [1, 512, 600, revision] {
        let path = format!("/v1/calls/long?revision={shown}");
        let call = parsed(
            service
                .get(&service.keys.auditor, &path)
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(call["revision"], shown);
    }
    service.stop().await;
}

/// Rows by what they are of, with their calls one after the other.
fn merged(rows: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut merged = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let mut head = row.clone();
        let calls = head["calls"].take();
        let of = merged.entry(head.to_string()).or_default();
        of.extend(calls.as_array().unwrap().iter().cloned());
    }
    merged
}

#[tokio::test]
async fn a_page_of_explained_rows_lists_as_many_calls_as_its_limit_says() {
    let service = many_calls().await;
    for query in [
        "window=1d",
        "window=1h&by=agent",
        "window=1d&by=queue&sort=-sum_ms",
    ] {
        let path = format!("/v1/handle-times?explain=true&{query}");
        let (complete, ndjson) = lines(&service, &path, "application/x-ndjson").await;
        assert!(complete);
        let whole: Vec<Value> = ndjson
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        let expected = merged(&whole);
        assert_eq!(expected.len(), whole.len(), "each row is there once");
        assert!(
            whole
                .iter()
                .any(|row| row["calls"].as_array().unwrap().len() > 300)
        );
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}&limit=487{cursor}");
            let (complete, page) = lines(&service, &page, "application/json").await;
            let page: Value = serde_json::from_str(&page).unwrap();
            let rows = page["rows"].as_array().unwrap();
            let calls = rows
                .iter()
                .map(|row| row["calls"].as_array().unwrap().len().max(1));
            assert!(calls.sum::<usize>() <= 487, "{query}");
            assert_eq!(merged(rows).len(), rows.len(), "a row is in a page once");
            paged.extend(rows.iter().cloned());
            assert_eq!(complete, page["next"].is_null());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(paged.len() > whole.len(), "a row went on in the next page");
        assert_eq!(merged(&paged), expected, "{query}");
        let (_, csv) = lines(&service, &path, "text/csv").await;
        for (line, row) in csv.lines().skip(1).zip(&whole) {
            let (_, cell) = line.split_once(",\"[").unwrap();
            let calls = format!("[{}", cell.trim_end_matches('"').replace("\"\"", "\""));
            assert_eq!(serde_json::from_str::<Value>(&calls).unwrap(), row["calls"]);
        }
    }
    service.stop().await;
}

/// The rows are those of the position in the header of the answer, also if calls change while they are read.
#[tokio::test]
async fn all_lines_are_of_one_state_while_calls_change() {
    let service = many_calls().await;
    for path in [
        "/v1/handle-times.ndjson?by=agent",
        "/v1/active-calls.ndjson",
        "/v1/calls.ndjson",
    ] {
        let expected = lines(&service, path, "*/*").await.1;
        let response = service.get(key(&service, path), path).send().await.unwrap();
        let new = format!("new{}", path.len());
        sent(&service, &new, connect_call(ANA)).await;
        sent(&service, &new, hang_up(CUSTOMER)).await;
        let ended = format!("c{}", ENDED + path.len());
        let last = sent(&service, &ended, hang_up(CUSTOMER)).await;
        let soon = Duration::from_mins(1);
        service.service.views.wait_for(last, soon).await.unwrap();
        assert_eq!(text(response).await, expected, "{path}");
    }
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_default_is_never_above_the_limit_that_the_operator_sets() {
    let settings = server::Settings {
        max_wait_ms: 50,
        ..server::Settings::default()
    };
    let service = Running::with(tests::service::Setup {
        settings,
        ..tests::service::Setup::default()
    })
    .await;
    let request = http::Request::get("/v1/active-calls?min_position=1000")
        .header("authorization", format!("Bearer {}", service.keys.reader));
    let request = request.body(String::new()).unwrap();
    let begun = tokio::time::Instant::now();
    let response = service.service.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    // By the paused clock, which goes on only to what is waited for. The usual wait is 5 s.
    assert_eq!(begun.elapsed().as_millis() / 10, 5);
    service.stop().await;
}
