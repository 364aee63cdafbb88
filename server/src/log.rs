//! One line a request, as JSON, without secrets and telephone numbers: of a path only its route is told.

use crate::problem::Refused;
use axum::http::{Method, StatusCode};
use serde_json::json;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

/// Where lines go; none to keep silent.
pub struct Log(Option<Mutex<Box<dyn Write + Send>>>);

/// What is told of a request.
#[derive(Debug, Clone)]
pub struct Line {
    pub(crate) method: Method,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) key: Option<String>,
    pub(crate) refused: Option<Refused>,
    pub(crate) took: Duration,
}

impl Log {
    /// Tells nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Writes there.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Some(Mutex::new(Box::new(writer))))
    }

    pub(crate) fn request(&self, line: &Line) {
        let Some(writer) = &self.0 else { return };
        let text = json!({
            "at": domain::Timestamp::now().to_string(),
            "method": line.method.as_str(), "route": line.route, "status": line.status.as_u16(),
            "key": line.key,
            "code": line.refused.as_ref().map(|refused| refused.code),
            "rule": line.refused.as_ref().and_then(|refused| refused.rule.clone()),
            "us": u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
        });
        let mut writer = writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A log that cannot be written must not stop the calls.
        let _ = writeln!(writer, "{text}");
    }
}
