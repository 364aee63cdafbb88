//! Counts, times and logs every request, also those that failed or whose client left.

use crate::commands::trace;
use crate::log::{self, Line};
use crate::problem::{Problem, Refused};
use crate::service::Service;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http_body::Body as _;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A router that answers every request with this problem. The answers are counted and logged like all others.
pub(crate) fn refusing(service: &Arc<Service>, problem: Problem) -> Router {
    Router::new()
        .fallback(|| std::future::ready(problem))
        .layer(from_fn_with_state(Arc::clone(service), told))
}

/// Middleware around every request.
pub(crate) async fn told(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get("origin").cloned();
    let telling = Telling::of(&service, &mut request);
    let mut response = match service.guards.admit_page(&request) {
        Ok(()) => answered(request, next).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    service.guards.answer_origin(origin.as_ref(), headers);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, AS_IT_SAYS);
    telling.answered(&response);
    response
}

/// Disables content-type sniffing in browsers.
const AS_IT_SAYS: HeaderValue = HeaderValue::from_static("nosniff");

/// A defect of ours is an answer like any other; it was reported where it happened.
async fn answered(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Problem::defect().into_response())
}

/// Facts of a request that become known on its way to the handler.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) route: OnceLock<&'static str>,
    pub(crate) key: OnceLock<String>,
}

/// Logs a request once it is answered, or when it is dropped because its client is gone.
struct Telling {
    service: Arc<Service>,
    begun: Instant,
    method: &'static str,
    trace: Option<String>,
    peer: Option<IpAddr>,
    seen: Arc<Seen>,
    is_told: bool,
}

impl Telling {
    fn of(service: &Arc<Service>, request: &mut Request) -> Self {
        let seen = Arc::<Seen>::default();
        request.extensions_mut().insert(Arc::clone(&seen));
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            service: Arc::clone(service),
            begun: Instant::now(),
            method: log::method(request.method()),
            trace: trace(request.headers()).map(str::to_owned),
            peer: peer.map(|ConnectInfo(peer)| peer.ip()),
            seen,
            is_told: false,
        }
    }

    fn answered(mut self, response: &Response) {
        let refused = response.extensions().get::<Refused>().cloned();
        self.tell(
            response.status(),
            refused,
            response.body().size_hint().exact(),
        );
    }

    fn tell(&mut self, status: StatusCode, refused: Option<Refused>, bytes: Option<u64>) {
        let line = Line {
            method: self.method,
            route: self.seen.route.get().copied().unwrap_or("-"),
            status,
            key: self.seen.key.get().cloned(),
            refused,
            took: self.begun.elapsed(),
            trace: self.trace.take(),
            peer: self.peer,
            bytes,
            lines: None,
        };
        self.service.metrics.request(&line);
        self.service.log.request(&line);
        self.is_told = true;
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.is_told {
            let gone = Refused {
                code: "client_gone",
                rule: None,
            };
            let status = StatusCode::from_u16(CLIENT_GONE).expect("it has three digits");
            self.tell(status, Some(gone), None);
        }
    }
}

/// The status in the log and the counters of a request whose client left, or that was cut off when the service ended. No
/// response has it.
const CLIENT_GONE: u16 = 499;
