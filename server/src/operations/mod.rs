//! Whether the service is well, what it counts, what its store holds, and what it offers.

mod store;

use crate::Service;
use crate::access::Access;
use crate::route::{Answer, Handled, Operation, Route};
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    let mut routes = store::routes();
    routes.extend([Route {
        method: Method::GET,
        path: "/healthz",
        access: Access::Everyone,
        operation: Operation {
            id: "health",
            summary: "Whether the process answers",
            answers: vec![Answer {
                status: 204,
                about: "It does",
                content: Vec::new(),
            }],
            ..Operation::default()
        },
    }
    .handled(get(health))]);
    routes
}

async fn health(State(_): State<Arc<Service>>) -> axum::http::StatusCode {
    axum::http::StatusCode::NO_CONTENT
}
