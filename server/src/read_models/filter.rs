//! Which rows a request asks for.

use crate::Problem;
use crate::request::Params;
use domain::call::Phase;
use domain::{AgentId, SupervisorId, TimeSpan};
use projections::Filter;
use std::str::FromStr;

/// What the parameters say; a route declares those that its rows can be found by.
pub(crate) fn filter(params: &Params) -> Result<Filter, Problem> {
    Ok(Filter {
        call: params.get("call")?,
        queue: params.get("queue")?,
        agent: agent(params)?,
        supervisor: supervisor(params)?,
        phase: phase(params)?,
        may_start: params.get("may_start")?,
        idle_ms: params.get("idle")?.map(TimeSpan::as_millis),
        from: params.get("from")?,
        to: params.get("to")?,
    })
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
