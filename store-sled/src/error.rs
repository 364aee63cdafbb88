//! Why a store does not open, and what sled's errors mean to whoever uses the store.

use domain::StoreError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a store does not open; what to do is said. No event is changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store.
    #[error("another process has the store {}; stop it, or give it the commands", path.display())]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// A newer program wrote the store; it is left exactly as it is.
    #[error(
        "the store is of format {found} and this program knows formats up to {known}; use a newer program"
    )]
    NewerFormat {
        /// The store's format.
        found: u64,
        /// The newest this program knows.
        known: u64,
    },
    /// There is a file where the store's folder should be.
    #[error("{} is a file, and a store is a folder", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds something else; it is left exactly as it is.
    #[error("{} is no store, but holds other things ({what}); name a new or an empty folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// One of the things.
        what: String,
    },
    /// This user may not write there, or nobody may.
    #[error("{} cannot be written to; check who owns it, and whether the disk is mounted read-only", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full; make room and try again", path.display())]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
    },
    /// What the store holds is damaged.
    #[error("the store {} is damaged: {what}; keep a copy of it; `kaigi store check` tells what is damaged, and either \
         `kaigi store repair` salvages what is whole, or `kaigi store restore` brings a backup back", path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What, and where as far as it is known.
        what: String,
    },
    /// What the store holds does not lead to the digest that was noted of it.
    #[error("the store {} does not verify: {what}; keep a copy of it. A backup that was made before has the events as they \
         were (`kaigi store restore`), and `kaigi store check --against` compares them with a hash noted elsewhere. If \
         only `head` was altered, the store opens without that file", path.display())]
    Altered {
        /// The store.
        path: PathBuf,
        /// What, and where.
        what: String,
    },
    /// A part of it is in an archive that is not there.
    #[error("the store {} cannot do without its archive: {what}", path.display())]
    Away {
        /// The store.
        path: PathBuf,
        /// Which.
        what: String,
    },
    /// Something else about the files.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io {
                path,
                source: error,
            },
        }
    }

    pub(crate) fn from_sled(path: &Path, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if is_lock(&error) => Self::Busy {
                path: path.to_owned(),
            },
            sled::Error::Io(error) if !is_damage(&error) => Self::from_io(path, error),
            damage => Self::Corrupt {
                path: path.to_owned(),
                what: said_by_sled(&damage),
            },
        }
    }
}

/// Sled gives this error no kind of its own.
fn is_lock(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

/// Where its files are cut off or senseless sled answers as if reading had failed.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
    )
}

fn said_by_sled(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "sled's files do not hold what was written".to_owned(),
        sled::Error::Unsupported(what) | sled::Error::ReportableBug(what) => what.clone(),
        sled::Error::Io(error) => error.to_string(),
        sled::Error::CollectionNotFound(_) => "the tree of the events is gone".to_owned(),
    }
}

/// What a failed read means.
pub(crate) fn failed_read(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if !is_damage(&error) => {
            StoreError::Unavailable(format!("reading failed: {error}"))
        }
        damage => StoreError::Corrupt(said_by_sled(&damage)),
    }
}

/// What a failed write means: the store takes no events until it can write again, because what is on the disk is not
/// known.
pub(crate) fn failed_write(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full; make room",
        _ => "check the disk",
    };
    // Sled hands on copies, whose text is for its own developers.
    let what = match error.raw_os_error() {
        Some(_) => error.to_string(),
        None if error.kind() == ErrorKind::Other => error.to_string(),
        None => error.kind().to_string(),
    };
    format!(
        "writing failed ({what}); nothing acknowledged is lost; {advice}: it is tried again each second"
    )
}

pub(crate) fn unwritten(error: &io::Error) -> StoreError {
    StoreError::Unavailable(failed_write(error))
}

pub(crate) fn failed_sled_write(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) => failed_write(error),
        other => failed_write(&io::Error::other(said_by_sled(other))),
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("it was closed; open it again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the second is a reason to keep a copy of the store and to repair it.
    #[test]
    fn a_disk_that_fails_is_no_damage_and_files_that_are_cut_off_are() {
        let of = |kind: ErrorKind| sled::Error::Io(kind.into());
        let path = Path::new("store");
        let failed = OpenError::from_sled(path, of(ErrorKind::Other));
        assert!(matches!(failed, OpenError::Io { .. }), "{failed:?}");
        let damaged = OpenError::from_sled(path, of(ErrorKind::UnexpectedEof));
        assert!(matches!(damaged, OpenError::Corrupt { .. }), "{damaged:?}");
        let failed = failed_read(of(ErrorKind::Other));
        assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
        let damaged = failed_read(of(ErrorKind::UnexpectedEof));
        assert!(matches!(damaged, StoreError::Corrupt(_)), "{damaged:?}");
    }
}
