//! The set of keys in force: those of a file, read again whenever the file has changed.

use super::file::{KeyFile, KeyFileError, Stamp};
use super::key::Key;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

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
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            known: Arc::clone(&self.known),
        }
    }

    /// How many requests and streams wait for the end of their key.
    pub fn watchers(&self) -> usize {
        self.known.generation.receiver_count()
    }

    /// The number of the set of keys that is in force.
    pub fn generation(&self) -> u64 {
        *self.known.generation.borrow()
    }

    /// Notifies of each new set of keys.
    pub fn changes(&self) -> watch::Receiver<u64> {
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
