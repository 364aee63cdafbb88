//! The thread that brings into the index on disk what the log has got: completed calls as they come, and every so
//! often, little by little, those that go on and a mark. What it has not done yet is read from the log again when the
//! store is opened.
//!
//! A checkpoint takes the calls that changed since the last one, and the end of the log at that moment. Their rows are
//! written in shares, so that commits are not held up, and calls may grow meanwhile: a row that is newer than the mark is
//! passed over when the log is replayed, and an older one never replaces it, because one thread writes all rows. When the
//! last row is written, everything up to that end is in rows, and the mark moves there.

use crate::error::{OpenError, unwritten};
use crate::folder::Folder;
use crate::history::History;
use crate::live::Stage;
use crate::log::End;
use crate::mark::Mark;
use crate::notes::{HeadFile, NotedHead};
use crate::rows::{RowBatch, Rows, WasLive};
use crate::shared::Shared;
use crate::tail::{self, Rolled};
use crate::threads::spawn;
use domain::{CallId, Head, StoreError};
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How many rows of completed calls are written at once.
pub(crate) const ROWS_AT_ONCE: usize = 128;

/// How many times as many completed calls may wait for their rows; then the committing thread waits, too.
const MAX_WAITING: usize = 128;

/// How many rows of other calls are written at once, and how long to wait before the next: a burst would hold up
/// whoever writes then.
const SHARE: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// An order to the thread.
pub(crate) enum Told {
    /// The calls are completed and durable.
    Completed(Vec<CallId>),
    /// So many events are behind the mark that it should move.
    Due,
    /// Events up to that position are archived: rows whose calls have no others need not hold them.
    Shrink(u64, oneshot::Sender<Result<u64, StoreError>>),
    /// Bring in everything, and say how that went.
    Finish(SyncSender<Result<(), StoreError>>),
}

/// The thread, as the committing thread has it.
pub(crate) struct IndexThread {
    orders: SyncSender<Told>,
    thread: JoinHandle<()>,
}

impl IndexThread {
    /// Starts it where the index on disk has that mark. A panic in it is a failure of the index.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        folder: &Folder,
        mark: Mark,
    ) -> Result<Self, OpenError> {
        let (orders, told) = sync_channel(MAX_WAITING);
        let indexer = Indexer {
            shared: Arc::clone(shared),
            told,
            head: folder.head(),
            mark,
            checkpoint: None,
            due_again: false,
            shrinking: None,
            paused: Instant::now(),
        };
        let shared = Arc::clone(shared);
        // Those that have no row yet.
        let completed = shared.completed();
        let thread = spawn("kaigi-index", folder.path(), move || {
            // The panic was reported where it happened.
            if panic::catch_unwind(AssertUnwindSafe(|| indexer.run(&completed))).is_err() {
                let why = "its index failed; it is opened again".to_owned();
                shared.fail_index(StoreError::Unavailable(why));
            }
        })?;
        Ok(Self { orders, thread })
    }

    /// Waits if it has enough to do. Where it is gone, it has said why (`Shared::index_failed`), and the next commit is
    /// refused with that.
    pub(crate) fn tell(&self, told: Told) {
        let _ = self.orders.send(told);
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until it has ended. What it has not written is read from the log at the next opening.
    pub(crate) fn stop(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }
}

/// The thread's own state.
struct Indexer {
    shared: Arc<Shared>,
    told: Receiver<Told>,
    head: HeadFile,
    mark: Mark,
    checkpoint: Option<Checkpoint>,
    /// Whether another was due meanwhile.
    due_again: bool,
    shrinking: Option<Shrinking>,
    /// Since when nothing of the checkpoint was written.
    paused: Instant,
}

/// Rows that are still to be written before the mark can move.
struct Checkpoint {
    due: VecDeque<CallId>,
    /// Where the log ended when it began.
    end: End,
    calls: u64,
}

/// Rows that are looked at, some at a time: those of calls whose events are all archived need not hold them.
struct Shrinking {
    up_to: u64,
    answer: oneshot::Sender<Result<u64, StoreError>>,
    last: Option<CallId>,
    shrunk: u64,
}

enum Done {
    Yes,
    NotYet,
}

impl Shrinking {
    fn go_on(&mut self, rows: &Rows) -> Result<Done, StoreError> {
        let calls = rows.completed_after(self.last.as_ref(), ROWS_AT_ONCE)?;
        let Some(last) = calls.last() else {
            // The rows first: after a crash older rows would tell of files that are gone.
            rows.sync()?;
            rows.drop_unneeded()?;
            return Ok(Done::Yes);
        };
        self.last = Some(last.clone());
        let mut batch = RowBatch::default();
        for call in &calls {
            let row = rows.get(call)?;
            if let Some((head, places)) = row.and_then(|row| row.shrunk(call, self.up_to)) {
                rows.put_places(&mut batch, call, head, &places);
            }
        }
        self.shrunk += batch.rows;
        rows.apply(batch)?;
        Ok(Done::NotYet)
    }
}

impl Indexer {
    /// Works until the store is closed, or dropped, which leaves the rest to the next opening.
    fn run(mut self, completed: &[CallId]) {
        if let Err(why) = self.write_and_let_go(completed) {
            return self.shared.fail_index(why);
        }
        loop {
            let told = match self.next() {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => None,
                Ok(told) => Some(told),
            };
            if let Some(Told::Finish(answer)) = told {
                // The caller that closes the store may not have waited.
                let _ = answer.send(self.finish());
                return;
            }
            if let Err(why) = self.work(told) {
                self.shared.fail_index(why);
                return;
            }
        }
    }

    fn next(&self) -> Result<Told, RecvTimeoutError> {
        if self.shrinking.is_some() {
            return self.told.recv_timeout(Duration::ZERO);
        }
        if self.checkpoint.is_some() {
            return self.told.recv_timeout(PAUSE);
        }
        self.told.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    fn work(&mut self, told: Option<Told>) -> Result<(), StoreError> {
        match told {
            Some(Told::Completed(calls)) => self.write_and_let_go(&calls),
            Some(Told::Due) => {
                self.begin();
                Ok(())
            }
            Some(Told::Shrink(up_to, answer)) => {
                self.shrinking = Some(Shrinking {
                    up_to,
                    answer,
                    last: None,
                    shrunk: 0,
                });
                Ok(())
            }
            Some(Told::Finish(_)) | None => Ok(()),
        }?;
        self.shrink();
        // Told of completed calls without a pause, the thread would write the shares without one, too.
        if self.paused.elapsed() < PAUSE {
            return Ok(());
        }
        self.write_share(SHARE)?;
        self.paused = Instant::now();
        Ok(())
    }

    fn begin(&mut self) {
        // Two at a time would mix their calls; the next one begins when this one is done.
        if self.checkpoint.is_some() {
            self.due_again = true;
            return;
        }
        self.due_again = false;
        // Under one lock, as commits show their events: the calls and the end of the log belong together.
        let mut live = self.shared.live_mut();
        self.checkpoint = Some(Checkpoint {
            due: live.take_changed().into(),
            end: self.shared.end(),
            calls: live.total,
        });
    }

    /// Writes the rows of calls, and lets go of those that are completed: each is written once.
    fn write_and_let_go(&self, calls: &[CallId]) -> Result<(), StoreError> {
        let written = self.write(calls)?;
        // After the rows: a reader looks into memory first and then into the rows, and finds the call in one of them.
        let mut live = self.shared.live_mut();
        for (call, head) in written {
            live.let_go(&call, head);
        }
        Ok(())
    }

    fn write_share(&mut self, most: usize) -> Result<(), StoreError> {
        let Some(checkpoint) = &mut self.checkpoint else {
            return Ok(());
        };
        let calls = {
            let live = self.shared.live();
            let due = std::iter::from_fn(|| checkpoint.due.pop_front());
            // One that is gone was completed, and has its row.
            due.filter(|call| live.get(call).is_some())
                .take(most)
                .collect::<Vec<_>>()
        };
        self.write_and_let_go(&calls)?;
        match self
            .checkpoint
            .take_if(|checkpoint| checkpoint.due.is_empty())
        {
            Some(checkpoint) => self.move_mark(&checkpoint)?,
            None => return Ok(()),
        }
        if self.due_again {
            self.begin();
        }
        Ok(())
    }

    /// Writes the rows of calls as they are now; one that is gone from memory has its row. Answers the completed ones.
    fn write(&self, calls: &[CallId]) -> Result<Vec<(CallId, Head)>, StoreError> {
        let entries = self.entries(calls);
        self.apply(|rows, batch| {
            for (call, history, stage, on_disk) in &entries {
                match stage {
                    Stage::GoesOn => rows.put_live(batch, call, history),
                    Stage::Completed => rows.put_completed(batch, call, history, *on_disk),
                }
            }
        })?;
        let completed = entries
            .into_iter()
            .filter(|(_, _, stage, _)| *stage == Stage::Completed);
        Ok(completed
            .map(|(call, history, ..)| (call, history.head))
            .collect())
    }

    fn entries(&self, calls: &[CallId]) -> Vec<(CallId, History, Stage, WasLive)> {
        let mut live = self.shared.live_mut();
        let mut entries = Vec::with_capacity(calls.len());
        for call in calls {
            let Some(entry) = live.entry(call) else {
                continue;
            };
            let (stage, on_disk) = (entry.stage, entry.on_disk);
            entries.push((call.clone(), entry.history.clone(), stage, on_disk));
            // Before it is so: a row that does not exist may be removed, and one that is forgotten would come back as a
            // call that goes on when the store is opened.
            if stage == Stage::GoesOn {
                live.note_on_disk(call);
            }
        }
        entries
    }

    fn apply(&self, fill: impl FnOnce(&Rows, &mut RowBatch)) -> Result<(), StoreError> {
        self.shared.with_rows(|rows| {
            let mut batch = RowBatch::default();
            fill(rows, &mut batch);
            let written = batch.rows;
            rows.apply(batch)?;
            self.shared.counts.index_rows.fetch_add(written, Relaxed);
            Ok(())
        })
    }

    /// Everything up to the checkpoint is in rows now.
    fn move_mark(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        if checkpoint.end.position == self.mark.position {
            return Ok(());
        }
        let log = &self.shared.log;
        let Rolled { digest, before } = tail::roll_over(log, &self.mark, checkpoint.end)?;
        let End { position, address } = checkpoint.end;
        let mark = Mark {
            position,
            address,
            calls: checkpoint.calls,
            digest,
        };
        // The mark must not be on the disk before what it vouches for: the events of completed calls, and the rows. A
        // crash in between leaves newer rows than the mark says, which replaying the log passes over.
        self.shared.with_rows(|rows| {
            rows.sync_calls()?;
            rows.sync()
        })?;
        self.apply(|_, batch| Rows::put_mark(batch, &mark))?;
        self.shared.with_rows(Rows::sync)?;
        // The path may lead to another store by now, such as a backup that was put in this one's place.
        log.last().verify().map_err(StoreError::Unavailable)?;
        // After the mark, so a crash in between leaves *head* at an older position. Opening compares the two only where
        // they have the same.
        let head = NotedHead {
            position,
            digest,
            before,
        };
        self.head.write(&head).map_err(|error| unwritten(&error))?;
        self.shared.mark.store(mark.position, Relaxed);
        self.mark = mark;
        Ok(())
    }

    /// Looks at the next rows of those that may shrink.
    fn shrink(&mut self) {
        let Some(mut shrinking) = self.shrinking.take() else {
            return;
        };
        match self.shared.with_rows(|rows| shrinking.go_on(rows)) {
            Ok(Done::NotYet) => self.shrinking = Some(shrinking),
            // The caller that archives may not have waited.
            Ok(Done::Yes) => drop(shrinking.answer.send(Ok(shrinking.shrunk))),
            Err(error) => drop(shrinking.answer.send(Err(error))),
        }
    }

    /// Everything that waits, and a mark behind it.
    fn finish(&mut self) -> Result<(), StoreError> {
        // The one under way is for an earlier end of the log. Another after it takes in the rest.
        while self.checkpoint.is_some() {
            self.due_again = false;
            self.write_share(ROWS_AT_ONCE)?;
        }
        self.begin();
        while self.checkpoint.is_some() {
            self.write_share(ROWS_AT_ONCE)?;
        }
        Ok(())
    }
}
