//! Which rows are asked for: all that fit every value that is given.

use crate::handle_times::TimesFilter;
use crate::row::Facets;
use domain::call::Phase;
use domain::{AgentId, CallId, Queue, SupervisorId, Timestamp};

/// Which rows of calls are asked for; a list takes the values that it declares.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this call.
    pub call: Option<CallId>,
    /// Of calls of this queue.
    pub queue: Option<Queue>,
    /// With this agent.
    pub agent: Option<AgentId>,
    /// With this supervisor on the call.
    pub supervisor: Option<SupervisorId>,
    /// Of calls in this phase.
    pub phase: Option<Phase>,
    /// Where monitoring may, or may not, start.
    pub may_start: Option<bool>,
    /// Of calls in which nothing happened for longer than this: perhaps their hang-up never came.
    pub idle_ms: Option<u64>,
    /// Of calls that ended then or later.
    pub from: Option<Timestamp>,
    /// Of calls that ended before.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Whether a row fits, but for how long nothing happened, which time alone changes.
    pub fn fits(&self, row: &Facets) -> bool {
        agrees(self.call.as_ref(), Some(&row.call))
            && agrees(self.queue.as_ref(), row.queue.as_ref())
            && agrees(self.phase.map(Phase::name).as_ref(), row.phase.as_ref())
            && agrees(self.may_start.as_ref(), row.may_start.as_ref())
            && has(&row.agents, self.agent.as_ref())
            && has(&row.supervisors, self.supervisor.as_ref())
            && self.from.is_none_or(|from| row.ended_at >= Some(from))
            && self.to.is_none_or(|to| row.ended_at < Some(to))
    }

    /// Whether a row fits by how long nothing happened in its call.
    pub fn fits_at(&self, row: &Facets, as_of: Timestamp) -> bool {
        let idle_ms = row.last_at.map(|last_at| as_of.millis_since(last_at));
        self.idle_ms.is_none_or(|wanted| idle_ms > Some(wanted))
    }

    /// Whether the same rows fit as long as nothing happens.
    pub fn is_timeless(&self) -> bool {
        self.idle_ms.is_none()
    }

    /// The part of it that handle times understand.
    pub fn times(&self) -> TimesFilter {
        TimesFilter {
            queue: self.queue.clone(),
            agent: self.agent.clone(),
            from: self.from,
            to: self.to,
        }
    }
}

/// Whether the value matches the one asked for, if one was asked for.
pub(crate) fn agrees<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

fn has<T: PartialEq>(there: &[T], wanted: Option<&T>) -> bool {
    wanted.is_none_or(|wanted| there.contains(wanted))
}
