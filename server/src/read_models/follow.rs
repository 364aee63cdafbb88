//! The task that follows the store: it alone folds, and puts a rebuilt model in place of the old one.

use super::views::Shared;
use domain::{
    DamagedEvent, EventStore, Followed, Follower, Position, StoreError, StoredEvent, leads,
};
use engine::checkpoints;
use projections::{AllFour, Checkpointed};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

/// How many events are read at once.
const PAGE: usize = 1024;

/// How often checkpoints, changes and lists are looked after, and the store is verified to be the one that was read.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(30);

/// The pause between two looks at where the store ends.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How often a checkpoint is kept.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_mins(5);

/// How long a store is left alone that failed; twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the task is told what to do.
pub(super) struct Orders {
    stop: watch::Sender<bool>,
    /// How often it was asked for, and why the last time.
    rebuild: watch::Sender<(u64, WhyRebuilt)>,
}

/// Why read models are built from the store's first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRebuilt {
    /// An operator asked for it.
    Asked,
    /// The store was restored from a copy, and has other events.
    Restored,
    /// The events that the read models were made from are not those of the feed.
    Differs,
    /// A damaged event is whole again.
    WholeAgain,
}

struct Following {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    rebuild: watch::Receiver<(u64, WhyRebuilt)>,
    /// The reader's next step, which gives the reader back. It is kept until it completes: on a slow store a read that
    /// begins again for everything else that is due would never finish.
    reading: Once<(Reader, Result<Step, StoreError>)>,
    /// Where the store ends, looked up beside the reader: under steady writes a reader never sees an empty page.
    end: Once<Option<Position>>,
    /// Whether the store still leads to what was read, and the tag of the model that was compared.
    verifying: Once<(u32, Result<bool, StoreError>)>,
    /// The store was restored, and has other events; nothing is read on until the model is rebuilt.
    is_lost: bool,
    rebuilding: Option<JoinHandle<Checkpointed<AllFour>>>,
    rounds: Interval,
    kept_at: Instant,
}

/// A future that is kept while others are ready before it.
type Once<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Reads on from where the model stands.
struct Reader {
    shared: Arc<Shared>,
    follower: Follower,
    /// Whether the store was verified to have what the model was made of.
    is_verified: bool,
    pause: Pause,
}

enum Step {
    Events(Vec<StoredEvent>),
    Damaged(DamagedEvent),
    AtTheEnd,
    Restored,
}

/// How long to leave a store alone.
#[derive(Default)]
struct Pause(Duration);

impl Orders {
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn rebuild(&self, why: WhyRebuilt) {
        self.rebuild.send_modify(|(times, last)| {
            *times += 1;
            *last = why;
        });
    }
}

impl WhyRebuilt {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Restored, Self::Differs, Self::WholeAgain];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Restored => "restored",
            Self::Differs => "differs",
            Self::WholeAgain => "whole_again",
        }
    }
}

pub(super) fn start(shared: Arc<Shared>) -> (Orders, JoinHandle<()>) {
    let (orders, following) = Following::new(shared);
    (orders, tokio::spawn(following.run()))
}

impl Following {
    fn new(shared: Arc<Shared>) -> (Orders, Self) {
        let orders = Orders {
            stop: watch::Sender::new(false),
            rebuild: watch::Sender::new((0, WhyRebuilt::Asked)),
        };
        let mut rounds = interval(BETWEEN_ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let following = Self {
            stop: orders.stop.subscribe(),
            rebuild: orders.rebuild.subscribe(),
            reading: Reader::begin(&shared),
            end: Box::pin(end_of(Arc::clone(&shared.store), Duration::ZERO)),
            verifying: Box::pin(verified(Arc::clone(&shared))),
            is_lost: false,
            rebuilding: None,
            rounds,
            kept_at: Instant::now(),
            shared,
        };
        (orders, following)
    }

    /// No future is dropped here that holds events: all that do work are kept until they are done.
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => break,
                model = built(&mut self.rebuilding) => self.put_in_place(model).await,
                Ok(()) = self.rebuild.changed() => {
                    let (_, why) = *self.rebuild.borrow();
                    self.begin_to_rebuild(why);
                }
                _ = self.rounds.tick() => drop(self.look_after()),
                end = &mut self.end => self.ends_at(end),
                (tag, holds) = &mut self.verifying => self.is_verified(tag, &holds),
                (reader, step) = &mut self.reading => {
                    self.take(step).await;
                    self.reading = self.next_step(reader);
                }
            }
        }
        if let Some(rebuilding) = self.rebuilding {
            rebuilding.abort();
        }
        let shared = self.shared;
        blocking(move || shared.keep()).await;
    }

    /// Nothing is read on from a store that was restored, until a rebuilt model is in place.
    fn next_step(&self, reader: Reader) -> Once<(Reader, Result<Step, StoreError>)> {
        if self.is_lost {
            Box::pin(pending())
        } else {
            Box::pin(reader.step())
        }
    }

    fn ends_at(&mut self, end: Option<Position>) {
        self.shared.ends_at(end);
        let store = Arc::clone(&self.shared.store);
        self.end = Box::pin(end_of(store, BETWEEN_LOOKS));
    }

    /// A failure says nothing; the reader meets it, too. A restore that is known already must not be found again: the
    /// old model stays until the rebuild is done, and the rebuild would begin again each time.
    fn is_verified(&mut self, tag: u32, holds: &Result<bool, StoreError>) {
        if *holds == Ok(false) && !self.is_lost && tag == self.shared.progress().tag {
            self.is_restored();
        }
        self.verifying = Box::pin(verified(Arc::clone(&self.shared)));
    }

    fn is_restored(&mut self) {
        self.is_lost = true;
        // A model under way may have been made of both stores.
        if let Some(rebuilding) = self.rebuilding.take() {
            rebuilding.abort();
        }
        self.begin_to_rebuild(WhyRebuilt::Restored);
    }

    async fn take(&mut self, step: Result<Step, StoreError>) {
        match step {
            // The store was found to be restored while this was read.
            Ok(_) if self.is_lost => {}
            Ok(Step::Events(events)) => self.fold(events).await,
            Ok(Step::Damaged(event)) => self.fold_damaged(event).await,
            Ok(Step::AtTheEnd) => self.shared.is_at_the_end(),
            Ok(Step::Restored) => self.is_restored(),
            Err(error) => self.shared.is_out_of_touch(&error),
        }
    }

    async fn fold(&mut self, events: Vec<StoredEvent>) {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.fold(&events)).await;
    }

    async fn fold_damaged(&mut self, event: DamagedEvent) {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.fold_damaged(&event)).await;
    }

    /// Once is enough, however often it is asked for meanwhile.
    fn begin_to_rebuild(&mut self, why: WhyRebuilt) {
        if self.rebuilding.is_none() {
            self.shared.counts_rebuild(why);
            let empty = Checkpointed::new(self.shared.store.id());
            self.build_on(empty);
        }
    }

    fn build_on(&mut self, model: Checkpointed<AllFour>) {
        self.shared.is_rebuilding(model.position());
        let building = build(Arc::clone(&self.shared), model);
        self.rebuilding = Some(tokio::spawn(building));
    }

    /// The new model first takes in what the old one did meanwhile, so that no reader goes back; only where the store
    /// itself went back, there is nothing else to do.
    async fn put_in_place(&mut self, mut model: Checkpointed<AllFour>) {
        let old = self.shared.progress().events.position;
        if !self.is_lost && model.position() < old {
            match fold_to(&self.shared, &mut model, old).await {
                Ok(()) => {}
                Err(error) => {
                    self.shared.is_out_of_touch(&error);
                    return self.build_on(model);
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.swap(model)).await;
        self.is_lost = false;
        self.reading = Reader::begin(&self.shared);
    }

    /// A checkpoint that is due is kept beside the fold, which goes on.
    fn look_after(&mut self) -> Option<JoinHandle<()>> {
        self.shared.changes.let_go();
        self.shared.lists.let_go();
        let is_due = self.kept_at.elapsed() >= BETWEEN_CHECKPOINTS;
        is_due.then(|| {
            self.kept_at = Instant::now();
            let shared = Arc::clone(&self.shared);
            spawn_blocking(move || shared.keep())
        })
    }
}

impl Reader {
    /// Where the model stands now.
    fn begin(shared: &Arc<Shared>) -> Once<(Reader, Result<Step, StoreError>)> {
        let reader = Self {
            follower: follower(shared),
            shared: Arc::clone(shared),
            is_verified: false,
            pause: Pause::default(),
        };
        Box::pin(reader.step())
    }

    async fn step(mut self) -> (Self, Result<Step, StoreError>) {
        self.pause.over().await;
        let step = self.attempt().await;
        if step.is_ok() {
            self.pause = Pause::default();
        } else {
            // The model may stand before what the follower has moved past.
            self.pause.longer();
            self.is_verified = false;
            self.follower = follower(&self.shared);
        }
        (self, step)
    }

    async fn attempt(&mut self) -> Result<Step, StoreError> {
        if !self.is_verified && !is_the_store_that_was_read(&self.shared).await? {
            return Ok(Step::Restored);
        }
        self.is_verified = true;
        match self.follower.next().await? {
            Followed::Events(events) => Ok(Step::Events(events)),
            Followed::CaughtUp(_) => Ok(Step::AtTheEnd),
            Followed::Damaged(event) if self.shared.stop_at_damage => Err(event.into()),
            Followed::Damaged(event) => Ok(Step::Damaged(event)),
        }
    }
}

/// Reads on after the last event that was folded.
fn follower(shared: &Shared) -> Follower {
    let position = shared.progress().events.position;
    Follower::new(Arc::clone(&shared.store), position, PAGE)
}

async fn is_the_store_that_was_read(shared: &Shared) -> Result<bool, StoreError> {
    let progress = shared.progress();
    leads(&*shared.store, progress.mark, progress.events).await
}

async fn verified(shared: Arc<Shared>) -> (u32, Result<bool, StoreError>) {
    sleep(BETWEEN_ROUNDS).await;
    let tag = shared.progress().tag;
    (tag, is_the_store_that_was_read(&shared).await)
}

async fn end_of(store: Arc<dyn EventStore>, pause: Duration) -> Option<Position> {
    sleep(pause).await;
    let info = store.info().await;
    info.ok().map(|info| info.last)
}

impl Pause {
    async fn over(&self) {
        if !self.0.is_zero() {
            sleep(self.0).await;
        }
    }

    fn longer(&mut self) {
        self.0 = (self.0 * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Who gives orders being gone is an order, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The model that is being built, once it is; never, if none is.
async fn built(
    rebuilding: &mut Option<JoinHandle<Checkpointed<AllFour>>>,
) -> Checkpointed<AllFour> {
    let Some(building) = rebuilding else {
        return pending().await;
    };
    let model = building.await.expect("building does not panic");
    *rebuilding = None;
    model
}

/// Folds all that the store has behind the model, however often it fails; from the start, if it was restored meanwhile.
async fn build(shared: Arc<Shared>, mut model: Checkpointed<AllFour>) -> Checkpointed<AllFour> {
    let store = &shared.store;
    let mut pause = Pause::default();
    loop {
        if let Ok(false) = checkpoints::told_by(&**store, &model).await {
            model = Checkpointed::new(store.id());
        }
        let read;
        (model, read) = read_on(&shared, model, &mut pause).await;
        match read {
            Ok(()) => return model,
            Err(error) => shared.is_out_of_touch(&error),
        }
        pause.longer();
        pause.over().await;
    }
}

/// Folds what the store has behind the model now, as far as it can be read.
async fn read_on(
    shared: &Shared,
    mut model: Checkpointed<AllFour>,
    pause: &mut Pause,
) -> (Checkpointed<AllFour>, Result<(), StoreError>) {
    let store = &shared.store;
    let end = match store.info().await {
        Ok(info) => info.last,
        Err(error) => return (model, Err(error)),
    };
    let mut follower = Follower::new(Arc::clone(store), model.position(), PAGE);
    while model.position() < end {
        match follower.next().await {
            Ok(Followed::Events(events)) => model = folded(model, events).await,
            Ok(Followed::CaughtUp(_)) => break,
            Ok(Followed::Damaged(event)) if shared.stop_at_damage => {
                return (model, Err(event.into()));
            }
            Ok(Followed::Damaged(event)) => model.fold_damaged(&event),
            Err(error) => return (model, Err(error)),
        }
        shared.is_rebuilding(model.position());
        *pause = Pause::default();
    }
    (model, Ok(()))
}

/// Folds what the store has behind the model, up to that position; if there is less, that is all.
async fn fold_to(
    shared: &Shared,
    model: &mut Checkpointed<AllFour>,
    end: Position,
) -> Result<(), StoreError> {
    let mut follower = Follower::new(Arc::clone(&shared.store), model.position(), PAGE);
    while model.position() < end {
        match follower.next().await? {
            Followed::Events(events) => model.fold(&events),
            Followed::Damaged(event) if shared.stop_at_damage => return Err(event.into()),
            Followed::Damaged(event) => model.fold_damaged(&event),
            Followed::CaughtUp(_) => break,
        }
    }
    Ok(())
}

async fn folded(
    mut model: Checkpointed<AllFour>,
    events: Vec<StoredEvent>,
) -> Checkpointed<AllFour> {
    blocking(move || {
        model.fold(&events);
        model
    })
    .await
}

/// On a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = spawn_blocking(work).await;
    done.expect("what is done there does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::json::parse_command;
    use domain::{EventStore, Handler, MemoryStore, Request};
    use tempfile::tempdir;

    async fn connect(store: &Arc<dyn EventStore>) {
        let command = r#"{"call":"c1","type":"connect_call","agent":"agent:ana"}"#;
        let request: Request = parse_command(command).unwrap();
        let handler = Handler::new(Arc::clone(store));
        let answer = handler.handle(&request, handler.random_id(), handler.now());
        answer.await.unwrap();
    }

    #[tokio::test]
    async fn a_checkpoint_is_kept_now_and_then_beside_the_fold() {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let folder = tempdir().unwrap();
        connect(&store).await;
        let model = Checkpointed::new(store.id());
        let place = Some(folder.path().to_owned());
        let shared = Arc::new(Shared::new(Arc::clone(&store), place, model, false));
        let (_orders, mut following) = Following::new(Arc::clone(&shared));
        let (_, step) = (&mut following.reading).await;
        following.take(step).await;
        assert!(following.look_after().is_none(), "it is too soon");
        let long_ago = Instant::now().checked_sub(BETWEEN_CHECKPOINTS);
        following.kept_at = long_ago.expect("the machine runs for longer");
        following.look_after().expect("it is due").await.unwrap();
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert_eq!(kept.position(), Position(1));
    }
}
