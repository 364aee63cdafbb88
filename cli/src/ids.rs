//! Ids as people write them on the command line.

use domain::AgentId;

/// An agent, with or without `agent:` before the ID.
pub(crate) fn agent(text: &str) -> Result<AgentId, String> {
    let id = text.strip_prefix("agent:").unwrap_or(text);
    id.parse()
        .map_err(|error: domain::InvalidText| error.to_string())
}

/// A phase, by its name.
pub(crate) fn phase(text: &str) -> Result<domain::call::Phase, String> {
    let mut phases = domain::call::Phase::ALL.iter();
    phases
        .find(|phase| phase.name() == text)
        .copied()
        .ok_or_else(|| "must be talking, conference, wrap_up_assist or ended".to_owned())
}
