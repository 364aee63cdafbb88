//! The read models and their upkeep, as the task that follows the store and the questions share them.

use super::changes::Changes;
use super::ended::Ended;
use super::rebuilds::Rebuilds;
use crate::calls::Lists;
use domain::{DamagedEvent, Position, Prefix, StoredEvent};
use engine::checkpoints::{self, NotKept};
use engine::follower::{Batch, Reader, Run};
use projections::{AllFour, Checkpointed, SetAside};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;

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

/// The state that the task that follows and the questions share.
pub(super) struct Shared {
    /// The reader of the store, which they subscribe to.
    pub(super) reader: Arc<Reader>,
    pub(super) changes: Changes,
    pub(super) lists: Lists,
    pub(super) rebuilds: Rebuilds,
    pub(super) ended: Ended,
    folder: Option<PathBuf>,
    live: RwLock<Live>,
    pub(super) progress: watch::Sender<Progress>,
    upkeep: Mutex<Upkeep>,
}

/// What is asked.
pub(super) struct Live {
    pub(super) model: Checkpointed<AllFour>,
    /// Differs between any two models, also those of two runs: what was told of one does not go on with another.
    pub(super) tag: u32,
}

/// How far the fold is, for tasks that wait for it.
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
pub(super) struct Upkeep {
    /// Where the store ended at the last look; `None` before the first one.
    store_end: Option<Position>,
    behind_since: Option<Instant>,
    pub(super) rebuilding: Option<Position>,
    pub(super) kept: Option<Position>,
    pub(super) trouble: Option<String>,
    pub(super) not_kept: Option<String>,
}

impl Shared {
    pub(super) fn new(
        reader: Arc<Reader>,
        folder: Option<PathBuf>,
        model: Checkpointed<AllFour>,
        stop_at_damage: bool,
    ) -> Self {
        let (tag, ..) = uuid::Uuid::new_v4().as_fields();
        let position = model.position();
        let progress = Progress::of(&model, tag);
        Self {
            reader,
            changes: Changes::since(position, tag),
            lists: Lists::new(stop_at_damage),
            rebuilds: Rebuilds::default(),
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

    pub(super) fn upkeep(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn behind(&self) -> Behind {
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

    /// Takes a batch in.
    pub(super) fn fold(&self, batch: &Batch) {
        for run in batch.runs() {
            match run {
                Run::Events(events) => self.fold_events(&events),
                Run::Damaged(event) => self.fold_damaged(event),
            }
        }
    }

    /// Takes events in, and notes what they changed for subscribers. Only the task that follows does this, so the
    /// model does not change between the three steps.
    fn fold_events(&self, events: &[&StoredEvent]) {
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
    fn fold_damaged(&self, event: &DamagedEvent) {
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

    /// Puts another model in place of this one; subscribers begin anew.
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
        // Dropping many calls takes time, and no lock is held for it here.
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

    /// The store ended there at a look just now.
    pub(super) fn ends_at(&self, end: Position) {
        self.upkeep().store_end = Some(end);
        self.compare_with_the_end();
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

    pub(super) fn is_out_of_touch(&self, error: String) {
        let mut upkeep = self.upkeep();
        upkeep.behind_since.get_or_insert_with(Instant::now);
        upkeep.trouble = Some(error);
    }

    pub(super) fn will_rebuild(&self) {
        let mut upkeep = self.upkeep();
        upkeep.rebuilding.get_or_insert(Position::START);
    }

    pub(super) fn is_rebuilding(&self, position: Position) {
        self.upkeep().rebuilding = Some(position);
    }

    /// The last event taken in, if it is a damaged one.
    pub(super) fn damage_at_the_end(&self) -> Option<SetAside> {
        let live = self.live();
        let last = live.model.state().damaged().last();
        last.filter(|damaged| damaged.position == live.model.position())
            .cloned()
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
