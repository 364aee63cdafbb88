//! What is answered when something is not done: RFC 9457, with the codes and rules of the interface.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Revision, StoreError};
use serde_json::{Map, Value, json};

/// Why a request was not carried out, and what to do instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    rule: Option<String>,
    revision: Option<Revision>,
    retry_after_s: Option<u64>,
    /// Boxed, for it is mostly empty, and every answer has room for a problem.
    more: Box<Map<String, Value>>,
}

/// When to ask again what the store was away for, in seconds.
const STORE_AWAY_S: u64 = 2;

/// What a log line and the counters tell of a problem; put beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) rule: Option<String>,
}

impl Problem {
    /// A problem for programs (`code`) and people (`detail`: what is wrong and what to do instead).
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            rule: None,
            revision: None,
            retry_after_s: None,
            more: Box::default(),
        }
    }

    /// 422: a value that it cannot have.
    pub fn bad_value(name: &str, what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_value",
            format!("`{name}`: {what}"),
        )
    }

    /// 404: something that is not there.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 503: the same request may succeed after so many seconds.
    pub fn try_again(code: &'static str, detail: impl Into<String>, after_s: u64) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retry_after_s = Some(after_s);
        problem
    }

    /// 500: the service failed, which was reported where it happened.
    pub fn defect() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "defect",
            "the service failed at this request; please report it",
        )
    }

    /// The rule that refused.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Where the call stands.
    #[must_use]
    pub fn revision(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Something more for people.
    #[must_use]
    pub fn and(mut self, what: &str) -> Self {
        self.detail = format!("{}; {what}", self.detail);
        self
    }

    /// A further field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// What it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// For programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// For people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:kaigi:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "code": self.code,
            "rule": self.rule,
            "detail": self.detail,
        });
        let fields = body.as_object_mut().expect("it was made as an object");
        if let Some(revision) = self.revision {
            fields.insert("revision".to_owned(), revision.0.into());
        }
        fields.extend((*self.more).clone());
        body
    }
}

/// A store that has no answer, whatever it was asked.
impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let code = error.code();
        let said = error.to_string();
        match error {
            StoreError::Unavailable(_) => Self::try_again(code, said, STORE_AWAY_S),
            StoreError::Corrupt(_) | StoreError::DamagedEvent(_) => {
                Self::new(failed, code, said).and("`kaigi store check` finds the damage")
            }
            StoreError::Refused(_) => Self::new(failed, code, said),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            self.body().to_string(),
        )
            .into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"kaigi\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(Refused {
            code: self.code,
            rule: self.rule,
        });
        response
    }
}
