//! API keys: the text is told once, only its hash is kept.

use super::key_file::{KeyFile, KeyFileError, Stamp};
use super::{Grant, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::json::{AgentText, SupervisorText, Text};
use domain::{AgentId, SupervisorId, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

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

/// What a key that somebody asks for is to be.
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
    /// Nobody would know whose it is.
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
    /// Somebody revoked it.
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

/// The keys that are known: those of a file, read again whenever it has changed, or a set in memory.
#[derive(Debug, Default)]
pub struct Keys {
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    file: Option<KeyFile>,
    by_id: RwLock<HashMap<String, Arc<Key>>>,
    /// What the file looked like when it was read; held while it is read, so that no older content comes last.
    read: Mutex<Option<Stamp>>,
    trouble: RwLock<Option<String>>,
    failed_reads: AtomicU64,
    /// Counts the sets of keys that were in force; sent after the set was replaced.
    generation: watch::Sender<u64>,
}

/// How often the file is looked at: a revoked key is admitted for so long at most.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

impl Key {
    /// A new key, and its text, which nobody can tell again.
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
    /// The key, and its text, which nobody can tell again.
    pub fn create(self) -> Result<(Key, String), BadKey> {
        check_name(&self.name)?;
        let grants = grants(&self.roles, self.agent.as_ref(), self.supervisor.as_ref())?;
        let (mut key, text) = Key::create(&self.name, grants);
        key.expires_at = self.expires_at;
        Ok((key, text))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes what is written to it");
        text
    })
}

pub(super) fn check_name(name: &str) -> Result<(), BadKey> {
    let length = (1..=64).contains(&name.chars().count());
    if length && !name.trim().is_empty() && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(BadKey::Name)
    }
}

/// The roles with whom they are bound to: a role that needs somebody has them, and nobody stands there for nothing.
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

impl Keys {
    /// Those keys, and never others.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Self {
        Self {
            known: Arc::new(Known {
                by_id: RwLock::new(by_id(keys)),
                ..Known::default()
            }),
        }
    }

    /// Those of that file, now and whenever it has been replaced. A file that cannot be read later leaves the keys that
    /// were read before in force; [`Keys::trouble`] says so.
    pub fn open(path: impl Into<std::path::PathBuf>) -> Result<Self, KeyFileError> {
        let file = KeyFile::at(path);
        let (keys, stamp) = file.read()?;
        if file.is_readable_by_others() {
            let path = file.path().display();
            say(&format!(
                "others than its owner may read {path}; `chmod 600` it"
            ));
        }
        let known = Arc::new(Known {
            file: Some(file),
            by_id: RwLock::new(by_id(keys)),
            read: Mutex::new(Some(stamp)),
            ..Known::default()
        });
        let watched = Arc::downgrade(&known);
        thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || watch(&watched))
            .expect("threads can be started");
        Ok(Self { known })
    }

    /// The file they are kept in, if they are.
    pub fn file(&self) -> Option<&KeyFile> {
        self.known.file.as_ref()
    }

    /// Looks at the file now, as who has just changed it does.
    pub fn look(&self) {
        self.known.look();
    }

    /// Why the file could not be read when it was last looked at; none if it was.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.known.trouble.read();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the file could not be read.
    pub fn failed_reads(&self) -> u64 {
        self.known.failed_reads.load(Ordering::Relaxed)
    }

    /// The key with that text. What is compared is its hash, so that the time it takes tells nothing of the text.
    pub fn find(&self, text: &str) -> Option<Arc<Key>> {
        let id = text.strip_prefix("kaigi_")?.split('_').next()?;
        let hash: [u8; 32] = Sha256::digest(text).into();
        self.get(id).filter(|key| key.sha256 == hash)
    }

    /// The same keys, for a request that outlasts the borrow.
    pub(super) fn share(&self) -> Self {
        Self {
            known: Arc::clone(&self.known),
        }
    }

    /// How many requests and streams wait for the end of their key.
    pub fn watchers(&self) -> usize {
        self.known.generation.receiver_count()
    }

    /// The number of the set of keys that is in force.
    pub(super) fn generation(&self) -> u64 {
        *self.known.generation.borrow()
    }

    /// Notifies of each new set of keys.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.known.generation.subscribe()
    }

    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<Arc<Key>> {
        let by_id = self.known.by_id.read();
        let by_id = by_id.unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).cloned()
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Key>> {
        let by_id = self.known.by_id.read();
        let by_id = by_id.unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = by_id.values().cloned().collect();
        all.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        all
    }
}

fn by_id(keys: impl IntoIterator<Item = Key>) -> HashMap<String, Arc<Key>> {
    let keys = keys.into_iter();
    keys.map(|key| (key.id.clone(), Arc::new(key))).collect()
}

/// Looks at the file until nobody asks for its keys any more.
fn watch(known: &Weak<Known>) {
    loop {
        thread::sleep(BETWEEN_LOOKS);
        let Some(known) = known.upgrade() else { return };
        known.look();
    }
}

impl Known {
    fn look(&self) {
        let Some(file) = &self.file else { return };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_some() && *read == file.stamp() {
            return;
        }
        match file.read() {
            Ok((keys, stamp)) => {
                *read = Some(stamp);
                *self.by_id.write().unwrap_or_else(PoisonError::into_inner) = by_id(keys);
                self.generation.send_modify(|generation| *generation += 1);
                self.is_troubled_by(None);
            }
            Err(error) => {
                // Read again at the next look, whatever it looks like then.
                *read = None;
                self.failed_reads.fetch_add(1, Ordering::Relaxed);
                self.is_troubled_by(Some(told(&error)));
            }
        }
    }

    /// Keeps what is wrong, and says it once: a line a second would bury the rest.
    fn is_troubled_by(&self, trouble: Option<String>) {
        let kept = self.trouble.write();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        if *kept == trouble {
            return;
        }
        let said = trouble.as_deref().map_or_else(
            || "the key file is read again".to_owned(),
            |what| format!("{what}; the keys that were read before stay in force"),
        );
        say(&said);
        *kept = trouble;
    }
}

/// A line like those of requests, where the program says what goes wrong.
fn say(what: &str) {
    let at = domain::now().to_string();
    let line = serde_json::json!({"at": at, "keys": what});
    // Nobody may read it, and the keys are looked at all the same.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The error and what caused it, in one line.
fn told(error: &KeyFileError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}
