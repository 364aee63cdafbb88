//! Reading ahead: a follower with many events before it gets each of them once and in order, whatever happens to the
//! long read on the way.

use super::{call, nodes, open};
use domain::{EventStore, Followed, Follower, Position, Revision, StoredEvent};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use store_eventstoredb::ClusterStore;
use tests::contract::{batches, chatter, in_time};
use tests::standin::{Failure, StandIn};
use tokio::task::yield_now;

/// Events of one call, written in a few batches.
async fn write(store: &ClusterStore, name: &str, events: usize) {
    let history = batches(&call(name), chatter(events)).await;
    let mut expected = domain::Head::NONE;
    for part in history.chunks(300) {
        let events = part.iter().flat_map(domain::Batch::events).cloned();
        let batch = domain::Batch::new(expected, events.collect()).expect("one call's events");
        expected = batch.head();
        store.append(batch).await.expect("kept");
    }
}

async fn written(events: usize) -> (StandIn, Arc<ClusterStore>) {
    let cluster = nodes(3);
    let store = open(&cluster).await;
    write(&store, "long", events).await;
    (cluster, store)
}

fn follower(store: &Arc<ClusterStore>, page: usize) -> Follower {
    let store: Arc<dyn EventStore> = store.clone();
    Follower::new(store, Position::START, page)
}

/// The revisions of a call with that many events.
fn revisions(events: usize) -> Vec<u64> {
    (1..=events as u64).collect()
}

fn take(seen: &mut Vec<u64>, events: &[StoredEvent]) {
    seen.extend(events.iter().map(|event| event.recorded.revision.0));
}

/// The revisions of the events up to the end.
async fn rest(follower: &mut Follower) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Followed::Events(events) = in_time(follower.next()).await.expect("readable") {
        take(&mut seen, &events);
    }
    seen
}

#[tokio::test]
async fn many_events_are_read_in_one_stream() {
    let (cluster, store) = written(5200).await;
    for page in [1000, 4096] {
        let before = cluster.seen().reads;
        assert_eq!(rest(&mut follower(&store, page)).await, revisions(5200));
        // A page, all the rest, and a page that shows that this was all.
        assert_eq!(cluster.seen().reads - before, 3);
    }
}

#[tokio::test]
async fn pages_are_no_longer_than_the_follower_wants_them() {
    let (_cluster, store) = written(900).await;
    for page in [1, 7, 256] {
        let mut follower = follower(&store, page);
        let mut seen = Vec::new();
        while let Followed::Events(events) = follower.next().await.expect("readable") {
            assert!(events.len() <= page);
            take(&mut seen, &events);
        }
        assert_eq!(seen, revisions(900));
    }
}

#[tokio::test]
async fn few_events_are_read_in_pages() {
    let (cluster, store) = written(400).await;
    let before = cluster.seen().reads;
    assert_eq!(rest(&mut follower(&store, 1000)).await, revisions(400));
    assert_eq!(cluster.seen().reads - before, 2);
}

/// Polls so often; `None` if there is no outcome by then.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let now = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(outcome) = now {
            return Some(outcome);
        }
        yield_now().await;
    }
    None
}

/// As a `select!` does whose other branch is ready. Each fourth time it waits, so that it comes to an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_future_is_dropped_at_any_poll_loses_no_event() {
    let (_cluster, store) = written(3000).await;
    for page in [40, 600] {
        let mut follower = follower(&store, page);
        let mut seen = Vec::new();
        for turn in 1.. {
            let polls = if turn % 4 == 0 { usize::MAX } else { turn % 7 };
            match polled(polls, follower.next()).await {
                Some(Ok(Followed::Events(events))) => take(&mut seen, &events),
                Some(Ok(Followed::CaughtUp(_))) => break,
                Some(outcome) => panic!("{outcome:?}"),
                None => {}
            }
        }
        assert_eq!(seen, revisions(3000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_in_the_middle_of_a_long_read_costs_no_event() {
    let (cluster, store) = written(12_000).await;
    let mut follower = follower(&store, 100);
    let mut seen = Vec::new();
    for turn in 0..6 {
        while seen.len() < (turn + 1) * 1000 {
            match follower.next().await.expect("readable") {
                Followed::Events(events) => take(&mut seen, &events),
                other => panic!("{other:?}"),
            }
        }
        if turn % 2 == 0 {
            let leader = cluster.leader().expect("two of three are alive");
            cluster.kill(leader);
            cluster.revive(leader);
        } else {
            cluster.break_connections();
        }
    }
    seen.extend(rest(&mut follower).await);
    assert_eq!(seen, revisions(12_000));
}

/// The long read cannot begin; pages are read all the same.
#[tokio::test]
async fn a_long_read_that_is_refused_costs_no_event() {
    let (cluster, store) = written(3000).await;
    let mut follower = follower(&store, 1000);
    let mut seen = Vec::new();
    for how in [
        Failure::Unavailable,
        Failure::NotLeader(1),
        Failure::TimedOut,
    ] {
        cluster.faults().refuse_reads(2, how);
        match follower.next().await.expect("readable") {
            Followed::Events(events) => take(&mut seen, &events),
            other => panic!("{other:?}"),
        }
    }
    seen.extend(rest(&mut follower).await);
    assert_eq!(seen, revisions(3000));
}

/// What several readers have not taken fills their connection, and not that of the commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_in_the_middle_hold_up_no_command() {
    let (_cluster, store) = written(20_000).await;
    let mut stopped = Vec::new();
    for _ in 0..6 {
        let mut follower = follower(&store, 1000);
        follower.next().await.expect("readable");
        follower.next().await.expect("readable");
        stopped.push(follower);
    }
    let others = async {
        write(&store, "meanwhile", 900).await;
        let events = store.read_call(&call("meanwhile"), Revision(0)).await;
        events.expect("readable").len()
    };
    assert_eq!(in_time(others).await, 900);
    for mut follower in stopped {
        let left = rest(&mut follower).await.len();
        assert!(left >= 18_000, "{left}");
    }
}

/// What a follower hands out, to its end: revisions and the streams of damaged events.
async fn handed_out(mut follower: Follower) -> (Vec<u64>, Vec<(String, u64)>) {
    let (mut seen, mut damaged) = (Vec::new(), Vec::new());
    loop {
        match in_time(follower.next()).await.expect("readable") {
            Followed::Events(events) => take(&mut seen, &events),
            Followed::Damaged(event) => damaged.push((event.stream, event.number)),
            Followed::CaughtUp(_) => return (seen, damaged),
        }
    }
}

#[tokio::test]
async fn a_damaged_event_is_handed_out_between_the_events_read_ahead() {
    let (cluster, store) = written(3000).await;
    for number in [1500, 2100] {
        let log = cluster.log();
        assert!(log.alter("call-long", number, |event| event.metadata = "{}".into()));
    }
    let (seen, damaged) = handed_out(follower(&store, 1000)).await;
    let whole = (1..=3000).filter(|revision| ![1501, 2101].contains(revision));
    assert_eq!(seen, whole.collect::<Vec<_>>());
    let stream = "call-long".to_owned();
    assert_eq!(damaged, [(stream.clone(), 1500), (stream, 2100)]);
}

/// The metadata that hides them stands between the events of other calls.
#[tokio::test]
async fn a_truncated_call_is_noticed_while_reading_ahead() {
    let (cluster, store) = written(900).await;
    cluster.log().truncate("call-long", 10);
    write(&store, "other", 1200).await;
    for page in [100, 1000] {
        let (seen, damaged) = handed_out(follower(&store, page)).await;
        assert_eq!(seen, [revisions(900), revisions(1200)].concat());
        assert_eq!(damaged, [("call-long".to_owned(), 0)]);
    }
}
