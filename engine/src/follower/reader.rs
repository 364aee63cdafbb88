//! The one reader of the store. It retries after every failure, and compares the store with what was read again and again:
//! a cluster can be restored from a backup while it is being read.

use super::counted::Counted;
use super::cursor::{Cursor, Read};
use super::marks::Marks;
use super::proof_file::{self, Found, Keeper};
use super::span::Span;
use super::subscription::Subscription;
use super::tail::{Doubt, Tail};
use domain::{EventStore, Position, StoreError};
use std::future::pending;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

/// The pause between two looks at where the store ends.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The time after which a look also compares the store with what was read.
const BETWEEN_COMPARISONS: Duration = Duration::from_secs(10);

/// The time after which a store that does not answer a comparison counts as away. A store may try for much longer by
/// itself, and readiness should not have to wait for that.
const LONGEST_COMPARISON: Duration = Duration::from_secs(5);

/// See the module.
pub struct Reader {
    store: Arc<dyn EventStore>,
    stop_at_damage: bool,
    tail: Arc<Tail>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The task that reads. Its futures are kept until they complete: on a slow store a read that begins again for all else
/// that is due would never finish.
struct Reading {
    store: Arc<dyn EventStore>,
    tail: Arc<Tail>,
    keeper: Keeper,
    stop_at_damage: bool,
    /// The kept marks, until the store was seen to lead to the last one.
    unverified: Option<Marks>,
    next: Once<(Cursor, Read)>,
    last: LastRead,
    look: Once<Look>,
    /// The look under way is for a doubt. Others wait, and are merged: a look that began again for each would never end.
    is_for_doubt: bool,
    /// Where the store ends, if it says so.
    end: Once<Option<Position>>,
    /// The last comparison failed or is late, so the reader is out of touch until one succeeds.
    is_away: bool,
    /// When the store counts as away for not answering.
    late: Option<Instant>,
    compared_at: Instant,
    /// Where the store ended at the last look since it failed.
    store_end: Option<Position>,
}

/// How the last read ended.
#[derive(PartialEq, Eq)]
enum LastRead {
    Entries,
    /// The next read waits for more.
    End,
    Failure,
}

/// Whether the store has what was read.
type Look = Result<bool, StoreError>;

type Once<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Reader {
    /// Begins to read the store, from where the proof that is kept in that folder ends; must be called within a runtime.
    pub fn start(
        store: Arc<dyn EventStore>,
        folder: Option<&Path>,
        stop_at_damage: bool,
    ) -> Arc<Self> {
        let tail = Arc::new(Tail::default());
        let (found, keeper) = proof_file::open(folder, store.id(), Arc::clone(&tail));
        // The kept proof may have passed damage that the setting says to stop at.
        let found = found.unless(stop_at_damage);
        let reading = Reading::new(
            Arc::clone(&store),
            Arc::clone(&tail),
            keeper,
            stop_at_damage,
        );
        let stop = watch::Sender::new(false);
        let task = tokio::spawn(reading.run(found, stop.subscribe()));
        Arc::new(Self {
            store,
            stop_at_damage,
            tail,
            stop,
            task: Mutex::new(Some(task)),
        })
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// What was read last.
    pub fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// All events after those, which were read in that one of the reader's beginnings.
    pub fn subscribe(&self, after: Span, generation: u64) -> Subscription {
        let (store, tail) = (Arc::clone(&self.store), Arc::clone(&self.tail));
        Subscription::new(store, self.stop_at_damage, tail, after, generation)
    }

    /// Whether it reads: it does until it is closed or panics.
    pub fn is_running(&self) -> bool {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Stops reading, and keeps what the next start need not read again.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // A task that panicked has kept less, and the next start reads more.
            let _ = task.await;
        }
    }
}

impl Reading {
    fn new(
        store: Arc<dyn EventStore>,
        tail: Arc<Tail>,
        keeper: Keeper,
        stop_at_damage: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            next: Box::pin(Cursor::new(Arc::clone(&store), Span::NONE, stop_at_damage).step()),
            end: Box::pin(end(Arc::clone(&store), Duration::ZERO)),
            look: Box::pin(compare(Arc::clone(&store), Duration::ZERO, Vec::new())),
            store,
            tail,
            keeper,
            stop_at_damage,
            unverified: None,
            is_for_doubt: false,
            is_away: false,
            last: LastRead::Entries,
            late: None,
            compared_at: now,
            store_end: None,
        }
    }

    async fn run(mut self, found: Found, mut stop: watch::Receiver<bool>) {
        self.begin(found);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                (cursor, read) = &mut self.next => self.take(cursor, read).await,
                looked = &mut self.look => self.take_look(looked),
                end = &mut self.end => self.take_end(end),
                () = sleep_until_some(self.late) => self.is_late(),
                doubt = self.tail.doubted(), if !self.is_for_doubt => self.compare(doubt),
            }
        }
        self.keeper.close().await;
    }

    /// From where the file ends, if the store leads there.
    fn begin(&mut self, found: Found) {
        if found.unusable {
            return self.begin_anew();
        }
        let span = found.marks.last_span();
        if span == Span::NONE {
            self.tail.begin(found.marks);
        } else {
            self.unverified = Some(found.marks);
        }
        self.read_after(span);
    }

    /// What was read does not hold.
    fn begin_anew(&mut self) {
        self.keeper.begin_anew();
        self.tail.begin_anew();
        self.unverified = None;
        self.last = LastRead::Entries;
        self.is_away = false;
        self.store_end = None;
        self.read_after(Span::NONE);
        self.begin_look(BETWEEN_LOOKS, Vec::new());
        self.end = Box::pin(end(Arc::clone(&self.store), BETWEEN_LOOKS));
    }

    fn read_after(&mut self, span: Span) {
        let cursor = Cursor::new(Arc::clone(&self.store), span, self.stop_at_damage);
        self.next = Box::pin(cursor.step());
    }

    async fn take(&mut self, cursor: Cursor, read: Read) {
        if cursor.is_verified()
            && let Some(marks) = self.unverified.take()
        {
            self.tail.begin(marks);
        }
        self.last = match read {
            Read::Entries(_) | Read::Contradiction => LastRead::Entries,
            Read::End => LastRead::End,
            Read::Failed(_) => LastRead::Failure,
        };
        match read {
            Read::Entries(entries) => self.publish(entries).await,
            Read::End => self.tail.has_caught_up(true),
            Read::Contradiction => {
                self.begin_anew();
                self.next = Box::pin(cursor.begin_anew().step());
                return;
            }
            Read::Failed(error) => self.fail(&error),
        }
        self.next = Box::pin(cursor.step());
    }

    async fn publish(&mut self, entries: Vec<Arc<Counted>>) {
        for entry in entries.iter().filter(|entry| entry.up_to.is_mark()) {
            self.keeper.keep(entry.up_to);
        }
        self.tail.publish(entries);
        self.compare_with_the_end();
        // A store in memory answers at once, and subscribers have their turn.
        yield_now().await;
    }

    /// Where many write, no reader ever comes to where there are no more events.
    fn compare_with_the_end(&self) {
        let reached = self.tail.end().reached.position;
        let has_all = self.store_end.is_some_and(|end| reached >= end);
        let is_failing = self.is_away || self.last == LastRead::Failure;
        if has_all && !is_failing && self.unverified.is_none() {
            self.tail.has_caught_up(false);
        }
    }

    fn fail(&mut self, error: &StoreError) {
        self.store_end = None;
        self.tail.failed(error.to_string());
    }

    /// What one subscriber met may have been its alone, such as a node that refused once: nothing is discarded before the
    /// reader has seen it, too.
    fn compare(&mut self, doubt: Doubt) {
        match doubt {
            Doubt::Of(span) => {
                self.begin_look(Duration::ZERO, vec![span, self.tail.end_span().0]);
                self.is_for_doubt = true;
            }
            Doubt::OfAll => self.begin_anew(),
        }
    }

    fn take_look(&mut self, looked: Look) {
        match looked {
            Ok(true) => self.has_compared(),
            Ok(false) => return self.begin_anew(),
            Err(error) => self.is_out_of_touch(&error),
        }
        let is_due = self.compared_at.elapsed() >= BETWEEN_COMPARISONS;
        let is_due = is_due && self.unverified.is_none();
        let spans = is_due.then(|| self.tail.end_span().0);
        self.begin_look(BETWEEN_LOOKS, spans.into_iter().collect());
    }

    /// A reader that waits for more reports the end only once, and may have failed after that.
    fn has_compared(&mut self) {
        self.is_away = false;
        if self.late.is_some() {
            self.compared_at = Instant::now();
        }
        if self.last == LastRead::End && self.unverified.is_none() {
            self.tail.has_caught_up(true);
        }
    }

    /// A store that does not say where it ends can still be read.
    fn take_end(&mut self, last: Option<Position>) {
        if let Some(last) = last {
            self.store_end = Some(last);
            self.tail.store_ends_at(last);
            self.compare_with_the_end();
        }
        self.end = Box::pin(end(Arc::clone(&self.store), BETWEEN_LOOKS));
    }

    /// The store has to answer a comparison in time; the look goes on all the same.
    fn begin_look(&mut self, pause: Duration, spans: Vec<Span>) {
        let by = Instant::now() + pause + LONGEST_COMPARISON;
        self.late = (!spans.is_empty()).then_some(by);
        self.is_for_doubt = false;
        self.look = Box::pin(compare(Arc::clone(&self.store), pause, spans));
    }

    fn is_late(&mut self) {
        let waited_s = LONGEST_COMPARISON.as_secs();
        let error = format!("it did not answer within {waited_s} s");
        self.is_out_of_touch(&StoreError::Unavailable(error));
        self.late = None;
    }

    fn is_out_of_touch(&mut self, error: &StoreError) {
        self.is_away = true;
        self.fail(error);
    }
}

async fn compare(store: Arc<dyn EventStore>, pause: Duration, spans: Vec<Span>) -> Look {
    sleep(pause).await;
    for span in spans {
        if !span.holds(&*store).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn end(store: Arc<dyn EventStore>, pause: Duration) -> Option<Position> {
    sleep(pause).await;
    store.info().await.ok().map(|info| info.last)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A reader that was dropped stops, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn sleep_until_some(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
