//! The caller of a request: what its key may do.

use super::admission::{Admission, Effect};
use super::permission::{Access, NOT_YOURS};
use crate::Problem;
use crate::clock::Clock;
use axum::http::StatusCode;
use domain::{Actor, AgentId, CallId, Command, Party};
use engine::keys::{Grant, Key, Keys, Role, is_monitoring};
use std::sync::Arc;

/// The caller of a request, once admitted.
#[derive(Debug, Clone)]
pub struct Caller {
    key: Arc<str>,
    pub(super) grants: Arc<[Grant]>,
    pub(super) admission: Admission,
}

impl Caller {
    /// The caller of a service that runs without keys: it has every role that is not bound to an agent or supervisor.
    pub(crate) fn anybody() -> Self {
        Self {
            key: "-".into(),
            grants: [
                Grant::Telephony,
                Grant::Reader,
                Grant::Auditor,
                Grant::Operator,
            ]
            .into(),
            admission: Admission::endless(),
        }
    }

    /// The caller of a route that needs no key.
    pub(super) fn nobody() -> Self {
        Self {
            key: "-".into(),
            grants: [].into(),
            admission: Admission::endless(),
        }
    }

    pub(super) fn with(key: &Arc<Key>, keys: &Keys, clock: &Clock) -> Self {
        Self {
            key: key.id.as_str().into(),
            grants: key.grants.as_slice().into(),
            admission: Admission::with(Arc::clone(key), keys, clock),
        }
    }

    /// Whether the key is still valid. Streams ask it before each piece.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admission.is_valid()
    }

    /// Waits until the key is revoked, changed or expired. Streams end then.
    pub(crate) async fn ended(&self) {
        self.admission.ended().await;
    }

    /// Permits a change: must be asked after the body was read and right before the change is made.
    pub(crate) fn begin_effect(&self) -> Result<Effect, Problem> {
        self.admission.begin_effect()
    }

    /// The key's name in logs.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether the key has that role.
    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.grants.iter().any(|grant| grant.role() == role)
    }

    /// Whether the key has one of the roles that a route is open to.
    pub fn may(&self, access: Access) -> Result<(), Problem> {
        if access.admits(&self.grants) {
            return Ok(());
        }
        Err(role_missing(access, &self.grants))
    }

    /// Whether the key may send that command. A desk or supervisor key acts only as its own agent or supervisor, and only
    /// the telephone system reports facts.
    pub fn may_send(&self, command: &Command) -> Result<(), Problem> {
        if self.grants.iter().any(|grant| grant.lets_send(command)) {
            return Ok(());
        }
        let detail = format!(
            "this key may not send `{}` in that name; a desk key sends its own agent's commands, a supervisor key \
             monitors as its own supervisor, and facts come from a telephony key",
            command.name()
        );
        let problem = Problem::new(StatusCode::FORBIDDEN, NOT_YOURS, detail);
        Err(with_roles(problem, senders(command)))
    }

    /// Whether the key may read a call with those agents: a key reads the calls that it may send commands for, so a desk
    /// reads those that its agent is or was in, or was asked to join.
    pub(crate) fn may_read_call<'a>(
        &self,
        call: &CallId,
        mut agents: impl Iterator<Item = &'a AgentId>,
    ) -> Result<(), Problem> {
        let mut desks = Vec::new();
        for grant in &*self.grants {
            match grant {
                Grant::Telephony | Grant::Supervisor(_) | Grant::Auditor | Grant::Operator => {
                    return Ok(());
                }
                Grant::Desk(agent) => desks.push(agent),
                Grant::Reader => {}
            }
        }
        if agents.any(|agent| desks.contains(&agent)) {
            return Ok(());
        }
        let detail = format!(
            "a desk key reads the calls that its own agent is or was in, and {call} is none of them"
        );
        let problem = Problem::new(StatusCode::FORBIDDEN, NOT_YOURS, detail);
        Err(with_roles(problem, &[Role::Auditor]))
    }
}

/// The roles that may send that command.
fn senders(command: &Command) -> &'static [Role] {
    match command.by() {
        Some(Actor::Party(Party::Agent(_))) => &[Role::Telephony, Role::Desk],
        Some(Actor::Supervisor(_)) if is_monitoring(command) => {
            &[Role::Telephony, Role::Supervisor]
        }
        Some(_) | None => &[Role::Telephony],
    }
}

/// The same problem, which names the roles that would do, for programs.
fn with_roles(problem: Problem, roles: &[Role]) -> Problem {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    problem.with("roles", names)
}

/// A key without any of the roles of a route.
fn role_missing(access: Access, grants: &[Grant]) -> Problem {
    let needed = match access {
        Access::Everyone => &[],
        Access::Roles(roles) => roles,
    };
    let names = |roles: &mut dyn Iterator<Item = Role>| {
        roles.map(Role::name).collect::<Vec<_>>().join(", ")
    };
    let detail = format!(
        "this needs a key with one of the roles {}; this key has {}",
        names(&mut needed.iter().copied()),
        names(&mut grants.iter().map(Grant::role)),
    );
    let problem = Problem::new(StatusCode::FORBIDDEN, "role_missing", detail);
    with_roles(problem, needed)
}
