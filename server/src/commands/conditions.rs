//! What must hold before a command is judged.

use crate::problem::Problem;
use crate::service::Service;
use domain::json::RejectionJson;
use domain::{Request, Timestamp};

/// Refuses once the service is stopping: a retry finds another process, or this one after its restart.
pub(super) fn must_run(service: &Service) -> Result<(), Problem> {
    if service.is_stopping() {
        let detail = "the service is stopping; send it again, to a service that runs";
        return Err(Problem::try_again("stopping", detail, 1));
    }
    Ok(())
}

/// What happened cannot have happened later than now, but clocks differ.
pub(super) fn must_have_happened(
    request: &Request,
    now: Timestamp,
    max_ahead_ms: u64,
) -> Result<(), TooFarAhead> {
    let latest = now.as_millis().saturating_add(max_ahead_ms);
    match request.at {
        Some(at) if at.as_millis() > latest => Err(TooFarAhead {
            at,
            now,
            max_ahead_ms,
        }),
        Some(_) | None => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "`at` is {at} and the service's clock shows {now}; at most {max_ahead_ms} ms ahead is taken for a clock that runs \
     fast: correct the sender's clock, or leave `at` out"
)]
pub(super) struct TooFarAhead {
    at: Timestamp,
    now: Timestamp,
    max_ahead_ms: u64,
}

impl TooFarAhead {
    pub(super) const CODE: &'static str = "at_in_the_future";
}

/// A refusal that no rule of the calls stands behind, as a line of answers has it.
pub(super) fn by_no_rule(code: &'static str, message: String) -> RejectionJson {
    RejectionJson {
        code,
        rule: None,
        message,
        revision: None,
    }
}
