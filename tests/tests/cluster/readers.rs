//! What `kaigi` wrote, read by clients that others made, in other languages: they find what the page promises, and one of
//! them verifies the chains of hashes by itself.

use super::nodes;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tests::clients::{Client, Installed, client};
use tests::program::bare;
use tests::standin::StandIn;

/// A call in which everything is said that commands can say, and some of a made-up day.
fn commands() -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/call/commands.ndjson");
    let mut commands = fs::read(golden).expect("the golden commands are there");
    let day = bare(["simulate", "--calls", "5", "--seed", "7"]).run();
    commands.extend(day.ended_with(0).out.into_bytes());
    commands
}

/// A cluster that the program wrote to, and its events as the program tells them.
fn written() -> (StandIn, Vec<Value>) {
    let cluster = nodes(1);
    let ran = bare(["run", "-"]).env("KAIGI_STORE", cluster.url());
    let answers = ran.input(commands()).run().ended_with(0).lines();
    assert!(answers.iter().any(|answer| answer["accepted"] == true));
    let told = bare(["events"]).env("KAIGI_STORE", cluster.url());
    let events = told.run().ended_with(0).lines();
    let there = |field: &str| events.iter().any(|event| !event[field].is_null());
    assert!(there("correlation") && there("reported_at") && there("actor"));
    (cluster, events)
}

fn read(
    client: &Installed,
    script: &str,
    cluster: &StandIn,
    events: &[Value],
) -> Result<Value, String> {
    let expected = serde_json::to_string(events).expect("JSON");
    let ran = client.run_on(script, &[&cluster.url()], &expected);
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&ran.stdout).expect("it sums up in JSON"))
}

/// How much there is to read: events, calls, and events with a personal text.
fn sum(cluster: &StandIn, events: &[Value]) -> Value {
    let mut calls: Vec<_> = events
        .iter()
        .map(|event| event["call"].to_string())
        .collect();
    calls.sort_unstable();
    calls.dedup();
    let all = cluster.log().events();
    let personal = all.iter().filter(|event| {
        let metadata: Value = serde_json::from_slice(&event.event.metadata).unwrap_or_default();
        metadata["stored"]["personal"].is_object()
    });
    let personal = personal.count();
    assert!(personal > 1 && calls.len() > 5);
    json!({ "events": events.len(), "calls": calls.len(), "personal": personal })
}

fn finds_what_the_page_promises(which: Client, script: &str, check: &str) -> Option<Installed> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let client = client(which, folder, check)?;
    let (cluster, events) = written();
    let found = read(&client, script, &cluster, &events);
    assert_eq!(found, Ok(sum(&cluster, &events)));
    Some(client)
}

#[test]
fn the_node_client_reads_what_was_written() {
    let (script, check) = ("read_kaigi.mjs", "reading events by the Node client");
    let Some(client) = finds_what_the_page_promises(Client::KurrentInNode, script, check) else {
        return;
    };
    let (cluster, mut events) = written();
    events[0]["data"]["agent"] = json!("agent:eve");
    let refused = read(&client, script, &cluster, &events).expect_err("that is not there");
    assert!(refused.contains("agent:eve"), "{refused}");
}

/// Whoever audits a cluster needs nothing of ours: what was altered, and where, he finds by himself.
#[test]
fn the_python_client_reads_what_was_written_and_verifies_every_hash() {
    let (script, check) = ("read_kaigi.py", "auditing a cluster by the Python client");
    let Some(client) = finds_what_the_page_promises(Client::KurrentInPython, script, check) else {
        return;
    };
    for (what, from, to) in [
        // The agent of the first event, in the bytes and nowhere else.
        ("hash", "616e61", "657665"),
        (
            "link to the event before",
            "\"previous\":\"00",
            "\"previous\":\"01",
        ),
        ("metadata", "\"recorded_at\":\"2", "\"recorded_at\":\"3"),
        ("cause", "\"$causationId\":\"", "\"$causationId\":\"0"),
    ] {
        let (cluster, events) = written();
        cluster.log().alter("call-golden-1", 0, |event| {
            let metadata = String::from_utf8_lossy(&event.metadata);
            assert!(metadata.contains(from), "{metadata}");
            event.metadata = metadata.replacen(from, to, 1).into();
        });
        let refused = read(&client, script, &cluster, &events).expect_err("altered");
        let told = format!("event 0 of call-golden-1, {what}: ");
        assert!(refused.contains(&told), "{refused}");
    }
}
