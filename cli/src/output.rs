//! Printing: tables for people, JSON, NDJSON and CSV for programs.

use crate::args::Output;
use anyhow::Context;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use projections::Listing;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

/// Where the program prints, and how.
pub struct Console {
    out: BufWriter<Stdout>,
    output: Output,
}

/// The lines of a cell.
type Lines = Vec<String>;

/// One column of a table for people: its heading, and what stands under it.
pub struct Column<R> {
    heading: &'static str,
    kind: Kind,
    /// The lines of a row's cell; none for nothing.
    cell: Box<dyn Fn(&R) -> Lines>,
}

/// How rows of a kind are printed.
pub struct Sheet {
    /// The fields of a row, in the order of CSV.
    pub fields: &'static [&'static str],
    /// What people see of it.
    pub columns: Vec<Column<Value>>,
    /// What they are told when there is no row.
    pub none: &'static str,
}

/// How a column takes part in the width of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Identifiers, names and times: never broken, whatever the width.
    Text,
    /// Figures: never broken, and to the right.
    Number,
    /// Lists of what may be long: broken between words, and left away if nobody has any.
    List,
}

/// A column whose cells hold one value each.
pub fn column<R>(heading: &'static str, cell: impl Fn(&R) -> String + 'static) -> Column<R> {
    stacked(heading, move |row| vec![cell(row)])
}

/// A column whose cells hold a few short values, one under the other.
pub fn stacked<R>(heading: &'static str, cell: impl Fn(&R) -> Lines + 'static) -> Column<R> {
    Column {
        heading,
        kind: Kind::Text,
        cell: Box::new(cell),
    }
}

/// A column of figures.
pub fn number<R>(heading: &'static str, cell: impl Fn(&R) -> String + 'static) -> Column<R> {
    Column {
        kind: Kind::Number,
        ..column(heading, cell)
    }
}

/// A column of lists, which takes what width is left.
pub fn list<R>(heading: &'static str, cell: impl Fn(&R) -> Lines + 'static) -> Column<R> {
    Column {
        kind: Kind::List,
        ..stacked(heading, cell)
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
        sheet: &Sheet,
    ) -> anyhow::Result<()> {
        match self.output {
            Output::Table => {
                let rows = values(&listing.rows)?;
                self.table(&rows, &sheet.columns, sheet.none)
            }
            Output::Json => self.json(listing),
            Output::Ndjson => {
                let mut rows = listing.rows.iter();
                rows.try_for_each(|row| self.json(row))
            }
            Output::Csv => self.print(&server::read_models::csv_of(sheet.fields, &listing.rows)),
        }
    }

    /// Prints rows for people.
    pub fn table<'r, R: 'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r R>,
        columns: &[Column<R>],
        none: &str,
    ) -> anyhow::Result<()> {
        let cells = |row| columns.iter().map(|column| (column.cell)(row)).collect();
        let rows: Vec<Vec<Lines>> = rows.into_iter().map(cells).collect();
        if rows.is_empty() {
            return self.print(&format!("{none}\n"));
        }
        self.print(&drawn(&rows, columns, None))
    }

    /// One value on one line, never whole in memory: what explains a day's figures is long.
    fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        written(serde_json::to_writer(&mut self.out, value).map_err(io::Error::from))?;
        self.print("\n")
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

/// Within that width, if it can be without breaking a word; a terminal tells its own.
fn drawn<R>(rows: &[Vec<Lines>], columns: &[Column<R>], width: Option<u16>) -> String {
    let said = |index: usize| rows.iter().any(|cells| !cells[index].is_empty());
    let shown: Vec<_> = columns
        .iter()
        .enumerate()
        .filter(|(index, column)| column.kind != Kind::List || said(*index))
        .collect();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(shown.iter().map(|(_, column)| column.heading));
    if let Some(width) = width {
        table.set_width(width);
    }
    for cells in rows {
        table.add_row(shown.iter().map(|(index, _)| text(&cells[*index])));
    }
    for (place, (index, column)) in shown.iter().enumerate() {
        let gap = if place + 1 < shown.len() { GAP } else { 0 };
        let cells = rows.iter().map(|cells| &cells[*index]);
        let drawn = table.column_mut(place).expect("each heading has a column");
        drawn.set_padding((0, gap));
        drawn.set_constraint(column.constraint(cells, gap));
        if column.kind == Kind::Number {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    format!("{}\n", lines.collect::<Vec<_>>().join("\n"))
}

impl<R> Column<R> {
    fn constraint<'c>(&self, cells: impl Iterator<Item = &'c Lines>, gap: u16) -> ColumnConstraint {
        if self.kind != Kind::List {
            return ColumnConstraint::ContentWidth;
        }
        let words = self
            .heading
            .split(' ')
            .chain(cells.flatten().flat_map(|line| line.split(' ')));
        let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
        let least = u16::try_from(longest.min(LONGEST_WORD)).unwrap_or(u16::MAX);
        ColumnConstraint::LowerBoundary(Width::Fixed(least + gap))
    }
}

/// How far columns stand apart.
const GAP: u16 = 2;

/// Longer words in a list are broken: no party is written longer, only texts without spaces are.
const LONGEST_WORD: usize = 72;

/// The lines of a cell; only what stands between them breaks them.
fn text(lines: &[String]) -> String {
    if lines.is_empty() {
        return "-".to_owned();
    }
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).collect();
    lines.join("\n")
}

/// A text as it stands, but nothing in it can steer a terminal, begin a line or turn the direction of writing.
pub fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || steers_writing(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// The marks, embeddings, overrides and isolates of bidirectional text, and what separates its lines and paragraphs.
fn steers_writing(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn values<R: Serialize>(rows: &[R]) -> anyhow::Result<Vec<Value>> {
    let values = rows.iter().map(serde_json::to_value);
    values.collect::<Result<_, _>>().context("a row is no JSON")
}

#[cfg(test)]
mod tests {
    use super::{column, drawn, list, number, plain};

    #[test]
    fn nothing_in_a_text_steers_the_terminal() {
        assert_eq!(plain("Grüße 日本語"), "Grüße 日本語");
        assert_eq!(plain("a\nb\u{1b}[31mc"), "a\u{fffd}b\u{fffd}[31mc");
        for c in [
            '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
        ] {
            assert_eq!(plain(&c.to_string()), "\u{fffd}");
        }
    }

    #[test]
    fn only_lists_are_broken_and_those_between_words() {
        let columns = [
            column("CALL", |(): &()| String::new()),
            number("HANDLE", |(): &()| String::new()),
            list("PARTIES", |(): &()| Vec::new()),
            list("NOBODY", |(): &()| Vec::new()),
        ];
        let line = |text: &str| vec![text.to_owned()];
        let parties = vec!["customer, held by ana".to_owned(), "agent:ana".to_owned()];
        let rows = [
            vec![line("sim-19-000312"), line("9.8s"), parties, Vec::new()],
            vec![line("c2"), line("13m50s"), Vec::new(), Vec::new()],
        ];
        assert_eq!(
            drawn(&rows, &columns, Some(10)),
            "\
CALL           HANDLE  PARTIES
sim-19-000312    9.8s  customer,
                       held by
                       ana
                       agent:ana
c2             13m50s  -
"
        );
        let wide = drawn(&rows, &columns, Some(80));
        assert!(wide.contains("9.8s  customer, held by ana\n"), "{wide}");
    }
}
