//! What the store is and holds, for whoever looks after it or audits it.

use super::schemas;
use crate::access::STORE;
use crate::handled::Handled;
use crate::route::{Answer, Operation, Route};
use crate::{Problem, Service};
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use axum::routing::get;
use domain::StoreInfo;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/store",
            access: STORE,
            operation: Operation {
                id: "store",
                summary: "What the store is and holds",
                about: "What a store would have to be read for to know is null.",
                answers: vec![Answer {
                    status: 200,
                    about: "As of now",
                    content: vec![("application/json", schemas::of("StoreInfo"))],
                }],
                problems: &[500, 503],
                ..Operation::default()
            },
        }
        .handled(get(store)),
    ]
}

async fn store(State(service): State<Arc<Service>>) -> Result<impl IntoResponse, Problem> {
    let info = service.store.info().await;
    let info = info.map_err(|error| Problem::from(&error))?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, told(info).to_string()))
}

fn told(info: StoreInfo) -> Value {
    let remarks = info.remarks.into_iter();
    let remarks = remarks.map(|(name, said)| (name.to_owned(), Value::from(said)));
    json!({
        "id": info.id.to_string(),
        "format": info.format,
        "events": info.events,
        "calls": info.calls,
        "bytes_on_disk": info.bytes_on_disk,
        "last_position": info.last.0,
        "remarks": remarks.collect::<Map<_, _>>(),
    })
}
