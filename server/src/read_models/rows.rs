//! What every row can be sorted, found and named by.

use domain::json::{AgentText, Text};
use domain::{AgentId, CallId, CustomerNumber, Queue, Rule, SupervisorId, Timestamp};
use projections::{
    ActiveCall, AgentTimes, CallTimes, ExplainedRow, Key, ListedCall, MonitoredCall, OwedWrapUp,
    Row, WindowRow,
};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

/// A value that rows are sorted by; of one column all are of one kind, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Nothing,
    Flag(bool),
    Number(u64),
    Text(SmolStr),
}

/// What tells a row from all others of its kind, and comes first where rows are equal otherwise.
pub(crate) type RowKey = [Cell; 3];

/// A row of a list.
pub(crate) trait Listed: Row {
    /// What a cursor calls the list.
    const LIST: &'static str;

    /// The columns that rows can be sorted by; by the first, unless something else is said.
    const SORTS: &'static [&'static str];

    /// What it is sorted by.
    fn cell(&self, column: &str) -> Cell;

    /// What tells it from all others.
    fn key(&self) -> RowKey;
}

/// What rows of live read models are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facets {
    pub(crate) call: CallId,
    pub(crate) queue: Option<Queue>,
    pub(crate) agents: Vec<AgentId>,
    pub(crate) supervisors: Vec<SupervisorId>,
    pub(crate) phase: Option<&'static str>,
    pub(crate) may_start: Option<bool>,
    pub(crate) ended_at: Option<Timestamp>,
}

/// A row whose changes can be followed.
pub(crate) trait Followed: Listed {
    /// What it is found by.
    fn facets(&self) -> Facets;

    /// The agent that tells it from others of its call, if there may be others.
    fn agent(&self) -> Option<&AgentId> {
        None
    }
}

/// The columns to sort by, each once.
macro_rules! sorted_by {
    ($($column:ident),+ $(,)?) => {
        const SORTS: &'static [&'static str] = &[$(stringify!($column)),+];

        fn cell(&self, column: &str) -> Cell {
            match column {
                $(stringify!($column) => (&self.$column).into(),)+
                _ => unreachable!("no list is sorted by a column that it does not name"),
            }
        }
    };
}

impl Listed for ActiveCall<'_> {
    const LIST: &'static str = "active-calls";

    sorted_by!(
        answered_at,
        call,
        revision,
        queue,
        phase,
        phase_since,
        primary
    );

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Listed for OwedWrapUp<'_> {
    const LIST: &'static str = "wrap-up-queue";

    sorted_by!(since, call, agent, queue, why);

    fn key(&self) -> RowKey {
        key(self.call, (&self.agent).into())
    }
}

impl Listed for MonitoredCall<'_> {
    const LIST: &'static str = "monitoring";

    sorted_by!(answered_at, call, may_start, rule);

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Listed for CallTimes<'_> {
    const LIST: &'static str = "handle-times-by-call";

    sorted_by!(
        ended_at,
        call,
        queue,
        answered_at,
        talking_ms,
        conference_ms,
        wrap_up_assist_ms,
        handle_ms,
        customer_held_ms,
        consult_ms,
        open,
    );

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Listed for AgentTimes<'_> {
    const LIST: &'static str = "handle-times-by-agent";

    sorted_by!(
        ended_at,
        call,
        agent,
        queue,
        answered_at,
        engaged_ms,
        held_ms,
        wrap_up_ms,
        handle_ms,
        conference_ms,
        consult_ms,
        wrap_up_assist_ms,
        open,
    );

    fn key(&self) -> RowKey {
        key(self.call, (&self.agent).into())
    }
}

impl Listed for WindowRow {
    const LIST: &'static str = "handle-times-by-window";

    sorted_by!(
        from, key, metric, count, sum_ms, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, max_ms, open
    );

    fn key(&self) -> RowKey {
        let place = Cell::Number(self.place() as u64);
        [(&self.from).into(), (&self.key).into(), place]
    }
}

impl Listed for ExplainedRow<'_, '_> {
    const LIST: &'static str = WindowRow::LIST;
    const SORTS: &'static [&'static str] = WindowRow::SORTS;

    fn cell(&self, column: &str) -> Cell {
        self.row.cell(column)
    }

    fn key(&self) -> RowKey {
        Listed::key(self.row)
    }
}

impl Listed for ListedCall<'_> {
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

fn key(call: Text<&CallId>, further: Cell) -> RowKey {
    [(&call).into(), further, Cell::Nothing]
}

impl Followed for ActiveCall<'_> {
    fn facets(&self) -> Facets {
        let seated = self.parties.iter().filter_map(|seat| seat.party.0.agent());
        let consult = self.consult.iter();
        let consulted = consult.filter_map(|consult| consult.target.0.agent());
        let sessions = self.supervisors.iter();
        Facets {
            agents: seated.chain(consulted).cloned().collect(),
            supervisors: sessions
                .map(|session| session.supervisor.0.clone())
                .collect(),
            phase: self.phase,
            ..Facets::of(self.call, self.queue)
        }
    }
}

impl Followed for OwedWrapUp<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: vec![self.agent.0.clone()],
            ..Facets::of(self.call, self.queue)
        }
    }

    fn agent(&self) -> Option<&AgentId> {
        Some(self.agent.0)
    }
}

impl Followed for MonitoredCall<'_> {
    fn facets(&self) -> Facets {
        let sessions = self.sessions.iter();
        Facets {
            supervisors: sessions
                .map(|session| session.supervisor.0.clone())
                .collect(),
            may_start: Some(self.may_start),
            ..Facets::of(self.call, None)
        }
    }
}

impl Followed for CallTimes<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: self.agents().cloned().collect(),
            ended_at: Some(self.ended_at.0),
            ..Facets::of(self.call, self.queue)
        }
    }
}

impl Followed for AgentTimes<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: vec![self.agent.0.clone()],
            ended_at: Some(self.ended_at.0),
            ..Facets::of(self.call, self.queue)
        }
    }

    fn agent(&self) -> Option<&AgentId> {
        Some(self.agent.0)
    }
}

impl Facets {
    fn of(call: Text<&CallId>, queue: Option<Text<&Queue>>) -> Self {
        Self {
            call: call.0.clone(),
            queue: queue.map(|queue| queue.0.clone()),
            agents: Vec::new(),
            supervisors: Vec::new(),
            phase: None,
            may_start: None,
            ended_at: None,
        }
    }
}

impl From<&u64> for Cell {
    fn from(number: &u64) -> Self {
        Cell::Number(*number)
    }
}

impl From<&bool> for Cell {
    fn from(flag: &bool) -> Self {
        Cell::Flag(*flag)
    }
}

impl From<&&'static str> for Cell {
    fn from(name: &&'static str) -> Self {
        Cell::Text(SmolStr::new_static(name))
    }
}

impl From<&Timestamp> for Cell {
    fn from(at: &Timestamp) -> Self {
        Cell::Number(at.as_millis())
    }
}

impl From<&Text<Timestamp>> for Cell {
    fn from(at: &Text<Timestamp>) -> Self {
        (&at.0).into()
    }
}

impl From<&AgentText<'_>> for Cell {
    fn from(agent: &AgentText<'_>) -> Self {
        Cell::Text(agent.0.as_str().into())
    }
}

impl From<&Key> for Cell {
    fn from(key: &Key) -> Self {
        match key {
            Key::All => Cell::Text(SmolStr::new_static("all")),
            Key::Queue(None) => Cell::Nothing,
            Key::Queue(Some(queue)) => Cell::Text(queue.as_str().into()),
            Key::Agent(agent) => Cell::Text(format_smolstr!("agent:{agent}")),
        }
    }
}

impl From<&Text<Rule>> for Cell {
    fn from(rule: &Text<Rule>) -> Self {
        Cell::Text(rule.0.to_smolstr())
    }
}

macro_rules! texts {
    ($($id:ty),+) => {$(
        impl From<&Text<&$id>> for Cell {
            fn from(id: &Text<&$id>) -> Self {
                Cell::Text(id.0.as_str().into())
            }
        }
    )+};
}
texts!(CallId, Queue, CustomerNumber);

impl<'a, T> From<&'a Option<T>> for Cell
where
    &'a T: Into<Cell>,
{
    fn from(value: &'a Option<T>) -> Self {
        value.as_ref().map_or(Cell::Nothing, Into::into)
    }
}
