//! The route that a scraper asks.

use super::observe::observe;
use crate::access::{Caller, METRICS};
use crate::handled::Handled;
use crate::request::Params;
use crate::route::{Answer, Operation, Route};
use crate::service::Service;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, Method, header};
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

/// The text format as it stands in the specification that its makers handed on.
const EXPOSITION: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn routes() -> Vec<Handled> {
    let route = Route {
        method: Method::GET,
        path: "/metrics",
        access: METRICS,
        operation: Operation {
            id: "metrics",
            summary: "What the service counts and times, for Prometheus",
            about: "Counters begin at 0 when the service starts.",
            answers: vec![Answer {
                status: 200,
                about: "Text exposition format",
                content: vec![("application/openmetrics-text", json!({"type": "string"}))],
            }],
            problems: &[422],
            ..Operation::default()
        },
    };
    vec![route.handled(get(metrics))]
}

async fn metrics(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    _: Params,
) -> ([(HeaderName, &'static str); 1], String) {
    let text = service.metrics.text(observe(&service, caller.key()).await);
    ([(header::CONTENT_TYPE, EXPOSITION)], text)
}
