//! A subscriber's place: it takes what the reader has, and reads the store by itself where the reader is elsewhere.

use super::counted::Counted;
use super::cursor::{Cursor, PAGE, Read};
use super::span::Span;
use super::tail::{After, Place, State, Tail};
use domain::{DamagedEvent, Entry, EventStore, Prefix, StoredEvent};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// See the module.
pub struct Subscription {
    store: Arc<dyn EventStore>,
    stop_at_damage: bool,
    tail: Arc<Tail>,
    states: watch::Receiver<State>,
    span: Span,
    generation: u64,
    /// It reads the store itself until it has what the reader has, even where the tail has it.
    rereads: bool,
    /// The cursor of the last read, which knows how long to wait after a failure.
    cursor: Option<Cursor>,
    /// A read of this subscriber's own. It is kept until it completes, even if its owner stops waiting for it.
    reading: Option<OwnRead>,
    reported: Reported,
}

/// A read under way; it gives the cursor back.
type OwnRead = Pin<Box<dyn Future<Output = (Cursor, Read)> + Send>>;

/// What the subscriber comes to.
#[derive(Debug)]
pub enum Step {
    /// The next entries; there is at least one.
    Batch(Batch),
    /// All that there is has been handed out.
    AtTheEnd,
    /// The reader has begun anew. The subscription goes on from its place, if the store still has it.
    Anew,
    /// The store does not have what this subscriber was given before.
    Contradiction,
    /// The store cannot be read, and why. Reading is tried again and again.
    Failed(String),
}

/// Entries that stand next to each other in the store.
#[derive(Debug)]
pub struct Batch {
    /// Everything before them.
    pub before: Prefix,
    /// At least one.
    pub entries: Vec<Arc<Counted>>,
    /// The last of the reader's beginnings that the subscription knew of.
    pub generation: u64,
}

/// Entries of one kind.
pub enum Run<'a> {
    /// Events.
    Events(Vec<&'a StoredEvent>),
    /// A damaged event.
    Damaged(&'a DamagedEvent),
}

/// What was reported since the last batch, while the subscriber stands where the reader does.
#[derive(PartialEq, Eq)]
enum Reported {
    Nothing,
    End,
    Failure(String),
}

impl Batch {
    /// Its events in runs, and each damaged event between them.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let runs = self
            .entries
            .chunk_by(|one, other| one.event().is_some() && other.event().is_some());
        runs.map(|run| match &run[0].entry {
            Entry::Damaged(event) => Run::Damaged(event),
            Entry::Event(_) => Run::Events(run.iter().filter_map(|entry| entry.event()).collect()),
        })
    }
}

impl Subscription {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        stop_at_damage: bool,
        tail: Arc<Tail>,
        span: Span,
        generation: u64,
    ) -> Self {
        Self {
            store,
            stop_at_damage,
            states: tail.states(),
            tail,
            span,
            generation,
            rereads: false,
            cursor: None,
            reading: None,
            reported: Reported::Nothing,
        }
    }

    /// The same, but it reads the store itself until it has what the reader has: what the reader has read may be what is
    /// wrong.
    #[must_use]
    pub fn rereading(self) -> Self {
        Self {
            rereads: true,
            ..self
        }
    }

    /// Forgets what it has reported: the next step reports the end again.
    pub fn forget_reports(&mut self) {
        self.cursor = None;
        self.reading = None;
        self.reported = Reported::Nothing;
    }

    /// Returns what comes next. Dropping the future loses nothing, and does not interrupt a read.
    pub async fn next(&mut self) -> Step {
        loop {
            let (error, is_at_end) = self.see();
            self.rereads &= self.span.to.count < self.tail.end().reached.count;
            let step = match self.tail.after(self.place(), PAGE) {
                After::Anew(generation) => Some(self.begin_anew(generation)),
                After::Elsewhere => self.read().await,
                _ if self.rereads => self.read().await,
                After::Entries(entries) => Some(self.batch(entries)),
                After::Nothing => self.at_the_tail(error, is_at_end).await,
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// What is known of the store may not hold any more: a read under way may wait for a place that is not there.
    fn begin_anew(&mut self, generation: u64) -> Step {
        self.forget_reports();
        self.generation = generation;
        Step::Anew
    }

    /// Reports news of the reader, or waits for some.
    async fn at_the_tail(&mut self, error: Option<String>, is_at_end: bool) -> Option<Step> {
        self.reading = None;
        let step = self.report(error, is_at_end);
        if step.is_none() {
            // The tail, which is the sender, is this subscription's, too.
            let _ = self.states.changed().await;
        }
        step
    }

    /// Why the reader fails, and whether it is at the end. Any later change wakes the subscription.
    fn see(&mut self) -> (Option<String>, bool) {
        let state = self.states.borrow_and_update();
        (state.error.clone(), state.is_at_end)
    }

    fn place(&self) -> Place {
        Place {
            reached: self.span.to,
            generation: self.generation,
        }
    }

    fn batch(&mut self, entries: Vec<Arc<Counted>>) -> Step {
        let before = self.span.to;
        self.span = self.span.and(&entries);
        self.reading = None;
        self.reported = Reported::Nothing;
        Step::Batch(Batch {
            before,
            entries,
            generation: self.generation,
        })
    }

    /// What is news of the reader's state.
    fn report(&mut self, error: Option<String>, is_at_end: bool) -> Option<Step> {
        let report = match error {
            Some(error) => Reported::Failure(error),
            None if is_at_end => Reported::End,
            None => return None,
        };
        if report == self.reported {
            return None;
        }
        let step = match &report {
            Reported::Failure(error) => Step::Failed(error.clone()),
            Reported::End | Reported::Nothing => Step::AtTheEnd,
        };
        self.reported = report;
        Some(step)
    }

    /// Reads the store, unless the reader changes first: it may now have this place, or have begun anew.
    async fn read(&mut self) -> Option<Step> {
        if self.reading.is_none() {
            self.reading = Some(Box::pin(self.own_cursor().step()));
        }
        let reading = self.reading.as_mut()?;
        tokio::select! {
            biased;
            (cursor, read) = reading => {
                self.reading = None;
                Some(self.take(cursor, read))
            }
            _ = self.states.changed() => {
                // The store is shorter than what was read, and the read may wait for a place that is not there.
                if self.tail.ends_before(self.span.to) {
                    self.reading = None;
                }
                None
            }
        }
    }

    fn own_cursor(&mut self) -> Cursor {
        let kept = self.cursor.take();
        kept.filter(|cursor| cursor.span() == self.span)
            .unwrap_or_else(|| Cursor::new(Arc::clone(&self.store), self.span, self.stop_at_damage))
    }

    fn take(&mut self, cursor: Cursor, read: Read) -> Step {
        let place = self.place();
        self.cursor = Some(cursor);
        match read {
            Read::Entries(entries) => self.batch(entries),
            Read::End => Step::AtTheEnd,
            Read::Contradiction => {
                self.tail.doubt(place);
                Step::Contradiction
            }
            Read::Failed(error) => Step::Failed(error.to_string()),
        }
    }
}
