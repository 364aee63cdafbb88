//! Windows of time for people: a table for each window and key, and below it the calls it was counted from.

use crate::output::{Console, plain, shown};
use domain::Timestamp;
use projections::table::{Table, text, time};
use projections::{By, HandleTimes};
use serde_json::Value;

/// Whether the calls behind each row of a window are listed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// They are.
    Yes,
    /// The figures alone.
    No,
}

/// Prints windows one after the other: what explains a day's figures is long.
pub struct Windows {
    by: By,
    explain: Explain,
    as_of: Timestamp,
    /// The rows of the window and key that come now.
    rows: Vec<Value>,
    printed: usize,
}

impl Windows {
    /// None printed yet.
    pub fn new(by: By, explain: Explain, as_of: Timestamp) -> Self {
        Self {
            by,
            explain,
            as_of,
            rows: Vec::new(),
            printed: 0,
        }
    }

    /// Takes the next row, and prints those of the window and key before it.
    pub fn add(&mut self, row: Value, console: &mut Console) -> anyhow::Result<()> {
        let is_next = |last: &Value| last["key"] != row["key"] || last["from"] != row["from"];
        if self.rows.last().is_some_and(is_next) {
            self.print(console)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints what is left, or says that there was no window.
    pub fn end(mut self, console: &mut Console) -> anyhow::Result<()> {
        if !self.rows.is_empty() {
            return self.print(console);
        }
        console.print(&format!("{}\n", WINDOWS.none))
    }

    fn print(&mut self, console: &mut Console) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        // With what explains it each ends with an empty line anyway.
        if self.printed > 0 && self.explain == Explain::No {
            console.print("\n")?;
        }
        self.printed += 1;
        console.print(&format!("{}\n", heading(&rows[0], self.by)))?;
        console.table(&rows, &shown(&WINDOWS, self.as_of), WINDOWS.none)?;
        match self.explain {
            Explain::No => Ok(()),
            Explain::Yes => {
                console.print("\nbehind it:\n")?;
                self.behind(&rows, console)?;
                console.print("\n")
            }
        }
    }

    fn behind(&self, rows: &[Value], console: &mut Console) -> anyhow::Result<()> {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        // What adds to any metric adds to the one that most was counted for.
        let most = rows
            .iter()
            .max_by_key(|row| number(&row["count"]) + number(&row["open"]));
        let calls = most.unwrap_or(&rows[0])["calls"].as_array();
        let table = match self.by {
            By::Agent => &AGENTS,
            By::All | By::Queue => &CALLS,
        };
        let columns = shown(table, self.as_of);
        console.table(calls.into_iter().flatten(), &columns, "no call")
    }
}

const CALLS: Table = HandleTimes::DESCRIPTION.rows[0].table;
const AGENTS: Table = HandleTimes::DESCRIPTION.rows[1].table;
const WINDOWS: Table = HandleTimes::DESCRIPTION.rows[2].table;

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

fn part(text: &str, place: std::ops::Range<usize>) -> &str {
    text.get(place).unwrap_or("-")
}
