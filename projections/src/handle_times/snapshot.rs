//! Snapshots of `handle-times`: they answer every question as the read model did when they were taken.

use super::parts::Parts;
use super::times::HandleTimes;
use super::window::{TimesFilter, Window};
use crate::read_model::{ByCall, Holds, Kept, ReadModel};
use domain::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

impl<P: Holds<HandleTimes>> ReadModel<P> {
    /// The calls that ended within the filter's times, or within the windows that these touch. Completed calls are
    /// shared with the read model, so a snapshot takes little memory; the few others are copied.
    pub fn snapshot(&self, filter: &TimesFilter, window: Option<Window>) -> ReadModel<HandleTimes> {
        let span = span(filter, window);
        let quarters = self.quarters(span.clone());
        let quarters: BTreeMap<_, _> = quarters
            .map(|(start, quarter)| (*start, Arc::clone(quarter)))
            .collect();
        let ended = self.kept().filter(|(_, kept)| {
            let ended_at = kept.call.ended_at();
            ended_at.is_some_and(|at| span.contains(&at.as_millis()))
        });
        let calls: ByCall<Kept<Parts>> = ended
            .map(|(id, kept)| {
                let call = kept.call.clone();
                let of_call = P::of_call(&kept.of_call).clone();
                (id.clone(), Kept { call, of_call })
            })
            .collect();
        ReadModel::of(calls, HandleTimes(quarters))
    }

    /// When the windows begin in which calls ended, ascending.
    pub fn starts(&self, window: Window) -> Vec<Timestamp> {
        let HandleTimes(quarters) = self.own().held();
        let completed = quarters.keys().copied();
        let others = self.kept().filter_map(|(_, kept)| kept.call.ended_at());
        let starts: BTreeSet<_> = completed.chain(others).map(|at| window.start(at)).collect();
        starts.into_iter().collect()
    }
}

impl TimesFilter {
    /// The same calls, but only those that ended in the window that begins then.
    #[must_use]
    pub fn within(&self, window: Window, start: Timestamp) -> Self {
        let end = start.plus_millis(window.ms());
        Self {
            from: Some(self.from.map_or(start, |from| from.max(start))),
            to: Some(self.to.map_or(end, |to| to.min(end))),
            ..self.clone()
        }
    }
}

fn span(filter: &TimesFilter, window: Option<Window>) -> Range<u64> {
    window.map_or_else(|| filter.span(), |window| filter.whole_windows(window))
}
