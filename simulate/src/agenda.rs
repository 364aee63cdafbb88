//! What is due next, in all calls together.

use super::staff::Agent;
use domain::{AgentId, SupervisorId, Timestamp};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One thing that is to be done in a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The conversation goes on.
    Next,
    /// A supervisor turns to the call.
    Listen,
    /// A supervisor who is on the call does something else.
    Supervise(SupervisorId),
    /// An agent is through with the work after the call.
    WrapUp(AgentId),
}

/// Something that happens at its time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A shift begins, with so many agents for 10,000 calls.
    Shift(u64),
    /// A customer comes whose call has this number.
    Arrival(u64),
    /// An agent is ready for the next call.
    Ready(Agent),
    /// The call of this number goes on.
    Step(u64, Step),
}

/// Everything that is due, the earliest first; at the same time in the order it was planned.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<(Timestamp, u64, Due)>>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Timestamp, due: Due) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, due)));
    }

    pub(super) fn next(&mut self) -> Option<(Timestamp, Due)> {
        let Reverse((at, _, due)) = self.heap.pop()?;
        Some((at, due))
    }
}
