//! What a cluster holds is fixed for ever: `tests/golden/eventstoredb` has it, and `docs/eventstoredb.md` shows it.

use super::{call, nodes, open};
use domain::json::parse_line;
use domain::{Batch, EventStore, Head, Position, RecordedEvent, Revision};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tests::standin::{Expected, Proposed, Recorded, StandIn};
use uuid::Uuid;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The events of the golden dump: a personal text, one that was made unreadable, a clamped time.
fn events() -> Vec<RecordedEvent> {
    let dump = fs::read_to_string(root().join("tests/golden/dumps/v1.ndjson"));
    let dump = dump.expect("the golden dump is there");
    let events: Vec<_> = dump
        .lines()
        .filter_map(|line| parse_line(line).ok())
        .collect();
    assert_eq!(
        events.len(),
        dump.lines().count() - 2,
        "all but its first and last line"
    );
    events.into_iter().map(|event| event.recorded).collect()
}

/// One batch for each.
fn batches(events: &[RecordedEvent]) -> Vec<Batch> {
    let mut heads = HashMap::new();
    let batch = |event: &RecordedEvent| {
        let head = heads.entry(event.cause.call.clone()).or_insert(Head::NONE);
        let before = std::mem::replace(head, event.head());
        Batch::new(before, vec![event.clone()]).expect("the next of its call")
    };
    events.iter().map(batch).collect()
}

/// An event as the server has it, but for where and when it wrote it down.
fn shown(recorded: &Recorded) -> Value {
    let parsed = |text: &[u8]| -> Value { serde_json::from_slice(text).expect("JSON") };
    json!({
        "stream": recorded.stream,
        "number": recorded.revision,
        "id": recorded.event.id,
        "type": recorded.event.event_type,
        "data": parsed(&recorded.event.data),
        "metadata": parsed(&recorded.event.metadata),
    })
}

fn ours(cluster: &StandIn) -> Vec<Recorded> {
    let events = cluster.log().events().into_iter();
    events
        .filter(|event| event.stream.starts_with("call-"))
        .collect()
}

fn golden() -> PathBuf {
    root().join("tests/golden/eventstoredb/v1.ndjson")
}

#[tokio::test]
async fn events_are_written_as_the_golden_file_holds_them() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for batch in batches(&events()) {
        store.append(batch).await.expect("kept");
    }
    let lines: Vec<_> = ours(&cluster)
        .iter()
        .map(|event| format!("{}\n", shown(event)))
        .collect();
    let written = lines.concat();
    if std::env::var_os("KAIGI_GOLDEN").is_some_and(|add| add == "add") && !golden().exists() {
        let mut file = fs::File::create_new(golden()).expect("a golden file is never overwritten");
        file.write_all(written.as_bytes()).expect("writable");
    }
    assert_eq!(
        written,
        fs::read_to_string(golden()).expect("the golden file is there")
    );
}

#[tokio::test]
async fn the_golden_file_is_read_as_the_events_it_was_written_from() {
    let cluster = nodes(1);
    let text = fs::read_to_string(golden()).expect("the golden file is there");
    for line in text.lines() {
        let shown: Value = serde_json::from_str(line).expect("JSON");
        let stream = shown["stream"].as_str().expect("a name");
        let event = Proposed {
            id: serde_json::from_value(shown["id"].clone()).expect("an id"),
            event_type: shown["type"].as_str().expect("a name").to_owned(),
            json: true,
            metadata: shown["metadata"].to_string().into(),
            data: shown["data"].to_string().into(),
        };
        cluster
            .log()
            .append(stream, Expected::Any, vec![event])
            .expect("written");
    }
    let store = open(&cluster).await;
    let read = store.read_all(Position::START, 1000).await.expect("whole");
    let read: Vec<_> = read.into_iter().map(|event| event.recorded).collect();
    assert_eq!(read, events());
}

/// What the page promises to other languages: the id follows from the hash.
#[tokio::test]
async fn ids_follow_from_hashes_and_name_neither_command_nor_time() {
    let text = fs::read_to_string(golden()).expect("the golden file is there");
    for line in text.lines() {
        let shown: Value = serde_json::from_str(line).expect("JSON");
        let hash = shown["metadata"]["hash"].as_str().expect("a hash");
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, hash.as_bytes());
        assert_eq!(shown["id"], json!(id));
    }
}

#[test]
fn the_page_shows_the_first_event_of_the_golden_file() {
    let page = fs::read_to_string(root().join("docs/eventstoredb.md")).expect("the page is there");
    let block = page
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let shown: Value = serde_json::from_str(block.expect("the page has an example")).expect("JSON");
    let golden = fs::read_to_string(golden()).expect("the golden file is there");
    let first: Value =
        serde_json::from_str(golden.lines().next().expect("an event")).expect("JSON");
    assert_eq!(shown, first);
}

/// A command that has no correlation is one of its own.
#[tokio::test]
async fn the_server_can_find_what_belongs_together() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for batch in batches(&events()) {
        store.append(batch).await.expect("kept");
    }
    for recorded in ours(&cluster) {
        let metadata: Value = serde_json::from_slice(&recorded.event.metadata).expect("JSON");
        assert_eq!(metadata["$causationId"], metadata["command"]);
        let correlation = match &metadata["correlation"] {
            Value::Null => &metadata["command"],
            text => text,
        };
        assert_eq!(metadata["$correlationId"], *correlation);
    }
    assert!(store.read_call(&call("c1"), Revision(0)).await.is_ok());
}
