//! Pages in browsers: whose may ask, and what they may read of the answer.

use crate::{Problem, Settings};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;

/// The origins whose pages may ask, beside the service's own.
pub(super) struct Origins {
    allowed: Vec<String>,
}

/// What a page may send beside what every page may.
const TAKEN: &str = "authorization, content-type, accept, idempotency-key, if-match, if-none-match, last-event-id, \
                     traceparent, tracestate, cache-control";

/// What a page may read beside what every page may.
const SHOWN: &str = "etag, kaigi-position, kaigi-as-of, kaigi-store, kaigi-count, kaigi-proof, kaigi-rolling-hash, \
     kaigi-caught-up, kaigi-complete, retry-after, link, location, allow, content-disposition, traceparent";

/// How long a browser may remember what it was allowed, in seconds.
const REMEMBERED_S: &str = "600";

impl Origins {
    pub(super) fn within(settings: &Settings) -> Self {
        Self {
            allowed: settings.allowed_origins.clone(),
        }
    }

    /// Refuses a request of another origin's page.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Problem> {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let admitted = match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => self.allows(origin) || is_own(origin, request),
            (Some(_), Some(_)) => false,
        };
        if admitted {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "pages of this origin may not ask here; the operator allows origins with `allowed_origins`",
        ))
    }

    /// Says so to the browser. An answer may be kept only for pages of the same origin, so it names what it depends on.
    pub(super) fn answer(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.allowed.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else {
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let mut say = |name: HeaderName, value| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        say(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
        say(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
        // Put there where a path was asked by a method that it does not take, as a preflight does.
        if let Some(methods) = headers.get(header::ALLOW).cloned() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
    }

    /// A page that has no origin calls itself `null`, and so does any other; that is never allowed.
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let same = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin);
        origin != "null" && self.allowed.iter().any(same)
    }
}

/// Whether a browser asks what it may ask, before it does: that needs no key, because it sends none.
pub(crate) fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether the page came from here.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let Some((scheme, page)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |host: &str| {
        let host = host.to_ascii_lowercase();
        host.strip_suffix(default_port)
            .map(str::to_owned)
            .unwrap_or(host)
    };
    let Some(hosts) = hosts(request) else {
        return false;
    };
    !hosts.is_empty() && hosts.iter().all(|host| plain(host) == plain(page))
}

/// Refuses a request that was made for another host: where no key is needed, a page whose name was made to lead here
/// after it was loaded must not ask in its reader's place.
pub(super) fn must_be_local(request: &Request) -> Result<(), Problem> {
    if hosts(request).is_some_and(|hosts| hosts.iter().all(|host| is_local(host))) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "host_not_allowed",
        "without keys this service answers to localhost and addresses of the loopback only",
    ))
}

/// Whom the request is for, however that is said; none if it cannot be read.
fn hosts(request: &Request) -> Option<Vec<&str>> {
    let stated = request.headers().get_all(header::HOST).iter();
    let stated = stated.map(|host| host.to_str().ok());
    let authority = request.uri().authority();
    let authority = authority.map(|authority| Some(authority.as_str()));
    stated.chain(authority).collect()
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = |address: IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}
