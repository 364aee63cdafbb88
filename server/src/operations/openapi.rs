//! The OpenAPI 3.1 document, made of the table of routes.

use super::schemas;
use crate::access::Access;
use crate::route::{Answer, Operation, Parameter, Place, Route};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The document of those routes.
pub fn document(routes: &[Arc<Route>]) -> Value {
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| !route.is_other_form()) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kaigi",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A system of record for contact-centre conference calls",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": TAGS.map(|(name, about)| json!({"name": name, "description": about})),
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "key": {
                    "type": "http", "scheme": "bearer",
                    "description": "A key that `kaigi keys create` told once.",
                },
                "token": {
                    "type": "apiKey", "in": "query", "name": "token",
                    "description": "For a browser's EventSource, which cannot send a key: a token for this one stream, \
                                    of `POST /v1/tokens`.",
                },
            },
        },
    })
}

const ABOUT: &str = "Commands are validated against the call rebuilt from its history; what follows is recorded as \
immutable events, and read models are folded from them.\n\nA command with an `id` can be sent again safely: accepted \
before, it is answered as before and writes nothing. Every refusal is a problem (RFC 9457) with a `code` for programs, \
the `rule` that refused, and a `detail` that says what to do instead. Every answer tells the `position` it reflects, in \
the body or the header `Kaigi-Position`; `min_position` waits until a read model has seen that far, so that who wrote \
reads what it wrote. Fields and values may be added: ignore what you do not know.";

const TAGS: [(&str, &str); 5] = [
    ("commands", "What services and desktops ask for"),
    ("calls", "Finding calls, and one call as it stands or stood"),
    (
        "read models",
        "What dashboards show, and its changes as they come",
    ),
    (
        "events",
        "The feed, and the proof that none of it is missing",
    ),
    ("operation", "Looking after the service"),
];

fn operation(route: &Route) -> Value {
    let Operation {
        id,
        summary,
        about,
        parameters,
        body,
        answers,
        problems,
    } = &route.operation;
    let mut operation = json!({
        "operationId": id,
        "tags": [tag(route.path)],
        "summary": summary,
        "description": described(about, route.access),
        "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses(answers, problems, route.access),
        "security": security(route),
    });
    if let Some((media_type, schema)) = body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {*media_type: {"schema": schema}},
        });
    }
    operation
}

/// The group a path is shown in.
fn tag(path: &str) -> &'static str {
    if path.ends_with("/commands") {
        return "commands";
    }
    let first = path.trim_start_matches("/v1/").split(['/', '.']).next();
    match first {
        Some("calls") => "calls",
        Some(name) if projections::descriptions().any(|model| model.name == name) => "read models",
        Some("events" | "proof" | "position") => "events",
        _ => "operation",
    }
}

fn described(about: &str, access: Access) -> String {
    let who = match access {
        Access::Everyone => "Open to everybody, without a key.".to_owned(),
        Access::Roles(roles) => {
            let roles: Vec<_> = roles
                .iter()
                .map(|role| format!("`{}`", role.name()))
                .collect();
            format!("Keys with the role {}.", roles.join(", "))
        }
    };
    let parts = [about, who.as_str()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": parameter.schema,
    })
}

fn responses(answers: &[Answer], problems: &[u16], access: Access) -> Value {
    let mut responses = BTreeMap::new();
    for answer in answers {
        let mut response = json!({"description": answer.about});
        if !answer.content.is_empty() {
            let content = answer.content.iter();
            let content = content
                .map(|(media_type, schema)| ((*media_type).to_owned(), json!({"schema": schema})));
            response["content"] = content.collect::<Map<_, _>>().into();
        }
        responses.insert(answer.status.to_string(), response);
    }
    for status in of_any_route(access).iter().chain(problems) {
        responses.insert(status.to_string(), problem(*status));
    }
    responses.into_iter().collect()
}

/// What every route may answer with, whatever it is for.
fn of_any_route(access: Access) -> &'static [u16] {
    match access {
        Access::Everyone => &[403],
        Access::Roles(_) => &[401, 403, 422, 429, 500, 503],
    }
}

fn problem(status: u16) -> Value {
    let status = StatusCode::from_u16(status).expect("the table has statuses of HTTP");
    json!({
        "description": status.canonical_reason().unwrap_or("Problem"),
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    })
}

fn security(route: &Route) -> Value {
    match route.access {
        Access::Everyone => json!([]),
        Access::Roles(_) if route.is_stream() => json!([{"key": []}, {"token": []}]),
        Access::Roles(_) => json!([{"key": []}]),
    }
}

impl Route {
    /// Whether it only writes in its path what another route takes as a header, such as `/v1/active-calls.csv`.
    fn is_other_form(&self) -> bool {
        self.path.starts_with("/v1/") && Path::new(self.path).extension().is_some()
    }
}
