//! Whether the service is well, and what it offers.

mod openapi;
mod page;
mod ready;
pub(crate) mod schemas;
mod store;

use crate::access::Access;
use crate::route::{self, Answer, Handled, Operation, Route};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::OnceLock;

pub use openapi::document;

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

async fn document_as_json() -> Response {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| document(&route::table()).to_string());
    ([(header::CONTENT_TYPE, "application/json")], json.as_str()).into_response()
}

async fn document_as_page() -> Response {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| page::page(&document(&route::table())));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // Whatever stands in it, nothing is run or loaded.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    (headers, page.as_str()).into_response()
}
