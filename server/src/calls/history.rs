//! The events of one call. A long history is read twice in parts: once to verify it and to know its end, and once while
//! the client reads the answer.

use crate::read_models::{Asked, Format, KAIGI_COMPLETE, KAIGI_POSITION};
use crate::request::CallInPath;
use crate::streamed::{self, CutOff, Pieces};
use crate::{Problem, Service};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::envelope::Altered;
use domain::handle::Rebuilding;
use domain::json::{EventJson, write_line};
use domain::{CallId, Head, Position, Revision, StoredEvent};
use std::sync::Arc;

/// How many events are read at once. The embedded store goes through a call from its first event for each part.
const PART: usize = 2048;

/// How many events the first part has: few calls have more.
const FIRST_PART: usize = 512;

/// How many bytes an event takes as JSON, about.
const EVENT_BYTES: usize = 640;

/// A call's events, part by part.
pub(super) struct Walk {
    call: CallId,
    key: Arc<str>,
    after: Revision,
    part: usize,
    is_over: bool,
}

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As everybody reads them.
    Plain,
    /// As in a dump, so that the reader can verify every hash.
    Whole,
}

/// How the events of one answer are written.
#[derive(Clone, Copy)]
struct Layout {
    form: Form,
    format: Format,
    /// The last revision that the client has.
    after: Revision,
}

/// Where a history ends.
#[derive(Clone, Copy)]
struct End {
    head: Head,
    position: Position,
}

pub(super) async fn events(
    State(service): State<Arc<Service>>,
    CallInPath(id): CallInPath,
    asked: Asked,
) -> Result<Response, Problem> {
    let layout = Layout::of(&asked)?;
    let key = asked.caller.key();
    let bytes = FIRST_PART * EVENT_BYTES;
    let allowance = service.budget.take_in_time(key, bytes).await?;
    let mut walk = Walk::from(&id, Revision(0), key);
    let first = walk.next(&service).await?;
    let (end, first) = verified(&service, layout, &mut walk, first).await?;
    let body = if let Some(events) = first {
        let call = id.clone();
        let written = service.turns.run(key, move || {
            let mut body = layout.begin(&call, end);
            layout.write(&mut body, &events, end);
            layout.end(&mut body);
            body
        });
        Body::from(allowance.cover(written.await))
    } else {
        drop(allowance);
        let walk = Walk::from(&id, layout.after, key);
        let history = History {
            layout,
            end,
            walk,
            begun: false,
        };
        streamed::body(&service, &asked.caller, history)
    };
    let mut response = of_type(layout.format, body);
    let headers = response.headers_mut();
    headers.insert(KAIGI_POSITION, end.position.0.into());
    headers.insert(KAIGI_COMPLETE, HeaderValue::from_static("true"));
    Ok(response)
}

/// Where the history ends, and its events if the first part has all of them. The plain form is verified. The whole form
/// is for clients that look for altered events, so it shows them.
async fn verified(
    service: &Service,
    layout: Layout,
    walk: &mut Walk,
    first: Vec<StoredEvent>,
) -> Result<(End, Option<Vec<StoredEvent>>), Problem> {
    let key = Arc::clone(&walk.key);
    let mut rebuilding = Rebuilding::default();
    let mut position = Position::START;
    let mut part = first;
    loop {
        position = part.last().map_or(position, |last| last.position);
        let taken = service.turns.run(&key, move || {
            match layout.form {
                Form::Plain => rebuilding.verify(&part)?,
                Form::Whole => rebuilding.head = part.last().map(|last| last.recorded.head()),
            }
            Ok((rebuilding, part))
        });
        (rebuilding, part) = taken.await.map_err(|altered| not_as_recorded(&altered))?;
        let end = End {
            head: rebuilding.head(),
            position,
        };
        if walk.is_over {
            let first = part.first().map(|first| first.recorded.revision);
            return Ok((end, (first == Some(Revision(1))).then_some(part)));
        }
        let next = walk.next(service).await?;
        if next.is_empty() {
            return Ok((end, None));
        }
        part = next;
    }
}

/// The events of a long history, made while the client reads.
struct History {
    layout: Layout,
    end: End,
    walk: Walk,
    begun: bool,
}

impl Pieces for History {
    fn next_bytes(&self) -> usize {
        PART * EVENT_BYTES
    }

    async fn next(&mut self, service: &Service, key: &str) -> Result<Option<Vec<u8>>, CutOff> {
        let (layout, end) = (self.layout, self.end);
        if self.begun && self.walk.after >= end.head.revision {
            return Ok(None);
        }
        let mut piece = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            piece = layout.begin(&self.walk.call, end);
        }
        let known = self.walk.after;
        if known < end.head.revision {
            self.walk.is_over = false;
            let events = self.walk.next(service).await;
            let events = events.map_err(|_| CutOff("the store did not return its events"))?;
            if events.is_empty() {
                return Err(CutOff("the store has fewer events than before"));
            }
            let is_first = known <= layout.after;
            piece = service
                .turns
                .run(key, move || {
                    if !is_first {
                        layout.separate(&mut piece);
                    }
                    layout.write(&mut piece, &events, end);
                    piece
                })
                .await;
        }
        if self.walk.after >= end.head.revision {
            layout.end(&mut piece);
        }
        Ok(Some(piece))
    }
}

impl Walk {
    pub(super) fn from(call: &CallId, after: Revision, key: &str) -> Self {
        Self {
            call: call.clone(),
            key: key.into(),
            after,
            part: if after == Revision(0) {
                FIRST_PART
            } else {
                PART
            },
            is_over: false,
        }
    }

    /// The next events; none after the last one. A call that has no event is not found.
    pub(super) async fn next(&mut self, service: &Service) -> Result<Vec<StoredEvent>, Problem> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let (store, call) = (Arc::clone(&service.store), self.call.clone());
        let (after, part) = (self.after, self.part);
        let reading = async move { store.read_call_page(&call, after, part).await };
        let events = service.turns.begin(&self.key, reading).await;
        let events = events.map_err(|error| Problem::from(&error))?;
        self.is_over = events.len() < part;
        self.part = PART;
        if let Some(last) = events.last() {
            self.after = last.recorded.revision;
        } else if after == Revision(0) {
            return Err(no_such_call(&self.call));
        }
        Ok(events)
    }
}

fn no_such_call(call: &CallId) -> Problem {
    let detail = format!("there is no call {call}; connect_call opens one");
    Problem::not_found("call_not_found", detail).rule("R1")
}

impl Layout {
    fn of(asked: &Asked) -> Result<Self, Problem> {
        let form = match asked.params.text("form") {
            Some("plain") | None => Form::Plain,
            Some("whole") => Form::Whole,
            Some(_) => return Err(Problem::bad_value("form", "it is plain or whole")),
        };
        let at_hand: &[Format] = match form {
            Form::Plain => &[Format::Json, Format::Ndjson],
            Form::Whole => &[Format::Ndjson],
        };
        Ok(Self {
            form,
            format: Format::chosen(asked.route.path, &asked.headers, at_hand)?,
            after: Revision(asked.params.get("after")?.unwrap_or_default()),
        })
    }

    fn is_json(self) -> bool {
        self.format == Format::Json
    }

    fn begin(self, call: &CallId, end: End) -> Vec<u8> {
        if !self.is_json() {
            return Vec::new();
        }
        let call = serde_json::to_string(call.as_str()).expect("a text is JSON");
        let Head { revision, hash } = end.head;
        format!(r#"{{"call":{call},"revision":{revision},"head":"{hash}","events":["#).into_bytes()
    }

    /// The events that are asked for, up to the end.
    fn write(self, to: &mut Vec<u8>, events: &[StoredEvent], end: End) {
        let wanted = |event: &&StoredEvent| {
            let revision = event.recorded.revision;
            revision > self.after && revision <= end.head.revision
        };
        for (place, event) in events.iter().filter(wanted).enumerate() {
            if place > 0 {
                self.separate(to);
            }
            match self.form {
                Form::Whole => to.extend_from_slice(write_line(event).as_bytes()),
                Form::Plain => {
                    let event = EventJson(event);
                    serde_json::to_writer(&mut *to, &event).expect("a buffer takes an event");
                    if !self.is_json() {
                        to.push(b'\n');
                    }
                }
            }
        }
    }

    fn separate(self, to: &mut Vec<u8>) {
        if self.is_json() {
            to.push(b',');
        }
    }

    fn end(self, to: &mut Vec<u8>) {
        if self.is_json() {
            to.extend_from_slice(b"]}\n");
        }
    }
}

pub(super) fn of_type(format: Format, body: Body) -> Response {
    let media_type = HeaderValue::from_static(format.media_type());
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

pub(super) fn not_as_recorded(altered: &Altered) -> Problem {
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
