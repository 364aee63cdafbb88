//! Why the log cannot be read.

use crate::damage::Damage;
use domain::StoreError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the log cannot be read.
#[derive(Debug)]
pub(crate) enum LogError {
    Io(PathBuf, io::Error),
    Damage(Damage),
    /// It is in an archive that is not there.
    Away(PathBuf),
}

impl LogError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io(path.to_owned(), error)
    }
}

impl From<Damage> for LogError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(path, error) => {
                let what = format!("reading {} failed: {error}", path.display());
                StoreError::Unavailable(what)
            }
            LogError::Damage(damage) => damage.into(),
            LogError::Away(folder) => StoreError::Unavailable(format!(
                "those events were archived to {}, which is not there; bring it back and try again",
                folder.display()
            )),
        }
    }
}
