//! Why a copy was not made, and what to do then.

use crate::backup_fault::BackupFault;
use crate::damage::{DamagedCalls, Fault};
use crate::line::InvalidLine;
use domain::envelope::Altered;
use domain::json::Sha256Text;
use domain::{AppendError, CallId, Revision, StoreError, StoreId};
use std::io;
use std::path::{Path, PathBuf};

/// Why a copy was not made. What was copied until then stays, and the same work started again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the stores failed; the same work started again goes on where it stopped.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A history was altered: nothing is copied from where it does not verify.
    #[error("{place}")]
    Altered {
        /// In which store, or in which line of which file.
        place: String,
        /// What does not hold.
        #[source]
        altered: Altered,
    },
    /// More than one call of a store is damaged.
    #[error("{place}: {damaged}")]
    DamagedCalls {
        /// In which store.
        place: String,
        /// The first fault, as the error that it would be by itself.
        first: Box<CopyError>,
        /// All of them.
        damaged: Box<DamagedCalls>,
    },
    /// A line of a dump is not what it should be; another copy of that file must be found.
    #[error("{piece}, line {line}")]
    Damaged {
        /// The file, by the name it was given as.
        piece: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        what: InvalidLine,
    },
    /// The destination holds another history of that call.
    #[error(
        "the destination holds something else for call {call} at revision {revision}; nothing of it was overwritten: \
         copy into a store that nobody wrote to"
    )]
    Diverged {
        /// The call.
        call: CallId,
        /// The first revision at which the two are known to differ.
        revision: Revision,
    },
    /// The destination did not keep a batch that continues what it has.
    #[error("the destination did not keep events of call {call}")]
    NotKept {
        /// The call.
        call: CallId,
        /// Why not.
        #[source]
        why: AppendError,
    },
    /// Both are the same store, or one is a copy of the other's folder.
    #[error("both are the store {0}; copy into another one, which may be new")]
    SameStore(StoreId),
    /// The destination of a restore has a life of its own.
    #[error("the store holds more of call {call} than what is restored; restore into a new store")]
    NotNew {
        /// A call that is not in what is restored, or goes on beyond it.
        call: CallId,
    },
    /// A dump that begins in the middle of a store's life.
    #[error(
        "{piece} begins after position {after}; restore the whole backup, or a dump from the beginning"
    )]
    NotFromTheBeginning {
        /// The file.
        piece: String,
        /// The position it begins after.
        after: u64,
    },
    /// All was copied, and the two do not hold the same.
    #[error(
        "the copy is not what was copied: its digest is {found}, not {expected}; somebody wrote to it meanwhile, or a \
         disk is failing: run `kaigi store digest` on both, and copy into a new store"
    )]
    Differs {
        /// The digest of what was copied.
        expected: Sha256Text,
        /// The digest of what the destination holds of it.
        found: Sha256Text,
    },
    /// The folder is no backup that can be used for this.
    #[error("{}: {what}", folder.display())]
    Backup {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        what: BackupFault,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {what}")]
    File {
        /// What was tried, and where.
        what: String,
        /// Why it failed.
        #[source]
        why: io::Error,
    },
    /// The output of a dump cannot be written.
    #[error("cannot write the dump")]
    Output(#[source] io::Error),
}

impl CopyError {
    /// Whether a store that was read turned out to be damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            CopyError::Store(error) => error.is_damage(),
            CopyError::DamagedCalls { .. } => true,
            _ => false,
        }
    }

    /// Whether an event of the source of a copy is damaged, or does not continue its call.
    pub(crate) fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            CopyError::Store(StoreError::DamagedEvent(_)) | CopyError::Altered { .. }
        )
    }

    /// Whether what should be verified did not verify.
    pub fn is_unverified(&self) -> bool {
        match self {
            CopyError::Altered { .. } | CopyError::Damaged { .. } | CopyError::Differs { .. } => {
                true
            }
            CopyError::Backup { what, .. } => what.is_unverified(),
            CopyError::DamagedCalls { first, .. } => first.is_unverified(),
            CopyError::Store(_)
            | CopyError::Diverged { .. }
            | CopyError::NotKept { .. }
            | CopyError::SameStore(_)
            | CopyError::NotNew { .. }
            | CopyError::NotFromTheBeginning { .. }
            | CopyError::File { .. }
            | CopyError::Output(_) => false,
        }
    }
}

impl Fault {
    /// The error that this fault is by itself.
    fn into_error(self, place: &str) -> CopyError {
        match self {
            Fault::Event(event) => CopyError::Store(event.into()),
            Fault::History { altered, .. } => {
                let place = place.to_owned();
                CopyError::Altered { place, altered }
            }
        }
    }
}

impl DamagedCalls {
    /// Nothing if nothing is damaged. A single fault is the error that it would be by itself.
    pub(crate) fn into_result(mut self, place: &str) -> Result<(), CopyError> {
        match self.first.len() {
            0 => Ok(()),
            1 => Err(self.first.remove(0).into_error(place)),
            _ => Err(CopyError::DamagedCalls {
                place: place.to_owned(),
                first: Box::new(self.first[0].clone().into_error(place)),
                damaged: Box::new(self),
            }),
        }
    }
}

/// The history of that place does not verify.
pub(crate) fn altered_in(place: impl Into<String>) -> impl FnOnce(Altered) -> CopyError {
    let place = place.into();
    |altered| CopyError::Altered { place, altered }
}

/// That was tried with that file.
pub(crate) fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let what = format!("{what} {}", path.display());
    |why| CopyError::File { what, why }
}
