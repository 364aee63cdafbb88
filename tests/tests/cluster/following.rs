//! Following all calls: gap-free whatever happens on the way, and equal to following the embedded store.

use super::{call, keep, nodes, open};
use domain::{EventStore, Followed, Follower, Position, Revision, StoreError, StoredEvent};
use projections::{ActiveCalls, Checkpointed, HandleTimes, Monitoring, Projection, WrapUpQueue};
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store_eventstoredb::ClusterStore;
use store_sled::SledStore;
use tests::contract::{a_whole_call, batches, chatter, in_time};
use tests::standin::{Expected, Failure, Proposed, StandIn};

/// So many calls, each of them written side by side with the others.
async fn write(store: &Arc<ClusterStore>, name: &str, calls: usize, turns: usize) {
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..calls {
        let store = Arc::clone(store);
        let name = format!("{name}-{number}");
        writers.spawn(async move {
            keep(&*store, &name, chatter(turns)).await;
        });
    }
    writers.join_all().await;
}

/// Reads on until there are so many, going on from its own place after every failure.
async fn follow(store: Arc<ClusterStore>, page: usize, events: usize) -> Vec<StoredEvent> {
    let store: Arc<dyn EventStore> = store;
    let mut follower = Follower::new(Arc::clone(&store), Position::START, page);
    let mut seen = Vec::new();
    while seen.len() < events {
        match follower.next().await {
            Ok(Followed::Events(events)) => seen.extend(events),
            Ok(Followed::Damaged(event)) => panic!("{event}"),
            Ok(Followed::CaughtUp(place)) => {
                assert_eq!(
                    seen.last()
                        .map_or(Position::START, |last: &StoredEvent| last.position),
                    place
                );
            }
            Err(StoreError::Unavailable(_)) => {
                follower = Follower::new(Arc::clone(&store), follower.position(), page);
            }
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// What the log holds of calls, by number and stream.
fn kept(cluster: &StandIn) -> Vec<(String, u64)> {
    let events = cluster.log().events().into_iter();
    let ours = events.filter(|event| event.stream.starts_with("call-"));
    ours.map(|event| (event.stream, event.revision)).collect()
}

fn read(events: &[StoredEvent]) -> Vec<(String, u64)> {
    let place = |event: &StoredEvent| {
        let recorded = &event.recorded;
        (
            format!("call-{}", recorded.cause.call),
            recorded.revision.0 - 1,
        )
    };
    events.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_or_told_twice_while_nodes_die_and_answers_are_lost() {
    let cluster = Arc::new(nodes(3));
    let (writer, reader) = (open(&cluster).await, open(&cluster).await);
    let (calls, turns) = (8, 40);
    let followers: Vec<_> = [1, 7, 500]
        .map(|page| tokio::spawn(follow(Arc::clone(&reader), page, calls * turns)))
        .into();
    let trouble = {
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || {
            for turn in 0..6 {
                std::thread::sleep(Duration::from_millis(80));
                cluster.faults().lose_answers(3, Failure::Break);
                cluster.faults().refuse_reads(2, Failure::Unavailable);
                if let Some(leader) = cluster.leader().filter(|_| turn % 2 == 0) {
                    cluster.kill(leader);
                    std::thread::sleep(Duration::from_millis(50));
                    cluster.revive(leader);
                }
            }
        })
    };
    write(&writer, "c", calls, turns).await;
    trouble.await.expect("it ends");
    let there = kept(&cluster);
    assert_eq!(there.len(), calls * turns);
    for follower in followers {
        let seen = in_time(follower).await.expect("it ends");
        assert_eq!(read(&seen), there);
    }
}

/// A reader that takes its time misses nothing and holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_reader_is_waited_for_by_nobody() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let mut slow = Follower::new(
        Arc::clone(&store) as Arc<dyn EventStore>,
        Position::START,
        2,
    );
    let nothing = Followed::CaughtUp(Position::START);
    assert_eq!(slow.next().await, Ok(nothing));
    write(&store, "c", 4, 50).await;
    let quick = in_time(follow(Arc::clone(&store), 1000, 200)).await;
    let mut seen = Vec::new();
    while let Followed::Events(events) = slow.next().await.expect("readable") {
        assert!(events.len() <= 2);
        seen.extend(events);
    }
    assert_eq!(seen, quick);
}

/// A client of another process has no part in what wakes ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_another_process_writes_wakes_who_waits() {
    let cluster = nodes(3);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let mut last = Position::START;
    for turn in batches(&call("c"), chatter(5)).await {
        let waiting = {
            let one = Arc::clone(&one);
            tokio::spawn(async move { one.wait_past(last).await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "nothing was written");
        let stored = other.append(turn).await.expect("kept");
        let woken = in_time(waiting).await.expect("it ends").expect("woken");
        assert!(woken > last);
        last = stored.last().expect("an event").position;
    }
}

/// Writes past the protocol: events of calls, each followed by one of another stream.
fn burst(cluster: &StandIn, events: usize) {
    for number in 0..events {
        for stream in [format!("call-burst-{}", number % 7), "orders-1".to_owned()] {
            let event = Proposed::json("something", &json!({ "number": number }));
            let written = cluster.log().append(&stream, Expected::Any, vec![event]);
            written.expect("nothing is expected of the stream");
        }
    }
}

/// Where the last event of a call stands in the log.
fn last_of_calls(cluster: &StandIn) -> Position {
    let events = cluster.log().events();
    let last = events
        .iter()
        .rfind(|event| event.stream.starts_with("call-"));
    Position(last.expect("there is one").position)
}

#[tokio::test]
async fn the_last_position_costs_one_read_however_much_was_written() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    for events in [1, 700, 2500] {
        burst(&cluster, events);
        let before = cluster.seen().reads;
        let last = store.info().await.expect("readable").last;
        assert_eq!(cluster.seen().reads - before, 1);
        assert_eq!(last, last_of_calls(&cluster));
    }
}

/// After each read there is more to read than one read takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_position_is_known_while_others_write_faster_than_one_reads() {
    let cluster = Arc::new(nodes(1));
    let store = open(&cluster).await;
    burst(&cluster, 1);
    store.info().await.expect("readable");
    cluster.set_latency(Duration::from_millis(20));
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (cluster, over) = (Arc::clone(&cluster), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) {
                let reads = cluster.seen().reads;
                if reads > answered {
                    burst(&cluster, 600);
                    answered = reads;
                }
                std::thread::yield_now();
            }
        })
    };
    burst(&cluster, 600);
    let before = last_of_calls(&cluster);
    let told = in_time(store.info()).await.expect("readable").last;
    over.store(true, Ordering::Relaxed);
    writer.join().expect("it ends");
    assert!(told >= before);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_at_most_three_reads_after_any_burst() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    let mut last = Position::START;
    for events in [1, 10, 3000] {
        burst(&cluster, events);
        let before = cluster.seen().reads;
        last = in_time(store.wait_past(last)).await.expect("woken");
        assert!(cluster.seen().reads - before <= 3);
        assert_eq!(last, last_of_calls(&cluster));
    }
}

/// After a burst, the next single event is heard of as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_after_a_burst_of_another_process_wakes_who_waits() {
    let cluster = nodes(1);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let reading = tokio::spawn(follow(Arc::clone(&one), 1000, 1600));
    write(&other, "burst", 8, 200).await;
    let seen = in_time(reading).await.expect("it ends");
    let mut last = seen.last().expect("it has some").position;
    for turn in batches(&call("c"), chatter(3)).await {
        let stored = other.append(turn).await.expect("kept");
        let woken = tokio::time::timeout(Duration::from_secs(20), one.wait_past(last)).await;
        assert!(woken.expect("it is heard of").expect("woken") > last);
        last = stored[0].position;
    }
}

/// The end of all is another one then, and earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_was_brought_back_from_a_backup_is_followed_anew() {
    let cluster = nodes(1);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    keep(&*other, "c", chatter(4)).await;
    let before = one.info().await.expect("told").last;
    let events = cluster.log().events().len();
    keep(&*other, "d", chatter(60)).await;
    assert!(one.info().await.expect("told").last > before);
    cluster.log().roll_back(events);
    cluster.break_connections();
    assert_eq!(one.info().await.expect("told").last, before);
    let mut waiting = pin!(one.wait_past(before));
    tokio::select! {
        biased;
        woken = waiting.as_mut() => panic!("woken by what was there before: {woken:?}"),
        () = std::future::ready(()) => {}
    }
    keep(&*open(&cluster).await, "e", chatter(1)).await;
    assert!(in_time(waiting).await.expect("woken") > before);
}

/// By the time somebody looks, it has grown past its former end, and where that was stands something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_has_grown_on_since_its_backup_is_followed_anew() {
    let cluster = nodes(1);
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let events = cluster.log().events().len();
    keep(&*other, "a-call-of-some-length", chatter(9)).await;
    let before = one.info().await.expect("told").last;
    cluster.log().roll_back(events);
    cluster.break_connections();
    let fresh = open(&cluster).await;
    keep(&*fresh, "another", chatter(60)).await;
    let last = fresh.info().await.expect("told").last;
    assert!(last > before);
    assert_eq!(one.info().await, fresh.info().await);
}

/// A read model is a function of the calls' histories: where they are kept makes no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_models_over_the_cluster_are_those_over_the_embedded_store() {
    let cluster = nodes(3);
    let store = open(&cluster).await;
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = SledStore::open(&folder.path().join("store")).expect("a store");
    for number in 0..12 {
        let name = format!("c{number}");
        let commands = if number % 3 == 0 {
            a_whole_call()
        } else {
            chatter(3 + number)
        };
        for batch in keep(&*store, &name, commands).await {
            embedded.append(batch).await.expect("kept");
        }
    }
    assert_same::<ActiveCalls>(&*store, &embedded).await;
    assert_same::<WrapUpQueue>(&*store, &embedded).await;
    assert_same::<HandleTimes>(&*store, &embedded).await;
    assert_same::<Monitoring>(&*store, &embedded).await;
    for number in 0..12 {
        let call = call(&format!("c{number}"));
        let recorded = async |store: &dyn EventStore| {
            let events = store.read_call(&call, Revision(0)).await.expect("readable");
            events
                .into_iter()
                .map(|event| event.recorded)
                .collect::<Vec<_>>()
        };
        assert_eq!(recorded(&*store).await, recorded(&embedded).await);
    }
}

async fn assert_same<P: Projection>(one: &dyn EventStore, other: &dyn EventStore) {
    let (one, other) = (projected::<P>(one).await, projected::<P>(other).await);
    assert_eq!(one.state(), other.state(), "{}", P::NAME);
}

/// The read model as the store's events make it, a few at a time.
async fn projected<P: Projection>(store: &dyn EventStore) -> Checkpointed<P> {
    let mut model = Checkpointed::<P>::new(store.id());
    loop {
        let page = store.read_all(model.position(), 7).await.expect("readable");
        if page.is_empty() {
            return model;
        }
        model.fold(&page);
    }
}
