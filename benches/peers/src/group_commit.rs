//! The group commit that all sides but kaigi and cqrs-es share: one thread takes whatever waits, makes it durable, and
//! answers all of it.

use crate::sides::Counts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// How many commands may wait; who comes after them waits to be let in.
const MAX_WAITING: usize = 4096;

/// How many commands one commit takes.
const MAX_COMMANDS: usize = 1024;

/// The thread, and the way to it.
pub(crate) struct GroupCommit<C> {
    commands: mpsc::Sender<Waiting<C>>,
    commits: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

struct Waiting<C> {
    command: C,
    answer: oneshot::Sender<()>,
}

impl<C: Send + 'static> GroupCommit<C> {
    /// Starts the thread; `commit` answers once all the commands are durable.
    pub(crate) fn start(commit: impl FnMut(&[C]) + Send + 'static) -> Self {
        let (commands, waiting) = mpsc::channel(MAX_WAITING);
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        let thread = thread::Builder::new()
            .name("group-commit".to_owned())
            .spawn(move || work(waiting, commit, &counted))
            .expect("a thread can be started");
        Self {
            commands,
            commits,
            thread,
        }
    }

    /// Answers once the command is durable.
    pub(crate) async fn take(&self, command: C) {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Waiting { command, answer }).await;
        assert!(sent.is_ok(), "the thread works as long as anybody can ask");
        answered.await.expect("the thread answers");
    }

    /// How often it committed, and synced: once for each.
    pub(crate) fn counts(&self) -> Counts {
        let commits = Some(self.commits.load(Relaxed));
        Counts {
            commits,
            syncs: commits,
        }
    }

    /// Waits until the thread has let go of its files.
    pub(crate) fn close(self) {
        drop(self.commands);
        self.thread.join().expect("the thread does not panic");
    }
}

fn work<C>(
    mut waiting: mpsc::Receiver<Waiting<C>>,
    mut commit: impl FnMut(&[C]),
    commits: &AtomicU64,
) {
    let (mut taken, mut commands, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    while waiting.blocking_recv_many(&mut taken, MAX_COMMANDS) > 0 {
        for Waiting { command, answer } in taken.drain(..) {
            commands.push(command);
            answers.push(answer);
        }
        commit(&commands);
        commits.fetch_add(1, Relaxed);
        for answer in answers.drain(..) {
            // Whoever asked may have been dropped with the runtime.
            let _ = answer.send(());
        }
        commands.clear();
    }
}
