//! Rows as they are sent, batch after batch.

use super::csv;
use super::format::Format;
use super::page::{Batch, Paging, Place};
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Prefix, Timestamp};
use projections::{HandleTimes, ReadModel, Row, TimesFilter, Window};
use serde::Serialize;
use std::borrow::Cow;

/// Rows in one of the forms of a list. What was rendered so far can be taken at any time.
pub(crate) struct Rendering {
    format: Format,
    bytes: Vec<u8>,
    /// Whether the next row of JSON is the first.
    is_first: bool,
}

/// What stands before the rows in JSON.
#[derive(Serialize)]
struct About {
    as_of: Text<Timestamp>,
    position: u64,
    count: u64,
    proof: Text<Hash>,
}

impl Rendering {
    /// With what stands before the rows.
    pub(crate) fn begin<R: Row>(format: Format, as_of: Timestamp, events: Prefix) -> Self {
        let mut bytes = Vec::new();
        match format {
            Format::Json => {
                let about = About {
                    as_of: Text(as_of),
                    position: events.position.0,
                    count: events.count,
                    proof: Text(events.rolling_hash),
                };
                bytes = serde_json::to_vec(&about).expect("it is JSON");
                bytes.pop();
                bytes.extend_from_slice(b",\"rows\":[");
            }
            Format::Ndjson => {}
            Format::Csv => csv::head(&mut bytes, R::COLUMNS),
        }
        Self {
            format,
            bytes,
            is_first: true,
        }
    }

    /// Further rows.
    pub(crate) fn rows<R: Row>(&mut self, rows: &[R]) {
        if self.format == Format::Csv {
            return csv::records(&mut self.bytes, R::COLUMNS, rows);
        }
        for row in rows {
            self.separate();
            serde_json::to_writer(&mut self.bytes, row).expect("a buffer takes a row");
            self.end_line();
        }
    }

    pub(super) fn separate(&mut self) {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.format == Format::Json && !is_first {
            self.bytes.push(b',');
        }
    }

    pub(super) fn end_line(&mut self) {
        if self.format != Format::Json {
            self.bytes.push(b'\n');
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What stands after the rows.
    pub(crate) fn end(&mut self, next: Option<&str>) {
        if self.format == Format::Json {
            let next = serde_json::to_string(&next).expect("a text is JSON");
            let end = format!("],\"next\":{next}}}\n");
            self.bytes.extend_from_slice(end.as_bytes());
        }
    }

    /// What was rendered since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// A snapshot of `handle-times`, gone through window by window: no more than the rows of one are made at once.
pub(super) struct Times {
    pub(super) model: ReadModel<HandleTimes>,
    pub(super) filter: TimesFilter,
    /// In which windows rows are made.
    pub(super) window: Window,
    /// When these begin, ascending.
    starts: Vec<Timestamp>,
}

impl Times {
    pub(super) fn new(model: ReadModel<HandleTimes>, filter: TimesFilter, window: Window) -> Self {
        Self {
            starts: model.starts(window),
            model,
            filter,
            window,
        }
    }

    /// At most `max` rows after that place; `rows` makes those of one window.
    pub(super) fn batch<R: Row>(
        &self,
        paging: &Paging,
        after: Option<&Place>,
        max: usize,
        rows: impl Fn(&TimesFilter) -> Vec<R>,
    ) -> Batch<R> {
        let of = |start: &Timestamp| rows(&self.filter.within(self.window, *start));
        if !paging.is_usual_order::<R>() {
            return paging.cut(self.starts.iter().flat_map(of), after, max);
        }
        let mut batch = Batch {
            rows: Vec::new(),
            last: None,
            more: false,
        };
        for start in self.starts_from(paging, after).iter() {
            // Once there are enough rows, the next window that has one says that there are more.
            let next = paging.cut(of(start), after, max - batch.rows.len());
            batch.rows.extend(next.rows);
            batch.last = next.last.or(batch.last);
            batch.more = next.more;
            if batch.more {
                break;
            }
        }
        batch
    }

    /// The windows that have rows after that place, in the order of the rows.
    fn starts_from(&self, paging: &Paging, after: Option<&Place>) -> Cow<'_, [Timestamp]> {
        let millis = after.and_then(Place::millis);
        let at = millis.and_then(|millis| Timestamp::from_millis(millis).ok());
        let reached = at.map(|at| self.window.start(at));
        if paging.is_descending() {
            let end = reached.map_or(self.starts.len(), |reached| {
                self.starts.partition_point(|start| *start <= reached)
            });
            Cow::Owned(self.starts[..end].iter().rev().copied().collect())
        } else {
            let begin = reached.map_or(0, |reached| {
                self.starts.partition_point(|start| *start < reached)
            });
            Cow::Borrowed(&self.starts[begin..])
        }
    }
}
