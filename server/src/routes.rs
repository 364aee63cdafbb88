//! The table of all routes. The router, the guard in front of each handler and the OpenAPI document are made of it, so that
//! none can know a route that another does not.

use crate::access::{self, Access, Caller};
use crate::handled::Handled;
use crate::listen::{self, Seat};
use crate::problem::Problem;
use crate::route::{Route, RouteTable};
use crate::service::Service;
use crate::telling::{Seen, told};
use crate::{calls, commands, feed, metrics, operations, read_models};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use engine::keys::Role;
use std::sync::{Arc, LazyLock};

impl Service {
    /// Every route, guarded, as one router.
    pub fn router(self: &Arc<Self>) -> Router {
        router(self)
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

/// Every route, guarded, as one router.
fn router(service: &Arc<Service>) -> Router {
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
        .layer(Extension(RouteTable(table().into())))
        .layer(from_fn_with_state(Arc::clone(service), told))
        .with_state(Arc::clone(service))
}

#[derive(Clone)]
struct Guard {
    service: Arc<Service>,
    route: Arc<Route>,
}

/// Middleware that runs before every handler.
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
