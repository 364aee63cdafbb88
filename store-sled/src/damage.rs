//! What is damaged, and where, as far as it can be told.

use domain::StoreError;
use std::fmt;

/// Stored bytes that cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    position: Option<u64>,
    call: Option<(String, u64)>,
    what: String,
}

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            position: None,
            call: None,
            what: what.into(),
        }
    }

    /// The position, the call and its revision, and what is wrong.
    pub(crate) fn into_parts(self) -> (Option<u64>, Option<(String, u64)>, String) {
        (self.position, self.call, self.what)
    }

    #[must_use]
    pub(crate) fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// Names the call that was read, unless the damage names one itself.
    #[must_use]
    pub(crate) fn or_of(self, call: &str, revision: u64) -> Self {
        match self.call {
            None => self.of(call, revision),
            Some(_) => self,
        }
    }

    #[must_use]
    pub(crate) fn of(mut self, call: &str, revision: u64) -> Self {
        self.call = Some((call.to_owned(), revision));
        self
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "position {position}, ")?;
        }
        if let Some((call, revision)) = &self.call {
            write!(f, "call {call} at revision {revision}, ")?;
        }
        f.write_str(&self.what)
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        StoreError::Corrupt(damage.to_string())
    }
}
