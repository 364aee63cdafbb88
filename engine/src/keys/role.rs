//! Roles, and what a grant of one lets its key do.

use domain::{Actor, AgentId, Command, Party, SupervisorId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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
    /// Events, calls and read models.
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
    /// Events, calls and read models.
    Auditor,
    /// Backups, copies, keys.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 6] = [
        Role::Telephony,
        Role::Desk,
        Role::Supervisor,
        Role::Reader,
        Role::Auditor,
        Role::Operator,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Role::Telephony => "telephony",
            Role::Desk => "desk",
            Role::Supervisor => "supervisor",
            Role::Reader => "reader",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.name() == text).ok_or_else(|| {
            "must be telephony, desk, supervisor, reader, auditor or operator".to_owned()
        })
    }
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

    /// Whether a key with this grant may send the command.
    pub fn lets_send(&self, command: &Command) -> bool {
        match self {
            Grant::Telephony => true,
            Grant::Desk(agent) => {
                let own = Actor::Party(Party::Agent(agent.clone()));
                command.by() == Some(&own)
            }
            Grant::Supervisor(supervisor) => {
                let own = Actor::Supervisor(supervisor.clone());
                is_monitoring(command) && command.by() == Some(&own)
            }
            Grant::Reader | Grant::Auditor | Grant::Operator => false,
        }
    }
}

/// Whether it is what supervisors do.
pub fn is_monitoring(command: &Command) -> bool {
    matches!(
        command,
        Command::StartMonitoring { .. } | Command::BargeIn { .. } | Command::StopMonitoring { .. }
    )
}
