//! The one reader of the store. It goes on whatever happens, and looks again and again whether what it has read is still
//! so: a cluster can be restored from a backup while it is being read.

use super::file::{Found, Keeper};
use super::form::Told;
use super::live::{Doubt, Live};
use super::prefix::Prefix;
use domain::{Entry, EventStore, Followed, Follower, StoreError, leads};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// How many events are read at once.
const PAGE: usize = 512;

/// How many of them are published before other tasks have their turn.
const PUBLISHED_AT_ONCE: usize = 32;

/// How often a silent store is asked whether it still has what was read.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long the answer may take before the store counts as away. One may try for much longer by itself, and whoever asks
/// whether this service is ready should not have to wait for that.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// How long to wait after a failure at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is followed, for whom, and who keeps what need not be read again.
pub(super) struct Following {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) live: Arc<Live>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) stop_at_damage: bool,
}

/// What a step came to.
enum Step {
    Went,
    /// What was read is not in the store any more.
    Contradicted,
    Failed(StoreError),
}

impl Following {
    /// Never ends; whoever stops it drops it, and loses nothing.
    pub(super) async fn run(self, found: Found) {
        self.begin(found).await;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.until_trouble(&mut pause).await {
                Step::Went => {}
                Step::Contradicted => self.begin_anew(),
                Step::Failed(error) => self.live.failed(error.to_string()),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// From where the file ends, if the store leads there.
    async fn begin(&self, found: Found) {
        let (before, last) = (found.marks.last_but_one(), found.marks.last());
        let mut pause = FIRST_PAUSE;
        let holds = loop {
            match leads(&*self.store, before, last).await {
                Ok(holds) => break holds && !found.unusable,
                Err(error) => self.live.failed(error.to_string()),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if holds {
            self.live.begin(found.marks, false);
        } else {
            self.begin_anew();
        }
    }

    fn begin_anew(&self) {
        self.keeper.begin_anew();
        self.live.begin_anew();
    }

    /// A failure may have been a store that is being exchanged, so it is asked first whether it is the same.
    async fn until_trouble(&self, pause: &mut Duration) -> Step {
        match self.look_again().await {
            Step::Went => {}
            trouble => return trouble,
        }
        // Where many write, no reader ever comes to where there are no more.
        let end = match self.store.info().await {
            Ok(info) => info.last,
            Err(error) => return Step::Failed(error),
        };
        let from = self.live.end().reached.position;
        let mut follower = Follower::new(Arc::clone(&self.store), from, PAGE);
        loop {
            match self.step(&mut follower).await {
                Step::Went => *pause = FIRST_PAUSE,
                trouble => return trouble,
            }
            if self.live.end().reached.position >= end {
                self.live.caught_up();
            }
        }
    }

    async fn step(&self, follower: &mut Follower) -> Step {
        let mut next = pin!(follower.next());
        let came = loop {
            tokio::select! {
                came = &mut next => break came,
                doubt = self.live.doubted() => match self.resolved(doubt).await {
                    Step::Went => {}
                    trouble => return trouble,
                },
                () = sleep(LOOK_AGAIN) => match in_time(self.look_again()).await {
                    Step::Went => {}
                    trouble => return trouble,
                }
            }
        };
        match came {
            Ok(Followed::Events(events)) => {
                self.publish(events.into_iter().map(Entry::Event)).await;
            }
            Ok(Followed::CaughtUp(_)) => self.live.caught_up(),
            Ok(Followed::Damaged(event)) if self.stop_at_damage => {
                return Step::Failed(event.into());
            }
            Ok(Followed::Damaged(event)) => self.publish([Entry::Damaged(event)]).await,
            Err(error) => return Step::Failed(error),
        }
        Step::Went
    }

    /// Whether the store still leads to where this has read.
    async fn look_again(&self) -> Step {
        let end = self.live.end().reached;
        self.leads(self.live.before_the_end(), end).await
    }

    async fn resolved(&self, doubt: Doubt) -> Step {
        match doubt {
            Doubt::Between(from, to) => in_time(self.verified(from, to)).await,
            Doubt::Everything => Step::Contradicted,
        }
    }

    /// What one reader met may have been its alone, such as a node that refused once: nothing is discarded before this
    /// has seen it, too.
    async fn verified(&self, from: Prefix, to: Prefix) -> Step {
        match self.leads(from, to).await {
            Step::Went => self.look_again().await,
            trouble => trouble,
        }
    }

    async fn leads(&self, from: Prefix, to: Prefix) -> Step {
        match leads(&*self.store, from, to).await {
            Ok(true) => Step::Went,
            Ok(false) => Step::Contradicted,
            Err(error) => Step::Failed(error),
        }
    }

    /// A few at a time: each is put into the mailbox of every subscriber that it concerns, and other tasks of the thread
    /// wait meanwhile.
    async fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut reached = self.live.end().reached;
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut told = Vec::new();
            for entry in entries.by_ref().take(PUBLISHED_AT_ONCE) {
                reached = reached.plus_entry(&entry);
                if reached.is_mark() {
                    self.keeper.keep(reached);
                }
                told.push(Told::new(entry, reached));
            }
            self.live.publish(told);
            yield_now().await;
        }
    }
}

/// A look at the store that has to come to something.
async fn in_time(look: impl Future<Output = Step>) -> Step {
    let looked = timeout(LONGEST_LOOK, look).await;
    looked.unwrap_or_else(|_| Step::Failed(no_answer()))
}

fn no_answer() -> StoreError {
    let waited_s = LONGEST_LOOK.as_secs();
    StoreError::Unavailable(format!("it did not answer within {waited_s} s"))
}

/// A page is far shorter than any memory.
pub(super) fn usize_of(events: u64) -> usize {
    usize::try_from(events).unwrap_or(usize::MAX)
}
