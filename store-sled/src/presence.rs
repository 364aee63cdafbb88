//! Whether the store's files are still where they were opened. A process can write to a deleted file, and can sync it,
//! but the events in it are gone once the process ends. So nothing is acknowledged after a file was deleted, replaced or
//! moved.

use crate::folder::Folder;
use crate::log::{Log, Segment};
use crate::notes::{Acknowledged, MARKER};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// Whether that path still leads to the open file.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match std::fs::metadata(path) {
        Ok(there) => there,
        Err(error) if is_absence(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(are_same(&file.metadata()?, &there))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn are_same(open: &Metadata, there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Other systems do not let an open file be deleted.
#[cfg(not(unix))]
fn are_same(_: &Metadata, there: &Metadata) -> bool {
    there.is_file()
}

/// Verifies that the path of an open file leads to it. Costs two calls of the system.
pub(crate) fn verify(file: &File, path: &Path) -> Result<(), String> {
    match is_at(file, path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(gone(path)),
        Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
    }
}

/// Verifies every file that a store must not lose while it is open, but those of the index, which can be made anew.
pub(crate) fn verify_all(
    folder: &Folder,
    log: &Log,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    folder.verify_lock()?;
    acknowledged.verify(folder.path())?;
    let marker = folder.path().join(MARKER);
    if !marker.is_file() {
        return Err(gone(&marker));
    }
    match missing(folder, log) {
        None => Ok(()),
        // An archive may have taken the file's place since the list was read.
        Some(segment) if !has(log, &segment) => Ok(()),
        Some(segment) => Err(gone(&segment.path)),
    }
}

/// Verifies that the log's last file is there.
pub(crate) fn verify_end(log: &Log) -> Result<(), String> {
    match log.segments().last() {
        Some(last) => verify(&last.file, &last.path),
        None => Ok(()),
    }
}

fn missing(folder: &Folder, log: &Log) -> Option<Arc<Segment>> {
    let mut own = log.segments().into_iter();
    own.find(|segment| {
        segment.path.starts_with(folder.path())
            && !is_at(&segment.file, &segment.path).unwrap_or(false)
    })
}

fn has(log: &Log, wanted: &Arc<Segment>) -> bool {
    let mut segments = log.segments().into_iter();
    segments.any(|segment| Arc::ptr_eq(&segment, wanted))
}

fn gone(path: &Path) -> String {
    format!(
        "{} was deleted, replaced or moved while the store was open; nothing is acknowledged until it is back; stop this \
         process, and restore the store from a backup or bring the folder back",
        path.display()
    )
}
