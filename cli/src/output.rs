//! Printing: tables for people, JSON, NDJSON and CSV for programs.

use crate::args::Output;
use anyhow::{Context, bail};
use comfy_table::{ContentArrangement, Table, presets};
use projections::Listing;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

/// Where the program prints, and how.
pub struct Console {
    out: BufWriter<Stdout>,
    output: Output,
}

/// One column of a table for people: its heading, and what stands under it.
pub struct Column<R> {
    /// The heading.
    pub heading: &'static str,
    /// The cell of a row.
    pub cell: Box<dyn Fn(&R) -> String>,
}

/// A column of a table for people.
pub fn column<R>(heading: &'static str, cell: impl Fn(&R) -> String + 'static) -> Column<R> {
    Column {
        heading,
        cell: Box::new(cell),
    }
}

/// The reader of our output went away: not a failure of what was asked.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct NobodyReads;

impl Console {
    /// Prints to standard output; without a choice, tables on a terminal and JSON elsewhere.
    pub fn new(choice: Option<Output>) -> Self {
        let stdout = io::stdout();
        let fallback = if stdout.is_terminal() {
            Output::Table
        } else {
            Output::Json
        };
        Self {
            out: BufWriter::with_capacity(64 * 1024, stdout),
            output: choice.unwrap_or(fallback),
        }
    }

    /// How rows are printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Prints a text as it is.
    pub fn print(&mut self, text: &str) -> anyhow::Result<()> {
        written(self.out.write_all(text.as_bytes()))
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        written(self.out.flush())
    }

    /// Where answers are written as they come.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Prints rows the way that was chosen; people see the columns, or what is said in place of an empty table.
    pub fn listing<R: Serialize>(
        &mut self,
        listing: &Listing<R>,
        columns: &[Column<R>],
        none: &str,
    ) -> anyhow::Result<()> {
        match self.output {
            Output::Table => self.print(&table(&listing.rows, columns, none)),
            Output::Json => self.print(&json_line(listing)),
            Output::Ndjson => {
                let mut rows = listing.rows.iter();
                rows.try_for_each(|row| self.print(&json_line(row)))
            }
            Output::Csv => self.print(&csv(&listing.rows)?),
        }
    }
}

fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        other => other.context("cannot write to standard output"),
    }
}

/// One value on one line.
pub fn json_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("what we print is JSON");
    line.push('\n');
    line
}

fn table<R>(rows: &[R], columns: &[Column<R>], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns.iter().map(|column| column.heading));
    for row in rows {
        table.add_row(columns.iter().map(|column| plain(&(column.cell)(row))));
    }
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    format!("{}\n", lines.join("\n"))
}

/// A text as it stands, but nothing in it can steer a terminal.
pub fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// The columns are the names of the first row: every row of a read model has the same.
fn csv<R: Serialize>(rows: &[R]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (index, row) in rows.iter().enumerate() {
        let Value::Object(row) = serde_json::to_value(row)? else {
            bail!("a row is no object");
        };
        if index == 0 {
            writer.write_record(row.keys())?;
        }
        writer.write_record(row.values().map(cell))?;
    }
    let bytes = writer.into_inner().context("cannot write CSV")?;
    Ok(String::from_utf8(bytes).expect("texts are UTF-8"))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
