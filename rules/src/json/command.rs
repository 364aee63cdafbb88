//! One command a line: reading them strictly, and writing them.

use super::Text;
use super::fields::{Fields, Given, InvalidCommand, cut, given, missing};
use crate::command::{Command, CommandType, HoldScope, Origin, Request};
use crate::ids::{CallId, Revision};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::str::FromStr;

/// Reads one command from a line of JSON. A field that is null is absent.
pub fn parse_command(line: &str) -> Result<Request, InvalidCommand> {
    request(line, |kind, named| given(kind, "call", named))
}

/// Reads one command for that call, which it need not name again.
pub fn parse_command_for(call: &CallId, text: &str) -> Result<Request, InvalidCommand> {
    request(text, |kind, named| match given(kind, "call", named)? {
        Some(named) if named != *call => Err(InvalidCommand::OtherCall {
            named,
            sent_to: call.clone(),
        }),
        Some(_) | None => Ok(call.clone()),
    })
}

fn request<'a>(
    text: &'a str,
    call: impl FnOnce(&str, Option<Cow<'a, str>>) -> Result<CallId, InvalidCommand>,
) -> Result<Request, InvalidCommand> {
    let mut fields = Fields::read(text)?;
    let kind = fields.kind.take();
    let kind = kind.ok_or_else(|| missing("command", "type"))?;
    let request = Request {
        call: call(&kind, fields.call.take())?,
        id: given(&kind, "id", fields.id.take())?,
        at: given(&kind, "at", fields.at.take())?,
        correlation: given(&kind, "correlation", fields.correlation.take())?,
        expect: fields.expect.map(Revision),
        command: command(&kind, &mut fields)?,
    };
    match fields.left_over() {
        Some(field) => Err(InvalidCommand::Unexpected {
            kind: kind.into_owned(),
            field,
        }),
        None => Ok(request),
    }
}

fn command(kind: &str, fields: &mut Fields<'_>) -> Result<Command, InvalidCommand> {
    match CommandType::named(kind) {
        Some(known) => Command::take(known, fields),
        None => Err(InvalidCommand::UnknownType {
            shown: cut(kind, 80),
        }),
    }
}

/// The command as one line of JSON, without the line's end; [`parse_command`] reads the same from it.
pub fn write_command(request: &Request) -> String {
    serde_json::to_string(&RequestJson(request)).expect("texts and numbers are JSON")
}

/// What a command is written as: absent fields are left out.
struct RequestJson<'a>(&'a Request);

impl Serialize for RequestJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("call", request.call.as_str())?;
        map.serialize_entry("type", request.command.name())?;
        if let Some(id) = request.id {
            map.serialize_entry("id", &Text(id))?;
        }
        if let Some(at) = request.at {
            map.serialize_entry("at", &Text(at))?;
        }
        if let Some(correlation) = &request.correlation {
            map.serialize_entry("correlation", correlation.as_str())?;
        }
        if let Some(revision) = request.expect {
            map.serialize_entry("expect", &revision.0)?;
        }
        for (field, value) in request.command.fields() {
            if let Some(value) = value {
                map.serialize_entry(field.name, &value)?;
            }
        }
        map.end()
    }
}

/// Reads one of few values, with a default.
macro_rules! given_choices {
    ($($name:ident: $expected:literal),*) => {$(
        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::named(text).ok_or($expected)
            }
        }

        impl Given for $name {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(str::to_owned)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }
    )*};
}
given_choices!(
    HoldScope: "must be \"others\" or \"none\"",
    Origin: "must be \"desktop\" or \"device\""
);
