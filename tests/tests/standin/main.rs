//! The stand-in for `EventStoreDB`, held against what is known of real servers: through the official client where that
//! can say it, through a plain one where it cannot, and through clients that others wrote (`others.rs`).

mod access;
mod cluster;
mod elections;
mod faults;
mod following;
mod latency;
mod limits;
mod others;
mod plain;
mod program;
mod streams;
mod under_way;

use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, ReadStream, ReadStreamOptions,
    RecordedEvent, StreamState, WriteResult,
};
use serde_json::json;
use std::time::Duration;
use tests::standin::StandIn;
use uuid::Uuid;

/// The official client, without the half second that its first call waits otherwise.
fn client(url: &str) -> Client {
    let settings = format!("{url}&discoveryInterval=1").parse();
    Client::new(settings.expect("the stand-in's connection string is valid")).unwrap()
}

fn of(standin: &StandIn) -> Client {
    client(&standin.url())
}

/// An event with an id of its own, so that sending it again is sending the same.
fn event(kind: &str) -> EventData {
    let event = EventData::json(kind, &json!({ "kind": kind })).unwrap();
    event.id(Uuid::new_v4())
}

fn events<const N: usize>(kinds: [&str; N]) -> Vec<EventData> {
    kinds.map(event).into()
}

/// Appends, patiently but not for ever.
async fn append(
    client: &Client,
    stream: &str,
    state: StreamState,
    events: Vec<EventData>,
) -> eventstore::Result<WriteResult> {
    let options = AppendToStreamOptions::default().stream_state(state);
    let options = options.deadline(Duration::from_secs(20));
    client.append_to_stream(stream, &options, events).await
}

async fn read(client: &Client, stream: &str) -> eventstore::Result<Vec<RecordedEvent>> {
    let options = ReadStreamOptions::default().deadline(Duration::from_secs(20));
    collect(client.read_stream(stream, &options).await?).await
}

async fn read_all(
    client: &Client,
    options: ReadAllOptions,
) -> eventstore::Result<Vec<RecordedEvent>> {
    let options = options.deadline(Duration::from_secs(20));
    collect(client.read_all(&options).await?).await
}

async fn collect(mut reading: ReadStream) -> eventstore::Result<Vec<RecordedEvent>> {
    let mut events = Vec::new();
    while let Some(event) = reading.next().await? {
        events.push(event.event.expect("there are no links"));
    }
    Ok(events)
}

/// Waits for what happens in the stand-in; a test that would never end fails instead.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let happened = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    happened.expect("it happens");
}

fn kinds(events: &[RecordedEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.event_type.as_str())
        .collect()
}
