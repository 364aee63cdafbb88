//! A route as a value: its path, who may take it, its parameters and its responses.

use crate::access::Access;
use crate::body::NDJSON;
use crate::sse::EVENT_STREAM;
use crate::values;
use axum::http::Method;
use serde_json::Value;
use std::sync::Arc;

/// Every route of the service; each handler can ask for it as an extension.
#[derive(Debug, Clone)]
pub struct RouteTable(pub Arc<[Arc<Route>]>);

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

impl Route {
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
