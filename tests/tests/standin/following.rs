//! Subscriptions.

use super::{append, events, of};
use eventstore::StreamState::{Any, NoStream, StreamRevision};
use eventstore::{
    Client, Position, StreamPosition, SubscribeToAllOptions, SubscribeToStreamOptions,
    Subscription, SubscriptionEvent, SubscriptionFilter, TombstoneStreamOptions,
};
use std::time::Duration;
use tests::standin::{Config, StandIn};
use tokio::time::timeout;

/// What a subscription tells, in short.
async fn told(subscription: &mut Subscription) -> String {
    let next = timeout(
        Duration::from_secs(20),
        subscription.next_subscription_event(),
    );
    match next.await.expect("it goes on").unwrap() {
        SubscriptionEvent::Confirmed(_) => "confirmed".to_owned(),
        SubscriptionEvent::EventAppeared(event) => event.get_original_event().event_type.clone(),
        SubscriptionEvent::Checkpoint(_) => "checkpoint".to_owned(),
        SubscriptionEvent::CaughtUp(where_to) => {
            let place = where_to.is_some_and(|caught_up| caught_up.position.is_some());
            if place {
                "caught up somewhere"
            } else {
                "caught up"
            }
            .to_owned()
        }
        other => panic!("{other:?}"),
    }
}

async fn hears(subscription: &mut Subscription, what: &[&str]) {
    for expected in what {
        assert_eq!(told(subscription).await, *expected);
    }
}

async fn follow_calls(client: &Client, from: StreamPosition<Position>, max: u32) -> Subscription {
    let filter = SubscriptionFilter::on_stream_name()
        .add_prefix("call-")
        .max(max);
    let options = SubscribeToAllOptions::default()
        .position(from)
        .filter(filter);
    client.subscribe_to_all(&options).await
}

#[tokio::test]
async fn a_subscription_catches_up_and_goes_on() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    append(&client, "queue-1", NoStream, events(["x"]))
        .await
        .unwrap();
    let mut calls = follow_calls(&client, StreamPosition::Start, 500).await;
    hears(&mut calls, &["confirmed", "a", "checkpoint", "caught up"]).await;
    append(&client, "queue-1", Any, events(["y"]))
        .await
        .unwrap();
    append(&client, "call-2", Any, events(["b", "c"]))
        .await
        .unwrap();
    hears(&mut calls, &["b", "c"]).await;
}

#[tokio::test]
async fn a_subscription_begins_after_its_position() {
    let standin = StandIn::start();
    let client = of(&standin);
    let first = append(&client, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let from = StreamPosition::Position(first.position);
    append(&client, "call-1", StreamRevision(0), events(["b"]))
        .await
        .unwrap();
    hears(
        &mut follow_calls(&client, from, 500).await,
        &["confirmed", "b"],
    )
    .await;
    let mut new = follow_calls(&client, StreamPosition::End, 500).await;
    hears(&mut new, &["confirmed", "caught up"]).await;
    append(&client, "call-1", StreamRevision(1), events(["c"]))
        .await
        .unwrap();
    hears(&mut new, &["c"]).await;
}

#[tokio::test]
async fn a_filtered_subscription_tells_how_far_it_has_looked() {
    let standin = StandIn::start();
    let client = of(&standin);
    let mut calls = follow_calls(&client, StreamPosition::End, 3).await;
    hears(&mut calls, &["confirmed", "caught up"]).await;
    append(&client, "queue-1", NoStream, events(["x", "y"]))
        .await
        .unwrap();
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    hears(&mut calls, &["a", "checkpoint", "b"]).await;
}

#[tokio::test]
async fn a_server_of_version_25_tells_where_it_has_caught_up() {
    let version = "25.1.0".to_owned();
    let standin = StandIn::start_with(Config {
        version,
        ..Config::default()
    });
    let client = of(&standin);
    let mut calls = follow_calls(&client, StreamPosition::Start, 500).await;
    hears(
        &mut calls,
        &["confirmed", "checkpoint", "caught up somewhere"],
    )
    .await;
}

#[tokio::test]
async fn a_stream_is_followed_before_it_exists_and_until_it_is_gone_for_good() {
    let standin = StandIn::start();
    let client = of(&standin);
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut call = client.subscribe_to_stream("call-1", &options).await;
    hears(&mut call, &["confirmed", "caught up"]).await;
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    hears(&mut call, &["a", "b"]).await;
    let later = SubscribeToStreamOptions::default().start_from(StreamPosition::Position(0));
    let mut later = client.subscribe_to_stream("call-1", &later).await;
    hears(&mut later, &["confirmed", "b", "caught up"]).await;
    let options = TombstoneStreamOptions::default();
    client.tombstone_stream("call-1", &options).await.unwrap();
    let end = call.next_subscription_event().await.unwrap_err();
    assert!(matches!(end, eventstore::Error::ResourceDeleted), "{end}");
}
