//! Lists of the read models: a page, or all rows of one state of them.
//!
//! Rows of calls that go on are made at once: there are as many as calls. Rows of ended calls are made from a snapshot,
//! a few at a time: for all lines, while the client reads.

use super::asked::{Asked, MadeOf, not_modified};
use super::explained::{self, Explaining};
use super::models::Model;
use super::page::{At, Page, Paging};
use super::questions::{OfEnded, OfLive, Question};
use super::rendering::Rendering;
use super::times::Times;
use crate::streamed::{self, CutOff, Pieces};
use crate::{Problem, Service};
use axum::body::Body;
use axum::response::Response;
use projections::{AgentTimes, AllFour, By, CallTimes, ReadModel, Window, WindowRow};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// How many bytes a row of a call that goes on takes, about; and one of an ended call.
const LIVE_ROW_BYTES: usize = 768;
const ENDED_ROW_BYTES: usize = 320;

/// How many bytes a snapshot of ended calls takes, about.
const SNAPSHOT_BYTES: usize = 64 * 1024;

/// How many rows are made at once in the usual order, and in any other, for which all rows are gone through each time.
const AT_ONCE: usize = 256;
const WINDOWS_AT_ONCE: usize = 2048;
const AT_ONCE_IN_ANOTHER_ORDER: usize = 8192;

/// The list of a read model, as the request asks for it.
pub(super) async fn listed(
    service: &Arc<Service>,
    asked: Asked,
    model: &'static Model,
) -> Result<Response, Problem> {
    let question = Question::of(model, &asked.params)?;
    let format = asked.format()?;
    let paging = question.paging(&asked.params, format)?;
    asked.waited(service).await?;
    match question {
        Question::Live(question) => of_live(service, asked, question, paging).await,
        Question::Ended(question) => of_ended(service, asked, question, paging).await,
    }
}

/// What was found at a state of the read models, unless the client has it already.
pub(crate) enum Found<T> {
    New(T, MadeOf),
    Known(Response),
}

async fn of_live(
    service: &Service,
    asked: Asked,
    question: OfLive,
    paging: Paging,
) -> Result<Response, Problem> {
    let calls = service.views.kept_calls();
    let rows = if paging.is_whole() {
        calls
    } else {
        calls.min(paging.page_limit())
    };
    let key = asked.caller.key().to_owned();
    let allowance = service
        .budget
        .take_in_time(&key, rows * LIVE_ROW_BYTES)
        .await?;
    let (asked, format) = (Arc::new(asked), paging.format);
    let asking = Arc::clone(&asked);
    let as_of = service.handler.now();
    let found = service.views.ask_in_time(&key, move |model, tag| {
        let made_of = |etag| MadeOf {
            events: model.events(),
            as_of,
            etag,
        };
        let etag = question
            .is_timeless()
            .then(|| asking.etag(format, model.position(), tag));
        found(&asking, made_of(etag), |_| {
            question.page(model, &paging, as_of)
        })
    });
    Ok(match found.await? {
        Found::Known(response) => response,
        Found::New(Page { body, next }, made_of) => {
            let body = Body::from(allowance.cover(body));
            asked.answer(body, format, &made_of, next.as_deref())
        }
    })
}

/// Makes the answer unless the client has it.
pub(crate) fn found<T>(
    asked: &Asked,
    made_of: MadeOf,
    make: impl FnOnce(&MadeOf) -> T,
) -> Found<T> {
    match &made_of.etag {
        Some(etag) if asked.has(etag) => {
            Found::Known(not_modified(etag, made_of.events, made_of.as_of))
        }
        _ => Found::New(make(&made_of), made_of),
    }
}

async fn of_ended(
    service: &Arc<Service>,
    asked: Asked,
    question: OfEnded,
    paging: Paging,
) -> Result<Response, Problem> {
    let format = paging.format;
    let key = asked.caller.key().to_owned();
    let bytes = if paging.is_whole() {
        0
    } else {
        paging.page_limit() * ENDED_ROW_BYTES
    };
    let place = if paging.is_whole() {
        Some(service.budget.snapshot(&key).await?)
    } else {
        None
    };
    let allowance = service
        .budget
        .take_in_time(&key, SNAPSHOT_BYTES + bytes)
        .await?;
    let asked = Arc::new(asked);
    let asking = Arc::clone(&asked);
    let as_of = service.handler.now();
    let found = service.views.ask_in_time(&key, move |model, tag| {
        let made_of = MadeOf {
            events: model.events(),
            as_of,
            etag: Some(asking.etag(format, model.position(), tag)),
        };
        found(&asking, made_of, |_| question.list(model.state()))
    });
    let (list, made_of) = match found.await? {
        Found::Known(response) => return Ok(response),
        Found::New(list, made_of) => (list, made_of),
    };
    let list = Arc::new(list);
    if let Some(place) = place {
        drop(allowance);
        let rest = Rest::new(list, paging, &made_of, place);
        let body = streamed::body(service, &asked.caller, rest);
        return Ok(asked.answer(body, format, &made_of, None));
    }
    let Page { body, next } = page(service, &key, list, paging, &made_of).await;
    let body = Body::from(allowance.cover(body));
    Ok(asked.answer(body, format, &made_of, next.as_deref()))
}

/// What is asked of a snapshot of ended calls.
pub(super) enum List {
    Calls(Times),
    Agents(Times),
    Windows(Times, By),
    Explained(Explaining),
}

impl List {
    pub(super) fn begin(&self, paging: &Paging, made_of: &MadeOf) -> Rendering {
        let begin = match self {
            List::Calls(_) => Rendering::begin::<CallTimes<'_>>,
            List::Agents(_) => Rendering::begin::<AgentTimes<'_>>,
            List::Windows(..) => Rendering::begin::<WindowRow>,
            List::Explained(_) => explained::begin,
        };
        begin(paging.format, made_of.as_of, made_of.events)
    }

    /// How many rows are made in one turn.
    fn at_once(&self, paging: &Paging) -> usize {
        let is_usual = match self {
            List::Calls(_) => paging.is_usual_order::<CallTimes<'_>>(),
            List::Agents(_) => paging.is_usual_order::<AgentTimes<'_>>(),
            List::Windows(..) | List::Explained(_) => paging.is_usual_order::<WindowRow>(),
        };
        match self {
            _ if !is_usual => AT_ONCE_IN_ANOTHER_ORDER,
            List::Windows(..) => WINDOWS_AT_ONCE,
            List::Calls(_) | List::Agents(_) | List::Explained(_) => AT_ONCE,
        }
    }

    /// The same for a page. A row and its calls must not be in a page twice.
    fn at_once_of_page(&self, paging: &Paging) -> usize {
        match self {
            List::Explained(_) => usize::MAX,
            List::Calls(_) | List::Agents(_) | List::Windows(..) => self.at_once(paging),
        }
    }

    /// Renders at most `max` rows after a place; its place is moved on, and is gone after the last row.
    pub(super) fn rows(
        &self,
        paging: &Paging,
        at: &mut At,
        max: usize,
        to: &mut Rendering,
    ) -> usize {
        match self {
            List::Calls(times) => at.rows(to, |after| {
                times.batch(paging, after, max, |filter| times.model.calls(filter))
            }),
            List::Agents(times) => at.rows(to, |after| {
                times.batch(paging, after, max, |filter| times.model.agents(filter))
            }),
            List::Windows(times, by) => at.rows(to, |after| {
                let rows = |filter: &_| times.model.windows(times.window, *by, filter);
                times.batch(paging, after, max, rows)
            }),
            List::Explained(explaining) => explaining.rows(paging, at, max, to),
        }
    }

    fn next_of(&self, paging: &Paging, at: &At) -> Option<String> {
        let last = at.after.as_ref().filter(|_| !at.is_over);
        match self {
            List::Calls(_) => paging.next::<CallTimes<'_>>(last, None),
            List::Agents(_) => paging.next::<AgentTimes<'_>>(last, None),
            List::Windows(..) => paging.next::<WindowRow>(last, None),
            List::Explained(_) => paging.next::<WindowRow>(last, at.within.clone()),
        }
    }
}

/// A page of the list, each part of it made in a turn of its own.
async fn page(
    service: &Service,
    key: &str,
    list: Arc<List>,
    paging: Paging,
    made_of: &MadeOf,
) -> Page {
    let mut rendering = list.begin(&paging, made_of);
    let mut at = At::beginning(&paging);
    let mut left = paging.page_limit();
    let paging = Arc::new(paging);
    while left > 0 && !at.is_over {
        let (list, paging) = (Arc::clone(&list), Arc::clone(&paging));
        let made = service.turns.run(key, move || {
            let max = left.min(list.at_once_of_page(&paging));
            let rows = list.rows(&paging, &mut at, max, &mut rendering);
            (rendering, at, left.saturating_sub(rows))
        });
        (rendering, at, left) = made.await;
    }
    let next = list.next_of(&paging, &at);
    rendering.end(next.as_deref());
    Page {
        body: rendering.take(),
        next,
    }
}

/// All rows that follow, made while the client reads.
struct Rest {
    list: Arc<List>,
    paging: Arc<Paging>,
    /// None while it is worked on.
    state: Option<(Rendering, At)>,
    bytes: usize,
    _snapshot: OwnedSemaphorePermit,
}

impl Rest {
    fn new(
        list: Arc<List>,
        paging: Paging,
        made_of: &MadeOf,
        snapshot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            state: Some((list.begin(&paging, made_of), At::beginning(&paging))),
            bytes: list.at_once(&paging) * ENDED_ROW_BYTES,
            list,
            paging: Arc::new(paging),
            _snapshot: snapshot,
        }
    }
}

impl Pieces for Rest {
    fn next_bytes(&self) -> usize {
        self.bytes
    }

    async fn next(&mut self, service: &Service, key: &str) -> Result<Option<Vec<u8>>, CutOff> {
        let Some((mut rendering, mut at)) = self.state.take() else {
            return Ok(None);
        };
        let (list, paging) = (Arc::clone(&self.list), Arc::clone(&self.paging));
        let made = service.turns.run(key, move || {
            let max = list.at_once(&paging);
            list.rows(&paging, &mut at, max, &mut rendering);
            let piece = rendering.take();
            (piece, rendering, at)
        });
        let (piece, rendering, at) = made.await;
        self.state = (!at.is_over).then_some((rendering, at));
        Ok(Some(piece))
    }
}

impl OfEnded {
    /// The list of what is asked, of the calls that had ended when it was made.
    pub(super) fn list(&self, model: &ReadModel<AllFour>) -> List {
        match self {
            OfEnded::Calls(filter) => {
                let snapshot = model.snapshot(filter, None);
                List::Calls(Times::new(snapshot, filter.clone(), Window::Quarter))
            }
            OfEnded::Agents(filter) => {
                let snapshot = model.snapshot(filter, None);
                List::Agents(Times::new(snapshot, filter.clone(), Window::Quarter))
            }
            OfEnded::Windows { window, by, filter } => {
                let snapshot = model.snapshot(filter, Some(*window));
                List::Windows(Times::new(snapshot, filter.clone(), *window), *by)
            }
            OfEnded::Explained { window, by, filter } => {
                let snapshot = model.snapshot(filter, Some(*window));
                let times = Times::new(snapshot, filter.clone(), *window);
                List::Explained(Explaining::new(times, *by))
            }
        }
    }
}
