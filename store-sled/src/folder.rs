//! The folder of a store: what may be in it, its lock, and syncing what is written to it.
//!
//! ```text
//! kaigi-store     what the folder is, written last when a store is made
//! lock            locked while a process has the store
//! log/            every event, in files that are only ever appended to
//! acknowledged    the last position that was acknowledged
//! head            a position, and the digest of all events up to it
//! index/          sled's files: where each call stands, made from the log
//! archives        folders that hold earlier files of the log
//! read-models/    the program's, not the store's
//! ```

use crate::error::OpenError;
use crate::files::{bytes_of, open_or_make, sync_above, sync_file, sync_folder, sync_tree};
use crate::log::{self, Log, LogError, Unfinished, segments_in};
use crate::notes::{
    ACKNOWLEDGED, ARCHIVES, Acknowledged, Archives, HEAD, HeadFile, MARKER, Marker, Purpose,
    read_marker, write_marker,
};
use crate::presence;
use domain::{StoreError, StoreId};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOCK: &str = "lock";
const LOG: &str = "log";
const INDEX: &str = "index";
const COPY: &str = "index.copy";

/// Is there for a moment, to find out whether the disk has room.
const ROOM: &str = "room.new";

/// What may stand in the folder of a store that is not finished being made: a process that died left it, or the keys of
/// a service were made before its store.
const HARMLESS: [&str; 11] = [
    LOCK,
    ACKNOWLEDGED,
    LOG,
    INDEX,
    COPY,
    "kaigi-store.new",
    "read-models",
    "lost+found",
    "keys.json",
    "keys.json.lock",
    "keys.json.new",
];

/// How long sled may take to let go of its files after it was dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder this process has; another process gets it once this is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    /// `None` if the folder is only read and was never locked by any process.
    lock: Option<File>,
}

/// Closing the file is not enough: a child process that is just being started shares it for a moment.
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.lock.as_ref().map(File::unlock);
    }
}

impl Folder {
    /// Takes the folder, which is made if it is missing. A folder that is no store, or a newer program's, is left
    /// exactly as it is.
    pub(crate) fn take(path: &Path) -> Result<(Self, Marker), OpenError> {
        make(path)?;
        let marker = read_marker(path)?;
        if marker == Marker::None {
            refuse_other_things(path)?;
        }
        let lock = lock(path)?;
        let folder = Self {
            path: path.to_owned(),
            lock: Some(lock),
        };
        folder.remove_unfinished_snapshots()?;
        // The process that had the lock until now may have made the store.
        let marker = read_marker(path)?;
        Ok((folder, marker))
    }

    /// Takes the folder of a store for reading: other processes are kept out, and no file in it is made or changed.
    pub(crate) fn take_for_reading(path: &Path) -> Result<(Self, Marker), OpenError> {
        fs::metadata(path).map_err(|error| OpenError::from_io(path, error))?;
        let folder = Self {
            path: path.to_owned(),
            lock: keep_out(path)?,
        };
        let marker = read_marker(path)?;
        Ok((folder, marker))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the index is that is used: the last of those that were made.
    pub(crate) fn index(&self) -> PathBuf {
        let last = self.indexes().pop();
        last.unwrap_or_else(|| self.path.join(INDEX).join("1"))
    }

    /// All indexes that are there: more than one after a process died while it made another.
    pub(crate) fn indexes(&self) -> Vec<PathBuf> {
        indexes_of(&self.path)
    }

    /// Where copies of another store's indexes may be for a while.
    pub(crate) fn index_copies(&self) -> PathBuf {
        self.path.join(COPY)
    }

    /// Puts an index aside that cannot be used: another is made beside it. It is a second copy of many events, so it is
    /// kept until the store is open.
    pub(crate) fn put_index_aside(&self) -> io::Result<()> {
        self.await_release();
        let number = number_of(&self.index()).unwrap_or(0) + 1;
        fs::create_dir_all(self.path.join(INDEX).join(number.to_string()))
    }

    /// Takes away those that were put aside.
    pub(crate) fn remove_old_indexes(&self) -> io::Result<()> {
        let mut indexes = self.indexes();
        indexes.pop();
        indexes.into_iter().try_for_each(fs::remove_dir_all)
    }

    /// Notes durably that the store was made completely.
    pub(crate) fn write_marker(&self, id: StoreId) -> io::Result<()> {
        write_marker(&self.path, Purpose::Calls, id)
    }

    /// Makes sure that everything in the folder, and that it is there, outlives a power cut. Sled syncs neither its
    /// configuration nor its folders.
    pub(crate) fn sync_everything(&self) -> io::Result<()> {
        // From the inside out: a folder that is synced names only what is on the disk.
        sync_tree(&self.path.join(INDEX))?;
        sync_folder(&self.log())?;
        for file in [LOCK, ACKNOWLEDGED] {
            sync_file(&self.path.join(file))?;
        }
        sync_folder(&self.path)?;
        sync_above(&self.path)
    }

    /// Verifies that every file is where it was opened that a store must not lose while it is open. Those of the index can
    /// be made anew.
    pub(crate) fn verify_files(
        &self,
        log: &Log,
        acknowledged: &Acknowledged,
    ) -> Result<(), String> {
        if let Some(lock) = &self.lock {
            // Another process would lock the file that is there.
            presence::verify(lock, &self.path.join(LOCK))?;
        }
        acknowledged.verify(&self.path)?;
        let marker = self.path.join(MARKER);
        if !marker.is_file() {
            return Err(presence::gone(&marker));
        }
        log.verify_files_in(&self.path)
    }

    /// Writes that number of bytes, syncs them, and removes them: fails if the disk cannot take them.
    pub(crate) fn must_have_room(&self, bytes: usize) -> io::Result<()> {
        let path = self.path.join(ROOM);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; bytes])?;
            file.sync_all()
        });
        // Also after a failure: what was written takes the room of the events to come.
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    pub(crate) fn head(&self) -> HeadFile {
        HeadFile::of(&self.path)
    }

    /// The log as it is found; a new store's is made. Also answers whose it is.
    pub(crate) fn open_log(&self, id: Option<StoreId>) -> Result<(Log, StoreId), OpenError> {
        if let Some(id) = id {
            return Ok((self.read_log(id, Unfinished::Remove)?, id));
        }
        let folder = self.log();
        let failed = |error| OpenError::from_io(&folder, error);
        fs::create_dir_all(&folder).map_err(failed)?;
        // A process that died while it made the store may have begun the log.
        if let Some(found) = self.find_log(Unfinished::Remove)? {
            return Ok(found);
        }
        let store = StoreId(uuid::Uuid::new_v4());
        Ok((Log::begin(&folder, store).map_err(failed)?, store))
    }

    /// The log of that store. What an archiving or a crash left is removed, or skipped as if it were.
    pub(crate) fn read_log(&self, id: StoreId, unfinished: Unfinished) -> Result<Log, OpenError> {
        let found = self.find_log(unfinished)?;
        let (log, of) = found.ok_or_else(|| self.corrupt("its events are gone"))?;
        if of == id {
            return Ok(log);
        }
        Err(self.corrupt(format!("its log is of another store, {of}")))
    }

    fn find_log(&self, unfinished: Unfinished) -> Result<Option<(Log, StoreId)>, OpenError> {
        let folder = self.log();
        let archives = Archives::read(&self.path)?;
        if !folder.exists() {
            return Ok(None);
        }
        let own = match unfinished {
            Unfinished::Remove => {
                log::tidy(&self.path, &archives).and_then(|()| segments_in(&folder))
            }
            Unfinished::Skip => log::tidied(&self.path, &archives),
        };
        let own = own.map_err(|error| OpenError::from_io(&folder, error))?;
        log::open(&archives, own, unfinished).map_err(|error| self.failed(error))
    }

    pub(crate) fn failed(&self, error: LogError) -> OpenError {
        match error {
            LogError::Io(path, error) => OpenError::from_io(&path, error),
            LogError::Damage(damage) => self.corrupt(damage.to_string()),
            away @ LogError::Away(_) => OpenError::Away {
                path: self.path.clone(),
                what: StoreError::from(away).to_string(),
            },
        }
    }

    pub(crate) fn acknowledged(&self) -> Result<(Acknowledged, Option<u64>), OpenError> {
        Acknowledged::open(&self.path)
    }

    pub(crate) fn altered(&self, what: impl Into<String>) -> OpenError {
        OpenError::Altered {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    pub(crate) fn corrupt(&self, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    /// How many bytes the store takes, the program's read models not counted.
    pub(crate) fn bytes_on_disk(path: &Path) -> u64 {
        let files = [MARKER, ACKNOWLEDGED].map(|name| path.join(name));
        files
            .iter()
            .chain(&[LOG, INDEX, HEAD, ARCHIVES].map(|name| path.join(name)))
            .map(|path| bytes_of(path))
            .sum()
    }

    /// Waits until sled has let go of its file, which it does some time after it was dropped.
    pub(crate) fn await_release(&self) {
        await_release_of(&self.index());
    }

    /// A process that died while sled wrote a snapshot leaves a half one, which sled would take for a damaged one.
    pub(crate) fn remove_unfinished_snapshots(&self) -> Result<(), OpenError> {
        let events = self.index();
        if !events.exists() {
            return Ok(());
        }
        let remove = || {
            for entry in fs::read_dir(&events)? {
                let path = entry?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "generating")
                {
                    fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        remove().map_err(|error| OpenError::from_io(&events, error))
    }
}

/// Waits until sled has released the file of that index.
pub(crate) fn await_release_of(index: &Path) {
    let Ok(log) = File::open(index.join("db")) else {
        return;
    };
    let began = Instant::now();
    while let Err(TryLockError::WouldBlock) = log.try_lock() {
        if began.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = log.unlock();
}

/// The folders of that store's indexes, by their numbers.
pub(crate) fn indexes_of(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join(INDEX));
    let entries = entries.into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut indexes: Vec<_> = paths.filter(|path| number_of(path).is_some()).collect();
    indexes.sort_by_key(|path| number_of(path));
    indexes
}

fn number_of(index: &Path) -> Option<u64> {
    index.file_name()?.to_str()?.parse().ok()
}

/// Keeps other processes out of a store that is only read; nothing is made, so a folder that nobody ever had stays so.
pub(crate) fn keep_out(path: &Path) -> Result<Option<File>, OpenError> {
    let file = path.join(LOCK);
    match File::open(&file) {
        Ok(lock) => locked(path, lock).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::from_io(&file, error)),
    }
}

/// Whether a store was made in that folder.
pub(crate) fn is_store(path: &Path) -> bool {
    path.join(MARKER).is_file()
}

pub(crate) fn make(path: &Path) -> Result<(), OpenError> {
    // The last ancestor of a relative path is the empty one, which names nothing that could be made.
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let new: Vec<_> = path.ancestors().take_while(is_new).collect();
    match fs::create_dir_all(path) {
        Ok(()) => {
            let mut above = new.into_iter().map(sync_above);
            above
                .try_for_each(|synced| synced)
                .map_err(|error| OpenError::from_io(path, error))
        }
        Err(_) if path.exists() && !path.is_dir() => Err(OpenError::NotAFolder {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(OpenError::NotAFolder {
            path: first_that_is_a_file(path),
        }),
        Err(error) => Err(OpenError::from_io(path, error)),
    }
}

fn first_that_is_a_file(path: &Path) -> PathBuf {
    let mut above = path.ancestors();
    above.find(|path| path.is_file()).unwrap_or(path).to_owned()
}

pub(crate) fn refuse_other_things(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::from_io(path, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| OpenError::from_io(path, error))?;
        let name = entry.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Err(OpenError::NotAStore {
                path: path.to_owned(),
                what: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join(LOCK);
    let opened = open_or_make(&file).map_err(|error| OpenError::from_io(&file, error))?;
    locked(path, opened)
}

/// Locks the file of that store.
fn locked(store: &Path, lock: File) -> Result<File, OpenError> {
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Busy {
            path: store.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::from_io(&store.join(LOCK), error)),
    }
}
