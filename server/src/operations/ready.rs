//! Whether the service can be relied upon: it follows its store, and knows who may do what.

use crate::access::{Access, Keys};
use crate::route::{Answer, Handled, Operation, Route};
use crate::{Problem, Service};
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Handled> {
    let text_or_null = json!({"type": ["string", "null"]});
    let schema = json!({
        "type": "object",
        "properties": {
            "position": {"$ref": "#/components/schemas/Position"},
            "count": {"type": "integer", "minimum": 0},
            "keys": text_or_null,
            "checkpoint": text_or_null,
        },
        "required": ["position", "count", "keys", "checkpoint"],
    });
    vec![
        Route {
            method: Method::GET,
            path: "/readyz",
            access: Access::Everyone,
            operation: Operation {
                id: "ready",
                summary: "Whether the read models and the feed have caught up with the store",
                about: "503 before that, while the store is away, and once the service was told to stop. Commands are \
                    taken before the read models have caught up. `keys` and `checkpoint` say what is wrong with the \
                    file of keys or the last checkpoint, if anything is; both stay as they were, and nothing is refused.",
                answers: vec![Answer::of(200, "They have", "application/json", schema)],
                problems: &[503],
                ..Operation::default()
            },
        }
        .handled(get(ready)),
    ]
}

async fn ready(State(service): State<Arc<Service>>) -> Result<impl IntoResponse, Problem> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, stands(&service)?.to_string()))
}

fn stands(service: &Service) -> Result<Value, Problem> {
    if service.is_stopping() {
        return Err(not_ready("the service was told to stop"));
    }
    let feed = service.feed.state();
    if let Some(error) = feed.error {
        return Err(not_ready(&error));
    }
    let views = service.views.standing();
    if !(feed.caught_up && views.caught_up) {
        let trouble = views.trouble.unwrap_or_default();
        let (position, count) = (views.position, feed.prefix.count);
        return Err(not_ready(&format!(
            "the read models have come to position {position} and the feed to event {count}, and there is more {trouble}"
        )));
    }
    let trouble = service.guards.keys().and_then(Keys::trouble);
    Ok(json!({
        "position": views.position.0, "count": feed.prefix.count, "keys": trouble, "checkpoint": views.trouble,
    }))
}

fn not_ready(why: &str) -> Problem {
    Problem::try_again("not_ready", why.trim_end(), 1)
}
