//! What can be asked of the feed.

use super::filter::Filter;
use super::form::Form;
use super::page::{Asked, Layout, MOST, comes_past};
use super::reading::{Reading, no_such_prefix};
use super::stream::Subscription;
use crate::access::{Caller, HISTORY};
use crate::handled::Handled;
use crate::operations::schemas;
use crate::read_models::{agent, liked_best, unless_stopping, wait};
use crate::request::Params;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::{Problem, Service, sse, values};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::event::EventType;
use domain::{Position, Prefix};
use engine::follower::Place;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        events().handled(get(answer_events)),
        proof().handled(get(answer_proof)),
        position().handled(get(answer_position)),
    ]
}

fn events() -> Route {
    Route {
        method: Method::GET,
        path: "/v1/events",
        access: HISTORY,
        operation: Operation {
            id: "readEvents",
            summary: "Read all events in order, or follow them",
            about: "Returns a page of events as one JSON object, or events as lines (`application/x-ndjson`) with the \
                    facts about them in headers. Lines without `limit` are all events up to the one that is the last \
                    when the response begins; with `limit` they are a page. `Kaigi-Complete` is `false` where there is \
                    more. `position`, `count` and `rolling_hash` are those of the last event that was \
                    looked at, whether it fits or not; the next page begins after it. A filtered page may be empty \
                    although there is more: `caught_up` says whether there was.\n\n\
                    As `text/event-stream` (or with `stream=true`) it answers with server-sent events that go on for \
                    ever. A stream begins after `Last-Event-ID`, or else after `after`, or else with what comes from \
                    now on. First it says where: `begin`, with `store`, `position`, `count` and `rolling_hash` of all \
                    events before. Each event has its position as `id`, its type as `event`, and as `data` the event \
                    with `count` and `rolling_hash` of all events up to it (with `form=whole`: these two and `line`). \
                    `progress` says the same as `begin` whenever nothing was sent for a while. `cut_off` says `reason` \
                    (`too_slow`, `store_changed`, `store_unavailable`, `key_revoked`) and `resume_after`, `stopping` \
                    the same, and then the stream ends. The rolling hash of n events is SHA-256 of that of n-1 events \
                    (32 zero bytes of none) and the n-th event's `hash`, as 64 bytes. Where an event cannot be read, a \
                    `damaged_event` stands in its place, with its own `hash`; it passes every filter but that for \
                    another call, because nothing more is known of it.",
            parameters: events_parameters(),
            body: None,
            answers: vec![Answer {
                status: 200,
                about: "The events",
                content: vec![
                    ("application/json", schemas::of("EventPage")),
                    ("application/x-ndjson", schemas::of("EventInForm")),
                    (sse::EVENT_STREAM, json!({"type": "string"})),
                ],
            }],
            problems: &[406, 409, 422, 500, 503],
        },
    }
}

fn events_parameters() -> Vec<Parameter> {
    let types = EventType::NAMES;
    let position = || values::whole_number(0);
    vec![
        Parameter::query(
            "after",
            position(),
            "Only events past this position; a page begins with the first if it is left out",
        ),
        Parameter::query(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": MOST}),
            "How many events a page has at most. Without it a JSON page has 1000, and NDJSON has all events",
        ),
        Parameter::query(
            "call",
            values::call(),
            "Only events of this call. All events are looked through, so that the page proves that it leaves none out; \
             the call's history by itself is at /v1/calls/{call}/events",
        ),
        Parameter::query(
            "agent",
            values::agent(),
            "Only events that name this agent: as who asked, or in their data",
        ),
        Parameter::query(
            "type",
            json!({"type": "string", "enum": types}),
            "Only events of this type",
        ),
        Parameter::query(
            "form",
            json!({"type": "string", "enum": Form::NAMES, "default": "plain"}),
            "How events are told: as the interface shows them, as lines of a dump, by which every hash can be verified, \
             or as CloudEvents 1.0",
        ),
        Parameter::query(
            "wait",
            values::seconds(),
            "How many seconds to wait for an event before an empty page is answered; the service has a limit of its own",
        ),
        Parameter::query(
            "stream",
            json!({"type": "boolean", "default": false}),
            "Asks for server-sent events where `Accept` cannot be chosen",
        ),
        Parameter::header(
            "Last-Event-ID",
            json!({"type": "string", "pattern": "^[0-9]{0,19}$"}),
            "The `id` that a stream goes on after",
        ),
    ]
}

fn proof() -> Route {
    let number = || values::whole_number(0);
    Route {
        method: Method::GET,
        path: "/v1/proof",
        access: HISTORY,
        operation: Operation {
            id: "readProof",
            summary: "Count and rolling hash of the first events",
            about: "Whoever has counted and rolled the hashes of all events it was told compares them with this, and \
                    so knows whether it missed any. Without a parameter: of all events there are.",
            parameters: vec![
                Parameter::query("count", number(), "Of the first so many events"),
                Parameter::query(
                    "position",
                    number(),
                    "Of the events at or before this position",
                ),
            ],
            body: None,
            answers: vec![Answer {
                status: 200,
                about: "The proof",
                content: vec![("application/json", schemas::of("Proof"))],
            }],
            problems: &[404, 422, 500, 503],
        },
    }
}

fn position() -> Route {
    Route {
        method: Method::GET,
        path: "/v1/position",
        access: HISTORY,
        operation: Operation {
            id: "readPosition",
            summary: "Where the last event stands, if need be once there is another one",
            about: "Waits until there is an event past a position, and then, or when it has waited as long as it may, \
                    answers with the position of the last event.",
            parameters: vec![
                Parameter::query(
                    "past",
                    values::whole_number(0),
                    "To wait for an event past this position",
                ),
                Parameter::query(
                    "wait",
                    values::seconds(),
                    "How many seconds to wait; the service has a limit of its own",
                ),
            ],
            body: None,
            answers: vec![Answer {
                status: 200,
                about: "The position",
                content: vec![("application/json", schemas::of("End"))],
            }],
            problems: &[422, 500, 503],
        },
    }
}

async fn answer_events(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = filter(&params)?;
    let form = params.get("form")?.unwrap_or(Form::Plain);
    if let Answering::Page(layout) = Answering::chosen(&params, &headers)? {
        let asked = asked_page(&params, &service, caller, filter, (form, layout))?;
        return asked.answer(&service).await;
    }
    let from = beginning(&params, &headers, &service, caller.key()).await?;
    let subscription = Subscription {
        service,
        caller,
        from,
        filter,
        form,
    };
    Ok(sse::answer(subscription.frames()))
}

fn asked_page(
    params: &Params,
    service: &Service,
    caller: Caller,
    filter: Filter,
    (form, layout): (Form, Layout),
) -> Result<Asked, Problem> {
    Ok(Asked {
        caller,
        after: after(params)?.unwrap_or(Position::START),
        limit: limit(params)?,
        filter,
        form,
        layout,
        wait: wait(params, service)?.unwrap_or_default(),
    })
}

/// Where a stream begins: after the last event that the client was sent, after the one it names, or with what comes.
async fn beginning(
    params: &Params,
    headers: &HeaderMap,
    service: &Service,
    key: &str,
) -> Result<Place, Problem> {
    for name in ["limit", "wait"] {
        if params.text(name).is_some() {
            let what = "is for pages; a stream has no end, so leave it out";
            return Err(Problem::bad_value(name, what));
        }
    }
    let last_event = sse::last_event_id(headers)?.map(Position);
    let reading = service.feed.reading_for(key);
    match last_event.or(after(params)?) {
        Some(position) => unless_stopping(service, reading.at(position)).await,
        None => unless_stopping(service, reading.all()).await,
    }
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    Ok(Filter {
        call: params.get("call")?,
        agent: agent(params)?,
        event_type: event_type(params)?,
    })
}

fn event_type(params: &Params) -> Result<Option<EventType>, Problem> {
    let Some(name) = params.text("type") else {
        return Ok(None);
    };
    let unknown = || {
        Problem::bad_value(
            "type",
            "there is no such type of event; /openapi.json lists them",
        )
    };
    EventType::named(name).map(Some).ok_or_else(unknown)
}

fn after(params: &Params) -> Result<Option<Position>, Problem> {
    Ok(params.get("after")?.map(Position))
}

fn limit(params: &Params) -> Result<Option<u64>, Problem> {
    let limit = params.get("limit")?;
    if limit.is_none_or(|limit| (1..=MOST).contains(&limit)) {
        Ok(limit)
    } else {
        Err(Problem::bad_value(
            "limit",
            format!("must be from 1 to {MOST}"),
        ))
    }
}

/// How events are answered.
enum Answering {
    Page(Layout),
    Stream,
}

impl Answering {
    /// As the client likes best, unless it cannot choose what it accepts.
    fn chosen(params: &Params, headers: &HeaderMap) -> Result<Self, Problem> {
        if params.get("stream")?.unwrap_or(false) {
            return Ok(Self::Stream);
        }
        let [json, ndjson] = [Layout::Json, Layout::Ndjson].map(Layout::media_type);
        Ok(
            match liked_best(headers, &[json, ndjson, sse::EVENT_STREAM])? {
                0 => Self::Page(Layout::Json),
                1 => Self::Page(Layout::Ndjson),
                _ => Self::Stream,
            },
        )
    }
}

async fn answer_proof(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Response, Problem> {
    let reading = service.feed.reading_for(caller.key());
    let place = match (params.get("count")?, params.get("position")?) {
        (None, None) => unless_stopping(&service, reading.all()).await?,
        (Some(count), None) => unless_stopping(&service, reading.first(count)).await?,
        (None, Some(position)) => {
            unless_stopping(&service, up_to(&service, &reading, Position(position))).await?
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_value(
                "position",
                "name it or `count`, not both",
            ));
        }
    };
    let Prefix {
        count,
        position,
        rolling_hash,
    } = place.reached;
    let body = json!({
        "store": service.store.id().to_string(),
        "count": count,
        "position": position.0,
        "rolling_hash": rolling_hash.to_string(),
    });
    Ok(as_json(&body))
}

/// A position past the end has no proof yet.
async fn up_to(service: &Service, reading: &Reading, position: Position) -> Result<Place, Problem> {
    let at = reading.at(position).await;
    at.map_err(|problem| match problem.code() {
        "ahead_of_store" => no_such_prefix(service.feed.tail().end().reached),
        _ => problem,
    })
}

async fn answer_position(
    State(service): State<Arc<Service>>,
    params: Params,
) -> Result<Response, Problem> {
    unless_stopping(&service, service.feed.reading.caught_up()).await?;
    let past = Prefix {
        position: Position(params.get("past")?.unwrap_or(0)),
        ..Prefix::NONE
    };
    let until = Instant::now() + wait(&params, &service)?.unwrap_or_default();
    comes_past(&service, past, until).await;
    let last = service.feed.tail().end().reached.position;
    let body = json!({"store": service.store.id().to_string(), "position": last.0});
    Ok(as_json(&body))
}

fn as_json(body: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, body.to_string()).into_response()
}
