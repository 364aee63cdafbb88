//! Opening: take the folder, let sled recover, and rebuild the index from its rows and the log behind them.

use crate::block::{Groups, Place};
use crate::checkpoint::{Checkpoint, read_mark};
use crate::damage::Damage;
use crate::folder::{Acknowledged, FORMAT, Folder, Marker};
use crate::guard::guarded;
use crate::index::Index;
use crate::{OpenError, Options, keys};
use domain::{CallId, Head, Revision, StoreId, Timestamp};
use std::fs::File;
use std::path::Path;
use uuid::Uuid;

/// Longer values would go to files that sled never syncs, and those are more than a quarter of this.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// A store as it was found.
pub(crate) struct Found {
    pub(crate) folder: Folder,
    pub(crate) db: sled::Db,
    pub(crate) log: File,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) id: StoreId,
    pub(crate) recovered: Recovered,
}

/// What was read from rows and log.
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) last: u64,
    /// Up to where the rows in the tree are complete.
    pub(crate) mark: u64,
    /// Calls of which the log knows more than the rows.
    pub(crate) changed: Vec<CallId>,
    /// The number under which the next rows are written.
    pub(crate) next_rows: u64,
}

pub(crate) fn open(path: &Path, options: &Options) -> Result<Found, OpenError> {
    let (folder, marker) = Folder::take(path)?;
    if marker != Marker::None && !folder.events().join("db").exists() {
        return Err(folder.corrupt("its events are gone"));
    }
    let db = open_sled(&folder, options)?;
    let recover = || finish(folder, db, marker);
    guarded(recover).unwrap_or_else(|said| {
        Err(OpenError::Corrupt {
            path: path.to_owned(),
            what: said,
        })
    })
}

fn finish(folder: Folder, db: sled::Db, marker: Marker) -> Result<Found, OpenError> {
    let (acknowledged, acknowledged_last) = folder.acknowledged()?;
    let id = identity(&folder, &db, marker)?;
    let io = |error| OpenError::from_io(folder.path(), error);
    folder.sync_everything().map_err(io)?;
    if marker == Marker::None {
        folder.write_marker(id).map_err(io)?;
    }
    let recovered = recover(&folder, &db)?;
    let last = recovered.last;
    if let Some(acknowledged) = acknowledged_last.filter(|acknowledged| *acknowledged > last) {
        return Err(folder.corrupt(format!(
            "its events end at position {last}, and {acknowledged} was acknowledged"
        )));
    }
    Ok(Found {
        log: folder.log().map_err(io)?,
        folder,
        db,
        acknowledged,
        id,
        recovered,
    })
}

fn open_sled(folder: &Folder, options: &Options) -> Result<sled::Db, OpenError> {
    // A store that this process had before may still be letting go.
    folder.await_release();
    let events = folder.events();
    let config = sled::Config::new()
        .path(&events)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None)
        .segment_size(SEGMENT_BYTES)
        .use_compression(false);
    guarded(|| config.open())
        .map_err(|said| folder.corrupt(said))?
        .map_err(|error| OpenError::from_sled(folder.path(), error))
}

/// The store's identity; a new one if the store is new.
fn identity(folder: &Folder, db: &sled::Db, marker: Marker) -> Result<StoreId, OpenError> {
    let sled_error = |error| OpenError::from_sled(folder.path(), error);
    let meta = db.get(keys::META).map_err(sled_error)?;
    match (marker, meta) {
        (Marker::Store(id), Some(meta)) => match read_meta(folder, &meta)? {
            found if found == id => Ok(id),
            found => Err(folder.corrupt(format!("its events are of another store, {found}"))),
        },
        (Marker::Store(_), None) => Err(folder.corrupt("its events are gone")),
        (Marker::None, Some(meta)) => read_meta(folder, &meta),
        (Marker::None, None) if !db.is_empty() || db.tree_names().len() > 1 => {
            Err(OpenError::NotAStore {
                path: folder.path().to_owned(),
                what: "another program's database".to_owned(),
            })
        }
        (Marker::None, None) => {
            let id = StoreId(Uuid::new_v4());
            let meta = write_meta(id, Timestamp::now());
            db.insert(keys::META, &meta[..]).map_err(sled_error)?;
            db.flush().map_err(sled_error)?;
            Ok(id)
        }
    }
}

/// Format, identity, when it was made, checksum. The format stands first in every format there will ever be.
fn write_meta(id: StoreId, made_at: Timestamp) -> Vec<u8> {
    let mut meta = FORMAT.to_be_bytes().to_vec();
    meta.extend_from_slice(id.0.as_bytes());
    meta.extend_from_slice(&made_at.as_millis().to_be_bytes());
    meta.extend_from_slice(&crc32fast::hash(&meta).to_be_bytes());
    meta
}

fn read_meta(folder: &Folder, meta: &[u8]) -> Result<StoreId, OpenError> {
    let damaged = || folder.corrupt("what the store says of itself is damaged");
    let (format, fields) = meta.split_first_chunk().ok_or_else(damaged)?;
    let found = u64::from_be_bytes(*format);
    if found > FORMAT {
        return Err(OpenError::NewerFormat {
            found,
            known: FORMAT,
        });
    }
    let (covered, checksum) = meta.split_last_chunk().ok_or_else(damaged)?;
    if u32::from_be_bytes(*checksum) != crc32fast::hash(covered) {
        return Err(damaged());
    }
    let id = fields.first_chunk().ok_or_else(damaged)?;
    Ok(StoreId(Uuid::from_bytes(*id)))
}

/// The index as its rows and the log behind its mark tell it.
fn recover(folder: &Folder, db: &sled::Db) -> Result<Recovered, OpenError> {
    let sled_error = |error| OpenError::from_sled(folder.path(), error);
    let damaged = |damage: Damage| folder.corrupt(damage.to_string());
    let mut recovered = Recovered {
        index: Index::default(),
        last: 0,
        mark: 0,
        changed: Vec::new(),
        next_rows: 1,
    };
    for rows in db.range(keys::rows()) {
        let (key, rows) = rows.map_err(sled_error)?;
        recovered.read_rows(&key, &rows).map_err(damaged)?;
    }
    if let Some(mark) = db.get(keys::MARK).map_err(sled_error)? {
        let damage = || folder.corrupt("the index's mark is damaged");
        recovered.mark = read_mark(&mark).ok_or_else(damage)?;
    }
    recovered.last = recovered.mark;
    for block in db.range(keys::block(recovered.mark + 1)..keys::block(u64::MAX)) {
        let (key, block) = block.map_err(sled_error)?;
        let first = keys::first_of_block(&key).unwrap_or_default();
        recovered.replay(first, &block).map_err(damaged)?;
    }
    let end = end_of_log(db, sled_error)?.map_err(damaged)?;
    if end != recovered.last {
        let (mark, what) = (recovered.mark, "the index reaches to position");
        return Err(folder.corrupt(format!("{what} {mark}, but the log ends at {end}")));
    }
    recovered.index.agrees_with(end).map_err(damaged)?;
    Ok(recovered)
}

impl Recovered {
    fn read_rows(&mut self, key: &[u8], rows: &[u8]) -> Result<(), Damage> {
        let number = self.next_rows;
        if keys::number_of_rows(key) != Some(number) {
            let what = format!("the rows of the index under number {number} are missing");
            return Err(Damage::new(what));
        }
        self.next_rows += 1;
        self.index.read_rows(number, rows)
    }

    fn replay(&mut self, first: u64, block: &[u8]) -> Result<(), Damage> {
        if first != self.last + 1 {
            let damage = Damage::new("the events from there on are missing");
            return Err(damage.at(self.last + 1));
        }
        let mut groups = Groups::new(first, block)?;
        while let Some(group) = groups.next()? {
            let (call, events) = (group.call, u64::from(group.events));
            let opened = group.open()?;
            let first_revision = opened.first_revision();
            let head = Head {
                revision: Revision(first_revision + events - 1),
                hash: opened.last_hash()?,
            };
            let place = Place {
                block: first,
                events,
            };
            let number = Checkpoint::FIRST;
            let changed = self
                .index
                .replay(call, first_revision, head, place, number)?;
            self.changed.extend(changed);
        }
        self.last = groups.next_position() - 1;
        Ok(())
    }
}

fn end_of_log<E>(
    db: &sled::Db,
    sled_error: impl Fn(sled::Error) -> E,
) -> Result<Result<u64, Damage>, E> {
    let Some(block) = db.range(keys::blocks()).next_back() else {
        return Ok(Ok(0));
    };
    let (key, block) = block.map_err(sled_error)?;
    let first = keys::first_of_block(&key).unwrap_or_default();
    Ok(Groups::new(first, &block).and_then(|mut groups| {
        while groups.next()?.is_some() {}
        Ok(groups.next_position() - 1)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{a_call, block_on};
    use crate::{SledStore, open};
    use domain::{EventStore, Position, StoreError};
    use tempfile::TempDir;

    /// A closed store with three calls, two events each, every event in a block of its own.
    fn three_calls() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        block_on(async {
            let store = SledStore::open(folder.path()).expect("a store");
            for call in ["c1", "c2", "c3"] {
                for batch in a_call(call).await {
                    store.append(batch).await.expect("kept");
                }
            }
            store.close().await.expect("closed");
        });
        folder
    }

    /// Changes the tree behind the store's back.
    fn alter(folder: &TempDir, alter: impl FnOnce(&sled::Db)) {
        let found = open::open(folder.path(), &Options::default()).expect("a store");
        alter(&found.db);
        found.db.flush().expect("flushed");
        drop(found.db);
        found.folder.await_release();
    }

    #[track_caller]
    fn assert_damaged(folder: &TempDir, says: &str) {
        let error = SledStore::open(folder.path()).err().expect("damaged");
        let OpenError::Corrupt { what, .. } = error else {
            panic!("{error}");
        };
        assert!(what.contains(says), "{what}");
    }

    #[test]
    fn an_index_that_knows_more_than_the_log_is_damage() {
        let folder = three_calls();
        alter(&folder, |db| {
            db.remove(keys::block(6)).expect("removed");
        });
        assert_damaged(&folder, "reaches to position 6, but the log ends at 5");
    }

    #[test]
    fn a_log_that_knows_more_than_the_index_is_replayed() {
        let folder = three_calls();
        alter(&folder, |db| {
            db.remove(keys::MARK).expect("removed");
            let rows = db.range(keys::rows()).keys();
            for key in rows.map(|key| key.expect("readable")) {
                db.remove(key).expect("removed");
            }
        });
        let store = SledStore::open(folder.path()).expect("the log has it all");
        assert_eq!(store.stats().replayed, 6);
        let info = block_on(store.info()).expect("it tells");
        assert_eq!((info.calls, info.events), (3, 6));
    }

    #[test]
    fn rows_that_are_newer_than_the_mark_are_not_counted_twice() {
        let folder = three_calls();
        alter(&folder, |db| {
            let mark = crate::checkpoint::write_mark(3);
            db.insert(keys::MARK, &mark[..]).expect("written");
        });
        let store = SledStore::open(folder.path()).expect("a store");
        assert_eq!(store.stats().replayed, 3);
        let call = "c2".parse().expect("a call");
        let events = block_on(store.read_call(&call, Revision(0)));
        assert_eq!(events.expect("readable").len(), 2);
    }

    #[test]
    fn missing_rows_are_damage() {
        let folder = three_calls();
        alter(&folder, |db| {
            db.remove(keys::some_rows(1)).expect("removed");
        });
        assert_damaged(&folder, "the index knows 0 events and the log 6");
    }

    #[test]
    fn a_gap_in_the_log_is_damage_for_whoever_reads_it() {
        let folder = three_calls();
        alter(&folder, |db| {
            db.remove(keys::block(3)).expect("removed");
        });
        let store = SledStore::open(folder.path()).expect("its end is there");
        let damage = |what: &str| Err(StoreError::Corrupt(what.to_owned()));
        let all = block_on(store.read_all(Position(0), 10));
        assert_eq!(
            all,
            damage("position 3, the events from there on are missing")
        );
        assert_eq!(block_on(store.read_all(Position(2), 10)), all);
        let read =
            |call: &str| block_on(store.read_call(&call.parse().expect("a call"), Revision(0)));
        let place = "position 3, call c2 at revision 1, the events from there on are missing";
        assert_eq!(read("c2"), damage(place));
        assert_eq!(read("c1").expect("undamaged").len(), 2);
        let rest = block_on(store.read_all(Position(3), 10));
        assert_eq!(rest.expect("undamaged").len(), 3);
    }

    #[test]
    fn a_gap_behind_the_mark_is_damage() {
        let folder = three_calls();
        alter(&folder, |db| {
            db.remove(keys::MARK).expect("removed");
            db.remove(keys::block(3)).expect("removed");
        });
        assert_damaged(&folder, "position 3, the events from there on are missing");
    }

    #[test]
    fn an_altered_block_is_damage_that_names_its_place() {
        let folder = three_calls();
        alter(&folder, |db| {
            let block = db.get(keys::block(2)).expect("readable").expect("there");
            let mut altered = block.to_vec();
            altered[40] ^= 1;
            db.insert(keys::block(2), altered).expect("written");
        });
        let store = SledStore::open(folder.path()).expect("its end is there");
        let read = block_on(store.read_call(&"c1".parse().expect("a call"), Revision(0)));
        let what = "position 2, call c1 at revision 2, the block's checksum does not hold";
        assert_eq!(read, Err(StoreError::Corrupt(what.to_owned())));
    }

    #[test]
    fn a_newer_programs_tree_is_refused() {
        let folder = three_calls();
        alter(&folder, |db| {
            let mut meta = db
                .get(keys::META)
                .expect("readable")
                .expect("there")
                .to_vec();
            meta[..8].copy_from_slice(&2_u64.to_be_bytes());
            db.insert(keys::META, meta).expect("written");
        });
        let error = SledStore::open(folder.path()).err().expect("too new");
        let newer = matches!(error, OpenError::NewerFormat { found: 2, known: 1 });
        assert!(newer, "{error}");
    }

    #[test]
    fn another_programs_database_is_no_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let theirs = sled::Config::new()
            .path(folder.path().join("events"))
            .segment_size(SEGMENT_BYTES)
            .open()
            .expect("a database");
        theirs.insert("theirs", "theirs").expect("written");
        drop(theirs);
        let error = SledStore::open(folder.path()).err().expect("no store");
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    }

    #[test]
    fn the_events_of_another_store_are_not_this_stores() {
        let (folder, other) = (three_calls(), three_calls());
        let marker = |folder: &TempDir| folder.path().join("kaigi-store");
        std::fs::copy(marker(&other), marker(&folder)).expect("copied");
        assert_damaged(&folder, "its events are of another store");
    }
}
