//! What stands in front of every route.

use super::caller::Caller;
use super::origins::{self, Origins};
use super::permission::Access;
use super::rates::Rates;
use super::streams;
use super::streams::{Place, Streams};
use super::tokens::{self, Tokens};
use crate::clock::Clock;
use crate::problem::Refused;
use crate::route::Route;
use crate::sse::EVENT_STREAM;
use crate::{Problem, Settings};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::keys::{Key, Keys, Standing};
use http_body::Body as _;
use std::future::Future;
use std::sync::Arc;

/// What stands in front of every route.
pub struct Guards {
    keys: Option<Keys>,
    clock: Clock,
    tokens: Tokens,
    rates: Rates,
    streams: Streams,
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
            clock: Clock::of_machine(),
            tokens: Tokens::within(&settings),
            rates: Rates::within(&settings),
            streams: Streams::within(&settings),
            origins: Origins::within(&settings),
        }
    }

    /// The same within what the operator chose, with keys that expire by that clock.
    pub(crate) fn within(self, settings: &Settings, clock: Clock) -> Self {
        Self {
            keys: self.keys,
            clock,
            tokens: Tokens::within(settings),
            rates: Rates::within(settings),
            streams: Streams::within(settings),
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
        let caller = Caller::with(&key, keys, &self.clock);
        match key.standing(self.clock.latest()) {
            Standing::Valid => {}
            Standing::Expired => return Err(Denied::unknown("key_expired", Some(caller))),
            Standing::Revoked => return Err(Denied::unknown("key_revoked", Some(caller))),
        }
        if let Err(wait) = self.rates.take(caller.key(), &caller.grants) {
            let seconds = wait.as_secs() + 1;
            return Err(Denied::known(too_many_requests(seconds), caller));
        }
        match caller.may(route.access) {
            Ok(()) => Ok(caller),
            Err(problem) => Err(Denied::known(problem, caller)),
        }
    }

    /// Waits until the key may ask for one thing more: a stream of commands is slowed down where single ones are refused.
    pub async fn pace(&self, caller: &Caller) {
        if self.keys.is_some() {
            self.rates.pace(caller.key(), &caller.grants).await;
        }
    }

    /// Calls the handler of a route, and bounds it by the key of the caller in one place, so that no route can forget
    /// it: a key that ends cuts off a request that waits and a stream that goes on, no key has too many streams, and a
    /// request that changed something has asked for the permission.
    pub(crate) async fn bounded(
        &self,
        caller: &Caller,
        route: &Route,
        answer: impl Future<Output = Response>,
    ) -> Result<Response, Problem> {
        // A stream of commands has effects before its response is there.
        let mut place = None;
        if route.takes_a_stream_of_commands() {
            place = self.place(caller)?;
        }
        let answer = caller.admission.bound(answer).await?;
        let changes = !route.method.is_safe() && answer.status().is_success();
        if changes && !caller.admission.has_begun_an_effect() {
            return Err(Problem::defect());
        }
        self.streamed(caller, place, answer)
    }

    /// A response whose body ends with the key, if it is a stream.
    fn streamed(
        &self,
        caller: &Caller,
        place: Option<Place>,
        answer: Response,
    ) -> Result<Response, Problem> {
        if self.keys.is_none() || answer.body().size_hint().exact().is_some() {
            return Ok(answer);
        }
        let place = match place {
            None if is_event_stream(&answer) => self.place(caller)?,
            place => place,
        };
        Ok(streams::ending_with(caller.clone(), place, answer))
    }

    /// A place among the streams of the key; none if no key is needed.
    fn place(&self, caller: &Caller) -> Result<Option<Place>, Problem> {
        let is_bounded = self.keys.is_some();
        is_bounded
            .then(|| self.streams.take(caller.key()))
            .transpose()
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
        if request.method() != Method::GET || !route.is_stream() {
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

    /// Whose key it came with, if that is certain.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_ref().map(Caller::key)
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
        response.extensions_mut().insert(Refused {
            code: self.code,
            rule: None,
        });
        response
    }
}

fn is_event_stream(answer: &Response) -> bool {
    let media_type = answer.headers().get(header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| media_type.as_bytes().starts_with(EVENT_STREAM.as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::READ_MODELS;
    use crate::route::{Answer, Operation};
    use axum::body::Body;
    use axum::http::request::Builder;
    use engine::keys::{Grant, KeyFile};

    use serde_json::json;
    use std::time::{Duration, Instant};

    const STREAM: &str = "/v1/active-calls/changes?queue=billing";

    fn stream() -> Route {
        Route {
            method: Method::GET,
            path: "/v1/active-calls/changes",
            access: READ_MODELS,
            operation: Operation {
                answers: vec![Answer {
                    status: 200,
                    about: "",
                    content: vec![("text/event-stream", json!({}))],
                }],
                ..Operation::default()
            },
        }
    }

    fn no_stream() -> Route {
        let operation = Operation::default();
        Route {
            operation,
            ..stream()
        }
    }

    fn get(uri: &str) -> Builder {
        Request::builder().uri(uri)
    }

    fn request(builder: Builder) -> Request {
        builder.body(Body::empty()).unwrap()
    }

    fn code(admitted: Result<Caller, Denied>) -> &'static str {
        admitted.map_or_else(|denied| denied.code, |_| "admitted")
    }

    /// Where a token of that key leads.
    fn token_url(guards: &Guards, key: &str) -> String {
        let issued = guards.tokens.issue(key, &STREAM.parse().unwrap());
        issued.ok().unwrap().url
    }

    #[test]
    fn a_token_admits_to_its_own_path_and_query_and_is_taken_out_of_it() {
        let (reader, _) = Key::create("wallboard", vec![Grant::Reader]);
        let id = reader.id.clone();
        let guards = Guards::new(Keys::of([reader]));
        let url = token_url(&guards, &id);
        let mut asked = request(get(&url));
        let caller = guards.admit(&mut asked, &stream()).ok().unwrap();
        assert_eq!(caller.key(), id);
        assert_eq!(*asked.uri(), STREAM);
        let (_, token) = url.rsplit_once('=').unwrap();
        let denied = |request: Builder, route: &Route| {
            let mut request = super::tests::request(request);
            code(guards.admit(&mut request, route))
        };
        assert_eq!(denied(get(&url), &stream()), "admitted");
        assert_eq!(denied(get(&url), &no_stream()), "token_unknown");
        assert_eq!(denied(get(&url).method("HEAD"), &stream()), "token_unknown");
        assert_eq!(denied(get(&url).method("POST"), &stream()), "token_unknown");
        let with_key = get(&url).header("authorization", "Bearer kaigi_1_2");
        assert_eq!(denied(with_key, &stream()), "key_unknown");
        for other in [
            format!("/v1/active-calls/changes?token={token}"),
            format!("/v1/active-calls/changes?queue=sales&token={token}"),
            format!("/v1/active-calls/changes?queue=billing&idle=1&token={token}"),
            format!("/v1/monitoring/changes?queue=billing&token={token}"),
            format!("{url}&token={token}"),
            format!("{STREAM}&token={}", &token[1..]),
            format!("{STREAM}&token="),
        ] {
            assert_eq!(denied(get(&other), &stream()), "token_unknown", "{other}");
        }
        let other_name = format!("{STREAM}&%74oken={token}");
        assert_eq!(denied(get(&other_name), &stream()), "key_missing");
    }

    #[test]
    fn a_token_ends_with_its_time_and_no_key_has_more_than_it_may() {
        let (reader, _) = Key::create("wallboard", vec![Grant::Reader]);
        let (other, _) = Key::create("another", vec![Grant::Reader]);
        let (id, of_other) = (reader.id.clone(), other.id.clone());
        let settings = Settings {
            token_ttl_ms: 0,
            ..Settings::default()
        };
        let keys = || Keys::of([reader.clone(), other.clone()]);
        let at_once = Guards::new(keys()).within(&settings, Clock::of_machine());
        for _ in 0..2 * tokens::MOST_PER_KEY {
            let mut late = request(get(&token_url(&at_once, &id)));
            assert_eq!(code(at_once.admit(&mut late, &stream())), "token_unknown");
        }
        let later = Guards::new(keys());
        let urls: Vec<_> = (0..tokens::MOST_PER_KEY)
            .map(|_| token_url(&later, &id))
            .collect();
        assert!(later.tokens.issue(&id, &STREAM.parse().unwrap()).is_err());
        let of_other = token_url(&later, &of_other);
        for url in urls.iter().chain([&of_other]) {
            let mut asked = request(get(url));
            assert_eq!(code(later.admit(&mut asked, &stream())), "admitted");
        }
    }

    #[test]
    fn tokens_and_streams_end_with_the_key_they_are_of() {
        let (key, _) = Key::create("wallboard", vec![Grant::Reader]);
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("keys.json"));
        file.add(key.clone()).unwrap();
        let guards = Guards::new(Keys::open(file.path()).unwrap());
        let url = token_url(&guards, &key.id);
        let caller = guards
            .admit(&mut request(get(&url)), &stream())
            .ok()
            .unwrap();
        assert!(caller.is_admitted());
        file.revoke(&key.id, domain::now()).unwrap();
        guards.keys().unwrap().look();
        assert!(!caller.is_admitted());
        assert!(caller.begin_effect().is_err());
        let denied = guards.admit(&mut request(get(&url)), &stream());
        assert_eq!(code(denied), "key_revoked");
    }

    #[tokio::test]
    async fn a_route_that_changes_something_without_asking_is_a_defect() {
        let guards = Guards::open();
        let route = Route {
            method: Method::POST,
            ..no_stream()
        };
        let ok = async || StatusCode::OK.into_response();
        let caller = Caller::anybody();
        let forgotten = guards.bounded(&caller, &route, ok()).await;
        assert_eq!(forgotten.unwrap_err(), Problem::defect());
        let asked = async {
            caller.begin_effect().unwrap();
            ok().await
        };
        let answer = guards.bounded(&caller, &route, asked).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_stream_of_commands_is_slowed_down_to_what_the_key_may() {
        let settings = Settings {
            rate_per_key: 50,
            rate_burst_ms: 1000,
            ..Settings::default()
        };
        let (key, _) = Key::create("acd-1", vec![Grant::Telephony]);
        let keys = Keys::of([key.clone()]);
        let clock = Clock::of_machine();
        let caller = Caller::with(&Arc::new(key), &keys, &clock);
        let guards = Guards::new(keys).within(&settings, clock);
        let began = Instant::now();
        for _ in 0..60 {
            guards.pace(&caller).await;
        }
        // 50 at once, and then one every 20 ms.
        assert!(began.elapsed() >= Duration::from_millis(200));
    }
}
