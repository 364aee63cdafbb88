//! Rows of windows with the calls that were counted in them.
//!
//! A page lists as many calls as its limit says. A row whose calls do not fit goes on in the next page: it is there
//! again, with further calls. Lines are whole, and are made in parts.

use super::csv;
use super::format::Format;
use super::page::{At, Paging, Place, Within};
use super::rendering::Rendering;
use super::times::Times;
use domain::{Prefix, Timestamp};
use projections::{
    AgentTimes, Behind, By, CallTimes, ExplainedRow, Followed, Key, Row, TimesFilter, Window,
    WindowRow,
};

/// What is asked, of a snapshot.
pub(super) struct Explaining {
    times: Times,
    by: By,
    /// When the quarters of an hour begin in which calls ended, ascending.
    quarters: Vec<Timestamp>,
}

/// Some of the calls that a row was counted from.
enum Calls<'a> {
    Calls(Vec<CallTimes<'a>>),
    Agents(Vec<AgentTimes<'a>>),
}

pub(super) fn begin(format: Format, as_of: Timestamp, events: Prefix) -> Rendering {
    Rendering::begin::<ExplainedRow<'_, '_>>(format, as_of, events)
}

impl Explaining {
    pub(super) fn new(times: Times, by: By) -> Self {
        Self {
            quarters: times.model.starts(Window::Quarter),
            times,
            by,
        }
    }

    /// Renders rows with at most `max` calls; a row without calls counts as one. Returns how many there were.
    pub(super) fn rows(
        &self,
        paging: &Paging,
        at: &mut At,
        max: usize,
        to: &mut Rendering,
    ) -> usize {
        let mut left = max;
        if let (Some(place), Some(_)) = (at.after.clone(), at.within.as_ref()) {
            match self.row_at(paging, &place) {
                Some(row) => left = left.saturating_sub(self.row(&row, paging, at, left, to)),
                // The row is gone if its calls are; then the next one follows.
                None => at.within = None,
            }
        }
        if at.within.is_some() {
            return max - left;
        }
        let batch = self.times.batch(paging, at.after.as_ref(), left, |filter| {
            self.times.model.windows(self.times.window, self.by, filter)
        });
        at.is_over = !batch.more;
        for (place, row) in batch.rows.iter().enumerate() {
            let is_last = place + 1 == batch.rows.len();
            left = left.saturating_sub(self.row(row, paging, at, left, to));
            if at.within.is_some() || (left == 0 && !is_last) {
                at.is_over = false;
                break;
            }
        }
        max - left
    }

    fn row_at(&self, paging: &Paging, place: &Place) -> Option<WindowRow> {
        let from = place.window_start()?;
        let filter = self.times.filter.within(self.times.window, from);
        let rows = self
            .times
            .model
            .windows(self.times.window, self.by, &filter);
        rows.into_iter().find(|row| paging.is_row_of(place, row))
    }

    /// Renders the row, or what follows of it, with at most `max` calls.
    fn row(
        &self,
        row: &WindowRow,
        paging: &Paging,
        at: &mut At,
        max: usize,
        to: &mut Rendering,
    ) -> usize {
        let (calls, last) = self.calls(row, at.within.as_ref(), max);
        // In an answer with all lines these are whole: what was begun in a piece of it goes on in the next.
        let is_part = paging.is_whole() && (at.is_begun || last.is_some());
        if is_part {
            part(to, row, &calls, (at.is_begun, last.is_none()));
        } else {
            calls.render_whole(row, to);
        }
        at.is_begun = last.is_some();
        at.after = Some(paging.place_of(row));
        at.within = last;
        calls.len().max(1)
    }

    /// At most `max` calls behind the row after that one, by when they ended; and the last of them, if more follow.
    fn calls(
        &self,
        row: &WindowRow,
        after: Option<&Within>,
        max: usize,
    ) -> (Calls<'_>, Option<Within>) {
        match self.by {
            By::All | By::Queue => {
                let calls = |filter: &TimesFilter| {
                    let mut calls = self.times.model.calls(filter);
                    calls.retain(|call| self.is_of(row, call));
                    calls
                };
                let (calls, last) = self.gather(row, after, max, calls);
                (Calls::Calls(calls), last)
            }
            By::Agent => {
                let parts = |filter: &TimesFilter| {
                    let mut parts = self.times.model.agents(filter);
                    parts.retain(|part| is_of_agent(row, part));
                    parts
                };
                let (parts, last) = self.gather(row, after, max, parts);
                (Calls::Agents(parts), last)
            }
        }
    }

    fn is_of(&self, row: &WindowRow, call: &CallTimes<'_>) -> bool {
        match (&row.key, self.by) {
            (Key::Queue(queue), By::Queue) => call.queue.map(|queue| queue.0) == queue.as_ref(),
            _ => true,
        }
    }

    fn gather<R: Followed>(
        &self,
        row: &WindowRow,
        after: Option<&Within>,
        max: usize,
        rows: impl Fn(&TimesFilter) -> Vec<R>,
    ) -> (Vec<R>, Option<Within>) {
        let mut gathered = Vec::new();
        for quarter in self.quarters_of(row, after) {
            // Windows are whole, also where the filter names times within them.
            let whole = TimesFilter {
                from: None,
                to: None,
                ..self.times.filter.clone()
            };
            let further = rows(&whole.within(Window::Quarter, *quarter));
            let is_further = |row: &R| after.is_none_or(|after| within(row) > *after);
            gathered.extend(further.into_iter().filter(is_further));
            if gathered.len() > max {
                gathered.truncate(max);
                let last = gathered.last().map(within);
                return (gathered, last);
            }
        }
        (gathered, None)
    }

    /// The quarters of an hour of the row's window in which further calls may have ended.
    fn quarters_of(&self, row: &WindowRow, after: Option<&Within>) -> &[Timestamp] {
        let reached = after.and_then(|after| Timestamp::from_millis(after.0).ok());
        let reached = reached.map_or(row.from.0, |at| Window::Quarter.start(at));
        let begin = self.quarters.partition_point(|start| *start < reached);
        let end = self.quarters.partition_point(|start| *start < row.to.0);
        &self.quarters[begin.min(end)..end]
    }
}

fn is_of_agent(row: &WindowRow, part: &AgentTimes<'_>) -> bool {
    let is_named = matches!(&row.key, Key::Agent(agent) if agent == part.agent.0);
    is_named && part.has(row.metric)
}

/// The place of a row among all that another was counted from.
fn within(row: &impl Followed) -> Within {
    let (ended_at, call, agent) = row.place();
    let agent = agent.map_or(String::new(), |agent| agent.as_str().to_owned());
    Within(ended_at.as_millis(), call.as_str().to_owned(), agent)
}

impl Calls<'_> {
    fn len(&self) -> usize {
        match self {
            Calls::Calls(calls) => calls.len(),
            Calls::Agents(parts) => parts.len(),
        }
    }

    fn render_whole(&self, row: &WindowRow, to: &mut Rendering) {
        let calls = match self {
            Calls::Calls(calls) => Behind::Calls(calls),
            Calls::Agents(parts) => Behind::Agents(parts.iter().collect()),
        };
        to.rows(&[ExplainedRow { row, calls }]);
    }

    /// As JSON, with commas between them and nothing around them.
    fn json(&self) -> String {
        let json = match self {
            Calls::Calls(calls) => serde_json::to_string(calls),
            Calls::Agents(parts) => serde_json::to_string(parts),
        };
        let json = json.expect("calls are JSON");
        json[1..json.len() - 1].to_owned()
    }
}

/// A part of a line: with its beginning unless it goes on, and with its end if it is the last.
fn part(to: &mut Rendering, row: &WindowRow, calls: &Calls<'_>, (goes_on, is_last): (bool, bool)) {
    let is_csv = to.format() == Format::Csv;
    let bytes = to.bytes();
    if !goes_on {
        begin_line(bytes, row, is_csv);
    } else if calls.len() > 0 {
        bytes.push(b',');
    }
    let calls = calls.json();
    let calls = if is_csv {
        calls.replace('"', "\"\"")
    } else {
        calls
    };
    bytes.extend_from_slice(calls.as_bytes());
    if is_last {
        bytes.extend_from_slice(if is_csv { b"]\"\n" } else { b"]}\n" });
    }
}

/// Up to the calls. A cell that holds them is always quoted.
fn begin_line(bytes: &mut Vec<u8>, row: &WindowRow, is_csv: bool) {
    if is_csv {
        csv::records(bytes, WindowRow::COLUMNS, std::slice::from_ref(row));
        bytes.pop();
        bytes.extend_from_slice(b",\"[");
    } else {
        serde_json::to_writer(&mut *bytes, row).expect("a buffer takes a row");
        bytes.pop();
        bytes.extend_from_slice(b",\"calls\":[");
    }
}
