//! The committing thread: it takes what waits, has it committed, and looks after the store each second.

use crate::commit::Committer;
use crate::jobs::{Append, Job, Task};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, WeakSender};

/// How many batches one commit takes: enough for every writer there is, few enough to keep each one's wait short.
const MAX_BATCHES: usize = 1024;

/// How often to let others run first where fewer wait than half of those answered last.
const PATIENCE: u32 = 8;

/// The pause between two looks at the files, and between two attempts to resume.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What waits for the thread, and the thread's own state.
pub(crate) struct Queue {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) committer: Committer,
    /// When the committer last looked whether the store's files are there.
    pub(crate) looked: Instant,
    /// The ticking thread ends once this is dropped.
    pub(crate) ticking: Sender<()>,
}

/// What else arrived.
enum Gathered {
    Appends,
    Task(Task),
    /// Everybody dropped the store without closing it.
    Dropped,
}

impl Queue {
    /// Works until the store is closed or dropped.
    pub(crate) fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let gathered = self.gather(&mut waiting);
            waiting = self.committer.round(waiting);
            // A thread that is never idle looks without being woken.
            let is_woken = matches!(gathered, Gathered::Task(Task::Look));
            if is_woken || self.looked.elapsed() >= BETWEEN_LOOKS {
                self.looked = Instant::now();
                self.committer.look();
            }
            match gathered {
                Gathered::Appends | Gathered::Task(Task::Look) => {}
                // What was asked before goes to the file before.
                Gathered::Task(Task::BeginSegment(answer)) => {
                    self.committer.settle(std::mem::take(&mut waiting));
                    let _ = answer.send(self.committer.begin_segment());
                }
                Gathered::Task(Task::Index(told)) => self.committer.tell(told),
                Gathered::Task(Task::Close(answer)) => {
                    self.committer.settle(waiting);
                    let written = self.committer.finish_index();
                    self.release();
                    // The caller may not have waited.
                    let _ = answer.send(written);
                    return;
                }
                // Like a kill, but for what waits: the index is not finished, and the next opening replays the log.
                Gathered::Dropped => {
                    self.committer.settle(waiting);
                    self.release();
                    return;
                }
            }
        }
    }

    /// Adds what waits, and waits itself if there is nothing to do.
    fn gather(&mut self, waiting: &mut Vec<Append>) -> Gathered {
        if waiting.is_empty() {
            match self.jobs.blocking_recv() {
                Some(Job::Append(append)) => waiting.push(append),
                Some(Job::Task(task)) => return Gathered::Task(task),
                None => return Gathered::Dropped,
            }
        }
        let mut patience = PATIENCE;
        while waiting.len() < MAX_BATCHES {
            match self.jobs.try_recv() {
                Ok(Job::Append(append)) => waiting.push(append),
                Ok(Job::Task(task)) => return Gathered::Task(task),
                // Senders that just got answers are about to send again, and a commit costs the same for all of them.
                Err(_) if patience > 0 && waiting.len() < self.committer.answered / 2 => {
                    patience -= 1;
                    std::thread::yield_now();
                }
                Err(_) => break,
            }
        }
        Gathered::Appends
    }

    fn release(self) {
        drop(self.ticking);
        self.committer.release();
    }
}

/// Wakes the committing thread each second until `ended` is dropped.
pub(crate) fn tick(jobs: &WeakSender<Job>, ended: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(BETWEEN_LOOKS) {
        let Some(jobs) = jobs.upgrade() else {
            return;
        };
        // A thread with a full queue looks without being woken.
        let _ = jobs.try_send(Job::Task(Task::Look));
    }
}
