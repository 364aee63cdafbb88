//! What goes wrong on the way: an answer that is lost, a node that does not answer, one that is gone.

use super::{call, keep, nodes, open, opened};
use domain::{
    AppendError, Batch, EventStore, HandleError, Handler, Head, RecordedEvent, Revision, StoreError,
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tests::contract::{a_whole_call, batches, chatter, in_time, request};
use tests::scenario::{ANA, SAM, SUE, start_monitoring, stop_monitoring};
use tests::standin::{Expected, Failure, Proposed, Right};

/// Every way of losing an answer: the same is sent again, and kept once.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_answered_and_kept_once() {
    for how in [
        Failure::Unavailable,
        Failure::TimedOut,
        Failure::DeadlineExceeded,
        Failure::Break,
        Failure::Hang,
    ] {
        let cluster = nodes(1);
        let store = open(&cluster).await;
        let history = batches(&call("c"), a_whole_call()).await;
        for (number, batch) in history.iter().enumerate() {
            if number % 3 == 0 && (how != Failure::Hang || number == 0) {
                cluster.faults().lose_answers(1, how);
            }
            let stored = store
                .append(batch.clone())
                .await
                .unwrap_or_else(|error| panic!("{how:?}: {error}"));
            assert_eq!(stored.len(), batch.events().len(), "{how:?}");
        }
        assert_eq!(cluster.faults().left(), 0, "{how:?}");
        let events = store
            .read_call(&call("c"), Revision(0))
            .await
            .expect("readable");
        let sent: Vec<_> = history.iter().flat_map(domain::Batch::events).collect();
        assert!(
            events.iter().map(|event| &event.recorded).eq(sent),
            "{how:?}"
        );
    }
}

/// The write is there, so it is not sent again.
#[tokio::test]
async fn a_write_without_an_answer_is_answered_by_what_stands_in_the_stream() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for batch in batches(&call("c"), chatter(3)).await {
        cluster.faults().lose_answers(1, Failure::Hang);
        let before = cluster.seen().appends;
        let stored = store.append(batch.clone()).await.expect("kept");
        assert!(
            stored
                .iter()
                .map(|event| &event.recorded)
                .eq(batch.events())
        );
        assert_eq!(cluster.seen().appends - before, 1);
    }
    assert_eq!(cluster.faults().left(), 0);
}

/// Writes without an answer hold all places for calls; looking beside them needs none of those.
#[tokio::test]
async fn as_many_writes_as_the_store_sends_at_once_are_answered_by_their_streams() {
    const AT_ONCE: usize = 64;
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let mut firsts = Vec::new();
    for number in 0..AT_ONCE {
        let call = call(&format!("c{number}"));
        assert_eq!(store.read_call(&call, Revision(0)).await, Ok(Vec::new()));
        firsts.push(batches(&call, chatter(1)).await.swap_remove(0));
    }
    cluster.faults().lose_answers(AT_ONCE, Failure::Hang);
    let answers = join_all(firsts.into_iter().map(|batch| store.append(batch))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(
        cluster.seen().appends,
        1 + AT_ONCE as u64,
        "one is the store's own"
    );
}

#[tokio::test]
async fn other_events_in_the_stream_answer_a_write_without_an_answer() {
    let cluster = nodes(1);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let first = keep(&*one, "c", chatter(1)).await.swap_remove(0);
    let ours = continued(first.head(), &batches(&call("c"), chatter(2)).await);
    let theirs = continued(first.head(), &batches(&call("c"), chatter(2)).await);
    cluster.faults().refuse_writes(1, Failure::Hang);
    let before = cluster.seen().appends;
    let ours = one.append(ours);
    let theirs = async {
        while cluster.faults().left() > 0 {
            tokio::task::yield_now().await;
        }
        other.append(theirs).await
    };
    let (ours, theirs) = tokio::join!(ours, theirs);
    assert!(theirs.is_ok(), "{theirs:?}");
    let conflict = AppendError::Conflict {
        expected: Revision(1),
        actual: Revision(2),
    };
    assert_eq!(ours, Err(conflict));
    assert_eq!(cluster.seen().appends - before, 2, "each was sent once");
}

#[tokio::test]
async fn equal_batches_side_by_side_are_sent_once() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for batch in batches(&call("c"), chatter(5)).await {
        let before = cluster.seen().appends;
        let answers = join_all((0..8).map(|_| store.append(batch.clone()))).await;
        assert_eq!(cluster.seen().appends - before, 1);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    }
}

#[tokio::test]
async fn an_equal_batch_is_written_when_the_sender_it_waits_for_is_dropped() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    cluster.faults().refuse_writes(1, Failure::Hang);
    let mut first = Box::pin(store.append(batch.clone()));
    let sent = async {
        while cluster.faults().left() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = first.as_mut() => panic!("it is never answered: {answer:?}"),
        () = sent => {}
    }
    let mut second = Box::pin(store.append(batch));
    tokio::select! {
        biased;
        answer = second.as_mut() => panic!("it waits for the first: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    drop(first);
    assert!(in_time(second).await.is_ok());
    assert_eq!(cluster.log().stream("call-c").len(), 1);
}

/// Somebody else writes on between the write and its repetition: it is there all the same, and once.
#[tokio::test]
async fn a_lost_answer_is_found_behind_what_others_wrote_meanwhile() {
    let cluster = nodes(1);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let history = batches(&call("c"), chatter(3)).await;
    one.append(history[0].clone()).await.expect("kept");
    let stored = one.append(history[1].clone()).await.expect("kept");
    other.append(history[2].clone()).await.expect("kept");
    // The repetition of the second, which comes behind the third.
    assert_eq!(one.append(history[1].clone()).await, Ok(stored));
    assert_eq!(cluster.log().stream("call-c").len(), 3);
}

#[tokio::test]
async fn writes_and_reads_are_repeated_until_the_cluster_is_well_again() {
    for how in [
        Failure::Unavailable,
        Failure::TimedOut,
        Failure::Break,
        Failure::NotLeader(0),
    ] {
        let cluster = nodes(1);
        let store = open(&cluster).await;
        cluster.faults().refuse_writes(4, how);
        keep(&*store, "c", chatter(1)).await;
        cluster.faults().refuse_reads(4, how);
        let events = store.read_call(&call("c"), Revision(0)).await;
        assert_eq!(events.map(|events| events.len()), Ok(1), "{how:?}");
        assert_eq!(cluster.faults().left(), 0, "{how:?}");
    }
}

/// Nobody waits for ever, and what is not known is said.
#[tokio::test]
async fn a_deadline_ends_what_has_no_answer() {
    let cluster = nodes(1);
    let store = opened(&format!("{}&defaultDeadline=700", cluster.url())).await;
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    for how in [Failure::Hang, Failure::Unavailable] {
        cluster.faults().refuse_writes(1000, how);
        let began = Instant::now();
        let answer = store.append(batch.clone()).await;
        let Err(AppendError::Store(StoreError::Unavailable(what))) = answer else {
            panic!("{how:?}: {answer:?}");
        };
        assert!(
            what.contains("unknown until the same is sent again"),
            "{what}"
        );
        assert!(
            began.elapsed() >= Duration::from_millis(200),
            "it tried for a while"
        );
        cluster.faults().forget();
    }
    cluster.faults().refuse_reads(1000, Failure::Hang);
    let read = store.read_call(&call("c"), Revision(0)).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    cluster.faults().forget();
    assert!(store.append(batch).await.is_ok());
}

/// The vendor's client stays with a dead node for ever.
#[tokio::test]
async fn the_next_leader_is_found_when_a_node_dies() {
    let cluster = nodes(3);
    let store = open(&cluster).await;
    let history = batches(&call("c"), chatter(12)).await;
    for batch in history {
        let leader = cluster.leader().expect("two of three are alive");
        cluster.kill(leader);
        store.append(batch).await.expect("kept by the next leader");
        cluster.revive(leader);
    }
    assert_eq!(cluster.log().stream("call-c").len(), 12);
}

#[tokio::test]
async fn a_leader_that_follows_from_now_on_is_not_asked_any_more() {
    let cluster = nodes(3);
    let store = open(&cluster).await;
    for (turn, batch) in batches(&call("c"), chatter(9))
        .await
        .into_iter()
        .enumerate()
    {
        cluster.elect(turn % 3);
        store.append(batch).await.expect("kept by whoever leads");
        let events = store
            .read_call(&call("c"), Revision(0))
            .await
            .expect("readable");
        assert_eq!(events.len(), turn + 1);
    }
}

#[tokio::test]
async fn a_cluster_without_a_majority_is_waited_for() {
    let cluster = nodes(3);
    let store = open(&cluster).await;
    cluster.kill(0);
    cluster.kill(1);
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    let waiting = tokio::spawn(async move { store.append(batch).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.revive(0);
    let kept = waiting.await.expect("it ends");
    assert!(kept.is_ok(), "{kept:?}");
}

/// A batch is kept by one request, so one that the server would not take is not begun.
#[tokio::test]
async fn a_batch_beyond_the_limit_is_refused_before_anything_is_written() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let history = batches(&call("c"), chatter(2000)).await;
    let events = history
        .iter()
        .flat_map(domain::Batch::events)
        .cloned()
        .collect();
    let batch = domain::Batch::new(domain::Head::NONE, events).expect("one call's events");
    let Err(AppendError::Store(StoreError::Refused(what))) = store.append(batch).await else {
        panic!("taken");
    };
    assert!(
        what.contains("nothing was written") && what.contains("call c"),
        "{what}"
    );
    assert_eq!(cluster.log().stream("call-c").len(), 0);
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_named_and_nothing_is_repeated() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    cluster.deny(Right::Write);
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    let Err(AppendError::Store(StoreError::Refused(what))) = store.append(batch).await else {
        panic!("written");
    };
    assert!(what.contains("cannot write to stream call-c"), "{what}");
    cluster.deny(Right::ReadAll);
    let Err(StoreError::Refused(what)) = store.read_all(domain::Position::START, 1).await else {
        panic!("read");
    };
    assert!(what.contains("cannot read $all"), "{what}");
}

/// The events are whole, so it is no damage; and such a server will not send their positions the next time either.
#[tokio::test]
async fn a_server_that_does_not_tell_positions_refuses() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    store.append(batch).await.expect("kept");
    cluster.faults().hide_positions();
    let store = open(&cluster).await;
    let read = store.read_call(&call("c"), Revision(0)).await;
    let Err(StoreError::Refused(what)) = read else {
        panic!("{read:?}");
    };
    assert!(
        what.contains("the server does not tell its position"),
        "{what}"
    );
}

/// What others write into streams of their own does not concern us.
#[tokio::test]
async fn somebody_elses_streams_are_passed_over() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for stream in ["caller-1", "recall-1", "call", "$call-1", "calls-1"] {
        let event = Proposed::json("thing", &serde_json::json!({}));
        cluster
            .log()
            .append(stream, Expected::Any, vec![event])
            .expect("written");
        keep(
            &*store,
            &format!("after-{}", stream.trim_start_matches('$')),
            chatter(2),
        )
        .await;
    }
    let events = store
        .read_all(domain::Position::START, 100)
        .await
        .expect("readable");
    assert_eq!(events.len(), 10);
}

#[tokio::test]
async fn a_closed_store_answers_nothing_and_wakes_who_waits() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let last = store.info().await.expect("told").last;
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.wait_past(last).await })
    };
    tokio::task::yield_now().await;
    store.close().await.expect("closed");
    assert!(matches!(
        waiting.await.expect("it ends"),
        Err(StoreError::Unavailable(_))
    ));
    let read = store.read_call(&call("c"), Revision(0)).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
}

/// A position that no event has is the reader's mistake, and told as that at once.
#[tokio::test]
async fn a_position_that_is_none_is_refused() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    keep(&*store, "c", chatter(2)).await;
    let last = store.info().await.expect("told").last;
    let Err(StoreError::Refused(what)) = store.read_all(domain::Position(last.0 - 1), 1).await
    else {
        panic!("read");
    };
    assert!(what.contains("no event stands at that position"), "{what}");
}

/// A write is known to the server a little before it can be read. Whoever meets it then must not be told to read a call
/// in which there is nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_conflict_is_told_once_the_other_write_can_be_read() {
    let cluster = nodes(1);
    cluster.log().lag(Duration::from_millis(300));
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    keep(&*one, "c", chatter(1)).await;
    let ours = batches(&call("c"), chatter(2)).await;
    let theirs = batches(&call("c"), chatter(2)).await;
    let head = one
        .read_call(&call("c"), Revision(0))
        .await
        .expect("readable");
    let head = head[0].recorded.head();
    let (ours, theirs) = (continued(head, &ours), continued(head, &theirs));
    let first = tokio::spawn(async move { other.append(theirs).await });
    in_time(async {
        while cluster.log().stream("call-c").len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = one.append(ours).await;
    let conflict = AppendError::Conflict {
        expected: Revision(1),
        actual: Revision(2),
    };
    assert_eq!(answer, Err(conflict));
    let there = one.read_call(&call("c"), Revision(0)).await;
    assert_eq!(there.map(|events| events.len()), Ok(2));
    assert!(first.await.expect("it ends").is_ok());
}

/// The second of the batches as one that continues that head.
fn continued(head: Head, history: &[Batch]) -> Batch {
    let event = history[1].events()[0].clone();
    let hash = event.hash_after(head.hash);
    Batch::new(head, vec![RecordedEvent { hash, ..event }]).expect("the next one")
}

/// Handlers of two processes at one call, where writes take a while to be seen: each command is taken in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_settle_where_writes_are_seen_late() {
    let cluster = nodes(1);
    cluster.log().lag(Duration::from_millis(20));
    let stores = [open(&cluster).await, open(&cluster).await];
    keep(&*stores[0], "c", chatter(1)).await;
    let mut takers = tokio::task::JoinSet::new();
    for (store, supervisor) in stores.into_iter().zip([SAM, SUE]) {
        takers.spawn(async move {
            let handler = Handler::new(store);
            for turn in 0..10 {
                let command = match turn % 2 {
                    0 => start_monitoring(supervisor, ANA),
                    _ => stop_monitoring(supervisor),
                };
                let request = request(&call("c"), command);
                let id = handler.random_id();
                // Who wins goes on at once, and may win again before the other has read on.
                while let Err(error) = handler.handle(&request, id, handler.now()).await {
                    assert!(matches!(error, HandleError::Unsettled { .. }), "{error}");
                }
            }
        });
    }
    takers.join_all().await;
    assert_eq!(cluster.log().stream("call-c").len(), 21);
}

/// An outage does not leave a connection behind for each attempt.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_were_replaced_are_gone() {
    let cluster = nodes(1);
    let store = opened(&format!("{}&defaultDeadline=3000", cluster.url())).await;
    let descriptors = || {
        std::fs::read_dir("/proc/self/fd")
            .expect("it is there")
            .count()
    };
    keep(&store, "c", chatter(1)).await;
    let before = descriptors();
    cluster.faults().refuse_reads(10_000, Failure::Unavailable);
    for _ in 0..3 {
        let read = store.read_call(&call("c"), Revision(0)).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    }
    cluster.faults().forget();
    assert!(store.read_call(&call("c"), Revision(0)).await.is_ok());
    in_time(async {
        // A client takes about ten; there were some twenty of them.
        while descriptors() > before + 60 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
