//! The four read models, live: one fold that follows the store, and everybody who asks reads it where it stands.
//!
//! Questions are answered within a lock that the fold waits for, on threads that may block: a page is filtered, cut and
//! written as text there, because its rows borrow from the calls, and copies of all calls would cost more than the wait.
//! The fold waits for a place before further readers do, so that neither starves.

use super::changes::Changes;
use super::follow::{self, Orders};
use super::rebuilds::WhyRebuilt;
use super::shared::{Behind, Progress, Shared};
use crate::access::Guards;
use crate::calls::Lists;
use crate::turns::{OWN, Turns};
use crate::{Problem, Settings};
use domain::{EventStore, Position, Prefix, Spread, StoreError};
use engine::checkpoints::{self, Why};
use engine::follower::Reader;
use projections::{AllFour, Checkpointed, SetAside};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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

impl Views {
    /// Begins to follow the store, from the checkpoint in that folder if there is one of this store. A store that
    /// cannot be reached is waited for.
    pub async fn start(
        store: Arc<dyn EventStore>,
        folder: Option<PathBuf>,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let reader = Reader::start(store, None, settings.stop_at_damage);
        let turns = Arc::new(Turns::new(&Guards::open()));
        Self::subscribed(reader, folder, settings, turns).await
    }

    /// The same, where all parts of the service share the reader and the turns.
    pub(crate) async fn subscribed(
        reader: Arc<Reader>,
        folder: Option<PathBuf>,
        settings: &Settings,
        turns: Arc<Turns>,
    ) -> Result<Self, StoreError> {
        let (kept, refused) = kept(reader.store(), folder.as_ref()).await?;
        // A checkpoint that left calls out has passed damage that the setting says to stop at.
        let kept =
            kept.filter(|model| !settings.stop_at_damage || model.state().damaged().is_empty());
        let checkpoint = kept.as_ref().map(Checkpointed::position);
        let model = kept.unwrap_or_else(|| Checkpointed::new(reader.store().id()));
        let shared = Shared::new(reader, folder, model, settings.stop_at_damage);
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
        self.shared.rebuilds.counts()
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
