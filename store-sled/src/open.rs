//! Opening: take the folder, find the end of the log, and read what the index does not know yet.
//!
//! The log is the truth. An index that is missing, damaged, or another store's is made anew from it. At the end of the
//! log a commit that is not there whole was never acknowledged, and is cut off; whatever else does not hold is damage,
//! and nothing is changed then.

use crate::block::{Group, Groups};
use crate::damage::Damage;
use crate::folder::Folder;
use crate::history::{History, gather};
use crate::live::{Grown, Known, Live, Stage, stage_after};
use crate::log::frame::HEADER_BYTES;
use crate::log::{Log, LogError, Segment};
use crate::notes::{Acknowledged, Marker, NotedHead, Purpose};
use crate::reach::{beyond, reach_of};
use crate::read::REBUILD;
use crate::rows::{Mark, Row, RowBatch, Rows};
use crate::tail::{self, Tail};
use crate::upgrade::upgrade;
use crate::{OpenError, Options, at};
use domain::{CallId, Head, Revision, StoreError, StoreId};
use smol_str::SmolStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// How many completed calls of the log are kept in memory while the index is made from it.
const ROWS_AT_ONCE: usize = 1024;

/// A store as it was found.
pub(crate) struct Found {
    pub(crate) folder: Folder,
    pub(crate) log: Arc<Log>,
    pub(crate) id: StoreId,
    pub(crate) purpose: Purpose,
    pub(crate) recovered: Recovered,
}

/// What was read of it.
pub(crate) struct Recovered {
    pub(crate) rows: Rows,
    pub(crate) live: Live,
    pub(crate) mark: Mark,
    /// The end of the log, and the file that has it, to write to.
    pub(crate) end: End,
    pub(crate) tail: File,
    pub(crate) acknowledged: Acknowledged,
}

/// The index as it was read.
struct Index {
    rows: Rows,
    mark: Mark,
    /// The calls that go on, as far as the rows know them.
    live: Live,
    /// How many events all rows tell of.
    known: u64,
}

/// A store on its way to being open.
struct Store<'a> {
    folder: &'a Folder,
    id: StoreId,
    log: &'a Log,
    /// The last position that was noted as acknowledged.
    acknowledged: u64,
    purpose: Purpose,
    /// The last position that must be there.
    promised: u64,
    head: Option<NotedHead>,
}

/// Why a store cannot be opened, and whether it can with another index.
enum Unusable {
    Index(OpenError),
    Store(OpenError),
}

impl Store<'_> {
    fn failed(&self, error: LogError) -> Unusable {
        Unusable::Store(self.folder.failed(error))
    }

    fn index(&self, error: IndexError) -> Unusable {
        match error {
            IndexError::Log(LogError::Io(path, error)) => {
                Unusable::Store(OpenError::from_io(&path, error))
            }
            IndexError::Log(away @ LogError::Away(_)) => self.failed(away),
            IndexError::Log(LogError::Damage(damage)) => {
                Unusable::Index(self.folder.corrupt(damage.to_string()))
            }
            IndexError::Rows(StoreError::Corrupt(what)) => {
                Unusable::Index(self.folder.corrupt(what))
            }
            IndexError::Rows(StoreError::DamagedEvent(event)) => {
                Unusable::Index(self.folder.corrupt(event.to_string()))
            }
            IndexError::Rows(StoreError::Unavailable(what) | StoreError::Refused(what)) => {
                let error = std::io::Error::other(what);
                Unusable::Store(OpenError::from_io(&self.folder.index(), error))
            }
        }
    }

    fn io(&self, error: std::io::Error) -> Unusable {
        Unusable::Store(OpenError::from_io(self.folder.path(), error))
    }
}

impl Unusable {
    fn why(self) -> OpenError {
        match self {
            Unusable::Index(why) | Unusable::Store(why) => why,
        }
    }
}

impl Index {
    /// The last revision that it knows of the group's call.
    fn revision_of(&self, group: &Group<'_>) -> Result<u64, IndexError> {
        let call = call_of(group)?;
        match self.live.get(&call) {
            Some(history) => Ok(history.head.revision.0),
            None => Ok(self.rows.completed_events_of(&call)?),
        }
    }
}

fn call_of(group: &Group<'_>) -> Result<CallId, Damage> {
    let damaged = |_| Damage::new("the call's identifier is damaged").at(group.first);
    CallId::try_from(SmolStr::new(group.call)).map_err(damaged)
}

/// Why the index cannot be brought up to the log.
enum IndexError {
    Log(LogError),
    Rows(StoreError),
}

impl From<LogError> for IndexError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Damage> for IndexError {
    fn from(damage: Damage) -> Self {
        Self::Log(damage.into())
    }
}

impl From<StoreError> for IndexError {
    fn from(error: StoreError) -> Self {
        Self::Rows(error)
    }
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) position: u64,
    pub(crate) address: u64,
}

pub(crate) fn open(path: &Path, options: &Options) -> Result<Found, OpenError> {
    let (folder, marker) = Folder::take(path)?;
    let (known, purpose) = match marker {
        Marker::None => (None, Purpose::Calls),
        Marker::Store(id, purpose) => (Some(id), purpose),
    };
    if let Marker::Store(id, Purpose::Format1) = marker {
        upgrade(&folder, id)?;
    }
    let (log, id) = folder.open_log(known)?;
    let last = Acknowledged::read(folder.path())?;
    let head = folder.head().read()?;
    let noted = head.map_or(0, |head| head.position);
    let io = |error| OpenError::from_io(folder.path(), error);
    let store = Store {
        acknowledged: last.unwrap_or(0),
        purpose,
        promised: last.unwrap_or(0).max(noted),
        head,
        folder: &folder,
        id,
        log: &log,
    };
    let recovered = recover_with_any_index(&store, options).map_err(Unusable::why)?;
    if marker == Marker::None {
        folder.write_marker(id).map_err(io)?;
    }
    folder.remove_old_indexes().map_err(io)?;
    Ok(Found {
        log: Arc::new(log),
        folder,
        id,
        purpose,
        recovered,
    })
}

/// What is read of a store that this process has, for another index in the place of one that failed. The log ends at that
/// position, which is durable.
pub(crate) fn recover_again(
    folder: &Folder,
    log: &Log,
    id: StoreId,
    last: u64,
    options: &Options,
) -> Result<Recovered, OpenError> {
    folder.remove_unfinished_snapshots()?;
    let head = folder.head().read()?;
    let noted = head.map_or(0, |head| head.position);
    let store = Store {
        folder,
        id,
        log,
        acknowledged: last,
        purpose: Purpose::Calls,
        promised: last.max(noted),
        head,
    };
    recover_with_any_index(&store, options).map_err(Unusable::why)
}

/// An index that cannot be used is made anew, unless it has events that the log lost.
fn recover_with_any_index(store: &Store<'_>, options: &Options) -> Result<Recovered, Unusable> {
    // The older ones are removed once the store is open.
    if store.folder.indexes().len() > 1 {
        must_not_be_the_only_copy(store)?;
    }
    match recover(store, options) {
        Err(Unusable::Index(_)) => {
            must_not_be_the_only_copy(store)?;
            let aside = store.folder.put_index_aside();
            aside.map_err(|error| store.io(error))?;
            recover(store, options)
        }
        recovered => recovered,
    }
}

/// Notes the end as acknowledged, unless it is noted already.
fn note(store: &Store<'_>, end: End) -> Result<Acknowledged, Unusable> {
    let (note, noted) = store.folder.acknowledged().map_err(Unusable::Store)?;
    if noted != Some(end.position) {
        note.write(end.position).map_err(|error| store.io(error))?;
    }
    Ok(note)
}

/// Refuses to open a store whose indexes have events beyond the end of the log: made anew, they would lose them.
fn must_not_be_the_only_copy(store: &Store<'_>) -> Result<(), Unusable> {
    let reach = reach_of(&store.folder.indexes(), store.id);
    if reach == 0 {
        return Ok(());
    }
    if let Some(away) = store.log.lacks(0) {
        return Err(store.failed(away));
    }
    let start = End {
        position: 0,
        address: store.log.start(),
    };
    let written = written_end(store.log).map_err(|error| store.failed(error))?;
    let end = find_end_from(store.log, start, store.promised, written);
    let end = end.map_err(|error| store.failed(error))?;
    if reach <= end.position {
        return Ok(());
    }
    let what = beyond(reach, end.position);
    Err(Unusable::Store(store.folder.corrupt(what)))
}

/// The log and the index together, as far as they can be used.
fn recover(store: &Store<'_>, options: &Options) -> Result<Recovered, Unusable> {
    let index = open_index(store, options)?;
    let mark = index.mark;
    if let Some(away) = store.log.lacks(mark.address) {
        return Err(store.failed(away));
    }
    let end = find_end(store.log, &mark, store.promised).map_err(|error| store.failed(error))?;
    if end.position < store.promised {
        let (position, promised) = (end.position, store.promised);
        let what =
            format!("its events end at position {position}, and {promised} was acknowledged");
        return Err(Unusable::Store(store.folder.corrupt(what)));
    }
    if store.purpose == Purpose::Archive && written_end(store.log).is_ok_and(|at| at > end.address)
    {
        let what = "it is an archive, and something stands behind its last event";
        return Err(Unusable::Store(store.folder.corrupt(what)));
    }
    // Before the end of the log is cut off or noted.
    verify_tail(store, &mark, end)?;
    compare(store, &index, end)?;
    let tail = settle(store.log, end, store.acknowledged);
    let tail = tail.map_err(|error| store.failed(error))?;
    // What is shown from now on is as good as acknowledged.
    let acknowledged = note(store, end)?;
    store
        .folder
        .sync_everything()
        .map_err(|error| store.io(error))?;
    let (rows, live) = replay(store, index, end)?;
    Ok(Recovered {
        rows,
        live,
        mark,
        end,
        tail,
        acknowledged,
    })
}

/// Compares the end of the log with `head`, and `head` with the index's mark.
fn verify_tail(store: &Store<'_>, mark: &Mark, end: End) -> Result<(), Unusable> {
    let Some(head) = &store.head else {
        return Ok(());
    };
    let compared = tail::compare(store.log, head, end.address);
    let agrees = head.position != mark.position || head.digest == mark.digest;
    match compared {
        Tail::Differs => Err(Unusable::Store(store.folder.altered(tail::differs(head)))),
        Tail::Verified if !agrees => {
            let what = "the digest in its index is not the one of its log";
            Err(Unusable::Index(store.folder.corrupt(what)))
        }
        Tail::Unknown if !agrees => {
            let what = "its file head and its index have different digests for the same position";
            Err(Unusable::Store(store.folder.altered(what)))
        }
        Tail::Verified | Tail::Unknown => Ok(()),
    }
}

/// The index of a log that ends there, as opening the store would have it, from those rows.
pub(crate) fn index_of(
    folder: &Folder,
    log: &Log,
    id: StoreId,
    end: End,
    rows: Rows,
) -> Result<(Rows, Live), OpenError> {
    let store = Store {
        folder,
        id,
        log,
        acknowledged: 0,
        purpose: Purpose::Calls,
        promised: 0,
        head: None,
    };
    let indexed = read_index(rows).map_err(|error| store.index(error.into()));
    let indexed = indexed.and_then(|index| replay(&store, index, end));
    indexed.map_err(Unusable::why)
}

/// The calls that go on, or are not on disk yet, as rows and the log behind the mark tell them.
fn replay(store: &Store<'_>, index: Index, end: End) -> Result<(Rows, Live), Unusable> {
    let Index {
        rows,
        mark,
        live,
        known,
    } = index;
    let mut replay = Replay {
        log: store.log,
        end,
        rows: &rows,
        live,
        completed: Vec::new(),
        known_already: 0,
    };
    replay.all(&mark).map_err(|error| store.index(error))?;
    let Replay {
        live,
        known_already,
        ..
    } = replay;
    must_know(store, known, mark.position + known_already)?;
    Ok((rows, live))
}

/// Compares how many events the rows know with the log, which is only read.
fn compare(store: &Store<'_>, index: &Index, end: End) -> Result<(), Unusable> {
    if index.known == index.mark.position {
        return Ok(());
    }
    let behind = known_behind(store.log, index, end).map_err(|error| store.index(error))?;
    must_know(store, index.known, index.mark.position + behind)
}

fn must_know(store: &Store<'_>, known: u64, expected: u64) -> Result<(), Unusable> {
    if known == expected {
        return Ok(());
    }
    let what = format!("its index knows {known} events, and should know {expected}");
    Err(Unusable::Index(store.folder.corrupt(what)))
}

/// How many events of the log behind the mark the rows know already.
fn known_behind(log: &Log, index: &Index, end: End) -> Result<u64, IndexError> {
    let mut frames = log.frames(index.mark.address, end.address);
    let (mut next, mut known) = (index.mark.position + 1, 0);
    while let Some(read) = frames.next(next)? {
        let mut groups = Groups::new(next, read.block)?;
        while let Some(group) = groups.next()? {
            let events = u64::from(group.events);
            let last = group.raw()?.first_revision.saturating_add(events - 1);
            if last <= index.revision_of(&group)? {
                known += events;
            }
        }
        next = read.header.next();
    }
    Ok(known)
}

/// How many events all rows tell of: as many as the mark says, and those that newer rows knew already. Sled drops rows
/// in silence where its file is damaged, and takes older ones for the newest.
fn events_known(rows: &Rows, going_on: &Live) -> Result<u64, StoreError> {
    let mut known = rows.completed_events()?;
    for (call, entry) in going_on.calls() {
        known += entry.history.head.revision.0;
        known = known.saturating_sub(rows.completed_events_of(call)?);
    }
    Ok(known)
}

fn open_index(store: &Store<'_>, options: &Options) -> Result<Index, Unusable> {
    // A store that this process had before may still be letting go.
    store.folder.await_release();
    let path = store.folder.index();
    if path.join(REBUILD).exists() {
        let what = store.folder.corrupt("its index is to be made anew");
        return Err(Unusable::Index(what));
    }
    let bytes = options.index_segment_bytes;
    let rows = Rows::open(&path, store.id, options.cache_bytes, bytes);
    let rows = rows.map_err(|error| match OpenError::from_sled(&path, error) {
        damaged @ OpenError::Corrupt { .. } => Unusable::Index(damaged),
        other => Unusable::Store(other),
    })?;
    read_index(rows).map_err(|error| store.index(error.into()))
}

fn read_index(rows: Rows) -> Result<Index, StoreError> {
    let mark = rows.mark()?.unwrap_or_else(Mark::at_start);
    let mut live = Live::default();
    live.total = mark.calls;
    for (call, history) in rows.live()? {
        live.insert(call, history, Stage::GoesOn);
    }
    let known = events_known(&rows, &live)?;
    Ok(Index {
        rows,
        mark,
        live,
        known,
    })
}

/// The end of the last commit that is there whole. What lies behind it is a torn write if no later commit is there:
/// each is written only once the one before is durable.
fn find_end(log: &Log, mark: &Mark, promised: u64) -> Result<End, LogError> {
    let written = written_end(log)?;
    if mark.address > written {
        let position = mark.position;
        let what = format!("the index reaches to position {position}, and the log does not");
        return Err(Damage::new(what).into());
    }
    let from = End {
        position: mark.position,
        address: mark.address,
    };
    find_end_from(log, from, promised, written)
}

pub(crate) fn find_end_from(
    log: &Log,
    from: End,
    promised: u64,
    written: u64,
) -> Result<End, LogError> {
    let mut end = from;
    // A file of the log is begun only once all before it is durable.
    let begun = log
        .segments()
        .last()
        .map_or(0, |segment| segment.first.saturating_sub(1));
    let promised = promised.max(begun);
    let mut frames = log.frames(end.address, written);
    let mut next = end.position + 1;
    let damage = loop {
        let read = match frames.next(next) {
            Ok(None) => break None,
            Ok(Some(read)) => read,
            Err(LogError::Damage(damage)) => break Some(damage),
            Err(error) => return Err(error),
        };
        if let Err(damage) = Groups::new(next, read.block) {
            break Some(damage);
        }
        let header = read.header;
        next = header.next();
        if header.behind == 0 {
            end = End {
                position: next - 1,
                address: frames.address(),
            };
        }
    };
    let Some(damage) = damage else {
        return Ok(end);
    };
    let is_torn = end.position >= promised && !later_commit(log, end, written)?;
    if is_torn { Ok(end) } else { Err(damage.into()) }
}

/// Whether a commit that came after the first one behind the end is there, at least in parts.
fn later_commit(log: &Log, end: End, written: u64) -> Result<bool, LogError> {
    let mut from = end.address;
    while let Some((address, header)) = log.find(from, written)? {
        if header.commit() > end.position + 1 {
            return Ok(true);
        }
        from = address + header.frame_bytes() as u64;
    }
    Ok(false)
}

/// The address behind the last byte of the log's files.
pub(crate) fn written_end(log: &Log) -> Result<u64, LogError> {
    let segments = log.segments();
    segments.last().map_or(Ok(0), |segment| segment.end())
}

/// Cuts off what was torn, and makes durable what is about to be shown. What was not acknowledged is written once more:
/// after a failed sync the system may hold it for written although the disk never got it.
fn settle(log: &Log, end: End, acknowledged: u64) -> Result<File, LogError> {
    let segments = log.segments();
    let last = segments.last().expect("a log has at least one");
    let io = |error| LogError::io(&last.path, error);
    let file = last.to_write().map_err(io)?;
    if last.end()? > end.address {
        file.set_len(last.offset(end.address)).map_err(io)?;
    }
    if acknowledged < end.position {
        write_again(log, last, &file, end, acknowledged)?;
    }
    file.sync_all().map_err(io)?;
    Ok(file)
}

fn write_again(
    log: &Log,
    last: &Segment,
    file: &File,
    end: End,
    acknowledged: u64,
) -> Result<(), LogError> {
    let first = acknowledged.saturating_add(1).max(last.first);
    let (first, address) = log.locate(first, end.address)?;
    let mut frames = log.frames(address, end.address);
    let mut next = first;
    loop {
        let address = frames.address();
        let Some(read) = frames.next(next)? else {
            return Ok(());
        };
        let mut frame = vec![0; HEADER_BYTES];
        read.header.write(&mut frame);
        frame.extend_from_slice(read.block);
        let written = at::write_all(file, &frame, last.offset(address));
        written.map_err(|error| LogError::io(&last.path, error))?;
        next = read.header.next();
    }
}

/// The log behind the mark on its way into memory, and where a whole index is made, on to the disk.
struct Replay<'a> {
    log: &'a Log,
    end: End,
    rows: &'a Rows,
    live: Live,
    completed: Vec<CallId>,
    /// Events behind the mark that rows told of.
    known_already: u64,
}

impl Replay<'_> {
    fn all(&mut self, mark: &Mark) -> Result<(), IndexError> {
        let mut frames = self.log.frames(mark.address, self.end.address);
        let mut next = mark.position + 1;
        while let Some(read) = frames.next(next)? {
            let mut groups = Groups::new(next, read.block)?;
            while let Some(group) = groups.next()? {
                self.take(group)?;
            }
            next = read.header.next();
            if self.completed.len() >= ROWS_AT_ONCE {
                self.write_completed()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, group: Group<'_>) -> Result<(), IndexError> {
        let call = call_of(&group)?;
        let shared = group.raw()?;
        let first_revision = shared.first_revision;
        let (last, hash) = shared.last()?;
        let stage = stage_after(last);
        let grown = Grown {
            first: group.first,
            groups: 1,
            bytes: [group.bytes].into_iter(),
            head: Head {
                revision: Revision(first_revision.saturating_add(u64::from(group.events) - 1)),
                hash,
            },
            stage,
        };
        let known = match self.live.get(&call) {
            Some(_) => None,
            None => self.known(&call)?,
        };
        self.live.total += u64::from(first_revision == 1);
        let known = self.live.replay(&call, known, first_revision, grown)?;
        if known == Known::Already {
            self.known_already += u64::from(group.events);
        }
        if stage == Stage::Completed {
            self.completed.push(call);
        }
        Ok(())
    }

    fn known(&self, call: &CallId) -> Result<Option<History>, IndexError> {
        let row = match self.rows.get(call) {
            // A row may have reached the disk before the events it tells of. What is behind the mark is read here.
            Err(StoreError::Corrupt(_)) => None,
            row => row?,
        };
        Ok(match row {
            None => None,
            Some(Row::Whole(history)) => Some(history),
            Some(Row::Places(head, places)) => {
                let found = gather(self.log, self.end.address, call, head, &places);
                Some(found?)
            }
        })
    }

    fn write_completed(&mut self) -> Result<(), IndexError> {
        let mut batch = RowBatch::default();
        let mut written = Vec::new();
        for call in self.completed.drain(..) {
            if let Some(entry) = self.live.entry(&call)
                && entry.stage == Stage::Completed
            {
                let history = &entry.history;
                self.rows
                    .put_completed(&mut batch, &call, history, entry.on_disk);
                written.push((call, history.head));
            }
        }
        self.rows.apply(batch).map_err(StoreError::Unavailable)?;
        for (call, head) in written {
            self.live.let_go(&call, head);
        }
        Ok(())
    }
}
