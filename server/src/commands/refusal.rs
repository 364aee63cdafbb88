//! What is answered to a command that is not accepted.

use crate::Problem;
use crate::body::{MALFORMED, malformed};
use axum::http::StatusCode;
use domain::json::InvalidCommand;
use domain::{CallId, CommandId, HandleError, RejectionCode, StoreError};

/// When to send a command again that others were in the way of.
const UNSETTLED_S: u64 = 1;

/// What is no command, or none for this call.
pub(crate) fn invalid(error: &InvalidCommand) -> Problem {
    match code(error) {
        MALFORMED => malformed(said(error)),
        code => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, said(error)),
    }
}

/// The error, and what a client over HTTP can do.
pub(crate) fn said(error: &InvalidCommand) -> String {
    let hint = match error {
        InvalidCommand::UnknownType { .. } => "; /openapi.json lists all of them",
        error if error.has_more_after_it() => {
            "; send many commands to /v1/commands, each on a line of its own (`curl --data-binary @FILE` keeps the lines, \
             `-d` joins them)"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

/// What is wrong with what is no command.
pub(crate) fn code(error: &InvalidCommand) -> &'static str {
    match error {
        InvalidCommand::OtherCall { .. } => "call_differs",
        InvalidCommand::BadValue { .. } | InvalidCommand::UnknownType { .. } => "bad_value",
        InvalidCommand::NotJson { .. }
        | InvalidCommand::Missing { .. }
        | InvalidCommand::Unexpected { .. } => MALFORMED,
    }
}

/// A command that was not accepted.
pub(crate) fn not_accepted(error: &HandleError, call: &CallId, id: CommandId) -> Problem {
    problem(error)
        .with("call", call.as_str())
        .with("id", id.to_string())
}

fn problem(error: &HandleError) -> Problem {
    let said = error.to_string();
    match error {
        HandleError::Rejected {
            rejection,
            revision,
        } => {
            let status = match rejection.code {
                RejectionCode::CallNotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            Problem::new(status, error.code(), said)
                .rule(rejection.rule.to_string())
                .revision(*revision)
        }
        HandleError::Expected { actual, .. } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, error.code(), said).revision(*actual)
        }
        HandleError::CommandIdReused(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), said)
        }
        HandleError::Unsettled { .. } => Problem::try_again(error.code(), said, UNSETTLED_S),
        HandleError::Store(error) => of_store(error),
    }
}

fn of_store(error: &StoreError) -> Problem {
    let problem = Problem::from(error);
    match error {
        StoreError::Unavailable(_) => {
            problem.and("send the command again with the same id to learn whether it was accepted")
        }
        StoreError::Corrupt(_) | StoreError::DamagedEvent(_) => problem.and(
            "nothing was written, and sending it again changes nothing until the store is repaired",
        ),
        StoreError::Refused(_) => problem,
    }
}
