//! Files for their owner alone: a store has telephone numbers, and so have its backups and archives.
//!
//! The files that the program makes are private under any umask. What an earlier version made is brought to that
//! when it is opened, once, with a notice.

use std::io;
use std::path::Path;

/// Gives what the program makes from now on to its user alone: 0700 for folders, 0600 for files.
#[cfg(unix)]
pub fn keep_new_files_private() {
    use rustix::fs::Mode;

    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Other systems give files the rights of the folder that they are made in.
#[cfg(not(unix))]
pub fn keep_new_files_private() {}

/// Takes the rights of the group and of others from that folder and all that is in it, and says so if they had any.
pub fn keep_private(folder: &Path) {
    match made_private(folder) {
        Ok(0) => {}
        Ok(changed) => eprintln!(
            "kaigi: notice: other users had rights to {changed} files and folders in {}; now only the owner has",
            folder.display()
        ),
        Err(error) => eprintln!(
            "kaigi: cannot take the rights of other users from {}: {error}; `chmod -R go= FOLDER` does",
            folder.display()
        ),
    }
}

/// How many files and folders were not private. Those of another owner stay: a file of root's may be for the group.
#[cfg(unix)]
fn made_private(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;

    // A folder may be a link to the one with the files.
    let folder = std::fs::canonicalize(folder)?;
    let owner = std::fs::metadata(&folder)?.uid();
    unix::made_private(&folder, owner)
}

#[cfg(not(unix))]
fn made_private(_: &Path) -> io::Result<u64> {
    Ok(0)
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, Permissions};
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    /// The rights of the group and of others.
    const OTHERS: u32 = 0o077;

    pub(super) fn made_private(path: &Path, owner: u32) -> io::Result<u64> {
        // A file may go while its folder is read.
        let about = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            about => about?,
        };
        let mode = about.permissions().mode();
        let is_open = mode & OTHERS != 0 && about.uid() == owner && !about.is_symlink();
        if is_open {
            fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))?;
        }
        let mut changed = u64::from(is_open);
        if about.is_dir() {
            for entry in fs::read_dir(path)? {
                changed += made_private(&entry?.path(), owner)?;
            }
        }
        Ok(changed)
    }
}
