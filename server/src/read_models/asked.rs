//! What is common to all questions: their form, how long they may wait, and what tells an answer from an older one.

use super::format::Format;
use super::page::Page;
use crate::access::Caller;
use crate::request::Params;
use crate::route::Route;
use crate::{Problem, Service};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Position, Timestamp};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The position that an answer tells of.
pub(crate) const KAIGI_POSITION: HeaderName = HeaderName::from_static("kaigi-position");

/// When it was given.
pub(crate) const KAIGI_AS_OF: HeaderName = HeaderName::from_static("kaigi-as-of");

/// How long a question waits for a position unless something else is said, in seconds.
pub(crate) const USUAL_WAIT_S: u64 = 5;

/// A question for a list.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) params: Params,
    pub(crate) headers: HeaderMap,
    pub(crate) route: Arc<Route>,
    pub(crate) caller: Caller,
    path: String,
    query: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = Params::from_request_parts(parts, state).await?;
        let route = parts.extensions.get::<Arc<Route>>();
        let route = route.expect("every request comes by way of a route");
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.expect("every request was let in by its guard");
        Ok(Self {
            params,
            caller: caller.clone(),
            headers: parts.headers.clone(),
            route: Arc::clone(route),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

impl Asked {
    /// The form of the answer.
    pub(crate) fn format(&self) -> Result<Format, Problem> {
        Format::chosen(self.route.path, &self.headers, &Format::ALL)
    }

    /// Waits for the position that the client has seen something of.
    pub(super) async fn waited(&self, service: &Service) -> Result<(), Problem> {
        let Some(position) = self.params.get("min_position")? else {
            return Ok(());
        };
        let wait_s = self.params.get::<u64>("wait")?.unwrap_or(USUAL_WAIT_S);
        let longest_ms = service.settings.max_wait_ms;
        let wait = Duration::from_millis(wait_s.saturating_mul(1000).min(longest_ms));
        let waited = service.views.wait_for(Position(position), wait).await;
        waited.map_err(|behind| {
            let detail = format!("{behind}, not {position} yet; ask again, or wait longer");
            Problem::try_again("projection_behind", detail, 1).with("position", behind.reached.0)
        })
    }

    /// What tells this question's answer from that of another, or of another time: the bytes may differ all the same,
    /// because each says when it was given.
    pub(crate) fn etag(&self, format: Format, position: Position, tag: u32) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.path, &self.query, format.media_type()] {
            hasher.update(part);
            hasher.update([0]);
        }
        let question: String =
            hasher.finalize()[..8]
                .iter()
                .fold(String::new(), |mut hex, byte| {
                    // Writing to a text never fails.
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
        format!("W/\"{position}-{tag:08x}-{question}\"")
    }

    /// Whether the client has that answer already.
    pub(crate) fn has(&self, etag: &str) -> bool {
        has(&self.headers, etag)
    }

    /// The answer.
    pub(crate) fn answer(&self, page: Page, format: Format, etag: Option<&str>) -> Response {
        let mut response = page.body.into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(format.media_type());
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(KAIGI_POSITION, page.position.0.into());
        headers.insert(KAIGI_AS_OF, text(&page.as_of.to_string()));
        headers.insert(
            header::VARY,
            HeaderValue::from_static("accept, authorization"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
        if let Some(etag) = etag {
            headers.insert(header::ETAG, text(etag));
        }
        if let Some(next) = &page.next {
            headers.insert(header::LINK, text(&self.link(next)));
        }
        response
    }

    fn link(&self, cursor: &str) -> String {
        let pairs = self.query.split('&');
        let others = pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
        let cursor = format!("cursor={cursor}");
        let query: Vec<_> = others.chain([cursor.as_str()]).collect();
        format!("<{}?{}>; rel=\"next\"", self.path, query.join("&"))
    }
}

/// The client has it already.
pub(crate) fn not_modified(etag: &str, position: Position, as_of: Timestamp) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, text(etag));
    headers.insert(KAIGI_POSITION, position.0.into());
    headers.insert(KAIGI_AS_OF, text(&as_of.to_string()));
    response
}

/// Whether `If-None-Match` names that answer.
pub(crate) fn has(headers: &HeaderMap, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let named = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut named = named.filter_map(|value| value.to_str().ok());
    named.any(|value| {
        let mut tags = value.split(',');
        tags.any(|tag| tag.trim() == "*" || bare(tag) == bare(etag))
    })
}

pub(crate) fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("it is made of visible ASCII")
}
