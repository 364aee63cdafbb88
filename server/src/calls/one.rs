//! One call: as it stands, as it stood, and how it came there.

use crate::access::{HISTORY, ONE_CALL};
use crate::feed::agents;
use crate::read_models::{Asked, Format, KAIGI_POSITION, has, ndjson, text};
use crate::request::CallInPath;
use crate::route::{Answer, Handled, Operation, Parameter, Route};
use crate::{Problem, Service, values};
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::envelope::Altered;
use domain::handle::rebuild;
use domain::json::{CallJson, EventJson, write_line};
use domain::{CallId, Head, Revision, StoredEvent, Timestamp};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Handled> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/calls/{call}",
            access: ONE_CALL,
            operation: call_operation(),
        }
        .handled(get(call)),
        Route {
            method: Method::GET,
            path: "/v1/calls/{call}/events",
            access: HISTORY,
            operation: events_operation(),
        }
        .handled(get(events)),
    ]
}

async fn call(
    State(service): State<Arc<Service>>,
    CallInPath(id): CallInPath,
    asked: Asked,
) -> Result<Response, Problem> {
    let at = asked.params.get("at")?;
    let revision = asked.params.get::<u64>("revision")?;
    let history = history(&service, &id).await?;
    let named = history.iter().flat_map(|stored| agents(&stored.recorded));
    asked.caller.may_read_call(&id, named.flatten())?;
    // The whole chain, not only what is shown: a prefix of an altered history proves nothing.
    rebuild(&history).map_err(|altered| not_as_recorded(&altered))?;
    let shown = shown(&id, &history, at, revision.map(Revision))?;
    let (call, head) = rebuild(shown).map_err(|altered| not_as_recorded(&altered))?;
    let etag = format!("\"{}\"", head.revision);
    let mut response = if has(&asked.headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut body = serde_json::to_string(&CallJson::new(&id, &call)).expect("a call is JSON");
        body.push('\n');
        of_type(Format::Json, body)
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, text(&etag));
    headers.insert(KAIGI_POSITION, position(shown));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    Ok(response)
}

/// A call's events, and where its history stands.
#[derive(Serialize)]
struct History<'a> {
    call: &'a str,
    revision: u64,
    head: String,
    events: Vec<EventJson<'a>>,
}

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As everybody reads them.
    Plain,
    /// As in a dump, so that the reader can verify every hash.
    Whole,
}

async fn events(
    State(service): State<Arc<Service>>,
    CallInPath(id): CallInPath,
    asked: Asked,
) -> Result<Response, Problem> {
    let form = form(&asked)?;
    let at_hand: &[Format] = match form {
        Form::Plain => &[Format::Json, Format::Ndjson],
        Form::Whole => &[Format::Ndjson],
    };
    let format = Format::chosen(asked.route.path, &asked.headers, at_hand)?;
    let after = asked.params.get::<u64>("after")?.unwrap_or_default();
    let history = history(&service, &id).await?;
    let known = history.partition_point(|stored| stored.recorded.revision.0 <= after);
    let further = &history[known..];
    let body = match form {
        Form::Plain => {
            let (_, head) = rebuild(&history).map_err(|altered| not_as_recorded(&altered))?;
            plain(&id, head, further, format)
        }
        // Whoever asks for all of it looks for what was altered, and must be shown it.
        Form::Whole => further.iter().map(write_line).collect(),
    };
    let mut response = of_type(format, body);
    response
        .headers_mut()
        .insert(KAIGI_POSITION, position(&history));
    Ok(response)
}

fn form(asked: &Asked) -> Result<Form, Problem> {
    match asked.params.text("form") {
        Some("plain") | None => Ok(Form::Plain),
        Some("whole") => Ok(Form::Whole),
        Some(_) => Err(Problem::bad_value("form", "it is plain or whole")),
    }
}

fn plain(id: &CallId, head: Head, events: &[StoredEvent], format: Format) -> String {
    let events: Vec<_> = events.iter().map(EventJson).collect();
    if format == Format::Ndjson {
        return ndjson(&events);
    }
    let whole = History {
        call: id.as_str(),
        revision: head.revision.0,
        head: head.hash.to_string(),
        events,
    };
    let mut body = serde_json::to_string(&whole).expect("events are JSON");
    body.push('\n');
    body
}

fn of_type(format: Format, body: String) -> Response {
    let media_type = HeaderValue::from_static(format.media_type());
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// Of the last of those events.
fn position(events: &[StoredEvent]) -> HeaderValue {
    events.last().map_or(0, |stored| stored.position.0).into()
}

async fn history(service: &Service, call: &CallId) -> Result<Vec<StoredEvent>, Problem> {
    let events = service.store.read_call(call, Revision(0)).await;
    let events = events.map_err(|error| Problem::from(&error))?;
    if events.is_empty() {
        let detail = format!("there is no call {call}; connect_call opens one");
        return Err(Problem::not_found("call_not_found", detail).rule("R1"));
    }
    Ok(events)
}

/// The events up to the point that is asked for.
fn shown<'a>(
    call: &CallId,
    history: &'a [StoredEvent],
    at: Option<Timestamp>,
    revision: Option<Revision>,
) -> Result<&'a [StoredEvent], Problem> {
    match (at, revision) {
        (None, None) => Ok(history),
        (Some(at), None) => begun_by(call, history, at),
        (None, Some(revision)) => at_revision(call, history, revision),
        (Some(_), Some(_)) => Err(Problem::bad_value(
            "at",
            "a call is shown at a time or at a revision; give one of them",
        )),
    }
}

fn begun_by<'a>(
    call: &CallId,
    history: &'a [StoredEvent],
    at: Timestamp,
) -> Result<&'a [StoredEvent], Problem> {
    let count = history.partition_point(|stored| stored.recorded.cause.at <= at);
    if count > 0 {
        return Ok(&history[..count]);
    }
    let begun = history[0].recorded.cause.at;
    let detail = format!("call {call} had not begun by {at}; it was answered at {begun}");
    Err(Problem::not_found("not_yet_begun", detail))
}

fn at_revision<'a>(
    call: &CallId,
    history: &'a [StoredEvent],
    revision: Revision,
) -> Result<&'a [StoredEvent], Problem> {
    let count = usize::try_from(revision.0).unwrap_or(usize::MAX);
    if (1..=history.len()).contains(&count) {
        return Ok(&history[..count]);
    }
    let last = Revision(history.len() as u64);
    let detail = format!("call {call} has the revisions 1 to {last}");
    Err(Problem::not_found("no_such_revision", detail).revision(last))
}

fn not_as_recorded(altered: &Altered) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "history_altered",
        format!(
            "call {} is not as it was recorded, from revision {} on: {}; `kaigi store check` looks for more",
            altered.call, altered.revision, altered.what
        ),
    )
    .with("call", altered.call.as_str())
    .revision(altered.revision)
}

fn call_operation() -> Operation {
    Operation {
        id: "getCall",
        summary: "One call, as it stands or stood",
        about: "A key reads the calls that it may send commands for: a desk those that its agent is or was in, or was \
                asked to join. The whole chain of hashes is verified first. `ETag` is the revision, which a command can be made to \
                depend on; `Kaigi-Position` that of the last event shown.",
        parameters: vec![
            Parameter::path("call", values::call(), "The call"),
            Parameter::query("at", values::time(), "As it stood at this time"),
            Parameter::query(
                "revision",
                values::whole_number(0),
                "As it stood after so many events",
            ),
            Parameter::header(
                "If-None-Match",
                json!({"type": "string"}),
                "The ETag of an answer that the client has",
            ),
        ],
        body: None,
        answers: vec![
            Answer::of(
                200,
                "The call",
                "application/json",
                json!({"$ref": "#/components/schemas/Call"}),
            ),
            Answer::empty(
                304,
                "The call is at the revision that `If-None-Match` names",
            ),
        ],
        problems: &[404, 422, 500, 503],
    }
}

fn events_operation() -> Operation {
    let event = json!({"$ref": "#/components/schemas/Event"});
    let line = json!({"anyOf": [event, {"type": "object", "required": ["stored"]}]});
    Operation {
        id: "getCallEvents",
        summary: "How one call went",
        about: "`revision` and `head` are the call's own, also where `after` leaves events out. The plain form is \
                verified first; the whole one is a line of a dump for each event, as it is stored.",
        parameters: vec![
            Parameter::path("call", values::call(), "The call"),
            Parameter::query(
                "after",
                values::whole_number(0),
                "Only events after this revision",
            ),
            Parameter::query(
                "form",
                json!({"type": "string", "enum": ["plain", "whole"], "default": "plain"}),
                "As everybody reads them, or with what the hashes cover (NDJSON alone)",
            ),
        ],
        body: None,
        answers: vec![Answer {
            status: 200,
            about: "Its events, in order",
            content: vec![
                (
                    "application/json",
                    json!({"$ref": "#/components/schemas/CallEvents"}),
                ),
                ("application/x-ndjson", line),
            ],
        }],
        problems: &[404, 406, 422, 500, 503],
    }
}
