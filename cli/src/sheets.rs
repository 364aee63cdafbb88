//! What people see of rows: the columns of each read model, drawn from its JSON, so that rows of a service look like
//! those of a store at hand.

use crate::output::{Column, Console, Sheet, column, list, number, plain, stacked};
use domain::Timestamp;
use projections::{
    ActiveCall, AgentTimes, By, CallTimes, ExplainedRow, ListedCall, MonitoredCall, OwedWrapUp,
    Row, WindowRow,
};
use serde::Serialize;
use serde_json::Value;

/// `active-calls`.
pub fn active_calls(as_of: Timestamp) -> Sheet {
    Sheet {
        fields: ActiveCall::COLUMNS,
        none: "no call goes on",
        columns: vec![
            stacked("CALL\nQUEUE", call_and_queue),
            column("PHASE", move |row: &Value| {
                let phase = text(&row["phase"]);
                format!("{phase} {}", age(as_of, &row["phase_since"]))
            }),
            list("PARTIES, CONSULT, SUPERVISORS", move |row: &Value| {
                let parties = each(&row["parties"]).map(|seat| party(as_of, row, seat));
                let consult = row["consult"].as_object().map(|_| consult(&row["consult"]));
                let sessions = each(&row["supervisors"]);
                let supervisors = sessions.map(|session| supervisor(as_of, session));
                parties.chain(consult).chain(supervisors).collect()
            }),
        ],
    }
}

/// `wrap-up-queue`.
pub fn wrap_up_queue(as_of: Timestamp) -> Sheet {
    Sheet {
        fields: OwedWrapUp::COLUMNS,
        none: "no wrap-up is owed",
        columns: vec![
            number("OWED", move |row: &Value| age(as_of, &row["since"])),
            column("AGENT", |row: &Value| id(&row["agent"])),
            column("CALL", |row: &Value| text(&row["call"])),
            list("QUEUE", |row: &Value| {
                row["queue"]
                    .as_str()
                    .map(str::to_owned)
                    .into_iter()
                    .collect()
            }),
            column("LEFT BY", |row: &Value| text(&row["why"])),
            list("SUGGESTED", |row: &Value| {
                let suggested = each(&row["suggestions"]);
                suggested
                    .map(|one| format!("{} (by {})", text(&one["reason"]), id(&one["by"])))
                    .collect()
            }),
        ],
    }
}

/// `monitoring`.
pub fn monitoring(as_of: Timestamp) -> Sheet {
    Sheet {
        fields: MonitoredCall::COLUMNS,
        none: "no call goes on",
        columns: vec![
            column("CALL", |row: &Value| text(&row["call"])),
            column("MAY START", |row: &Value| {
                may(&row["may_start"], &row["rule"])
            }),
            list("SESSIONS", move |row: &Value| {
                let sessions = each(&row["sessions"]);
                sessions.map(|one| session(as_of, one)).collect()
            }),
        ],
    }
}

/// `handle-times` of single calls.
pub fn call_times() -> Sheet {
    Sheet {
        fields: CallTimes::COLUMNS,
        none: "no call ended",
        columns: vec![
            stacked("CALL\nQUEUE", call_and_queue),
            list("ENDED", |row: &Value| vec![moment(&row["ended_at"])]),
            number("HANDLE", |row: &Value| spent(&row["handle_ms"])),
            number("=\nTALKING", |row: &Value| spent(&row["talking_ms"])),
            number("+\nCONF.", |row: &Value| spent(&row["conference_ms"])),
            number("+\nASSIST", |row: &Value| spent(&row["wrap_up_assist_ms"])),
            number("of it\nHELD", |row: &Value| spent(&row["customer_held_ms"])),
            number("of it\nCONSULT", |row: &Value| spent(&row["consult_ms"])),
        ],
    }
}

/// `handle-times` of agents in single calls.
pub fn agent_times() -> Sheet {
    Sheet {
        fields: AgentTimes::COLUMNS,
        none: "no call ended",
        columns: vec![
            stacked("CALL\nAGENT", |row: &Value| {
                vec![text(&row["call"]), id(&row["agent"])]
            }),
            number("HANDLE", |row: &Value| spent(&row["handle_ms"])),
            number("=\nENGAGED", |row: &Value| spent(&row["engaged_ms"])),
            number("+\nHELD", |row: &Value| spent(&row["held_ms"])),
            number("+\nWRAP-UP", |row: &Value| spent(&row["wrap_up_ms"])),
            number("\nOWED", |row: &Value| {
                let owes = row["open"].as_u64().is_some_and(|open| open > 0);
                if owes { "yes" } else { "no" }.to_owned()
            }),
            number("of it\nCONF.", |row: &Value| spent(&row["conference_ms"])),
            number("\nCONSULT", |row: &Value| spent(&row["consult_ms"])),
            number("\nASSIST", |row: &Value| spent(&row["wrap_up_assist_ms"])),
        ],
    }
}

/// `calls`.
pub fn calls() -> Sheet {
    Sheet {
        fields: ListedCall::COLUMNS,
        none: "no call fits",
        columns: vec![
            stacked("CALL\nQUEUE", call_and_queue),
            list("PHASE", |row: &Value| {
                let completed = row["completed"] == true;
                let completed = if completed { ", completed" } else { "" };
                vec![format!("{}{completed}", text(&row["phase"]))]
            }),
            column("ANSWERED", |row: &Value| moment(&row["answered_at"])),
            list("AGENTS", |row: &Value| {
                let agents: Vec<_> = each(&row["agents"]).map(id).collect();
                vec![agents.join(", ")]
            }),
            number("EVENTS", |row: &Value| text(&row["revision"])),
        ],
    }
}

/// Whether the calls behind each row of a window are listed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// They are.
    Yes,
    /// The figures alone.
    No,
}

const NO_WINDOW: &str = "no call ended";

/// `handle-times` of windows, of which people see one after the other.
pub fn windows(explain: Explain) -> Sheet {
    Sheet {
        fields: match explain {
            Explain::Yes => ExplainedRow::COLUMNS,
            Explain::No => WindowRow::COLUMNS,
        },
        none: NO_WINDOW,
        columns: metrics(),
    }
}

fn metrics() -> Vec<Column<Value>> {
    vec![
        column("METRIC", |row: &Value| text(&row["metric"])),
        number("COUNT", |row: &Value| text(&row["count"])),
        number("SUM", |row: &Value| spent(&row["sum_ms"])),
        number("MEAN", |row: &Value| spent(&row["mean_ms"])),
        number("P50", |row: &Value| spent(&row["p50_ms"])),
        number("P90", |row: &Value| spent(&row["p90_ms"])),
        number("P95", |row: &Value| spent(&row["p95_ms"])),
        number("P99", |row: &Value| spent(&row["p99_ms"])),
        number("MAX", |row: &Value| spent(&row["max_ms"])),
    ]
}

/// Windows for people: a table for each window and key, and behind it the calls it was counted from.
pub struct Windows {
    by: By,
    explain: Explain,
    printed: usize,
}

impl Windows {
    /// None printed yet.
    pub fn new(by: By, explain: Explain) -> Self {
        Self {
            by,
            explain,
            printed: 0,
        }
    }

    /// Prints the rows of one window and key.
    pub fn print(&mut self, rows: &[Value], console: &mut Console) -> anyhow::Result<()> {
        // With what explains it each ends with an empty line anyway.
        if self.printed > 0 && self.explain == Explain::No {
            console.print("\n")?;
        }
        self.printed += 1;
        console.print(&format!("{}\n", heading(&rows[0], self.by)))?;
        console.table(rows, &metrics(), NO_WINDOW)?;
        match self.explain {
            Explain::No => Ok(()),
            Explain::Yes => {
                console.print("\nbehind it:\n")?;
                behind(rows, self.by, console)?;
                console.print("\n")
            }
        }
    }

    /// Says so if there was none.
    pub fn end(&self, console: &mut Console) -> anyhow::Result<()> {
        match self.printed {
            0 => console.print(&format!("{NO_WINDOW}\n")),
            _ => Ok(()),
        }
    }
}

/// The rows of each window and key.
pub fn blocks(rows: &[Value]) -> impl Iterator<Item = &[Value]> {
    rows.chunk_by(|one, other| one["key"] == other["key"] && one["from"] == other["from"])
}

/// Which window, of whom, and how much of it is still open.
fn heading(row: &Value, by: By) -> String {
    let (from, to) = (time(&row["from"]), time(&row["to"]));
    let key = match (by, row["key"].as_str()) {
        (By::All, _) => "all calls".to_owned(),
        (By::Queue, Some(queue)) => format!("queue {}", plain(queue)),
        (By::Queue | By::Agent, None) => "no queue".to_owned(),
        (By::Agent, Some(agent)) => plain(agent),
    };
    let to = match part(&to, 11..16) {
        "00:00" => "24:00",
        to => to,
    };
    let (day, from) = (part(&from, 0..10), part(&from, 11..16));
    format!("{day} {from}-{to} UTC, {key}, {} open", text(&row["open"]))
}

fn behind(rows: &[Value], by: By, console: &mut Console) -> anyhow::Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    // What adds to any metric adds to the one that most was counted for.
    let most = rows
        .iter()
        .max_by_key(|row| number(&row["count"]) + number(&row["open"]));
    let calls = each(&most.unwrap_or(&rows[0])["calls"]);
    let sheet = match by {
        By::Agent => agent_times(),
        By::All | By::Queue => call_times(),
    };
    console.table(calls, &sheet.columns, "no call")
}

/// A row as everybody reads it.
pub fn value(row: &impl Serialize) -> Value {
    serde_json::to_value(row).expect("what we print is JSON")
}

/// Most rows have two lines anyway, and a table that is no wider than a terminal is easier to read.
fn call_and_queue(row: &Value) -> Vec<String> {
    vec![text(&row["call"]), text(&row["queue"])]
}

fn party(as_of: Timestamp, row: &Value, seat: &Value) -> String {
    let party = &seat["party"];
    let primary = if party.is_string() && *party == row["primary"] {
        ", primary"
    } else {
        ""
    };
    let held = match seat["held_by"].as_str() {
        Some(_) => format!(
            ", held by {} {}",
            id(&seat["held_by"]),
            age(as_of, &seat["held_since"])
        ),
        None => String::new(),
    };
    format!("{}{primary}{held}", text(party))
}

fn consult(consult: &Value) -> String {
    format!(
        "consult: {} with {}, {}",
        id(&consult["by"]),
        text(&consult["target"]),
        text(&consult["state"])
    )
}

fn supervisor(as_of: Timestamp, session: &Value) -> String {
    format!(
        "{} through {}, {} {}",
        text(&session["supervisor"]),
        id(&session["agent"]),
        text(&session["mode"]),
        age(as_of, &session["since"])
    )
}

fn session(as_of: Timestamp, session: &Value) -> String {
    format!(
        "{} through {}, {} {}; may barge in: {}",
        id(&session["supervisor"]),
        id(&session["agent"]),
        text(&session["mode"]),
        age(as_of, &session["since"]),
        may(&session["may_barge_in"], &session["rule"])
    )
}

fn may(may: &Value, rule: &Value) -> String {
    match rule.as_str() {
        _ if *may == true => "yes".to_owned(),
        Some(rule) => format!("no ({rule})"),
        None => "no".to_owned(),
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A value as it stands; a dash for none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An agent or a supervisor where the column says what they are.
fn id(value: &Value) -> String {
    let text = text(value);
    match text.split_once(':') {
        Some(("agent" | "supervisor", id)) => id.to_owned(),
        _ => text,
    }
}

/// A time as tables tell it: month, day and second, in UTC.
fn moment(value: &Value) -> String {
    part(&time(value), 5..19).replace('T', " ")
}

/// A time in the one form we write; empty if it is none.
fn time(value: &Value) -> String {
    parsed(value).map_or(String::new(), |time| time.to_string())
}

fn parsed(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn part(text: &str, place: std::ops::Range<usize>) -> &str {
    text.get(place).unwrap_or("-")
}

/// How long ago, as of the listing.
fn age(as_of: Timestamp, since: &Value) -> String {
    parsed(since).map_or("-".to_owned(), |since| units(as_of.millis_since(since)))
}

/// A duration for people; a dash for none.
fn spent(ms: &Value) -> String {
    ms.as_u64().map_or("-".to_owned(), units)
}

/// The two units that matter.
fn units(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}
