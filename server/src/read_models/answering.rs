//! How the read models are doing, and building them anew.

use super::format::Format;
use super::rebuilds::WhyRebuilt;
use crate::access::Caller;
use crate::request::Params;
use crate::{Problem, Service};
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::envelope::Hash;
use domain::json::Text;
use engine::keys::Keys;
use projections::SetAside;
use serde::Serialize;
use std::sync::Arc;

/// How the read models are doing, and what is wrong with what else is kept: the texts that tell of files and of the
/// store are for those who look after the service.
#[derive(Serialize)]
struct Upkeep {
    position: u64,
    count: u64,
    proof: Text<Hash>,
    /// At most [`SHOWN`] of them; `/readyz` has their number.
    set_aside: Vec<LeftOut>,
    caught_up: bool,
    following: bool,
    store_position: u64,
    behind_ms: u64,
    rebuilding: Option<Rebuilding>,
    checkpoint_position: Option<u64>,
    trouble: Option<String>,
    checkpoint_trouble: Option<String>,
    store_trouble: Option<String>,
    feed_trouble: Option<String>,
    proof_trouble: Option<String>,
    keys_trouble: Option<String>,
}

#[derive(Serialize)]
struct Rebuilding {
    position: u64,
}

/// Damaged events that are listed.
const SHOWN: usize = 100;

/// A damaged event, and the call that is left out for it.
#[derive(Serialize)]
struct LeftOut {
    call: Option<String>,
    position: u64,
    stream: String,
    number: u64,
    reason: String,
}

impl From<SetAside> for LeftOut {
    fn from(damaged: SetAside) -> Self {
        Self {
            call: damaged.call.map(|call| call.to_string()),
            position: damaged.position.0,
            stream: damaged.stream,
            number: damaged.number,
            reason: damaged.reason,
        }
    }
}

impl Upkeep {
    async fn of(service: &Service) -> Self {
        let damaged = service.views.damaged().await.into_iter().take(SHOWN);
        let standing = service.views.standing();
        let feed = service.feed.state();
        let rebuilding = standing.rebuilding;
        Self {
            position: standing.events.position.0,
            count: standing.events.count,
            proof: Text(standing.events.rolling_hash),
            set_aside: damaged.map(LeftOut::from).collect(),
            caught_up: standing.caught_up,
            following: standing.following && service.feed.is_following(),
            store_position: standing.behind.store.0,
            behind_ms: u64::try_from(standing.behind.since.as_millis()).unwrap_or(u64::MAX),
            rebuilding: rebuilding.map(|position| Rebuilding {
                position: position.0,
            }),
            checkpoint_position: standing.checkpoint.map(|position| position.0),
            trouble: standing.trouble,
            checkpoint_trouble: standing.not_kept,
            store_trouble: service
                .store
                .write_health()
                .and_then(|health| health.trouble),
            feed_trouble: feed.error,
            proof_trouble: feed.not_kept,
            keys_trouble: service.guards.keys().and_then(Keys::trouble),
        }
    }
}

pub(super) async fn upkeep(State(service): State<Arc<Service>>, _: Params) -> Response {
    told(StatusCode::OK, &service).await
}

pub(super) async fn rebuild(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    _: Params,
) -> Result<Response, Problem> {
    caller.begin_effect()?;
    service.views.rebuild(WhyRebuilt::Asked);
    Ok(told(StatusCode::ACCEPTED, &service).await)
}

async fn told(status: StatusCode, service: &Service) -> Response {
    let upkeep = Upkeep::of(service).await;
    let body = serde_json::to_string(&upkeep).expect("it is JSON");
    let json = Format::Json.media_type();
    (status, [(header::CONTENT_TYPE, json)], body + "\n").into_response()
}
