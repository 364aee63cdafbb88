//! What the rows of windows were counted from.

use super::rows::{AgentTimes, CallTimes, WindowRow};
use super::window::{By, Key, Window};
use crate::row::{Cell, Row, RowKey};
use crate::shape::{Shape, Shaped};
use domain::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Calls, or agents' parts in calls, by the window and key they were counted in: gone through once for all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'a>(Counted<'a>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Counted<'a> {
    Calls(ByWindow<CallTimes<'a>>),
    Agents(ByWindow<AgentTimes<'a>>),
}

type ByWindow<R> = BTreeMap<(Timestamp, Key), Vec<R>>;

/// What one row was counted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Behind<'e, 'a> {
    /// Of a queue or of all.
    Calls(&'e [CallTimes<'a>]),
    /// Of an agent; who was only consulted has no part but that.
    Agents(Vec<&'e AgentTimes<'a>>),
}

/// A row of a window and what was counted in it.
#[derive(Debug, Serialize)]
pub struct ExplainedRow<'e, 'a> {
    /// The row.
    #[serde(flatten)]
    pub row: &'e WindowRow,
    /// What it was counted from.
    pub calls: Behind<'e, 'a>,
}

impl Shaped for ExplainedRow<'_, '_> {
    const SHAPE: &'static Shape = WindowRow::SHAPE;
}

impl Row for ExplainedRow<'_, '_> {
    const COLUMNS: &'static [&'static str] = &[
        "key", "from", "to", "metric", "count", "sum_ms", "mean_ms", "p50_ms", "p90_ms", "p95_ms",
        "p99_ms", "max_ms", "open", "calls",
    ];
    const LIST: &'static str = WindowRow::LIST;
    const SORTS: &'static [&'static str] = WindowRow::SORTS;

    fn cell(&self, column: &str) -> Cell {
        self.row.cell(column)
    }

    fn key(&self) -> RowKey {
        Row::key(self.row)
    }
}

impl<'a> Explained<'a> {
    pub(super) fn calls(window: Window, by: By, rows: Vec<CallTimes<'a>>) -> Self {
        let calls = grouped(rows, |row| {
            let key = match by {
                By::All => Key::All,
                By::Queue | By::Agent => Key::Queue(row.queue.map(|queue| queue.0.clone())),
            };
            (window.start(row.ended_at.0), key)
        });
        Self(Counted::Calls(calls))
    }

    pub(super) fn agents(window: Window, rows: Vec<AgentTimes<'a>>) -> Self {
        let agents = grouped(rows, |row| {
            let key = Key::Agent(row.agent.0.clone());
            (window.start(row.ended_at.0), key)
        });
        Self(Counted::Agents(agents))
    }

    /// What a row of those windows was counted from.
    pub fn behind(&self, row: &WindowRow) -> Behind<'_, 'a> {
        let place = (row.from.0, row.key.clone());
        match &self.0 {
            Counted::Calls(calls) => Behind::Calls(calls.get(&place).map_or(&[], Vec::as_slice)),
            Counted::Agents(agents) => {
                let agents = agents.get(&place).into_iter().flatten();
                Behind::Agents(agents.filter(|part| part.has(row.metric)).collect())
            }
        }
    }
}

fn grouped<R>(rows: Vec<R>, place: impl Fn(&R) -> (Timestamp, Key)) -> ByWindow<R> {
    let mut grouped = ByWindow::new();
    for row in rows {
        grouped
            .entry(place(&row))
            .or_insert_with(Vec::new)
            .push(row);
    }
    grouped
}
