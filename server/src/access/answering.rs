//! What the routes of keys and tokens answer.

use super::admission::Effect;
use super::caller::Caller;
use super::tokens::{Full, MOST_PER_KEY};
use crate::request::Params;
use crate::route::{Route, RouteTable};
use crate::{Problem, Service, body, values};
use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{InvalidTime, Timestamp};
use engine::keys::{KeyFile, KeyFileError, Keys, Role, Wanted, parse_agent, parse_supervisor};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    stream: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    name: String,
    roles: Vec<Role>,
    agent: Option<String>,
    supervisor: Option<String>,
    expires_at: Option<String>,
}

pub(super) async fn issue(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(table): Extension<RouteTable>,
    _: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: TokenBody = body::json(&headers, body, &service.settings).await?;
    let stream = stream(&body.stream)?;
    let route = route_of(&table, &stream).ok_or_else(no_stream)?;
    caller.may(route.access)?;
    Params::of(stream.query().unwrap_or_default(), route)?;
    caller.begin_effect()?;
    let issued = service.guards.tokens().issue(caller.key(), &stream);
    let issued = issued.map_err(too_many_tokens)?;
    let expires_at = issued.expires_at.to_string();
    let body = json!({"token": issued.text, "url": issued.url, "expires_at": expires_at});
    Ok(secret(StatusCode::CREATED, &body))
}

/// The path and query that were named, if they are nothing else.
fn stream(text: &str) -> Result<PathAndQuery, Problem> {
    let stream = text.parse::<PathAndQuery>().ok();
    let whole = stream.filter(|stream| text.starts_with('/') && stream.as_str() == text);
    whole.ok_or_else(no_stream)
}

/// The stream at that path. A path that is written out goes before one that varies, as it does for the router.
fn route_of<'t>(table: &'t RouteTable, stream: &PathAndQuery) -> Option<&'t Arc<Route>> {
    let streams = table.0.iter().filter(|route| route.is_stream());
    let named = streams.filter(|route| leads(route.path, stream.path()));
    named.min_by_key(|route| route.path.matches('{').count())
}

fn leads(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let each = template.split('/').all(|expected| {
        let varies = expected.starts_with('{');
        let part = parts.next();
        part.is_some_and(|part| part == expected || (varies && !part.is_empty()))
    });
    each && parts.next().is_none()
}

fn no_stream() -> Problem {
    Problem::bad_value(
        "stream",
        "must be the path and query of a stream of events of this service, such as /v1/active-calls/changes?queue=billing",
    )
}

fn too_many_tokens(Full(wait): Full) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_tokens",
        format!("this key has {MOST_PER_KEY} tokens that are valid; use those, or wait until one has expired"),
    )
    .retry_after_s(wait.as_secs() + 1)
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    _: Params,
) -> Result<Response, Problem> {
    let keys = service.guards.keys().ok_or_else(not_kept)?.all();
    let rows: Vec<_> = keys.iter().map(|key| key.row()).collect();
    Ok(secret(StatusCode::OK, &json!({"keys": rows})))
}

pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    _: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    kept(&service)?;
    let wanted = wanted(body::json(&headers, body, &service.settings).await?)?;
    let (key, text) = wanted
        .create()
        .map_err(|error| Problem::bad_value("key", error))?;
    let mut body = json!(key.row());
    body["key"] = text.into();
    changed(&service, &caller, |file| file.add(key)).await?;
    Ok(secret(StatusCode::CREATED, &body))
}

pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    KeyInPath(id): KeyInPath,
    _: Params,
) -> Result<Response, Problem> {
    kept(&service)?;
    let revoke = move |file: &KeyFile| file.revoke(&id, domain::now());
    let revoked = changed(&service, &caller, revoke).await?;
    Ok(secret(StatusCode::OK, &json!(revoked.row())))
}

fn wanted(body: KeyBody) -> Result<Wanted, Problem> {
    let bad = |name: &'static str| move |what: String| Problem::bad_value(name, what);
    let time = |text: &str| text.parse::<Timestamp>();
    Ok(Wanted {
        name: body.name,
        roles: body.roles,
        agent: body
            .agent
            .as_deref()
            .map(parse_agent)
            .transpose()
            .map_err(bad("agent"))?,
        supervisor: body
            .supervisor
            .as_deref()
            .map(parse_supervisor)
            .transpose()
            .map_err(bad("supervisor"))?,
        expires_at: body
            .expires_at
            .as_deref()
            .map(time)
            .transpose()
            .map_err(|error: InvalidTime| Problem::bad_value("expires_at", error))?,
    })
}

/// The keys and their file, if there is one.
fn kept(service: &Service) -> Result<(&Keys, &KeyFile), Problem> {
    let keys = service.guards.keys().ok_or_else(not_kept)?;
    let file = keys.file().ok_or_else(not_kept)?;
    Ok((keys, file))
}

/// Changes the file on a thread that may wait for a disk, and reads it again before the response is sent. The caller's
/// key is looked up in the file as it is now: another process may have revoked it a moment ago.
async fn changed<T: Send + 'static>(
    service: &Arc<Service>,
    caller: &Caller,
    change: impl FnOnce(&KeyFile) -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, Problem> {
    let (service, caller) = (Arc::clone(service), caller.clone());
    let change = tokio::task::spawn_blocking(move || {
        let (keys, file) = kept(&service)?;
        keys.look();
        let _: Effect = caller.begin_effect()?;
        let changed = change(file).map_err(|error| not_changed(&error));
        keys.look();
        changed
    });
    change.await.unwrap_or_else(|_| {
        Err(Problem::try_again(
            "keys_unavailable",
            "the key file was not changed; try again",
            1,
        ))
    })
}

fn not_kept() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "keys_not_kept",
        "this service has no key file, so keys cannot be changed; start it with one",
    )
}

fn not_changed(error: &KeyFileError) -> Problem {
    match error {
        KeyFileError::NoSuchKey { .. } => Problem::not_found(
            "key_not_found",
            "there is no key of that id; GET /v1/keys lists them",
        ),
        KeyFileError::NameTaken { name, id, .. } => Problem::new(
            StatusCode::CONFLICT,
            "name_taken",
            format!(
                "the key {id} is named {name:?} and in force; choose another name, or revoke that key first"
            ),
        ),
        KeyFileError::Missing { .. } | KeyFileError::Malformed { .. } | KeyFileError::Io { .. } => {
            Problem::try_again(
                "keys_unavailable",
                "the key file cannot be changed, and the keys that were read before stay in force; GET /v1/read-models and the log say why",
                10,
            )
        }
    }
}

/// An answer that nobody on the way is to keep.
fn secret(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// The key that a path names.
pub(super) struct KeyInPath(String);

impl<S: Send + Sync> FromRequestParts<S> for KeyInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let id = id.map_err(|_| Problem::bad_value("id", "it is not UTF-8"))?;
        values::check(&values::key_id(), &id.0).map_err(|what| Problem::bad_value("id", what))?;
        Ok(Self(id.0))
    }
}
