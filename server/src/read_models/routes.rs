//! What can be asked of the read models, and by whom.

use super::answering;
use super::asked::USUAL_WAIT;
use super::page::HIGHEST_LIMIT;
use super::rows::Listed as _;
use crate::access::{Access, OPERATION, READ_MODELS};
use crate::handled::Handled;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::{Service, values};
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use engine::keys::Role;
use projections::{ActiveCall, AgentTimes, CallTimes, MonitoredCall, OwedWrapUp, WindowRow};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Who may ask how the read models are doing.
const UPKEEP: Access = Access::Roles(&[Role::Operator, Role::Reader, Role::Auditor]);

pub(crate) fn routes() -> Vec<Handled> {
    let mut routes = Vec::new();
    routes.extend(list(
        [
            "/v1/active-calls",
            "/v1/active-calls.json",
            "/v1/active-calls.ndjson",
            "/v1/active-calls.csv",
        ],
        READ_MODELS,
        &active_calls_operation(),
        &get(answering::active_calls),
    ));
    routes.extend(list(
        [
            "/v1/wrap-up-queue",
            "/v1/wrap-up-queue.json",
            "/v1/wrap-up-queue.ndjson",
            "/v1/wrap-up-queue.csv",
        ],
        READ_MODELS,
        &wrap_up_queue_operation(),
        &get(answering::wrap_up_queue),
    ));
    routes.extend(list(
        [
            "/v1/handle-times",
            "/v1/handle-times.json",
            "/v1/handle-times.ndjson",
            "/v1/handle-times.csv",
        ],
        READ_MODELS,
        &handle_times_operation(),
        &get(answering::handle_times),
    ));
    routes.extend(list(
        [
            "/v1/monitoring",
            "/v1/monitoring.json",
            "/v1/monitoring.ndjson",
            "/v1/monitoring.csv",
        ],
        READ_MODELS,
        &monitoring_operation(),
        &get(answering::monitoring),
    ));
    routes.extend(changes_routes());
    routes.extend(upkeep_routes());
    routes
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

fn active_calls_operation() -> Operation {
    let mut parameters = vec![queue(), agent_parameter(), phase_parameter()];
    parameters.push(Parameter::query(
        "idle",
        values::time_of_waiting(),
        "Calls to which nothing has happened for longer than that, such as 4h: perhaps their hang-up never came",
    ));
    parameters.push(call());
    live_list(
        "listActiveCalls",
        "The calls that go on",
        "The longest-running first.",
        parameters,
        ("ActiveCalls", &["ActiveCall"]),
        (
            &[ActiveCall::SORTS],
            "By which column; without it by answered_at",
        ),
    )
}

fn wrap_up_queue_operation() -> Operation {
    live_list(
        "listWrapUpQueue",
        "The wrap-ups that agents owe",
        "The oldest first.",
        vec![agent_parameter(), queue(), call()],
        ("WrapUpQueue", &["OwedWrapUp"]),
        (&[OwedWrapUp::SORTS], "By which column; without it by since"),
    )
}

fn monitoring_operation() -> Operation {
    live_list(
        "listMonitoring",
        "Where supervisors listen and speak, and where they may",
        "The longest-running calls first.",
        vec![call(), supervisor(), may_start()],
        ("Monitoring", &["MonitoredCall"]),
        (
            &[MonitoredCall::SORTS],
            "By which column; without it by answered_at, which rows do not show",
        ),
    )
}

fn handle_times_operation() -> Operation {
    let mut parameters = vec![
        Parameter::query(
            "by",
            json!({"type": "string", "enum": ["call", "agent", "queue", "all"]}),
            "What a row is about; without a window call (as if nothing is said) or agent, in a window queue, agent or \
             all (as if nothing is said)",
        ),
        Parameter::query(
            "window",
            json!({"type": "string", "enum": ["15m", "1h", "1d"]}),
            "Sum up by the time calls ended, in UTC",
        ),
        Parameter::query(
            "explain",
            json!({"type": "boolean"}),
            "Also list the calls that each row of a window was counted from. `limit` is then the most calls of a page, \
             over all its rows; a row without calls counts as one. A row whose calls do not fit is in the next page \
             again, with its further calls. In CSV and NDJSON without `limit` every row is whole",
        ),
        agent_parameter(),
        queue(),
    ];
    parameters.extend([from(), to()]);
    live_list(
        "listHandleTimes",
        "How long calls and agents' parts in them took",
        "Of calls that ended. With `from` and `to`, windows that overlap are shown whole.",
        parameters,
        ("HandleTimes", &["CallTimes", "AgentTimes", "WindowTimes"]),
        (
            &[CallTimes::SORTS, AgentTimes::SORTS, WindowRow::SORTS],
            "By which column of the rows; without it by ended_at, and in windows by from",
        ),
    )
}

fn live_list(
    id: &'static str,
    summary: &'static str,
    about: &'static str,
    mut parameters: Vec<Parameter>,
    (whole, rows): (&str, &[&str]),
    (sorts, about_sort): (&[&[&'static str]], &'static str),
) -> Operation {
    parameters.extend(paging_parameters(sorts, about_sort));
    parameters.extend([
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
    ]);
    Operation {
        id,
        summary,
        about,
        parameters,
        body: None,
        answers: list_answers(whole, rows),
        problems: &[406, 422, 503],
    }
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

fn changes_routes() -> Vec<Handled> {
    let mut by = vec![Parameter::query(
        "by",
        json!({"type": "string", "enum": ["call", "agent"], "default": "call"}),
        "What a row is about",
    )];
    by.extend([agent_parameter(), queue(), call(), begins_with(), to()]);
    vec![
        changes_route(
            "/v1/active-calls/changes",
            "followActiveCalls",
            "Follow the calls that go on",
            vec![queue(), agent_parameter(), phase_parameter(), call()],
            get(answering::active_calls_changes),
        ),
        changes_route(
            "/v1/wrap-up-queue/changes",
            "followWrapUpQueue",
            "Follow the wrap-ups that agents owe",
            vec![agent_parameter(), queue(), call()],
            get(answering::wrap_up_queue_changes),
        ),
        changes_route(
            "/v1/handle-times/changes",
            "followHandleTimes",
            "Follow how long calls took",
            by,
            get(answering::handle_times_changes),
        ),
        changes_route(
            "/v1/monitoring/changes",
            "followMonitoring",
            "Follow where supervisors listen and speak",
            vec![call(), supervisor(), may_start()],
            get(answering::monitoring_changes),
        ),
    ]
}

fn changes_route(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    mut parameters: Vec<Parameter>,
    by: MethodRouter<Arc<Service>>,
) -> Handled {
    parameters.push(Parameter::header(
        "Last-Event-ID",
        json!({"type": "string", "pattern": r"^([0-9]{1,19}(\.[0-9]{1,9})?-[0-9A-Fa-f]{1,8})?$"}),
        "The last `id` that was received: goes on after it",
    ));
    Route {
        method: Method::GET,
        path,
        access: READ_MODELS,
        operation: Operation {
            id,
            summary,
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
    .handled(by)
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

fn call() -> Parameter {
    Parameter::query("call", values::call(), "Only this call")
}

/// Only rows of a queue.
pub(crate) fn queue() -> Parameter {
    Parameter::query("queue", values::queue(), "Only this queue")
}

/// Only rows with an agent.
pub(crate) fn agent_parameter() -> Parameter {
    Parameter::query(
        "agent",
        values::agent(),
        "Only with this agent, as agent:ID or the ID alone",
    )
}

/// Only rows of calls in a phase.
pub(crate) fn phase_parameter() -> Parameter {
    let names: Vec<_> = domain::call::Phase::ALL
        .iter()
        .map(|phase| phase.name())
        .collect();
    Parameter::query(
        "phase",
        json!({"type": "string", "enum": names}),
        "Only in this phase",
    )
}

fn supervisor() -> Parameter {
    Parameter::query(
        "supervisor",
        values::supervisor(),
        "Only with this supervisor on the call, as supervisor:ID or the ID alone",
    )
}

fn may_start() -> Parameter {
    Parameter::query(
        "may_start",
        json!({"type": "boolean"}),
        "Only where monitoring may, or may not, be started",
    )
}

fn from() -> Parameter {
    time("from", "Only calls that ended at or after this time")
}

fn begins_with() -> Parameter {
    time(
        "from",
        "Only calls that ended at or after this time. Without it, the rows that come first are those of the last 24 \
         hours, before `to` if that is earlier; what changes from then on is sent however long ago the call ended",
    )
}

fn to() -> Parameter {
    time("to", "Only calls that ended before this time")
}

fn time(name: &'static str, about: &'static str) -> Parameter {
    Parameter::query(name, values::time(), about)
}
