//! What people see of rows: the columns of a table, drawn from the JSON of its rows, so that rows of a service look like
//! those of a store at hand.

use domain::Timestamp;
use serde_json::Value;

/// How rows of one kind look in a table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The columns, from left to right.
    pub columns: &'static [Column],
    /// What stands in place of a table without rows.
    pub none: &'static str,
}

/// One column: its heading, and what stands under it.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The heading; it may have several lines.
    pub heading: &'static str,
    /// What its cells hold.
    pub kind: ColumnKind,
    /// The lines of a cell, of a row as of that time.
    pub lines: fn(&Value, Timestamp) -> Vec<String>,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Identifiers, names and times.
    Text,
    /// Figures.
    Number,
    /// Lists of what may be long.
    List,
}

impl Column {
    pub(crate) const fn text(
        heading: &'static str,
        lines: fn(&Value, Timestamp) -> Vec<String>,
    ) -> Self {
        let kind = ColumnKind::Text;
        Self {
            heading,
            kind,
            lines,
        }
    }

    pub(crate) const fn number(
        heading: &'static str,
        lines: fn(&Value, Timestamp) -> Vec<String>,
    ) -> Self {
        let kind = ColumnKind::Number;
        Self {
            heading,
            kind,
            lines,
        }
    }

    pub(crate) const fn list(
        heading: &'static str,
        lines: fn(&Value, Timestamp) -> Vec<String>,
    ) -> Self {
        let kind = ColumnKind::List;
        Self {
            heading,
            kind,
            lines,
        }
    }
}

/// A call with its queue below it: most rows have two lines anyway, and a table that is no wider than a terminal is
/// easier to read.
pub(crate) const CALL_AND_QUEUE: Column = Column::text("CALL\nQUEUE", |row, _| {
    vec![text(&row["call"]), text(&row["queue"])]
});

/// A column of durations, in the field of that name.
macro_rules! durations {
    ($heading:literal, $field:literal) => {
        $crate::table::Column::number($heading, |row, _| {
            vec![$crate::table::duration(&row[$field])]
        })
    };
}
pub(crate) use durations;

/// The items of a list.
pub(crate) fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A value as it stands; a dash for null.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The id of an agent or a supervisor, where the column says which of them it is.
pub(crate) fn id(value: &Value) -> String {
    let text = text(value);
    match text.split_once(':') {
        Some(("agent" | "supervisor", id)) => id.to_owned(),
        _ => text,
    }
}

/// A supervisor's session, and for how long it has had its mode.
pub(crate) fn session(supervisor: &str, session: &Value, as_of: Timestamp) -> String {
    format!(
        "{supervisor} through {}, {} {}",
        id(&session["agent"]),
        text(&session["mode"]),
        age(as_of, &session["since"])
    )
}

/// A time in tables: month, day and second, in UTC.
pub(crate) fn moment(value: &Value) -> String {
    time(value).get(5..19).unwrap_or("-").replace('T', " ")
}

/// A time in full; empty if it is not a time.
pub fn time(value: &Value) -> String {
    parsed(value).map_or(String::new(), |time| time.to_string())
}

/// How long ago a time was.
pub(crate) fn age(as_of: Timestamp, since: &Value) -> String {
    parsed(since).map_or("-".to_owned(), |since| units(as_of.millis_since(since)))
}

/// A duration for people; a dash for null.
pub(crate) fn duration(ms: &Value) -> String {
    ms.as_u64().map_or("-".to_owned(), units)
}

fn parsed(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
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
