//! Answers that arrive later, as from a server far away.

use super::{append, event, events, kinds, of, plain, read, until};
use eventstore::BatchAppendOptions;
use eventstore::StreamState::{Any, NoStream};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tests::standin::{Config, StandIn};
use tokio::task::JoinSet;

const LATENCY: Duration = Duration::from_millis(60);

/// Longer than any test waits.
const NEVER: Duration = Duration::from_hours(1);

fn far_away(latency: Duration) -> StandIn {
    StandIn::start_with(Config {
        latency,
        ..Config::default()
    })
}

async fn at_least<T>(latency: Duration, call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = call.await;
    assert!(began.elapsed() >= latency, "{:?}", began.elapsed());
    answer
}

#[tokio::test]
async fn every_answer_arrives_later_by_the_latency() {
    let standin = far_away(LATENCY);
    let client = of(&standin);
    let written = append(&client, "call-1", NoStream, events(["a"]));
    at_least(LATENCY, written).await.unwrap();
    let conflict = append(&client, "call-1", NoStream, events(["b"]));
    at_least(LATENCY, conflict).await.unwrap_err();
    let there = at_least(LATENCY, read(&client, "call-1")).await.unwrap();
    assert_eq!(kinds(&there), ["a"]);
    let missing = at_least(LATENCY, read(&client, "call-2")).await;
    missing.unwrap_err();
    let mut streams = plain::connect(&standin, 0).await;
    at_least(LATENCY, plain::follow_all(&mut streams)).await;
}

#[tokio::test]
async fn every_answer_of_a_session_arrives_later_by_the_latency() {
    let standin = far_away(LATENCY);
    let options = BatchAppendOptions::default();
    let session = of(&standin).batch_append(&options).await.unwrap();
    for number in 0..3 {
        let stream = format!("call-{number}");
        let written = session.append_to_stream(&stream, NoStream, events(["a"]));
        at_least(LATENCY, written).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_read_waits_for_the_latency_once() {
    let standin = StandIn::start();
    let many = (0..600).map(|number| event(&format!("e{number}")));
    let client = of(&standin);
    let written = append(&client, "call-1", NoStream, many.collect());
    written.await.unwrap();
    standin.set_latency(Duration::from_secs(1));
    let began = Instant::now();
    let mut streams = plain::connect(&standin, 0).await;
    let mut following = plain::follow_all(&mut streams).await;
    let answered = began.elapsed();
    standin.set_latency(NEVER);
    plain::until_caught_up(&mut following).await;
    assert!(answered >= Duration::from_secs(1), "{answered:?}");
}

/// No answer ever arrives here, so calls that waited for each other's answers would never all be seen.
#[tokio::test]
async fn calls_do_not_wait_for_the_answers_of_others() {
    const CALLS: u64 = 40;
    let standin = StandIn::start();
    let client = of(&standin);
    // The client connects with its first call.
    append(&client, "call-0", Any, events(["a"])).await.unwrap();
    standin.set_latency(NEVER);
    let mut calls = JoinSet::new();
    for number in 1..CALLS {
        let client = client.clone();
        calls.spawn(async move {
            let stream = format!("call-{number}");
            append(&client, &stream, Any, events(["a"])).await
        });
    }
    until(|| standin.seen().appends == CALLS).await;
    assert!(calls.try_join_next().is_none(), "nothing is answered yet");
}

#[tokio::test]
async fn appends_of_a_session_do_not_wait_for_the_answers_of_others() {
    const APPENDS: u64 = 40;
    let standin = StandIn::start();
    let options = BatchAppendOptions::default();
    let session = of(&standin).batch_append(&options).await.unwrap();
    standin.set_latency(NEVER);
    let appends = (0..APPENDS).map(|number| {
        let stream = format!("call-{number}");
        let session = &session;
        async move { session.append_to_stream(&stream, Any, events(["a"])).await }
    });
    tokio::select! {
        answers = join_all(appends) => panic!("{answers:?}"),
        () = until(|| standin.seen().batch_appends == APPENDS) => {}
    }
}
