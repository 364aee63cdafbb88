//! A write that is sent again while the first is not answered yet.

use super::{append, events, of, until};
use eventstore::StreamState::NoStream;
use eventstore::{BatchAppendOptions, Client, Error, EventData};
use std::time::{Duration, Instant};
use tests::standin::{Config, Failure, StandIn};
use tokio::task::JoinHandle;

/// Instead of the two seconds of a real server.
const WRITE_TIMEOUT: Duration = Duration::from_millis(80);

/// A stand-in and a client that is connected.
async fn connected() -> (StandIn, Client) {
    let standin = StandIn::start_with(Config {
        write_timeout: WRITE_TIMEOUT,
        ..Config::default()
    });
    let client = of(&standin);
    append(&client, "call-0", NoStream, events(["a"]))
        .await
        .unwrap();
    (standin, client)
}

/// Sends a write, and returns once it is under way.
async fn begun(
    standin: &StandIn,
    client: &Client,
    events: &[EventData],
) -> JoinHandle<eventstore::Result<()>> {
    let (client, events) = (client.clone(), events.to_vec());
    let write = tokio::spawn(async move {
        let written = append(&client, "call-1", NoStream, events).await;
        written.map(|_| ())
    });
    until(|| standin.writes_under_way() == 1).await;
    write
}

fn is_aborted(error: &Error) -> bool {
    matches!(error, Error::Grpc { code, .. } if format!("{code:?}") == "Aborted")
}

#[tokio::test]
async fn a_write_that_repeats_one_under_way_ends_at_the_servers_limit() {
    let (standin, client) = connected().await;
    let both = events(["a", "b"]);
    standin.faults().refuse_writes(1, Failure::Hang);
    let first = begun(&standin, &client, &both).await;
    let began = Instant::now();
    let repeated = append(&client, "call-1", NoStream, both).await;
    let error = repeated.unwrap_err();
    assert!(is_aborted(&error), "{error:?}");
    assert!(began.elapsed() >= WRITE_TIMEOUT, "{:?}", began.elapsed());
    assert!(!first.is_finished());
    assert_eq!(standin.log().stream("call-1"), []);
}

#[tokio::test]
async fn a_write_is_under_way_until_its_answer_arrives() {
    const LATENCY: Duration = Duration::from_secs(2);
    let (standin, client) = connected().await;
    let both = events(["a", "b"]);
    standin.set_latency(LATENCY);
    let first = begun(&standin, &client, &both).await;
    let repeated = append(&client, "call-1", NoStream, both.clone()).await;
    let error = repeated.unwrap_err();
    assert!(is_aborted(&error), "{error:?}");
    first.await.unwrap().unwrap();
    standin.set_latency(Duration::ZERO);
    append(&client, "call-1", NoStream, both).await.unwrap();
    assert_eq!(standin.log().stream("call-1").len(), 2);
}

#[tokio::test]
async fn another_write_to_the_stream_is_answered_while_one_is_under_way() {
    let (standin, client) = connected().await;
    standin.faults().refuse_writes(1, Failure::Hang);
    let _first = begun(&standin, &client, &events(["a"])).await;
    append(&client, "call-1", NoStream, events(["b"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_under_way() {
    let (standin, client) = connected().await;
    let both = events(["a", "b"]);
    standin.faults().lose_answers(1, Failure::Hang);
    let lost = tokio::spawn({
        let (client, both) = (client.clone(), both.clone());
        async move { append(&client, "call-1", NoStream, both).await }
    });
    until(|| !standin.log().stream("call-1").is_empty()).await;
    assert!(!lost.is_finished());
    append(&client, "call-1", NoStream, both).await.unwrap();
}

#[tokio::test]
async fn writes_that_repeat_one_in_the_log_do_not_wait_for_each_other() {
    let (standin, client) = connected().await;
    let both = events(["a", "b"]);
    append(&client, "call-1", NoStream, both.clone())
        .await
        .unwrap();
    standin.set_latency(Duration::from_millis(500));
    let repeat = || append(&client, "call-1", NoStream, both.clone());
    let (one, other) = tokio::join!(repeat(), repeat());
    one.unwrap();
    other.unwrap();
}

#[tokio::test]
async fn an_append_of_a_session_that_repeats_one_under_way_times_out_and_others_do_not_wait() {
    let (standin, client) = connected().await;
    let both = events(["a", "b"]);
    let session = client
        .batch_append(&BatchAppendOptions::default())
        .await
        .unwrap();
    standin.faults().refuse_writes(1, Failure::Hang);
    let _first = begun(&standin, &client, &both).await;
    let repeated = session.append_to_stream("call-1", NoStream, both);
    let (repeated, other) = tokio::join!(repeated, async {
        let other = session.append_to_stream("call-2", NoStream, events(["a"]));
        other.await
    });
    other.unwrap();
    let Err(Error::Grpc { code, message }) = repeated else {
        panic!("{repeated:?}")
    };
    assert_eq!(
        (format!("{code:?}").as_str(), &message[..]),
        ("DeadlineExceeded", "Timeout")
    );
}
