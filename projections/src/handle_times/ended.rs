//! Calls that ended, and what is counted of them.

use super::parts::{AgentParts, CallParts, Parts};
use super::summary::{self, Summary};
use super::window::TimesFilter;
use domain::{AgentId, Call, CallId, Queue, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A completed call: none of its figures changes any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Completed {
    pub(super) call: CallId,
    pub(super) queue: Option<Queue>,
    pub(super) answered_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) parts: Parts,
}

/// The completed calls that ended within the same 15 minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quarter {
    /// Shared with every snapshot that was taken since the call was completed.
    #[serde(with = "super::shared::list")]
    pub(super) calls: Vec<Arc<Completed>>,
    /// In place of the calls of each queue, of which there are many; an agent's are too few for that.
    pub(super) queues: HashMap<Option<Queue>, QueueCell, foldhash::fast::RandomState>,
}

type QueueCell = [Summary; CallParts::METRICS.len()];

impl Completed {
    /// The call, which has ended, with the parts it came to.
    pub(super) fn new(id: &CallId, call: &Call, parts: Parts) -> Option<Self> {
        Some(Self {
            call: id.clone(),
            queue: call.queue().cloned(),
            answered_at: call.answered_at(),
            ended_at: call.ended_at()?,
            parts,
        })
    }
}

impl Quarter {
    pub(super) fn count(&mut self, call: Arc<Completed>) {
        let of_queue = self.queues.entry(call.queue.clone()).or_default();
        summary::add(of_queue, &call.parts.call.metrics());
        self.calls.push(call);
    }

    /// Counts anew without that call: a summary cannot be subtracted from.
    pub(super) fn forget(&mut self, id: &CallId) {
        let calls = std::mem::take(self).calls.into_iter();
        calls
            .filter(|completed| completed.call != *id)
            .for_each(|call| self.count(call));
    }

    pub(super) fn has(&self, id: &CallId) -> bool {
        self.calls.iter().any(|completed| completed.call == *id)
    }
}

/// A call that has ended, completed or not.
#[derive(Clone, Copy)]
pub(super) struct EndedCall<'a> {
    pub(super) id: &'a CallId,
    pub(super) queue: Option<&'a Queue>,
    pub(super) answered_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) parts: &'a Parts,
    /// There as long as somebody may owe.
    uncompleted: Option<&'a Call>,
}

impl<'a> EndedCall<'a> {
    pub(super) fn completed(call: &'a Completed) -> Self {
        Self {
            id: &call.call,
            queue: call.queue.as_ref(),
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            parts: &call.parts,
            uncompleted: None,
        }
    }

    pub(super) fn uncompleted(id: &'a CallId, call: &'a Call, parts: &'a Parts) -> Option<Self> {
        Some(Self {
            id,
            queue: call.queue(),
            answered_at: call.answered_at(),
            ended_at: call.ended_at()?,
            parts,
            uncompleted: Some(call),
        })
    }

    /// Whether the agent's part is not whole yet.
    pub(super) fn owes(&self, agent: &AgentId) -> bool {
        let call = self.uncompleted;
        call.is_some_and(|call| call.open_wrap_up(agent).is_some())
    }

    /// How many agents' parts are not whole yet.
    pub(super) fn open(&self) -> u64 {
        let call = self.uncompleted;
        call.map_or(0, |call| call.open_wrap_ups().count() as u64)
    }

    pub(super) fn fits(&self, filter: &TimesFilter, span: &Range<u64>) -> bool {
        let mut agents = self.parts.agents.iter();
        span.contains(&self.ended_at.as_millis())
            && filter.has_queue(self.queue)
            && (filter.agent.is_none() || agents.any(|parts| filter.has_agent(&parts.agent)))
    }

    /// The parts of the agents that are asked for.
    pub(super) fn agents(&self, filter: &TimesFilter) -> impl Iterator<Item = &'a AgentParts> {
        let agents = self.parts.agents.iter();
        agents.filter(move |parts| filter.has_agent(&parts.agent))
    }
}
