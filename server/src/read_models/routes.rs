//! What can be asked of the read models, and by whom.

use super::answering;
use super::asked::{Asked, USUAL_WAIT};
use super::listed::listed;
use super::models::{Kind, MODELS, Model};
use super::page::HIGHEST_LIMIT;
use super::stream;
use crate::access::{Access, OPERATION, READ_MODELS};
use crate::handled::Handled;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::{Service, values};
use axum::extract::State;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use domain::call::Phase;
use engine::keys::Role;
use projections::{Description, Parameter as Declared, Values};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Who may ask how the read models are doing.
const UPKEEP: Access = Access::Roles(&[Role::Operator, Role::Reader, Role::Auditor]);

pub(crate) fn routes() -> Vec<Handled> {
    let mut routes: Vec<_> = MODELS.iter().flat_map(list_routes).collect();
    routes.extend((0..MODELS.len()).map(changes_route));
    routes.extend(upkeep_routes());
    routes
}

fn list_routes(model: &'static Model) -> Vec<Handled> {
    let answer = move |State(service), asked| async move { listed(&service, asked, model).await };
    let Route {
        access, operation, ..
    } = list_route(model);
    list(model.description().paths, access, &operation, &get(answer))
}

/// The list at its path without a suffix.
pub(super) fn list_route(model: &Model) -> Route {
    let description = model.description();
    Route {
        method: Method::GET,
        path: description.paths[0],
        access: READ_MODELS,
        operation: list_operation(description),
    }
}

/// A list by its path, and by one with a suffix for each form, which the document need not tell of one by one.
pub(crate) fn list(
    paths: [&'static str; 4],
    access: Access,
    operation: &Operation,
    by: &MethodRouter<Arc<Service>>,
) -> Vec<Handled> {
    let route = |path| Route {
        method: Method::GET,
        path,
        access,
        operation: operation.clone(),
    };
    let routes = paths.map(|path| route(path).handled(by.clone()));
    routes.into()
}

fn upkeep_routes() -> Vec<Handled> {
    let told = |status, about| Answer::of(status, about, "application/json", upkeep_schema());
    vec![
        Route {
            method: Method::GET,
            path: "/v1/read-models",
            access: UPKEEP,
            operation: Operation {
                id: "getReadModels",
                summary: "How the read models are doing",
                about: "How far they are, how far behind the store, and how far new ones are that will take their place. \
                        Beside it what is wrong, if anything is: `trouble` and `feed_trouble` with reading the store, \
                        `store_trouble` with writing to it, \
                        `checkpoint_trouble` and `proof_trouble` with what is kept for the next start, and \
                        `keys_trouble` with the file of keys. `following` is false if what follows the store came to \
                        a bad end; only a new start helps then.",
                answers: vec![told(200, "How they are doing")],
                ..Operation::default()
            },
        }
        .handled(get(answering::upkeep)),
        Route {
            method: Method::POST,
            path: "/v1/read-models/rebuild",
            access: OPERATION,
            operation: Operation {
                id: "rebuildReadModels",
                summary: "Build the read models anew",
                about: "From the store's first event, in the background. The old ones answer until the new ones have \
                        caught up; who follows changes is sent `reset` and all rows then. Asking again while they are \
                        being built changes nothing.",
                answers: vec![told(202, "They are being built")],
                ..Operation::default()
            },
        }
        .handled(post(answering::rebuild)),
    ]
}

fn upkeep_schema() -> Value {
    let position = json!({"type": "integer", "minimum": 0});
    let maybe_position = json!({"type": ["integer", "null"], "minimum": 0});
    let maybe_text = json!({"type": ["string", "null"]});
    json!({
        "type": "object",
        "required": [
            "position", "count", "proof", "set_aside", "caught_up", "following", "store_position", "behind_ms", "rebuilding", "checkpoint_position",
            "trouble", "checkpoint_trouble", "store_trouble", "feed_trouble", "proof_trouble",
            "keys_trouble",
        ],
        "properties": {
            "position": position, "count": position, "proof": schema("Sha256"),
            "set_aside": {"type": "array", "items": {
                "type": "object", "required": ["call", "position", "stream", "number", "reason"],
                "properties": {
                    "call": maybe_text, "position": position, "stream": {"type": "string"},
                    "number": position, "reason": {"type": "string"},
                },
            }},
            "caught_up": {"type": "boolean"}, "following": {"type": "boolean"},
            "store_position": position, "behind_ms": position, "checkpoint_position": maybe_position,
            "trouble": maybe_text, "checkpoint_trouble": maybe_text, "store_trouble": maybe_text,
            "feed_trouble": maybe_text,
            "proof_trouble": maybe_text, "keys_trouble": maybe_text,
            "rebuilding": {
                "type": ["object", "null"], "required": ["position"], "properties": {"position": position},
            },
        },
    })
}

fn list_operation(description: &Description) -> Operation {
    let asked = &description.list;
    let sorts: Vec<_> = description.rows.iter().map(|rows| rows.sorts).collect();
    let shapes: Vec<_> = description
        .rows
        .iter()
        .map(|rows| rows.shape.name)
        .collect();
    let mut parameters: Vec<_> = asked.parameters.iter().map(parameter).collect();
    parameters.extend(paging_parameters(&sorts, description.about_sort));
    parameters.extend(waiting_parameters());
    Operation {
        id: asked.id,
        summary: asked.summary,
        about: asked.about,
        parameters,
        body: None,
        answers: list_answers(description.schema, &shapes),
        problems: &[406, 422, 503],
    }
}

fn waiting_parameters() -> [Parameter; 2] {
    [
        Parameter::query(
            "min_position",
            values::whole_number(0),
            "Answer only once the event at that position was taken in: who wrote reads what it wrote",
        ),
        Parameter::query(
            "wait",
            json!({"type": "number", "minimum": 0, "default": USUAL_WAIT.as_secs()}),
            "For how many seconds to wait for it at most",
        ),
    ]
}

/// A declared parameter, as a route has it.
pub(crate) fn parameter(declared: &Declared) -> Parameter {
    let schema = match declared.values {
        Values::Call => values::call(),
        Values::Queue => values::queue(),
        Values::Agent => values::agent(),
        Values::Supervisor => values::supervisor(),
        Values::Phase => one_of(Phase::ALL.iter().map(|phase| phase.name())),
        Values::Flag => json!({"type": "boolean"}),
        Values::TimeSpan => values::time_of_waiting(),
        Values::Time => values::time(),
        Values::OneOf(names) => one_of(names.iter().map(|(name, _)| *name)),
        Values::FirstOf(names) => {
            let mut schema = one_of(names.iter().map(|(name, _)| *name));
            schema["default"] = names[0].0.into();
            schema
        }
    };
    Parameter::query(declared.name, schema, declared.about)
}

fn one_of(names: impl Iterator<Item = &'static str>) -> Value {
    json!({"type": "string", "enum": names.collect::<Vec<_>>()})
}

/// What every list can be asked beside which rows.
pub(crate) fn paging_parameters(
    sorts: &[&[&'static str]],
    about_sort: &'static str,
) -> Vec<Parameter> {
    let sort = json!({"type": "string", "enum": orders(sorts)});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT});
    vec![
        Parameter::query("sort", sort, about_sort),
        Parameter::query(
            "limit",
            limit,
            "The most rows of the response. Without it JSON has 1000 rows, and CSV and NDJSON have all rows of one state \
             of the read models, or those after `cursor`",
        ),
        Parameter::query(
            "cursor",
            values::cursor(),
            "The `next` of the page before, with the same sort; rows that come and go meanwhile make no gap",
        ),
        Parameter::header(
            "If-None-Match",
            json!({"type": "string"}),
            "The ETag of an answer that the client has",
        ),
    ]
}

/// Each column once, and each with - before it, which sorts downwards.
fn orders(sorts: &[&[&'static str]]) -> Vec<String> {
    let mut columns: Vec<_> = sorts.concat();
    let mut seen = HashSet::new();
    columns.retain(|column| seen.insert(*column));
    let up = columns.iter().map(|column| (*column).to_owned());
    let down = columns.iter().map(|column| format!("-{column}"));
    up.chain(down).collect()
}

/// The three forms of a list: the schema of all of it, and those that its rows may have.
pub(crate) fn list_answers(whole: &str, rows: &[&str]) -> Vec<Answer> {
    let row: Vec<_> = rows.iter().map(|row| schema(row)).collect();
    let row = match row.as_slice() {
        [row] => row.clone(),
        rows => json!({"anyOf": rows}),
    };
    let rows = Answer {
        status: 200,
        about: "The rows. `Kaigi-Position` and `Kaigi-As-Of` say as of what, `Kaigi-Count` and `Kaigi-Proof` \
                from which events. `Kaigi-Complete` is `false` if there are more rows, and then `Link` leads to the next \
                page. The path \
                with .json, .ndjson or .csv behind it chooses the form without a header",
        content: vec![
            ("application/json", schema(whole)),
            ("application/x-ndjson", row),
            ("text/csv", json!({"type": "string"})),
        ],
    };
    let unchanged = "Nothing has happened since the answer that `If-None-Match` names";
    vec![rows, Answer::empty(304, unchanged)]
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn changes_route(place: usize) -> Handled {
    let answer = move |State(service): State<Arc<Service>>, asked: Asked| async move {
        let kind = Kind::of(place, &asked.params)?;
        stream::answer(&service, kind, &asked)
    };
    let description = MODELS[place].description();
    let asked = &description.changes;
    let mut parameters: Vec<_> = asked.parameters.iter().map(parameter).collect();
    parameters.push(Parameter::header(
        "Last-Event-ID",
        json!({"type": "string", "pattern": r"^([0-9]{1,19}(\.[0-9]{1,9})?-[0-9A-Fa-f]{1,8})?$"}),
        "The last `id` that was received: goes on after it",
    ));
    Route {
        method: Method::GET,
        path: description.changes_path,
        access: READ_MODELS,
        operation: Operation {
            id: asked.id,
            summary: asked.summary,
            about: CHANGES,
            parameters,
            body: None,
            answers: vec![Answer {
                status: 200,
                about: "Server-sent events",
                content: vec![("text/event-stream", json!({"type": "string"}))],
            }],
            problems: &[422],
        },
    }
    .handled(get(answer))
}

/// What whoever follows changes must know.
const CHANGES: &str = "\
First comes a `row` for each row there is (of ended calls, unless `from` is said, of the last 24 hours), as it is when it is sent; what changed meanwhile follows, so a row may come twice, and `gone` may \
name a row that never came. Then comes `caught_up`; from then on a `row` for each that came or changed and a \
`gone` for each that went, or that does not fit the filter any more. Their data is \
`{\"position\":P,\"key\":{...},\"row\":{...}}`, with `row` null in `gone`; whoever keeps the rows by `key` has the read \
model as of the last position. Events carry an `id` from `caught_up` on; sent back as `Last-Event-ID` it goes on after \
that event, without gap or repeat. If what changed since is not kept any more, because it is too much or the server was \
started anew, `reset` comes, then all rows as if for the first time: forget those you have. A silent stream sends \
`progress`, with an `id`, too. `caught_up` and `progress` say `position`, and `count` and `proof` of the events up to it. One that does not read fast enough is sent `cut_off` with the reason, one on a server \
that stops `stopping`; both end, and the client comes back with the last `id`.";
