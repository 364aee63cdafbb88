//! What is common to all questions: their form, how long they may wait, and what tells an answer from an older one.

use super::format::Format;
use crate::access::Caller;
use crate::request::Params;
use crate::route::Route;
use crate::{Problem, Service};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::json::hex;
use domain::{Position, Prefix, Timestamp};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The position that an answer tells of.
pub(crate) const KAIGI_POSITION: HeaderName = HeaderName::from_static("kaigi-position");

/// The number of events that an answer was made from.
const KAIGI_COUNT: HeaderName = HeaderName::from_static("kaigi-count");

/// The rolling hash of those events.
const KAIGI_PROOF: HeaderName = HeaderName::from_static("kaigi-proof");

/// Whether the answer has all rows that were asked for; `false` says that there are more.
pub(crate) const KAIGI_COMPLETE: HeaderName = HeaderName::from_static("kaigi-complete");

/// When it was given.
pub(crate) const KAIGI_AS_OF: HeaderName = HeaderName::from_static("kaigi-as-of");

/// How long a question waits for a position unless something else is said.
pub(super) const USUAL_WAIT: Duration = Duration::from_secs(5);

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

/// What an answer was made of.
#[derive(Debug, Clone)]
pub(crate) struct MadeOf {
    pub(crate) events: Prefix,
    pub(crate) as_of: Timestamp,
    /// None if another answer may differ though nothing has happened.
    pub(crate) etag: Option<String>,
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
        let most = Duration::from_millis(service.settings.max_wait_ms);
        let usual = USUAL_WAIT.min(most);
        let wait = wait(&self.params, service)?.unwrap_or(usual);
        let waited = service.views.wait_for(Position(position), wait);
        unless_stopping(service, async {
            waited.await.map_err(|behind| {
                let detail = format!("{behind}, not {position} yet; ask again, or wait longer");
                let reached = behind.reached.0;
                Problem::try_again("projection_behind", detail, 1).with("position", reached)
            })
        })
        .await
    }

    /// What tells this question's answer from that of another, or of another time: the bytes may differ all the same,
    /// because each says when it was given.
    pub(crate) fn etag(&self, format: Format, position: Position, tag: u32) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.path, &self.query, format.media_type()] {
            hasher.update(part);
            hasher.update([0]);
        }
        let question = hex(&hasher.finalize()[..8]);
        format!("W/\"{position}-{tag:08x}-{question}\"")
    }

    /// Whether the client has that answer already.
    pub(crate) fn has(&self, etag: &str) -> bool {
        has(&self.headers, etag)
    }

    /// The answer with that body, made as of `at`; `next` leads on, if there is more.
    pub(crate) fn answer(
        &self,
        body: Body,
        format: Format,
        at: &MadeOf,
        next: Option<&str>,
    ) -> Response {
        let mut response = body.into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(format.media_type());
        headers.insert(header::CONTENT_TYPE, media_type);
        say_events(headers, at.events);
        headers.insert(KAIGI_AS_OF, text(&at.as_of.to_string()));
        keep_privately(headers);
        if let Some(etag) = &at.etag {
            headers.insert(header::ETAG, text(etag));
        }
        let complete = if next.is_none() { "true" } else { "false" };
        headers.insert(KAIGI_COMPLETE, HeaderValue::from_static(complete));
        if let Some(next) = next {
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

/// How long to wait, if it is said: at most as long as the operator lets anybody.
pub(crate) fn wait(params: &Params, service: &Service) -> Result<Option<Duration>, Problem> {
    let Some(seconds) = params.get::<f64>("wait")? else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds < 0.0 {
        let what = "must be a number of seconds, 0 or more";
        return Err(Problem::bad_value("wait", what));
    }
    let most = Duration::from_millis(service.settings.max_wait_ms);
    // What no duration can hold is longer than anybody may wait.
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(most);
    Ok(Some(wait.min(most)))
}

/// What is waited for, unless the service is told to stop before it comes: whoever waits need not hold up its end.
pub(crate) async fn unless_stopping<T>(
    service: &Service,
    answer: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = service.stopped() => {
            let detail = "the service is stopping; ask again, a service that runs";
            Err(Problem::try_again("stopping", detail, 1))
        }
    }
}

/// The client has it already.
pub(crate) fn not_modified(etag: &str, events: Prefix, as_of: Timestamp) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    keep_privately(headers);
    headers.insert(header::ETAG, text(etag));
    say_events(headers, events);
    headers.insert(KAIGI_AS_OF, text(&as_of.to_string()));
    response
}

/// Which events an answer was made from.
fn say_events(headers: &mut HeaderMap, events: Prefix) {
    headers.insert(KAIGI_POSITION, events.position.0.into());
    headers.insert(KAIGI_COUNT, events.count.into());
    headers.insert(KAIGI_PROOF, text(&events.rolling_hash.to_string()));
}

/// Whoever keeps the answer asks before it is used again; an answer that nothing changed says the same.
fn keep_privately(headers: &mut HeaderMap) {
    let vary = HeaderValue::from_static("accept, authorization");
    headers.insert(header::VARY, vary);
    let cache_control = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, cache_control);
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
