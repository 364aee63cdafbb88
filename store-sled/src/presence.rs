//! Whether the store's files are still where they were opened. A process can write to a deleted file, and can sync it,
//! but the events in it are gone once the process ends. So nothing is acknowledged after a file was deleted, replaced or
//! moved.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

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

/// Why nothing is acknowledged while the file at that path is not the one that was opened.
pub(crate) fn gone(path: &Path) -> String {
    format!(
        "{} was deleted, replaced or moved while the store was open; nothing is acknowledged until it is back; stop this \
         process, and restore the store from a backup or bring the folder back",
        path.display()
    )
}
