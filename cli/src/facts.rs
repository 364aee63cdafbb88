//! Facts of a store: one a line for people, one object for programs.

use crate::exit::usage;
use crate::output::{Console, Output, json_line};
use serde_json::{Map, Value};

/// One fact of a store: its name in a table, its field in JSON, and its value.
#[derive(Debug, Clone)]
pub struct Fact {
    name: &'static str,
    field: &'static str,
    value: Value,
    shown: Option<String>,
    /// Left out of the table, where another line shows it.
    hidden: bool,
}

impl Fact {
    /// A thing that people see as programs do.
    pub fn new(name: &'static str, field: &'static str, value: impl Into<Value>) -> Self {
        Self {
            name,
            field,
            value: value.into(),
            shown: None,
            hidden: false,
        }
    }

    /// Shown to people in another way.
    #[must_use]
    pub fn shown(self, shown: impl Into<String>) -> Self {
        Self {
            shown: Some(shown.into()),
            ..self
        }
    }

    /// Not shown to people, who read it in another line.
    #[must_use]
    pub fn for_programs(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }

    fn line(&self) -> String {
        let shown = match (&self.shown, &self.value) {
            (Some(shown), _) => shown.clone(),
            (None, Value::String(text)) => text.clone(),
            (None, Value::Null) => "-".to_owned(),
            (None, value) => value.to_string(),
        };
        format!("{:<15}{shown}\n", self.name)
    }
}

/// Prints the facts: one a line for people, one object for programs.
pub fn print(what: &str, facts: &[Fact], console: &mut Console) -> anyhow::Result<()> {
    match console.output() {
        Output::Table => {
            let shown = facts.iter().filter(|fact| !fact.hidden);
            let lines: String = shown.map(Fact::line).collect();
            console.print(&lines)?;
        }
        Output::Json | Output::Ndjson => {
            let fields = facts.iter().map(|fact| (fact.field, fact.value.clone()));
            let fields = fields.map(|(field, value)| (field.to_owned(), value));
            console.print(&json_line(&fields.collect::<Map<_, _>>()))?;
        }
        Output::Csv => {
            return Err(usage(format!(
                "{what} has no CSV; use --output table or json"
            )));
        }
    }
    console.flush()
}

/// The number of damaged calls, in words.
pub fn damaged_calls(count: u64) -> String {
    match count {
        1 => "1 damaged call".to_owned(),
        count => format!("{count} damaged calls"),
    }
}
