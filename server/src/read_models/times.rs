//! Snapshots of `handle-times`, gone through a few rows at a time.

use super::page::{Batch, Paging, Place};
use domain::Timestamp;
use projections::{HandleTimes, ReadModel, Row, TimesFilter, Window};
use std::borrow::Cow;

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
