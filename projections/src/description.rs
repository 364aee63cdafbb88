//! How the interface shows a read model: its routes, parameters, schemas, options and tables. Each read model declares
//! this once; the service and the command line are made of it.

use crate::shape::Shape;
use crate::table::Table;

/// A read model as its users see it.
#[derive(Debug)]
pub struct Description {
    /// Its name, such as `active-calls`.
    pub name: &'static str,
    /// Its name in a heading.
    pub title: &'static str,
    /// The paths of its list: without a suffix, and with one for each form.
    pub paths: [&'static str; 4],
    /// The path of its changes.
    pub changes_path: &'static str,
    /// The list.
    pub list: Operation,
    /// The changes.
    pub changes: Operation,
    /// The name of the list's schema.
    pub schema: &'static str,
    /// The rows it may have, and how people see them.
    pub rows: &'static [RowKind],
    /// Shapes of what stands in its rows.
    pub parts: &'static [&'static Shape],
    /// The default order of its rows.
    pub about_sort: &'static str,
    /// The command that shows it.
    pub command: ShowCommand,
}

/// What one of its routes is for.
#[derive(Debug)]
pub struct Operation {
    /// Its name for generated clients.
    pub id: &'static str,
    /// In a few words.
    pub summary: &'static str,
    /// What its users must know beside what holds for all read models.
    pub about: &'static str,
    /// What it can be asked beside what every list can.
    pub parameters: &'static [Parameter],
}

/// Rows of one kind.
#[derive(Debug)]
pub struct RowKind {
    /// Their JSON.
    pub shape: &'static Shape,
    /// The columns that they can be sorted by.
    pub sorts: &'static [&'static str],
    /// The table that people see.
    pub table: Table,
}

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The values it takes.
    pub values: Values,
    /// What it does.
    pub about: &'static str,
}

/// The values of a parameter or an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// A call.
    Call,
    /// A queue.
    Queue,
    /// An agent.
    Agent,
    /// A supervisor.
    Supervisor,
    /// A phase of a call.
    Phase,
    /// True or false; as an option, there or not.
    Flag,
    /// A length of time, such as 4h.
    TimeSpan,
    /// A point in time.
    Time,
    /// One of these names, each with its meaning.
    OneOf(&'static [(&'static str, &'static str)]),
    /// The same, the first unless another is given.
    FirstOf(&'static [(&'static str, &'static str)]),
}

/// `kaigi show NAME`.
#[derive(Debug)]
pub struct ShowCommand {
    /// What it shows, in a line.
    pub about: &'static str,
    /// What stands below its help.
    pub examples: Option<&'static str>,
    /// Its options, each a parameter of the list.
    pub options: &'static [ShowOption],
    /// The options and values by which a demo shows it in a few lines.
    pub demo: &'static [(&'static str, &'static str)],
}

/// An option of `kaigi show NAME`.
#[derive(Debug)]
pub struct ShowOption {
    /// The name of the parameter.
    pub name: &'static str,
    /// What stands for a value in its help.
    pub value_name: &'static str,
    /// The values it takes.
    pub values: Values,
    /// What it does.
    pub help: &'static str,
    /// An option without which it means nothing.
    pub requires: Option<&'static str>,
}

impl Parameter {
    /// Only rows of a call.
    pub const CALL: Self = Self::new("call", Values::Call, "Only this call");
    /// Only rows of a queue.
    pub const QUEUE: Self = Self::new("queue", Values::Queue, "Only this queue");
    /// Only rows with an agent.
    pub const AGENT: Self = Self::new(
        "agent",
        Values::Agent,
        "Only with this agent, as agent:ID or the ID alone",
    );
    /// Only rows with a supervisor.
    pub const SUPERVISOR: Self = Self::new(
        "supervisor",
        Values::Supervisor,
        "Only with this supervisor on the call, as supervisor:ID or the ID alone",
    );
    /// Only rows of calls in a phase.
    pub const PHASE: Self = Self::new("phase", Values::Phase, "Only in this phase");

    /// A parameter.
    pub const fn new(name: &'static str, values: Values, about: &'static str) -> Self {
        Self {
            name,
            values,
            about,
        }
    }
}

impl ShowOption {
    pub(crate) const fn new(
        name: &'static str,
        value_name: &'static str,
        values: Values,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            value_name,
            values,
            help,
            requires: None,
        }
    }
}

/// The paths of a list: without a suffix, and with one for each form.
macro_rules! paths {
    ($name:literal) => {
        [
            concat!("/v1/", $name),
            concat!("/v1/", $name, ".json"),
            concat!("/v1/", $name, ".ndjson"),
            concat!("/v1/", $name, ".csv"),
        ]
    };
}
pub(crate) use paths;
