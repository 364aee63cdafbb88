//! Keys for operators, and tokens for streams, over HTTP.

use super::key_file::{agent, supervisor};
use super::tokens::{Full, MOST_PER_KEY, is_stream};
use super::{Caller, KeyFile, KeyFileError, Keys, OPERATION, Role, STREAMS, Wanted};
use crate::body;
use crate::request::Params;
use crate::route::{self, Answer, Handled, Operation, Parameter, Route};
use crate::{Problem, Service};
use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use domain::{InvalidTime, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        create_token().handled(post(issue)),
        list_keys().handled(get(list)),
        create_key().handled(post(create)),
        revoke_key().handled(delete(revoke)),
    ]
}

fn create_token() -> Route {
    Route {
        method: Method::POST,
        path: "/v1/tokens",
        access: STREAMS,
        operation: Operation {
            id: "createToken",
            summary: "Get a token for one stream",
            about: "A browser's EventSource cannot send a key. A token admits it to the stream of that very path and \
                    query, to connect or reconnect until the token expires; a stream that was begun goes on. Ask for \
                    a new one when a reconnect is answered with 401. A token ends with the key it was given for. It \
                    is kept in the memory of the process that made it: another process of the same store does not \
                    know it and must be asked anew. A key has at most 100 tokens at a time.",
            body: Some(("application/json", wanted_token())),
            answers: vec![Answer {
                status: 201,
                about: "The token; `url` is the stream's with the token in it",
                content: vec![("application/json", token_schema())],
            }],
            problems: &[400, 408, 413, 415, 422, 429],
            ..Operation::default()
        },
    }
}

fn list_keys() -> Route {
    Route {
        method: Method::GET,
        path: "/v1/keys",
        access: OPERATION,
        operation: Operation {
            id: "listKeys",
            summary: "List the keys",
            about: "Those that are in force in this process, with those that have expired or were revoked, the oldest \
                    first. Neither texts nor hashes are told.",
            answers: vec![Answer {
                status: 200,
                about: "The keys",
                content: vec![(
                    "application/json",
                    json!({
                        "type": "object",
                        "required": ["keys"],
                        "properties": {"keys": {"type": "array", "items": key_schema()}}
                    }),
                )],
            }],
            problems: &[409],
            ..Operation::default()
        },
    }
}

fn create_key() -> Route {
    Route {
        method: Method::POST,
        path: "/v1/keys",
        access: OPERATION,
        operation: Operation {
            id: "createKey",
            summary: "Create a key",
            about: "The answer is the only place where the key's text is ever told. An operator may create a key with \
                    roles that the operator's own key does not have: who makes keys can act as anybody, so give that \
                    role to nobody who must not. The key is admitted at once here, and by other processes that use \
                    the same key file about a second later.",
            body: Some(("application/json", wanted_key())),
            answers: vec![Answer {
                status: 201,
                about: "The key, with its text as `key`",
                content: vec![("application/json", created_schema())],
            }],
            problems: &[400, 408, 409, 413, 415, 422, 503],
            ..Operation::default()
        },
    }
}

fn revoke_key() -> Route {
    Route {
        method: Method::DELETE,
        path: "/v1/keys/{id}",
        access: OPERATION,
        operation: Operation {
            id: "revokeKey",
            summary: "Revoke a key",
            about: "It is admitted no more, here at once and by other processes that use the same key file about a \
                    second later; streams that were begun with it end. It stays in the list. Revoking a revoked key \
                    changes nothing.",
            parameters: vec![Parameter::path(
                "id",
                json!({"type": "string"}),
                "The key's id: what stands between the first two `_` of its text",
            )],
            answers: vec![Answer {
                status: 200,
                about: "The key, revoked",
                content: vec![("application/json", key_schema())],
            }],
            problems: &[404, 409, 503],
            ..Operation::default()
        },
    }
}

fn key_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "name", "roles", "agent", "supervisor", "created_at", "expires_at", "revoked_at"],
        "properties": key_properties(),
    })
}

fn key_properties() -> Value {
    let time = json!({"type": ["string", "null"], "format": "date-time"});
    json!({
        "id": {"type": "string"},
        "name": {"type": "string"},
        "roles": roles_schema(),
        "agent": {"type": ["string", "null"]},
        "supervisor": {"type": ["string", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": time,
        "revoked_at": time,
    })
}

fn created_schema() -> Value {
    let mut schema = key_schema();
    schema["properties"]["key"] = json!({"type": "string"});
    schema["required"] = json!(["id", "name", "roles", "key"]);
    schema
}

fn roles_schema() -> Value {
    let names = Role::ALL.map(Role::name);
    json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "enum": names}})
}

fn wanted_key() -> Value {
    json!({
        "type": "object",
        "required": ["name", "roles"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 64},
            "roles": roles_schema(),
            "agent": {"type": ["string", "null"], "description": "Whose desk it is, as agent:ID; only for the role desk"},
            "supervisor": {"type": ["string", "null"], "description": "Which supervisor's it is, as supervisor:ID; only for that role"},
            "expires_at": {"type": ["string", "null"], "format": "date-time"},
        }
    })
}

fn wanted_token() -> Value {
    json!({
        "type": "object",
        "required": ["stream"],
        "additionalProperties": false,
        "properties": {"stream": {
            "type": "string",
            "description": "The path and query of the stream, such as /v1/active-calls/changes?queue=billing",
        }}
    })
}

fn token_schema() -> Value {
    json!({
        "type": "object",
        "required": ["token", "url", "expires_at"],
        "properties": {
            "token": {"type": "string"},
            "url": {"type": "string"},
            "expires_at": {"type": "string", "format": "date-time"},
        }
    })
}

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

async fn issue(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    _: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body: TokenBody = body::json(&headers, body, &service.settings).await?;
    let stream = stream(&body.stream)?;
    let route = route_of(&stream).ok_or_else(no_stream)?;
    if !caller.may(route.access) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "role_missing",
            "this key has no role that may follow that stream",
        ));
    }
    Params::of(stream.query().unwrap_or_default(), &route)?;
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
fn route_of(stream: &PathAndQuery) -> Option<Arc<Route>> {
    let streams = route::table().into_iter().filter(|route| is_stream(route));
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

async fn list(State(service): State<Arc<Service>>, _: Params) -> Result<Response, Problem> {
    let keys = service.guards.keys().ok_or_else(not_kept)?.all();
    let rows: Vec<_> = keys.iter().map(|key| key.row()).collect();
    Ok(secret(StatusCode::OK, &json!({"keys": rows})))
}

async fn create(
    State(service): State<Arc<Service>>,
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
    changed(&service, |file| file.add(key)).await?;
    Ok(secret(StatusCode::CREATED, &body))
}

async fn revoke(
    State(service): State<Arc<Service>>,
    KeyInPath(id): KeyInPath,
    _: Params,
) -> Result<Response, Problem> {
    kept(&service)?;
    let revoked = changed(&service, move |file| file.revoke(&id, Timestamp::now())).await?;
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
            .map(agent)
            .transpose()
            .map_err(bad("agent"))?,
        supervisor: body
            .supervisor
            .as_deref()
            .map(supervisor)
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

/// Changes the file where waiting for a disk holds nobody up, and reads it again before anybody is told.
async fn changed<T: Send + 'static>(
    service: &Arc<Service>,
    change: impl FnOnce(&KeyFile) -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, Problem> {
    let service = Arc::clone(service);
    let change = tokio::task::spawn_blocking(move || {
        let (keys, file) = kept(&service)?;
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
        KeyFileError::Missing { .. } | KeyFileError::Malformed { .. } | KeyFileError::Io { .. } => {
            Problem::try_again(
                "keys_unavailable",
                "the key file cannot be changed, and the keys that were read before stay in force; /readyz and the log say why",
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
struct KeyInPath(String);

impl<S: Send + Sync> FromRequestParts<S> for KeyInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        id.map(|id| Self(id.0))
            .map_err(|_| Problem::bad_value("id", "it is not UTF-8"))
    }
}
