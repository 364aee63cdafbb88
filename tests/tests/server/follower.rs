//! One reader of the store and its subscribers: each event once and in order for every one of them, whatever the store
//! does meanwhile.

use crate::nothing_missing::paused;
use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, Entry, EventStore, INTERVAL, MemoryStore, Position, Prefix,
    Revision, StoreError, StoreId, StoreInfo, StoredEvent,
};
use engine::follower::{Counted, Known, Reader, Span, Step, Subscription};
use server::Settings;
use server::read_models::{Views, WhyRebuilt};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::tempdir;
use tests::contract::{batches, chatter, in_time};
use tests::service::entries;
use tests::slow_store::SlowStore;
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

/// The most events in an answer.
const AT_MOST: usize = 7;

/// A store that is restored to another history just before it answers a read.
struct Restored {
    store: Mutex<Arc<MemoryStore>>,
    copy: Arc<MemoryStore>,
    /// The reads before that.
    reads_left: AtomicUsize,
}

impl Restored {
    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap())
    }
}

#[async_trait]
impl EventStore for Restored {
    fn id(&self) -> StoreId {
        self.copy.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store().append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store().read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let left = self.reads_left.fetch_sub(1, Ordering::SeqCst);
        if left == 1 {
            *self.store.lock().unwrap() = Arc::clone(&self.copy);
        }
        self.store().read_all(after, max.min(AT_MOST)).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store().wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store().info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A store that can be restored, and that can stop answering. Who waits for its events learns of neither.
struct Quiet {
    store: watch::Sender<Arc<MemoryStore>>,
    is_silent: watch::Sender<bool>,
}

impl Quiet {
    fn of(store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            store: watch::Sender::new(store),
            is_silent: watch::Sender::new(false),
        })
    }

    async fn store(&self) -> Arc<MemoryStore> {
        let mut is_silent = self.is_silent.subscribe();
        is_silent.wait_for(|is_silent| !is_silent).await.unwrap();
        Arc::clone(&self.store.borrow())
    }
}

#[async_trait]
impl EventStore for Quiet {
    fn id(&self) -> StoreId {
        StoreId(Uuid::from_u128(7))
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store().await.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store().await.read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.store().await.read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        let mut stores = self.store.subscribe();
        loop {
            let store = Arc::clone(&stores.borrow_and_update());
            tokio::select! {
                past = store.wait_past(position) => return past,
                _ = stores.changed() => {}
            }
        }
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store().await.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn fill(store: &MemoryStore, call: &str, events: usize) {
    for (number, from) in (0..events).step_by(100).enumerate() {
        let call = format!("{call}-{number}").parse().unwrap();
        for batch in batches(&call, chatter((events - from).min(100))).await {
            store.append(batch).await.unwrap();
        }
    }
}

/// Two histories, which begin with so many equal events, and have a damaged one at the same place.
async fn histories(equal: usize) -> [Arc<MemoryStore>; 2] {
    let stores = [MemoryStore::new(), MemoryStore::new()].map(Arc::new);
    for batch in batches(&"equal".parse().unwrap(), chatter(equal)).await {
        for store in &stores {
            store.append(batch.clone()).await.unwrap();
        }
    }
    for (store, events) in stores.iter().zip([100, 120]) {
        fill(store, "c", events - equal).await;
        store.damage(Position(22), "its bytes are not what was written");
    }
    stores
}

/// All prefixes of those entries.
fn prefixes(entries: &[Entry]) -> Vec<Prefix> {
    let counted = entries.iter().scan(Prefix::NONE, |before, entry| {
        *before = before.plus_entry(entry);
        Some(*before)
    });
    std::iter::once(Prefix::NONE).chain(counted).collect()
}

fn is_last(taken: &[Arc<Counted>], end: Prefix) -> bool {
    taken.last().is_some_and(|last| last.up_to == end)
}

/// Takes everything up to that prefix.
async fn all_to(subscription: &mut Subscription, end: Prefix) -> Vec<Arc<Counted>> {
    let mut taken = Vec::<Arc<Counted>>::new();
    while !is_last(&taken, end) {
        if let Step::Batch(batch) = subscription.next().await {
            let before = taken.last().map_or(batch.before, |last| last.up_to);
            assert_eq!(batch.before, before);
            taken.extend(batch.entries);
        }
    }
    taken
}

fn assert_are(taken: &[Arc<Counted>], expected: &[Prefix]) {
    let taken: Vec<_> = taken.iter().map(|entry| entry.up_to).collect();
    assert_eq!(taken, expected);
}

async fn read_while_it_is_restored(reads: usize, equal: usize) {
    let [store, copy] = histories(equal).await;
    let old = prefixes(&entries(&*store).await);
    let new = prefixes(&entries(&*copy).await);
    let known: HashSet<_> = old
        .iter()
        .chain(&new)
        .map(|prefix| prefix.rolling_hash)
        .collect();
    let end = new[new.len() - 1];
    let store = Arc::new(Restored {
        store: Mutex::new(store),
        copy,
        reads_left: AtomicUsize::new(reads),
    });
    let reader = Reader::start(store, None, false);
    let mut subscription = reader.subscribe(Span::NONE, 0);
    let mut taken = Vec::new();
    while reader.tail().end().reached != end || !is_last(&taken, end) {
        let read = reader.tail().end().reached;
        assert!(
            known.contains(&read.rolling_hash),
            "{read:?} is of neither history"
        );
        match subscription.next().await {
            Step::Batch(batch) => {
                let all_known = |entry: &Arc<Counted>| known.contains(&entry.up_to.rolling_hash);
                assert!(batch.entries.iter().all(all_known), "read {reads}");
                taken.extend(batch.entries);
            }
            Step::Contradiction => {
                taken.clear();
                let generation = reader.tail().end().generation;
                subscription = reader.subscribe(Span::NONE, generation);
            }
            Step::AtTheEnd | Step::Anew | Step::Failed(_) => {}
        }
    }
    assert_are(&taken, &new[1..]);
    reader.close().await;
}

#[test]
fn a_page_of_another_history_is_never_taken_for_the_continuation() {
    for reads in 1..80 {
        for equal in [1, 40] {
            paused(read_while_it_is_restored(reads, equal));
        }
    }
}

#[test]
fn subscribers_that_begin_at_different_places_get_the_same_entries() {
    for slowness in [0, 3, 40, 700] {
        paused(async {
            let store = Arc::new(MemoryStore::new());
            fill(&store, "before", 150).await;
            let known = prefixes(&entries(&*store).await);
            let delays = vec![Duration::from_millis(slowness), Duration::ZERO];
            let slow = Arc::new(SlowStore::new(Arc::clone(&store) as _, delays));
            let reader = Reader::start(slow, None, false);
            let from_the_middle = Span {
                from: known[60],
                to: known[97],
            };
            let mut subscriptions = [Span::NONE, from_the_middle, Span::at(known[150])]
                .map(|span| reader.subscribe(span, 0));
            let write = async {
                for number in 0..40 {
                    fill(&store, &format!("c{number}"), 1 + number % 9).await;
                    sleep(Duration::from_millis(number as u64 % 4)).await;
                }
                fill(&store, "last", 1).await;
                prefixes(&entries(&*store).await)
            };
            let [all, middle, late] = &mut subscriptions;
            let all_events = 150 + (0..40).map(|number| 1 + number % 9).sum::<usize>() + 1;
            let until = |taken: &[Arc<Counted>]| {
                let count = taken.last().map_or(0, |last| last.up_to.count);
                usize::try_from(count).unwrap() == all_events
            };
            let (expected, all, middle, late) = tokio::join!(
                write,
                taken_until(all, until),
                taken_until(middle, until),
                taken_until(late, until),
            );
            assert_are(&all, &expected[1..]);
            assert_are(&middle, &expected[98..]);
            assert_are(&late, &expected[151..]);
            // All are at the end, where the reader is, too. One that still read by itself has joined a few events later.
            let mut is_shared = false;
            for number in 0..50 {
                fill(&store, &format!("end{number}"), 1).await;
                let end = prefixes(&entries(&*store).await)[all_events + 1 + number];
                let mut last = Vec::new();
                for subscription in &mut subscriptions {
                    last.push(all_to(subscription, end).await.pop().unwrap());
                }
                is_shared = last.iter().all(|entry| Arc::ptr_eq(entry, &last[0]));
                if is_shared {
                    break;
                }
            }
            assert!(is_shared, "an event is decoded once for all");
            reader.close().await;
        });
    }
}

async fn taken_until(
    subscription: &mut Subscription,
    is_all: impl Fn(&[Arc<Counted>]) -> bool,
) -> Vec<Arc<Counted>> {
    let mut taken = Vec::new();
    while !is_all(&taken) {
        if let Step::Batch(batch) = subscription.next().await {
            taken.extend(batch.entries);
        }
    }
    taken
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_reads_pages_and_joins_again() {
    let store = Arc::new(MemoryStore::new());
    fill(&store, "first", 10).await;
    let reader = Reader::start(Arc::clone(&store) as _, None, false);
    let mut slow = reader.subscribe(Span::NONE, 0);
    let begun = prefixes(&entries(&*store).await);
    let mut taken = all_to(&mut slow, begun[10]).await;

    fill(&store, "many", 20_000).await;
    let all = prefixes(&entries(&*store).await);
    let end = all[all.len() - 1];
    let mut states = reader.tail().states();
    states.wait_for(|state| state.prefix == end).await.unwrap();
    let in_memory = reader.tail().between(begun[10], end, usize::MAX);
    assert!(in_memory.is_none(), "what the reader keeps is bounded");

    taken.extend(all_to(&mut slow, end).await);
    assert_are(&taken, &all[1..]);
    let last = reader.tail().between(all[all.len() - 2], end, 1).unwrap();
    assert!(Arc::ptr_eq(&last[0], taken.last().unwrap()), "it joined");
    reader.close().await;
}

/// A store, and a copy of it that has its first events only.
async fn store_and_shorter_copy() -> [Arc<MemoryStore>; 2] {
    let stores = [MemoryStore::new(), MemoryStore::new()].map(Arc::new);
    for (store, events) in stores.iter().zip([40, 20]) {
        for batch in batches(&"c".parse().unwrap(), chatter(events)).await {
            store.append(batch).await.unwrap();
        }
    }
    stores
}

async fn views_at_the_end(store: &Arc<Quiet>) -> Views {
    let settings = Settings::default();
    let views = Views::start(Arc::clone(store) as _, None, &settings).await;
    let views = views.unwrap();
    while !views.caught_up() {
        sleep(Duration::from_secs(1)).await;
    }
    views
}

#[test]
fn a_rebuild_right_after_a_restore_to_a_shorter_history_ends() {
    paused(in_time(async {
        let [store, copy] = store_and_shorter_copy().await;
        let end = copy.info().await.unwrap().last;
        let store = Quiet::of(store);
        let views = views_at_the_end(&store).await;
        store.store.send_replace(copy);
        views.rebuild(WhyRebuilt::Asked);
        while views.position() != end || views.standing().rebuilding.is_some() {
            sleep(Duration::from_secs(1)).await;
        }
        views.close().await;
    }));
}

#[test]
fn a_subscriber_that_waits_for_the_store_notices_a_restore() {
    paused(in_time(async {
        let [store, copy] = store_and_shorter_copy().await;
        let all = prefixes(&entries(&*store).await);
        let end = all[all.len() - 1];
        let store = Quiet::of(store);
        let reader = Reader::start(Arc::clone(&store) as _, None, false);
        let read = Span {
            from: all[all.len() - 2],
            to: end,
        };
        let mut subscription = reader.subscribe(read, 0);
        // The reader has not begun yet, so the subscriber reads the store.
        assert!(matches!(subscription.next().await, Step::AtTheEnd));
        let restore = async {
            let mut states = reader.tail().states();
            states.wait_for(|state| state.prefix == end).await.unwrap();
            store.store.send_replace(copy);
        };
        let notice = async { while !matches!(subscription.next().await, Step::Contradiction) {} };
        tokio::join!(restore, notice);
        reader.close().await;
    }));
}

#[test]
fn read_models_of_a_quiet_store_are_in_touch_again_once_it_answers_again() {
    paused(in_time(async {
        let [store, _] = store_and_shorter_copy().await;
        let store = Quiet::of(store);
        let views = views_at_the_end(&store).await;
        store.is_silent.send_replace(true);
        while views.standing().trouble.is_none() {
            sleep(Duration::from_secs(1)).await;
        }
        store.is_silent.send_replace(false);
        while views.standing().trouble.is_some() {
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(views.behind().since, Duration::ZERO);
        views.close().await;
    }));
}

/// A client that began at the first event then would get those after the last kept prefix only.
#[test]
fn no_place_is_known_before_the_kept_proof_was_compared_with_the_store() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        fill(&store, "c", 3 * usize::try_from(INTERVAL).unwrap()).await;
        let folder = tempdir().unwrap();
        let reader = Reader::start(Arc::clone(&store) as _, Some(folder.path()), false);
        let mut states = reader.tail().states();
        states.wait_for(|state| state.caught_up).await.unwrap();
        reader.close().await;

        let slow = SlowStore::new(store, vec![Duration::from_mins(1)]);
        let reader = Reader::start(Arc::new(slow), Some(folder.path()), false);
        sleep(Duration::from_secs(30)).await;
        let (first, none) = (
            reader.tail().at_position(Position::START),
            reader.tail().of_count(0),
        );
        assert!(matches!((first, none), (Known::Beyond, Known::Beyond)));
        let mut states = reader.tail().states();
        states.wait_for(|state| state.caught_up).await.unwrap();
        let first = reader.tail().at_position(Position::START);
        assert!(matches!(first, Known::Exactly(Prefix::NONE)));
        assert!(!reader.tail().state().rebuilt);
        reader.close().await;
    });
}
