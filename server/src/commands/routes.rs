//! The routes that take commands.

use super::{one, stream};
use crate::access::COMMANDS;
use crate::body::NDJSON;
use crate::handled::Handled;
use crate::operations::schemas;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::values;
use axum::http::Method;
use axum::routing::post;
use serde_json::json;

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        route("/v1/calls/{call}/commands", send_command()).handled(post(one::send)),
        route("/v1/commands", send_commands()).handled(post(stream::send)),
    ]
}

fn route(path: &'static str, operation: Operation) -> Route {
    Route {
        method: Method::POST,
        path,
        access: COMMANDS,
        operation,
    }
}

fn send_command() -> Operation {
    let text = |name, pattern, about| {
        Parameter::header(name, json!({"type": "string", "pattern": pattern}), about)
    };
    let id = r#"^"?[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"?$"#;
    let revision = r#"^"?[0-9]{1,19}"?$"#;
    Operation {
        id: "sendCommand",
        summary: "Send a command for a call",
        about: "Accepted, its events are durable, `ETag` has the call's new revision and `Kaigi-Position` the position \
                of the last event, which a read model can be asked to wait for. With an id, by `Idempotency-Key` or in \
                the body, a command can be sent again until it is answered: it is never applied twice. A client that \
                goes away does not undo its command. The body need not name the call.",
        parameters: vec![
            Parameter::path("call", values::call(), "The call"),
            text(
                "Idempotency-Key",
                id,
                "The command's id, a UUID, plain or in quotes; the same as `id` in the body",
            ),
            text(
                "If-Match",
                revision,
                "The revision that the call must be at, in quotes as `ETag` gives it; the same as `expect` in the body",
            ),
            traceparent(),
        ],
        body: Some(("application/json", schemas::of("Command"))),
        answers: vec![Answer {
            status: 200,
            about: "Accepted; its events are durable",
            content: vec![("application/json", schemas::of("Answer"))],
        }],
        problems: &[400, 404, 408, 409, 412, 413, 415, 422, 500, 503],
    }
}

fn send_commands() -> Operation {
    Operation {
        id: "sendCommands",
        summary: "Send many commands, and take their answers while sending",
        about: "One command a line, each for the call it names; one answer a line, in the order of the lines, with the \
                line's number. A line of white space is counted and not answered. Commands of one call are judged in \
                their order, others side by side. A line that is no command, or may not be sent with this key, is \
                answered so, and the rest goes on; behind a command that could not be decided, later ones of its call \
                are not judged. No more lines are read while answers are not taken. The last line says so if the \
                service reads no further, and from which line to send again.",
        parameters: vec![traceparent()],
        body: Some((NDJSON, schemas::of("Command"))),
        answers: vec![Answer {
            status: 200,
            about: "The answers, while the commands still come",
            content: vec![(NDJSON, schemas::of("StreamedAnswer"))],
        }],
        problems: &[415, 422, 503],
    }
}

fn traceparent() -> Parameter {
    Parameter::header(
        "traceparent",
        json!({"type": "string"}),
        "W3C Trace Context: its trace id becomes the correlation of a command that has none",
    )
}
