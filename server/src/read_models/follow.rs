//! The task that follows the store: it alone folds, and puts a rebuilt model in place of the old one.

use super::rebuilds::{WhyRebuilt, is_whole_again};
use super::shared::Shared;
use domain::{Position, Prefix};
use engine::follower::{Batch, Run, Span, Step, Subscription};
use projections::{AllFour, Checkpointed};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often checkpoints, changes and lists are looked after.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(30);

/// How often a checkpoint is kept.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_mins(5);

/// Commands to the task.
pub(super) struct Orders {
    stop: watch::Sender<bool>,
    /// How often it was asked for, and why the last time.
    rebuild: watch::Sender<(u64, WhyRebuilt)>,
}

struct Following {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    rebuild: watch::Receiver<(u64, WhyRebuilt)>,
    store_ends: watch::Receiver<Option<Position>>,
    subscription: Subscription,
    /// The store has other events than the model; nothing is taken in until another one is in place.
    is_lost: bool,
    /// The model that is being built, and why.
    rebuilding: Option<(WhyRebuilt, JoinHandle<Rebuilt>)>,
    rounds: Interval,
    kept_at: Instant,
}

/// A model that will take the place of the live one, and the subscription that it is made from.
struct Rebuilt {
    model: Checkpointed<AllFour>,
    subscription: Subscription,
}

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
        let progress = shared.progress();
        let following = Self {
            stop: orders.stop.subscribe(),
            rebuild: orders.rebuild.subscribe(),
            store_ends: shared.reader.tail().store_ends(),
            subscription: subscribe(&shared, progress.mark, progress.events),
            is_lost: false,
            rebuilding: None,
            rounds,
            kept_at: Instant::now(),
            shared,
        };
        (orders, following)
    }

    /// No future is dropped here that holds events: the subscription keeps its own reads.
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => break,
                (why, rebuilt) = built(&mut self.rebuilding) => self.put_in_place(why, rebuilt).await,
                Ok(()) = self.rebuild.changed() => {
                    let (_, why) = *self.rebuild.borrow();
                    self.begin_to_rebuild(why);
                }
                _ = self.rounds.tick() => drop(self.look_after()),
                Ok(()) = self.store_ends.changed() => self.look_at_the_end(),
                step = self.subscription.next(), if !self.is_lost => self.take(step).await,
            }
        }
        if let Some((_, rebuilding)) = self.rebuilding {
            rebuilding.abort();
        }
        let shared = self.shared;
        blocking(move || shared.keep()).await;
    }

    fn look_at_the_end(&mut self) {
        if let Some(end) = *self.store_ends.borrow_and_update() {
            self.shared.ends_at(end);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Batch(batch) => {
                let shared = Arc::clone(&self.shared);
                blocking(move || shared.fold(&batch)).await;
            }
            Step::AtTheEnd => self.shared.is_at_the_end(),
            // The store may have the same events as before.
            Step::Anew => {}
            Step::Contradiction => self.is_restored().await,
            Step::Failed(error) => self.shared.is_out_of_touch(error),
        }
    }

    async fn is_restored(&mut self) {
        self.is_lost = true;
        // The model under way is made of the events as they are now.
        if self.rebuilding_for(WhyRebuilt::WholeAgain) {
            return;
        }
        // A model under way may have been made of both stores.
        if let Some((_, rebuilding)) = self.rebuilding.take() {
            rebuilding.abort();
        }
        let why = why_lost(&self.shared).await;
        self.begin_to_rebuild(why);
    }

    fn rebuilding_for(&self, why: WhyRebuilt) -> bool {
        let rebuilding = self.rebuilding.as_ref();
        rebuilding.is_some_and(|(reason, _)| *reason == why)
    }

    /// Once is enough, however often it is asked for meanwhile.
    fn begin_to_rebuild(&mut self, why: WhyRebuilt) {
        if self.rebuilding.is_none() {
            self.shared.rebuilds.count(why);
            self.build_on(why, Rebuilt::nothing(&self.shared));
        }
    }

    fn build_on(&mut self, why: WhyRebuilt, rebuilt: Rebuilt) {
        self.shared.is_rebuilding(rebuilt.model.position());
        let building = build(Arc::clone(&self.shared), rebuilt);
        self.rebuilding = Some((why, tokio::spawn(building)));
    }

    /// The new model first takes in what the old one did meanwhile, so that no reader goes back; only where the store
    /// itself went back, there is nothing else to do.
    async fn put_in_place(&mut self, why: WhyRebuilt, mut rebuilt: Rebuilt) {
        let old = self.shared.progress().events.position;
        // Building ended at the store's end, which may be before the old model's, and a subscription reports it once.
        rebuilt.subscription.forget_reports();
        while !self.is_lost && rebuilt.model.position() < old {
            let step = tokio::select! {
                () = stopped(&mut self.stop) => return,
                step = rebuilt.subscription.next() => step,
            };
            match step {
                Step::Batch(batch) => rebuilt = rebuilt.with(batch).await,
                Step::AtTheEnd => break,
                Step::Anew => {}
                Step::Contradiction => return self.build_on(why, Rebuilt::nothing(&self.shared)),
                Step::Failed(error) => {
                    self.shared.is_out_of_touch(error);
                    return self.build_on(why, rebuilt);
                }
            }
        }
        let Rebuilt {
            model,
            subscription,
        } = rebuilt;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.swap(model)).await;
        self.is_lost = false;
        self.subscription = subscription;
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

impl Rebuilt {
    fn nothing(shared: &Shared) -> Self {
        let model: Checkpointed<AllFour> = Checkpointed::new(shared.reader.store().id());
        Self {
            subscription: subscribe(shared, model.mark(), model.events()).rereading(),
            model,
        }
    }

    async fn with(self, batch: Batch) -> Self {
        let Self {
            mut model,
            subscription,
        } = self;
        let folding = blocking(move || {
            for run in batch.runs() {
                match run {
                    Run::Events(events) => model.fold(&events),
                    Run::Damaged(event) => model.fold_damaged(event),
                }
            }
            model
        });
        Self {
            model: folding.await,
            subscription,
        }
    }
}

/// Why the store does not have the events of the model.
async fn why_lost(shared: &Shared) -> WhyRebuilt {
    match shared.damage_at_the_end() {
        Some(damaged) if is_whole_again(&**shared.reader.store(), &damaged).await => {
            WhyRebuilt::WholeAgain
        }
        _ => WhyRebuilt::Restored,
    }
}

fn subscribe(shared: &Shared, from: Prefix, to: Prefix) -> Subscription {
    let generation = shared.reader.tail().end().generation;
    shared.reader.subscribe(Span { from, to }, generation)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Who gives orders being gone is an order, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The model that is being built, once it is; never, if there is none.
async fn built(
    rebuilding: &mut Option<(WhyRebuilt, JoinHandle<Rebuilt>)>,
) -> (WhyRebuilt, Rebuilt) {
    let Some((why, building)) = rebuilding else {
        return pending().await;
    };
    let built = (*why, building.await.expect("building does not panic"));
    *rebuilding = None;
    built
}

/// Takes in all that the store has, however often that fails; from the start, if it was restored meanwhile.
async fn build(shared: Arc<Shared>, mut rebuilt: Rebuilt) -> Rebuilt {
    let mut store_ends = shared.reader.tail().store_ends();
    loop {
        match rebuilt.subscription.next().await {
            Step::Batch(batch) => rebuilt = rebuilt.with(batch).await,
            Step::AtTheEnd => return rebuilt,
            Step::Anew => {}
            Step::Contradiction => {
                store_ends.mark_unchanged();
                rebuilt = Rebuilt::nothing(&shared);
            }
            Step::Failed(error) => shared.is_out_of_touch(error),
        }
        let position = rebuilt.model.position();
        shared.is_rebuilding(position);
        // Where many write, there are always more events. A look from before may be at a store that was replaced since.
        let has_looked = store_ends.has_changed().unwrap_or(false);
        if has_looked && store_ends.borrow().is_some_and(|end| position >= end) {
            return rebuilt;
        }
    }
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
    use engine::checkpoints;
    use engine::follower::Reader;
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
        let reader = Reader::start(Arc::clone(&store), None, false);
        let shared = Arc::new(Shared::new(reader, place, model, false));
        let (_orders, mut following) = Following::new(Arc::clone(&shared));
        while shared.progress().events.position == Position::START {
            let step = following.subscription.next().await;
            following.take(step).await;
        }
        assert!(following.look_after().is_none(), "it is too soon");
        let long_ago = Instant::now().checked_sub(BETWEEN_CHECKPOINTS);
        following.kept_at = long_ago.expect("the machine runs for longer");
        following.look_after().expect("it is due").await.unwrap();
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert_eq!(kept.position(), Position(1));
    }
}
