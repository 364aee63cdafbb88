//! The one thread that writes. It takes whatever waits, checks it against the index, commits it at once, and answers
//! once all of it is on the disk.

use crate::block::{Blocks, MAX_EVENT_BYTES, Place, Sealed, longest};
use crate::checkpoint::Checkpoint;
use crate::error::{failed_sled_write, failed_write};
use crate::folder::{Acknowledged, Folder};
use crate::guard::guarded;
use crate::index::Index;
use crate::keys;
use crate::open::Found;
use crate::read::Shared;
use domain::memory::head_differs;
use domain::{AppendError, Batch, CallId, Head, Position, StoreError, StoredEvent};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, oneshot};

/// How many batches one commit takes: enough for every writer there is, few enough to keep each one's wait short.
const MAX_BATCHES: usize = 1024;

/// How many bytes of blocks one commit takes; a longer batch is committed alone.
const MAX_BYTES: usize = 1024 * 1024;

/// What the thread is asked to do.
pub(crate) enum Job {
    Append(Append),
    /// Everything that was asked before is done first; answered once the files are let go.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A batch, the group its events make, and who waits for it.
pub(crate) struct Append {
    pub(crate) batch: Batch,
    pub(crate) group: Option<Vec<u8>>,
    pub(crate) answer: oneshot::Sender<Result<Kept, AppendError>>,
}

/// A batch that is durable.
pub(crate) enum Kept {
    /// By this commit, from that position on.
    Now(u64, Batch),
    /// Since it was asked for the first time.
    Before(Vec<StoredEvent>),
}

impl Kept {
    /// The events in the order of the store.
    pub(crate) fn events(self) -> Vec<StoredEvent> {
        match self {
            Kept::Now(first, batch) => {
                let numbered = (first..).map(Position).zip(batch.into_events());
                numbered
                    .map(|(position, recorded)| StoredEvent { position, recorded })
                    .collect()
            }
            Kept::Before(events) => events,
        }
    }
}

/// The thread's own state.
pub(crate) struct Committer {
    folder: Folder,
    db: sled::Db,
    log: File,
    acknowledged: Acknowledged,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    checkpoint: Checkpoint,
    last: u64,
    /// Why nothing is written any more.
    stopped: Option<String>,
}

/// What one commit is made of.
struct Round {
    blocks: Blocks,
    accepted: Vec<Accepted>,
    /// Where calls stand once this commit is durable.
    heads: HashMap<CallId, Head, RandomState>,
    /// What has to wait for this commit, or for room in the next.
    later: Vec<Append>,
    /// What may have been committed before.
    perhaps_kept: Vec<Append>,
}

struct Accepted {
    append: Append,
    first: u64,
    places: Range<usize>,
}

/// What to do with a batch.
enum Admission {
    Next,
    /// The call's head is known once this commit is durable.
    Later,
    /// It continues an earlier head and ends at or before the present one.
    PerhapsKept,
    Refused(AppendError),
}

/// What else arrived.
enum Gathered {
    Appends,
    Close(oneshot::Sender<Result<(), StoreError>>),
    /// Everybody dropped the store without closing it.
    Dropped,
}

impl Committer {
    pub(crate) fn new(
        found: Found,
        checkpoint: Checkpoint,
        shared: Arc<Shared>,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        let last = shared.last();
        Self {
            folder: found.folder,
            db: found.db,
            log: found.log,
            acknowledged: found.acknowledged,
            shared,
            jobs,
            checkpoint,
            last,
            stopped: None,
        }
    }

    /// Works until the store is closed or dropped.
    pub(crate) fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let gathered = self.gather(&mut waiting);
            waiting = self.round(waiting);
            match gathered {
                Gathered::Appends => {}
                Gathered::Close(answer) => {
                    self.settle(waiting);
                    let written = self.write_index();
                    self.release();
                    // Whoever closed it may not have waited.
                    let _ = answer.send(written);
                    return;
                }
                Gathered::Dropped => {
                    self.settle(waiting);
                    self.release();
                    return;
                }
            }
        }
    }

    fn settle(&mut self, mut waiting: Vec<Append>) {
        while !waiting.is_empty() {
            waiting = self.round(waiting);
        }
    }

    /// Adds what waits, and waits itself if there is nothing to do.
    fn gather(&mut self, waiting: &mut Vec<Append>) -> Gathered {
        if waiting.is_empty() {
            match self.jobs.blocking_recv() {
                Some(Job::Append(append)) => waiting.push(append),
                Some(Job::Close(answer)) => return Gathered::Close(answer),
                None => return Gathered::Dropped,
            }
        }
        while waiting.len() < MAX_BATCHES {
            match self.jobs.try_recv() {
                Ok(Job::Append(append)) => waiting.push(append),
                Ok(Job::Close(answer)) => return Gathered::Close(answer),
                Err(_) => break,
            }
        }
        Gathered::Appends
    }

    /// One commit of what waits; answers what has to wait on.
    fn round(&mut self, waiting: Vec<Append>) -> Vec<Append> {
        if let Some(why) = &self.stopped {
            refuse(waiting, why);
            return Vec::new();
        }
        let mut round = Round::after(self.last, waiting.len());
        let index = self.shared.index();
        for append in waiting {
            round.add(&index, append);
        }
        drop(index);
        for append in round.perhaps_kept.drain(..) {
            let kept = kept(&self.shared, &append.batch);
            // Whoever asked may not wait any more, here and below.
            let _ = append.answer.send(kept.map(Kept::Before));
        }
        if !round.accepted.is_empty() {
            self.commit(round.blocks, round.accepted);
        }
        round.later
    }

    fn commit(&mut self, blocks: Blocks, accepted: Vec<Accepted>) {
        let Sealed {
            blocks,
            places,
            last,
        } = blocks.finish();
        let mut batch = sled::Batch::default();
        for (first, block) in blocks {
            batch.insert(&keys::block(first)[..], block);
        }
        let rows = self.share_of_index(last, &mut batch);
        if let Err(why) = self.make_durable(batch, last) {
            refuse(accepted.into_iter().map(|accepted| accepted.append), &why);
            self.stopped = Some(why);
            return;
        }
        self.shared.counts.commits.fetch_add(1, Relaxed);
        self.shared.counts.index_rows.fetch_add(rows, Relaxed);
        self.publish(&accepted, &places, last);
        for accepted in accepted {
            let Append { batch, answer, .. } = accepted.append;
            let _ = answer.send(Ok(Kept::Now(accepted.first, batch)));
        }
    }

    fn share_of_index(&mut self, last: u64, batch: &mut sled::Batch) -> u64 {
        if !self.checkpoint.is_due(self.last) {
            return 0;
        }
        let events = last - self.last;
        let mut index = self.shared.index_mut();
        self.checkpoint.share(&mut index, self.last, events, batch)
    }

    /// Sled's flush hands the log to the operating system; only the sync behind it makes it outlive a power cut.
    fn make_durable(&mut self, batch: sled::Batch, last: u64) -> Result<(), String> {
        let db = &self.db;
        let write = || {
            db.apply_batch(batch)?;
            db.flush()
        };
        guarded(write)?.map_err(|error| failed_sled_write(&error))?;
        self.sync()?;
        let acknowledged = self.acknowledged.write(last);
        acknowledged.map_err(|error| failed_write(&error))
    }

    fn sync(&self) -> Result<(), String> {
        self.shared.counts.syncs.fetch_add(1, Relaxed);
        self.log.sync_data().map_err(|error| failed_write(&error))
    }

    /// Shows the events. The position is raised before the index is let go, so that nobody can see an event of a call
    /// that is not yet among all events.
    fn publish(&mut self, accepted: &[Accepted], places: &[Place], last: u64) {
        let number = self.checkpoint.number();
        let mut index = self.shared.index_mut();
        for accepted in accepted {
            let batch = &accepted.append.batch;
            let places = &places[accepted.places.clone()];
            if index.grow(batch.call(), batch.head(), places, number) {
                self.checkpoint.note(batch.call().clone());
            }
        }
        self.shared
            .progress
            .send_modify(|progress| progress.last = last);
        self.last = last;
    }

    /// Brings the whole index into the tree, so that the next opening replays nothing.
    fn write_index(&mut self) -> Result<(), StoreError> {
        let unavailable = StoreError::Unavailable;
        if let Some(why) = &self.stopped {
            return Err(unavailable(why.clone()));
        }
        let rest = self
            .checkpoint
            .rest(&mut self.shared.index_mut(), self.last);
        let Some((batch, rows)) = rest else {
            return Ok(());
        };
        let db = &self.db;
        let write = || {
            db.apply_batch(batch)?;
            db.flush()
        };
        guarded(write)
            .map_err(unavailable)?
            .map_err(|error| unavailable(failed_sled_write(&error)))?;
        self.shared.counts.index_rows.fetch_add(rows, Relaxed);
        self.sync().map_err(unavailable)
    }

    /// Lets go of the files; once this is done, the store can be opened again.
    fn release(self) {
        let Self {
            folder, db, shared, ..
        } = self;
        let _ = guarded(|| drop(db));
        shared.release();
        folder.await_release();
    }
}

impl Round {
    /// Of at most so many batches.
    fn after(last: u64, batches: usize) -> Self {
        Self {
            blocks: Blocks::after(last),
            accepted: Vec::with_capacity(batches),
            heads: HashMap::with_capacity_and_hasher(batches, RandomState::default()),
            later: Vec::new(),
            perhaps_kept: Vec::new(),
        }
    }

    fn add(&mut self, index: &Index, append: Append) {
        if self.blocks.bytes() > MAX_BYTES {
            return self.later.push(append);
        }
        match self.admit(index, &append.batch) {
            Admission::Next => self.accept(append),
            Admission::Later => self.later.push(append),
            Admission::PerhapsKept => self.perhaps_kept.push(append),
            Admission::Refused(error) => {
                let _ = append.answer.send(Err(error));
            }
        }
    }

    fn admit(&self, index: &Index, batch: &Batch) -> Admission {
        if let Some(event) = batch
            .events()
            .iter()
            .find(|event| longest(event) > MAX_EVENT_BYTES)
        {
            let what = format!(
                "an event of {} bytes is longer than it takes",
                longest(event)
            );
            return Admission::Refused(StoreError::Unavailable(what).into());
        }
        if let Some(head) = self.heads.get(batch.call()) {
            return if *head == batch.expected() {
                Admission::Next
            } else {
                Admission::Later
            };
        }
        against(index.head(batch.call()), batch)
    }

    fn accept(&mut self, append: Append) {
        let batch = &append.batch;
        let first = self.blocks.next();
        let places = self.blocks.push(batch.events(), append.group.as_deref());
        self.heads.insert(batch.call().clone(), batch.head());
        self.accepted.push(Accepted {
            append,
            first,
            places,
        });
    }
}

fn against(head: Head, batch: &Batch) -> Admission {
    let (expected, reaches) = (batch.expected(), batch.head());
    if head == expected {
        return Admission::Next;
    }
    if head.revision == expected.revision {
        return Admission::Refused(head_differs(batch));
    }
    if reaches.revision < head.revision || reaches == head {
        return Admission::PerhapsKept;
    }
    Admission::Refused(conflict(batch, head))
}

fn conflict(batch: &Batch, actual: Head) -> AppendError {
    AppendError::Conflict {
        expected: batch.expected().revision,
        actual: actual.revision,
    }
}

/// The events as they were committed before, if they are the same.
fn kept(shared: &Shared, batch: &Batch) -> Result<Vec<StoredEvent>, AppendError> {
    let wanted = batch.events().len();
    let kept = shared.read_call(batch.call(), batch.expected().revision, wanted)?;
    let recorded = kept.iter().map(|stored| &stored.recorded);
    if recorded.eq(batch.events()) {
        return Ok(kept);
    }
    Err(conflict(batch, shared.index().head(batch.call())))
}

fn refuse(appends: impl IntoIterator<Item = Append>, why: &str) {
    for append in appends {
        let error = StoreError::Unavailable(why.to_owned());
        let _ = append.answer.send(Err(error.into()));
    }
}
