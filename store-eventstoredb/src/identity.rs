//! Which store it is: one event in a stream of its own, written by whoever comes first.

use crate::link::{Failure, Link, no_leader};
use domain::StoreId;
use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, ReadStreamOptions, ResolvedEvent, StreamState,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The stream. A dash would make it a category.
pub(crate) const STREAM: &str = "kaigi_store";

/// The type of its only event.
const TYPE: &str = "store_created";

/// The format this program writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 1;

/// What the event says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) id: StoreId,
    pub(crate) format: u64,
}

/// What stands in the stream.
pub(crate) enum Found {
    Nothing,
    Identity(Identity),
    Other(String),
}

pub(crate) async fn read(link: &Link) -> Result<Found, Failure> {
    read_within(link, link.url.deadline).await
}

/// The same, not waiting longer.
pub(crate) async fn read_within(link: &Link, limit: Duration) -> Result<Found, Failure> {
    let read = link.call_within(limit, |client, limit| first(client, link, limit));
    match read.await {
        Ok(Some(event)) => Ok(parsed(event.get_original_event())),
        Ok(None) | Err(Failure::Missing) => Ok(Found::Nothing),
        Err(failure) => Err(failure),
    }
}

fn parsed(event: &eventstore::RecordedEvent) -> Found {
    if event.event_type != TYPE {
        return Found::Other(format!(
            "it begins with an event of type {:?}",
            event.event_type
        ));
    }
    match event.as_json::<Identity>() {
        Ok(identity) => Found::Identity(identity),
        Err(error) => Found::Other(error.to_string()),
    }
}

async fn first(
    client: Client,
    link: &Link,
    limit: Duration,
) -> Result<Option<ResolvedEvent>, Error> {
    let mut options = ReadStreamOptions::default()
        .max_count(1)
        .requires_leader(true)
        .deadline(limit);
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let read = client.read_stream(STREAM, &options).await;
    read.map_err(no_leader)?.next().await
}

/// Writes a new identity, unless somebody was quicker.
pub(crate) async fn create(link: &Link) -> Result<(), Failure> {
    let identity = Identity {
        id: StoreId(Uuid::new_v4()),
        format: FORMAT,
    };
    let event = EventData::json(TYPE, &identity).expect("an identity is JSON");
    let event = event.id(identity.id.0);
    match link
        .call(|client, limit| write(client, link, event.clone(), limit))
        .await
    {
        Ok(()) | Err(Failure::Conflict(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

async fn write(
    client: Client,
    link: &Link,
    event: EventData,
    limit: Duration,
) -> Result<(), Error> {
    let mut options = AppendToStreamOptions::default()
        .stream_state(StreamState::NoStream)
        .requires_leader(true)
        .deadline(limit);
    if let Some(user) = link.url.authentication() {
        options = options.authenticated(user);
    }
    let written = client.append_to_stream(STREAM, &options, event).await;
    written.map(drop).map_err(no_leader)
}
