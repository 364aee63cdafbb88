//! The file of keys: hashes as readable JSON, changed only by putting another file in its place, so that whoever reads
//! it finds the old one or the new one whole, and needs no lock.

use super::key::{Key, Standing, check_name, grants};
use super::role::Role;
use domain::json::{Sha256Text, plain};
use domain::{Actor, AgentId, Party, SupervisorId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none: nobody has made a key yet, or it is elsewhere.
    #[error(
        "there is no key file at {path}; `kaigi keys create --name NAME --role operator --keys {path}` makes one"
    )]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// It is not what it must be; nothing of it is used.
    #[error("{path} is no key file that this program can read: {what}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: String,
        /// What it says.
        source: io::Error,
    },
    /// A key in force has the name already, and logs and people tell keys apart by their names.
    #[error(
        "{path} has a key in force named {name:?}, with the id {id}; choose another name, or revoke that key first"
    )]
    NameTaken {
        /// The file.
        path: String,
        /// The name.
        name: String,
        /// The key that has it.
        id: String,
    },
    /// No key has that id.
    #[error("{path} has no key {id}; `kaigi keys list` shows them")]
    NoSuchKey {
        /// The file.
        path: String,
        /// The id.
        id: String,
    },
}

/// What a file looks like from outside: another content has another stamp, since it is another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// The number of the file and when that was last put somewhere, where there are such things.
    identity: (u64, i64, i64),
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    keys: Vec<Line>,
}

/// A key in the file. A field that is not known here may be a limit that must hold, so it is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    name: String,
    roles: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisor: Option<String>,
    sha256: Sha256Text,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// The one format there is.
const FORMAT: u32 = 1;

/// Whoever has so many keys has put another file there.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

impl KeyFile {
    /// The one at that path, whether it is there or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its keys, in the order they were made.
    pub fn keys(&self) -> Result<Vec<Key>, KeyFileError> {
        self.read().map(|(keys, _)| keys)
    }

    /// Adds a key whose name no key in force has; makes the file, and its folder, if they are not there.
    pub fn add(&self, key: Key) -> Result<(), KeyFileError> {
        let folder = folder_of(&self.path);
        fs::create_dir_all(folder).map_err(|source| self.failed("make the folder of", source))?;
        self.change(|keys| {
            let is_same = |other: &&Key| {
                other.name == key.name && other.standing(key.created_at) == Standing::Valid
            };
            if let Some(other) = keys.iter().find(is_same) {
                return Err(self.name_taken(other));
            }
            keys.push(key);
            Ok(())
        })
    }

    /// Revokes the key of that id, if it is not revoked yet, and tells it.
    pub fn revoke(&self, id: &str, at: Timestamp) -> Result<Key, KeyFileError> {
        if !self.path.exists() {
            return Err(self.missing());
        }
        self.change(|keys| {
            let key = keys.iter_mut().find(|key| key.id == id);
            let key = key.ok_or_else(|| KeyFileError::NoSuchKey {
                path: self.shown(),
                id: id.to_owned(),
            })?;
            key.revoked_at.get_or_insert(at);
            Ok(key.clone())
        })
    }

    /// Whether others than its owner may read it, which they need not.
    #[cfg(unix)]
    pub fn is_readable_by_others(&self) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(&self.path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
    }

    /// Whether others than its owner may read it, which only Unix tells.
    #[cfg(not(unix))]
    pub fn is_readable_by_others(&self) -> bool {
        false
    }

    /// What it looks like now; none if it cannot be looked at.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|about| Stamp::of(&about))
    }

    /// Its keys, and what the file looked like that they are from.
    pub(super) fn read(&self) -> Result<(Vec<Key>, Stamp), KeyFileError> {
        let file = File::open(&self.path).map_err(|source| self.not_read(source))?;
        let about = file.metadata().map_err(|source| self.not_read(source))?;
        let mut text = String::new();
        let mut limited = file.take(MOST_BYTES + 1);
        limited
            .read_to_string(&mut text)
            .map_err(|source| self.not_read(source))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(self.malformed("it is too long"));
        }
        let keys = parse(&text).map_err(|what| self.malformed(what))?;
        Ok((keys, Stamp::of(&about)))
    }

    /// Reads, changes and replaces it, while nobody else does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Key>) -> Result<T, KeyFileError>,
    ) -> Result<T, KeyFileError> {
        // A link is followed once: it is to stay one, and lead to what is changed.
        let real = Self::at(fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()));
        let _alone = real
            .lock()
            .map_err(|source| real.failed("lock the neighbour of", source))?;
        let mut keys = match real.keys() {
            Err(KeyFileError::Missing { .. }) => Vec::new(),
            found => found?,
        };
        let changed = change(&mut keys)?;
        real.replace(&keys)
            .map_err(|source| real.failed("replace", source))?;
        Ok(changed)
    }

    /// Held until it is dropped. It is on a file beside, which is never replaced.
    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = for_its_owner(&mut options).open(self.beside(".lock"))?;
        lock.lock()?;
        belongs_where_it_is(&lock, &self.path);
        Ok(lock)
    }

    /// Writes another file and puts it in the place of this one, durably.
    fn replace(&self, keys: &[Key]) -> io::Result<()> {
        let new = self.beside(".new");
        match fs::remove_file(&new) {
            // Left by somebody who was killed before it took its place.
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        let mut file = for_its_owner(options.write(true).create_new(true)).open(&new)?;
        file.write_all(written(keys).as_bytes())?;
        match fs::metadata(&self.path) {
            Ok(old) => is_as(&file, &old)?,
            Err(_) => belongs_where_it_is(&file, &self.path),
        }
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_folder(folder_of(&self.path))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn name_taken(&self, key: &Key) -> KeyFileError {
        KeyFileError::NameTaken {
            path: self.shown(),
            name: key.name.clone(),
            id: key.id.clone(),
        }
    }

    fn missing(&self) -> KeyFileError {
        KeyFileError::Missing { path: self.shown() }
    }

    fn malformed(&self, what: impl Into<String>) -> KeyFileError {
        KeyFileError::Malformed {
            path: self.shown(),
            what: what.into(),
        }
    }

    fn not_read(&self, source: io::Error) -> KeyFileError {
        match source.kind() {
            ErrorKind::NotFound => self.missing(),
            ErrorKind::InvalidData => self.malformed("it is not UTF-8"),
            _ => self.failed("read", source),
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> KeyFileError {
        KeyFileError::Io {
            doing,
            path: self.shown(),
            source,
        }
    }
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            length: about.len(),
            modified: about.modified().ok(),
            identity: identity(about),
        }
    }
}

#[cfg(unix)]
fn identity(about: &Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (about.ino(), about.ctime(), about.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    folder
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn for_its_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn for_its_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Gives a file the owner and the rights of the one whose place it takes: the service that reads the old one must be
/// able to read the new one, whoever makes a key.
#[cfg(unix)]
fn is_as(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn is_as(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// What root makes in the folder of a service's user is for that user. Nobody else can give files away, and need not.
#[cfg(unix)]
fn belongs_where_it_is(file: &File, path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    if let Ok(folder) = fs::metadata(folder_of(path)) {
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

#[cfg(not(unix))]
fn belongs_where_it_is(_: &File, _: &Path) {}

/// Only Unix has folders that can be synced, and needs it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn written(keys: &[Key]) -> String {
    let content = Content {
        format: FORMAT,
        keys: keys.iter().map(Line::of).collect(),
    };
    let mut text = serde_json::to_string_pretty(&content).expect("keys are JSON");
    text.push('\n');
    text
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let content: Content = serde_json::from_str(text).map_err(|error| {
        let (what, line, column) = (plain(&error), error.line(), error.column());
        format!("{what}, at line {line}, column {column}")
    })?;
    if content.format != FORMAT {
        return Err(format!(
            "its format is {}, and known is {FORMAT}",
            content.format
        ));
    }
    let mut ids = HashSet::new();
    let lines = content.keys.into_iter();
    let key = |line: Line| {
        let id = line.id.clone();
        if !ids.insert(id.clone()) {
            return Err(format!("key {id} stands there twice"));
        }
        line.key().map_err(|what| format!("key {id}: {what}"))
    };
    lines.map(key).collect()
}

impl Line {
    fn of(key: &Key) -> Self {
        let row = key.row();
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            roles: row.roles,
            agent: key.agent().map(|agent| format!("agent:{agent}")),
            supervisor: key.supervisor().map(|id| format!("supervisor:{id}")),
            sha256: Sha256Text(key.sha256),
            created_at: key.created_at.to_string(),
            expires_at: key.expires_at.map(|at| at.to_string()),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
        }
    }

    fn key(self) -> Result<Key, String> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.id.is_empty() || !self.id.bytes().all(is_id) {
            return Err("an id is letters, digits and -".to_owned());
        }
        check_name(&self.name).map_err(|error| error.to_string())?;
        let agent = self.agent.as_deref().map(parse_agent).transpose()?;
        let supervisor = self
            .supervisor
            .as_deref()
            .map(parse_supervisor)
            .transpose()?;
        let grants = grants(&self.roles, agent.as_ref(), supervisor.as_ref())
            .map_err(|error| error.to_string())?;
        Ok(Key {
            id: self.id,
            name: self.name,
            grants,
            sha256: self.sha256.0,
            created_at: time(&self.created_at)?,
            expires_at: self.expires_at.as_deref().map(time).transpose()?,
            revoked_at: self.revoked_at.as_deref().map(time).transpose()?,
        })
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|error: domain::InvalidTime| error.to_string())
}

/// An agent as `agent:ID`.
pub fn parse_agent(text: &str) -> Result<AgentId, String> {
    match text.parse() {
        Ok(Actor::Party(Party::Agent(agent))) => Ok(agent),
        Ok(_) | Err(_) => Err("an agent is written agent:ID".to_owned()),
    }
}

/// A supervisor as `supervisor:ID`.
pub fn parse_supervisor(text: &str) -> Result<SupervisorId, String> {
    match text.parse() {
        Ok(Actor::Supervisor(supervisor)) => Ok(supervisor),
        Ok(_) | Err(_) => Err("a supervisor is written supervisor:ID".to_owned()),
    }
}
