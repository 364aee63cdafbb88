//! What is found and named when somebody else's hands were in our streams.

use super::{call, keep, nodes, open};
use domain::{
    AppendError, Batch, EventStore, HandleError, Handler, Position, Revision, StoreError,
};
use serde_json::{Value, json};
use std::sync::Arc;
use store_eventstoredb::ClusterStore;
use tests::contract::{a_whole_call, batches, chatter, request};
use tests::standin::{Expected, Proposed, StandIn};

/// The stream of call `c`, which every test here writes.
const STREAM: &str = "call-c";

async fn written() -> (StandIn, Arc<ClusterStore>) {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    keep(&*store, "c", a_whole_call()).await;
    (cluster, store)
}

/// What reading the call comes to, by a store that remembers nothing of it.
async fn reading(cluster: &StandIn) -> Result<usize, StoreError> {
    let store = open(cluster).await;
    let events = store.read_call(&call("c"), Revision(0)).await;
    events.map(|events| events.len())
}

#[track_caller]
fn damaged<T: std::fmt::Debug>(read: Result<T, StoreError>) -> String {
    match read {
        Err(StoreError::Corrupt(what)) => what,
        Err(StoreError::DamagedEvent(event)) => event.to_string(),
        read => panic!("taken for whole: {read:?}"),
    }
}

#[tokio::test]
async fn somebody_elses_event_in_a_stream_of_ours_is_named() {
    let (cluster, store) = written().await;
    let last = store.info().await.expect("told").last;
    let event = Proposed::json("note-added", &json!({ "note": "hello" }));
    let foreign = cluster.log().append(STREAM, Expected::Any, vec![event]);
    let foreign = foreign.expect("written");
    let number = foreign.revision.expect("it has one");
    let position = foreign.position.expect("it has one");
    let what = damaged(reading(&cluster).await);
    let place = format!("event {number} of stream call-c at position {position}");
    assert!(
        what.contains(&place) && what.contains("note-added"),
        "{what}"
    );
    assert_eq!(damaged(store.read_all(last, 100).await), what);
    // What stands before it is read all the same.
    let before = store.read_all(Position::START, 1000).await;
    assert_eq!(before.expect("readable").len() as u64, number);
}

#[tokio::test]
async fn no_byte_that_people_read_can_be_changed_unnoticed() {
    let (cluster, store) = written().await;
    let reading = async || store.read_call(&call("c"), Revision(0)).await;
    let events = cluster.log().stream(STREAM);
    for (number, recorded) in (0..).zip(&events) {
        for (part, text) in [
            ("data", &recorded.event.data),
            ("metadata", &recorded.event.metadata),
        ] {
            let fields: Value = serde_json::from_slice(text).expect("JSON");
            for (field, value) in fields.as_object().expect("an object") {
                let mut changed = fields.clone();
                changed[field] = other(value);
                let bytes = changed.to_string();
                cluster.log().alter(STREAM, number, |event| match part {
                    "data" => event.data = bytes.into(),
                    _ => event.metadata = bytes.into(),
                });
                let what = damaged(reading().await);
                assert!(
                    what.contains(&format!("event {number} of stream call-c")),
                    "{field}: {what}"
                );
            }
        }
        let whole = recorded.event.clone();
        cluster.log().alter(STREAM, number, |event| *event = whole);
    }
    assert_eq!(reading().await.map(|read| read.len()), Ok(events.len()));
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_u64().unwrap_or(0) + 1),
        Value::Bool(yes) => json!(!yes),
        Value::Null => json!("something"),
        Value::String(text) if text.len() == 64 => json!("00".repeat(32)),
        Value::String(text) => json!(format!("{text}x")),
        Value::Array(_) | Value::Object(_) => Value::Null,
    }
}

#[tokio::test]
async fn a_type_or_an_id_that_was_changed_is_noticed() {
    let (cluster, _store) = written().await;
    let whole = cluster.log().stream(STREAM)[0].event.clone();
    cluster.log().alter(STREAM, 0, |event| {
        event.event_type = "call_completed".to_owned();
    });
    damaged(reading(&cluster).await);
    let restored = whole.clone();
    cluster.log().alter(STREAM, 0, |event| *event = restored);
    cluster
        .log()
        .alter(STREAM, 0, |event| event.id = uuid::Uuid::nil());
    damaged(reading(&cluster).await);
}

#[tokio::test]
async fn events_of_another_call_are_not_taken_for_the_calls_own() {
    let (cluster, store) = written().await;
    keep(&*store, "d", chatter(1)).await;
    let other = cluster.log().stream("call-d").swap_remove(0).event;
    cluster.log().alter(STREAM, 0, |event| *event = other);
    assert!(damaged(reading(&cluster).await).contains("it is one of call d"));
}

#[tokio::test]
async fn a_stream_that_does_not_begin_at_0_is_named() {
    let (cluster, store) = written().await;
    cluster.log().truncate(STREAM, 2);
    let what = damaged(reading(&cluster).await);
    assert!(what.contains("stream call-c has no event 0"), "{what}");
    // What was read before is known; what comes after it can be read on.
    let after = store.read_call(&call("c"), Revision(3)).await;
    assert!(after.is_ok(), "{after:?}");
}

#[tokio::test]
async fn a_deleted_call_is_not_begun_anew_and_comes_back_whole_when_the_deletion_is_undone() {
    let (cluster, store) = written().await;
    let events = cluster.log().stream(STREAM).len();
    let last = Expected::Revision(events as u64 - 1);
    cluster.log().delete(STREAM, last).expect("deleted");
    let anew = batches(&call("c"), chatter(1)).await.swap_remove(0);
    // One knows the call, another has never seen it, the third has just read it.
    let (unseen, read) = (open(&cluster).await, open(&cluster).await);
    let what = damaged(read.read_call(&call("c"), Revision(0)).await);
    for store in [store, unseen, read] {
        let answer = store.append(anew.clone()).await;
        let Err(AppendError::Store(StoreError::Corrupt(again))) = answer else {
            panic!("taken for a new call: {answer:?}");
        };
        assert_eq!(again, what);
    }
    assert!(
        what.contains("stream call-c") && what.contains("deleted"),
        "{what}"
    );
    assert_eq!(cluster.log().stream(STREAM).len(), events);
    cluster.log().truncate(STREAM, 0);
    assert_eq!(reading(&cluster).await, Ok(events));
}

#[tokio::test]
async fn a_command_for_a_deleted_call_is_refused_as_damaged() {
    let (cluster, _) = written().await;
    cluster
        .log()
        .delete(STREAM, Expected::Any)
        .expect("deleted");
    let handler = Handler::new(open(&cluster).await);
    let request = request(&call("c"), chatter(1).swap_remove(0));
    let answer = handler
        .handle(&request, handler.random_id(), handler.now())
        .await;
    let Err(HandleError::Store(error)) = answer else {
        panic!("taken: {answer:?}");
    };
    assert!(error.is_damage(), "{error}");
}

#[tokio::test]
async fn a_new_call_costs_one_read_of_metadata_once() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let before = cluster.seen().reads;
    let history = batches(&call("d"), chatter(2)).await;
    assert_eq!(store.read_call(&call("d"), Revision(0)).await, Ok(vec![]));
    assert_eq!(
        cluster.seen().reads - before,
        2,
        "its stream and its metadata"
    );
    for batch in history {
        store.append(batch).await.expect("kept");
    }
    assert_eq!(cluster.seen().reads - before, 4, "each is read back");
}

#[tokio::test]
async fn a_call_whose_stream_is_gone_for_good_is_damage() {
    let (cluster, store) = written().await;
    cluster
        .log()
        .tombstone(STREAM, Expected::Any)
        .expect("deleted");
    assert!(damaged(reading(&cluster).await).contains("deleted"));
    let anew = batches(&call("c"), chatter(1)).await;
    let answer = store.append(anew[0].clone()).await;
    assert!(
        matches!(answer, Err(AppendError::Store(StoreError::Corrupt(_)))),
        "{answer:?}"
    );
}

/// The server sees two equal numbers; the histories behind them are another matter.
#[tokio::test]
async fn a_history_that_was_replaced_is_not_continued() {
    let (cluster, store) = written().await;
    let other = nodes(1);
    let elsewhere = open(&other).await;
    let batches = keep(&*elsewhere, "c", chatter(3)).await;
    let continuing =
        Batch::new(batches[1].head(), batches[2].events().to_vec()).expect("well-formed");
    let answer = store.append(continuing.clone()).await;
    assert!(answer.is_err(), "{answer:?}");
    let fresh = open(&cluster).await;
    let answer = fresh.append(continuing).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(
        cluster.log().stream(STREAM).len(),
        reading(&cluster).await.expect("whole")
    );
}
