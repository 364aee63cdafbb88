//! The one thread that writes. It takes whatever waits, checks it against the index, commits it at once, and answers
//! once all of it is on the disk.

use crate::Options;
use crate::block::{Blocks, GroupBytes, MAX_EVENT_BYTES, Sealed, longest};
use crate::error::failed_write;
use crate::folder::Folder;
use crate::history::History;
use crate::indexer::{ROWS_AT_ONCE, Told};
use crate::live::{Grown, Live, Stage, stage_of};
use crate::log::Writer;
use crate::notes::{Acknowledged, Purpose};
use crate::read::Shared;
use crate::resume::{BETWEEN_LOOKS, Cause, Stopped};
use domain::memory::head_differs;
use domain::{AppendError, Batch, CallId, Head, Position, StoreError, StoreId, StoredEvent};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How many batches one commit takes: enough for every writer there is, few enough to keep each one's wait short.
const MAX_BATCHES: usize = 1024;

/// How many bytes of blocks one commit takes; a longer batch is committed alone.
const MAX_BYTES: usize = 1024 * 1024;

/// How often to let others run first where fewer wait than half of those answered last.
const PATIENCE: u32 = 8;

/// How many checkpoints the index may be behind before writing waits for it, each of at least so many events.
const MAX_BEHIND: u64 = 8;
const LEAST_EVENTS: u64 = 4096;

/// What the thread is asked to do.
pub(crate) enum Job {
    Append(Append),
    /// What is written from now on goes to a file of its own.
    BeginSegment(oneshot::Sender<Result<(), StoreError>>),
    /// Something for the indexer.
    Index(Told),
    /// Verify that the store's files are there, and resume after a failure.
    Look,
    /// Everything that was asked before is done first; answered once the files are let go.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A batch, and who waits for it.
pub(crate) struct Append {
    pub(crate) work: Box<Work>,
    pub(crate) answer: oneshot::Sender<Result<Kept, AppendError>>,
}

/// A batch, and all that the one thread that writes needs to know of it, so that it need not look into the events.
pub(crate) struct Work {
    call: CallId,
    expected: Head,
    head: Head,
    stage: Stage,
    groups: GroupBytes,
    /// The length of an event that is too long to be kept.
    pub(crate) too_long: Option<usize>,
    batch: Batch,
}

impl Work {
    pub(crate) fn of(batch: Batch) -> Box<Self> {
        let lengths = batch.events().iter().map(longest);
        Box::new(Self {
            call: batch.call().clone(),
            expected: batch.expected(),
            head: batch.head(),
            stage: stage_of(&batch),
            groups: GroupBytes::of(batch.events()),
            too_long: lengths.filter(|length| *length > MAX_EVENT_BYTES).max(),
            batch,
        })
    }
}

/// A batch that is durable.
pub(crate) enum Kept {
    /// By this commit, from that position on.
    Now(u64, Box<Work>),
    /// Since it was asked for the first time.
    Before(Vec<StoredEvent>),
}

impl Kept {
    /// The events in the order of the store.
    pub(crate) fn events(self) -> Vec<StoredEvent> {
        match self {
            Kept::Now(first, work) => {
                let numbered = (first..).map(Position).zip(work.batch.into_events());
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
    pub(crate) folder: Folder,
    pub(crate) log: Writer,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) indexer: SyncSender<Told>,
    /// Calls that are completed, of which the indexer was not told yet.
    pub(crate) completed: Vec<CallId>,
    /// The thread that writes the index; `None` after it could not be started again.
    pub(crate) thread: Option<JoinHandle<()>>,
    /// After how many events the index's mark is to move.
    pub(crate) checkpoint_every: u64,
    /// Where it last was told to.
    pub(crate) due_at: u64,
    pub(crate) last: u64,
    /// How many the last commit answered.
    pub(crate) answered: usize,
    /// Why nothing is written now.
    pub(crate) stopped: Option<Stopped>,
    /// When it last looked whether the store's files are there.
    pub(crate) looked: Instant,
    pub(crate) purpose: Purpose,
    pub(crate) id: StoreId,
    pub(crate) options: Options,
    /// The ticking thread ends once this is dropped.
    pub(crate) ticking: Sender<()>,
}

/// What one commit is made of.
struct Round {
    blocks: Blocks,
    accepted: Vec<Accepted>,
    /// Where calls stand once this commit is durable.
    heads: HashMap<CallId, Head, RandomState>,
    /// What the index on disk knows of calls that are written to again.
    known: Known,
    /// What has to wait for this commit, or for room in the next.
    later: Vec<Append>,
    /// What may have been committed before.
    perhaps_kept: Vec<Append>,
}

type Known = HashMap<CallId, History, RandomState>;

struct Accepted {
    append: Append,
    first: u64,
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
    BeginSegment(oneshot::Sender<Result<(), StoreError>>),
    Index(Told),
    Look,
    Close(oneshot::Sender<Result<(), StoreError>>),
    /// Everybody dropped the store without closing it.
    Dropped,
}

impl Committer {
    /// Works until the store is closed or dropped.
    pub(crate) fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let gathered = self.gather(&mut waiting);
            waiting = self.round(waiting);
            if matches!(gathered, Gathered::Look) || self.looked.elapsed() >= BETWEEN_LOOKS {
                self.look();
            }
            match gathered {
                Gathered::Appends | Gathered::Look => {}
                Gathered::BeginSegment(answer) => {
                    self.settle(std::mem::take(&mut waiting));
                    let _ = answer.send(self.begin_segment());
                }
                Gathered::Index(told) => {
                    // Whoever waits is told by what is dropped.
                    let _ = self.indexer.send(told);
                }
                Gathered::Close(answer) => {
                    self.settle(waiting);
                    let written = self.finish_index();
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
                Some(Job::BeginSegment(answer)) => return Gathered::BeginSegment(answer),
                Some(Job::Index(told)) => return Gathered::Index(told),
                Some(Job::Look) => return Gathered::Look,
                Some(Job::Close(answer)) => return Gathered::Close(answer),
                None => return Gathered::Dropped,
            }
        }
        let mut patience = PATIENCE;
        while waiting.len() < MAX_BATCHES {
            match self.jobs.try_recv() {
                Ok(Job::Append(append)) => waiting.push(append),
                Ok(Job::BeginSegment(answer)) => return Gathered::BeginSegment(answer),
                Ok(Job::Index(told)) => return Gathered::Index(told),
                Ok(Job::Look) => return Gathered::Look,
                Ok(Job::Close(answer)) => return Gathered::Close(answer),
                // Those who were just answered are about to ask again, and a commit costs the same for all of them.
                Err(_) if patience > 0 && waiting.len() < self.answered / 2 => {
                    patience -= 1;
                    std::thread::yield_now();
                }
                Err(_) => break,
            }
        }
        Gathered::Appends
    }

    /// One commit of what waits; answers what has to wait on.
    fn round(&mut self, waiting: Vec<Append>) -> Vec<Append> {
        if let Some(stopped) = &self.stopped {
            refuse(waiting, &StoreError::Unavailable(stopped.why.clone()));
            return Vec::new();
        }
        if self.purpose == Purpose::Archive {
            refuse(waiting, &archive());
            return Vec::new();
        }
        let mut round = Round::after(self.last, waiting.len());
        let live = self.shared.live();
        for append in waiting {
            round.add(&self.shared, &live, append);
        }
        drop(live);
        for append in round.perhaps_kept.drain(..) {
            let kept = kept(&self.shared, &append.work.batch);
            // Whoever asked may not wait any more, here and below.
            let _ = append.answer.send(kept.map(Kept::Before));
        }
        if !round.accepted.is_empty() {
            self.commit(round.blocks, round.accepted, round.known);
        }
        round.later
    }

    fn commit(&mut self, blocks: Blocks, accepted: Vec<Accepted>, known: Known) {
        let Sealed { bytes, last } = blocks.finish();
        let synced = match self.make_durable(&bytes, last) {
            Ok(synced) => synced,
            Err(Stopped { cause, why }) => {
                // Before its senders know: what they ask next sees it.
                self.stop(cause, why.clone());
                let appends = accepted.into_iter().map(|accepted| accepted.append);
                refuse(appends, &StoreError::Unavailable(why));
                return;
            }
        };
        self.shared.counts.committed(last - self.last, synced);
        self.publish(&accepted, known, last);
        self.answered = accepted.len();
        for Accepted { append, first } in accepted {
            let Append { work, answer } = append;
            if work.stage == Stage::Completed {
                self.completed.push(work.call.clone());
            }
            let _ = answer.send(Ok(Kept::Now(first, work)));
        }
        self.tell_indexer();
    }

    /// One write, one sync, and a note of how far that was. Answers how long the sync took. The log's file must still be
    /// there afterwards: a deleted file can be written and synced, too.
    fn make_durable(&mut self, frames: &[u8], last: u64) -> Result<Duration, Stopped> {
        if let Some(why) = self.shared.index_failed() {
            return Err(Stopped::by_write(why));
        }
        let begins_a_file = self.log.is_file_full();
        if begins_a_file {
            self.verify_files()?;
        }
        self.shared.counts.syncs.fetch_add(1, Relaxed);
        let written = self.log.append(self.last + 1, frames);
        if begins_a_file || written.is_err() {
            self.verify_files()?;
        }
        let failed = |error| Stopped::by_write(failed_write(&error));
        let synced = written.map_err(failed)?;
        // Before the note: what is noted and not there counts as lost.
        self.log.verify().map_err(Stopped::by_loss)?;
        if let Err(error) = self.acknowledged.write(last) {
            self.verify_files()?;
            return Err(failed(error));
        }
        Ok(synced)
    }

    /// Shows the events. The position is raised before the calls are let go, so that nobody can see an event of a call
    /// that is not yet among all events.
    fn publish(&mut self, accepted: &[Accepted], mut known: Known, last: u64) {
        let mut live = self.shared.live_mut();
        for Accepted { append, first } in accepted {
            let work = &append.work;
            let grown = Grown {
                first: *first,
                groups: work.groups.groups,
                bytes: work.groups.each(),
                head: work.head,
                stage: work.stage,
            };
            let known = if known.is_empty() {
                None
            } else {
                known.remove(&work.call)
            };
            live.total += u64::from(work.expected == Head::NONE);
            live.grow(&work.call, known, grown);
        }
        self.shared.show(last, self.log.address());
        self.last = last;
    }

    /// Waits if the indexer has enough to do: calls whose rows are not written yet are kept in memory. It is told of
    /// many at once, for waking it costs as much as writing a row.
    fn tell_indexer(&mut self) {
        if self.completed.len() >= ROWS_AT_ONCE {
            let completed = std::mem::take(&mut self.completed);
            // An indexer that is gone has said why, and the next commit is refused with it.
            let _ = self.indexer.send(Told::Completed(completed));
        }
        if self.last - self.due_at >= self.checkpoint_every {
            self.due_at = self.last;
            let _ = self.indexer.send(Told::Due);
            self.let_index_catch_up();
        }
    }

    /// What is behind the mark is read again when the store is opened, so that must not become much.
    fn let_index_catch_up(&self) {
        let most = MAX_BEHIND * self.checkpoint_every.max(LEAST_EVENTS);
        let behind = || self.last - self.shared.mark.load(Relaxed);
        let is_alive = || {
            self.thread
                .as_ref()
                .is_some_and(|thread| !thread.is_finished())
        };
        while behind() > most && is_alive() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn begin_segment(&mut self) -> Result<(), StoreError> {
        if self.purpose == Purpose::Archive {
            return Err(archive());
        }
        self.must_write()?;
        self.log.begin_segment(self.last + 1).map_err(|error| {
            let why = failed_write(&error);
            self.stop(Cause::Write, why.clone());
            StoreError::Unavailable(why)
        })
    }

    fn must_write(&self) -> Result<(), StoreError> {
        match &self.stopped {
            None => Ok(()),
            Some(stopped) => Err(StoreError::Unavailable(stopped.why.clone())),
        }
    }

    /// Brings the whole index to the disk, so that the next opening replays nothing.
    fn finish_index(&mut self) -> Result<(), StoreError> {
        self.must_write()?;
        // The files of another store may be at this one's path.
        let verified = self.verify_files();
        verified.map_err(|stopped| StoreError::Unavailable(stopped.why))?;
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let told = self.indexer.send(Told::Finish(answer));
        let finished = told.ok().and_then(|()| answered.recv().ok());
        let finished = finished.unwrap_or_else(|| {
            let failed = self.shared.index_failed();
            Err(failed.unwrap_or_else(|| "the index was not finished".to_owned()))
        });
        finished.map_err(StoreError::Unavailable)
    }

    /// Lets go of the files; once this is done, the store can be opened again.
    fn release(self) {
        let Self {
            folder,
            shared,
            indexer,
            thread,
            ticking,
            ..
        } = self;
        drop(ticking);
        drop(indexer);
        let _ = thread.map(JoinHandle::join);
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
            known: Known::default(),
            later: Vec::new(),
            perhaps_kept: Vec::new(),
        }
    }

    fn add(&mut self, shared: &Shared, live: &Live, append: Append) {
        if self.blocks.bytes() > MAX_BYTES {
            return self.later.push(append);
        }
        match self.admit(shared, live, &append.work) {
            Admission::Next => self.accept(append),
            Admission::Later => self.later.push(append),
            Admission::PerhapsKept => self.perhaps_kept.push(append),
            Admission::Refused(error) => {
                let _ = append.answer.send(Err(error));
            }
        }
    }

    fn admit(&mut self, shared: &Shared, live: &Live, work: &Work) -> Admission {
        if let Some(length) = work.too_long {
            let what = format!("an event of {length} bytes is longer than it takes");
            return Admission::Refused(StoreError::Refused(what).into());
        }
        if let Some(head) = self.heads.get(&work.call) {
            return if *head == work.expected {
                Admission::Next
            } else {
                Admission::Later
            };
        }
        if let Some(history) = live.get(&work.call) {
            return against(history.head, work);
        }
        match shared.known(&work.call) {
            Ok(None) => against(Head::NONE, work),
            Ok(Some(history)) => {
                let admission = against(history.head, work);
                if matches!(admission, Admission::Next) {
                    self.known.insert(work.call.clone(), history);
                }
                admission
            }
            Err(error) => Admission::Refused(error.into()),
        }
    }

    fn accept(&mut self, append: Append) {
        let work = &append.work;
        let first = self.blocks.next();
        for group in work.groups.each() {
            self.blocks.push(group);
        }
        self.heads.insert(work.call.clone(), work.head);
        self.accepted.push(Accepted { append, first });
    }
}

fn against(head: Head, work: &Work) -> Admission {
    if head == work.expected {
        return Admission::Next;
    }
    if head.revision == work.expected.revision {
        return Admission::Refused(head_differs(&work.batch));
    }
    if work.head.revision < head.revision || work.head == head {
        return Admission::PerhapsKept;
    }
    Admission::Refused(conflict(&work.batch, head))
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
    let actual = shared.head(batch.call())?;
    Err(conflict(batch, actual))
}

fn refuse(appends: impl IntoIterator<Item = Append>, why: &StoreError) {
    for append in appends {
        let _ = append.answer.send(Err(why.clone().into()));
    }
}

fn archive() -> StoreError {
    let what = "it is an archive, which nobody writes to; use the store it belongs to";
    StoreError::Refused(what.to_owned())
}
