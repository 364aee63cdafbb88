//! Adding up what was asked for.

use super::ended::{EndedCall, Quarter};
use super::parts::{AgentParts, CallParts};
use super::rows::WindowRow;
use super::summary::{self, Summary};
use super::window::{By, Key, TimesFilter, Window};
use domain::{Queue, Timestamp};
use std::collections::BTreeMap;

/// What ended in each window, by key.
pub(super) struct Tally {
    window: Window,
    by: By,
    cells: BTreeMap<(Timestamp, Key), Cell>,
}

/// One key in one window.
struct Cell {
    summaries: Vec<Summary>,
    open: u64,
}

impl Tally {
    pub(super) fn new(window: Window, by: By) -> Self {
        Self {
            window,
            by,
            cells: BTreeMap::new(),
        }
    }

    /// Adds the calls that were completed of those that ended in 15 minutes, from what is kept in place of them.
    pub(super) fn merge(&mut self, start: Timestamp, quarter: &Quarter, filter: &TimesFilter) {
        for (queue, summaries) in &quarter.queues {
            if filter.has_queue(queue.as_ref()) {
                let cell = self.cell((start, self.key_of_call(queue.as_ref())));
                summary::merge(&mut cell.summaries, summaries);
            }
        }
    }

    /// Adds calls one by one.
    pub(super) fn count_all<'a>(
        &mut self,
        ended: impl Iterator<Item = EndedCall<'a>>,
        filter: &TimesFilter,
    ) {
        for ended in ended {
            match self.by {
                By::Queue | By::All => self.count_call(ended),
                By::Agent => self.count_agents(ended, filter),
            }
        }
    }

    fn count_call(&mut self, ended: EndedCall<'_>) {
        let cell = self.cell((ended.ended_at, self.key_of_call(ended.queue)));
        summary::add(&mut cell.summaries, &ended.parts.call.metrics());
    }

    /// An agent's part counts only once it is whole.
    fn count_agents(&mut self, ended: EndedCall<'_>, filter: &TimesFilter) {
        for parts in ended.agents(filter) {
            let cell = self.cell((ended.ended_at, Key::Agent(parts.agent.clone())));
            if ended.owes(&parts.agent) {
                cell.open += 1;
            } else {
                summary::add(&mut cell.summaries, &parts.metrics());
            }
        }
    }

    /// By time, then key, then metric. What nothing is or will be counted for has no row.
    pub(super) fn rows(self) -> Vec<WindowRow> {
        let (window, metrics) = (self.window, self.metrics());
        let mut rows = Vec::with_capacity(self.cells.len() * metrics.len());
        for ((from, key), Cell { summaries, open }) in self.cells {
            let summaries = metrics.iter().zip(&summaries);
            let counted = summaries.filter(|(_, summary)| summary.count() + open > 0);
            rows.extend(counted.map(|(metric, summary)| {
                WindowRow::new(key.clone(), (window, from), metric, summary, open)
            }));
        }
        rows
    }

    fn metrics(&self) -> &'static [&'static str] {
        match self.by {
            By::Queue | By::All => &CallParts::METRICS,
            By::Agent => &AgentParts::METRICS,
        }
    }

    fn key_of_call(&self, queue: Option<&Queue>) -> Key {
        match self.by {
            By::All => Key::All,
            By::Queue | By::Agent => Key::Queue(queue.cloned()),
        }
    }

    /// The cell of that key in the window which has that time in it.
    fn cell(&mut self, (at, key): (Timestamp, Key)) -> &mut Cell {
        let metrics = self.metrics().len();
        let place = (self.window.start(at), key);
        self.cells.entry(place).or_insert_with(|| Cell {
            summaries: vec![Summary::default(); metrics],
            open: 0,
        })
    }
}
