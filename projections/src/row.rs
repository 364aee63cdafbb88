//! Rows: what they are sorted, filtered and named by.

use crate::shape::Shaped;
use domain::json::{AgentText, Text};
use domain::{AgentId, CallId, CustomerNumber, Queue, Rule, SupervisorId, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr};

/// A row of a list: always the same fields, so that a table without rows still has its columns.
pub trait Row: Shaped + Serialize {
    /// The names of its fields in JSON, in order.
    const COLUMNS: &'static [&'static str] = Self::SHAPE.columns;

    /// The name of the list in a cursor.
    const LIST: &'static str;

    /// The columns that rows can be sorted by; the first is the default.
    const SORTS: &'static [&'static str];

    /// The value in one of those columns.
    fn cell(&self, column: &str) -> Cell;

    /// What tells it from all others.
    fn key(&self) -> RowKey;
}

/// A value that rows are sorted by; the values of one column are all of one kind, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Null.
    Nothing,
    /// True or false.
    Flag(bool),
    /// A number, or a time in milliseconds.
    Number(u64),
    /// A text.
    Text(SmolStr),
}

/// What tells a row from all others of its list, and orders rows that are equal otherwise.
pub type RowKey = [Cell; 3];

/// A row whose changes can be followed: it belongs to one call.
pub trait Followed: Row {
    /// What it is filtered by.
    fn facets(&self) -> Facets;

    /// Its place in the default order of the list.
    fn place(&self) -> Place<'_>;
}

/// When what the row shows began or ended, the call, and the agent where a call has several rows.
pub type Place<'a> = (Timestamp, &'a CallId, Option<&'a AgentId>);

/// What rows are filtered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets {
    /// Its call.
    pub call: CallId,
    /// The queue of the call.
    pub queue: Option<Queue>,
    /// The agents it has to do with.
    pub agents: Vec<AgentId>,
    /// The supervisors on the call.
    pub supervisors: Vec<SupervisorId>,
    /// The phase of the call.
    pub phase: Option<&'static str>,
    /// Whether monitoring may start.
    pub may_start: Option<bool>,
    /// When something happened in the call last, while it goes on.
    pub last_at: Option<Timestamp>,
    /// When the call ended.
    pub ended_at: Option<Timestamp>,
}

impl Facets {
    /// Those of a row of that call, without the rest.
    pub(crate) fn of(call: Text<&CallId>, queue: Option<Text<&Queue>>) -> Self {
        Self {
            call: call.0.clone(),
            queue: queue.map(|queue| queue.0.clone()),
            agents: Vec::new(),
            supervisors: Vec::new(),
            phase: None,
            may_start: None,
            last_at: None,
            ended_at: None,
        }
    }
}

/// The columns to sort by, each once.
macro_rules! sorted_by {
    ($($column:ident),+ $(,)?) => {
        const SORTS: &'static [&'static str] = &[$(stringify!($column)),+];

        fn cell(&self, column: &str) -> $crate::row::Cell {
            match column {
                $(stringify!($column) => (&self.$column).into(),)+
                _ => unreachable!("no list is sorted by a column that it does not name"),
            }
        }
    };
}
pub(crate) use sorted_by;

/// The key of a row of a call; `further` tells it from others of the same call.
pub(crate) fn key(call: Text<&CallId>, further: Cell) -> RowKey {
    [(&call).into(), further, Cell::Nothing]
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
