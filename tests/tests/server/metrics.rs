//! What the service counts and times.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store_sled::SledStore;
use tests::service::{Running, Setup};

/// A sample's value by its name and labels, both as they stand there.
type Samples = BTreeMap<String, String>;

async fn scrape(service: &Running) -> String {
    let response = service.get(&service.keys.operator, "/metrics").send().await;
    let response = response.expect("it answers");
    assert_eq!(response.status(), 200);
    let media_type = &response.headers()["content-type"];
    assert_eq!(
        media_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    response.text().await.expect("the answer is whole")
}

/// The samples, once every line is one that the format has: metadata before its samples, families in one piece,
/// histograms that ascend up to their count, and the end.
fn samples(text: &str) -> Samples {
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"));
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind) = ("", "");
    for line in lines {
        if let Some(metadata) = line.strip_prefix("# ") {
            let (what, rest) = metadata.split_once(' ').expect("a word");
            let (name, told) = rest.split_once(' ').expect("a name");
            if name != family {
                assert!(seen.insert(name), "{name} comes in two pieces");
                family = name;
            }
            match what {
                "HELP" | "UNIT" => {}
                "TYPE" => kind = told,
                other => panic!("{other} is no metadata"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let name = sample.split('{').next().expect("a name");
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{name} within {family}"));
        let suffixes: &[_] = match kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{other} is no type"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        if let Some(labels) = sample
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            assert!(are_labels(labels), "{line}");
        }
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let before = samples.insert(sample.to_owned(), value.to_owned());
        assert_eq!(before, None, "{line} twice");
    }
    samples
}

/// `{name="value",...}`; none of our values has a quote in it.
fn are_labels(text: &str) -> bool {
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    inner.is_some_and(|inner| {
        inner.split("\",").all(|label| {
            let Some((name, value)) = label.split_once("=\"") else {
                return false;
            };
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            is_name && !value.trim_end_matches('"').contains('"')
        })
    })
}

fn with_prefix<'a>(samples: &'a Samples, prefix: &str) -> Vec<(&'a str, u64)> {
    let names = samples.keys().filter(|name| name.starts_with(prefix));
    names
        .map(|name| (name.as_str(), count(samples, name)))
        .collect()
}

fn count(samples: &Samples, name: &str) -> u64 {
    let value = samples
        .get(name)
        .unwrap_or_else(|| panic!("{name} in {samples:#?}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} is {value}"))
}

fn sum(samples: &Samples, prefix: &str) -> u64 {
    let found = with_prefix(samples, prefix).into_iter();
    found.map(|(_, value)| value).sum()
}

async fn post(
    service: &Running,
    key: &str,
    path: &str,
    media_type: &str,
    body: String,
) -> StatusCode {
    let request = service.request(Method::POST, key, path);
    let response = request
        .header("content-type", media_type)
        .body(body)
        .send()
        .await;
    let response = response.expect("it answers");
    let status = response.status();
    response.bytes().await.expect("the answer is whole");
    status
}

async fn command(service: &Running, key: &str, body: Value) -> StatusCode {
    post(
        service,
        key,
        "/v1/calls/c1/commands",
        "application/json",
        body.to_string(),
    )
    .await
}

#[tokio::test]
async fn every_command_is_counted_by_what_it_came_to() {
    let service = Running::start().await;
    let keys = &service.keys;
    let id = "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11";
    let hold = json!({"type": "hold", "by": "agent:ana", "party": "customer"});
    for (key, body, status) in [
        (
            &keys.telephony,
            json!({"type": "connect_call", "agent": "agent:ana", "id": id}),
            200,
        ),
        (
            &keys.telephony,
            json!({"type": "connect_call", "agent": "agent:ben", "id": id}),
            422,
        ),
        (&keys.ana, hold.clone(), 200),
        (&keys.ana, hold.clone(), 409),
        (&keys.ben, hold.clone(), 403),
        (
            &keys.ana,
            json!({"type": "hold", "by": "agent:ana", "party": "customer", "expect": 7}),
            412,
        ),
        (&keys.ana, json!({"type": "hold", "by": "agent:ana"}), 400),
    ] {
        assert_eq!(command(&service, key, body).await, status);
    }
    let lines = format!(
        "{}\nno command\n",
        json!({"call": "c1", "type": "hang_up", "party": "customer"})
    );
    let status = post(
        &service,
        &keys.ana,
        "/v1/commands",
        "application/x-ndjson",
        lines,
    )
    .await;
    assert_eq!(status, 200);
    let samples = samples(&scrape(&service).await);
    let counted = [
        (r#"{type="connect_call",outcome="accepted"}"#, 1),
        (r#"{type="connect_call",outcome="reused"}"#, 1),
        (r#"{type="hang_up",outcome="denied"}"#, 1),
        (r#"{type="hold",outcome="accepted"}"#, 1),
        (r#"{type="hold",outcome="conflict"}"#, 1),
        (r#"{type="hold",outcome="denied"}"#, 1),
        (r#"{type="hold",outcome="rejected"}"#, 1),
        (r#"{type="unknown",outcome="malformed"}"#, 2),
    ];
    for (labels, expected) in counted {
        assert_eq!(
            count(&samples, &format!("kaigi_commands_total{labels}")),
            expected,
            "{labels}"
        );
    }
    assert_eq!(
        with_prefix(&samples, "kaigi_commands_total").len(),
        counted.len()
    );
    for (labels, expected) in [
        (r#"{code="already_held",rule="R16"}"#, 1),
        (r#"{code="conflict",rule=""}"#, 1),
        (r#"{code="command_id_reused",rule=""}"#, 1),
        (r#"{code="malformed",rule=""}"#, 2),
        (r#"{code="not_yours",rule=""}"#, 2),
    ] {
        assert_eq!(
            count(&samples, &format!("kaigi_refusals_total{labels}")),
            expected,
            "{labels}"
        );
    }
    assert_eq!(
        count(&samples, r#"kaigi_denied_total{code="not_yours"}"#),
        2
    );
    // What was judged was timed: all but the denied and the malformed.
    assert_eq!(sum(&samples, "kaigi_command_seconds_count"), 5);
    service.stop().await;
}

#[tokio::test]
async fn a_histogram_ascends_up_to_its_count() {
    let service = Running::start().await;
    service
        .send("c1", &json!({"type": "connect_call", "agent": "agent:ana"}))
        .await;
    let text = scrape(&service).await;
    let samples = samples(&text);
    let buckets = with_prefix(&samples, "kaigi_command_seconds_bucket");
    assert_eq!(buckets.len(), 16);
    let in_order = text
        .lines()
        .filter(|line| line.starts_with("kaigi_command_seconds_bucket"));
    let counts: Vec<u64> = in_order
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(
        text.contains("le=\"0.00025\"") && text.contains("le=\"10.0\""),
        "{text}"
    );
    assert_eq!(counts.last(), Some(&1));
    service.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_by_nothing_that_a_client_makes_up() {
    let service = Running::start().await;
    for n in 0..3 {
        let path = format!("/v1/calls/c{n}/commands");
        let status = post(
            &service,
            &service.keys.telephony,
            &path,
            "text/plain",
            String::new(),
        )
        .await;
        assert_eq!(status, 415);
        let path = format!("/no/such/path/{n}");
        let nowhere = service
            .get(&service.keys.reader, &path)
            .send()
            .await
            .unwrap();
        assert_eq!(nowhere.status(), 404);
        let method = Method::from_bytes(format!("METHOD{n}").as_bytes()).unwrap();
        let odd = service
            .request(method, &service.keys.reader, "/healthz")
            .send()
            .await
            .unwrap();
        assert_eq!(odd.status(), 405);
    }
    let samples = samples(&scrape(&service).await);
    let requests: Vec<_> = with_prefix(&samples, "kaigi_requests_total");
    let commands =
        r#"kaigi_requests_total{route="/v1/calls/{call}/commands",method="POST",status="415"}"#;
    let nowhere = r#"kaigi_requests_total{route="-",method="GET",status="404"}"#;
    let odd = r#"kaigi_requests_total{route="-",method="other",status="405"}"#;
    assert_eq!(requests, [(nowhere, 3), (odd, 3), (commands, 3)]);
    assert_eq!(
        count(
            &samples,
            r#"kaigi_request_seconds_count{route="/v1/calls/{call}/commands"}"#
        ),
        3
    );
    service.stop().await;
}

#[tokio::test]
async fn who_is_turned_away_is_counted() {
    let service = Running::start().await;
    let keys = &service.keys;
    for (key, status) in [
        ("kaigi_unknown_key", 401),
        (keys.telephony.as_str(), 403),
        (&keys.ana, 403),
        (&keys.sam, 403),
        (&keys.auditor, 403),
        (&keys.reader, 200),
        (&keys.operator, 200),
    ] {
        let response = service.get(key, "/metrics").send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    let samples = samples(&scrape(&service).await);
    assert_eq!(
        count(&samples, r#"kaigi_denied_total{code="role_missing"}"#),
        4
    );
    assert_eq!(sum(&samples, "kaigi_denied_total"), 5);
    service.stop().await;
}

#[tokio::test]
async fn calls_wrap_ups_and_handle_times_are_told_as_the_read_models_have_them() {
    let service = Running::start().await;
    let at = |time: &str| format!("2026-01-05T09:{time}.000Z");
    for (call, command) in [
        (
            "c1",
            json!({"type": "connect_call", "agent": "agent:ana", "at": at("00:00")}),
        ),
        (
            "c1",
            json!({"type": "hang_up", "party": "customer", "at": at("01:30")}),
        ),
        ("c2", json!({"type": "connect_call", "agent": "agent:ben"})),
    ] {
        assert_eq!(service.send(call, &command).await.status(), 200);
    }
    let last = service.service.store.info().await.unwrap().last;
    let path = format!("/v1/active-calls?min_position={last}");
    let seen = service
        .get(&service.keys.reader, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(seen.status(), 200);
    let samples = samples(&scrape(&service).await);
    for (name, expected) in [
        (r#"kaigi_calls{phase="talking"}"#, 1),
        (r#"kaigi_calls{phase="conference"}"#, 0),
        ("kaigi_wrap_ups_owed", 1),
        ("kaigi_handle_seconds_count", 1),
        (r#"kaigi_handle_seconds_bucket{le="60.0"}"#, 0),
        (r#"kaigi_handle_seconds_bucket{le="120.0"}"#, 1),
        ("kaigi_projection_lag_events", 0),
        ("kaigi_subscribers", 0),
    ] {
        assert_eq!(count(&samples, name), expected, "{name}");
    }
    assert_eq!(samples["kaigi_handle_seconds_sum"], "90.0");
    let oldest: f64 = samples["kaigi_oldest_wrap_up_seconds"].parse().unwrap();
    assert!(oldest > 3600.0, "it has been owed since January: {oldest}");
    service.stop().await;
}

#[tokio::test]
async fn the_embedded_store_tells_of_its_commits_and_one_in_memory_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(folder.path()).unwrap());
    let service = Running::with(Setup {
        store: Arc::<SledStore>::clone(&store),
        ..Setup::default()
    })
    .await;
    for call in ["c1", "c2", "c3"] {
        service
            .send(call, &json!({"type": "connect_call", "agent": "agent:ana"}))
            .await;
    }
    let embedded = samples(&scrape(&service).await);
    assert_eq!(embedded["kaigi_commit_events_sum"], "3.0");
    assert_eq!(
        count(&embedded, "kaigi_commit_events_bucket{le=\"1.0\"}"),
        3
    );
    assert_eq!(
        count(&embedded, "kaigi_sync_seconds_count"),
        store.stats().syncs
    );
    assert_eq!(
        count(&embedded, "kaigi_sync_seconds_bucket{le=\"+Inf\"}"),
        3
    );
    let took: f64 = embedded["kaigi_sync_seconds_sum"].parse().unwrap();
    assert!(took > 0.0, "{took}");
    service.stop().await;
    let service = Running::start().await;
    let in_memory = samples(&scrape(&service).await);
    assert_eq!(with_prefix(&in_memory, "kaigi_commit_events"), []);
    assert_eq!(count(&in_memory, "kaigi_log_lines_dropped_total"), 0);
    service.stop().await;
}
