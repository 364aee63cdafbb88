//! The events as they come, to any number of subscribers, and the proof that none is missing.
//!
//! One task (`follow`) reads the store for all and counts: r(n) is SHA-256 of r(n-1) and the hash of the n-th event in
//! the store's order, and r(0) is zeros (`prefix`). The last events are at hand, and each subscriber has a mailbox
//! that is filled with what it asked for (`live`, `mailboxes`). Who is further back reads the store at its own pace
//! until it meets the events at hand (`stream`).

mod file;
mod filter;
mod follow;
mod form;
mod live;
mod mailboxes;
mod page;
mod prefix;
mod queue;
mod reading;
mod routes;
mod stream;

pub(crate) use filter::agents;
pub use live::State;
pub use prefix::{INTERVAL, Prefix};
pub(crate) use routes::routes;

use crate::Settings;
use crate::access::Guards;
use crate::turns::{OWN, Turns};
use domain::EventStore;
use file::Keeper;
use filter::Filter;
use follow::Following;
use live::{Known, Live};
use reading::Reading;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The one reader of the store that all subscribers share.
pub struct Feed {
    live: Arc<Live>,
    reading: Reading,
    counts: Arc<Counts>,
    following: Mutex<Option<(JoinHandle<()>, Arc<Keeper>)>>,
}

/// How many streams there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscribers {
    /// Of everything.
    pub unfiltered: usize,
    /// Of a call, an agent or a type.
    pub filtered: usize,
}

#[derive(Default)]
struct Counts {
    unfiltered: AtomicUsize,
    filtered: AtomicUsize,
}

/// Counts one stream while it is there.
struct Counted {
    counts: Arc<Counts>,
    of_everything: bool,
}

impl Feed {
    /// Begins to follow the store, from where the proof that is kept in that folder ends; must be called within a
    /// runtime.
    pub fn start(store: Arc<dyn EventStore>, folder: Option<&Path>, settings: &Settings) -> Self {
        Self::taking_turns(
            store,
            folder,
            settings,
            Arc::new(Turns::new(&Guards::open())),
        )
    }

    /// The same, where all readers of the service take turns.
    pub(crate) fn taking_turns(
        store: Arc<dyn EventStore>,
        folder: Option<&Path>,
        settings: &Settings,
        turns: Arc<Turns>,
    ) -> Self {
        let live = Arc::new(Live::default());
        let (found, keeper) = file::open(folder, store.id(), Arc::clone(&live));
        // The kept proof may have passed damage that the setting says to stop at.
        let found = found.unless(settings.stop_at_damage);
        let keeper = Arc::new(keeper);
        let following = Following {
            store: Arc::clone(&store),
            live: Arc::clone(&live),
            keeper: Arc::clone(&keeper),
            stop_at_damage: settings.stop_at_damage,
        };
        let task = tokio::spawn(following.run(found));
        let reading = Reading {
            store,
            live: Arc::clone(&live),
            max_wait: Duration::from_millis(settings.max_wait_ms),
            stop_at_damage: settings.stop_at_damage,
            turns,
            key: OWN.into(),
        };
        Self {
            live,
            reading,
            counts: Arc::default(),
            following: Mutex::new(Some((task, keeper))),
        }
    }

    /// Reads the store in the turns of that key.
    fn reading_for(&self, key: &str) -> Reading {
        Reading {
            key: key.into(),
            ..self.reading.clone()
        }
    }

    /// How far it is, and whether it can go on.
    pub fn state(&self) -> State {
        self.live.state()
    }

    /// Whether anybody follows the store: nobody does once that was stopped, or came to a bad end.
    pub fn is_following(&self) -> bool {
        let following = self.following.lock();
        let following = following.unwrap_or_else(PoisonError::into_inner);
        following
            .as_ref()
            .is_some_and(|(task, _)| !task.is_finished())
    }

    /// How many streams there are.
    pub fn subscribers(&self) -> Subscribers {
        Subscribers {
            unfiltered: self.counts.unfiltered.load(Ordering::Relaxed),
            filtered: self.counts.filtered.load(Ordering::Relaxed),
        }
    }

    /// The prefix of that many events, if the feed has passed it and keeps it: every 1,024th, and the last ones.
    pub fn prefix_of(&self, count: u64) -> Option<Prefix> {
        match self.live.of_count(count) {
            Known::Exactly(prefix) => Some(prefix),
            Known::Between(..) | Known::Beyond => None,
        }
    }

    /// Reads the store from its first event again: what was read before does not hold.
    pub fn read_anew(&self) {
        self.live.doubt_all();
    }

    /// Stops following, and keeps what the next start need not read again.
    pub async fn close(&self) {
        self.live.close();
        let following = self.following.lock();
        let following = following.unwrap_or_else(PoisonError::into_inner).take();
        let Some((task, keeper)) = following else {
            return;
        };
        task.abort();
        // It was told to end, and has nothing to say.
        let _ = task.await;
        if let Some(keeper) = Arc::into_inner(keeper) {
            keeper.close().await;
        }
    }

    fn counted(&self, filter: &Filter) -> Counted {
        let counted = Counted {
            counts: Arc::clone(&self.counts),
            of_everything: filter.is_everything(),
        };
        counted.count().fetch_add(1, Ordering::Relaxed);
        counted
    }
}

impl Counted {
    fn count(&self) -> &AtomicUsize {
        if self.of_everything {
            &self.counts.unfiltered
        } else {
            &self.counts.filtered
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}
