//! Reading an index without changing it. Sled changes what it opens, so its files are copied and the copy is opened.

use crate::error::OpenError;
use crate::folder::await_release_of;
use crate::rows::{CALLS, Rows};
use domain::StoreId;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy in a folder that is removed with it. The events of completed calls are not copied.
pub(crate) struct IndexCopy {
    copy: TempDir,
    original: PathBuf,
}

impl IndexCopy {
    /// Copies the index to a new folder in `within`; one that is not there gives an empty copy.
    pub(crate) fn of(index: &Path, within: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(within, error);
        let copy = new_folder(within).map_err(failed)?;
        copy_all_but_calls(index, copy.path()).map_err(failed)?;
        Ok(Self {
            copy,
            original: index.to_owned(),
        })
    }

    /// The same of an index that may not be readable to its end: what was copied until then is kept. Fails where there is
    /// no room, because with room there would be more to salvage.
    pub(crate) fn of_what_can_be_read(index: &Path, within: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(within, error);
        let copy = new_folder(within).map_err(failed)?;
        let copied = copy_all_but_calls(index, copy.path()).map_err(failed);
        if let Err(full @ OpenError::DiskFull { .. }) = copied {
            return Err(full);
        }
        Ok(Self {
            copy,
            original: index.to_owned(),
        })
    }

    /// Opens the copy, of any store.
    pub(crate) fn open(&self, cache_bytes: u64) -> Result<Rows, sled::Error> {
        Rows::open_copy(self.copy.path(), &self.original, cache_bytes)
    }

    /// Opens the copy if it is that store's.
    pub(crate) fn open_of(&self, store: StoreId, cache_bytes: u64) -> Result<Rows, OpenError> {
        let rows = self
            .open(cache_bytes)
            .and_then(|rows| rows.identified(store));
        rows.map_err(|error| OpenError::from_sled(self.copy.path(), error))
    }
}

fn new_folder(within: &Path) -> io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("kaigi-check-").tempdir_in(within)
}

/// Sled may write until it has released its file, and the folder is removed next.
impl Drop for IndexCopy {
    fn drop(&mut self) {
        await_release_of(self.copy.path());
    }
}

/// A process that died while sled wrote a snapshot leaves a half one, which sled would take for a damaged one.
fn is_copied(name: &Path) -> bool {
    name != Path::new(CALLS) && name.extension().is_none_or(|end| end != "generating")
}

fn copy_all_but_calls(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let (name, to) = (entry.file_name(), to.join(entry.file_name()));
        if !is_copied(Path::new(&name)) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_all_but_calls(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
