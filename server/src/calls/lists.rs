//! Lists of calls that were asked for lately. Each is folded from all events the first time; the next page, or the same
//! question again, takes in only what came since.

use crate::Problem;
use domain::{DamagedEvent, EventStore, Followed, Follower, Prefix, StoreError, StoredEvent};
use projections::{CallFilter, CallList};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

/// How many lists are folded at once: each reads all events.
const AT_ONCE: usize = 2;

/// How long a question waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many lists are kept, those that were asked for last.
const KEPT: usize = 4;

/// How long they are kept.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// How many calls a list may have that is kept.
const LARGE: usize = 200_000;

/// How many events are read at once.
const PAGE: usize = 1024;

/// Lists of calls, and whose turn it is to fold one.
pub(crate) struct Lists {
    kept: Mutex<Vec<Kept>>,
    turns: Semaphore,
    stop_at_damage: bool,
}

struct Kept {
    filter: CallFilter,
    list: Arc<tokio::sync::Mutex<Folded>>,
    used: Instant,
}

/// A list, and how far it was folded.
pub(crate) struct Folded {
    pub(crate) list: CallList,
    pub(crate) events: Prefix,
}

impl Lists {
    /// None yet. Those that stop at damage answer with it; the others leave damaged calls out.
    pub(crate) fn new(stop_at_damage: bool) -> Self {
        Self {
            kept: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            stop_at_damage,
        }
    }

    /// Asks the list as of the store's last event, on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        store: &Arc<dyn EventStore>,
        filter: CallFilter,
        question: impl FnOnce(&Folded) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let list = in_time(self.of(&filter).lock_owned()).await?;
        let turn = in_time(self.turns.acquire()).await?;
        let list = match caught_up(list, Arc::clone(store), self.stop_at_damage).await {
            Ok(list) => list,
            Err(error) => {
                self.drop_list(&filter);
                return Err(Problem::from(&error));
            }
        };
        drop(turn);
        if list.list.kept_calls() > LARGE {
            self.drop_list(&filter);
        }
        let answered = spawn_blocking(move || question(&list));
        Ok(answered.await.expect("a question does not panic"))
    }

    /// Forgets all: they are of another store than the one that is there now.
    pub(crate) fn forget(&self) {
        self.kept().clear();
    }

    /// Forgets what nobody asked for again.
    pub(crate) fn let_go(&self) {
        self.kept().retain(|kept| kept.used.elapsed() < KEPT_FOR);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list that was asked for before, or a new one; the one that was used last stands last.
    fn of(&self, filter: &CallFilter) -> Arc<tokio::sync::Mutex<Folded>> {
        let mut all = self.kept();
        let place = all.iter().position(|kept| kept.filter == *filter);
        let known = place.map(|place| all.remove(place).list);
        let list = known.unwrap_or_else(|| Arc::new(tokio::sync::Mutex::new(Folded::new(filter))));
        all.push(Kept {
            filter: filter.clone(),
            list: Arc::clone(&list),
            used: Instant::now(),
        });
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        list
    }

    fn drop_list(&self, filter: &CallFilter) {
        self.kept().retain(|kept| kept.filter != *filter);
    }
}

impl Folded {
    fn fold(&mut self, events: &[StoredEvent]) {
        self.list.fold(events);
        self.events = events.iter().fold(self.events, Prefix::plus);
    }

    fn fold_damaged(&mut self, event: &DamagedEvent) {
        self.list.fold_damaged(event);
        self.events = self.events.plus_damaged(event);
    }

    fn new(filter: &CallFilter) -> Self {
        Self {
            list: CallList::new(filter.clone()),
            events: Prefix::NONE,
        }
    }
}

/// As of the event that was the last one when it was asked: while many write, no reader ever comes to where there are no
/// more, and a store may answer fewer events than it has. Whoever stops waiting in the middle leaves the list whole, as
/// of an earlier event.
async fn caught_up(
    mut list: OwnedMutexGuard<Folded>,
    store: Arc<dyn EventStore>,
    stop_at_damage: bool,
) -> Result<OwnedMutexGuard<Folded>, StoreError> {
    let end = store.info().await?.last;
    let mut follower = Follower::new(store, list.events.position, PAGE);
    while list.events.position < end {
        match follower.next().await? {
            Followed::Events(events) => list.fold(&events),
            Followed::Damaged(event) if stop_at_damage => return Err(event.into()),
            Followed::Damaged(event) => list.fold_damaged(&event),
            Followed::CaughtUp(_) => break,
        }
        // A store that has all in memory never makes this wait, and others want their turn, too.
        yield_now().await;
    }
    Ok(list)
}

async fn in_time<T>(turn: impl Future<Output = T>) -> Result<T, Problem> {
    timeout(LONGEST_WAIT, turn).await.map_err(|_| {
        let detail = "too many look for calls at once, and each reads all events; try again, or follow a read model";
        Problem::try_again("busy", detail, 5)
    })
}
