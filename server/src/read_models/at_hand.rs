//! The lists of read models that the process has itself: the command line asks the routes that clients of a service ask,
//! without a socket or a key.

use super::asked::{Asked, MadeOf};
use super::format::Format;
use super::listed::List;
use super::models::{MODELS, Model};
use super::page::{At, Page, Paging};
use super::questions::Question;
use super::routes::list_route;
use crate::Problem;
use crate::access::Caller;
use crate::route::Route;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use bytes::Bytes;
use domain::Timestamp;
use futures_util::stream;
use http_body_util::BodyExt as _;
use projections::{AllFour, Checkpointed};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use tower::ServiceExt as _;

/// The routes of the read models, over those that the process has.
pub struct AtHand(Router);

/// The rows of a list, and what they were made of.
pub struct Reply(Response);

/// The list cannot be asked that way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAnswered(String);

struct Models {
    model: Checkpointed<AllFour>,
    as_of: Timestamp,
}

impl AtHand {
    /// Those read models, shown as of that time.
    pub fn new(model: Checkpointed<AllFour>, as_of: Timestamp) -> Self {
        let models = Arc::new(Models { model, as_of });
        let mut router = Router::new();
        for model in MODELS.iter() {
            let answer = move |State(models): State<Arc<Models>>, asked: Asked| async move {
                models.listed(&asked, model)
            };
            router = with(router, list_route(model), get(answer));
        }
        Self::of(router.with_state(models))
    }

    /// A list that answers at its route.
    pub(crate) fn list(route: Route, by: MethodRouter) -> Self {
        Self::of(with(Router::new(), route, by))
    }

    /// The process asks for its own user, who has every right.
    fn of(router: Router) -> Self {
        Self(router.layer(Extension(Caller::anybody())))
    }

    /// All rows of the list at that path and query, which are escaped: one JSON object a line.
    pub async fn lines(&self, target: &str) -> Result<Reply, NotAnswered> {
        self.ask(target, Format::Ndjson).await
    }

    /// The same as CSV.
    pub async fn csv(&self, target: &str) -> Result<Reply, NotAnswered> {
        self.ask(target, Format::Csv).await
    }

    async fn ask(&self, target: &str, format: Format) -> Result<Reply, NotAnswered> {
        let request = Request::get(target).header(header::ACCEPT, format.media_type());
        let request = request.body(Body::empty()).expect("its parts are valid");
        let answer = self.0.clone().oneshot(request).await;
        let response = answer.unwrap_or_else(|never: Infallible| match never {});
        if response.status().is_success() {
            return Ok(Reply(response));
        }
        let body = response.into_body().collect().await;
        let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or_default();
        Err(NotAnswered(detail.to_owned()))
    }
}

fn with<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    route: Route,
    by: MethodRouter<S>,
) -> Router<S> {
    let route = Arc::new(route);
    router.route(route.path, by.layer(Extension(route)))
}

impl Reply {
    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// The next bytes; `None` after the last row.
    pub async fn next(&mut self) -> Option<Bytes> {
        let frame = self.0.body_mut().frame().await?;
        frame.ok()?.into_data().ok()
    }
}

impl Models {
    fn listed(self: &Arc<Self>, asked: &Asked, model: &'static Model) -> Result<Response, Problem> {
        let question = Question::of(model, &asked.params)?;
        let format = asked.format()?;
        let paging = question.paging(&asked.params, format)?;
        let made_of = MadeOf {
            events: self.model.events(),
            as_of: self.as_of,
            etag: None,
        };
        let (body, next) = match question {
            Question::Live(question) => {
                let Page { body, next } = question.page(&self.model, &paging, self.as_of);
                (Body::from(body), next)
            }
            Question::Ended(question) => {
                let list = question.list(self.model.state());
                (all_rows(list, paging, &made_of), None)
            }
        };
        Ok(asked.answer(body, format, &made_of, next.as_deref()))
    }
}

/// All rows of ended calls, made while they are read.
fn all_rows(list: List, paging: Paging, made_of: &MadeOf) -> Body {
    let rendering = list.begin(&paging, made_of);
    let beginning = Some((rendering, At::beginning(&paging)));
    let pieces = stream::unfold(beginning, move |state| {
        let piece = state.map(|(mut rendering, mut at)| {
            list.rows(&paging, &mut at, AT_ONCE, &mut rendering);
            let piece = Ok::<_, Infallible>(rendering.take());
            (piece, (!at.is_over).then_some((rendering, at)))
        });
        std::future::ready(piece)
    });
    Body::from_stream(pieces)
}

/// How many rows are made at once.
const AT_ONCE: usize = 8192;
