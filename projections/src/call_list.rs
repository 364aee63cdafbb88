//! `calls`: finds calls, live and over. Nothing is kept for it between two questions; it is folded anew for each.

use crate::filter::agrees;
use crate::read_model::{ByCall, kept, runs};
use crate::row::{Cell, Row, RowKey, key, sorted_by};
use crate::shape::row;
use crate::table::{CALL_AND_QUEUE, Column, Table, each, id, moment, text};
use domain::call::Phase;
use domain::event::Personal;
use domain::json::{AgentText, Text};
use domain::table::Value;
use domain::{
    AgentId, Call, CallId, Correlation, CustomerNumber, DamagedEvent, Event, Queue, Revision,
    StoredEvent, Timestamp, evolve_in_place,
};
use std::collections::HashSet;

/// The calls that a question finds.
#[derive(Debug, Clone, Default)]
pub struct CallList {
    filter: CallFilter,
    calls: ByCall<Seen>,
    /// Calls with a damaged event, which are left out.
    set_aside: HashSet<CallId>,
}

/// Which calls are asked for: all that fit whatever is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// An agent who ever was in the main call, or was consulted.
    pub agent: Option<AgentId>,
    /// The customer's number, unless it was erased.
    pub customer: Option<CustomerNumber>,
    /// The queue it came through.
    pub queue: Option<Queue>,
    /// What any of its commands carried.
    pub correlation: Option<Correlation>,
    /// Answered then or later.
    pub from: Option<Timestamp>,
    /// Answered before.
    pub to: Option<Timestamp>,
    /// What it is in.
    pub phase: Option<Phase>,
}

/// What is known of a call beside its state.
#[derive(Debug, Clone, Default)]
struct Seen {
    call: Call,
    customer: Option<CustomerNumber>,
    /// In the order they first appeared, so that the first answered the call.
    agents: Vec<AgentId>,
    correlations: Vec<Correlation>,
}

row! {
    /// A call that was found.
    pub struct ListedCall<'a> as "ListedCall" {
        pub call: Text<&'a CallId>,
        pub revision: u64 as Revision,
        pub phase: Option<&'static str> as Option<Phase>,
        pub queue: Option<Text<&'a Queue>>,
        /// Null if it is not known, and once it was erased.
        pub customer: Option<Text<&'a CustomerNumber>>,
        pub answered_at: Text<Timestamp>,
        pub answered_by: Option<AgentText<'a>>,
        pub ended_at: Option<Text<Timestamp>>,
        pub completed: bool,
        pub primary: Option<AgentText<'a>>,
        /// Everyone who was in the main call or was consulted, in the order they first appeared.
        pub agents: Vec<AgentText<'a>>,
        pub correlations: Vec<Text<&'a Correlation>>,
    }
}

impl Row for ListedCall<'_> {
    const LIST: &'static str = "calls";

    sorted_by!(
        answered_at,
        call,
        revision,
        phase,
        queue,
        customer,
        answered_by,
        ended_at,
        completed,
        primary
    );

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl ListedCall<'_> {
    /// What people see of the list.
    pub const TABLE: Table = Table {
        none: "no call fits",
        columns: &[
            CALL_AND_QUEUE,
            Column::list("PHASE", |row, _| {
                let completed = row["completed"] == true;
                let completed = if completed { ", completed" } else { "" };
                vec![format!("{}{completed}", text(&row["phase"]))]
            }),
            Column::text("ANSWERED", |row, _| vec![moment(&row["answered_at"])]),
            Column::list("AGENTS", |row, _| {
                let agents: Vec<_> = each(&row["agents"]).map(id).collect();
                vec![agents.join(", ")]
            }),
            Column::number("EVENTS", |row, _| vec![text(&row["revision"])]),
        ],
    };
}

impl CallList {
    /// Nothing found yet.
    pub fn new(filter: CallFilter) -> Self {
        Self {
            filter,
            calls: ByCall::default(),
            set_aside: HashSet::new(),
        }
    }

    /// Which calls it finds.
    pub fn filter(&self) -> &CallFilter {
        &self.filter
    }

    /// Takes further events in, in the order of the store.
    pub fn fold(&mut self, events: &[StoredEvent]) {
        for (id, run) in runs(events) {
            if self.set_aside.contains(id) {
                continue;
            }
            let Some(seen) = kept(&mut self.calls, id, run) else {
                continue;
            };
            let mut events = run.iter();
            if !events.all(|event| seen.continues_with(event)) {
                // An event before is missing, so the rest would tell another story.
                self.calls.remove(id);
                self.set_aside.insert(id.clone());
                continue;
            }
            if !seen.may_fit(&self.filter) {
                self.calls.remove(id);
            }
        }
    }

    /// Takes in that the next event is damaged: its call is left out from now on.
    pub fn fold_damaged(&mut self, event: &DamagedEvent) {
        if let Some(call) = &event.call {
            self.calls.remove(call);
            self.set_aside.insert(call.clone());
        }
    }

    /// How many calls are kept to answer it.
    pub fn kept_calls(&self) -> usize {
        self.calls.len()
    }

    /// The calls that fit, in no order and one by one, for a few of very many.
    pub fn each_row(&self) -> impl Iterator<Item = ListedCall<'_>> {
        let calls = self.calls.iter();
        let fitting = calls.filter(|(_, seen)| seen.fits(&self.filter));
        fitting.map(|(id, seen)| seen.row(id))
    }

    /// The calls that fit, by when they were answered, then by call.
    pub fn rows(&self) -> Vec<ListedCall<'_>> {
        let mut rows: Vec<_> = self.each_row().collect();
        rows.sort_unstable_by_key(|row| (row.answered_at.0, row.call.0));
        rows
    }
}

impl Seen {
    /// Takes the event in if it is the call's next one.
    fn continues_with(&mut self, event: &StoredEvent) -> bool {
        let is_next = event.recorded.revision.0 == self.call.revision().0 + 1;
        if is_next {
            self.take_in(event);
        }
        is_next
    }

    fn take_in(&mut self, StoredEvent { recorded, .. }: &StoredEvent) {
        let cause = &*recorded.cause;
        if let Event::CallConnected { customer, .. } = &recorded.event {
            self.customer = customer.as_ref().and_then(Personal::clear).cloned();
        }
        let values = recorded.event.fields().filter_map(|(_, value)| value);
        for agent in values.filter_map(Value::agent) {
            add(&mut self.agents, agent);
        }
        if let Some(correlation) = &cause.correlation {
            add(&mut self.correlations, correlation);
        }
        evolve_in_place(&mut self.call, &recorded.event, cause.at);
    }

    /// Whether the call fits by what its first event settled; if not, it need not be kept.
    fn may_fit(&self, filter: &CallFilter) -> bool {
        let answered_at = self.call.answered_at();
        filter.from.is_none_or(|from| answered_at >= from)
            && filter.to.is_none_or(|to| answered_at < to)
            && agrees(filter.queue.as_ref(), self.call.queue())
            && agrees(filter.customer.as_ref(), self.customer.as_ref())
    }

    fn fits(&self, filter: &CallFilter) -> bool {
        let had = |correlation| self.correlations.contains(correlation);
        self.may_fit(filter)
            && agrees(filter.phase.as_ref(), self.call.phase().as_ref())
            && filter
                .agent
                .as_ref()
                .is_none_or(|agent| self.agents.contains(agent))
            && filter.correlation.as_ref().is_none_or(had)
    }

    fn row<'a>(&'a self, id: &'a CallId) -> ListedCall<'a> {
        let call = &self.call;
        ListedCall {
            call: Text(id),
            revision: call.revision().0,
            phase: call.phase().map(Phase::name),
            queue: call.queue().map(Text),
            customer: self.customer.as_ref().map(Text),
            answered_at: Text(call.answered_at()),
            answered_by: self.agents.first().map(AgentText),
            ended_at: call.ended_at().map(Text),
            completed: call.completed_at().is_some(),
            primary: call.primary().map(AgentText),
            agents: self.agents.iter().map(AgentText).collect(),
            correlations: self.correlations.iter().map(Text).collect(),
        }
    }
}

fn add<T: Clone + PartialEq>(known: &mut Vec<T>, one: &T) {
    if !known.contains(one) {
        known.push(one.clone());
    }
}
