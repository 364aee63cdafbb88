//! One call: as it stands, as it stood, and how it came there.

use super::history::{Walk, events, not_as_recorded, of_type};
use crate::access::{HISTORY, ONE_CALL};
use crate::feed::agents;
use crate::handled::Handled;
use crate::read_models::{Asked, Format, KAIGI_POSITION, has, text};
use crate::request::CallInPath;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::{Problem, Service, values};
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::envelope::Altered;
use domain::handle::Rebuilding;
use domain::json::CallJson;
use domain::{
    Call, CallId, Position, RecordedEvent, Revision, StoredEvent, Timestamp, evolve_in_place,
};
use serde_json::json;
use std::iter;
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
    let point = Point::of(&asked)?;
    let mut walk = Walk::from(&id, Revision(0), asked.caller.key());
    let mut shown = Shown::until(point);
    // Which agents are named, only the whole history shows.
    let mut allowed = asked.caller.may_read_call(&id, iter::empty());
    loop {
        let events = walk.next(&service).await?;
        if events.is_empty() {
            break;
        }
        if allowed.is_err() {
            let named = events.iter().flat_map(|stored| agents(&stored.recorded));
            allowed = asked.caller.may_read_call(&id, named);
        }
        let taken = service.turns.run(asked.caller.key(), move || {
            let taken = shown.take_in(&events);
            (shown, taken)
        });
        let taken_in;
        (shown, taken_in) = taken.await;
        if let Err(altered) = taken_in {
            return Err(allowed.err().unwrap_or_else(|| not_as_recorded(&altered)));
        }
    }
    allowed?;
    shown.answer(&id, &asked)
}

/// Until where a call is shown.
#[derive(Debug, Clone, Copy)]
enum Point {
    End,
    At(Timestamp),
    Revision(Revision),
}

/// A call as it stood at a point. The whole chain is verified, not only what is shown: a prefix of an altered history
/// proves nothing.
struct Shown {
    point: Point,
    whole: Rebuilding,
    call: Call,
    /// Of the last event that is shown.
    last: Option<(Revision, Position)>,
    begun_at: Option<Timestamp>,
}

impl Point {
    fn of(asked: &Asked) -> Result<Self, Problem> {
        let at = asked.params.get("at")?;
        let revision = asked.params.get::<u64>("revision")?;
        match (at, revision) {
            (None, None) => Ok(Self::End),
            (Some(at), None) => Ok(Self::At(at)),
            (None, Some(revision)) => Ok(Self::Revision(Revision(revision))),
            (Some(_), Some(_)) => Err(Problem::bad_value(
                "at",
                "a call is shown at a time or at a revision; give one of them",
            )),
        }
    }

    fn includes(self, event: &RecordedEvent) -> bool {
        match self {
            Self::End => true,
            Self::At(at) => event.cause.at <= at,
            Self::Revision(revision) => event.revision <= revision,
        }
    }
}

impl Shown {
    fn until(point: Point) -> Self {
        Self {
            point,
            whole: Rebuilding::default(),
            call: Call::default(),
            last: None,
            begun_at: None,
        }
    }

    fn take_in(&mut self, events: &[StoredEvent]) -> Result<(), Altered> {
        let known = self.whole.head().revision;
        self.whole.take_in(events)?;
        self.begun_at = self
            .begun_at
            .or(events.first().map(|first| first.recorded.cause.at));
        // What follows an event that is not shown is not shown, either.
        let is_open = self.last.map_or(Revision(0), |(revision, _)| revision) == known;
        let shown = events.iter().filter(|_| is_open);
        for stored in shown.take_while(|stored| self.point.includes(&stored.recorded)) {
            let recorded = &stored.recorded;
            evolve_in_place(&mut self.call, &recorded.event, recorded.cause.at);
            self.last = Some((recorded.revision, stored.position));
        }
        Ok(())
    }

    fn answer(&self, id: &CallId, asked: &Asked) -> Result<Response, Problem> {
        let end = self.whole.head().revision;
        let Some((revision, position)) = self.last else {
            return Err(self.nothing_shown(id, end));
        };
        if let Point::Revision(wanted) = self.point
            && wanted != revision
        {
            return Err(no_such_revision(id, end));
        }
        let etag = format!("\"{revision}\"");
        let mut response = if has(&asked.headers, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let call = CallJson::new(id, &self.call);
            let mut body = serde_json::to_string(&call).expect("a call is JSON");
            body.push('\n');
            of_type(Format::Json, body.into())
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, text(&etag));
        headers.insert(KAIGI_POSITION, position.0.into());
        let cache_control = HeaderValue::from_static("private, no-cache");
        headers.insert(header::CACHE_CONTROL, cache_control);
        Ok(response)
    }

    fn nothing_shown(&self, id: &CallId, end: Revision) -> Problem {
        match (self.point, self.begun_at) {
            (Point::At(at), Some(begun)) => {
                let detail = format!("call {id} had not begun by {at}; it was answered at {begun}");
                Problem::not_found("not_yet_begun", detail)
            }
            _ => no_such_revision(id, end),
        }
    }
}

fn no_such_revision(call: &CallId, last: Revision) -> Problem {
    let detail = format!("call {call} has the revisions 1 to {last}");
    Problem::not_found("no_such_revision", detail).revision(last)
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
            about: "All its events, in order, so `Kaigi-Complete` is always `true`",
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
