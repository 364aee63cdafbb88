//! The index on disk, in sled: a row for each call, and how far they reach. All of it follows from the log, so what is
//! lost or damaged here costs the time to make it again, and no event.
//!
//! A row is its layout's version (1 byte), a checksum (4) that covers its key, too, where the call stands, and its
//! events, or where they are; what is longer than one value goes on in further ones. Keys are told apart by their first
//! byte: `c` calls that are completed, `l` calls that go on, `mark` how far all this reaches, `meta` of which store it is.

use crate::bytes::{Cursor, checksum_of, write_varint};
use crate::calls::{Calls, Place};
use crate::damage::Damage;
use crate::error::{failed_read, failed_sled_write, unwritten};
use crate::guard::guarded;
use crate::history::{History, gather};
use crate::log::{Log, LogError};
use crate::mark::Mark;
use crate::presence;
use domain::envelope::Hash;
use domain::{CallId, Head, Revision, StoreError, StoreId};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The version of the rows' layout, the first byte of every value.
const LAYOUT: u8 = 1;

/// What precedes what a value holds: layout and checksum.
const HEADER_BYTES: usize = 5;

/// Sled puts what is longer than a quarter of this into files of its own.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// Where the events of completed calls are, beside sled's files.
pub(crate) const CALLS: &str = "calls";

/// How many calls are looked at before the next are read.
const CALLS_AT_ONCE: usize = 4096;

/// Stands in an index that is to be made anew.
const MAKE_ANEW: &str = "make-anew";

const META: &[u8] = b"meta";
const MARK: &[u8] = b"mark";

/// What a row tells of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    /// Where it stands, and its events.
    Whole(History),
    /// Where it stands, and which events of the log are its own: those that were archived.
    Places(Head, Vec<(u64, u64)>),
}

const ROW: &str = "its row in the index is damaged";

/// Which of these a stored row is, and of a completed call's events where they are.
const WHOLE: u8 = 1;
const PLACES: u8 = 0;
const RECORD: u8 = 2;

/// The rows, open.
pub(crate) struct Rows {
    db: sled::Db,
    calls: Calls,
    path: PathBuf,
    /// Our own handle on sled's file, because sled's flush makes nothing durable on Linux.
    file: File,
    /// No value is longer.
    value_bytes: usize,
}

/// Rows on their way to the disk, written at once or not at all.
#[derive(Default)]
pub(crate) struct RowBatch {
    batch: sled::Batch,
    pub(crate) rows: u64,
}

/// Whether a completed call has a row among those that go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WasLive {
    Yes,
    No,
}

impl Row {
    /// The call's events, out of the log where the row only tells where they are.
    pub(crate) fn history(self, log: &Log, until: u64, call: &CallId) -> Result<History, LogError> {
        match self {
            Row::Whole(history) => Ok(history),
            Row::Places(head, places) => gather(log, until, call, head, &places),
        }
    }

    /// Where the events are, if the row holds them and all of them are archived.
    pub(crate) fn shrunk(
        &self,
        call: &CallId,
        archived_to: u64,
    ) -> Option<(Head, Vec<(u64, u64)>)> {
        let Row::Whole(history) = self else {
            return None;
        };
        let places = history.places(call).ok()?;
        let is_archived = |(first, events): &(u64, u64)| first + events - 1 <= archived_to;
        let all_are = places.iter().all(is_archived);
        all_are.then_some((history.head, places))
    }
}

/// Whether the index in that folder was noted to be made anew.
pub(crate) fn is_to_be_made_anew(index: &Path) -> bool {
    index.join(MAKE_ANEW).exists()
}

impl Rows {
    /// Opens the index of that store, which is made if it is missing. One that cannot be read, or is another store's,
    /// is an error that says why; the caller may remove it and try again.
    pub(crate) fn open(
        path: &Path,
        store: StoreId,
        cache_bytes: u64,
        segment_bytes: Option<usize>,
    ) -> Result<Self, sled::Error> {
        let calls = || Calls::open(&path.join(CALLS));
        let segment_bytes = segment_bytes.unwrap_or(SEGMENT_BYTES);
        Self::open_tree(path, cache_bytes, segment_bytes, calls)?.identified(store)
    }

    /// Opens a copy of an index, of any store; the events of completed calls are read where the original has them.
    pub(crate) fn open_copy(
        copy: &Path,
        original: &Path,
        cache_bytes: u64,
    ) -> Result<Self, sled::Error> {
        let calls = || Calls::open_over(&original.join(CALLS), &copy.join(CALLS));
        Self::open_tree(copy, cache_bytes, SEGMENT_BYTES, calls)
    }

    /// The rows, if they are that store's.
    pub(crate) fn identified(self, store: StoreId) -> Result<Self, sled::Error> {
        guarded(|| self.identify(store))
            .unwrap_or_else(|said| Err(sled::Error::ReportableBug(said)))?;
        Ok(self)
    }

    fn open_tree(
        path: &Path,
        cache_bytes: u64,
        segment_bytes: usize,
        calls: impl FnOnce() -> io::Result<Calls>,
    ) -> Result<Self, sled::Error> {
        let segment_bytes = segment_bytes_of(path).unwrap_or(segment_bytes);
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .segment_size(segment_bytes)
            .use_compression(false);
        guarded(|| {
            let db = config.open()?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path.join("db"))?;
            Ok(Self {
                db,
                calls: calls()?,
                path: path.to_owned(),
                file,
                value_bytes: segment_bytes / 32,
            })
        })
        .unwrap_or_else(|said| Err(sled::Error::ReportableBug(said)))
    }

    fn identify(&self, store: StoreId) -> Result<(), sled::Error> {
        let is = store.0.as_bytes();
        match self.db.get(META)? {
            Some(meta) if meta.as_ref() == is => Ok(()),
            None if self.db.is_empty() => self.db.insert(META, is).map(|_| ()),
            Some(_) | None => {
                let what = "it is another store's, or of an older program";
                Err(sled::Error::Unsupported(what.to_owned()))
            }
        }
    }

    /// Has it made anew from the log when the store is opened next.
    pub(crate) fn make_anew(&self) -> io::Result<()> {
        fs::write(self.path.join(MAKE_ANEW), "")
    }

    /// Verifies that sled's open file is the one in the folder.
    pub(crate) fn verify(&self) -> Result<(), String> {
        presence::verify(&self.file, &self.path.join("db"))
    }

    /// The row of a call that is not in memory.
    pub(crate) fn get(&self, call: &CallId) -> Result<Option<Row>, StoreError> {
        self.row(b'c', call)
    }

    fn row(&self, kind_of_key: u8, call: &CallId) -> Result<Option<Row>, StoreError> {
        reading(|| self.read_row(kind_of_key, call))
    }

    fn read_row(&self, kind_of_key: u8, call: &CallId) -> Result<Option<Row>, StoreError> {
        let Some(row) = self.value(kind_of_key, call, 0)? else {
            return Ok(None);
        };
        let mut row = Cursor::new(&row[HEADER_BYTES..]);
        let (kind, head, length) = read_start(&mut row).ok_or_else(|| damaged(call, ROW))?;
        let mut bytes = row.rest().to_vec();
        let mut number = 1;
        while bytes.len() < length {
            let more = self.value(kind_of_key, call, number)?;
            let more =
                more.ok_or_else(|| damaged(call, "a part of its row in the index is missing"))?;
            bytes.extend_from_slice(&more[HEADER_BYTES..]);
            number += 1;
        }
        Ok(Some(match kind {
            WHOLE => Row::Whole(History { head, bytes }),
            RECORD => Row::Whole(History {
                head,
                bytes: self.record(call, &bytes)?,
            }),
            _ => Row::Places(head, read_places(&bytes).ok_or_else(|| damaged(call, ROW))?),
        }))
    }

    /// The record of which a row says where it is.
    fn record(&self, call: &CallId, place: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = || damaged(call, "its events in the index are damaged");
        let place = read_place(place).ok_or_else(damaged)?;
        let read = self.calls.read(call, place).map_err(|error| {
            StoreError::Unavailable(format!("reading {} failed: {error}", self.path.display()))
        })?;
        read.ok_or_else(damaged)
    }

    /// One value of a row, its checksum verified.
    fn value(
        &self,
        kind: u8,
        call: &CallId,
        number: u16,
    ) -> Result<Option<sled::IVec>, StoreError> {
        let key = key(kind, call.as_str(), number);
        let Some(value) = self.db.get(&key).map_err(failed_read)? else {
            return Ok(None);
        };
        match row_of_value(&key, &value) {
            Some(_) => Ok(Some(value)),
            None => Err(damaged(call, ROW)),
        }
    }

    /// The calls that go on, as far as the rows know them.
    pub(crate) fn live(&self) -> Result<Vec<(CallId, History)>, StoreError> {
        let mut live = Vec::new();
        for call in self.calls_of_kind(b'l')? {
            if let Some(Row::Whole(history)) = self.row(b'l', &call)? {
                live.push((call, history));
            }
        }
        Ok(live)
    }

    /// The calls that go on whose rows can be read.
    pub(crate) fn readable_live(&self) -> Vec<(CallId, History)> {
        let calls = self.calls_of_kind(b'l').unwrap_or_default();
        let row = |call: CallId| match self.row(b'l', &call) {
            Ok(Some(Row::Whole(history))) => Some((call, history)),
            Ok(_) | Err(_) => None,
        };
        calls.into_iter().filter_map(row).collect()
    }

    fn calls_of_kind(&self, kind: u8) -> Result<Vec<CallId>, StoreError> {
        let read = || {
            let mut calls = Vec::new();
            for key in self.db.range([kind]..[kind + 1]).keys() {
                let key = key.map_err(failed_read)?;
                if let Some(call) = call_of_key(&key) {
                    calls.push(call);
                }
            }
            Ok(calls)
        };
        reading(read)
    }

    /// At most so many calls that are completed, by bytes, behind that one.
    pub(crate) fn completed_after(
        &self,
        after: Option<&CallId>,
        most: usize,
    ) -> Result<Vec<CallId>, StoreError> {
        let from = match after {
            // The last key that a call's row can have.
            Some(call) => key(b'c', call.as_str(), u16::MAX),
            None => vec![b'c'],
        };
        let read = || {
            let mut calls = Vec::new();
            for key in self.db.range(from..vec![b'c' + 1]).keys() {
                calls.extend(call_of_key(&key.map_err(failed_read)?));
                if calls.len() == most {
                    break;
                }
            }
            Ok(calls)
        };
        reading(read)
    }

    /// Hands every call that is completed to `take`, by bytes.
    pub(crate) fn each_completed(
        &self,
        mut take: impl FnMut(CallId) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut last = None;
        loop {
            let calls = self.completed_after(last.as_ref(), CALLS_AT_ONCE)?;
            let Some(end) = calls.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            calls.into_iter().try_for_each(&mut take)?;
        }
    }

    /// How far the rows reach; nothing if they are new.
    pub(crate) fn mark(&self) -> Result<Option<Mark>, StoreError> {
        let mark = reading(|| self.db.get(MARK).map_err(failed_read))?;
        let Some(mark) = mark else {
            return Ok(None);
        };
        let damaged = || StoreError::Corrupt("the index's mark is damaged".to_owned());
        Mark::read(&mark).map(Some).ok_or_else(damaged)
    }

    /// Adds the row of a call that goes on.
    pub(crate) fn put_live(&self, batch: &mut RowBatch, call: &CallId, history: &History) {
        self.write(batch, b'l', call, WHOLE, history.head, &history.bytes);
    }

    /// Adds the row of a completed call, in the place of the one it had when it went on.
    pub(crate) fn put_completed(
        &self,
        batch: &mut RowBatch,
        call: &CallId,
        history: &History,
        was_live: WasLive,
    ) {
        let place = write_place(self.calls.push(call, &history.bytes));
        self.write(batch, b'c', call, RECORD, history.head, &place);
        if was_live == WasLive::Yes {
            let values = history.bytes.len() / self.value_bytes + 1;
            for number in 0..u16::try_from(values).unwrap_or(u16::MAX) {
                batch.batch.remove(key(b'l', call.as_str(), number));
            }
        }
    }

    /// Replaces the row of a completed call by one that says only where in the log its events are.
    pub(crate) fn put_places(
        &self,
        batch: &mut RowBatch,
        call: &CallId,
        head: Head,
        places: &[(u64, u64)],
    ) {
        self.write(batch, b'c', call, PLACES, head, &write_places(places));
    }

    /// How many events the rows of completed calls tell of, whether or not their calls go on again. Sled loses rows in
    /// silence where its file is damaged, so somebody has to count.
    pub(crate) fn completed_events(&self) -> Result<u64, StoreError> {
        let count = || {
            let mut events = 0;
            for row in self.db.range([b'c']..[b'c' + 1]) {
                let (key, value) = row.map_err(failed_read)?;
                if key.ends_with(&[0, 0, 0]) {
                    events += events_of_row(&key, &value).ok_or_else(|| {
                        StoreError::Corrupt("a row of the index is damaged".to_owned())
                    })?;
                }
            }
            Ok(events)
        };
        reading(count)
    }

    /// Of a single call.
    pub(crate) fn completed_events_of(&self, call: &CallId) -> Result<u64, StoreError> {
        let value = self.value(b'c', call, 0)?;
        let key = key(b'c', call.as_str(), 0);
        Ok(value
            .and_then(|value| events_of_row(&key, &value))
            .unwrap_or(0))
    }

    /// Takes away the files of events of which no row tells any more.
    pub(crate) fn drop_unneeded(&self) -> Result<(), StoreError> {
        let mut needed = HashSet::new();
        self.each_completed(|call| {
            if let Some(value) = self.value(b'c', &call, 0)? {
                let mut row = Cursor::new(&value[HEADER_BYTES..]);
                let is_record = read_start(&mut row).is_some_and(|(kind, ..)| kind == RECORD);
                let place = read_place(row.rest()).filter(|_| is_record);
                needed.extend(place.map(|place| place.file));
            }
            Ok(())
        })?;
        self.calls
            .keep_only(&needed)
            .map_err(|error| unwritten(&error))
    }

    fn write(
        &self,
        batch: &mut RowBatch,
        kind_of_key: u8,
        call: &CallId,
        kind: u8,
        head: Head,
        bytes: &[u8],
    ) {
        let (here, rest) = bytes.split_at(bytes.len().min(self.value_bytes));
        let mut start = Vec::with_capacity(64 + here.len());
        start.push(kind);
        write_varint(&mut start, head.revision.0);
        start.extend_from_slice(&head.hash.0);
        write_varint(&mut start, bytes.len() as u64);
        start.extend_from_slice(here);
        batch.insert(kind_of_key, call, 0, &start);
        for (more, number) in rest.chunks(self.value_bytes).zip(1..) {
            batch.insert(kind_of_key, call, number, more);
        }
        batch.rows += 1;
    }

    pub(crate) fn put_mark(batch: &mut RowBatch, mark: &Mark) {
        batch.batch.insert(MARK, mark.bytes());
    }

    /// Hands the rows to the operating system, or to sled at least.
    pub(crate) fn apply(&self, batch: RowBatch) -> Result<(), StoreError> {
        self.calls.flush().map_err(|error| unwritten(&error))?;
        writing(|| self.db.apply_batch(batch.batch))
    }

    /// Makes the disk keep the events that rows tell of; before a mark does.
    pub(crate) fn sync_calls(&self) -> Result<(), StoreError> {
        self.calls.sync().map_err(|error| unwritten(&error))
    }

    /// Makes the disk keep all that was applied.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        writing(|| self.db.flush())?;
        self.file.sync_data().map_err(|error| unwritten(&error))
    }
}

impl RowBatch {
    fn insert(&mut self, kind: u8, call: &CallId, number: u16, bytes: &[u8]) {
        let key = key(kind, call.as_str(), number);
        let mut value = Vec::with_capacity(HEADER_BYTES + bytes.len());
        value.push(LAYOUT);
        value.extend_from_slice(&checksum_of(&key, bytes).to_be_bytes());
        value.extend_from_slice(bytes);
        self.batch.insert(key, value);
    }
}

/// Reads with sled; where it panics its files are damaged.
fn reading<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    guarded(read).unwrap_or_else(|said| Err(StoreError::Corrupt(said)))
}

/// Writes with sled; where it panics or fails, the store takes no events until the index was opened again.
fn writing<T>(write: impl FnOnce() -> Result<T, sled::Error>) -> Result<(), StoreError> {
    let written = guarded(write).map_err(StoreError::Unavailable)?;
    let failed = |error| StoreError::Unavailable(failed_sled_write(&error));
    written.map(|_| ()).map_err(failed)
}

/// The unit an index was made with, which sled insists on.
fn segment_bytes_of(path: &Path) -> Option<usize> {
    let text = fs::read(path.join("conf")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let bytes = text.split_once("segment_size: ")?.1.lines().next()?;
    let is_sane = |bytes: &usize| (1024..=64 * 1024 * 1024).contains(bytes);
    bytes.trim().parse().ok().filter(is_sane)
}

/// No identifier holds a zero, so no call's key is the beginning of another's.
fn key(kind: u8, call: &str, number: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(call.len() + 4);
    key.push(kind);
    key.extend_from_slice(call.as_bytes());
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The call of the key of a row's first value.
fn call_of_key(key: &[u8]) -> Option<CallId> {
    let call = key.get(1..)?.strip_suffix(&[0, 0, 0])?;
    CallId::try_from(SmolStr::new(str::from_utf8(call).ok()?)).ok()
}

fn damaged(call: &CallId, what: &str) -> StoreError {
    Damage::new(what).of(call.as_str(), 1).into()
}

/// What a value holds after its header, if that holds.
fn row_of_value<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (header, row) = value.split_at_checked(HEADER_BYTES)?;
    let holds = header[0] == LAYOUT && header[1..] == checksum_of(key, row).to_be_bytes();
    holds.then_some(row)
}

fn events_of_row(key: &[u8], value: &[u8]) -> Option<u64> {
    let (_, head, _) = read_start(&mut Cursor::new(row_of_value(key, value)?))?;
    Some(head.revision.0)
}

/// Which kind of row it is, where the call stands, and how many bytes follow.
fn read_start(row: &mut Cursor<'_>) -> Option<(u8, Head, usize)> {
    let kind = row.byte()?;
    let head = Head {
        revision: Revision(row.varint()?),
        hash: Hash(row.array()?),
    };
    Some((kind, head, usize::try_from(row.varint()?).ok()?))
}

fn write_place(place: Place) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    for number in [place.file, place.offset, place.length] {
        write_varint(&mut bytes, number);
    }
    bytes
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let mut left = Cursor::new(bytes);
    let place = Place {
        file: left.varint()?,
        offset: left.varint()?,
        length: left.varint()?,
    };
    left.is_empty().then_some(place)
}

fn write_places(places: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, events) in places {
        write_varint(&mut bytes, *first);
        write_varint(&mut bytes, *events);
    }
    bytes
}

fn read_places(bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut left = Cursor::new(bytes);
    let mut places = Vec::new();
    while !left.is_empty() {
        places.push((left.varint()?, left.varint()?));
    }
    Some(places)
}
