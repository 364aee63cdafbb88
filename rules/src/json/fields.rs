//! Reads the fields of a command from a JSON object, or says what is wrong with the object.

use super::plain::{TRAILING, plain};
use crate::ids::{
    Actor, CallId, CommandId, Correlation, CustomerNumber, GivenReason, Note, Party, Queue, Target,
};
use crate::time::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use std::str::FromStr;
use uuid::Uuid;

/// A line that is no command; says where, why and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommand {
    /// Not a JSON object of known fields.
    #[error("{what} at column {column}")]
    NotJson {
        /// What the parser met.
        what: String,
        /// Where in the line, from 1.
        column: usize,
    },
    /// A field that must be there.
    #[error("`{kind}` needs the field `{field}`")]
    Missing {
        /// The command's type.
        kind: String,
        /// The field.
        field: &'static str,
    },
    /// A field that this command has not.
    #[error("`{kind}` has no field `{field}`")]
    Unexpected {
        /// The command's type.
        kind: String,
        /// The field.
        field: &'static str,
    },
    /// A call that is not the one the command was sent to.
    #[error(
        "`call`: it names {named}, but the command was sent to {sent_to}; leave `call` out, or send it there"
    )]
    OtherCall {
        /// The call that the command names.
        named: CallId,
        /// The call that it was sent to.
        sent_to: CallId,
    },
    /// A type that no command has.
    #[error("`type`: {shown:?} is no command")]
    UnknownType {
        /// The type as it was given, cut if it is long.
        shown: String,
    },
    /// A field with a value it cannot have.
    #[error("`{field}`: {what}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl InvalidCommand {
    /// Whether a command was there, and something else after it.
    pub fn has_more_after_it(&self) -> bool {
        matches!(self, InvalidCommand::NotJson { what, .. } if what == TRAILING)
    }
}

/// Declares what is read of a JSON object: the fields that every command has, and those that some have. Which ones
/// belong to which command says its table.
macro_rules! fields {
    ($($field:ident),*) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a JSON object")]
        pub(crate) struct Fields<'a> {
            #[serde(borrow)]
            pub(super) call: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "type")]
            pub(super) kind: Option<Cow<'a, str>>,
            #[serde(borrow)]
            pub(super) id: Option<Cow<'a, str>>,
            #[serde(borrow)]
            pub(super) at: Option<Cow<'a, str>>,
            #[serde(borrow)]
            pub(super) correlation: Option<Cow<'a, str>>,
            pub(super) expect: Option<u64>,
            $(
                #[serde(borrow)]
                pub(crate) $field: Option<Cow<'a, str>>,
            )*
        }

        impl Fields<'_> {
            /// A field that no part of the command took; a silent one would be a typo unnoticed.
            pub(super) fn left_over(&self) -> Option<&'static str> {
                let own = [$((stringify!($field), self.$field.is_some())),*];
                own.into_iter().find_map(|(field, is_there)| is_there.then_some(field))
            }
        }
    };
}
fields!(
    by, agent, customer, queue, target, hold, origin, party, reason, note
);

/// A type that a command's field is read as.
pub(crate) trait Given: Sized {
    fn read(text: &str) -> Result<Self, String>;

    /// What it is where the field is absent, unless the field must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// The value of a field with that text, of a command of that kind.
pub(crate) fn given<T: Given>(
    kind: &str,
    field: &'static str,
    text: Option<Cow<'_, str>>,
) -> Result<T, InvalidCommand> {
    match text {
        Some(text) => T::read(&text).map_err(|what| InvalidCommand::BadValue { field, what }),
        None => T::absent().ok_or_else(|| missing(kind, field)),
    }
}

impl<'a> Fields<'a> {
    /// The parser would also take an array of all values in their order, which is no command.
    pub(super) fn read(line: &'a str) -> Result<Self, InvalidCommand> {
        let begun = line.trim_ascii_start();
        if begun.starts_with('[') {
            return Err(InvalidCommand::NotJson {
                what: "an array, expected a JSON object".to_owned(),
                column: line.len() - begun.len() + 1,
            });
        }
        serde_json::from_str(line).map_err(|error| {
            if begun.starts_with('{') || error.is_eof() || error.is_data() {
                not_json(&error)
            } else {
                no_object(&error)
            }
        })
    }
}

pub(super) fn missing(kind: &str, field: &'static str) -> InvalidCommand {
    InvalidCommand::Missing {
        kind: cut(kind, 80),
        field,
    }
}

/// The parser counts lines within its input, which is one line; the column is what helps.
fn not_json(error: &serde_json::Error) -> InvalidCommand {
    if error.is_eof() {
        return InvalidCommand::NotJson {
            what: "the line ends before the command does; perhaps it was cut off".to_owned(),
            column: error.column().max(1),
        };
    }
    InvalidCommand::NotJson {
        what: cut(&plain(error), 300),
        column: error.column().max(1),
    }
}

fn no_object(error: &serde_json::Error) -> InvalidCommand {
    InvalidCommand::NotJson {
        what: "this is no JSON; a command is a JSON object, such as {\"call\":\"c1\",\"type\":\"consult_unanswered\"}".to_owned(),
        column: error.column().max(1),
    }
}

/// Cuts a text for a message. A line can hold anything, and its beginning tells most.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl<T: Given> Given for Option<T> {
    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl Given for CommandId {
    fn read(text: &str) -> Result<Self, String> {
        let id = Uuid::try_parse(text).map(CommandId);
        id.map_err(|_| "not a UUID like 2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11".to_owned())
    }
}

macro_rules! given_as_text {
    ($($name:ident),*) => {$(
        impl Given for $name {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: <Self as FromStr>::Err| cut(&error.to_string(), 300))
            }
        }
    )*};
}
given_as_text!(CallId, Timestamp, Correlation, Actor, Party, Target);
given_as_text!(CustomerNumber, Queue, GivenReason, Note);
