//! Calls: finding them, and one call as it stands or stood.

mod history;
mod lists;
mod one;

pub(crate) use lists::Lists;

use crate::access::HISTORY;
use crate::handled::Handled;
use crate::read_models::{
    Asked, AtHand, Format, Found, MadeOf, Page, Paging, Place, Rendering, agent, found, list,
    list_answers, paging_parameters, parameter, phase,
};
use crate::route::{Operation, Parameter, Route};
use crate::streamed::{self, CutOff, Pieces};
use crate::{Problem, Service, values};
use axum::body::Body;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::get;
use domain::{Prefix, Timestamp};
use lists::{Asking, Folded, Own};
use projections::{CallFilter, CallList, ListedCall, Parameter as Declared, Row as _};
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    let Route {
        access, operation, ..
    } = calls_route();
    let mut routes = list(PATHS, access, &operation, &get(calls));
    routes.extend(one::routes());
    routes
}

/// The list of calls that the process has folded itself, answered in the process.
pub fn at_hand(list: CallList, events: Prefix, as_of: Timestamp) -> AtHand {
    let list = Arc::new(list);
    let answer = move |asked: Asked| {
        let rows = folded_at_hand(&list, &asked, events, as_of);
        std::future::ready(rows)
    };
    AtHand::list(calls_route(), get(answer))
}

fn folded_at_hand(
    list: &CallList,
    asked: &Asked,
    events: Prefix,
    as_of: Timestamp,
) -> Result<Response, Problem> {
    let format = asked.format()?;
    let paging = Paging::of::<ListedCall<'_>>(&asked.params, format)?;
    if filter(asked)? != *list.filter() {
        let what = "the list at hand was folded for another filter";
        return Err(Problem::bad_value("filter", what));
    }
    let Page { body, next } = paging.page(list.each_row(), as_of, events);
    let made_of = MadeOf {
        events,
        as_of,
        etag: None,
    };
    Ok(asked.answer(Body::from(body), format, &made_of, next.as_deref()))
}

fn calls_route() -> Route {
    Route {
        method: Method::GET,
        path: PATHS[0],
        access: HISTORY,
        operation: calls_operation(),
    }
}

const PATHS: [&str; 4] = [
    "/v1/calls",
    "/v1/calls.json",
    "/v1/calls.ndjson",
    "/v1/calls.csv",
];

/// How many bytes a row takes, about.
const ROW_BYTES: usize = 400;

/// How many rows are made at once of a list that is sent whole: all its calls are gone through each time.
const AT_ONCE: usize = 4096;

async fn calls(State(service): State<Arc<Service>>, asked: Asked) -> Result<Response, Problem> {
    let format = asked.format()?;
    let paging = Paging::of::<ListedCall<'_>>(&asked.params, format)?;
    let filter = filter(&asked)?;
    let key = asked.caller.key().to_owned();
    let asking = Asking {
        turns: &service.turns,
        key: &key,
        store: &service.store,
    };
    if paging.is_whole() {
        return whole(&service, &asking, &asked, (paging, &filter)).await;
    }
    let bytes = paging.page_limit() * ROW_BYTES;
    let allowance = service.budget.take_in_time(&key, bytes).await?;
    let (asked, asked_at) = (Arc::new(asked), AskedAt::now(&service));
    let known = Arc::clone(&asked);
    let page = service.views.lists().ask(&asking, filter, move |folded| {
        let made_of = asked_at.made_of(&known, format, folded);
        found(&known, made_of, |made_of| {
            paging.page(folded.list.each_row(), made_of.as_of, made_of.events)
        })
    });
    Ok(match page.await? {
        Found::Known(response) => response,
        Found::New(Page { body, next }, made_of) => {
            let body = Body::from(allowance.cover(body));
            asked.answer(body, format, &made_of, next.as_deref())
        }
    })
}

/// When a list was asked for, and the tag of the read models then. A rebuild forgets the lists, so a list is of the events that the
/// tag stands for.
#[derive(Clone, Copy)]
struct AskedAt {
    as_of: Timestamp,
    tag: u32,
}

impl AskedAt {
    fn now(service: &Service) -> Self {
        Self {
            as_of: service.handler.now(),
            tag: service.views.tag(),
        }
    }

    fn made_of(self, asked: &Asked, format: Format, folded: &Folded) -> MadeOf {
        MadeOf {
            events: folded.events,
            as_of: self.as_of,
            etag: Some(asked.etag(format, folded.events.position, self.tag)),
        }
    }
}

/// All calls that fit, made while the client reads.
async fn whole(
    service: &Arc<Service>,
    asking: &Asking<'_>,
    asked: &Asked,
    (paging, filter): (Paging, &CallFilter),
) -> Result<Response, Problem> {
    let asked_at = AskedAt::now(service);
    let own = service.views.lists().own(asking, filter).await?;
    let made_of = asked_at.made_of(asked, paging.format, &own.folded);
    let format = paging.format;
    let begin = |made_of: &MadeOf| {
        Rendering::begin::<ListedCall<'_>>(format, made_of.as_of, made_of.events)
    };
    Ok(match found(asked, made_of, begin) {
        Found::Known(response) => response,
        Found::New(rendering, made_of) => {
            let rows = Rows {
                after: paging.after.clone(),
                paging: Arc::new(paging),
                state: Some((rendering, own)),
            };
            let body = streamed::body(service, &asked.caller, rows);
            asked.answer(body, format, &made_of, None)
        }
    })
}

/// The rows of a list that are still to be sent.
struct Rows {
    paging: Arc<Paging>,
    after: Option<Place>,
    /// None after the last row.
    state: Option<(Rendering, Own)>,
}

impl Pieces for Rows {
    fn next_bytes(&self) -> usize {
        AT_ONCE * ROW_BYTES
    }

    async fn next(&mut self, service: &Service, key: &str) -> Result<Option<Vec<u8>>, CutOff> {
        let Some((mut rendering, own)) = self.state.take() else {
            return Ok(None);
        };
        let (paging, after) = (Arc::clone(&self.paging), self.after.take());
        let made = service.turns.run(key, move || {
            let rows = own.folded.list.each_row();
            let batch = paging.cut(rows, after.as_ref(), AT_ONCE);
            rendering.rows(&batch.rows);
            let (last, more) = (batch.last, batch.more);
            let piece = rendering.take();
            (piece, last, more.then_some((rendering, own)))
        });
        let piece;
        (piece, self.after, self.state) = made.await;
        Ok(Some(piece))
    }
}

fn filter(asked: &Asked) -> Result<CallFilter, Problem> {
    let params = &asked.params;
    Ok(CallFilter {
        agent: agent(params)?,
        customer: params.get("customer")?,
        queue: params.get("queue")?,
        correlation: params.get("correlation")?,
        from: params.get("from")?,
        to: params.get("to")?,
        phase: phase(params)?,
    })
}

fn calls_operation() -> Operation {
    let time = values::time();
    let mut parameters = vec![
        parameter(&Declared::AGENT),
        Parameter::query(
            "customer",
            values::customer(),
            "Only of the customer with this number; a + is written %2B",
        ),
        parameter(&Declared::QUEUE),
        Parameter::query(
            "correlation",
            values::correlation(),
            "Only where a command carried this",
        ),
        Parameter::query("from", time.clone(), "Only answered at or after this time"),
        Parameter::query("to", time, "Only answered before this time"),
        parameter(&Declared::PHASE),
    ];
    parameters.extend(paging_parameters(
        &[ListedCall::SORTS],
        "By which column; without it by answered_at",
    ));
    Operation {
        id: "listCalls",
        summary: "Find calls",
        about: "Live and over, by when they were answered. All events are read for it, so at most two such questions \
                are answered at once; the next page, or the same question soon after, costs little.",
        parameters,
        body: None,
        answers: list_answers("ListedCalls", &["ListedCall"]),
        problems: &[406, 422, 500, 503],
    }
}
