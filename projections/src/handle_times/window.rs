//! Windows of time, what rows in them are counted by, and what is asked.

use crate::row::Cell;
use crate::shape::{Type, Typed};
use domain::{AgentId, Queue, Timestamp};
use serde::{Serialize, Serializer};
use smol_str::{SmolStr, format_smolstr};
use std::ops::Range;
use std::str::FromStr;

/// The window that all others are made of.
pub(super) const QUARTER_MS: u64 = 15 * 60 * 1000;

/// How long a window is; it begins at a multiple of its length since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// 15 minutes.
    Quarter,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// Whose times a window's rows tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The calls of each queue.
    Queue,
    /// The part of each agent in calls.
    Agent,
    /// All calls.
    All,
}

/// A text that names no window and nothing to count by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is none of {expected}")]
pub struct UnknownName {
    given: String,
    expected: &'static str,
}

/// What a row is of; a queue is null where a call came through none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// All calls.
    All,
    /// The calls of a queue, or those that came through none.
    Queue(Option<Queue>),
    /// An agent's part in calls.
    Agent(AgentId),
}

/// Which calls are asked for; what is not said, every call fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimesFilter {
    /// Calls that came through this queue.
    pub queue: Option<Queue>,
    /// Calls in which this agent was, or was consulted; of agents, this one.
    pub agent: Option<AgentId>,
    /// Calls that ended then or later; of windows, those that end later.
    pub from: Option<Timestamp>,
    /// Calls that ended before; of windows, those that begin before.
    pub to: Option<Timestamp>,
}

impl Window {
    /// How long it is.
    pub fn ms(self) -> u64 {
        match self {
            Window::Quarter => QUARTER_MS,
            Window::Hour => 4 * QUARTER_MS,
            Window::Day => 96 * QUARTER_MS,
        }
    }

    /// When the window begins that has that time in it.
    pub fn start(self, at: Timestamp) -> Timestamp {
        at.minus_millis(at.as_millis() % self.ms())
    }
}

impl FromStr for Window {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "15m" => Ok(Window::Quarter),
            "1h" => Ok(Window::Hour),
            "1d" => Ok(Window::Day),
            _ => Err(unknown(text, "15m, 1h, 1d")),
        }
    }
}

impl FromStr for By {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "queue" => Ok(By::Queue),
            "agent" => Ok(By::Agent),
            "all" => Ok(By::All),
            _ => Err(unknown(text, "queue, agent, all")),
        }
    }
}

fn unknown(text: &str, expected: &'static str) -> UnknownName {
    UnknownName {
        given: text.chars().take(80).collect(),
        expected,
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key::All => serializer.serialize_str("all"),
            Key::Queue(None) => serializer.serialize_none(),
            Key::Queue(Some(queue)) => serializer.serialize_str(queue.as_str()),
            Key::Agent(agent) => serializer.collect_str(&format_args!("agent:{agent}")),
        }
    }
}

impl Typed for Key {
    const TYPE: &'static Type = &Type::OrNull(&Type::Text);
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

impl TimesFilter {
    pub(super) fn has_queue(&self, queue: Option<&Queue>) -> bool {
        self.queue.is_none() || self.queue.as_ref() == queue
    }

    pub(super) fn has_agent(&self, agent: &AgentId) -> bool {
        self.agent.as_ref().is_none_or(|wanted| wanted == agent)
    }

    /// The milliseconds within which the calls that are asked for ended.
    pub(super) fn span(&self) -> Range<u64> {
        let from = self.from.map_or(0, Timestamp::as_millis);
        let to = self.to.map_or(u64::MAX, Timestamp::as_millis);
        from..to.max(from)
    }

    /// The same, widened to whole windows: one that is cut short would look like a quiet one. Nothing stays nothing.
    pub(super) fn whole_windows(&self, window: Window) -> Range<u64> {
        let Range { start, end } = self.span();
        if start == end {
            return 0..0;
        }
        let end = end.checked_next_multiple_of(window.ms());
        start - start % window.ms()..end.unwrap_or(u64::MAX)
    }
}
