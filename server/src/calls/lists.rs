//! Lists of calls that were asked for lately. Each is folded from all events the first time; the next page, or the same
//! question again, takes in only what came since.

use crate::Problem;
use crate::shares::Shares;
use crate::turns::Turns;
use domain::{DamagedEvent, EventStore, Followed, Follower, Prefix, StoreError, StoredEvent};
use projections::{CallFilter, CallList};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many lists are folded at once: each reads all events.
const AT_ONCE: usize = 2;

/// How many lists are sent whole at once: each holds its calls until the client has read them.
const SENT_AT_ONCE: usize = 2;

/// How long a question waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many lists are kept, those that were asked for last.
const KEPT: usize = 4;

/// How long they are kept.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// How many calls the kept lists may have together.
const KEPT_CALLS: usize = 200_000;

/// How many events are read at once.
const PAGE: usize = 1024;

/// Lists of calls, and whose turn it is to fold one.
pub(crate) struct Lists {
    kept: Mutex<Vec<Kept>>,
    folding: Semaphore,
    sending: Arc<Semaphore>,
    sending_of_key: Shares,
    stop_at_damage: bool,
}

/// Whose turns a question takes, and what it is asked of.
pub(crate) struct Asking<'a> {
    pub(crate) turns: &'a Turns,
    pub(crate) key: &'a str,
    pub(crate) store: &'a Arc<dyn EventStore>,
}

/// A list that only one answer has, so that it stays as it is.
pub(crate) struct Own {
    pub(crate) folded: Folded,
    _places: [OwnedSemaphorePermit; 2],
}

struct Kept {
    filter: CallFilter,
    list: Arc<tokio::sync::Mutex<Folded>>,
    /// How many calls it had when it was asked for last.
    calls: usize,
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
            folding: Semaphore::new(AT_ONCE),
            sending: Arc::new(Semaphore::new(SENT_AT_ONCE)),
            sending_of_key: Shares::of_each(1),
            stop_at_damage,
        }
    }

    /// Asks the list as of the store's last event, in a turn of the key.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        asking: &Asking<'_>,
        filter: CallFilter,
        question: impl FnOnce(&Folded) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let list = self.folded(asking, &filter).await?;
        self.has(&filter, list.list.kept_calls());
        let answer = move || question(&list);
        Ok(asking.turns.run(asking.key, answer).await)
    }

    /// The list as of the store's last event, for one answer alone. Later questions fold another.
    pub(crate) async fn own(
        &self,
        asking: &Asking<'_>,
        filter: &CallFilter,
    ) -> Result<Own, Problem> {
        let of_key = in_time(self.sending_of_key.of(asking.key).acquire_owned()).await?;
        let of_all = in_time(Arc::clone(&self.sending).acquire_owned()).await?;
        let mut folded = self.folded(asking, filter).await?;
        // Others may wait for it: they fold it again.
        let own = std::mem::replace(&mut *folded, Folded::new(filter));
        drop(folded);
        self.drop_list(filter);
        let never_closed = "places are never closed";
        Ok(Own {
            folded: own,
            _places: [of_key.expect(never_closed), of_all.expect(never_closed)],
        })
    }

    async fn folded(
        &self,
        asking: &Asking<'_>,
        filter: &CallFilter,
    ) -> Result<OwnedMutexGuard<Folded>, Problem> {
        let list = in_time(self.of(filter).lock_owned()).await?;
        let _folding = in_time(self.folding.acquire()).await?;
        let caught_up = caught_up(list, asking, self.stop_at_damage).await;
        caught_up.map_err(|error| {
            self.drop_list(filter);
            Problem::from(&error)
        })
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
        let mut asked = match place.map(|place| all.remove(place)) {
            Some(known) => known,
            None => Kept::new(filter),
        };
        asked.used = Instant::now();
        let list = Arc::clone(&asked.list);
        all.push(asked);
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        list
    }

    /// Notes how many calls a list has. If all together have too many, those that were not asked for longest are forgotten.
    fn has(&self, filter: &CallFilter, calls: usize) {
        let mut all = self.kept();
        if let Some(asked) = all.iter_mut().find(|kept| kept.filter == *filter) {
            asked.calls = calls;
        }
        while all.iter().map(|kept| kept.calls).sum::<usize>() > KEPT_CALLS {
            all.remove(0);
        }
    }

    fn drop_list(&self, filter: &CallFilter) {
        self.kept().retain(|kept| kept.filter != *filter);
    }
}

impl Kept {
    fn new(filter: &CallFilter) -> Self {
        Self {
            filter: filter.clone(),
            list: Arc::new(tokio::sync::Mutex::new(Folded::new(filter))),
            calls: 0,
            used: Instant::now(),
        }
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
    asking: &Asking<'_>,
    stop_at_damage: bool,
) -> Result<OwnedMutexGuard<Folded>, StoreError> {
    let Asking { turns, key, store } = asking;
    let end = store.info().await?.last;
    let mut follower = Follower::new(Arc::clone(store), list.events.position, PAGE);
    while list.events.position < end {
        let reading = async move {
            let next = follower.next().await;
            (follower, next)
        };
        let next;
        (follower, next) = turns.begin(key, reading).await;
        match next? {
            Followed::Events(events) => {
                let fold = move || {
                    list.fold(&events);
                    list
                };
                list = turns.run(key, fold).await;
            }
            Followed::Damaged(event) if stop_at_damage => return Err(event.into()),
            Followed::Damaged(event) => list.fold_damaged(&event),
            Followed::CaughtUp(_) => break,
        }
    }
    Ok(list)
}

async fn in_time<T>(turn: impl Future<Output = T>) -> Result<T, Problem> {
    timeout(LONGEST_WAIT, turn).await.map_err(|_| {
        let detail = "too many look for calls at once, and each reads all events; try again, or follow a read model";
        Problem::try_again("busy", detail, 5)
    })
}
