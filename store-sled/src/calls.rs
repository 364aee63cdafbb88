//! The events of completed calls, each call's together, in files that are only ever appended to. Rows in sled say where;
//! sled itself would rewrite such long values again and again.
//!
//! A record is a checksum (4 bytes), which covers the call's name, too, and what was given. Where it begins and how
//! long it is stands in the row.

use crate::bytes::checksum_of;
use crate::files::{open_or_make, sync_folder};
use crate::{at, locks};
use domain::CallId;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// A file that is longer is followed by another.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

const CHECKSUM_BYTES: usize = 4;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) offset: u64,
    /// In bytes, its checksum included.
    pub(crate) length: u64,
}

type Files = BTreeMap<u64, Arc<File>>;

pub(crate) struct Calls {
    folder: PathBuf,
    files: RwLock<Files>,
    tail: Mutex<Tail>,
}

/// Where the next record goes.
struct Tail {
    number: u64,
    length: u64,
    /// Records that are not written yet.
    waiting: Vec<u8>,
}

impl Calls {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let files = files_in(folder, open_or_make)?;
        // A crash may leave a part of a record at the end. The next one goes after it. A row that tells of it is found
        // damaged by the checksum, and its call is read from the log again, because no mark vouches for it.
        let (number, length) = match files.last_key_value() {
            Some((number, file)) => (*number, file.metadata()?.len()),
            None => (0, 0),
        };
        Self::with(folder, files, number, length)
    }

    /// Opens the files in one folder for reading only; what is written goes to new files in another.
    pub(crate) fn open_over(original: &Path, new: &Path) -> io::Result<Self> {
        let files = files_in(original, |path| File::open(path))?;
        let number = files.last_key_value().map_or(0, |(last, _)| last + 1);
        Self::with(new, files, number, 0)
    }

    /// Goes on in the file of that number, at that length.
    fn with(folder: &Path, files: Files, number: u64, length: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            files: RwLock::new(files),
            tail: Mutex::new(Tail {
                number,
                length,
                waiting: Vec::new(),
            }),
        })
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        locks::lock(&self.tail)
    }

    fn file(&self, number: u64) -> Option<Arc<File>> {
        locks::read(&self.files).get(&number).cloned()
    }

    /// Takes a record; it is there to be read once [`flush`](Self::flush) has written it.
    pub(crate) fn push(&self, call: &CallId, record: &[u8]) -> Place {
        let mut tail = self.tail();
        let place = Place {
            file: tail.number,
            offset: tail.length + tail.waiting.len() as u64,
            length: (CHECKSUM_BYTES + record.len()) as u64,
        };
        let checksum = checksum_of(call.as_str().as_bytes(), record);
        tail.waiting.extend_from_slice(&checksum.to_be_bytes());
        tail.waiting.extend_from_slice(record);
        place
    }

    /// Writes what was taken.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut tail = self.tail();
        if tail.waiting.is_empty() {
            return Ok(());
        }
        let file = match self.file(tail.number) {
            Some(file) => file,
            None => self.begin(tail.number)?,
        };
        at::write_all(&file, &tail.waiting, tail.length)?;
        tail.length += tail.waiting.len() as u64;
        tail.waiting.clear();
        if tail.length >= FILE_BYTES {
            // `sync` knows the file that grows only, so a full one is synced here.
            file.sync_data()?;
            tail.number += 1;
            tail.length = 0;
        }
        Ok(())
    }

    fn begin(&self, number: u64) -> io::Result<Arc<File>> {
        let file = Arc::new(open_or_make(&self.path(number))?);
        // Its name has to outlive a power cut before a mark vouches for what is in it.
        sync_folder(&self.folder)?;
        locks::write(&self.files).insert(number, Arc::clone(&file));
        Ok(file)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}"))
    }

    /// Makes the disk keep what was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let number = self.tail().number;
        self.file(number).map_or(Ok(()), |file| file.sync_data())
    }

    /// The call's record there; nothing if it is not whole, or another's.
    pub(crate) fn read(&self, call: &CallId, place: Place) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(place.file) else {
            return Ok(None);
        };
        // A damaged row may say any length; no call is that long.
        let length = usize::try_from(place.length).ok();
        let Some(length) = length.filter(|length| (CHECKSUM_BYTES..1 << 30).contains(length))
        else {
            return Ok(None);
        };
        let end = file.metadata()?.len();
        if place
            .offset
            .checked_add(place.length)
            .is_none_or(|reaches| reaches > end)
        {
            return Ok(None);
        }
        let mut record = vec![0; length];
        at::read_full(&file, &mut record, place.offset)?;
        let checksum = checksum_of(call.as_str().as_bytes(), &record[CHECKSUM_BYTES..]);
        if record[..CHECKSUM_BYTES] != checksum.to_be_bytes() {
            return Ok(None);
        }
        record.drain(..CHECKSUM_BYTES);
        Ok(Some(record))
    }

    /// Takes away the files in which no record is needed any more. The one that grows stays.
    pub(crate) fn keep_only(&self, needed: &HashSet<u64>) -> io::Result<()> {
        let grows = self.tail().number;
        let mut files = locks::write(&self.files);
        let old: Vec<_> = files.keys().copied().collect();
        for number in old {
            if number != grows && !needed.contains(&number) {
                files.remove(&number);
                fs::remove_file(self.path(number))?;
            }
        }
        Ok(())
    }
}

/// The files in a folder by their numbers; none if there is no such folder.
fn files_in(folder: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<Files> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Files::new()),
        entries => entries?,
    };
    let mut files = Files::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            files.insert(number, Arc::new(open(&path)?));
        }
    }
    Ok(files)
}
