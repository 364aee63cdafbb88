//! What can go wrong between a client and its service, and what the caller can do.

use serde::Deserialize;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why the service did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The service cannot be named or approached like that; what to change is said.
    #[error("{0}")]
    Misnamed(String),
    /// It does not answer, or stopped in the middle of it; the same request may succeed later.
    #[error("the service at {url} cannot be reached: {why}")]
    Unreachable {
        /// Which service.
        url: String,
        /// What happened.
        why: String,
    },
    /// It answered, and will not do that.
    #[error("the service at {url} refuses: {problem}")]
    Refused {
        /// Which service.
        url: String,
        /// What it says.
        problem: Box<Problem>,
    },
    /// What answers is no such service, or a newer one.
    #[error(
        "what answers at {url} is not understood: {what}; is it a kaigi service of this version?"
    )]
    Protocol {
        /// Which service.
        url: String,
        /// What it said.
        what: String,
    },
}

/// What the service says when it does not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status of HTTP.
    pub status: u16,
    /// For programs.
    pub code: String,
    /// The rule that refused a command.
    pub rule: Option<String>,
    /// What is wrong, and what to do instead.
    pub detail: String,
    /// Where the call stands.
    pub revision: Option<u64>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// The fields of a problem that matter to a client.
#[derive(Deserialize)]
struct Told {
    code: String,
    rule: Option<String>,
    detail: String,
    revision: Option<u64>,
}

impl ClientError {
    /// The service's own words, if it answered.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused { problem, .. } => Some(problem),
            ClientError::Misnamed(_)
            | ClientError::Unreachable { .. }
            | ClientError::Protocol { .. } => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Refused { problem, .. } => matches!(problem.status, 429 | 503),
            ClientError::Misnamed(_) | ClientError::Protocol { .. } => false,
        }
    }

    /// How long the service asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem().and_then(|problem| problem.retry_after)
    }

    /// The same; where a role is missing, it is said which.
    pub(crate) fn needing(mut self, roles: Option<&str>) -> Self {
        if let (ClientError::Refused { problem, .. }, Some(roles)) = (&mut self, roles)
            && problem.status == 403
        {
            problem.detail += "; it needs the role ";
            problem.detail += roles;
        }
        self
    }

    /// What was met on the way to the service or back.
    pub(crate) fn on_the_way(url: &impl fmt::Display, error: &reqwest::Error) -> Self {
        let url = url.to_string();
        if error.is_builder() {
            return ClientError::Misnamed(format!("{url} cannot be asked: {}", innermost(error)));
        }
        let why = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            innermost(error)
        };
        ClientError::Unreachable { url, why }
    }

    pub(crate) fn protocol(url: &impl fmt::Display, what: impl Into<String>) -> Self {
        ClientError::Protocol {
            url: url.to_string(),
            what: what.into(),
        }
    }
}

/// The outer messages only say that something went wrong.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl Problem {
    /// Reads what stands in a body of `application/problem+json`.
    pub(crate) fn read(status: u16, body: &[u8], retry_after: Option<Duration>) -> Option<Self> {
        let told: Told = serde_json::from_slice(body).ok()?;
        Some(Self {
            status,
            code: told.code,
            rule: told.rule,
            detail: told.detail,
            revision: told.revision,
            retry_after,
        })
    }

    /// Whether a key is missing, unknown, or lacks the role.
    pub fn is_of_the_key(&self) -> bool {
        matches!(self.status, 401 | 403)
    }
}

/// Where keys come from; the service may have said it already.
const HOW_TO_MAKE_ONE: &str = "`kaigi keys create`";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.detail, self.code)?;
        if let Some(rule) = &self.rule {
            write!(f, ", {rule}")?;
        }
        f.write_str(")")?;
        if self.is_of_the_key() {
            f.write_str("; the key comes from KAIGI_KEY, or from the file that --key-file names")?;
            if !self.detail.contains(HOW_TO_MAKE_ONE) {
                write!(f, ", and {HOW_TO_MAKE_ONE} makes one")?;
            }
        }
        Ok(())
    }
}
