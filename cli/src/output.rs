//! Printing: tables for people, JSON, NDJSON and CSV for programs.

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use domain::Timestamp;
use projections::table::ColumnKind;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values; lists in a cell are JSON.
    Csv,
}

/// Where the program prints, and how.
pub struct Console {
    out: BufWriter<Stdout>,
    output: Output,
    /// What is printed while a screenful is drawn.
    screenful: Option<String>,
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

/// The columns of a table of rows as they were at that time.
pub fn shown(table: &projections::table::Table, as_of: Timestamp) -> Vec<Column<Value>> {
    let columns = table.columns.iter();
    columns.map(|column| of_declared(*column, as_of)).collect()
}

fn of_declared(column: projections::table::Column, as_of: Timestamp) -> Column<Value> {
    let kind = match column.kind {
        ColumnKind::Text => Kind::Text,
        ColumnKind::Number => Kind::Number,
        ColumnKind::List => Kind::List,
    };
    Column {
        heading: column.heading,
        kind,
        cell: Box::new(move |row| (column.lines)(row, as_of)),
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
            screenful: None,
        }
    }

    /// How rows are printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Prints a text as it is.
    pub fn print(&mut self, text: &str) -> anyhow::Result<()> {
        match &mut self.screenful {
            Some(screenful) => {
                screenful.push_str(text);
                Ok(())
            }
            None => written(self.out.write_all(text.as_bytes())),
        }
    }

    /// Prints a text for people; on a terminal, lines that are too long break between words.
    pub fn prose(&mut self, text: &str) -> anyhow::Result<()> {
        match terminal() {
            Some(terminal) => self.print(&wrapped(text, terminal.columns)),
            None => self.print(text),
        }
    }

    /// Begins to draw again on a terminal: what is printed from now on is held back.
    pub fn begin_screenful(&mut self) {
        self.screenful = Some(String::new());
    }

    /// Clears the terminal, then prints as many lines of what was held back as fit above the last line, unless drawing
    /// them failed.
    pub fn end_screenful(
        &mut self,
        drawn: anyhow::Result<()>,
        last_line: &str,
    ) -> anyhow::Result<()> {
        let text = self.screenful.take().unwrap_or_default();
        drawn?;
        if let Some(terminal) = terminal() {
            self.print(CLEAR)?;
            self.print(&fitting(&text, terminal.lines.saturating_sub(BELOW)))?;
        } else {
            self.print(&text)?;
        }
        self.print(&format!("\n{last_line}\n"))?;
        self.flush()
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        written(self.out.flush())
    }

    /// Where answers are written as they come.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.out
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
        self.print(&drawn(
            &rows,
            columns,
            terminal().map(|terminal| terminal.columns),
        ))
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

/// How big a terminal is.
#[derive(Debug, Clone, Copy)]
struct Terminal {
    columns: u16,
    lines: u16,
}

/// The terminal that standard output goes to, if it does.
fn terminal() -> Option<Terminal> {
    let (columns, lines) = terminal_size::terminal_size_of(io::stdout())?;
    Some(Terminal {
        columns: columns.0,
        lines: lines.0,
    })
}

/// Moves the cursor to the corner and clears the screen and what was scrolled off it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// The lines below a screenful: an empty one, the last line, and the one where the cursor stays.
const BELOW: u16 = 3;

/// As many lines of a text as that, the last of them saying how many are left out.
fn fitting(text: &str, lines: u16) -> String {
    let (room, count) = (usize::from(lines).max(2), text.lines().count());
    if count <= room {
        return text.to_owned();
    }
    let shown = text.lines().take(room - 1).collect::<Vec<_>>().join("\n");
    let left_out = count - (room - 1);
    format!("{shown}\n... {left_out} more lines: filter the rows, or make the window taller\n")
}

/// The text with its long lines broken between words. The rest of a line stands below its last column, which begins after
/// two spaces in the left half.
fn wrapped(text: &str, width: u16) -> String {
    let width = usize::from(width);
    let lines = text.lines().map(|line| wrapped_line(line, width) + "\n");
    lines.collect()
}

fn wrapped_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let half = line
        .char_indices()
        .nth(width / 2)
        .map_or(0, |(half, _)| half);
    let columns = line[..half].rfind("  ").map_or("", |gap| &line[..gap + 2]);
    let indent = columns.chars().count();
    let (mut wrapped, mut used) = (columns.to_owned(), indent);
    for (index, word) in line[columns.len()..].split(' ').enumerate() {
        let letters = word.chars().count();
        if index > 0 && used + 1 + letters > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if index > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += letters;
    }
    wrapped
}

/// A table within that width without breaking a word; where there is no room for it, a block of lines for each row.
fn drawn<R>(rows: &[Vec<Lines>], columns: &[Column<R>], width: Option<u16>) -> String {
    let said = |index: usize| rows.iter().any(|cells| !cells[index].is_empty());
    let shown: Vec<_> = columns
        .iter()
        .enumerate()
        .filter(|(index, column)| column.kind != Kind::List || said(*index))
        .collect();
    let widths = shown
        .iter()
        .map(|(index, column)| column.least_width(rows.iter().map(|cells| &cells[*index])));
    let least = widths.sum::<usize>() + usize::from(GAP) * shown.len().saturating_sub(1);
    if width.is_some_and(|width| least > usize::from(width)) {
        return blocks(rows, &shown);
    }
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

/// Each row as a block of lines, one or more for each column that is shown.
fn blocks<R>(rows: &[Vec<Lines>], shown: &[(usize, &Column<R>)]) -> String {
    let label = |column: &Column<R>| column.heading.replace('\n', " ");
    let labels = shown
        .iter()
        .map(|(_, column)| label(column).chars().count());
    let indent = labels.max().unwrap_or(0) + usize::from(GAP);
    let block = |cells: &Vec<Lines>| {
        let lines = shown.iter().map(|(index, column)| {
            let value = text(&cells[*index]).replace('\n', &format!("\n{:indent$}", ""));
            format!("{:<indent$}{value}\n", label(column))
        });
        lines.collect::<String>()
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

impl<R> Column<R> {
    fn constraint<'c>(&self, cells: impl Iterator<Item = &'c Lines>, gap: u16) -> ColumnConstraint {
        if self.kind != Kind::List {
            return ColumnConstraint::ContentWidth;
        }
        let least = u16::try_from(self.least_width(cells)).unwrap_or(u16::MAX);
        ColumnConstraint::LowerBoundary(Width::Fixed(least + gap))
    }

    /// The width that the column cannot do without: of its longest word if it is a list, otherwise of its longest line.
    fn least_width<'c>(&self, cells: impl Iterator<Item = &'c Lines>) -> usize {
        let lines = self
            .heading
            .lines()
            .chain(cells.flatten().map(String::as_str));
        let width = |text: &str| text.chars().count();
        match self.kind {
            Kind::List => {
                let words = lines.flat_map(|line| line.split(' '));
                words.map(width).max().unwrap_or(0).min(LONGEST_WORD)
            }
            Kind::Text | Kind::Number => lines.map(width).max().unwrap_or(0),
        }
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

#[cfg(test)]
mod tests {
    use super::{column, drawn, fitting, list, number, plain, wrapped};

    #[test]
    fn long_lines_of_prose_break_between_words_below_their_last_column() {
        let told = "09:00:00.000      +0:00  agent:ana\n                         agent:ana answers the customer  [R1]\n";
        assert_eq!(wrapped(told, 80), told);
        assert_eq!(
            wrapped(
                "party    agent:ana since 09:00, held by agent:ben  [R1]\n",
                26
            ),
            "\
party    agent:ana since
         09:00, held by
         agent:ben  [R1]
"
        );
        assert_eq!(
            wrapped("no-column-and-a-word-beyond-the-width it\n", 9),
            "no-column-and-a-word-beyond-the-width\nit\n"
        );
    }

    #[test]
    fn a_screenful_keeps_the_first_lines_and_counts_the_rest() {
        assert_eq!(fitting("CALL\nc1\nc2\n", 3), "CALL\nc1\nc2\n");
        assert_eq!(
            fitting("CALL\nc1\nc2\nc3\n", 3),
            "CALL\nc1\n... 2 more lines: filter the rows, or make the window taller\n"
        );
    }

    #[test]
    fn a_table_wider_than_the_terminal_becomes_a_block_for_each_row() {
        let columns = [
            column("CALL\nQUEUE", |(): &()| String::new()),
            number("HANDLE", |(): &()| String::new()),
            list("NOBODY", |(): &()| Vec::new()),
        ];
        let line = |text: &str| vec![text.to_owned()];
        let both = vec!["sim-19-000312".to_owned(), "billing".to_owned()];
        let rows = [
            vec![both, line("9.8s"), Vec::new()],
            vec![line("c2"), line("13m50s"), Vec::new()],
        ];
        assert_eq!(
            drawn(&rows, &columns, Some(20)),
            "\
CALL QUEUE  sim-19-000312
            billing
HANDLE      9.8s

CALL QUEUE  c2
HANDLE      13m50s
"
        );
        assert!(drawn(&rows, &columns, Some(21)).contains("sim-19-000312    9.8s\n"));
    }

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
            drawn(&rows, &columns, Some(32)),
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
