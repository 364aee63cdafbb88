//! Calls: finding them, and one call as it stands or stood.

mod lists;
mod one;

pub(crate) use lists::Lists;

use crate::access::HISTORY;
use crate::read_models::{
    Asked, Listed as _, Paging, agent, agent_parameter, list, list_answers, not_modified,
    paging_parameters, phase, phase_parameter, queue,
};
use crate::route::{Handled, Operation, Parameter};
use crate::{Problem, Service, values};
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use projections::{CallFilter, ListedCall};
use std::sync::Arc;

pub(crate) fn routes() -> Vec<Handled> {
    let mut routes = list(
        [
            "/v1/calls",
            "/v1/calls.json",
            "/v1/calls.ndjson",
            "/v1/calls.csv",
        ],
        HISTORY,
        &calls_operation(),
        &get(calls),
    );
    routes.extend(one::routes());
    routes
}

async fn calls(State(service): State<Arc<Service>>, asked: Asked) -> Result<Response, Problem> {
    let format = asked.format()?;
    let paging = Paging::of::<ListedCall<'_>>(&asked.params, format)?;
    let filter = filter(&asked)?;
    let as_of = service.handler.now();
    // A rebuild forgets the lists, so a list is of the events that this tag stands for.
    let tag = service.views.tag();
    let lists = service.views.lists();
    lists
        .ask(&service.store, filter, move |folded| {
            let etag = asked.etag(format, folded.events.position, tag);
            if asked.has(&etag) {
                return not_modified(&etag, folded.events, as_of);
            }
            let page = paging.page(folded.list.rows(), as_of, folded.events);
            asked.answer(page, format, Some(&etag))
        })
        .await
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
        agent_parameter(),
        Parameter::query(
            "customer",
            values::customer(),
            "Only of the customer with this number; a + is written %2B",
        ),
        queue(),
        Parameter::query(
            "correlation",
            values::correlation(),
            "Only where a command carried this",
        ),
        Parameter::query("from", time.clone(), "Only answered at or after this time"),
        Parameter::query("to", time, "Only answered before this time"),
        phase_parameter(),
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
