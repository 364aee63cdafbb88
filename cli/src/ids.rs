//! Ids as people write them on the command line.

use domain::AgentId;

/// An agent, with or without `agent:` before the ID.
pub(crate) fn agent(text: &str) -> Result<AgentId, String> {
    let id = text.strip_prefix("agent:").unwrap_or(text);
    id.parse()
        .map_err(|error: domain::InvalidText| error.to_string())
}
