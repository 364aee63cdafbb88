//! The events as they come, to any number of subscribers, and the proof that none is missing.
//!
//! The reader of the store counts: r(n) is SHA-256 of r(n-1) and the hash of the n-th event in the store's order, and
//! r(0) is zeros. The last events are in its tail. Each subscriber has a mailbox that is filled with what it asked for
//! (`live`, `mailboxes`). One that is further back reads the store at its own pace until it meets the tail (`stream`).

mod filter;
mod form;
mod live;
mod mailboxes;
mod page;
mod queue;
mod reading;
mod routes;
mod stream;

pub use domain::{INTERVAL, Prefix};
pub use engine::follower::State;
pub(crate) use filter::agents;
pub(crate) use routes::routes;

use crate::Settings;
use crate::access::Guards;
use crate::turns::{OWN, Turns};
use domain::EventStore;
use engine::follower::{Known, Place, Reader, Span, Step, Subscription, Tail};
use filter::Filter;
use live::Live;
use reading::Reading;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};

/// The number of events that are delivered before other tasks have their turn.
const DELIVERED_AT_ONCE: usize = 32;

/// All subscribers to the events, and what they are given.
pub struct Feed {
    live: Arc<Live>,
    reader: Arc<Reader>,
    reading: Reading,
    counts: Arc<Counts>,
    delivering: Mutex<Option<JoinHandle<()>>>,
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
struct OpenStream {
    counts: Arc<Counts>,
    of_everything: bool,
}

impl Feed {
    /// Begins to follow the store, from where the proof that is kept in that folder ends; must be called within a
    /// runtime.
    pub fn start(store: Arc<dyn EventStore>, folder: Option<&Path>, settings: &Settings) -> Self {
        let reader = Reader::start(store, folder, settings.stop_at_damage);
        Self::subscribed(reader, settings, Arc::new(Turns::new(&Guards::open())))
    }

    /// The same, where all parts of the service share the reader and the turns.
    pub(crate) fn subscribed(reader: Arc<Reader>, settings: &Settings, turns: Arc<Turns>) -> Self {
        let live = Arc::new(Live::of(Arc::clone(reader.tail())));
        let delivering = tokio::spawn(deliver(Arc::clone(&reader), Arc::clone(&live)));
        let reading = Reading {
            store: Arc::clone(reader.store()),
            tail: Arc::clone(reader.tail()),
            max_wait: Duration::from_millis(settings.max_wait_ms),
            stop_at_damage: settings.stop_at_damage,
            turns,
            key: OWN.into(),
        };
        Self {
            live,
            reader,
            reading,
            counts: Arc::default(),
            delivering: Mutex::new(Some(delivering)),
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
        self.tail().state()
    }

    /// Whether the store is followed: it is until that is stopped, or panics.
    pub fn is_following(&self) -> bool {
        let delivering = self.delivering.lock();
        let delivering = delivering.unwrap_or_else(PoisonError::into_inner);
        let delivers = delivering.as_ref().is_some_and(|task| !task.is_finished());
        delivers && self.reader.is_running()
    }

    fn tail(&self) -> &Tail {
        self.reader.tail()
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
        match self.tail().of_count(count) {
            Known::Exactly(prefix) => Some(prefix),
            Known::Between(..) | Known::Beyond => None,
        }
    }

    /// Reads the store from its first event again: what was read before does not hold.
    pub fn read_anew(&self) {
        self.tail().doubt_all();
    }

    /// Ends every stream and stops the reader, which keeps what the next start need not read again.
    pub async fn close(&self) {
        self.live.close();
        let delivering = self.delivering.lock();
        let delivering = delivering.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(delivering) = delivering {
            // Every mailbox is closed, so there is nothing left to deliver.
            delivering.abort();
        }
        self.reader.close().await;
    }

    fn opened(&self, filter: &Filter) -> OpenStream {
        let opened = OpenStream {
            counts: Arc::clone(&self.counts),
            of_everything: filter.is_everything(),
        };
        opened.count().fetch_add(1, Ordering::Relaxed);
        opened
    }
}

impl OpenStream {
    fn count(&self) -> &AtomicUsize {
        if self.of_everything {
            &self.counts.unfiltered
        } else {
            &self.counts.filtered
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fills the mailboxes with what the reader reads.
async fn deliver(reader: Arc<Reader>, live: Arc<Live>) {
    let mut subscription = subscribe(&reader, &live);
    loop {
        match subscription.next().await {
            Step::Batch(batch) => {
                for entries in batch.entries.chunks(DELIVERED_AT_ONCE) {
                    live.deliver(entries, batch.generation);
                    yield_now().await;
                }
            }
            Step::Anew => subscription = subscribe(&reader, &live),
            // The reader reports these, too; where only this subscription met one, it tries again.
            Step::AtTheEnd | Step::Contradiction | Step::Failed(_) => {}
        }
    }
}

fn subscribe(reader: &Reader, live: &Live) -> Subscription {
    let Place {
        reached,
        generation,
    } = live.follow();
    reader.subscribe(Span::at(reached), generation)
}
