//! Health, and the documents of the service.

use super::openapi::document;
use super::{page, ready, store};
use crate::access::Access;
use crate::handled::Handled;
use crate::route::{Answer, Operation, Route, RouteTable};
use axum::Extension;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::OnceLock;

pub(crate) fn routes() -> Vec<Handled> {
    let mut routes = store::routes();
    routes.extend(ready::routes());
    routes.extend([
        open(
            "/healthz",
            "health",
            "Whether the process answers",
            Answer::empty(204, "It does"),
        )
        .handled(get(async || StatusCode::NO_CONTENT)),
        open(
            "/openapi.json",
            "openapi",
            "This document",
            Answer::of(
                200,
                "The document",
                "application/json",
                json!({"type": "object"}),
            ),
        )
        .handled(get(document_as_json)),
        open(
            "/",
            "page",
            "This document as a page for people",
            Answer::of(200, "The page", "text/html", json!({"type": "string"})),
        )
        .handled(get(document_as_page)),
    ]);
    routes
}

fn open(path: &'static str, id: &'static str, summary: &'static str, answer: Answer) -> Route {
    Route {
        method: Method::GET,
        path,
        access: Access::Everyone,
        operation: Operation {
            id,
            summary,
            answers: vec![answer],
            ..Operation::default()
        },
    }
}

async fn document_as_json(Extension(table): Extension<RouteTable>) -> Response {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| document(&table.0).to_string());
    ([(header::CONTENT_TYPE, "application/json")], json.as_str()).into_response()
}

async fn document_as_page(Extension(table): Extension<RouteTable>) -> Response {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| page::page(&document(&table.0)));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The page runs nothing and loads nothing.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    (headers, page.as_str()).into_response()
}
