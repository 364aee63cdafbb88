//! The JSON of the interface: that of the rules, and the answer to a command.

pub use rules::json::*;

use crate::handle::{Answer, HandleError};
use rules::ids::{CallId, CommandId};
use serde::Serialize;

/// One answer; a program may put more beside it, such as the line the command stood on.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct AnswerJson<'a> {
    pub call: Text<&'a CallId>,
    pub id: Text<CommandId>,
    pub accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<RejectionJson>,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct RejectionJson {
    pub code: &'static str,
    pub rule: Option<String>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

impl<'a> AnswerJson<'a> {
    /// An accepted command and what it brought about.
    pub fn accepted(answer: &'a Answer) -> Self {
        Self {
            call: Text(&answer.call),
            id: Text(answer.command),
            accepted: true,
            revision: Some(answer.revision().0),
            events: Some(answer.events.iter().map(EventJson).collect()),
            rejection: None,
        }
    }

    /// A refused command.
    pub fn refused(call: &'a CallId, id: CommandId, rejection: RejectionJson) -> Self {
        Self {
            call: Text(call),
            id: Text(id),
            accepted: false,
            revision: None,
            events: None,
            rejection: Some(rejection),
        }
    }
}

impl RejectionJson {
    /// The refusal, if the error is one: an answer, and no failure of ours.
    pub fn of(error: &HandleError) -> Option<Self> {
        let (rule, revision) = match error {
            HandleError::Rejected {
                rejection,
                revision,
            } => (Some(rejection.rule.to_string()), Some(revision.0)),
            HandleError::Expected { actual, .. } => (None, Some(actual.0)),
            HandleError::CommandIdReused(_) => (None, None),
            HandleError::Unsettled { .. } | HandleError::Store(_) => return None,
        };
        Some(Self {
            code: error.code(),
            rule,
            message: error.to_string(),
            revision,
        })
    }
}
