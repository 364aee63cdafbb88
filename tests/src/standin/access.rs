//! Who may do what.

use super::status;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// The password, which the stand-in keeps as it is.
    pub password: String,
}

impl User {
    /// A user of that name.
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
        }
    }
}

/// What can be forbidden to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Reading and following `$all`.
    ReadAll,
    /// Reading and following one stream.
    ReadStreams,
    /// Appending and deleting.
    Write,
    /// What members of `$ops` may do.
    Operate,
}

/// The users, if there are any, and what is forbidden at the moment.
#[derive(Debug, Default)]
pub(super) struct Access {
    users: Vec<User>,
    denied: Mutex<BTreeSet<Right>>,
}

impl Access {
    pub(super) fn of(users: Vec<User>) -> Self {
        Self {
            users,
            ..Self::default()
        }
    }

    pub(super) fn deny(&self, right: Right) {
        let denied = self.denied.lock();
        denied.unwrap_or_else(PoisonError::into_inner).insert(right);
    }

    pub(super) fn allow(&self, right: Right) {
        let denied = self.denied.lock();
        denied
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&right);
    }

    /// A wrong password is refused whatever the call; without users there are no passwords.
    pub(super) fn identify(&self, headers: &MetadataMap) -> Result<Option<&User>, Status> {
        let Some(header) = headers
            .get("authorization")
            .filter(|_| !self.users.is_empty())
        else {
            return Ok(None);
        };
        let user = self.users.iter().find(|user| {
            let login = BASE64_STANDARD.encode(format!("{}:{}", user.name, user.password));
            header.as_bytes() == format!("Basic {login}").as_bytes()
        });
        user.map(Some)
            .ok_or_else(|| Status::unauthenticated("Bad HTTP status code: 401"))
    }

    /// Where there are users, nobody else may do anything.
    pub(super) fn admit(&self, headers: &MetadataMap, right: Right) -> Result<(), Status> {
        let user = self.identify(headers)?;
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let stranger = user.is_none() && !self.users.is_empty();
        if stranger || denied.contains(&right) {
            return Err(status::access_denied());
        }
        Ok(())
    }
}
