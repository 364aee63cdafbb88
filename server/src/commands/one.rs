//! One command for one call.

use super::conditions::{TooFarAhead, must_have_happened};
use super::headers::complete;
use super::refusal;
use crate::access::{Caller, Effect};
use crate::body::{must_be, text};
use crate::metrics::{Outcome, UNKNOWN};
use crate::request::{CallInPath, Params};
use crate::{Problem, Service};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use domain::json::{AnswerJson, parse_command_for};
use domain::{Answer, CallId, CommandId, HandleError, Request};
use std::sync::Arc;
use std::time::Instant;

/// The position of the last event that an answer tells of.
const POSITION: HeaderName = HeaderName::from_static("kaigi-position");

pub(crate) async fn send(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    CallInPath(call): CallInPath,
    _: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // One that comes while the service stops is under way, like one whose body still comes: it is answered.
    must_be("application/json", &headers)?;
    let text = text(body, &service.settings).await?;
    let request = parsed(&service, &call, &text)?;
    let request = permitted(&service, &caller, request, &headers)?;
    // The key may have ended while the body came.
    let effect = caller.begin_effect()?;
    let id = request.id.unwrap_or_else(|| service.handler.random_id());
    // A task of its own: a client that goes away does not cut off what is half done, and what came of it is counted.
    let judged = tokio::spawn(judge(service, request, id, effect)).await;
    let answer = judged.map_err(|_| defect())?;
    let answer = answer.map_err(|error| refusal::not_accepted(&error, &call, id))?;
    Ok(accepted(&answer))
}

fn parsed(service: &Service, call: &CallId, text: &str) -> Result<Request, Problem> {
    parse_command_for(call, text).map_err(|error| {
        let problem = refusal::invalid(&error);
        let metrics = &service.metrics;
        metrics.unjudged(UNKNOWN, Outcome::Malformed, problem.code());
        problem
    })
}

/// The command with what the headers say, if this caller may send it. Nothing is looked up before that is certain.
fn permitted(
    service: &Service,
    caller: &Caller,
    mut request: Request,
    headers: &HeaderMap,
) -> Result<Request, Problem> {
    let kind = request.command.name();
    let counted = |outcome| {
        move |problem: Problem| {
            service.metrics.unjudged(kind, outcome, problem.code());
            problem
        }
    };
    caller
        .may_send(&request.command)
        .map_err(counted(Outcome::Denied))?;
    complete(&mut request, headers).map_err(counted(Outcome::Malformed))?;
    must_have_happened(
        &request,
        service.handler.now(),
        service.settings.max_ahead_ms,
    )
    .map_err(|error| too_far_ahead(&error))
    .map_err(counted(Outcome::Malformed))?;
    Ok(request)
}

fn too_far_ahead(error: &TooFarAhead) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, TooFarAhead::CODE, error.to_string())
}

async fn judge(
    service: Arc<Service>,
    request: Request,
    id: CommandId,
    _: Effect,
) -> Result<Answer, HandleError> {
    let begun = Instant::now();
    let handler = &service.handler;
    let result = handler.handle(&request, id, handler.now()).await;
    let metrics = &service.metrics;
    metrics.judged(&request.command, result.as_ref(), begun.elapsed());
    result
}

fn accepted(answer: &Answer) -> Response {
    let json = serde_json::to_vec(&AnswerJson::accepted(answer)).expect("an answer is JSON");
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let tag = HeaderValue::try_from(format!("\"{}\"", answer.revision()));
    headers.insert(header::ETAG, tag.expect("a number in quotes is a header"));
    if let Some(last) = answer.events.last() {
        headers.insert(POSITION, last.position.0.into());
    }
    response
}

/// A panic was reported where it happened.
fn defect() -> Problem {
    Problem::defect()
        .and("send the command again with the same id to learn whether it was accepted")
}
