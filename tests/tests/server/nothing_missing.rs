//! A read model is the fold of every event, however slow the store is, whenever the follow loop does something else, and
//! through outages and rebuilds. Time is paused: it goes on when everybody waits.

use crate::read_models::Stand;
use domain::{EventStore, Handler, MemoryStore, Position, Prefix, StoredEvent};
use engine::checkpoints;
use projections::{AllFour, Checkpointed};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use server::Settings;
use server::read_models::{Views, WhyRebuilt};
use simulate::{Day, simulate};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;
use tests::service::bare;
use tests::slow_store::SlowStore;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// Long enough for any of these to catch up, in paused time.
const LONG: Duration = Duration::from_hours(10);

pub(crate) fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime starts").block_on(work)
}

async fn all_events(store: &dyn EventStore) -> Vec<StoredEvent> {
    store.read_all(Position::START, usize::MAX).await.unwrap()
}

/// The commands of a made-up day, each batch of them after a pause.
async fn write(store: Arc<dyn EventStore>, day: Day, pauses: Vec<Duration>) {
    let handler = Handler::new(store);
    for (turn, request) in simulate(&day).enumerate() {
        if turn % 5 == 0 && !pauses.is_empty() {
            sleep(pauses[turn / 5 % pauses.len()]).await;
        }
        let id = handler.random_id();
        // The day has commands that a rule refuses.
        let _ = handler.handle(&request, id, handler.now()).await;
    }
}

/// The checkpoint in that folder is what all events of the store make.
async fn assert_is_the_fold(folder: &Path, store: &dyn EventStore) {
    let mut expected = Checkpointed::<AllFour>::new(store.id());
    expected.fold(&all_events(store).await);
    let kept = checkpoints::read::<AllFour>(folder, store.id()).expect("a checkpoint was kept");
    assert_eq!(kept.events(), expected.events(), "events are missing");
    assert!(kept == expected, "the same events made something else");
}

async fn caught_up(views: &Views, store: &dyn EventStore) {
    let events = all_events(store).await;
    let last = events.last().map_or(Position::START, |last| last.position);
    views.wait_for(last, LONG).await.expect("it catches up");
}

/// What a proptest case varies: the time each answer takes, the writers' pauses, and when a rebuild is asked for.
#[derive(Debug, Clone)]
struct Timing {
    answers: Vec<Duration>,
    pauses: Vec<Duration>,
    rebuilds: Vec<Duration>,
    seed: u64,
}

fn timing() -> impl Strategy<Value = Timing> {
    // Around the round of the follow loop, which comes every 30 s, and far from it.
    let millis = prop_oneof![
        3 => Just(0_u64),
        3 => 1_u64..300,
        2 => 900_u64..1_100,
        2 => 29_000_u64..31_000,
        1 => 31_000_u64..70_000,
    ];
    let durations =
        |some| prop::collection::vec(millis.clone().prop_map(Duration::from_millis), some);
    (
        durations(1..40),
        durations(1..6),
        durations(0..3),
        any::<u64>(),
    )
        .prop_map(|(answers, pauses, rebuilds, seed)| Timing {
            answers,
            pauses,
            rebuilds,
            seed,
        })
}

async fn follows_everything(timing: Timing) {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let folder = tempdir().unwrap();
    let slow = Arc::new(SlowStore::new(Arc::clone(&store), timing.answers));
    let kept = Some(folder.path().to_owned());
    let views = Views::start(slow, kept, &Settings::default())
        .await
        .unwrap();
    let day = Day {
        calls: 12,
        seed: timing.seed,
    };
    let rebuilding = async {
        for pause in timing.rebuilds {
            sleep(pause).await;
            views.rebuild(WhyRebuilt::Asked);
        }
    };
    tokio::join!(write(Arc::clone(&store), day, timing.pauses), rebuilding);
    caught_up(&views, &*store).await;
    views.close().await;
    assert_is_the_fold(folder.path(), &*store).await;
}

#[test]
fn a_read_model_is_the_fold_of_every_event_whatever_the_store_takes_its_time_for() {
    let mut runner = TestRunner::new(Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&timing(), |timing| {
            paused(follows_everything(timing));
            Ok(())
        })
        .unwrap();
}

/// Two services and two writers for a minute, 200 ms an answer.
async fn a_minute_of_load(seed: u64, outages: &[std::ops::Range<u64>]) {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let mut services = Vec::new();
    for folder in &folders {
        let delays = vec![Duration::from_millis(200)];
        let slow = SlowStore::new(Arc::clone(&store), delays).away(outages.iter().cloned());
        services.push(bare(Arc::new(slow), folder.path(), Settings::default()).await);
    }
    let pauses = vec![Duration::from_millis(400), Duration::from_millis(900)];
    let writer = |seed| write(Arc::clone(&store), Day { calls: 60, seed }, pauses.clone());
    let minute = timeout(Duration::from_mins(1), async {
        tokio::join!(writer(2 * seed), writer(2 * seed + 1));
    });
    // The writers have more to write than a minute takes.
    let _ = minute.await;
    let all = all_events(&*store).await;
    let expected = all.iter().fold(Prefix::NONE, Prefix::plus);
    for (service, folder) in services.iter().zip(&folders) {
        caught_up(&service.views, &*store).await;
        while service.feed.state().prefix != expected {
            sleep(Duration::from_millis(100)).await;
        }
        let rebuilt: u64 = service.views.rebuilt().iter().map(|(_, times)| times).sum();
        assert_eq!(rebuilt, 0, "nothing had to be built again");
        service.close().await;
        assert_is_the_fold(folder.path(), &*store).await;
    }
}

#[test]
fn two_services_have_every_event_after_a_minute_of_load_at_200_ms_an_answer() {
    for seed in 0..10 {
        paused(a_minute_of_load(seed, &[]));
    }
}

#[test]
fn two_services_have_every_event_although_leaders_die_meanwhile() {
    for seed in 0..10 {
        let first = 3 + seed % 7;
        let outages = [first..first + 2, 20..27, 29..32, 44..45, 55..63];
        paused(a_minute_of_load(seed, &outages));
    }
}

/// The verification of the old model, every 30 s, must not begin the rebuild again and again.
#[test]
fn a_rebuild_after_a_restore_ends_although_it_takes_longer_than_a_round() {
    paused(async {
        let (before, copy) = (MemoryStore::new(), MemoryStore::new());
        let (before, copy) = (Arc::new(before), Arc::new(copy));
        write(before.clone(), Day { calls: 6, seed: 1 }, Vec::new()).await;
        write(
            copy.clone(),
            Day {
                calls: 450,
                seed: 2,
            },
            Vec::new(),
        )
        .await;
        let expected = all_events(&*copy).await;
        assert!(expected.len() > 4 * 1024, "a rebuild takes several pages");
        let expected = expected.iter().fold(Prefix::NONE, Prefix::plus);
        let stand = Stand::of(Arc::into_inner(before).expect("the writer is done"));
        let delays = vec![Duration::from_secs(20)];
        let slow = Arc::new(SlowStore::new(stand.clone(), delays));
        let views = Views::start(slow, None, &Settings::default())
            .await
            .unwrap();
        caught_up(&views, &*stand).await;
        // The reader waits for more by then, so it meets the other store at once.
        sleep(Duration::from_mins(2)).await;
        stand.restore(Arc::into_inner(copy).expect("the writer is done"));
        let rebuilt = async {
            while views.events() != expected {
                sleep(Duration::from_secs(10)).await;
            }
        };
        timeout(LONG, rebuilt).await.expect("the rebuild ends");
        views.close().await;
    });
}
