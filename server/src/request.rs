//! What a request asks: its parameters, checked against those its route declares.

use crate::Problem;
use crate::route::Route;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::CallId;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// The query's parameters, each checked against its schema in the document. One that the route does not declare is
/// refused, so that a misspelt filter is no filter unnoticed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// A value, parsed.
    pub(crate) fn get<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let parsed = self.text(name).map(str::parse::<T>);
        parsed
            .transpose()
            .map_err(|error| Problem::bad_value(name, error))
    }

    /// A value as it is.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The parameters of that query, if the route has them all.
    pub(crate) fn of(query: &str, route: &Route) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let Some(parameter) = route.parameter(&name) else {
                let known: Vec<_> = route.parameter_names().collect();
                let known = match known.as_slice() {
                    [] => "it has none".to_owned(),
                    known => format!("known are {}", known.join(", ")),
                };
                let what = format!("this route has no such parameter; {known}");
                return Err(Problem::bad_value(&name, what));
            };
            parameter
                .check(&value)
                .map_err(|what| Problem::bad_value(&name, what))?;
            if params.insert(name.clone(), value).is_some() {
                return Err(Problem::bad_value(
                    &name,
                    "stands there twice; give it once",
                ));
            }
        }
        Ok(Self(params))
    }
}

/// A part of a query, with `+` for a space as forms write it; a `+` itself is written `%2B`.
fn decoded(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let bytes = percent_encoding::percent_decode_str(&spaced);
    let text = bytes.decode_utf8();
    text.map(std::borrow::Cow::into_owned)
        .map_err(|_| Problem::bad_value("query", "it is not UTF-8"))
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let route = parts.extensions.get::<Arc<Route>>();
        let route = route.expect("every request comes by way of a route");
        Params::of(parts.uri.query().unwrap_or_default(), route)
    }
}

/// The call that a path names.
#[derive(Debug, Clone)]
pub(crate) struct CallInPath(pub(crate) CallId);

impl<S: Send + Sync> FromRequestParts<S> for CallInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::bad_value("call", "it is not UTF-8"))?;
        let mut params = params.iter();
        let (_, call) = params
            .find(|(name, _)| *name == "call")
            .expect("the route's path has a call");
        let call = call.parse();
        call.map(CallInPath)
            .map_err(|error: domain::InvalidText| Problem::bad_value("call", error))
    }
}
