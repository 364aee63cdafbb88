//! `kaigi store damaged`: every damaged event of a store, with its call.

use crate::exit::Exit;
use crate::facts::damaged_calls;
use crate::output::{Console, Output, json_line, plain};
use crate::progress;
use crate::store::StoreUrl;
use copies::{DamagedCalls, Fault};
use domain::EventStore;
use serde_json::{Value, json};

const FIELDS: [&str; 5] = ["call", "stream", "number", "position", "reason"];

/// Lists the faults while the store is read, so that memory is needed for damaged calls only.
pub async fn damaged(
    url: &StoreUrl,
    store: &dyn EventStore,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let mut listing = Listing::begin(url, console)?;
    let mut progress = progress::dumping();
    let report = &mut |step| progress.step(step);
    let survey = copies::survey(store, report, &mut |fault| listing.add(fault)).await;
    progress.done();
    let damaged = survey?.damaged;
    listing.end(&damaged)?;
    if damaged.is_empty() {
        return Ok(Exit::Done);
    }
    eprintln!("kaigi: {}", url.when_damaged());
    Ok(Exit::Altered)
}

/// A listing on its way. The first error that printing meets is kept until the end.
struct Listing<'c> {
    console: &'c mut Console,
    rows: u64,
    printed: anyhow::Result<()>,
}

impl<'c> Listing<'c> {
    fn begin(url: &StoreUrl, console: &'c mut Console) -> anyhow::Result<Self> {
        match console.output() {
            Output::Json => {
                let store = Value::from(url.to_string());
                console.print(&format!("{{\"store\":{store},\"damaged\":["))?;
            }
            Output::Csv => console.print(&csv(&FIELDS.map(Value::from)))?,
            Output::Table | Output::Ndjson => {}
        }
        let printed = Ok(());
        Ok(Self {
            console,
            rows: 0,
            printed,
        })
    }

    fn add(&mut self, fault: &Fault) {
        if self.printed.is_ok() {
            let text = self.row(fault);
            self.printed = self.console.print(&text);
        }
        self.rows += 1;
    }

    fn row(&self, fault: &Fault) -> String {
        let row = row(fault);
        match self.console.output() {
            Output::Table if self.rows == 0 => line(&HEADINGS.map(Value::from)) + &line(&row),
            Output::Table => line(&row),
            Output::Json => {
                let comma = if self.rows == 0 { "" } else { "," };
                format!("{comma}{}", object(row))
            }
            Output::Ndjson => json_line(&object(row)),
            Output::Csv => csv(&row),
        }
    }

    fn end(self, damaged: &DamagedCalls) -> anyhow::Result<()> {
        self.printed?;
        let (calls, unknown, events) = (damaged.calls(), damaged.unknown(), self.rows);
        let console = self.console;
        match console.output() {
            Output::Table => console.print(&format!("{}\n", summary(damaged)))?,
            Output::Json => console.print(&format!(
                "],\"calls\":{calls},\"rows\":{events},\"without_call\":{unknown}}}\n"
            ))?,
            Output::Ndjson | Output::Csv => eprintln!("kaigi: {}", summary(damaged)),
        }
        console.flush()
    }
}

fn summary(damaged: &DamagedCalls) -> String {
    match (damaged.calls(), damaged.unknown()) {
        (0, 0) => "nothing is damaged".to_owned(),
        (known, 0) => damaged_calls(known),
        (known, unknown) => format!(
            "{}, and {unknown} damaged events whose call cannot be told",
            damaged_calls(known)
        ),
    }
}

const HEADINGS: [&str; 5] = ["CALL", "STREAM", "NUMBER", "POSITION", "REASON"];

/// How wide the columns before the last are at least; rows are printed before the longest one is known.
const WIDTHS: [usize; 4] = [20, 24, 8, 10];

fn row(fault: &Fault) -> [Value; 5] {
    let (stream, number) = match fault {
        Fault::Event(event) => (json!(event.stream), json!(event.number)),
        Fault::History { .. } => (Value::Null, Value::Null),
    };
    let call = fault.call().map(domain::CallId::as_str);
    let position = json!(fault.position().0);
    [json!(call), stream, number, position, json!(fault.reason())]
}

fn object(row: [Value; 5]) -> Value {
    let fields = FIELDS.map(str::to_owned).into_iter().zip(row);
    Value::Object(fields.collect())
}

fn csv(row: &[Value; 5]) -> String {
    let cells = row.iter().map(|cell| quoted(&shown(cell)));
    format!("{}\n", cells.collect::<Vec<_>>().join(","))
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

fn line(row: &[Value; 5]) -> String {
    let [before @ .., reason] = row;
    let cells = before.iter().zip(WIDTHS).map(|(cell, width)| {
        let cell = if cell.is_null() {
            "-".to_owned()
        } else {
            plain(&shown(cell))
        };
        format!("{cell:<width$}  ")
    });
    format!("{}{}\n", cells.collect::<String>(), plain(&shown(reason)))
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
