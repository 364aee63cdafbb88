//! The kept prefixes in a file, so that a start need not read the whole store. They follow from the store, so nothing
//! is lost with the file, and nothing waits until it is written.

use super::marks::Marks;
use super::tail::Tail;
use domain::envelope::Hash;
use domain::{INTERVAL, Position, Prefix, StoreId};
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// How the file begins; the number is the layout's. The store's id follows, and then the records.
const MAGIC: &[u8; 19] = b"kaigi-feed-proof-1\n";
const HEADER: usize = MAGIC.len() + 16;
/// Count and position in 8 bytes each, most significant first, the rolling hash, and the first bytes of a SHA-256 over
/// the store's id and all that.
const RECORD: usize = 8 + 8 + 32 + CHECKSUM;
const CHECKSUM: usize = 8;

/// What was found in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) marks: Marks,
    /// There was something that cannot be gone on from.
    pub(super) unusable: bool,
}

/// Writes the file, in a task of its own.
pub(super) struct Keeper {
    sender: mpsc::UnboundedSender<Note>,
    writing: JoinHandle<()>,
}

enum Note {
    Mark(Prefix),
    Anew,
}

impl Found {
    /// As if nothing could be gone on from, if so.
    pub(super) fn unless(self, unusable: bool) -> Self {
        if unusable {
            Self {
                unusable,
                ..Self::default()
            }
        } else {
            self
        }
    }

    /// What the file has of that store. A record that a crash cut off at its end is as if it were not there.
    fn of(bytes: &[u8], store: StoreId) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let records = bytes.strip_prefix(&header(store)[..]);
        let marks = records.and_then(|records| marks(records, store));
        Self {
            unusable: marks.is_none(),
            marks: marks.unwrap_or_default(),
        }
    }
}

fn marks(records: &[u8], store: StoreId) -> Option<Marks> {
    let (records, _torn) = records.as_chunks::<RECORD>();
    let mut marks = Marks::default();
    for (place, bytes) in records.iter().enumerate() {
        let is_last = place + 1 == records.len();
        let follows = mark(bytes, store).is_some_and(|mark| marks.push(mark));
        if !follows && !is_last {
            return None;
        }
    }
    Some(marks)
}

fn header(store: StoreId) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(store.0.as_bytes());
    header
}

fn record(mark: Prefix, store: StoreId) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&mark.count.to_be_bytes());
    record[8..16].copy_from_slice(&mark.position.0.to_be_bytes());
    record[16..48].copy_from_slice(&mark.rolling_hash.0);
    let checksum = checksum(&record[..48], store);
    record[48..].copy_from_slice(&checksum);
    record
}

/// The mark, if the record is as it was written.
fn mark(bytes: &[u8; RECORD], store: StoreId) -> Option<Prefix> {
    let number = |from: usize| {
        let bytes = bytes[from..from + 8].try_into();
        u64::from_be_bytes(bytes.expect("eight bytes were taken"))
    };
    let rolling_hash = bytes[16..48].try_into();
    let mark = Prefix {
        count: number(0),
        position: Position(number(8)),
        rolling_hash: Hash(rolling_hash.expect("thirty-two bytes were taken")),
    };
    (record(mark, store) == *bytes).then_some(mark)
}

fn checksum(bytes: &[u8], store: StoreId) -> [u8; CHECKSUM] {
    let mut hasher = Sha256::new();
    hasher.update(store.0.as_bytes());
    hasher.update(bytes);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&hasher.finalize()[..CHECKSUM]);
    checksum
}

/// Opens the file in that folder: what it has, and the task that writes on. Without a folder, or where it cannot be written to,
/// nothing is kept, and the next start reads the store; the tail reports why.
pub(super) fn open(folder: Option<&Path>, store: StoreId, tail: Arc<Tail>) -> (Found, Keeper) {
    // Not bounded, because the reader must not wait for a disk: some fifty bytes wait for 1,024 events.
    let (sender, notes) = mpsc::unbounded_channel();
    let (found, file) = match folder.map(|folder| opened(folder, store)) {
        Some(Ok((found, file))) => (found, Some(file)),
        Some(Err(error)) => {
            tail.not_kept(format!("cannot open the file of the proof: {error}"));
            (Found::default(), None)
        }
        None => (Found::default(), None),
    };
    let writing = tokio::spawn(write(file, store, notes, tail));
    (found, Keeper { sender, writing })
}

fn opened(folder: &Path, store: StoreId) -> io::Result<(Found, OpenFile)> {
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join("feed-proof"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let found = Found::of(&bytes, store);
    let mut open = OpenFile {
        file,
        whole: 0,
        waiting: Vec::new(),
    };
    if found.marks != Marks::default() {
        let records = found.marks.last().count / INTERVAL;
        open.whole = HEADER as u64 + records * RECORD as u64;
    }
    open.write(store)?;
    Ok((found, open))
}

/// The file, and what is still to be written to it.
struct OpenFile {
    file: File,
    /// How many bytes are as they should be; 0 before the header is written.
    whole: u64,
    /// What a failed write left. The tail has the same marks in memory, so these are never more.
    waiting: Vec<Prefix>,
}

impl OpenFile {
    fn take(&mut self, note: &Note, store: StoreId) -> io::Result<()> {
        match note {
            Note::Mark(mark) => self.waiting.push(*mark),
            Note::Anew => {
                self.whole = 0;
                self.waiting.clear();
            }
        }
        self.write(store)
    }

    /// Writes what waits, after the part that is whole.
    fn write(&mut self, store: StoreId) -> io::Result<()> {
        self.file.set_len(self.whole)?;
        self.file.seek(SeekFrom::Start(self.whole))?;
        if self.whole == 0 {
            self.file.write_all(&header(store))?;
            self.whole = HEADER as u64;
        }
        let records = self.waiting.iter().map(|mark| record(*mark, store));
        let records: Vec<u8> = records.flatten().collect();
        self.file.write_all(&records)?;
        self.whole += records.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// Writes what is noted. After a failure the next note is written with those before it.
async fn write(
    mut file: Option<OpenFile>,
    store: StoreId,
    mut notes: mpsc::UnboundedReceiver<Note>,
    tail: Arc<Tail>,
) {
    while let Some(note) = notes.recv().await {
        let Some(mut open) = file.take() else {
            continue;
        };
        let written = spawn_blocking(move || {
            let written = open.take(&note, store);
            (open, written)
        });
        let Ok((open, written)) = written.await else {
            return tail.not_kept("writing the file of the proof failed".to_owned());
        };
        file = Some(open);
        match written {
            Ok(()) => tail.kept(),
            Err(error) => tail.not_kept(format!("cannot write the file of the proof: {error}")),
        }
    }
}

impl Keeper {
    /// One more.
    pub(super) fn keep(&self, mark: Prefix) {
        // Who writes ends only once this is dropped.
        let _ = self.sender.send(Note::Mark(mark));
    }

    /// Nothing that was kept holds.
    pub(super) fn begin_anew(&self) {
        let _ = self.sender.send(Note::Anew);
    }

    /// Writes what there is to be written.
    pub(super) async fn close(self) {
        drop(self.sender);
        // A writer that panicked has written less, and the next start reads more.
        let _ = self.writing.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_mark(number: u64) -> Prefix {
        let count = number * INTERVAL;
        Prefix {
            count,
            position: Position(count),
            rolling_hash: Hash([7; 32]),
        }
    }

    #[test]
    fn after_a_failed_write_the_next_one_writes_what_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = StoreId(uuid::Uuid::nil());
        let (_, mut open) = opened(folder.path(), store).expect("a file");
        open.take(&Note::Mark(a_mark(1)), store).expect("written");
        let path = folder.path().join("feed-proof");
        let read_only = File::open(&path).expect("there");
        let writable = std::mem::replace(&mut open.file, read_only);
        assert!(open.take(&Note::Mark(a_mark(2)), store).is_err());
        open.file = writable;
        open.take(&Note::Mark(a_mark(3)), store).expect("written");
        let found = Found::of(&std::fs::read(&path).expect("readable"), store);
        assert_eq!((found.unusable, found.marks.last()), (false, a_mark(3)));
    }
}
