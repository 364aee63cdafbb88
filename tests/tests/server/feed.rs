//! The feed: every event once and in order, whatever is cut off on the way, and the proof of it.

use crate::narrow::{a_narrow_client, everything, read_until};
use async_trait::async_trait;
use domain::envelope::Hash;
use domain::json::parse_line;
use domain::{
    AppendError, Batch, CallId, Command, EventStore, Handler, MemoryStore, Position, Revision,
    StoreError, StoreId, StoreInfo, StoredEvent,
};
use engine::keys::{Grant, Key, KeyFile, Keys};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use server::Parts;
use server::access::Guards;
use server::feed::{Feed, INTERVAL, State, Subscribers};
use server::log::Log;
use server::{Service, Settings};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::{TempDir, tempdir};
use tests::contract::{a_whole_call, batches, chatter, in_time};
use tests::scenario::{ANA, BEN, connect_call, start_consult};
use tests::service::{Running, Setup};
use tests::sse::{Events, Sent};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// So many events are answered at most.
const AT_MOST: usize = 7;

/// A store whose positions have gaps and which, like a cluster, reads on only from where it has an event, and answers a
/// few events at once, whatever it is asked for. It can fail, and it can be restored from a backup while it is open.
struct Cluster {
    id: StoreId,
    held: Mutex<(Arc<MemoryStore>, u64)>,
    /// How many reads fail from now on, and how.
    failing: Mutex<(usize, Option<StoreError>)>,
    /// The position from which the next read is refused.
    refusing: Mutex<Option<Position>>,
    reads: AtomicUsize,
    /// The first position that was read on from.
    read_from: AtomicU64,
    restored: watch::Sender<usize>,
    /// Who reads has no answer as long as this is so.
    is_silent: watch::Sender<bool>,
    /// Others write before every read.
    is_busy: AtomicBool,
}

impl Cluster {
    fn new() -> Arc<Self> {
        let store = Arc::new(MemoryStore::new());
        Arc::new(Self {
            id: store.id(),
            held: Mutex::new((store, 10)),
            failing: Mutex::default(),
            refusing: Mutex::default(),
            reads: AtomicUsize::new(0),
            read_from: AtomicU64::new(u64::MAX),
            restored: watch::Sender::new(0),
            is_silent: watch::Sender::new(false),
            is_busy: AtomicBool::new(false),
        })
    }

    /// Another store in this one's place, with its identity.
    fn restore(&self, store: Arc<MemoryStore>, gap: u64) {
        *self.held.lock().unwrap() = (store, gap);
        self.restored.send_modify(|times| *times += 1);
    }

    fn fail(&self, times: usize, error: StoreError) {
        *self.failing.lock().unwrap() = (times, Some(error));
    }

    fn held(&self) -> (Arc<MemoryStore>, u64) {
        self.held.lock().unwrap().clone()
    }

    fn failure(&self) -> Result<(), StoreError> {
        let mut failing = self.failing.lock().unwrap();
        let (times, error) = &mut *failing;
        match error {
            Some(error) if *times > 0 => {
                *times -= 1;
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }

    /// Everything in order.
    async fn all(&self) -> Vec<StoredEvent> {
        let (store, gap) = self.held();
        let events = store.read_all(Position::START, usize::MAX).await.unwrap();
        spread(events, gap)
    }

    async fn keep(&self, call: &str, commands: impl IntoIterator<Item = Command>) {
        let call: CallId = call.parse().unwrap();
        for batch in batches(&call, commands).await {
            self.append(batch).await.unwrap();
        }
    }

    /// So many events in calls of at most 100.
    async fn fill(&self, name: &str, events: usize) {
        for number in 0..events.div_ceil(100) {
            let commands = chatter((events - number * 100).min(100));
            self.keep(&format!("{name}-{number}"), commands).await;
        }
    }
}

fn spread(events: Vec<StoredEvent>, gap: u64) -> Vec<StoredEvent> {
    let spread = |mut event: StoredEvent| {
        event.position.0 *= gap;
        event
    };
    events.into_iter().map(spread).collect()
}

#[async_trait]
impl EventStore for Cluster {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let (store, gap) = self.held();
        Ok(spread(store.append(batch).await?, gap))
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (store, gap) = self.held();
        Ok(spread(store.read_call(call, after).await?, gap))
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.failure()?;
        let mut silences = self.is_silent.subscribe();
        let _ = silences.wait_for(|is_silent| !is_silent).await;
        let refused = self.refusing.lock().unwrap().take_if(|from| *from == after);
        if refused.is_some() {
            return Err(StoreError::Refused("not this once".to_owned()));
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.read_from.fetch_min(after.0, Ordering::SeqCst);
        if self.is_busy.load(Ordering::SeqCst) {
            let reads = self.reads.load(Ordering::SeqCst);
            self.keep(&format!("busy-{reads}"), chatter(1)).await;
        }
        let (store, gap) = self.held();
        let last = store.info().await?.last.0;
        if !after.0.is_multiple_of(gap) || after.0 / gap > last {
            return Err(StoreError::Refused(format!("{after} is no place here")));
        }
        let max = max.min(AT_MOST);
        let events = store.read_all(Position(after.0 / gap), max).await?;
        Ok(spread(events, gap))
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        let (store, gap) = self.held();
        let mut restored = self.restored.subscribe();
        tokio::select! {
            last = store.wait_past(Position(position.0 / gap)) => Ok(Position(last?.0 * gap)),
            _ = restored.changed() => Err(StoreError::Unavailable("the nodes went away".to_owned())),
        }
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        let (store, gap) = self.held();
        let mut info = store.info().await?;
        info.last.0 *= gap;
        Ok(info)
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Count, position and rolling hash as somebody computes them who knows nothing but the hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Proof {
    count: u64,
    position: u64,
    rolling_hash: [u8; 32],
}

/// The proof of each prefix, from that of no events on.
fn proofs(events: &[StoredEvent]) -> Vec<Proof> {
    let none = Proof {
        count: 0,
        position: 0,
        rolling_hash: [0; 32],
    };
    let mut proofs = vec![none];
    for event in events {
        let before = proofs[proofs.len() - 1];
        let both = [before.rolling_hash, event.recorded.hash.0].concat();
        proofs.push(Proof {
            count: before.count + 1,
            position: event.position.0,
            rolling_hash: Sha256::digest(both).into(),
        });
    }
    proofs
}

fn said(value: &Value) -> Proof {
    let hash = value["rolling_hash"].as_str().unwrap();
    Proof {
        count: value["count"].as_u64().unwrap(),
        position: value["position"].as_u64().unwrap(),
        rolling_hash: Hash::from_hex(hash).unwrap().0,
    }
}

async fn service(store: &Arc<Cluster>, settings: Settings) -> Running {
    service_in(store, settings, None).await
}

async fn service_in(store: &Arc<Cluster>, settings: Settings, folder: Option<&Path>) -> Running {
    let setup = Setup {
        store: Arc::clone(store) as Arc<dyn EventStore>,
        settings,
        folder: folder.map(Path::to_owned),
        ..Setup::default()
    };
    Running::with(setup).await
}

async fn ask(service: &Running, path: &str) -> (StatusCode, Value) {
    let answer = service.get(&service.keys.auditor, path).send();
    let answer = in_time(answer).await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

/// An answer that must be one.
async fn told(service: &Running, path: &str) -> Value {
    let (status, answer) = ask(service, path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn open(service: &Running, query: &str, after: Option<&str>) -> reqwest::Response {
    let path = format!("/v1/events?{query}");
    let mut request = service
        .get(&service.keys.auditor, &path)
        .header("accept", "text/event-stream");
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    in_time(request.send()).await.unwrap()
}

async fn subscribe(service: &Running, query: &str, after: Option<&str>) -> Events {
    Events::of(open(service, query, after).await)
}

async fn next(events: &mut Events) -> Sent {
    in_time(events.next()).await.expect("the stream goes on")
}

fn is_event(sent: &Sent) -> bool {
    !["begin", "progress", "cut_off", "stopping"].contains(&sent.event.as_str())
}

/// The next so many events, without what is said of the stream.
async fn next_events(events: &mut Events, number: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    while seen.len() < number {
        let sent = next(events).await;
        if is_event(&sent) {
            seen.push(sent.json());
        }
    }
    seen
}

/// A generator of numbers, so that a failure can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }
}

/// Whether an event as JSON fits a query, found without knowing what an event is.
fn fits(event: &Value, query: &str) -> bool {
    let mut conditions = query.split('&').filter_map(|pair| pair.split_once('='));
    conditions.all(|(name, value)| match name {
        "call" => event["call"] == value,
        "type" => event["type"] == value,
        "agent" => {
            let agent = Value::from(format!("agent:{value}"));
            let data = event["data"].as_object().unwrap();
            event["actor"] == agent || data.values().any(|field| *field == agent)
        }
        other => panic!("{other} is no filter"),
    })
}

fn as_json(event: &StoredEvent) -> Value {
    serde_json::to_value(domain::json::EventJson(event)).unwrap()
}

const QUERIES: [&str; 7] = [
    "",
    "call=c-1",
    "agent=ben",
    "type=party_held",
    "call=c-2&agent=ana",
    "agent=ana&type=wrap_up_owed",
    "call=c-3&type=call_ended",
];

/// Reads the whole feed in pieces of random length, each resumed after the last `id`.
async fn in_pieces(
    service: &Running,
    query: &str,
    chance: &mut Chance,
    all_written: &watch::Receiver<Option<u64>>,
) -> Vec<Value> {
    let (mut seen, mut last) = (Vec::new(), "0".to_owned());
    loop {
        let mut events = subscribe(service, query, Some(&last)).await;
        let begin = next(&mut events).await;
        assert_eq!((begin.event.as_str(), &begin.id), ("begin", &last));
        for _ in 0..=chance.below(40) {
            let sent = next(&mut events).await;
            assert_ne!(sent.event, "cut_off", "{}", sent.data);
            if is_event(&sent) {
                seen.push(sent.json());
            }
            last = sent.id;
            let end = *all_written.borrow();
            if end.is_some_and(|end| last.parse::<u64>().unwrap() >= end) {
                return seen;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_cut_off_and_resumed_all_pieces_together_are_the_stores_order() {
    for seed in 1..=4 {
        let store = Cluster::new();
        store.keep("before", a_whole_call()).await;
        let settings = Settings {
            heartbeat_ms: 5,
            ..Settings::default()
        };
        let service = Arc::new(service(&store, settings).await);
        let (end, all_written) = watch::channel(None);
        let mut readers = tokio::task::JoinSet::new();
        for (number, query) in QUERIES.into_iter().enumerate() {
            let (service, all_written) = (Arc::clone(&service), all_written.clone());
            readers.spawn(async move {
                let mut chance = Chance(seed * 100 + number as u64);
                (
                    query,
                    in_pieces(&service, query, &mut chance, &all_written).await,
                )
            });
        }
        let mut chance = Chance(seed);
        for number in 0..30 {
            let commands = [a_whole_call(), chatter(1 + chance.below(60))];
            store
                .keep(&format!("c-{number}"), commands[chance.below(2)].clone())
                .await;
        }
        let all = store.all().await;
        let proofs = proofs(&all);
        end.send_replace(Some(proofs[all.len()].position));
        for (query, seen) in in_time(readers.join_all()).await {
            let expected = all.iter().zip(&proofs[1..]).map(|(event, proof)| {
                let mut event = as_json(event);
                event["count"] = proof.count.into();
                event["rolling_hash"] = Hash(proof.rolling_hash).to_string().into();
                event
            });
            let expected: Vec<_> = expected.filter(|event| fits(event, query)).collect();
            assert!(!expected.is_empty() || query.contains("c-3"), "{query}");
            assert_eq!(seen, expected, "{query}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn every_prefix_has_its_proof_also_between_and_at_kept_ones_and_after_a_restart() {
    let folder = tempdir().unwrap();
    let store = Cluster::new();
    store.fill("c", 2_600).await;
    let first = service_in(&store, Settings::default(), Some(folder.path())).await;
    told(&first, "/v1/proof").await;
    first.stop().await;
    let service = service_in(&store, Settings::default(), Some(folder.path())).await;
    let proofs = proofs(&store.all().await);
    assert_eq!(said(&told(&service, "/v1/proof").await), proofs[2_600]);
    let about_marks = [
        0, 1, 2, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 2_599, 2_600,
    ];
    for count in about_marks.into_iter().chain((0..=2_600).step_by(97)) {
        let proof = proofs[count];
        let by_count = told(&service, &format!("/v1/proof?count={count}")).await;
        assert_eq!(said(&by_count), proof);
        assert_eq!(by_count["store"], store.id.to_string());
        // Also where no event stands, between this one and the next.
        for position in [proof.position, proof.position + 9] {
            if position <= proofs[2_600].position {
                let by_position = told(&service, &format!("/v1/proof?position={position}")).await;
                assert_eq!(said(&by_position), proof, "{position}");
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn there_is_no_proof_of_what_is_not_there() {
    let store = Cluster::new();
    store.fill("c", 3).await;
    let service = service(&store, Settings::default()).await;
    for path in ["/v1/proof?count=4", "/v1/proof?position=31"] {
        let (status, problem) = ask(&service, path).await;
        assert_eq!(status, 404, "{path}");
        assert_eq!(problem["code"], "no_such_prefix");
        assert_eq!(problem["count"], 3);
    }
    let (status, _) = ask(&service, "/v1/proof?count=1&position=10").await;
    assert_eq!(status, 422);
    service.stop().await;
}

/// The file of kept prefixes once a service has read so many events and was stopped.
async fn a_kept_proof(store: &Arc<Cluster>) -> TempDir {
    let folder = tempdir().unwrap();
    let service = service_in(store, Settings::default(), Some(folder.path())).await;
    told(&service, "/v1/proof").await;
    // The read models are kept, too, so that a start does not read for them from further back.
    let last = store.info().await.unwrap().last;
    let soon = std::time::Duration::from_mins(1);
    service.service.views.wait_for(last, soon).await.unwrap();
    service.stop().await;
    folder
}

/// What a start in that folder finds: the proof, whether it was computed anew, and from where it read.
async fn started(store: &Arc<Cluster>, folder: &Path) -> (Proof, bool, u64) {
    store.read_from.store(u64::MAX, Ordering::SeqCst);
    let service = service_in(store, Settings::default(), Some(folder)).await;
    let proof = said(&told(&service, "/v1/proof").await);
    let rebuilt = service.service.feed.state().rebuilt;
    service.stop().await;
    (proof, rebuilt, store.read_from.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_start_reads_on_from_what_is_kept_and_checks_it_first() {
    let store = Cluster::new();
    store.fill("c", 3_500).await;
    let folder = a_kept_proof(&store).await;
    store.fill("d", 100).await;
    let end = *proofs(&store.all().await).last().unwrap();
    // The last kept one is checked by the events after the one before it.
    let before_the_last = 2 * INTERVAL * 10;
    assert_eq!(
        started(&store, folder.path()).await,
        (end, false, before_the_last)
    );
}

#[tokio::test]
async fn a_torn_end_of_the_kept_proof_is_as_if_it_were_not_there() {
    let store = Cluster::new();
    store.fill("c", 3_500).await;
    let folder = a_kept_proof(&store).await;
    let end = *proofs(&store.all().await).last().unwrap();
    let file = folder.path().join("feed-proof");
    let whole = fs::read(&file).unwrap();
    for torn in [1, 20, 55] {
        fs::write(&file, &whole[..whole.len() - torn]).unwrap();
        let from = INTERVAL * 10;
        assert_eq!(
            started(&store, folder.path()).await,
            (end, false, from),
            "{torn}"
        );
        assert_eq!(fs::read(&file).unwrap(), whole, "it was written again");
    }
}

#[tokio::test]
async fn a_kept_proof_that_does_not_hold_is_computed_anew() {
    let store = Cluster::new();
    store.fill("c", 3_500).await;
    let folder = a_kept_proof(&store).await;
    let end = *proofs(&store.all().await).last().unwrap();
    let file = folder.path().join("feed-proof");
    let whole = fs::read(&file).unwrap();
    for damaged in [0, 20, 40, 60] {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(
            started(&store, folder.path()).await,
            (end, true, 0),
            "{damaged}"
        );
        assert_eq!(fs::read(&file).unwrap(), whole, "it was written again");
    }
    let other = Cluster::new();
    other.fill("c", 1_500).await;
    let end = *proofs(&other.all().await).last().unwrap();
    assert_eq!(started(&other, folder.path()).await, (end, true, 0));
    // The same store by its id, with other events: the file is whole, and the store does not lead to it.
    let elsewhere = Arc::new(MemoryStore::new());
    for batch in batches(&"e".parse().unwrap(), chatter(1_500)).await {
        elsewhere.append(batch).await.unwrap();
    }
    other.restore(elsewhere, 10);
    let end = *proofs(&other.all().await).last().unwrap();
    assert_eq!(started(&other, folder.path()).await, (end, true, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_restored_while_it_is_read_is_read_anew_and_streams_are_told() {
    let store = Cluster::new();
    store.fill("c", 1_100).await;
    let service = service(&store, Settings::default()).await;
    let mut events = subscribe(&service, "after=0", None).await;
    next_events(&mut events, 1_100).await;
    let backup = Arc::new(MemoryStore::new());
    for batch in batches(&"c-0".parse().unwrap(), chatter(50)).await {
        backup.append(batch).await.unwrap();
    }
    store.restore(backup, 7);
    let end = in_time(events.next_named("cut_off")).await.unwrap();
    assert_eq!(end.json()["reason"], "store_changed");
    assert_eq!(in_time(events.next()).await, None);
    let proofs = proofs(&store.all().await);
    assert_eq!(said(&told(&service, "/v1/proof").await), proofs[50]);
    assert!(service.service.feed.state().rebuilt);
    let answer = open(&service, "", Some(&end.id)).await;
    assert_eq!(answer.status(), 409);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_reader_is_refused_is_verified_before_anybody_is_told() {
    let store = Cluster::new();
    // More than are at hand, so that a page reads the store.
    store.fill("c", 17_000).await;
    let settings = Settings {
        heartbeat_ms: 10,
        ..Settings::default()
    };
    let service = service(&store, settings).await;
    told(&service, "/v1/proof").await;
    let mut live = subscribe(&service, "", None).await;
    assert_eq!(next(&mut live).await.event, "begin");
    let reads_before = store.reads.load(Ordering::SeqCst);
    *store.refusing.lock().unwrap() = Some(Position(11_000));
    let (status, problem) = ask(&service, "/v1/events?after=11000&limit=10").await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (503, &json!("store_changed"))
    );
    // The stretch that the doubt was about is read, and then the end.
    let reads = usize::try_from(INTERVAL).unwrap() / AT_MOST;
    in_time(async {
        while store.reads.load(Ordering::SeqCst) < reads_before + reads {
            tokio::task::yield_now().await;
        }
    })
    .await;
    told(&service, "/v1/events?after=11000&limit=10").await;
    store.keep("d", [connect_call(ANA)]).await;
    loop {
        let sent = next(&mut live).await;
        assert_ne!(sent.event, "cut_off", "{}", sent.data);
        if is_event(&sent) {
            break;
        }
    }
    assert!(!service.service.feed.state().rebuilt);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_was_taken_away_is_no_other_store() {
    let store = Cluster::new();
    store.fill("c", 17_000).await;
    let service = service(&store, Settings::default()).await;
    told(&service, "/v1/proof").await;
    let refused = StoreError::Refused("the reader may not".to_owned());
    store.fail(usize::MAX, refused.clone());
    let (status, problem) = ask(&service, "/v1/events?after=11000&limit=10").await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (500, &json!("store_refuses"))
    );
    store.fail(0, refused);
    told(&service, "/v1/events?after=11000&limit=10").await;
    assert!(!service.service.feed.state().rebuilt);
    service.stop().await;
}

#[tokio::test]
async fn the_feed_outlives_a_store_that_is_away_and_tells_of_damage() {
    let store = Cluster::new();
    store.fill("c", 10).await;
    let service = service(&store, Settings::default()).await;
    let mut events = subscribe(&service, "after=0", None).await;
    next_events(&mut events, 10).await;
    for error in [
        StoreError::Unavailable("no node answers".to_owned()),
        StoreError::Corrupt("an event is missing".to_owned()),
    ] {
        let name = error.to_string().replace(' ', "-");
        store.fail(3, error.clone());
        let feed = &service.service.feed;
        store.fill(&name, 5).await;
        in_time(async {
            while feed.state().error.is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(feed.state().error, Some(error.to_string()));
        assert!(!feed.state().caught_up);
        next_events(&mut events, 5).await;
        in_time(async {
            while !feed.state().caught_up {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(feed.state().error, None);
    }
    service.stop().await;
}

/// There is always more by the time that what there was is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_while_others_never_stop_writing_has_caught_up_all_the_same() {
    let store = Cluster::new();
    store.fill("c", 50).await;
    store.is_busy.store(true, Ordering::SeqCst);
    let feed = Feed::start(Arc::clone(&store) as _, None, &Settings::default());
    let has_caught_up = async {
        while !feed.state().caught_up {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), has_caught_up).await;
    // Before anything is asserted: whoever has read all of a store that always has more never ends.
    store.is_busy.store(false, Ordering::SeqCst);
    assert!(in_time.is_ok(), "{:?}", feed.state());
    assert!(feed.state().prefix.count >= 50);
    feed.close().await;
}

/// A store may try for much longer than anybody wants to wait before they are told.
#[tokio::test]
async fn a_store_that_does_not_answer_is_away_before_it_says_so_itself() {
    let store = Cluster::new();
    let settings = Settings::default();
    let feed = Feed::start(Arc::clone(&store) as _, None, &settings);
    store.fill("c", 5).await;
    let stands = async |wanted: &dyn Fn(&State) -> bool| {
        in_time(async {
            while !wanted(&feed.state()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    };
    stands(&|state| state.caught_up && state.prefix.count == 5).await;
    store.is_silent.send_replace(true);
    stands(&|state| state.error.is_some() && !state.caught_up).await;
    store.is_silent.send_replace(false);
    stands(&|state| state.error.is_none() && state.caught_up).await;
    feed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off_and_can_resume_while_others_are_told_everything() {
    let store = Cluster::new();
    let settings = Settings {
        max_waiting_events: 500,
        ..Settings::default()
    };
    let service = service(&store, settings).await;
    let mut quick = subscribe(&service, "after=0", None).await;
    let auditor = &service.keys.auditor;
    let mut slow = a_narrow_client(&service, auditor, "/v1/events?after=0&stream=true").await;
    store.fill("first", 1).await;
    let mut seen = next_events(&mut quick, 1).await;
    // Once it was told of an event as it came, it is not catching up any more, which it may do as slowly as it likes.
    let begun = read_until(&mut slow, "call_connected").await;
    let both = Subscribers {
        unfiltered: 2,
        filtered: 0,
    };
    assert_eq!(service.service.feed.subscribers(), both);
    for round in 0..40 {
        store.fill(&format!("c-{round}"), 200).await;
        seen.extend(next_events(&mut quick, 200).await);
    }
    let all: Vec<_> = store.all().await.iter().map(as_json).collect();
    let position = |event: &Value| event["position"].as_u64();
    assert!(seen.iter().map(position).eq(all.iter().map(position)));
    let slow = everything(slow, begun).await;
    let (end, before) = slow.split_last().unwrap();
    assert_eq!(end.event, "cut_off");
    assert_eq!(end.json()["reason"], "too_slow");
    let mut got: Vec<_> = before
        .iter()
        .filter(|sent| is_event(sent))
        .map(Sent::json)
        .collect();
    assert!(got.len() < all.len());
    let resume_after = end.json()["resume_after"].to_string();
    assert_eq!(resume_after, end.id);
    let mut resumed = subscribe(&service, "", Some(&resume_after)).await;
    got.extend(next_events(&mut resumed, all.len() - got.len()).await);
    assert!(got.iter().map(position).eq(all.iter().map(position)));
    service.stop().await;
}

#[tokio::test]
async fn a_stream_says_where_it_begins_and_without_a_place_begins_with_what_comes() {
    let store = Cluster::new();
    store.fill("c", 5).await;
    let service = service(&store, Settings::default()).await;
    told(&service, "/v1/proof").await;
    let proofs = proofs(&store.all().await);
    let mut from_now = subscribe(&service, "", None).await;
    let begin = next(&mut from_now).await;
    assert_eq!(said(&begin.json()), proofs[5]);
    assert_eq!(begin.json()["store"], store.id.to_string());
    let mut by_query = subscribe(&service, "after=20", None).await;
    assert_eq!(said(&next(&mut by_query).await.json()), proofs[2]);
    // Where a client was goes before where it once began.
    let mut resumed = subscribe(&service, "after=20", Some("39")).await;
    assert_eq!(said(&next(&mut resumed).await.json()), proofs[3]);
    assert_eq!(next_events(&mut resumed, 1).await[0]["position"], 40);
    store.keep("d", [connect_call(ANA)]).await;
    assert_eq!(next_events(&mut from_now, 1).await[0]["call"], "d");
    service.stop().await;
}

#[tokio::test]
async fn a_silent_stream_says_how_far_it_has_looked() {
    let store = Cluster::new();
    store.fill("c", 5).await;
    let settings = Settings {
        heartbeat_ms: 10,
        ..Settings::default()
    };
    let service = service(&store, settings).await;
    let mut events = subscribe(&service, "call=nobody&after=0", None).await;
    for more in ["d", "e"] {
        store.fill(more, 5).await;
        let all = store.all().await;
        let end = *proofs(&all).last().unwrap();
        loop {
            let sent = next(&mut events).await;
            assert!(!is_event(&sent));
            assert_eq!(sent.id, said(&sent.json()).position.to_string());
            if sent.event == "progress" && said(&sent.json()) == end {
                break;
            }
        }
    }
    assert_eq!(
        service.service.feed.subscribers(),
        Subscribers {
            unfiltered: 0,
            filtered: 1
        }
    );
    service.stop().await;
}

#[tokio::test]
async fn who_is_ahead_of_the_store_or_names_no_place_is_told_so() {
    let store = Cluster::new();
    store.fill("c", 5).await;
    let service = service(&store, Settings::default()).await;
    for (path, last, status, code) in [
        ("stream=true", Some("51"), 409, "ahead_of_store"),
        ("after=51", None, 409, "ahead_of_store"),
        ("", Some("c-0"), 422, "bad_value"),
        ("after=-1", None, 422, "bad_value"),
        ("limit=5", None, 422, "bad_value"),
        ("type=call_lost", None, 422, "bad_value"),
        ("form=xml", None, 422, "bad_value"),
        ("agent=dial:1", None, 422, "bad_value"),
    ] {
        let answer = open(&service, path, last).await;
        assert_eq!(answer.status(), status, "{path}");
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], code, "{path}");
    }
    for path in [
        "/v1/events?after=51",
        "/v1/events?limit=0",
        "/v1/events?limit=10001",
        "/v1/events?wait=-1",
    ] {
        let (status, _) = ask(&service, path).await;
        assert!([409, 422].contains(&status.as_u16()), "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_service_and_says_so() {
    let store = Cluster::new();
    store.fill("c", 5).await;
    let service = service(&store, Settings::default()).await;
    let mut live = subscribe(&service, "after=0", None).await;
    next_events(&mut live, 5).await;
    service.service.stop();
    let sent = next(&mut live).await;
    assert_eq!(sent.event, "stopping");
    assert_eq!(sent.json()["resume_after"], 50);
    assert_eq!(in_time(live.next()).await, None);
    in_time(service.stop()).await;
}

#[tokio::test]
async fn pages_of_any_size_and_filter_together_are_the_stores_order() {
    let store = Cluster::new();
    for number in 0..20 {
        store.keep(&format!("c-{number}"), a_whole_call()).await;
        store.fill(&format!("d-{number}"), 80).await;
    }
    let service = service(&store, Settings::default()).await;
    let all = store.all().await;
    let proofs = proofs(&all);
    for query in QUERIES {
        for limit in [1, 7, 1_000, 10_000] {
            if limit == 1 && query.is_empty() {
                continue;
            }
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let path = format!("/v1/events?{query}&limit={limit}&after={after}");
                let page = told(&service, &path).await;
                let events = page["events"].as_array().unwrap();
                assert!(events.len() <= limit);
                assert_eq!(page["after"], after);
                let reached = said(&page);
                assert_eq!(reached, proofs[usize::try_from(reached.count).unwrap()]);
                seen.extend(events.iter().cloned());
                after = reached.position;
                if page["caught_up"] == true {
                    break;
                }
            }
            assert_eq!(after, proofs[all.len()].position);
            let expected = all.iter().map(as_json).filter(|event| fits(event, query));
            assert!(seen.into_iter().eq(expected), "{query}, {limit}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn whole_lines_give_the_events_back_to_the_byte() {
    let store = Cluster::new();
    store.keep("c", a_whole_call()).await;
    let service = service(&store, Settings::default()).await;
    let all = store.all().await;
    let end = proofs(&all)[all.len()];
    let answer = service
        .get(&service.keys.operator, "/v1/events?form=whole")
        .header("accept", "application/x-ndjson")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    for (name, value) in [
        ("kaigi-store", store.id.to_string()),
        ("kaigi-position", end.position.to_string()),
        ("kaigi-count", end.count.to_string()),
        ("kaigi-rolling-hash", Hash(end.rolling_hash).to_string()),
        ("kaigi-caught-up", "true".to_owned()),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    let text = answer.text().await.unwrap();
    let lines = text.lines().map(|line| parse_line(line).unwrap());
    assert!(lines.eq(all.iter().cloned()));
    let mut events = subscribe(&service, "form=whole&after=0", None).await;
    for (event, proof) in all.iter().zip(&proofs(&all)[1..]) {
        let sent = &next_events(&mut events, 1).await[0];
        assert_eq!(parse_line(&sent["line"].to_string()).as_ref(), Ok(event));
        assert_eq!(sent["count"], proof.count);
        assert_eq!(sent["rolling_hash"], Hash(proof.rolling_hash).to_string());
    }
    service.stop().await;
}

#[tokio::test]
async fn events_are_cloud_events_when_asked() {
    let store = Cluster::new();
    store
        .keep("c#1%", [connect_call(ANA), start_consult(ANA, BEN)])
        .await;
    let service = service(&store, Settings::default()).await;
    let all = store.all().await;
    let proofs = proofs(&all);
    let page = told(&service, "/v1/events?form=cloudevents").await;
    let mut events = subscribe(&service, "form=cloudevents&after=0", None).await;
    for (place, event) in all.iter().enumerate() {
        let cloud = &page["events"][place];
        assert_eq!(next_events(&mut events, 1).await[0], *cloud);
        let plain = as_json(event);
        let event_type = plain["type"].as_str().unwrap();
        for (attribute, value) in [
            ("specversion", Value::from("1.0")),
            ("id", plain["id"].clone()),
            ("source", "/v1/calls/c%231%25".into()),
            ("type", format!("kaigi.{event_type}.v1").into()),
            ("subject", "c#1%".into()),
            ("time", plain["at"].clone()),
            ("datacontenttype", "application/json".into()),
            ("data", plain["data"].clone()),
            ("position", event.position.to_string().into()),
            ("revision", plain["revision"].clone()),
            ("count", proofs[place + 1].count.to_string().into()),
            (
                "rollinghash",
                Hash(proofs[place + 1].rolling_hash).to_string().into(),
            ),
            ("recordedat", plain["recorded_at"].clone()),
        ] {
            assert_eq!(cloud[attribute], value, "{attribute}");
        }
        let attributes = cloud.as_object().unwrap();
        for (name, value) in attributes {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(name.bytes().all(plain) && name.len() <= 20, "{name}");
            assert!(!value.is_null(), "{name}");
        }
        let actor = cloud.get("actor");
        assert_eq!(
            actor,
            Some(&plain["actor"]).filter(|actor| !actor.is_null())
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn who_waits_is_answered_once_there_is_something_or_it_is_time() {
    let store = Cluster::new();
    store.fill("c", 5).await;
    let settings = Settings {
        max_wait_ms: 50,
        ..Settings::default()
    };
    let impatient = service(&store, settings).await;
    let page = told(&impatient, "/v1/events?after=50&wait=1e300").await;
    assert_eq!(page["events"], Value::Array(Vec::new()));
    assert_eq!(said(&page).position, 50);
    let last = told(&impatient, "/v1/position?past=50&wait=60").await;
    assert_eq!(last["position"], 50);
    impatient.stop().await;
    let service = service(&store, Settings::default()).await;
    // Events of other calls end no waiting for one of this call.
    let (page, last, ()) = tokio::join!(
        told(&service, "/v1/events?after=50&wait=600&call=d-0"),
        told(&service, "/v1/position?past=50&wait=600"),
        async {
            store.fill("other", 1).await;
            store.fill("d", 1).await;
        }
    );
    assert_eq!(page["events"][0]["call"], "d-0");
    assert!(last["position"].as_u64().unwrap() > 50);
    assert_eq!(told(&service, "/v1/position").await["position"], 70);
    service.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_can_be_resumed_after_at_once() {
    let service = Running::start().await;
    for number in 0..50 {
        let connect = serde_json::json!({"type": "connect_call", "agent": "agent:ana"});
        let answer = service.send(&format!("c-{number}"), &connect).await;
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let position = &answer["events"][0]["position"];
        let proof = told(&service, &format!("/v1/proof?position={position}")).await;
        assert_eq!(proof["position"], *position);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_feed_is_for_auditors_and_operators() {
    let service = Running::start().await;
    let keys = service.keys.clone();
    for path in ["/v1/events", "/v1/proof", "/v1/position"] {
        for key in [&keys.telephony, &keys.ana, &keys.sam, &keys.reader] {
            assert_eq!(service.get(key, path).send().await.unwrap().status(), 403);
        }
        for key in [&keys.auditor, &keys.operator] {
            assert_eq!(service.get(key, path).send().await.unwrap().status(), 200);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_once_its_key_is_revoked_however_rarely_it_says_something() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::at(&path);
    let (key, text) = Key::create("both", vec![Grant::Auditor, Grant::Reader]);
    let id = key.id.clone();
    file.add(key).unwrap();
    let (operator, operators_text) = Key::create("operator", vec![Grant::Operator]);
    file.add(operator).unwrap();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let service = Service::start(Parts {
        handler: Handler::new(Arc::clone(&store)),
        store,
        settings: Settings {
            heartbeat_ms: 86_400_000,
            ..Settings::default()
        },
        guards: Guards::new(Keys::open(&path).unwrap()),
        folder: None,
        log: Log::silent(),
    });
    let service = service.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(server::listen::serve(listener, Arc::clone(&service)));
    let client = Client::new();
    let mut streams = Vec::new();
    for (path, first) in [
        ("/v1/events?stream=true", "begin"),
        ("/v1/active-calls/changes", "caught_up"),
    ] {
        let request = client.get(format!("{url}{path}")).bearer_auth(&text);
        let mut events = Events::of(request.send().await.unwrap());
        assert_eq!(next(&mut events).await.event, first);
        streams.push(events);
    }
    let revoke = client.delete(format!("{url}/v1/keys/{id}"));
    let revoked = revoke.bearer_auth(operators_text).send().await.unwrap();
    assert_eq!(revoked.status(), 200);
    for mut events in streams {
        let end = in_time(events.next_named("cut_off")).await.unwrap();
        assert_eq!(end.json()["reason"], "key_revoked");
        assert_eq!(in_time(events.next()).await, None);
    }
    service.stop();
    serving.await.unwrap();
    service.close().await;
}

#[tokio::test]
async fn events_are_answered_in_the_form_that_the_client_likes_best() {
    let store = Cluster::new();
    store.fill("c", 3).await;
    let service = service(&store, Settings::default()).await;
    let answer = async |accept: &str| {
        let auditor = &service.keys.auditor;
        let question = service.get(auditor, "/v1/events?after=0&form=whole");
        let asked = question.header("accept", accept).send();
        let answer = in_time(asked).await.unwrap();
        (
            answer.status().as_u16(),
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned(),
        )
    };
    for (accept, expected) in [
        ("*/*", "application/json"),
        (
            "application/*;q=0.5, application/json;q=0.4",
            "application/x-ndjson",
        ),
        (
            "application/x-ndjson;q=0.1, application/json",
            "application/json",
        ),
        ("application/jsonl", "application/x-ndjson"),
        ("text/event-stream;q=0, */*", "application/json"),
        (
            "text/event-stream;q=0.5, application/json;q=0.4",
            "text/event-stream",
        ),
        ("text/*", "text/event-stream"),
    ] {
        assert_eq!(answer(accept).await, (200, expected.to_owned()), "{accept}");
    }
    for accept in [
        "text/csv",
        "application/x-ndjson;q=0, text/csv",
        "text/event-stream;q=0",
    ] {
        let (status, _) = answer(accept).await;
        assert_eq!(status, 406, "{accept}");
    }
    service.stop().await;
}

#[tokio::test]
async fn as_many_events_may_wait_as_an_operator_likes() {
    let store = Cluster::new();
    let settings = Settings {
        max_waiting_events: usize::MAX,
        ..Settings::default()
    };
    let service = service(&store, settings).await;
    let mut events = subscribe(&service, "after=0", None).await;
    store.fill("c", 3).await;
    next_events(&mut events, 3).await;
    service.stop().await;
}
