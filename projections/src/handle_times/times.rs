//! `handle-times` as a fold, and what can be asked of it.

use super::ended::{Completed, EndedCall, Quarter};
use super::explained::Explained;
use super::parts::{AgentParts, Parts};
use super::rows::{AgentTimes, CallTimes, WindowRow};
use super::shared;
use super::tally::Tally;
use super::window::{By, TimesFilter, Window};
use crate::read_model::{Holds, Projection, ReadModel};
use domain::{Call, CallId, Event, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The times of completed calls, by when each 15 minutes begin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleTimes(#[serde(with = "shared::map")] pub(super) BTreeMap<Timestamp, Arc<Quarter>>);

impl Projection for HandleTimes {
    const NAME: &'static str = "handle-times";
    const VERSION: u32 = 1;

    type OfCall = Parts;

    fn take_in(parts: &mut Parts, before: &Call, event: &Event, at: Timestamp) {
        parts.take_in(before, event, at);
    }

    /// R52: none of its figures changes any more.
    fn is_over(call: &Call) -> bool {
        call.completed_at().is_some()
    }

    fn let_go(&mut self, id: &CallId, call: &Call, parts: Parts) {
        if let Some(completed) = Completed::new(id, call, parts) {
            let quarter = Window::Quarter.start(completed.ended_at);
            let quarter = self.0.entry(quarter).or_default();
            // A snapshot that shares the quarter keeps it as it was.
            Arc::make_mut(quarter).count(Arc::new(completed));
        }
    }

    fn forget(&mut self, id: &CallId) {
        for quarter in self.0.values_mut() {
            if quarter.has(id) {
                Arc::make_mut(quarter).forget(id);
            }
        }
        self.0.retain(|_, quarter| !quarter.calls.is_empty());
    }
}

impl<P: Holds<HandleTimes>> ReadModel<P> {
    /// The calls that ended, by when, then by call.
    pub fn calls(&self, filter: &TimesFilter) -> Vec<CallTimes<'_>> {
        call_rows(self.ended(filter, filter.span()))
    }

    /// The same one by one and in no order, for a reader that needs a few of very many.
    pub fn each_call<'a, 'f>(
        &'a self,
        filter: &'f TimesFilter,
    ) -> impl Iterator<Item = CallTimes<'a>> + use<'a, 'f, P> {
        self.ended(filter, filter.span()).map(CallTimes::new)
    }

    /// The agents' parts in the calls that ended, by when, then by call, then by agent.
    pub fn agents(&self, filter: &TimesFilter) -> Vec<AgentTimes<'_>> {
        let ended = self.ended(filter, filter.span());
        agent_rows(ended, |parts| filter.has_agent(&parts.agent))
    }

    /// The same one by one and in no order, for a reader that needs a few of very many.
    pub fn each_agent<'a, 'f>(
        &'a self,
        filter: &'f TimesFilter,
    ) -> impl Iterator<Item = AgentTimes<'a>> + use<'a, 'f, P> {
        let ended = self.ended(filter, filter.span());
        ended.flat_map(move |ended| {
            let parts = ended.parts.agents.iter();
            let parts = parts.filter(|parts| filter.has_agent(&parts.agent));
            parts.map(move |parts| AgentTimes::new(ended, parts))
        })
    }

    /// The row of that call if it ended then, whether or not it is completed.
    pub fn times_of_call(&self, call: &CallId, ended_at: Timestamp) -> Option<CallTimes<'_>> {
        self.ended_call(call, ended_at).map(CallTimes::new)
    }

    /// The agents' parts in that call if it ended then, by agent.
    pub fn times_of_agents(&self, call: &CallId, ended_at: Timestamp) -> Vec<AgentTimes<'_>> {
        agent_rows(self.ended_call(call, ended_at).into_iter(), |_| true)
    }

    /// What ended in each window, by time, then key, then metric.
    pub fn windows(&self, window: Window, by: By, filter: &TimesFilter) -> Vec<WindowRow> {
        let span = filter.whole_windows(window);
        let mut tally = Tally::new(window, by);
        if by == By::Agent || filter.agent.is_some() {
            // What is kept in place of a queue's calls does not tell who was in which of them.
            tally.count_all(self.ended(filter, span), filter);
        } else {
            for (start, quarter) in self.quarters(span.clone()) {
                tally.merge(*start, quarter, filter);
            }
            let uncompleted = self.uncompleted();
            tally.count_all(
                uncompleted.filter(|ended| ended.fits(filter, &span)),
                filter,
            );
        }
        tally.rows()
    }

    /// What the rows of those windows were counted from, open ones with it.
    pub fn explain(&self, window: Window, by: By, filter: &TimesFilter) -> Explained<'_> {
        let ended = self.ended(filter, filter.whole_windows(window));
        match by {
            By::All | By::Queue => Explained::calls(window, by, call_rows(ended)),
            By::Agent => {
                let rows = agent_rows(ended, |parts| filter.has_agent(&parts.agent));
                Explained::agents(window, rows)
            }
        }
    }

    /// Every call that fits the filter and ended within the span; the filter's own times do not matter here.
    fn ended<'a, 'f>(
        &'a self,
        filter: &'f TimesFilter,
        span: Range<u64>,
    ) -> impl Iterator<Item = EndedCall<'a>> + use<'a, 'f, P> {
        let quarters = self.quarters(span.clone());
        let completed = quarters.flat_map(|(_, quarter)| &quarter.calls);
        let ended = completed.map(|completed| EndedCall::completed(completed));
        let ended = ended.chain(self.uncompleted());
        ended.filter(move |ended| ended.fits(filter, &span))
    }

    /// The quarters of an hour that have some of the span in them.
    pub(super) fn quarters(
        &self,
        span: Range<u64>,
    ) -> impl Iterator<Item = (&Timestamp, &Arc<Quarter>)> {
        let HandleTimes(quarters) = self.own().held();
        let first = Timestamp::from_millis(span.start).map(|at| Window::Quarter.start(at));
        // No call ended at a time that no timestamp can have.
        let quarters = first.map(|first| quarters.range(first..));
        let quarters = quarters.into_iter().flatten();
        quarters.take_while(move |(start, _)| start.as_millis() < span.end)
    }

    /// The caller must know when the call ended: all calls that ever ended are too many to search.
    fn ended_call(&self, call: &CallId, ended_at: Timestamp) -> Option<EndedCall<'_>> {
        if let Some((id, kept)) = self.kept_of(call) {
            return EndedCall::uncompleted(id, &kept.call, P::of_call(&kept.of_call));
        }
        let HandleTimes(quarters) = self.own().held();
        let quarter = quarters.get(&Window::Quarter.start(ended_at))?;
        let mut latest_first = quarter.calls.iter().rev();
        let completed = latest_first.find(|completed| completed.call == *call)?;
        Some(EndedCall::completed(completed))
    }

    /// The calls that have ended and are not completed.
    fn uncompleted(&self) -> impl Iterator<Item = EndedCall<'_>> {
        let kept = self.kept();
        kept.filter_map(|(id, kept)| {
            EndedCall::uncompleted(id, &kept.call, P::of_call(&kept.of_call))
        })
    }
}

fn call_rows<'a>(ended: impl Iterator<Item = EndedCall<'a>>) -> Vec<CallTimes<'a>> {
    let mut rows: Vec<_> = ended.map(CallTimes::new).collect();
    rows.sort_unstable_by_key(|row| (row.ended_at.0, row.call.0));
    rows
}

fn agent_rows<'a>(
    ended: impl Iterator<Item = EndedCall<'a>>,
    wanted: impl Fn(&AgentParts) -> bool,
) -> Vec<AgentTimes<'a>> {
    let mut rows = Vec::new();
    for ended in ended {
        let parts = ended.parts.agents.iter().filter(|parts| wanted(parts));
        rows.extend(parts.map(|parts| AgentTimes::new(ended, parts)));
    }
    rows.sort_unstable_by_key(|row| (row.ended_at.0, row.call.0, row.agent.0));
    rows
}
