//! One command a line: reading them strictly, and writing them.

use super::Text;
use super::plain::{TRAILING, plain};
use crate::command::{Command, HoldScope, Origin, Request};
use crate::ids::{Actor, CallId, CommandId, Revision};
use serde::{Deserialize, Serialize};
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

/// Every field a command can have; which ones belong to which type is checked by [`Fields::command`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
struct Fields<'a> {
    #[serde(borrow)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    correlation: Option<Cow<'a, str>>,
    expect: Option<u64>,
    #[serde(borrow)]
    by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    customer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    queue: Option<Cow<'a, str>>,
    #[serde(borrow)]
    target: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hold: Option<Cow<'a, str>>,
    #[serde(borrow)]
    origin: Option<Cow<'a, str>>,
    #[serde(borrow)]
    party: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    note: Option<Cow<'a, str>>,
}

/// Reads one command from a line of JSON. A field that is null is absent.
pub fn parse_command(line: &str) -> Result<Request, InvalidCommand> {
    request(line, |fields, kind| fields.take(kind, "call"))
}

/// Reads one command for that call, which it need not name again.
pub fn parse_command_for(call: &CallId, text: &str) -> Result<Request, InvalidCommand> {
    request(text, |fields, _| {
        match fields.optional::<CallId>("call")? {
            Some(named) if named != *call => Err(InvalidCommand::OtherCall {
                named,
                sent_to: call.clone(),
            }),
            Some(_) | None => Ok(call.clone()),
        }
    })
}

fn request<'a>(
    text: &'a str,
    call: impl FnOnce(&mut Fields<'a>, &str) -> Result<CallId, InvalidCommand>,
) -> Result<Request, InvalidCommand> {
    let mut fields = Fields::read(text)?;
    let kind = fields
        .kind
        .take()
        .ok_or_else(|| missing("command", "type"))?;
    let request = Request {
        call: call(&mut fields, &kind)?,
        id: fields.optional("id")?.map(|Id(id)| id),
        at: fields.optional("at")?,
        correlation: fields.optional("correlation")?,
        expect: fields.expect.map(Revision),
        command: fields.command(&kind)?,
    };
    match fields.left_over() {
        Some(field) => Err(InvalidCommand::Unexpected {
            kind: kind.into_owned(),
            field,
        }),
        None => Ok(request),
    }
}

impl<'a> Fields<'a> {
    /// The parser would also take an array of all values in their order, which is no command.
    fn read(line: &'a str) -> Result<Self, InvalidCommand> {
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

    fn command(&mut self, kind: &str) -> Result<Command, InvalidCommand> {
        Ok(match kind {
            "connect_call" => Command::ConnectCall {
                agent: self.take(kind, "agent")?,
                customer: self.optional("customer")?,
                queue: self.optional("queue")?,
            },
            "start_consult" => Command::StartConsult {
                by: self.by(kind)?,
                target: self.take(kind, "target")?,
                hold: self.optional("hold")?.unwrap_or_default(),
            },
            "accept_consult" => Command::AcceptConsult { by: self.by(kind)? },
            "decline_consult" => Command::DeclineConsult { by: self.by(kind)? },
            "consult_unanswered" => Command::ConsultUnanswered,
            "end_consult" => Command::EndConsult { by: self.by(kind)? },
            "start_conference" => Command::StartConference {
                by: self.by(kind)?,
                origin: self.optional("origin")?.unwrap_or_default(),
            },
            "hold" => Command::Hold {
                by: self.by(kind)?,
                party: self.take(kind, "party")?,
            },
            "resume" => Command::Resume {
                by: self.by(kind)?,
                party: self.take(kind, "party")?,
            },
            "transfer_call" => Command::TransferCall { by: self.by(kind)? },
            "exit_conference" => Command::ExitConference { by: self.by(kind)? },
            "end_call" => Command::EndCall { by: self.by(kind)? },
            "press_end" => Command::PressEnd { by: self.by(kind)? },
            "hang_up" => Command::HangUp {
                party: self.take(kind, "party")?,
            },
            "lose_connection" => Command::LoseConnection {
                party: self.take(kind, "party")?,
            },
            "apply_wrap_up" => Command::ApplyWrapUp {
                by: self.by(kind)?,
                reason: self.take(kind, "reason")?,
            },
            "suggest_wrap_up" => Command::SuggestWrapUp {
                by: self.by(kind)?,
                reason: self.take(kind, "reason")?,
                note: self.optional("note")?,
            },
            "start_monitoring" => Command::StartMonitoring {
                by: self.by(kind)?,
                agent: self.take(kind, "agent")?,
            },
            "barge_in" => Command::BargeIn { by: self.by(kind)? },
            "stop_monitoring" => Command::StopMonitoring { by: self.by(kind)? },
            _ => return Err(unknown_type(kind)),
        })
    }

    fn by(&mut self, kind: &str) -> Result<Actor, InvalidCommand> {
        self.take(kind, "by")
    }

    fn take<T>(&mut self, kind: &str, field: &'static str) -> Result<T, InvalidCommand>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.optional(field)?.ok_or_else(|| missing(kind, field))
    }

    fn optional<T>(&mut self, field: &'static str) -> Result<Option<T>, InvalidCommand>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let Some(text) = self.slot(field).take() else {
            return Ok(None);
        };
        let parsed = text.parse::<T>();
        parsed.map(Some).map_err(|error| InvalidCommand::BadValue {
            field,
            what: cut(&error.to_string(), 300),
        })
    }

    fn slot(&mut self, field: &'static str) -> &mut Option<Cow<'a, str>> {
        match field {
            "call" => &mut self.call,
            "id" => &mut self.id,
            "at" => &mut self.at,
            "correlation" => &mut self.correlation,
            "by" => &mut self.by,
            "agent" => &mut self.agent,
            "customer" => &mut self.customer,
            "queue" => &mut self.queue,
            "target" => &mut self.target,
            "hold" => &mut self.hold,
            "origin" => &mut self.origin,
            "party" => &mut self.party,
            "reason" => &mut self.reason,
            "note" => &mut self.note,
            _ => unreachable!("{field} is no field of a command"),
        }
    }

    /// A field that no part of the command took; a silent one would be a typo unnoticed.
    fn left_over(&mut self) -> Option<&'static str> {
        const FIELDS: [&str; 9] = [
            "by", "agent", "customer", "queue", "target", "hold", "origin", "party", "reason",
        ];
        let mut fields = FIELDS.into_iter().chain(["note"]);
        fields.find(|field| self.slot(field).is_some())
    }
}

fn missing(kind: &str, field: &'static str) -> InvalidCommand {
    InvalidCommand::Missing {
        kind: cut(kind, 80),
        field,
    }
}

fn unknown_type(kind: &str) -> InvalidCommand {
    InvalidCommand::UnknownType {
        shown: cut(kind, 80),
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

/// A line can hold anything, and whoever reads the message wants to see its beginning.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Id(CommandId);

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Id(CommandId(id))),
            Err(_) => Err("not a UUID like 2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11"),
        }
    }
}

impl FromStr for HoldScope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "others" => Ok(HoldScope::Others),
            "none" => Ok(HoldScope::None),
            _ => Err("must be \"others\" or \"none\""),
        }
    }
}

impl HoldScope {
    /// The name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            HoldScope::Others => "others",
            HoldScope::None => "none",
        }
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "desktop" => Ok(Origin::Desktop),
            "device" => Ok(Origin::Device),
            _ => Err("must be \"desktop\" or \"device\""),
        }
    }
}

impl Origin {
    /// The name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Desktop => "desktop",
            Origin::Device => "device",
        }
    }
}

/// What a command is written as: absent fields are left out.
#[derive(Default, Serialize)]
struct Written<'a> {
    call: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text<CommandId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Text<crate::Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Text<&'a Actor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Text<&'a crate::Party>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text<&'a crate::Target>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<Text<&'a crate::Party>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The command as one line of JSON, without the line's end; [`parse_command`] reads the same from it.
pub fn write_command(request: &Request) -> String {
    let mut written = Written {
        call: request.call.as_str(),
        kind: request.command.name(),
        id: request.id.map(Text),
        at: request.at.map(Text),
        correlation: request
            .correlation
            .as_ref()
            .map(super::super::ids::Correlation::as_str),
        expect: request.expect.map(|revision| revision.0),
        ..Written::default()
    };
    fill(&mut written, &request.command);
    serde_json::to_string(&written).expect("texts and numbers are JSON")
}

fn fill<'a>(written: &mut Written<'a>, command: &'a Command) {
    match command {
        Command::ConnectCall {
            agent,
            customer,
            queue,
        } => {
            written.agent = Some(Text(agent));
            written.customer = customer
                .as_ref()
                .map(super::super::ids::CustomerNumber::as_str);
            written.queue = queue.as_ref().map(super::super::ids::Queue::as_str);
        }
        Command::StartConsult { by, target, hold } => {
            written.by = Some(Text(by));
            written.target = Some(Text(target));
            written.hold = Some(hold.name());
        }
        Command::StartConference { by, origin } => {
            written.by = Some(Text(by));
            written.origin = Some(origin.name());
        }
        Command::Hold { by, party } | Command::Resume { by, party } => {
            written.by = Some(Text(by));
            written.party = Some(Text(party));
        }
        Command::HangUp { party } | Command::LoseConnection { party } => {
            written.party = Some(Text(party));
        }
        Command::ApplyWrapUp { by, reason } => {
            written.by = Some(Text(by));
            written.reason = Some(reason.as_str());
        }
        Command::SuggestWrapUp { by, reason, note } => {
            written.by = Some(Text(by));
            written.reason = Some(reason.as_str());
            written.note = note.as_ref().map(super::super::ids::Note::as_str);
        }
        Command::StartMonitoring { by, agent } => {
            written.by = Some(Text(by));
            written.agent = Some(Text(agent));
        }
        Command::AcceptConsult { by }
        | Command::DeclineConsult { by }
        | Command::EndConsult { by }
        | Command::TransferCall { by }
        | Command::ExitConference { by }
        | Command::EndCall { by }
        | Command::PressEnd { by }
        | Command::BargeIn { by }
        | Command::StopMonitoring { by } => written.by = Some(Text(by)),
        Command::ConsultUnanswered => {}
    }
}
