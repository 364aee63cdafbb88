//! How far an index reaches. One that reaches beyond the end of the log has the only copy of the events that the log lost.

use crate::OpenError;
use crate::folder::await_release_of;
use crate::rows::{CALLS, Row, Rows};
use domain::{CallId, StoreId};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How much memory sled may use to read an index once.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The last position that any index in these folders has, as far as they can be read. Sled changes what it opens.
pub(crate) fn reach_of(indexes: &[PathBuf], store: StoreId) -> u64 {
    let reaches = indexes.iter().map(|index| {
        await_release_of(index);
        let rows = Rows::open(index, store, CACHE_BYTES, None);
        let reached = rows.as_ref().map_or(0, reach);
        drop(rows);
        await_release_of(index);
        reached
    });
    reaches.max().unwrap_or(0)
}

/// The last position that rows know; those that cannot be read know nothing.
pub(crate) fn reach(rows: &Rows) -> u64 {
    let mark = rows.mark().ok().flatten();
    let mut reach = mark.map_or(0, |mark| mark.position);
    let _ = rows.each_completed(|call| {
        reach = reach.max(last_of_row(rows, &call));
        Ok(())
    });
    for (call, history) in rows.readable_live() {
        reach = reach.max(history.last_position(&call).unwrap_or(0));
    }
    reach
}

fn last_of_row(rows: &Rows, call: &CallId) -> u64 {
    match rows.get(call) {
        Ok(Some(Row::Whole(history))) => history.last_position(call).unwrap_or(0),
        Ok(Some(Row::Places(_, places))) => {
            let lasts = places
                .iter()
                .map(|(first, events)| first.saturating_add(events.saturating_sub(1)));
            lasts.max().unwrap_or(0)
        }
        Ok(None) | Err(_) => 0,
    }
}

/// What is wrong with a store whose index reaches beyond its log.
pub(crate) fn beyond(reach: u64, end: u64) -> String {
    format!(
        "the index has events up to position {reach}, and the log ends at position {end}; \
         `kaigi store repair` brings back those that the log lost"
    )
}

/// A copy of an index in a temporary folder: sled changes what it opens, and the store must not change. The events of
/// completed calls are not copied.
pub(crate) struct IndexCopy {
    copy: TempDir,
    original: PathBuf,
}

impl IndexCopy {
    /// Copies the index; one that is not there gives an empty copy.
    pub(crate) fn of(index: &Path) -> Result<Self, OpenError> {
        let temporary = std::env::temp_dir();
        let failed = |error| OpenError::from_io(&temporary, error);
        let copy = tempfile::Builder::new().prefix("kaigi-check-").tempdir();
        let copy = copy.map_err(failed)?;
        copy_all_but_calls(index, copy.path()).map_err(failed)?;
        Ok(Self {
            copy,
            original: index.to_owned(),
        })
    }

    /// Opens the copy.
    pub(crate) fn open(&self, store: StoreId, cache_bytes: u64) -> Result<Rows, OpenError> {
        let rows = Rows::open_copy(self.copy.path(), &self.original, store, cache_bytes);
        rows.map_err(|error| OpenError::from_sled(self.copy.path(), error))
    }
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
