//! How the interface shows `handle-times`.

use super::rows::{AgentTimes, CallTimes, WindowRow};
use super::times::HandleTimes;
use crate::description::{
    Description, Operation, Parameter, RowKind, ShowCommand, ShowOption, Values, paths,
};
use crate::read_model::Projection;
use crate::row::Row;
use crate::shape::Shaped;
use crate::table::{CALL_AND_QUEUE, Column, Table, durations, id, moment, text};

impl HandleTimes {
    /// How the interface shows it. Its rows are calls, agents' parts in calls, or windows.
    pub const DESCRIPTION: Description = Description {
        name: Self::NAME,
        title: "HANDLE TIMES",
        paths: paths!("handle-times"),
        changes_path: "/v1/handle-times/changes",
        list: Operation {
            id: "listHandleTimes",
            summary: "How long calls and agents' parts in them took",
            about: "Of calls that ended. With `from` and `to`, windows that overlap are shown whole.",
            parameters: LIST_PARAMETERS,
        },
        changes: Operation {
            id: "followHandleTimes",
            summary: "Follow how long calls took",
            about: "",
            parameters: CHANGES_PARAMETERS,
        },
        schema: "HandleTimes",
        rows: &[
            RowKind {
                shape: CallTimes::SHAPE,
                sorts: CallTimes::SORTS,
                table: CALLS,
            },
            RowKind {
                shape: AgentTimes::SHAPE,
                sorts: AgentTimes::SORTS,
                table: AGENTS,
            },
            RowKind {
                shape: WindowRow::SHAPE,
                sorts: WindowRow::SORTS,
                table: WINDOWS,
            },
        ],
        parts: &[],
        about_sort: "By which column of the rows; without it by ended_at, and in windows by from",
        command: ShowCommand {
            about: "How long calls took, and what of it was what",
            examples: Some(EXAMPLES),
            options: OPTIONS,
            demo: &[("window", "1d"), ("by", "all")],
        },
    };
}

const SUBJECTS: &[(&str, &str)] = &[
    ("call", "A call"),
    ("agent", "An agent; without a window, in one call"),
    ("queue", "A queue in a window"),
    ("all", "All calls in a window"),
];

const WINDOW_LENGTHS: &[(&str, &str)] = &[
    ("15m", "A quarter of an hour"),
    ("1h", "An hour"),
    ("1d", "A day"),
];

const LIST_PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "by",
        Values::OneOf(SUBJECTS),
        "What a row is about; without a window call (as if nothing is said) or agent, in a window queue, agent or \
         all (as if nothing is said)",
    ),
    Parameter::new(
        "window",
        Values::OneOf(WINDOW_LENGTHS),
        "Sum up by the time calls ended, in UTC",
    ),
    Parameter::new(
        "explain",
        Values::Flag,
        "Also list the calls that each row of a window was counted from. `limit` is then the most calls of a page, \
         over all its rows; a row without calls counts as one. A row whose calls do not fit is in the next page \
         again, with its further calls. In CSV and NDJSON without `limit` every row is whole",
    ),
    Parameter::AGENT,
    Parameter::QUEUE,
    Parameter::new(
        "from",
        Values::Time,
        "Only calls that ended at or after this time",
    ),
    TO,
];

const CHANGES_PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "by",
        Values::FirstOf(SUBJECTS.split_at(2).0),
        "What a row is about",
    ),
    Parameter::AGENT,
    Parameter::QUEUE,
    Parameter::CALL,
    Parameter::new(
        "from",
        Values::Time,
        "Only calls that ended at or after this time. Without it, the rows that come first are those of the last 24 \
         hours, before `to` if that is earlier; what changes from then on is sent however long ago the call ended",
    ),
    TO,
];

const TO: Parameter = Parameter::new("to", Values::Time, "Only calls that ended before this time");

const EXAMPLES: &str = "\
Examples:
  kaigi show handle-times --by call                         each call that ended
  kaigi show handle-times --window 1h --by queue            an hour a row, for each queue
  kaigi show handle-times --window 1d --by agent --agent agent:ana
  kaigi show handle-times --window 1h --by all --explain    and the calls behind each row";

const OPTIONS: &[ShowOption] = &[
    ShowOption::new(
        "by",
        "BY",
        Values::OneOf(SUBJECTS),
        "What a row is about; call and agent are single calls, unless a window is given [default: call, or all in a window]",
    ),
    ShowOption::new(
        "window",
        "WINDOW",
        Values::OneOf(WINDOW_LENGTHS),
        "Sum up by the time calls ended, in UTC",
    ),
    ShowOption {
        requires: Some("window"),
        ..ShowOption::new(
            "explain",
            "EXPLAIN",
            Values::Flag,
            "Also list the calls behind each row",
        )
    },
    ShowOption::new("agent", "AGENT", Values::Agent, "Only this agent"),
    ShowOption::new("queue", "QUEUE", Values::Queue, "Only this queue"),
    ShowOption::new(
        "from",
        "TIME",
        Values::Time,
        "Only calls that ended at or after this time; with --window, every window that overlaps is shown whole",
    ),
    ShowOption::new(
        "to",
        "TIME",
        Values::Time,
        "Only calls that ended before this time; with --window, every window that overlaps is shown whole",
    ),
];

const NONE_ENDED: &str = "no call ended";

const CALLS: Table = Table {
    none: NONE_ENDED,
    columns: &[
        CALL_AND_QUEUE,
        Column::list("ENDED", |row, _| vec![moment(&row["ended_at"])]),
        durations!("HANDLE", "handle_ms"),
        durations!("=\nTALKING", "talking_ms"),
        durations!("+\nCONF.", "conference_ms"),
        durations!("+\nASSIST", "wrap_up_assist_ms"),
        durations!("of it\nHELD", "customer_held_ms"),
        durations!("of it\nCONSULT", "consult_ms"),
    ],
};

const AGENTS: Table = Table {
    none: NONE_ENDED,
    columns: &[
        Column::text("CALL\nAGENT", |row, _| {
            vec![text(&row["call"]), id(&row["agent"])]
        }),
        durations!("HANDLE", "handle_ms"),
        durations!("=\nENGAGED", "engaged_ms"),
        durations!("+\nHELD", "held_ms"),
        durations!("+\nWRAP-UP", "wrap_up_ms"),
        Column::number("\nOWED", |row, _| {
            let owes = row["open"].as_u64().is_some_and(|open| open > 0);
            vec![if owes { "yes" } else { "no" }.to_owned()]
        }),
        durations!("of it\nCONF.", "conference_ms"),
        durations!("\nCONSULT", "consult_ms"),
        durations!("\nASSIST", "wrap_up_assist_ms"),
    ],
};

const WINDOWS: Table = Table {
    none: NONE_ENDED,
    columns: &[
        Column::text("METRIC", |row, _| vec![text(&row["metric"])]),
        Column::number("COUNT", |row, _| vec![text(&row["count"])]),
        durations!("SUM", "sum_ms"),
        durations!("MEAN", "mean_ms"),
        durations!("P50", "p50_ms"),
        durations!("P90", "p90_ms"),
        durations!("P95", "p95_ms"),
        durations!("P99", "p99_ms"),
        durations!("MAX", "max_ms"),
    ],
};
