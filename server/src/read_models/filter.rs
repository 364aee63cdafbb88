//! Which rows are asked for: all that fit whatever is said.

use super::rows::Facets;
use crate::Problem;
use crate::request::Params;
use domain::call::Phase;
use domain::{AgentId, CallId, Queue, SupervisorId, Timestamp};
use projections::TimesFilter;
use std::str::FromStr;

/// Which rows of live read models are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    call: Option<CallId>,
    queue: Option<Queue>,
    agent: Option<AgentId>,
    supervisor: Option<SupervisorId>,
    phase: Option<Phase>,
    may_start: Option<bool>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Filter {
    /// What the parameters say; a route declares those that its rows can be found by.
    pub(crate) fn of(params: &Params) -> Result<Self, Problem> {
        Ok(Self {
            call: params.get("call")?,
            queue: params.get("queue")?,
            agent: agent(params)?,
            supervisor: supervisor(params)?,
            phase: phase(params)?,
            may_start: params.get("may_start")?,
            from: params.get("from")?,
            to: params.get("to")?,
        })
    }

    pub(crate) fn fits(&self, row: &Facets) -> bool {
        agrees(self.call.as_ref(), Some(&row.call))
            && agrees(self.queue.as_ref(), row.queue.as_ref())
            && agrees(self.phase.map(Phase::name).as_ref(), row.phase.as_ref())
            && agrees(self.may_start.as_ref(), row.may_start.as_ref())
            && has(&row.agents, self.agent.as_ref())
            && has(&row.supervisors, self.supervisor.as_ref())
            && self.from.is_none_or(|from| row.ended_at >= Some(from))
            && self.to.is_none_or(|to| row.ended_at < Some(to))
    }

    /// The part of it that handle times understand.
    pub(crate) fn times(&self) -> TimesFilter {
        TimesFilter {
            queue: self.queue.clone(),
            agent: self.agent.clone(),
            from: self.from,
            to: self.to,
        }
    }
}

fn agrees<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

fn has<T: PartialEq>(there: &[T], wanted: Option<&T>) -> bool {
    wanted.is_none_or(|wanted| there.contains(wanted))
}

/// An agent, as `agent:ID` or the ID alone.
pub(crate) fn agent(params: &Params) -> Result<Option<AgentId>, Problem> {
    id(params, "agent", "agent:")
}

/// A supervisor, as `supervisor:ID` or the ID alone.
fn supervisor(params: &Params) -> Result<Option<SupervisorId>, Problem> {
    id(params, "supervisor", "supervisor:")
}

fn id<T: FromStr<Err: std::fmt::Display>>(
    params: &Params,
    name: &str,
    prefix: &str,
) -> Result<Option<T>, Problem> {
    let text = params.text(name);
    let id = text.map(|text| text.strip_prefix(prefix).unwrap_or(text).parse());
    id.transpose()
        .map_err(|error| Problem::bad_value(name, error))
}

/// A phase, by its name.
pub(crate) fn phase(params: &Params) -> Result<Option<Phase>, Problem> {
    let Some(text) = params.text("phase") else {
        return Ok(None);
    };
    let mut phases = Phase::ALL.iter();
    let found = phases.find(|phase| phase.name() == text).copied();
    let found = found.ok_or_else(|| {
        let names: Vec<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        Problem::bad_value("phase", format!("it is one of {}", names.join(", ")))
    });
    found.map(Some)
}
