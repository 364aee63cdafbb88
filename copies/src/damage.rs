//! What is damaged in a store, call by call.

use domain::envelope::Altered;
use domain::{CallId, DamagedEvent, Position};
use std::collections::HashSet;
use std::fmt;

/// At most this many calls are named in a message.
pub const NAMED: usize = 20;

/// One thing that is wrong with a store's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An event that cannot be read as it was written.
    Event(DamagedEvent),
    /// An event that can be read and does not continue its call: others are missing before it, or were replaced.
    History {
        /// Its position.
        position: Position,
        /// What does not hold.
        altered: Altered,
    },
}

impl Fault {
    /// The call, where the store can still tell.
    pub fn call(&self) -> Option<&CallId> {
        match self {
            Fault::Event(event) => event.call.as_ref(),
            Fault::History { altered, .. } => Some(&altered.call),
        }
    }

    /// The position of the event.
    pub fn position(&self) -> Position {
        match self {
            Fault::Event(event) => event.position,
            Fault::History { position, .. } => *position,
        }
    }

    /// What is wrong, without where.
    pub fn reason(&self) -> String {
        match self {
            Fault::Event(event) => event.reason.clone(),
            Fault::History { altered, .. } => {
                format!("revision {}: {}", altered.revision, altered.what)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call() {
            Some(call) => write!(f, "call {call}: ")?,
            None => f.write_str("a call that cannot be told: ")?,
        }
        match self {
            Fault::Event(event) => event.fmt(f),
            Fault::History { position, .. } => {
                write!(f, "event at position {position}: {}", self.reason())
            }
        }
    }
}

/// The damaged calls of a store, with the first fault of each. Needs memory for damaged calls only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DamagedCalls {
    calls: HashSet<CallId>,
    /// The first fault of each call, and the first few faults without a call, in the order of the store.
    pub(crate) first: Vec<Fault>,
    unknown: u64,
}

impl DamagedCalls {
    /// Notes a fault; only the first of a call is kept.
    pub(crate) fn note(&mut self, fault: Fault) {
        let is_kept = if let Some(call) = fault.call() {
            self.calls.insert(call.clone())
        } else {
            self.unknown += 1;
            self.unknown <= NAMED as u64
        };
        if is_kept {
            self.first.push(fault);
        }
    }

    /// Whether nothing is damaged.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// How many calls are damaged.
    pub fn calls(&self) -> u64 {
        self.calls.len() as u64
    }

    /// How many events are damaged whose call cannot be told.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether that call is damaged.
    pub fn holds(&self, call: &CallId) -> bool {
        self.calls.contains(call)
    }

    /// The names of the first calls, and how many there are beside them, for a message.
    pub fn names(&self) -> String {
        let names = self.first.iter().filter_map(Fault::call);
        let names: Vec<_> = names.take(NAMED).map(CallId::as_str).collect();
        match self.calls.len() - names.len() {
            0 => names.join(", "),
            more => format!("{} {}", names.join(", "), more_are_listed(more)),
        }
    }
}

/// All damage in a few lines: how much there is, then the first calls with their first fault.
impl fmt::Display for DamagedCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} are damaged:", counted(self.calls.len()))?;
        for fault in self.first.iter().take(NAMED) {
            write!(f, "\n  {fault}")?;
        }
        match self.first.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "\n  {}", more_are_listed(more)),
        }
    }
}

fn more_are_listed(more: usize) -> String {
    format!("and {more} more: `kaigi store damaged` lists them")
}

fn counted(calls: usize) -> String {
    match calls {
        1 => "events of 1 call".to_owned(),
        calls => format!("events of {calls} calls"),
    }
}
