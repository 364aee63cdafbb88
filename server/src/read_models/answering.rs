//! What the routes of the read models answer.

use super::asked::{Asked, not_modified};
use super::changes::Kind;
use super::format::Format;
use super::questions::Question;
use super::stream;
use super::views::Standing;
use crate::request::Params;
use crate::{Problem, Service};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

pub(super) async fn active_calls(
    State(service): State<Arc<Service>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let question = Question::active_calls(&asked.params)?;
    listed(&service, asked, question).await
}

pub(super) async fn wrap_up_queue(
    State(service): State<Arc<Service>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let question = Question::wrap_up_queue(&asked.params)?;
    listed(&service, asked, question).await
}

pub(super) async fn handle_times(
    State(service): State<Arc<Service>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let question = Question::handle_times(&asked.params)?;
    listed(&service, asked, question).await
}

pub(super) async fn monitoring(
    State(service): State<Arc<Service>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let question = Question::monitoring(&asked.params)?;
    listed(&service, asked, question).await
}

async fn listed(service: &Service, asked: Asked, question: Question) -> Result<Response, Problem> {
    let format = asked.format()?;
    let paging = question.paging(&asked.params, format)?;
    asked.waited(service).await?;
    let as_of = service.handler.now();
    let answered = service.views.ask(move |model, tag| {
        let position = model.position();
        let etag = question.is_timeless();
        let etag = etag.then(|| asked.etag(format, position, tag));
        match etag {
            Some(etag) if asked.has(&etag) => not_modified(&etag, position, as_of),
            etag => {
                let page = question.answer(model, &paging, as_of);
                asked.answer(page, format, etag.as_deref())
            }
        }
    });
    Ok(answered.await)
}

macro_rules! changes {
    ($name:ident, $kind:expr) => {
        pub(super) async fn $name(
            State(service): State<Arc<Service>>,
            asked: Asked,
        ) -> Result<Response, Problem> {
            stream::answer(&service, $kind, &asked)
        }
    };
}
changes!(active_calls_changes, Kind::ActiveCalls);
changes!(wrap_up_queue_changes, Kind::WrapUpQueue);
changes!(monitoring_changes, Kind::Monitoring);

pub(super) async fn handle_times_changes(
    State(service): State<Arc<Service>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let kind = match asked.params.text("by") {
        Some("call") | None => Kind::CallTimes,
        Some("agent") => Kind::AgentTimes,
        Some(_) => {
            let what = "changes are told by call or by agent; windows are asked for anew";
            return Err(Problem::bad_value("by", what));
        }
    };
    stream::answer(&service, kind, &asked)
}

/// How the read models are doing.
#[derive(Serialize)]
struct Upkeep {
    position: u64,
    caught_up: bool,
    store_position: u64,
    behind_ms: u64,
    rebuilding: Option<Rebuilding>,
    checkpoint_position: Option<u64>,
    trouble: Option<String>,
}

#[derive(Serialize)]
struct Rebuilding {
    position: u64,
}

impl From<Standing> for Upkeep {
    fn from(standing: Standing) -> Self {
        let rebuilding = standing.rebuilding;
        Self {
            position: standing.position.0,
            caught_up: standing.caught_up,
            store_position: standing.behind.store.0,
            behind_ms: u64::try_from(standing.behind.since.as_millis()).unwrap_or(u64::MAX),
            rebuilding: rebuilding.map(|position| Rebuilding {
                position: position.0,
            }),
            checkpoint_position: standing.checkpoint.map(|position| position.0),
            trouble: standing.trouble,
        }
    }
}

pub(super) async fn upkeep(State(service): State<Arc<Service>>, _: Params) -> Response {
    told(StatusCode::OK, &service)
}

pub(super) async fn rebuild(State(service): State<Arc<Service>>, _: Params) -> Response {
    service.views.rebuild();
    told(StatusCode::ACCEPTED, &service)
}

fn told(status: StatusCode, service: &Service) -> Response {
    let upkeep = Upkeep::from(service.views.standing());
    let body = serde_json::to_string(&upkeep).expect("it is JSON");
    let json = Format::Json.media_type();
    (status, [(header::CONTENT_TYPE, json)], body + "\n").into_response()
}
