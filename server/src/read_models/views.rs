//! The four read models, live: one fold that follows the store, and everybody who asks reads it where it stands.
//!
//! Questions are answered within a lock that the fold waits for, on threads that may block: a page is filtered, cut and
//! written as text there, because its rows borrow from the calls, and copies of all calls would cost more than the wait.
//! The fold waits for a place before further readers do, so that neither starves.

use super::changes::Changes;
use super::ended::Ended;
use super::follow::{self, Orders, WhyRebuilt};
use crate::access::Guards;
use crate::calls::Lists;
use crate::turns::{OWN, Turns};
use crate::{Problem, Settings};
use domain::{DamagedEvent, EventStore, Position, Prefix, Spread, StoreError, StoredEvent};
use engine::checkpoints::{self, NotKept, Why};
use projections::{AllFour, Checkpointed, SetAside};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// How long a question may take, with waiting for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The four read models, kept up with the store.
pub struct Views {
    shared: Arc<Shared>,
    refused_checkpoint: Option<String>,
    orders: Orders,
    turns: Arc<Turns>,
    following: Mutex<Option<JoinHandle<()>>>,
}

/// How far a read model is behind its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The last position that the store is known to have.
    pub store: Position,
    /// The last one that was taken in.
    pub own: Position,
    /// For how long there has been something to take in, or the store could not be asked.
    pub since: Duration,
}

/// The position that was waited for was not reached in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the read models have reached position {reached}")]
pub struct NotReached {
    /// The one that was.
    pub reached: Position,
}

/// Where the read models and their upkeep stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The events taken in.
    pub events: Prefix,
    /// How many damaged events keep their calls out.
    pub set_aside: usize,
    /// Whether they ever were at the end of the store.
    pub caught_up: bool,
    /// How far they are behind it.
    pub behind: Behind,
    /// How far the new ones are that will take their place, if any are being built.
    pub rebuilding: Option<Position>,
    /// The position of the checkpoint that the next start begins from, if one is kept.
    pub checkpoint: Option<Position>,
    /// Why the store is not read, if so.
    pub trouble: Option<String>,
    /// Why the last checkpoint was not kept, if so.
    pub not_kept: Option<String>,
    /// Whether anybody follows the store: nobody does once that was stopped, or came to a bad end.
    pub following: bool,
}

/// What the task that follows and those who ask share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) changes: Changes,
    pub(super) lists: Lists,
    /// Whether a damaged event stops them, instead of its call being left out.
    pub(super) stop_at_damage: bool,
    rebuilt: [AtomicU64; WhyRebuilt::ALL.len()],
    ended: Ended,
    folder: Option<PathBuf>,
    live: RwLock<Live>,
    progress: watch::Sender<Progress>,
    upkeep: Mutex<Upkeep>,
}

/// What is asked.
pub(super) struct Live {
    pub(super) model: Checkpointed<AllFour>,
    /// Differs between any two models, also those of two runs: what was told of one does not go on with another.
    pub(super) tag: u32,
}

/// What those who wait are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) events: Prefix,
    pub(super) mark: Prefix,
    pub(super) set_aside: usize,
    pub(super) kept_calls: usize,
    pub(super) caught_up: bool,
    pub(super) tag: u32,
}

#[derive(Debug)]
struct Upkeep {
    /// Where the store ended at the last look; `None` before the first one.
    store_end: Option<Position>,
    behind_since: Option<Instant>,
    rebuilding: Option<Position>,
    kept: Option<Position>,
    trouble: Option<String>,
    not_kept: Option<String>,
}

impl Views {
    /// Begins to follow the store, from the checkpoint in that folder if there is one of this store. A store that
    /// cannot be reached is waited for.
    pub async fn start(
        store: Arc<dyn EventStore>,
        folder: Option<PathBuf>,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        Self::taking_turns(
            store,
            folder,
            settings,
            Arc::new(Turns::new(&Guards::open())),
        )
        .await
    }

    /// The same, where all readers of the service take turns.
    pub(crate) async fn taking_turns(
        store: Arc<dyn EventStore>,
        folder: Option<PathBuf>,
        settings: &Settings,
        turns: Arc<Turns>,
    ) -> Result<Self, StoreError> {
        let (kept, refused) = kept(&store, folder.as_ref()).await?;
        // A checkpoint that left calls out has passed damage that the setting says to stop at.
        let kept =
            kept.filter(|model| !settings.stop_at_damage || model.state().damaged().is_empty());
        let checkpoint = kept.as_ref().map(Checkpointed::position);
        let model = kept.unwrap_or_else(|| Checkpointed::new(store.id()));
        let shared = Shared::new(store, folder, model, settings.stop_at_damage);
        shared.upkeep().kept = checkpoint;
        let shared = Arc::new(shared);
        let (orders, following) = follow::start(Arc::clone(&shared));
        Ok(Self {
            shared,
            refused_checkpoint: refused,
            orders,
            turns,
            following: Mutex::new(Some(following)),
        })
    }

    /// Why there was a checkpoint that they could not begin from, if so: they are built from the first event.
    pub fn refused_checkpoint(&self) -> Option<&str> {
        self.refused_checkpoint.as_deref()
    }

    /// The position of the last event taken in.
    pub fn position(&self) -> Position {
        self.events().position
    }

    /// All events taken in: how many, and their rolling hash.
    pub fn events(&self) -> Prefix {
        self.shared.progress.borrow().events
    }

    /// The last prefix taken in that the feed keeps.
    pub fn mark(&self) -> Prefix {
        self.shared.progress.borrow().mark
    }

    /// How many damaged events keep their calls out.
    pub fn set_aside(&self) -> usize {
        self.shared.progress.borrow().set_aside
    }

    /// The damaged events that keep their calls out.
    pub async fn damaged(&self) -> Vec<SetAside> {
        if self.set_aside() == 0 {
            return Vec::new();
        }
        let damaged = |model: &Checkpointed<AllFour>, _| model.state().damaged().to_vec();
        self.ask(OWN, damaged).await
    }

    /// How often they were built from the store's first event, and why.
    pub fn rebuilt(&self) -> [(WhyRebuilt, u64); WhyRebuilt::ALL.len()] {
        WhyRebuilt::ALL.map(|why| {
            let times = &self.shared.rebuilt[why as usize];
            (why, times.load(Ordering::Relaxed))
        })
    }

    /// Whether they were at the end of the store since the start; from then on they are as late as [`Self::behind`] says.
    pub fn caught_up(&self) -> bool {
        self.shared.progress.borrow().caught_up
    }

    /// How far they are behind the store.
    pub fn behind(&self) -> Behind {
        self.shared.behind()
    }

    /// Where they and their upkeep stand.
    pub fn standing(&self) -> Standing {
        let Progress {
            events,
            set_aside,
            caught_up,
            ..
        } = *self.shared.progress.borrow();
        let behind = self.behind();
        let upkeep = self.shared.upkeep();
        Standing {
            events,
            set_aside,
            caught_up,
            behind,
            rebuilding: upkeep.rebuilding,
            checkpoint: upkeep.kept,
            trouble: upkeep.trouble.clone(),
            not_kept: upkeep.not_kept.clone(),
            following: self.is_following(),
        }
    }

    fn is_following(&self) -> bool {
        let following = self.following.lock();
        let following = following.unwrap_or_else(PoisonError::into_inner);
        following.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// How many follow changes.
    pub fn subscribers(&self) -> usize {
        self.shared.changes.subscribers()
    }

    /// How long the calls took that ended since they had caught up, in milliseconds (R61).
    pub fn handle_times(&self) -> Spread {
        self.shared.ended.spread()
    }

    /// Waits until that position was taken in, but no longer than that.
    pub async fn wait_for(&self, position: Position, longest: Duration) -> Result<(), NotReached> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.events.position >= position);
        match timeout(longest, reached).await {
            Ok(Ok(_)) => Ok(()),
            // The sender is never dropped while somebody can ask.
            Ok(Err(_)) | Err(_) => Err(NotReached {
                reached: self.position(),
            }),
        }
    }

    /// Reads them with the tag of the model, once it is the key's turn.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        key: &str,
        question: impl FnOnce(&Checkpointed<AllFour>, u32) -> T + Send + 'static,
    ) -> T {
        let shared = Arc::clone(&self.shared);
        let answer = move || {
            let live = shared.live();
            question(&live.model, live.tag)
        };
        self.turns.run(key, answer).await
    }

    /// The same, unless too many ask.
    pub(super) async fn ask_in_time<T: Send + 'static>(
        &self,
        key: &str,
        question: impl FnOnce(&Checkpointed<AllFour>, u32) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        timeout(LONGEST_WAIT, self.ask(key, question))
            .await
            .map_err(|_| {
                let detail =
                    "too many ask the read models at once; ask again, or follow their changes";
                Problem::try_again("busy", detail, 5)
            })
    }

    /// Builds new ones from the store's first event; these answer until those have caught up.
    pub fn rebuild(&self, why: WhyRebuilt) {
        self.shared.will_rebuild();
        self.orders.rebuild(why);
    }

    /// Stops following, and keeps what the next start need not read again.
    pub async fn close(&self) {
        self.orders.stop();
        let following = self.following.lock();
        let following = following.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(following) = following {
            // Whatever went wrong there, there is nothing left to stop.
            let _ = following.await;
        }
    }

    /// How many calls are not over.
    pub(super) fn kept_calls(&self) -> usize {
        self.shared.progress.borrow().kept_calls
    }

    pub(crate) fn tag(&self) -> u32 {
        self.shared.progress.borrow().tag
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.shared.lists
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    /// Waits until all that the fold changed up to that position was noted for those who follow that model.
    pub(super) async fn noted(&self, position: Position, tag: u32) {
        let mut progress = self.progress();
        let noted = progress
            .wait_for(|progress| progress.events.position >= position || progress.tag != tag);
        // The sender is never dropped while somebody can ask.
        let _ = noted.await;
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }
}

/// The checkpoint to begin with, or why there is one that cannot be used. If the store cannot be reached, the checkpoint
/// is taken on trust: the reader verifies it before it reads on.
async fn kept(
    store: &Arc<dyn EventStore>,
    folder: Option<&PathBuf>,
) -> Result<(Option<Checkpointed<AllFour>>, Option<String>), StoreError> {
    let Some(folder) = folder.cloned() else {
        return Ok((None, None));
    };
    let id = store.id();
    let read = spawn_blocking(move || checkpoints::read::<AllFour>(&folder, id));
    let model = match read.await.expect("reading does not panic") {
        Ok(model) => model,
        Err(Why::NoFile) => return Ok((None, None)),
        Err(why) => return Ok((None, Some(why.to_string()))),
    };
    match checkpoints::told_by(&**store, &model).await {
        Ok(true) | Err(StoreError::Unavailable(_)) => Ok((Some(model), None)),
        Ok(false) => {
            let why = "the store does not lead to the checkpoint; the read models are built anew";
            Ok((None, Some(why.to_owned())))
        }
        Err(error) => Err(error),
    }
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        folder: Option<PathBuf>,
        model: Checkpointed<AllFour>,
        stop_at_damage: bool,
    ) -> Self {
        let (tag, ..) = uuid::Uuid::new_v4().as_fields();
        let position = model.position();
        let progress = Progress::of(&model, tag);
        Self {
            store,
            changes: Changes::since(position, tag),
            lists: Lists::new(stop_at_damage),
            stop_at_damage,
            rebuilt: Default::default(),
            ended: Ended::default(),
            folder,
            live: RwLock::new(Live { model, tag }),
            progress: watch::Sender::new(progress),
            upkeep: Mutex::new(Upkeep {
                store_end: None,
                behind_since: Some(Instant::now()),
                rebuilding: None,
                kept: None,
                trouble: None,
                not_kept: None,
            }),
        }
    }

    /// A panic elsewhere leaves the model as the last whole fold left it, or a question unanswered.
    pub(super) fn live(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the fold is, for tasks that must not wait for the lock.
    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    fn live_mut(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn upkeep(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind(&self) -> Behind {
        let own = self.progress.borrow().events.position;
        let upkeep = self.upkeep();
        Behind {
            store: upkeep.store_end.map_or(own, |end| end.max(own)),
            own,
            since: upkeep
                .behind_since
                .map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }

    /// Takes events in, and notes what they changed for those who follow. Only the task that follows does this, so the
    /// model does not change between the three steps.
    pub(super) fn fold(&self, events: &[StoredEvent]) {
        let set_aside = self.progress.borrow().set_aside;
        let mut watching = self.changes.watching(events);
        let before = watching.rows(self.live().model.state());
        self.live_mut().model.fold(events);
        let live = self.live();
        let after = watching.rows(live.model.state());
        if self.progress.borrow().caught_up {
            self.ended.count(events, live.model.state());
        }
        let (position, damaged) = (live.model.position(), live.model.state().damaged().len());
        drop(live);
        self.changes.note(&watching, position, before, after);
        if damaged > set_aside {
            self.begin_changes_anew();
        }
        self.has_folded();
    }

    /// Leaves out the call of a damaged event.
    pub(super) fn fold_damaged(&self, event: &DamagedEvent) {
        let set_aside = self.progress.borrow().set_aside;
        self.live_mut().model.fold_damaged(event);
        if self.live().model.state().damaged().len() > set_aside {
            self.begin_changes_anew();
        }
        self.has_folded();
    }

    /// Rows went that no event touched, so subscribers are sent all rows again.
    fn begin_changes_anew(&self) {
        let mut live = self.live_mut();
        live.tag = live.tag.wrapping_add(1);
        self.changes.begin_anew(live.model.position(), live.tag);
    }

    fn has_folded(&self) {
        self.publish_progress();
        self.upkeep().trouble = None;
        self.compare_with_the_end();
    }

    fn publish_progress(&self) {
        let live = self.live();
        let next = Progress::of(&live.model, live.tag);
        drop(live);
        self.progress.send_modify(|progress| {
            let caught_up = progress.caught_up;
            *progress = Progress { caught_up, ..next };
        });
    }

    pub(super) fn counts_rebuild(&self, why: WhyRebuilt) {
        self.rebuilt[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Puts another model in place of this one; who followed this one begins anew.
    pub(super) fn swap(&self, model: Checkpointed<AllFour>) {
        let position = model.position();
        let mut live = self.live_mut();
        let tag = live.tag.wrapping_add(1);
        let old = std::mem::replace(&mut *live, Live { model, tag });
        self.changes.begin_anew(position, tag);
        drop(live);
        self.publish_progress();
        let mut upkeep = self.upkeep();
        upkeep.rebuilding = None;
        upkeep.kept = None;
        upkeep.store_end = None;
        drop(upkeep);
        self.lists.forget();
        // Many calls take their time to go, and nobody waits for that any more.
        drop(old);
    }

    pub(super) fn is_at_the_end(&self) {
        let mut upkeep = self.upkeep();
        upkeep.behind_since = None;
        upkeep.trouble = None;
        drop(upkeep);
        self.progress
            .send_if_modified(|progress| !std::mem::replace(&mut progress.caught_up, true));
    }

    /// The store ended there at a look just now; `None` if it could not say.
    pub(super) fn ends_at(&self, end: Option<Position>) {
        if let Some(end) = end {
            self.upkeep().store_end = Some(end);
            self.compare_with_the_end();
        }
    }

    /// Whether all was folded that the store had at the last look.
    fn compare_with_the_end(&self) {
        let position = self.progress.borrow().events.position;
        let mut upkeep = self.upkeep();
        let Some(end) = upkeep.store_end else { return };
        if position < end {
            upkeep.behind_since.get_or_insert_with(Instant::now);
        } else if upkeep.trouble.is_none() {
            drop(upkeep);
            self.is_at_the_end();
        }
    }

    pub(super) fn is_out_of_touch(&self, error: &StoreError) {
        let mut upkeep = self.upkeep();
        upkeep.behind_since.get_or_insert_with(Instant::now);
        upkeep.trouble = Some(error.to_string());
    }

    fn will_rebuild(&self) {
        let mut upkeep = self.upkeep();
        upkeep.rebuilding.get_or_insert(Position::START);
    }

    pub(super) fn is_rebuilding(&self, position: Position) {
        self.upkeep().rebuilding = Some(position);
    }

    /// Keeps a checkpoint, if there is something new to keep. A copy is written, so that the fold need not wait for the
    /// disk.
    pub(super) fn keep(&self) {
        let Some(folder) = &self.folder else { return };
        if self.upkeep().kept == Some(self.progress.borrow().events.position) {
            return;
        }
        let (model, tag) = {
            let live = self.live();
            (live.model.clone(), live.tag)
        };
        let kept = checkpoints::keep(folder, &model);
        let mut upkeep = self.upkeep();
        if tag != self.progress.borrow().tag {
            // Another model took its place meanwhile, and is kept when that is due.
            upkeep.kept = None;
            return;
        }
        match kept {
            Ok(()) => {
                upkeep.kept = Some(model.position());
                upkeep.not_kept = None;
            }
            Err(error) => upkeep.not_kept = Some(whole(&error)),
        }
    }
}

impl Progress {
    fn of(model: &Checkpointed<AllFour>, tag: u32) -> Self {
        Self {
            events: model.events(),
            mark: model.mark(),
            set_aside: model.state().damaged().len(),
            kept_calls: model.state().kept_calls(),
            caught_up: false,
            tag,
        }
    }
}

fn whole(error: &NotKept) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}
