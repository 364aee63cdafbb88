//! API keys. The text of a key is shown once, when it is created; only its hash is kept.

use super::role::{Grant, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::json::{AgentText, SupervisorText, Text, hex};
use domain::{AgentId, SupervisorId, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is called in lists and logs; the first part of its text.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// SHA-256 of its text, which is random enough that nothing slower is needed.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is not admitted any more, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A key to create.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose it is.
    pub name: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Whose desk it is, for a desk.
    pub agent: Option<AgentId>,
    /// Which supervisor's it is, for a supervisor.
    pub supervisor: Option<SupervisorId>,
    /// From when it is not admitted any more, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Why there can be no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The name cannot tell the key's owner.
    #[error("a name is 1 to 64 characters, not blank and without control characters")]
    Name,
    /// It could do nothing.
    #[error("a key has at least one role, and each role once")]
    Roles,
    /// A desk is one agent's, and only a desk is bound to an agent.
    #[error("the role desk needs the agent whose desk it is, and only that role has one")]
    Agent,
    /// The same of supervisors.
    #[error("the role supervisor needs the supervisor whose key it is, and only that role has one")]
    Supervisor,
}

/// Whether a key is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A key as it is listed: nothing of its text, and no hash.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRow<'a> {
    /// The first part of its text.
    pub id: &'a str,
    /// Whose it is.
    pub name: &'a str,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Whose desk it is.
    pub agent: Option<AgentText<'a>>,
    /// Which supervisor's it is.
    pub supervisor: Option<SupervisorText<'a>>,
    /// When it was made.
    pub created_at: Text<Timestamp>,
    /// From when it is not admitted any more.
    pub expires_at: Option<Text<Timestamp>>,
    /// When it was revoked.
    pub revoked_at: Option<Text<Timestamp>>,
}

impl Key {
    /// A new key and its text. The text cannot be recovered later.
    pub fn create(name: &str, grants: Vec<Grant>) -> (Self, String) {
        let mut random = [0; 38];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let id = hex(&random[..6]);
        let text = format!("kaigi_{id}_{}", URL_SAFE_NO_PAD.encode(&random[6..]));
        let key = Self {
            id,
            name: name.to_owned(),
            grants,
            sha256: Sha256::digest(&text).into(),
            created_at: domain::now(),
            expires_at: None,
            revoked_at: None,
        };
        (key, text)
    }

    /// Whether it is admitted at that time.
    pub fn standing(&self, at: Timestamp) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if self.expires_at.is_some_and(|end| end <= at) {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }

    /// Whose desk it is.
    pub fn agent(&self) -> Option<&AgentId> {
        self.grants.iter().find_map(|grant| match grant {
            Grant::Desk(agent) => Some(agent),
            _ => None,
        })
    }

    /// Which supervisor's it is.
    pub fn supervisor(&self) -> Option<&SupervisorId> {
        self.grants.iter().find_map(|grant| match grant {
            Grant::Supervisor(supervisor) => Some(supervisor),
            _ => None,
        })
    }

    /// As it is listed.
    pub fn row(&self) -> KeyRow<'_> {
        KeyRow {
            id: &self.id,
            name: &self.name,
            roles: self.grants.iter().map(Grant::role).collect(),
            agent: self.agent().map(AgentText),
            supervisor: self.supervisor().map(SupervisorText),
            created_at: Text(self.created_at),
            expires_at: self.expires_at.map(Text),
            revoked_at: self.revoked_at.map(Text),
        }
    }
}

impl Wanted {
    /// The key and its text. The text cannot be recovered later.
    pub fn create(self) -> Result<(Key, String), BadKey> {
        check_name(&self.name)?;
        let grants = grants(&self.roles, self.agent.as_ref(), self.supervisor.as_ref())?;
        let (mut key, text) = Key::create(&self.name, grants);
        key.expires_at = self.expires_at;
        Ok((key, text))
    }
}

pub(super) fn check_name(name: &str) -> Result<(), BadKey> {
    let length = (1..=64).contains(&name.chars().count());
    if length && !name.trim().is_empty() && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(BadKey::Name)
    }
}

/// Binds each role to its agent or supervisor. A role that needs one must have it, and no other role may.
pub(super) fn grants(
    roles: &[Role],
    agent: Option<&AgentId>,
    supervisor: Option<&SupervisorId>,
) -> Result<Vec<Grant>, BadKey> {
    let twice = |role| roles.iter().filter(|other| *other == role).count() > 1;
    if roles.is_empty() || roles.iter().any(twice) {
        return Err(BadKey::Roles);
    }
    if agent.is_some() != roles.contains(&Role::Desk) {
        return Err(BadKey::Agent);
    }
    if supervisor.is_some() != roles.contains(&Role::Supervisor) {
        return Err(BadKey::Supervisor);
    }
    let grant = |role: &Role| match role {
        Role::Telephony => Ok(Grant::Telephony),
        Role::Desk => agent.cloned().map(Grant::Desk).ok_or(BadKey::Agent),
        Role::Supervisor => {
            let bound = supervisor.cloned().map(Grant::Supervisor);
            bound.ok_or(BadKey::Supervisor)
        }
        Role::Reader => Ok(Grant::Reader),
        Role::Auditor => Ok(Grant::Auditor),
        Role::Operator => Ok(Grant::Operator),
    };
    roles.iter().map(grant).collect()
}
