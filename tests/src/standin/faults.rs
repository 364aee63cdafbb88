//! What goes wrong on demand.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// UNAVAILABLE, as from a node that is starting.
    Unavailable,
    /// ABORTED, as when the cluster did not agree in time.
    TimedOut,
    /// `DEADLINE_EXCEEDED`, though the caller's own deadline may not be over.
    DeadlineExceeded,
    /// There is never an answer.
    Hang,
    /// The node breaks all its connections.
    Break,
    /// It is said that the node with this number leads, whether or not that is true.
    NotLeader(usize),
}

/// Faults to come. Those with a number of times are used up by calls, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Faults {
    planned: Mutex<Planned>,
    subscriptions: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Planned {
    before_writes: VecDeque<Failure>,
    after_writes: VecDeque<Failure>,
    before_reads: VecDeque<Failure>,
    delay: Duration,
    ignores_expectations: bool,
    hides_positions: bool,
    elections_without_change: usize,
    prefers_the_leader: bool,
}

impl Faults {
    /// The next writes (appends, appends of batches, deletions) fail, and nothing is written.
    pub fn refuse_writes(&self, times: usize, how: Failure) {
        plan(&mut self.planned().before_writes, times, how);
    }

    /// The next writes are written, and fail then: the writer cannot know.
    pub fn lose_answers(&self, times: usize, how: Failure) {
        plan(&mut self.planned().after_writes, times, how);
    }

    /// The next reads and subscriptions fail at once.
    pub fn refuse_reads(&self, times: usize, how: Failure) {
        plan(&mut self.planned().before_reads, times, how);
    }

    /// Each write, read and subscription takes that long more, until another delay is set.
    pub fn slow(&self, delay: Duration) {
        self.planned().delay = delay;
    }

    /// From now on appends are written whatever their writers expect and whether or not they were written before: a
    /// server that breaks the one promise on which everything rests.
    pub fn ignore_expectations(&self) {
        self.planned().ignores_expectations = true;
    }

    /// From now on events are read without their positions, as very early versions of the server send them.
    pub fn hide_positions(&self) {
        self.planned().hides_positions = true;
    }

    /// The next leaders that resign are elected again, without regard to their priority.
    pub fn elect_again(&self, times: usize) {
        self.planned().elections_without_change = times;
    }

    /// From now on a leader that resigns is elected again unless another node has a higher priority. So it is in one of
    /// two or three elections of real servers, where random ids decide between candidates of one priority.
    pub fn prefer_the_leader(&self) {
        self.planned().prefers_the_leader = true;
    }

    /// Ends each subscription that is running, without an error, as a server that shuts down does.
    pub fn end_subscriptions(&self) {
        self.subscriptions.send_replace(());
    }

    /// How many faults no call has met yet.
    pub fn left(&self) -> usize {
        let planned = self.planned();
        planned.before_writes.len() + planned.after_writes.len() + planned.before_reads.len()
    }

    /// Nothing goes wrong any more.
    pub fn forget(&self) {
        *self.planned() = Planned::default();
    }

    pub(super) fn before_write(&self) -> Option<Failure> {
        self.planned().before_writes.pop_front()
    }

    pub(super) fn after_write(&self) -> Option<Failure> {
        self.planned().after_writes.pop_front()
    }

    pub(super) fn before_read(&self) -> Option<Failure> {
        self.planned().before_reads.pop_front()
    }

    pub(super) fn hides_positions(&self) -> bool {
        self.planned().hides_positions
    }

    pub(super) fn ignores_expectations(&self) -> bool {
        self.planned().ignores_expectations
    }

    /// Whether a leader that resigns leads again, where no other node has a higher priority or one has.
    pub(super) fn elects_again(&self, level: bool) -> bool {
        let mut planned = self.planned();
        if planned.elections_without_change > 0 {
            planned.elections_without_change -= 1;
            return true;
        }
        planned.prefers_the_leader && level
    }

    pub(super) fn delay(&self) -> Duration {
        self.planned().delay
    }

    /// Changes when subscriptions are to end.
    pub(super) fn end_of_subscriptions(&self) -> watch::Receiver<()> {
        self.subscriptions.subscribe()
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plan(failures: &mut VecDeque<Failure>, times: usize, how: Failure) {
    failures.extend(std::iter::repeat_n(how, times));
}
