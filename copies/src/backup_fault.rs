//! Why a folder is no backup that can be used.

use domain::{Position, StoreId};

/// The manifest's file.
pub const MANIFEST: &str = "backup.json";

/// The format of the manifest this program writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 1;

/// Why a folder is no backup that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupFault {
    /// Something else lies there, and might be somebody's.
    #[error("{0:?} lies there, which is no part of a backup; choose a new or empty folder")]
    HoldsOthers(String),
    /// There are pieces and nothing says what they are.
    #[error(
        "there are pieces of a backup and no {MANIFEST}; bring it back, or begin a backup in a new folder"
    )]
    LostManifest,
    /// Nothing of a backup lies there.
    #[error("there is no backup: no {MANIFEST}")]
    NoBackup,
    /// The manifest is damaged.
    #[error("{MANIFEST} is damaged: {0}; begin a backup in a new folder")]
    BadManifest(String),
    /// A newer program wrote it.
    #[error("the backup is of format {0}, and this program reads {FORMAT}; use a newer kaigi")]
    NewerFormat(u64),
    /// It is another store's.
    #[error("it is a backup of the store {backup}, and this is {store}; choose another folder")]
    OtherStore {
        /// The store the backup is of.
        backup: StoreId,
        /// The store that was given.
        store: StoreId,
    },
    /// The store is not what it was.
    #[error(
        "the store no longer has the event at position {0}, where the last backup ended: it was restored or altered \
         since; keep this backup, and begin another in a new folder"
    )]
    StoreChanged(Position),
    /// A piece is not there, or was cut or lengthened.
    #[error(
        "the piece {file} is missing or not {bytes} bytes long; begin a backup in a new folder"
    )]
    PieceGone {
        /// Its name.
        file: String,
        /// How long it should be.
        bytes: u64,
    },
    /// A piece is a dump, but not the one the manifest names.
    #[error("the piece {0} is another dump than {MANIFEST} says; begin a backup in a new folder")]
    PieceExchanged(String),
    /// Another run writes there.
    #[error("another backup is being written there; wait for its end")]
    Busy,
}

impl BackupFault {
    pub(crate) fn is_unverified(&self) -> bool {
        match self {
            BackupFault::BadManifest(_)
            | BackupFault::StoreChanged(_)
            | BackupFault::PieceGone { .. }
            | BackupFault::PieceExchanged(_) => true,
            BackupFault::HoldsOthers(_)
            | BackupFault::LostManifest
            | BackupFault::NoBackup
            | BackupFault::NewerFormat(_)
            | BackupFault::OtherStore { .. }
            | BackupFault::Busy => false,
        }
    }
}
