//! Files and folders, for everything that the store keeps on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// Opens a file to read and to write, and makes it if it is missing.
pub(crate) fn open_or_make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.truncate(false).open(path)
}

/// Replaces a small file, durably: after a crash it is the old one or the new one, and whole.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut written = File::create(&beside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(beside, file)?;
    sync_folder(file.parent().unwrap_or(Path::new("")))
}

/// Syncs a folder and all that is in it.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync_file(&entry.path())?;
        }
    }
    sync_folder(path)
}

pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    file.sync_all()
}

/// Only Unix has folders that can be synced, and needs it.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Makes sure that a folder's name outlives a power cut. Who may not read the folder above cannot, and has to trust the
/// file system there.
pub(crate) fn sync_above(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    let Some(above) = folder.parent() else {
        return Ok(());
    };
    match sync_folder(above) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Whether a path, which may not be there yet, is a folder or lies in it.
pub(crate) fn is_within(path: &Path, folder: &Path) -> io::Result<bool> {
    // The last ancestor of a relative path is the empty one, and means the folder one is in.
    let there = path.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new(".")).canonicalize()?;
    Ok(there.starts_with(folder.canonicalize()?))
}

/// How many bytes a file has, or the files in a folder have together.
pub(crate) fn bytes_of(path: &Path) -> u64 {
    let Ok(about) = fs::metadata(path) else {
        return 0;
    };
    if !about.is_dir() {
        return about.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_of(&entry.path())).sum()
}
