//! Opening: take the folder, find the end of the log, and read what the index does not know yet.
//!
//! The log is the truth. An index that is missing, damaged, or another store's is made anew from it. At the end of the
//! log a commit that is not there whole was never acknowledged, and is cut off; whatever else does not hold is damage,
//! and nothing is changed then.
//!
//! Before the log or a note is written, everything is read and compared. The order of the writes: the torn commit is
//! cut off, the end of the log is synced, *acknowledged* notes it, everything in the folder is synced, rows are
//! written, and at last the marker of a new store. A crash after any of them leaves a store that opens in the same way,
//! because each write only says what the log has already.

use crate::damage::Damage;
use crate::error::OpenError;
use crate::folder::Folder;
use crate::index::Index;
use crate::log::{self, End, Log, LogError};
use crate::mark::Mark;
use crate::notes::{Acknowledged, Marker, NotedHead, Purpose};
use crate::options::Options;
use crate::reach::{beyond, reach_of};
use crate::replay::{IndexError, known_behind, replay};
use crate::rows::{Rows, is_to_be_made_anew};
use crate::tail::{self, Tail};
use crate::upgrade::upgrade;
use domain::{StoreError, StoreId};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

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
    pub(crate) index: Index,
    /// The end of the log, and the file that has it, to write to.
    pub(crate) end: End,
    pub(crate) tail: File,
    pub(crate) acknowledged: Acknowledged,
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

impl<'a> Store<'a> {
    /// What the store's notes say of it.
    fn of(
        folder: &'a Folder,
        id: StoreId,
        log: &'a Log,
        purpose: Purpose,
        acknowledged: u64,
    ) -> Result<Self, OpenError> {
        let head = folder.head().read()?;
        let noted = head.map_or(0, |head| head.position);
        Ok(Self {
            folder,
            id,
            log,
            acknowledged,
            purpose,
            promised: acknowledged.max(noted),
            head,
        })
    }

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
                let error = io::Error::other(what);
                Unusable::Store(OpenError::from_io(&self.folder.index(), error))
            }
        }
    }

    fn io(&self, error: io::Error) -> Unusable {
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

/// Opens the store in that folder, or makes one.
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
    let acknowledged = Acknowledged::read(folder.path())?.unwrap_or(0);
    let store = Store::of(&folder, id, &log, purpose, acknowledged)?;
    let io = |error| OpenError::from_io(folder.path(), error);
    let recovered = recover_with_any_index(&store, options).map_err(Unusable::why)?;
    // Last, and durably: a folder without the marker is a store that was never used, and is made from the beginning.
    if marker == Marker::None {
        folder.write_marker(id).map_err(io)?;
    }
    // They have a second copy of many events, so they stay until the new index is known to be whole.
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
    let store = Store::of(folder, id, log, Purpose::Calls, last)?;
    recover_with_any_index(&store, options).map_err(Unusable::why)
}

/// An index that cannot be used is made anew, unless it has events that the log lost.
fn recover_with_any_index(store: &Store<'_>, options: &Options) -> Result<Recovered, Unusable> {
    // The older ones are removed once the store is open, and might have events that the log lost.
    if store.folder.indexes().len() > 1 {
        must_not_be_the_only_copy(store)?;
    }
    match recover(store, options) {
        // Once only: an index that was just made from the log and does not fit it either means that the log is at fault.
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
    // Rows are written only for events that are durable in the log, so no crash leaves an index that reaches further. A log
    // that was restored from an older copy does.
    let reach = reach_of(&store.folder.indexes(), store.id);
    if reach == 0 {
        return Ok(());
    }
    // Making an index reads the whole log.
    if let Some(away) = store.log.lacks(0) {
        return Err(store.failed(away));
    }
    let start = End {
        position: 0,
        address: store.log.start(),
    };
    let written = store
        .log
        .last()
        .end()
        .map_err(|error| store.failed(error))?;
    let end = log::find_end(store.log, start, store.promised, written);
    let end = end.map_err(|error| store.failed(error))?;
    if reach <= end.position {
        return Ok(());
    }
    let what = beyond(reach, end.position);
    Err(Unusable::Store(store.folder.corrupt(what)))
}

/// The log and the index together, as far as they can be used.
fn recover(store: &Store<'_>, options: &Options) -> Result<Recovered, Unusable> {
    let (index, known) = open_index(store, options)?;
    let mark = index.mark;
    if let Some(away) = store.log.lacks(mark.address) {
        return Err(store.failed(away));
    }
    let end = find_end(store.log, &mark, store.promised).map_err(|error| store.failed(error))?;
    // Shorter than what a note tells of, it lost its end, however whole the rest is.
    if end.position < store.promised {
        let (position, promised) = (end.position, store.promised);
        let what =
            format!("its events end at position {position}, and {promised} was acknowledged");
        return Err(Unusable::Store(store.folder.corrupt(what)));
    }
    // Nothing is appended to an archive, so nothing there can be a torn write.
    if store.purpose == Purpose::Archive && store.log.last().end().is_ok_and(|at| at > end.address)
    {
        let what = "it is an archive, and something stands behind its last event";
        return Err(Unusable::Store(store.folder.corrupt(what)));
    }
    // Both before the end of the log is cut off or noted: where they refuse, nothing has changed.
    verify_tail(store, &mark, end)?;
    compare(store, &index, known, end)?;
    let tail = log::settle(store.log, end, store.acknowledged);
    let tail = tail.map_err(|error| store.failed(error))?;
    // What is shown from now on is as good as acknowledged: readers may keep positions and act on events, so none of them
    // may be taken for torn later. The log was synced just before, so the note is not ahead of it.
    let acknowledged = note(store, end)?;
    store
        .folder
        .sync_everything()
        .map_err(|error| store.io(error))?;
    Ok(Recovered {
        index: replayed(store, index, known, end)?,
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
    // The mark is written just before *head*, with the same digest. A crash in between leaves them at different positions.
    let agrees = head.position != mark.position || head.digest == mark.digest;
    match compared {
        Tail::Differs => Err(Unusable::Store(store.folder.altered(tail::differs(head)))),
        // The log vouches for *head*, so the index is at fault, and can be made anew.
        Tail::Verified if !agrees => {
            let what = "the digest in its index is not the one of its log";
            Err(Unusable::Index(store.folder.corrupt(what)))
        }
        // Nothing tells which of the two was altered.
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
) -> Result<Index, OpenError> {
    let store = Store {
        folder,
        id,
        log,
        acknowledged: 0,
        purpose: Purpose::Calls,
        promised: 0,
        head: None,
    };
    let read = read_index(&store, rows);
    let replayed = read.and_then(|(index, known)| replayed(&store, index, known, end));
    replayed.map_err(Unusable::why)
}

/// The index with what the log holds after the mark. Its rows must know as many events as the log has.
fn replayed(store: &Store<'_>, index: Index, known: u64, end: End) -> Result<Index, Unusable> {
    let (index, already) = replay(store.log, index, end).map_err(|error| store.index(error))?;
    must_know(store, known, index.mark.position + already)?;
    Ok(index)
}

/// Compares how many events the rows know with the log, which is only read.
fn compare(store: &Store<'_>, index: &Index, known: u64, end: End) -> Result<(), Unusable> {
    // The usual case after a clean end: the rows know what the mark says, and the log need not be read for it.
    if known == index.mark.position {
        return Ok(());
    }
    let behind = known_behind(store.log, index, end).map_err(|error| store.index(error))?;
    must_know(store, known, index.mark.position + behind)
}

fn must_know(store: &Store<'_>, known: u64, expected: u64) -> Result<(), Unusable> {
    if known == expected {
        return Ok(());
    }
    let what = format!("its index knows {known} events, and should know {expected}");
    Err(Unusable::Index(store.folder.corrupt(what)))
}

/// The index that is there, and how many events its rows tell of.
fn open_index(store: &Store<'_>, options: &Options) -> Result<(Index, u64), Unusable> {
    // A store that this process had before may still be letting go.
    store.folder.await_release();
    let path = store.folder.index();
    if is_to_be_made_anew(&path) {
        let what = store.folder.corrupt("its index is to be made anew");
        return Err(Unusable::Index(what));
    }
    let bytes = options.index_segment_bytes;
    let rows = Rows::open(&path, store.id, options.cache_bytes, bytes);
    let rows = rows.map_err(|error| match OpenError::from_sled(&path, error) {
        damaged @ OpenError::Corrupt { .. } => Unusable::Index(damaged),
        other => Unusable::Store(other),
    })?;
    read_index(store, rows)
}

fn read_index(store: &Store<'_>, rows: Rows) -> Result<(Index, u64), Unusable> {
    let read = Index::read(rows).and_then(|index| Ok((index.events_known()?, index)));
    let (known, index) = read.map_err(|error| store.index(error.into()))?;
    Ok((index, known))
}

/// The end of the log, from the index's mark on.
fn find_end(log: &Log, mark: &Mark, promised: u64) -> Result<End, LogError> {
    let written = log.last().end()?;
    if mark.address > written {
        let position = mark.position;
        let what = format!("the index reaches to position {position}, and the log does not");
        return Err(Damage::new(what).into());
    }
    let from = End {
        position: mark.position,
        address: mark.address,
    };
    log::find_end(log, from, promised, written)
}
