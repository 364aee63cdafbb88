//! Reading past damage, in every store: random histories, random damage.

use domain::{EventStore, MemoryStore, Position, StoreError, StoredEvent};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store_eventstoredb::ClusterStore;
use store_sled::SledStore;
use tempfile::TempDir;
use tests::contract::{a_whole_call, batches, chatter};
use tests::past_damage::{CALLS, History, Met, call, everything, history, met, reads_past_damage};
use tests::standin::{Expected, Proposed, StandIn};

type Store = Arc<dyn EventStore>;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

async fn filled(store: Store, history: &History) -> Store {
    for batch in history.batches().await {
        store.append(batch).await.expect("kept");
    }
    store
}

fn few() -> ProptestConfig {
    ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn a_memory_store_reports_exactly_the_damaged_events(
        history in history(),
        damaged in proptest::collection::hash_set(0..60_u64, 0..20),
    ) {
        block_on(async {
            let store = Arc::new(MemoryStore::new());
            filled(store.clone(), &history).await;
            let expected = everything(&*store).await.into_iter().map(|event| {
                if damaged.contains(&event.position.0) {
                    Met::Damaged(event.position, Some(event.recorded.cause.call.clone()))
                } else {
                    Met::from(event)
                }
            });
            let expected: Vec<_> = expected.collect();
            for position in &damaged {
                store.damage(Position(*position), "altered");
            }
            let reader: Store = store.clone();
            reads_past_damage(&reader, &expected).await;
            for position in &damaged {
                store.mend(Position(*position));
            }
            assert_eq!(everything(&*store).await.len(), expected.len());
        });
    }

    #[test]
    fn a_cluster_reports_exactly_the_damaged_events(
        history in history(),
        harms in proptest::collection::vec(harm(), CALLS),
    ) {
        block_on(harmed(&history, &harms));
    }

    #[test]
    fn an_embedded_store_returns_whole_events_and_names_the_calls_of_the_others(
        history in history(),
        flips in proptest::collection::vec((any::<Index>(), 0..8_u8), 0..6),
    ) {
        block_on(flipped(&history, &flips));
    }
}

// A cluster.

/// What others do to the stream of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    None,
    Alter(u64),
    Foreign,
    Tombstone,
    Truncate,
    SoftDelete,
    MaxCount,
    /// Truncated, and then not any more.
    Undone,
    /// Metadata that hides nothing.
    Rights,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        Just(Harm::None),
        (0..4_u64).prop_map(Harm::Alter),
        Just(Harm::Foreign),
        Just(Harm::Tombstone),
        Just(Harm::Truncate),
        Just(Harm::SoftDelete),
        Just(Harm::MaxCount),
        Just(Harm::Undone),
        Just(Harm::Rights),
    ]
}

async fn opened(cluster: &StandIn) -> Store {
    Arc::new(ClusterStore::open(&cluster.url()).await.expect("a store"))
}

fn limited(cluster: &StandIn, stream: &str, limits: &serde_json::Value) -> u64 {
    let metadata = Proposed::json("$metadata", limits);
    let log = cluster.log();
    let written = log.append(&format!("$${stream}"), Expected::Any, vec![metadata]);
    written.expect("written").position.expect("it has one")
}

impl Harm {
    /// Does it to a stream of so many events, and returns where the damage is: in an event that is there, or in one
    /// that this writes.
    fn harm(self, cluster: &StandIn, stream: &str, events: u64) -> Option<u64> {
        let log = cluster.log();
        match self {
            Harm::None => None,
            Harm::Alter(number) => {
                let number = number % events;
                let altered = |event: &mut Proposed| event.metadata = "{}".into();
                assert!(log.alter(stream, number, altered));
                let number = usize::try_from(number).expect("few");
                Some(log.stream(stream)[number].position)
            }
            Harm::Foreign => {
                let event = Proposed::json("note-added", &json!({ "note": "hello" }));
                log.append(stream, Expected::Any, vec![event])
                    .expect("written")
                    .position
            }
            Harm::Tombstone => {
                log.tombstone(stream, Expected::Any)
                    .expect("written")
                    .position
            }
            Harm::SoftDelete => log.delete(stream, Expected::Any).expect("written").position,
            Harm::Truncate => Some(limited(cluster, stream, &json!({ "$tb": 1 }))),
            Harm::MaxCount => {
                let at = limited(cluster, stream, &json!({ "$maxCount": 1 }));
                (events > 1).then_some(at)
            }
            Harm::Undone => {
                limited(cluster, stream, &json!({ "$tb": 1 }));
                limited(cluster, stream, &json!({}));
                None
            }
            Harm::Rights => {
                limited(cluster, stream, &json!({ "$acl": { "$r": "kaigi" } }));
                None
            }
        }
    }
}

/// Harms each call once its last event is written, while the others go on.
async fn harmed(history: &History, harms: &[Harm]) {
    let cluster = StandIn::start();
    let store = opened(&cluster).await;
    let batches = history.batches().await;
    let mut damaged = HashMap::new();
    let mut whole: Vec<StoredEvent> = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        whole.extend(store.append(batch.clone()).await.expect("kept"));
        let more = |other: &domain::Batch| other.call() == batch.call();
        if batches[number + 1..].iter().any(more) {
            continue;
        }
        let harm = (0..CALLS).find(|number| call(*number) == *batch.call());
        let harm = harms[harm.expect("one of them")];
        let stream = format!("call-{}", batch.call());
        let position = harm.harm(&cluster, &stream, batch.head().revision.0);
        damaged.extend(position.map(|position| (Position(position), batch.call().clone())));
    }
    whole.retain(|event| !damaged.contains_key(&event.position));
    let damaged = damaged.into_iter();
    let damaged = damaged.map(|(position, call)| Met::Damaged(position, Some(call)));
    let mut expected: Vec<_> = whole.into_iter().map(Met::from).chain(damaged).collect();
    expected.sort_by_key(Met::position);
    reads_past_damage(&opened(&cluster).await, &expected).await;
}

/// The names and numbers in a report are those by which an operator finds the event in the server's own pages.
#[tokio::test]
async fn a_cluster_says_what_was_done_to_a_stream() {
    for (harm, number, reason) in [
        (
            Harm::Tombstone,
            i64::MAX.cast_unsigned(),
            "deleted for good",
        ),
        (Harm::SoftDelete, 0, "deleted"),
        (Harm::Truncate, 0, "truncated"),
        (Harm::MaxCount, 0, "$maxCount"),
        (Harm::Foreign, 30, "note-added"),
    ] {
        let cluster = StandIn::start();
        let store = opened(&cluster).await;
        for batch in batches(&call(1), chatter(30)).await {
            store.append(batch).await.expect("kept");
        }
        let last = store.info().await.expect("it tells").last;
        let position = harm.harm(&cluster, "call-c1", 30).expect("it harms");
        let Err(StoreError::DamagedEvent(event)) = store.read_all(last, 10).await else {
            panic!("{harm:?} is not reported");
        };
        assert_eq!(
            (event.stream.as_str(), event.number),
            ("call-c1", number),
            "{harm:?}"
        );
        assert_eq!(
            (event.position, &event.call),
            (Position(position), &Some(call(1)))
        );
        assert!(event.reason.contains(reason), "{event}");
        let after = store.read_all(event.position, 10).await;
        assert_eq!(after, Ok(Vec::new()), "a reader can go on after it");
    }
}

/// More metadata that harms nothing than fits into a page, and then a call.
#[tokio::test]
async fn a_page_of_harmless_metadata_is_not_the_end_of_a_cluster() {
    let cluster = StandIn::start();
    for _ in 0..2_500 {
        limited(&cluster, "call-c0", &json!({ "$acl": { "$r": "kaigi" } }));
    }
    let store = opened(&cluster).await;
    let batch = batches(&call(1), chatter(1)).await.remove(0);
    let kept = store.append(batch).await.expect("kept");
    assert_eq!(store.read_all(Position::START, 10).await, Ok(kept));
}

// The embedded store.

fn log(store: &Path) -> PathBuf {
    store.join("log/00000000000000000001.log")
}

/// The bytes before the first frame.
const FILE_HEADER: usize = 48;

/// Flips bits of the log. Nothing is said of which events are damaged then, but for this: what is returned is what was
/// written, at its place, and what is reported has its right call.
async fn flipped(history: &History, flips: &[(Index, u8)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let whole = written(&path, history).await;
    let mut bytes = fs::read(log(&path)).expect("a log");
    for (place, bit) in flips {
        let at = FILE_HEADER + place.index(bytes.len() - FILE_HEADER);
        bytes[at] ^= 1 << bit;
    }
    fs::write(log(&path), bytes).expect("written");
    let store: Store = Arc::new(SledStore::open(&path).expect("it opens"));
    let found = met(&store, Position::START, 1000).await;
    assert_eq!(found.len(), whole.len());
    let mut damaged = 0;
    for (found, event) in found.iter().zip(&whole) {
        let call = &event.recorded.cause.call;
        let reported = Met::Damaged(event.position, Some(call.clone()));
        damaged += usize::from(*found == reported);
        assert!(
            *found == reported || *found == Met::from(event.clone()),
            "{found:?}"
        );
    }
    assert!(!flips.is_empty() || damaged == 0);
    reads_past_damage(&store, &found).await;
    store.close().await.expect("closed");
}

/// The batches that different calls have next to each other are sent side by side, so that they share a commit.
async fn written(path: &Path, history: &History) -> Vec<StoredEvent> {
    let store = SledStore::open(path).expect("a store");
    let mut side_by_side: Vec<domain::Batch> = Vec::new();
    for batch in history.batches().await {
        if side_by_side
            .iter()
            .any(|other| other.call() == batch.call())
        {
            let sent = side_by_side.drain(..).map(|batch| store.append(batch));
            join_all(sent).await;
        }
        side_by_side.push(batch);
    }
    join_all(side_by_side.into_iter().map(|batch| store.append(batch))).await;
    let events = everything(&store).await;
    store.close().await.expect("closed");
    events
}

/// One commit of three calls, and a fourth call after it.
async fn three_calls_in_a_frame(folder: &TempDir) -> (PathBuf, Vec<StoredEvent>) {
    let path = folder.path().join("store");
    let store = SledStore::open(&path).expect("a store");
    // The first append is a commit by itself; the others wait for it together.
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(batches(&call(number), a_whole_call()).await.remove(0));
    }
    join_all(sent.into_iter().map(|batch| store.append(batch))).await;
    let last = batches(&call(4), chatter(1)).await.remove(0);
    store.append(last).await.expect("kept");
    let events = everything(&store).await;
    store.close().await.expect("closed");
    (path, events)
}

/// Every fifth byte of the log, but for the file's header: at most the events of one command are reported.
#[tokio::test]
async fn a_flipped_byte_damages_the_events_of_one_command_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, whole) = three_calls_in_a_frame(&folder).await;
    let bytes = fs::read(log(&path)).expect("a log");
    let mut reported = 0;
    for at in (FILE_HEADER..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(log(&path), &damaged).expect("written");
        let store: Store = Arc::new(SledStore::open(&path).expect("it opens"));
        let found = met(&store, Position::START, 1000).await;
        store.close().await.expect("closed");
        assert_eq!(found.len(), whole.len(), "byte {at}");
        let mut commands = std::collections::HashSet::new();
        for (found, event) in found.iter().zip(&whole) {
            let cause = &event.recorded.cause;
            if *found != Met::from(event.clone()) {
                assert_eq!(
                    *found,
                    Met::Damaged(event.position, Some(cause.call.clone()))
                );
                commands.insert(cause.command);
            }
        }
        assert!(commands.len() <= 1, "byte {at}: {commands:?}");
        reported += commands.len();
    }
    let flips = (bytes.len() - FILE_HEADER) / 5;
    assert!(
        reported * 2 > flips,
        "{reported} of {flips} flips are reported"
    );
}
