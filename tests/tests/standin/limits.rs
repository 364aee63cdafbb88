//! Streams that are deleted, limited or truncated, and what `$all` still has of them.

use super::{append, events, kinds, of, read, read_all};
use eventstore::StreamState::{Any, NoStream, StreamRevision};
use eventstore::operations::{self, OperationalOptions};
use eventstore::{
    AppendToStreamOptions, Client, DeleteStreamOptions, ReadAllOptions, RecordedEvent,
    StreamMetadata, TombstoneStreamOptions,
};
use serde_json::{Value, json};
use tests::standin::{END_OF_STREAM, StandIn};

/// A stand-in with a stream of three events.
async fn three_events() -> (StandIn, Client) {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b", "c"]))
        .await
        .unwrap();
    (standin, client)
}

/// What `$all` has of a stream.
async fn in_all(client: &Client, stream: &str) -> Vec<RecordedEvent> {
    let mut all = read_all(client, ReadAllOptions::default()).await.unwrap();
    all.retain(|event| event.stream_id() == stream);
    all
}

async fn delete(client: &Client) {
    let options = DeleteStreamOptions::default();
    client.delete_stream("call-1", &options).await.unwrap();
}

async fn limit(client: &Client, metadata: StreamMetadata) {
    let options = AppendToStreamOptions::default();
    let written = client.set_stream_metadata("call-1", &options, &metadata);
    written.await.unwrap();
}

async fn scavenge(standin: &StandIn) {
    let settings = standin.url().parse().unwrap();
    let operator = operations::Client::new(settings).unwrap();
    let options = OperationalOptions::default();
    operator.start_scavenge(1, 0, &options).await.unwrap();
}

fn json_of(event: &RecordedEvent) -> Value {
    serde_json::from_slice(&event.data).unwrap()
}

#[tokio::test]
async fn all_shows_a_tombstone_with_the_last_number_there_is() {
    let (_standin, client) = three_events().await;
    let options = TombstoneStreamOptions::default();
    client.tombstone_stream("call-1", &options).await.unwrap();
    let all = in_all(&client, "call-1").await;
    assert_eq!(kinds(&all), ["a", "b", "c", "$streamDeleted"]);
    assert_eq!(all[3].revision, 9_223_372_036_854_775_807);
    assert_eq!(all[3].revision, END_OF_STREAM);
}

#[tokio::test]
async fn all_shows_the_metadata_of_a_limited_stream() {
    let (_standin, client) = three_events().await;
    limit(&client, StreamMetadata::builder().max_count(1).build()).await;
    let metadata = in_all(&client, "$$call-1").await;
    assert_eq!(kinds(&metadata), ["$metadata"]);
    assert_eq!(json_of(&metadata[0])["$maxCount"], 1);
    assert_eq!(kinds(&read(&client, "call-1").await.unwrap()), ["c"]);
    assert_eq!(in_all(&client, "call-1").await.len(), 3);
}

#[tokio::test]
async fn all_shows_the_metadata_of_a_truncated_stream() {
    let (standin, client) = three_events().await;
    standin.log().truncate("call-1", 2);
    let metadata = in_all(&client, "$$call-1").await;
    assert_eq!(kinds(&metadata), ["$metadata"]);
    assert_eq!(json_of(&metadata[0]), json!({ "$tb": 2 }));
    assert_eq!(kinds(&read(&client, "call-1").await.unwrap()), ["c"]);
}

#[tokio::test]
async fn all_shows_a_soft_deletion_as_metadata() {
    let (_standin, client) = three_events().await;
    delete(&client).await;
    let metadata = in_all(&client, "$$call-1").await;
    assert_eq!(json_of(&metadata[0]), json!({ "$tb": END_OF_STREAM }));
    assert_eq!(kinds(&in_all(&client, "call-1").await), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_soft_deletion_can_be_undone_until_the_stream_is_written_to() {
    let (_standin, client) = three_events().await;
    delete(&client).await;
    let whole = StreamMetadata::builder().truncate_before(0).build();
    limit(&client, whole).await;
    let there = read(&client, "call-1").await.unwrap();
    assert_eq!(kinds(&there), ["a", "b", "c"]);
    delete(&client).await;
    let written = append(&client, "call-1", NoStream, events(["d"])).await;
    assert_eq!(written.unwrap().next_expected_version, 3);
    let there = read(&client, "call-1").await.unwrap();
    assert_eq!((kinds(&there), there[0].revision), (vec!["d"], 3));
}

#[tokio::test]
async fn a_scavenge_removes_from_all_what_a_limit_hides() {
    let (standin, client) = three_events().await;
    append(&client, "call-2", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    limit(&client, StreamMetadata::builder().max_count(1).build()).await;
    scavenge(&standin).await;
    assert_eq!(kinds(&in_all(&client, "call-1").await), ["c"]);
    assert_eq!(kinds(&in_all(&client, "call-2").await), ["a", "b"]);
    assert_eq!(standin.log().stream("call-1").len(), 1);
    append(&client, "call-1", StreamRevision(2), events(["d"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_scavenge_keeps_the_last_event_of_a_soft_deleted_stream() {
    let (standin, client) = three_events().await;
    delete(&client).await;
    scavenge(&standin).await;
    assert_eq!(kinds(&in_all(&client, "call-1").await), ["c"]);
    let written = append(&client, "call-1", NoStream, events(["d"])).await;
    assert_eq!(written.unwrap().next_expected_version, 3);
}

#[tokio::test]
async fn a_scavenge_keeps_the_tombstone_of_a_deleted_stream() {
    let (standin, client) = three_events().await;
    let options = TombstoneStreamOptions::default();
    client.tombstone_stream("call-1", &options).await.unwrap();
    scavenge(&standin).await;
    assert_eq!(kinds(&in_all(&client, "call-1").await), ["$streamDeleted"]);
    append(&client, "call-1", Any, events(["d"]))
        .await
        .unwrap_err();
}
