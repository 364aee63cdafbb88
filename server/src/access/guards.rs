//! What stands in front of every route.

use super::keys::Standing;
use super::origins::{self, Origins};
use super::rates::Rates;
use super::tokens::{self, Tokens};
use super::{Access, Caller, Key, Keys};
use crate::problem::Refused;
use crate::route::Route;
use crate::{Problem, Settings};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Timestamp;
use std::sync::Arc;

/// What stands in front of every route.
pub struct Guards {
    keys: Option<Keys>,
    tokens: Tokens,
    rates: Rates,
    origins: Origins,
}

/// A request that was not let in: what its sender is told, and what is told of it in the log, which knows better why.
pub(crate) struct Denied {
    problem: Problem,
    code: &'static str,
    key: Option<Caller>,
}

impl Guards {
    /// Admits keys from that file or set.
    pub fn new(keys: Keys) -> Self {
        Self::of(Some(keys))
    }

    /// Admits everybody to everything; whoever starts the service so listens on the loopback alone.
    pub fn open() -> Self {
        Self::of(None)
    }

    fn of(keys: Option<Keys>) -> Self {
        let settings = Settings::default();
        Self {
            keys,
            tokens: Tokens::within(&settings),
            rates: Rates::within(&settings),
            origins: Origins::within(&settings),
        }
    }

    /// The same within what the operator chose.
    pub(crate) fn within(self, settings: &Settings) -> Self {
        Self {
            keys: self.keys,
            tokens: Tokens::within(settings),
            rates: Rates::within(settings),
            origins: Origins::within(settings),
        }
    }

    /// The keys that are known; none if nobody needs one.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Lets a request in that came to its route, and takes a token out of its query, which is nobody else's concern.
    pub(crate) fn admit(&self, request: &mut Request, route: &Route) -> Result<Caller, Denied> {
        let Some(keys) = &self.keys else {
            self.redeemed(request, route);
            return Ok(Caller::anybody());
        };
        if route.access == Access::Everyone {
            return Ok(Caller::nobody());
        }
        let key = self.presented(keys, request, route)?;
        let caller = Caller::with(&key);
        match key.standing(Timestamp::now()) {
            Standing::Valid => {}
            Standing::Expired => return Err(Denied::unknown("key_expired", Some(caller))),
            Standing::Revoked => return Err(Denied::unknown("key_revoked", Some(caller))),
        }
        if let Err(wait) = self.rates.take(caller.key()) {
            let seconds = wait.as_secs() + 1;
            return Err(Denied::known(too_many_requests(seconds), caller));
        }
        if caller.may(route.access) {
            Ok(caller)
        } else {
            Err(Denied::known(role_missing(), caller))
        }
    }

    /// Whether who was let in still would be. A stream that goes on for long asks this now and then, and ends if not:
    /// a key that was revoked reads no further.
    pub fn still_admits(&self, caller: &Caller, route: &Route) -> bool {
        let Some(keys) = &self.keys else { return true };
        if route.access == Access::Everyone {
            return true;
        }
        let key = keys.get(caller.key());
        key.is_some_and(|key| {
            key.standing(Timestamp::now()) == Standing::Valid && route.access.admits(&key.grants)
        })
    }

    /// Waits until the key may ask for one thing more: a stream of commands is slowed down where single ones are refused.
    pub async fn pace(&self, caller: &Caller) {
        if self.keys.is_some() {
            self.rates.pace(caller.key()).await;
        }
    }

    /// Refuses what a page of somebody else's makes a browser send.
    pub(crate) fn admit_page(&self, request: &Request) -> Result<(), Problem> {
        if self.keys.is_none() {
            origins::must_be_local(request)?;
        }
        self.origins.admit(request)
    }

    /// Tells the browser whether a page of that origin may read the answer.
    pub(crate) fn answer_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        self.origins.answer(origin, headers);
    }

    /// The key whose text stands in the header, or whose token stands in the query.
    fn presented(
        &self,
        keys: &Keys,
        request: &mut Request,
        route: &Route,
    ) -> Result<Arc<Key>, Denied> {
        if request.headers().contains_key(header::AUTHORIZATION) {
            let text = bearer(request.headers());
            let key = text.and_then(|text| keys.find(text));
            return key.ok_or_else(|| Denied::unknown("key_unknown", None));
        }
        if !tokens::stands_in(request.uri()) {
            return Err(Denied::unknown("key_missing", None));
        }
        let owner = self.redeemed(request, route);
        let key = owner.and_then(|id| keys.get(&id));
        key.ok_or_else(|| Denied::known_by_nobody(token_unknown()))
    }

    /// Whose token stands in the query, if it is for that stream; it is taken out then.
    fn redeemed(&self, request: &mut Request, route: &Route) -> Option<Arc<str>> {
        if request.method() != Method::GET || !tokens::is_stream(route) {
            return None;
        }
        let (owner, uri) = self.tokens.redeem(request.uri())?;
        *request.uri_mut() = uri;
        Some(owner)
    }
}

impl Denied {
    /// Nobody is told whether there is such a key; the log tells it.
    fn unknown(code: &'static str, key: Option<Caller>) -> Self {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "key_missing",
            "send a key that is known here, as `Authorization: Bearer KEY`; `kaigi keys create` makes one",
        );
        Self { problem, code, key }
    }

    fn known(problem: Problem, caller: Caller) -> Self {
        Self {
            code: problem.code(),
            problem,
            key: Some(caller),
        }
    }

    fn known_by_nobody(problem: Problem) -> Self {
        Self {
            code: problem.code(),
            problem,
            key: None,
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        let extensions = response.extensions_mut();
        extensions.insert(Refused {
            code: self.code,
            rule: None,
        });
        if let Some(key) = self.key {
            extensions.insert(key);
        }
        response
    }
}

/// The text after `Bearer`, which may be written in any case. Two headers could be read one way here and another way by
/// a proxy, so there is one or none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

fn role_missing() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "role_missing",
        "this key has no role that may do that; /openapi.json says of each route which may",
    )
}

fn too_many_requests(seconds: u64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "this key asks more often than it may; wait as long as `Retry-After` says, or send many commands as one stream",
    )
    .retry_after_s(seconds)
}

fn token_unknown() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "token_unknown",
        "this token is not for this path and query, or its time is over; ask `POST /v1/tokens` for another",
    )
}
