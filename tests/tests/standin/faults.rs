//! Each fault that can be asked for.

use super::{append, client, events, of, plain, read};
use eventstore::StreamState::NoStream;
use eventstore::{BatchAppendOptions, Error, ReadStreamOptions};
use std::time::{Duration, Instant};
use tests::standin::{Config, Failure, StandIn};
use tokio::time::timeout;

/// Longer than an answer takes, and short enough to wait for the lack of one.
const A_MOMENT: Duration = Duration::from_millis(300);

/// What an official client makes of a failure.
fn outcome(error: &Error) -> &'static str {
    match error {
        Error::ServerError(_) => "server error",
        Error::DeadlineExceeded => "deadline exceeded",
        Error::Grpc { .. } => "another code",
        Error::NotLeaderException(_) => "not the leader",
        _ => "something else",
    }
}

const FAILURES: [(Failure, &str); 5] = [
    (Failure::Unavailable, "server error"),
    (Failure::TimedOut, "another code"),
    (Failure::DeadlineExceeded, "deadline exceeded"),
    (Failure::Break, "server error"),
    (Failure::NotLeader(0), "not the leader"),
];

#[tokio::test]
async fn a_refused_write_writes_nothing_and_the_next_one_is_written() {
    for (failure, expected) in FAILURES {
        let standin = StandIn::start();
        standin.faults().refuse_writes(1, failure);
        let refused = append(&of(&standin), "call-1", NoStream, events(["a"])).await;
        assert_eq!(outcome(&refused.unwrap_err()), expected, "{failure:?}");
        assert_eq!(standin.log().stream("call-1"), []);
        append(&of(&standin), "call-1", NoStream, events(["a"]))
            .await
            .unwrap();
        assert_eq!(standin.faults().left(), 0);
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_events_and_a_retry_finds_them() {
    for (failure, expected) in FAILURES {
        let standin = StandIn::start();
        standin.faults().lose_answers(2, failure);
        let both = events(["a", "b"]);
        for _ in 0..2 {
            let lost = append(&of(&standin), "call-1", NoStream, both.clone()).await;
            assert_eq!(outcome(&lost.unwrap_err()), expected, "{failure:?}");
            assert_eq!(standin.log().stream("call-1").len(), 2);
        }
        let written = append(&of(&standin), "call-1", NoStream, both)
            .await
            .unwrap();
        assert_eq!(written.next_expected_version, 1);
        assert_eq!(standin.log().stream("call-1").len(), 2);
        assert_eq!(standin.seen().appends, 3);
    }
}

#[tokio::test]
async fn a_hanging_call_is_never_answered() {
    let standin = StandIn::start();
    let mut streams = plain::connect(&standin, 0).await;
    standin.faults().lose_answers(1, Failure::Hang);
    let answer = timeout(A_MOMENT, plain::append(&mut streams, "call-1")).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(standin.log().stream("call-1").len(), 1);
    standin.faults().refuse_writes(1, Failure::Hang);
    let answer = timeout(A_MOMENT, plain::append(&mut streams, "call-2")).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(standin.log().stream("call-2"), []);
}

#[tokio::test]
async fn a_lost_answer_ends_a_session_and_a_time_out_does_not() {
    let standin = StandIn::start();
    let client = of(&standin);
    for failure in [Failure::Unavailable, Failure::Break] {
        let session = client
            .batch_append(&BatchAppendOptions::default())
            .await
            .unwrap();
        standin.faults().lose_answers(1, failure);
        let stream = format!("call-{failure:?}");
        let lost = session.append_to_stream(&stream, NoStream, events(["a"]));
        // A session has no deadline of its own.
        let lost = timeout(Duration::from_secs(20), lost).await;
        let lost = lost.expect("the session is over");
        assert_eq!(outcome(&lost.unwrap_err()), "server error");
        assert_eq!(standin.log().stream(&stream).len(), 1);
        read(&of(&standin), &stream).await.unwrap();
    }
    let session = of(&standin)
        .batch_append(&BatchAppendOptions::default())
        .await
        .unwrap();
    standin.faults().refuse_writes(1, Failure::TimedOut);
    let refused = session
        .append_to_stream("call-3", NoStream, events(["a"]))
        .await;
    let Err(Error::Grpc { code, message }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (format!("{code:?}").as_str(), &message[..]),
        ("DeadlineExceeded", "Timeout")
    );
}

#[tokio::test]
async fn one_hanging_append_of_a_session_does_not_hold_up_the_others() {
    let standin = StandIn::start();
    let session = of(&standin)
        .batch_append(&BatchAppendOptions::default())
        .await
        .unwrap();
    standin.faults().lose_answers(1, Failure::Hang);
    let hanging = session.append_to_stream("call-1", NoStream, events(["a"]));
    assert!(timeout(A_MOMENT, hanging).await.is_err());
    session
        .append_to_stream("call-2", NoStream, events(["a"]))
        .await
        .unwrap();
    assert_eq!(standin.log().stream("call-1").len(), 1);
}

#[tokio::test]
async fn reads_fail_on_demand_too() {
    let standin = StandIn::start();
    append(&of(&standin), "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    for (failure, expected) in FAILURES {
        standin.faults().refuse_reads(1, failure);
        let refused = read(&of(&standin), "call-1").await;
        assert_eq!(outcome(&refused.unwrap_err()), expected, "{failure:?}");
        read(&of(&standin), "call-1").await.unwrap();
    }
    standin.faults().refuse_reads(3, Failure::Hang);
    standin.faults().forget();
    read(&of(&standin), "call-1").await.unwrap();
}

#[tokio::test]
async fn a_deadline_of_the_client_ends_a_call_that_hangs() {
    let standin = StandIn::start();
    let client = of(&standin);
    standin.faults().refuse_reads(1, Failure::Hang);
    let options = ReadStreamOptions::default().deadline(A_MOMENT);
    let late = client.read_stream("call-1", &options).await;
    assert_eq!(outcome(&late.unwrap_err()), "deadline exceeded");
}

#[tokio::test]
async fn a_slow_server_delays_each_call() {
    let standin = StandIn::start();
    let mut streams = plain::connect(&standin, 0).await;
    standin.faults().slow(A_MOMENT);
    let begin = Instant::now();
    plain::append(&mut streams, "call-1").await.unwrap();
    assert!(begin.elapsed() >= A_MOMENT);
    standin.faults().slow(Duration::ZERO);
    plain::append(&mut streams, "call-2").await.unwrap();
}

#[tokio::test]
async fn a_subscription_ends_without_an_error() {
    let standin = StandIn::start();
    let mut streams = plain::connect(&standin, 0).await;
    let mut following = plain::follow_all(&mut streams).await;
    plain::until_caught_up(&mut following).await;
    standin.faults().end_subscriptions();
    assert_eq!(plain::next(&mut following).await.unwrap(), None);
    let mut again = plain::follow_all(&mut streams).await;
    plain::until_caught_up(&mut again).await;
}

#[tokio::test]
async fn broken_connections_can_be_made_again() {
    let standin = StandIn::start();
    let mut streams = plain::connect(&standin, 0).await;
    let mut following = plain::follow_all(&mut streams).await;
    plain::until_caught_up(&mut following).await;
    standin.break_connections();
    assert!(plain::next(&mut following).await.is_err());
    append(&of(&standin), "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stale_node_sends_writers_to_the_wrong_place() {
    let standin = StandIn::start_with(Config {
        nodes: 3,
        ..Config::default()
    });
    standin.faults().refuse_writes(1, Failure::NotLeader(2));
    let leader = client(&format!("{}&nodePreference=leader", standin.url()));
    let refused = append(&leader, "call-1", NoStream, events(["a"])).await;
    let Err(Error::NotLeaderException(told)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(told.port, u32::from(standin.ports()[2]));
    let refused = append(&leader, "call-1", NoStream, events(["a"])).await;
    let Err(Error::NotLeaderException(told)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(told.port, u32::from(standin.ports()[0]));
    append(&leader, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
}
