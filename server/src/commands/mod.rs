//! Commands: one for a call, or many in a stream.

pub mod in_order;
pub mod lines;

use crate::access::COMMANDS;
use crate::access::Caller;
use crate::request::CallInPath;
use crate::route::{Answer, Handled, Operation, Parameter, Route};
use crate::{Problem, Service};
use axum::Extension;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::HandleError;
use domain::json::{AnswerJson, parse_command};
use serde_json::json;
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        Route {
            method: Method::POST,
            path: "/v1/calls/{call}/commands",
            access: COMMANDS,
            operation: Operation {
                id: "sendCommand",
                summary: "Send a command for a call",
                about: "",
                parameters: vec![Parameter::path(
                    "call",
                    json!({"type": "string"}),
                    "The call",
                )],
                body: Some((
                    "application/json",
                    json!({"$ref": "#/components/schemas/Command"}),
                )),
                answers: vec![Answer {
                    status: 200,
                    about: "Accepted; its events are durable",
                    content: vec![(
                        "application/json",
                        json!({"$ref": "#/components/schemas/Answer"}),
                    )],
                }],
                problems: &[400, 404, 409, 412, 413, 415, 422],
            },
        }
        .handled(post(send)),
    ]
}

async fn send(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    CallInPath(_): CallInPath,
    body: String,
) -> Result<Response, Problem> {
    let request = parse_command(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string()))?;
    caller.may_send(&request.command)?;
    let handler = &service.handler;
    let id = request.id.unwrap_or_else(|| handler.random_id());
    match handler.handle(&request, id, handler.now()).await {
        Ok(answer) => Ok(axum::response::Response::new(
            serde_json::to_string(&AnswerJson::accepted(&answer))
                .expect("an answer is JSON")
                .into(),
        )),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &HandleError) -> Problem {
    Problem::new(StatusCode::CONFLICT, "refused", error.to_string())
}

#[expect(dead_code, reason = "the skeleton")]
fn unused(problem: Problem) -> Response {
    problem.into_response()
}
