//! Which roles a route is open to.

use engine::keys::{Grant, Role};

/// The roles that a route is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone, also without a key.
    Everyone,
    /// Keys with one of these roles.
    Roles(&'static [Role]),
}

/// The roles that send commands; `Caller::may_send` decides which ones.
pub const COMMANDS: Access = Access::Roles(&[Role::Telephony, Role::Desk, Role::Supervisor]);

/// The code of a command that a key may not send.
pub(crate) const NOT_YOURS: &str = "not_yours";

/// Who reads the read models.
pub const READ_MODELS: Access =
    Access::Roles(&[Role::Reader, Role::Desk, Role::Supervisor, Role::Auditor]);

/// The roles that read one call: those that send commands, and those that read all calls. `Caller::may_read_call` limits
/// desks to their own calls.
pub const ONE_CALL: Access = Access::Roles(&[
    Role::Telephony,
    Role::Desk,
    Role::Supervisor,
    Role::Auditor,
    Role::Operator,
]);

/// Who reads calls and events: auditors, and operators, whose backups and copies are made of nothing else.
pub const HISTORY: Access = Access::Roles(&[Role::Auditor, Role::Operator]);

/// Who looks after the service.
pub const OPERATION: Access = Access::Roles(&[Role::Operator]);

/// The roles that read the store's facts: those that read every event.
pub const STORE: Access = Access::Roles(&[Role::Auditor, Role::Operator]);

/// The roles that read metrics. A scraper needs no key that could create keys.
pub const METRICS: Access = Access::Roles(&[Role::Reader, Role::Operator]);

/// The roles that may ask for a token: those that may open some stream. The handler checks whether it is the stream named.
pub const STREAMS: Access = Access::Roles(&[
    Role::Reader,
    Role::Desk,
    Role::Supervisor,
    Role::Auditor,
    Role::Operator,
]);

impl Access {
    pub(super) fn admits(self, grants: &[Grant]) -> bool {
        match self {
            Access::Everyone => true,
            Access::Roles(roles) => grants.iter().any(|grant| roles.contains(&grant.role())),
        }
    }
}
