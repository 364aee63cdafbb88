//! The table of routes: each with who may take it and what it is asked and answers. The router, the guard in front of
//! each handler and the OpenAPI document are made of it, so that none can know a route that another does not.

use crate::access::{Access, Caller};
use crate::commands::NDJSON;
use crate::listen::{self, Seat};
use crate::log::{self, Line};
use crate::problem::Refused;
use crate::sse::EVENT_STREAM;
use crate::{
    Problem, Service, access, calls, commands, feed, metrics, operations, read_models, values,
};
use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use engine::keys::Role;
use futures_util::FutureExt as _;
use http_body::Body as _;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

/// What is asked for by one method at one path.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{call}` and the like where it varies.
    pub path: &'static str,
    /// Who may take it.
    pub access: Access,
    /// What it is asked and answers, for the OpenAPI document.
    pub operation: Operation,
}

/// What a route is asked and answers.
#[derive(Debug, Clone, Default)]
pub struct Operation {
    /// Its name for generated clients, such as `sendCommand`.
    pub id: &'static str,
    /// In a few words.
    pub summary: &'static str,
    /// What its users must know.
    pub about: &'static str,
    /// What may stand in path, query and headers.
    pub parameters: Vec<Parameter>,
    /// The body it takes: media type and schema.
    pub body: Option<(&'static str, Value)>,
    /// What it answers when all is well; the problems of its kind are added from the table itself.
    pub answers: Vec<Answer>,
    /// The statuses of the problems it may answer with beside those of every route.
    pub problems: &'static [u16],
}

/// One parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub about: &'static str,
    /// Its JSON schema.
    pub schema: Value,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path; it is always there.
    Path,
    /// In the query; optional.
    Query,
    /// A header; optional.
    Header,
}

/// One answer of a kind.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What it means.
    pub about: &'static str,
    /// Its representations: media type and schema of each; none for an answer without a body.
    pub content: Vec<(&'static str, Value)>,
}

impl Answer {
    /// One with one representation.
    pub fn of(status: u16, about: &'static str, media_type: &'static str, schema: Value) -> Self {
        Self {
            status,
            about,
            content: vec![(media_type, schema)],
        }
    }

    /// One without a body.
    pub fn empty(status: u16, about: &'static str) -> Self {
        let content = Vec::new();
        Self {
            status,
            about,
            content,
        }
    }
}

/// A route and what answers it.
pub struct Handled {
    route: Arc<Route>,
    by: MethodRouter<Arc<Service>>,
}

impl Route {
    /// The route and its handler.
    pub fn handled(self, by: MethodRouter<Arc<Service>>) -> Handled {
        Handled {
            route: Arc::new(self),
            by,
        }
    }

    /// The parameter of the query that has this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        let mut parameters = self.operation.parameters.iter();
        parameters.find(|known| known.place == Place::Query && known.name == name)
    }

    /// Whether it is a stream that a browser can follow.
    pub fn is_stream(&self) -> bool {
        let answers = self.operation.answers.iter();
        let mut content = answers.flat_map(|answer| &answer.content);
        self.method == Method::GET && content.any(|(media, _)| *media == EVENT_STREAM)
    }

    /// Whether its body is a stream of commands, which are answered while it still comes.
    pub(crate) fn takes_a_stream_of_commands(&self) -> bool {
        let body = self.operation.body.as_ref();
        body.is_some_and(|(media, _)| *media == NDJSON)
    }

    pub(crate) fn parameter_names(&self) -> impl Iterator<Item = &'static str> {
        let parameters = self.operation.parameters.iter();
        let in_query = parameters.filter(|parameter| parameter.place == Place::Query);
        in_query.map(|parameter| parameter.name)
    }
}

impl Parameter {
    /// Why it cannot have that value, if it cannot: the document's schema decides.
    pub fn check(&self, value: &str) -> Result<(), String> {
        values::check(&self.schema, value)
    }

    /// One of the query.
    pub fn query(name: &'static str, schema: Value, about: &'static str) -> Self {
        let place = Place::Query;
        Self {
            name,
            place,
            about,
            schema,
        }
    }

    /// One of the path.
    pub fn path(name: &'static str, schema: Value, about: &'static str) -> Self {
        let place = Place::Path;
        Self {
            name,
            place,
            about,
            schema,
        }
    }

    /// A header.
    pub fn header(name: &'static str, schema: Value, about: &'static str) -> Self {
        let place = Place::Header;
        Self {
            name,
            place,
            about,
            schema,
        }
    }
}

/// Every route there is, in the order of the document.
pub fn table() -> Vec<Arc<Route>> {
    static TABLE: LazyLock<Vec<Arc<Route>>> = LazyLock::new(|| {
        let handled = all().into_iter();
        handled.map(|handled| handled.route).collect()
    });
    TABLE.clone()
}

/// The methods that a path takes; what can be got can be asked for its headers alone.
fn methods(path: &str) -> String {
    let routes = table().into_iter().filter(|route| route.path == path);
    let methods: Vec<_> = routes
        .map(|route| match route.method {
            Method::GET => "GET, HEAD".to_owned(),
            ref other => other.to_string(),
        })
        .collect();
    methods.join(", ")
}

fn all() -> Vec<Handled> {
    let mut all = commands::routes();
    all.extend(calls::routes());
    all.extend(read_models::routes());
    all.extend(feed::routes());
    all.extend(operations::routes());
    all.extend(access::routes());
    all.extend(metrics::routes());
    all
}

pub(crate) fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    for Handled { route, by } in all() {
        let guard = Guard {
            service: Arc::clone(service),
            route: Arc::clone(&route),
        };
        router = router.route(route.path, by.layer(from_fn_with_state(guard, guarded)));
    }
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(service), told))
        .with_state(Arc::clone(service))
}

/// What answers with a problem whatever is asked, and is counted and told like every other answer.
pub(crate) fn refusing(service: &Arc<Service>, problem: Problem) -> Router {
    Router::new()
        .fallback(|| std::future::ready(problem))
        .layer(from_fn_with_state(Arc::clone(service), told))
}

#[derive(Clone)]
struct Guard {
    service: Arc<Service>,
    route: Arc<Route>,
}

/// Nobody reaches a handler but by way of this.
async fn guarded(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let seen = request.extensions().get::<Arc<Seen>>().cloned();
    let seen = seen.expect("every request is told of");
    // It comes to one route, once.
    let _ = seen.route.set(guard.route.path);
    let admitted = guard.service.guards.admit(&mut request, &guard.route);
    let key = match &admitted {
        Ok(caller) => Some(caller.key()),
        Err(denied) => denied.key(),
    };
    if let Some(key) = key {
        let _ = seen.key.set(key.to_owned());
    }
    let caller = match admitted {
        Ok(caller) => caller,
        Err(denied) => return denied.into_response(),
    };
    if !has_a_place(&request, &guard.route, &caller) {
        return listen::too_many_connections(&guard.service.settings).into_response();
    }
    let extensions = request.extensions_mut();
    extensions.insert(Arc::clone(&guard.route));
    extensions.insert(caller.clone());
    let guards = &guard.service.guards;
    let answer = guards.bounded(&caller, &guard.route, next.run(request));
    answer.await.unwrap_or_else(Problem::into_response)
}

/// A connection with a key keeps its place; those without make room.
fn has_a_place(request: &Request, route: &Route, caller: &Caller) -> bool {
    let seat = request.extensions().get::<Arc<Seat>>();
    let shows_a_key = route.access != Access::Everyone;
    seat.is_none_or(|seat| !shows_a_key || seat.admit(caller.has_role(Role::Telephony)))
}

/// Counts, times and tells of each request, whatever became of it.
async fn told(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
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

/// What a browser is told, lest it take an answer for something else than it says it is.
const AS_IT_SAYS: HeaderValue = HeaderValue::from_static("nosniff");

/// A defect of ours is an answer like any other; it was reported where it happened.
async fn answered(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Problem::defect().into_response())
}

/// What is found out of a request on its way to its handler.
#[derive(Default)]
struct Seen {
    route: OnceLock<&'static str>,
    key: OnceLock<String>,
}

/// What is told of a request once it is answered, or dropped before because its client is gone.
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
            trace: commands::trace(request.headers()).map(str::to_owned),
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

/// The status in the log and the counters of what nobody waited for, or was cut off when the service ended. Nobody is
/// ever answered with it.
const CLIENT_GONE: u16 = 499;

async fn no_such_route() -> Problem {
    Problem::not_found(
        "no_such_route",
        "there is nothing at this path; /openapi.json lists what there is",
    )
}

async fn no_such_method(path: MatchedPath, request: Request) -> Response {
    let allow = [(header::ALLOW, methods(path.as_str()))];
    if access::is_preflight(&request) {
        return (StatusCode::NO_CONTENT, allow).into_response();
    }
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        "this path takes other methods; `Allow` names them",
    );
    (allow, problem).into_response()
}
