//! Bringing a store of the first format to today's. It kept its blocks in sled, in `events`; they move to the log as
//! they are. The old ones are taken away once the new ones are durable and the marker says so; a process that dies
//! before that begins anew.

use crate::block::Groups;
use crate::damage::Damage;
use crate::error::OpenError;
use crate::files::sync_folder;
use crate::folder::Folder;
use crate::guard::guarded;
use crate::new_log::NewLog;
use domain::{StoreError, StoreId};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The unit in which the first format had sled write.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// Moves the events of a store of the first format to the log.
pub(crate) fn upgrade(folder: &Folder, id: StoreId) -> Result<(), OpenError> {
    let (old, new) = (folder.path().join("events"), folder.path().join("log.new"));
    let io = |error| OpenError::from_io(folder.path(), error);
    if !old.join("db").exists() {
        return Err(folder.corrupt("its events are gone"));
    }
    for unfinished in [&new, &folder.log()] {
        remove(unfinished).map_err(io)?;
    }
    fs::create_dir(&new).map_err(io)?;
    let moved = guarded(|| move_blocks(folder, &old, &new, id));
    let last = moved.unwrap_or_else(|said| Err(folder.corrupt(said)))?;
    let (_, acknowledged) = folder.acknowledged()?;
    let promised = acknowledged.unwrap_or(0);
    if last < promised {
        let what = format!("its events end at position {last}, and {promised} was acknowledged");
        return Err(folder.corrupt(what));
    }
    fs::rename(&new, folder.log()).map_err(io)?;
    sync_folder(folder.path()).map_err(io)?;
    folder.write_marker(id).map_err(io)?;
    remove(&old).map_err(io)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Answers the last position.
fn move_blocks(folder: &Folder, old: &Path, new: &Path, id: StoreId) -> Result<u64, OpenError> {
    let damaged = |damage: Damage| folder.corrupt(StoreError::from(damage).to_string());
    let failed = |error| OpenError::from_sled(folder.path(), error);
    let config = sled::Config::new()
        .path(old)
        .flush_every_ms(None)
        .segment_size(SEGMENT_BYTES)
        .use_compression(false);
    let db = config.open().map_err(failed)?;
    let mut log = NewLog::begin(new, id).map_err(|error| OpenError::from_io(new, error))?;
    for block in db.range([b'e']..[b'e' + 1]) {
        let (key, block) = block.map_err(failed)?;
        let first = key.get(1..).and_then(|first| first.try_into().ok());
        let first = first.map(u64::from_be_bytes).unwrap_or_default();
        if first != log.next() {
            let damage = Damage::new("the events from there on are missing");
            return Err(damaged(damage.at(log.next())));
        }
        let mut groups = Groups::new(first, &block).map_err(damaged)?;
        while let Some(group) = groups.next().map_err(damaged)? {
            log.push(group.bytes)
                .map_err(|error| OpenError::from_io(new, error))?;
        }
    }
    log.finish().map_err(|error| OpenError::from_io(new, error))
}
