//! What an archiving leaves in the folder of the log when its process dies: files that are in the archive, and copies
//! that were never finished.

use super::segment::{Segment, first_of, segments_in};
use crate::files::sync_folder;
use crate::notes::Archives;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The rest of a file that is being cut, until it gets its name.
pub(crate) fn part(store: &Path, first: u64) -> PathBuf {
    Segment::path(&store.join("log"), first).with_extension("part")
}

/// Gives the rest of a file that was cut its name.
pub(crate) fn settle_part(store: &Path, first: u64) -> io::Result<Option<PathBuf>> {
    let (from, to) = (part(store, first), Segment::path(&store.join("log"), first));
    if !from.exists() {
        return Ok(None);
    }
    fs::rename(&from, &to)?;
    sync_folder(&store.join("log"))?;
    Ok(Some(to))
}

/// Takes away what is in an archive, and what was copied for one that was never finished.
pub(crate) fn tidy(store: &Path, archives: &Archives) -> io::Result<()> {
    // After `archives` was written the store needs the part, whose name the process may not have lived to change.
    if archives.up_to > 0 {
        settle_part(store, archives.up_to + 1)?;
    }
    for entry in fs::read_dir(store.join("log"))? {
        let path = entry?.path();
        let unfinished = path
            .extension()
            .is_some_and(|extension| extension == "part" || extension == "new");
        let is_archived = first_of(&path).is_some_and(|first| first <= archives.up_to);
        if unfinished || is_archived {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The files of the log that would be left in the store's folder after [`tidy`]. Nothing is removed or renamed.
pub(crate) fn tidied(store: &Path, archives: &Archives) -> io::Result<Vec<PathBuf>> {
    let mut paths = segments_in(&store.join("log"))?;
    paths.retain(|path| first_of(path).is_none_or(|first| first > archives.up_to));
    let part = part(store, archives.up_to + 1);
    if archives.up_to > 0 && part.exists() {
        paths.insert(0, part);
    }
    Ok(paths)
}
