//! Read models between two runs: one file each in a folder, replaced whole or not at all. Losing one costs a replay,
//! nothing else; what became of one is answered, and whoever asks decides what to tell of it.

use domain::{EventStore, StoreError, StoreId, leads};
use projections::{CheckpointError, Checkpointed, Projection};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What was found of a read model.
#[derive(Debug)]
pub enum Found<P: Projection> {
    /// One to go on from: this store's events made it.
    Kept(Checkpointed<P>),
    /// None, and why; it is built anew.
    Nothing(Why),
}

/// Why there is no read model to go on from.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// None was kept yet.
    #[error("there is no checkpoint")]
    NoFile,
    /// Its file cannot be read.
    #[error("cannot read {}, building it anew: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Its file has something else in it.
    #[error("{}: {error}", path.display())]
    Useless {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        error: CheckpointError,
    },
    /// The store was restored from a copy since, and has other events.
    #[error("{}: the store was restored since, building the read model anew", path.display())]
    Restored {
        /// The file.
        path: PathBuf,
    },
}

/// A checkpoint was not kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct NotKept {
    what: &'static str,
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// The read model to go on from, if there is one in the folder that this store's events made.
pub async fn kept<P: Projection>(
    folder: &Path,
    store: &dyn EventStore,
) -> Result<Found<P>, StoreError> {
    let model = match read::<P>(folder, store.id()) {
        Ok(model) => model,
        Err(why) => return Ok(Found::Nothing(why)),
    };
    if told_by(store, &model).await? {
        return Ok(Found::Kept(model));
    }
    Ok(Found::Nothing(Why::Restored {
        path: folder.join(P::NAME),
    }))
}

/// Whether the store still leads to what the read model has taken in: one restored from a copy may have lost it, and
/// have other events in its place. This reads the events since the last mark.
pub async fn told_by<P: Projection>(
    store: &dyn EventStore,
    model: &Checkpointed<P>,
) -> Result<bool, StoreError> {
    leads(store, model.mark(), model.events()).await
}

/// The read model as it was kept in the folder; whether the store still tells of it is not asked.
pub fn read<P: Projection>(folder: &Path, store: StoreId) -> Result<Checkpointed<P>, Why> {
    let path = folder.join(P::NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Why::NoFile),
        Err(error) => return Err(Why::Unreadable { path, error }),
    };
    Checkpointed::decode(&bytes, store).map_err(|error| Why::Useless { path, error })
}

/// Written beside the old one, made durable, then put in its place: a reader finds the one or the other.
pub fn keep<P: Projection>(folder: &Path, model: &Checkpointed<P>) -> Result<(), NotKept> {
    attempted("make", folder, fs::create_dir_all(folder))?;
    let path = folder.join(P::NAME);
    // Others may look at the same store, and keep what they saw, at the same moment.
    let fresh = folder.join(format!("{}.new-{}", P::NAME, uuid::Uuid::new_v4()));
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(&model.encode())?;
        file.sync_all()
    });
    attempted("write", &fresh, written)?;
    attempted("replace", &path, fs::rename(&fresh, &path))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    attempted("sync", folder, synced)
}

fn attempted(what: &'static str, path: &Path, result: io::Result<()>) -> Result<(), NotKept> {
    result.map_err(|error| NotKept {
        what,
        path: path.to_owned(),
        error,
    })
}
