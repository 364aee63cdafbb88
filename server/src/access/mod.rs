//! Who may do what: keys, their roles, and the guard of every route.

mod keys;

pub use keys::{Key, Keys};

use crate::Problem;
use crate::route::Route;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use domain::{Actor, AgentId, Command, Party, SupervisorId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a key is for. It may have several roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The telephone system: facts and all commands.
    Telephony,
    /// One agent's desktop: that agent's commands, and read models.
    Desk,
    /// One supervisor's desktop: that supervisor's commands, and read models.
    Supervisor,
    /// Read models.
    Reader,
    /// Events and calls.
    Auditor,
    /// Backups, copies, keys.
    Operator,
}

/// A role as it was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The telephone system.
    Telephony,
    /// The desktop of that agent.
    Desk(AgentId),
    /// The desktop of that supervisor.
    Supervisor(SupervisorId),
    /// Read models.
    Reader,
    /// Events and calls.
    Auditor,
    /// Backups, copies, keys.
    Operator,
}

/// Who may take a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone, also without a key.
    Everyone,
    /// Keys with one of these roles.
    Roles(&'static [Role]),
}

/// Who sends commands; which ones, says [`Caller::may_send`].
pub const COMMANDS: Access = Access::Roles(&[Role::Telephony, Role::Desk, Role::Supervisor]);

/// The code of a command that a key may not send.
pub(crate) const NOT_YOURS: &str = "not_yours";

/// Who reads the read models.
pub const READ_MODELS: Access = Access::Roles(&[Role::Reader, Role::Desk, Role::Supervisor]);

/// Who reads calls and events.
pub const HISTORY: Access = Access::Roles(&[Role::Auditor]);

/// Who looks after the service.
pub const OPERATION: Access = Access::Roles(&[Role::Operator]);

/// Who asks, once admitted.
#[derive(Debug, Clone)]
pub struct Caller {
    key: Arc<str>,
    grants: Arc<[Grant]>,
}

/// What stands in front of every route.
pub struct Guards {
    keys: Option<Keys>,
}

impl Grant {
    /// The role that was granted.
    pub fn role(&self) -> Role {
        match self {
            Grant::Telephony => Role::Telephony,
            Grant::Desk(_) => Role::Desk,
            Grant::Supervisor(_) => Role::Supervisor,
            Grant::Reader => Role::Reader,
            Grant::Auditor => Role::Auditor,
            Grant::Operator => Role::Operator,
        }
    }

    fn lets_send(&self, command: &Command) -> bool {
        match self {
            Grant::Telephony => true,
            Grant::Desk(agent) => is_by(command, |by| {
                *by == Actor::Party(Party::Agent(agent.clone()))
            }),
            Grant::Supervisor(own) => is_by(command, |by| *by == Actor::Supervisor(own.clone())),
            Grant::Reader | Grant::Auditor | Grant::Operator => false,
        }
    }
}

/// Whether somebody asks for it, and it is them.
fn is_by(command: &Command, them: impl Fn(&Actor) -> bool) -> bool {
    by(command).is_some_and(them)
}

/// Who asks for the command; nobody for what the telephone system reports.
fn by(command: &Command) -> Option<&Actor> {
    match command {
        Command::ConnectCall { .. }
        | Command::ConsultUnanswered
        | Command::HangUp { .. }
        | Command::LoseConnection { .. } => None,
        Command::StartConsult { by, .. }
        | Command::AcceptConsult { by }
        | Command::DeclineConsult { by }
        | Command::EndConsult { by }
        | Command::StartConference { by, .. }
        | Command::Hold { by, .. }
        | Command::Resume { by, .. }
        | Command::TransferCall { by }
        | Command::ExitConference { by }
        | Command::EndCall { by }
        | Command::PressEnd { by }
        | Command::ApplyWrapUp { by, .. }
        | Command::SuggestWrapUp { by, .. }
        | Command::StartMonitoring { by, .. }
        | Command::BargeIn { by }
        | Command::StopMonitoring { by } => Some(by),
    }
}

impl Caller {
    /// The key's name in logs.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether the key has one of the roles that a route is open to.
    pub fn may(&self, access: Access) -> bool {
        match access {
            Access::Everyone => true,
            Access::Roles(roles) => {
                let mut granted = self.grants.iter();
                granted.any(|grant| roles.contains(&grant.role()))
            }
        }
    }

    /// Whether the key may send that command: nobody acts for another, and only the telephone system reports facts.
    pub fn may_send(&self, command: &Command) -> Result<(), Problem> {
        if self.grants.iter().any(|grant| grant.lets_send(command)) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            NOT_YOURS,
            format!(
                "this key may not send `{}` in that name; a desk key sends its own agent's commands, a supervisor key \
                 its own supervisor's, and facts come from a telephony key",
                command.name()
            ),
        ))
    }
}

impl Guards {
    /// Admits keys from that file or set.
    pub fn new(keys: Keys) -> Self {
        Self { keys: Some(keys) }
    }

    /// Admits everybody to everything; whoever starts the service so listens on the loopback alone.
    pub fn open() -> Self {
        Self { keys: None }
    }

    pub(crate) fn admit(&self, request: &Request, route: &Route) -> Result<Caller, Problem> {
        let Some(keys) = &self.keys else {
            return Ok(anybody());
        };
        if route.access == Access::Everyone {
            return Ok(nobody());
        }
        let presented = bearer(request.headers()).ok_or_else(no_key)?;
        let key = keys.find(presented).ok_or_else(no_key)?;
        let caller = Caller {
            key: key.id.as_str().into(),
            grants: key.grants.into(),
        };
        if caller.may(route.access) {
            Ok(caller)
        } else {
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                "role_missing",
                "this key has no role that may do that",
            ))
        }
    }

    pub(crate) fn answer_origin(&self, _origin: Option<&HeaderValue>, _headers: &mut HeaderMap) {}
}

fn anybody() -> Caller {
    Caller {
        key: "-".into(),
        grants: [
            Grant::Telephony,
            Grant::Reader,
            Grant::Auditor,
            Grant::Operator,
        ]
        .into(),
    }
}

fn nobody() -> Caller {
    Caller {
        key: "-".into(),
        grants: [].into(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}

fn no_key() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "key_missing",
        "send a key that is known here, as `Authorization: Bearer KEY`; `kaigi keys create` makes one",
    )
}
