//! Read models between two runs of the program: one file each beside the store, replaced whole or not at all.

use crate::events::read_on;
use crate::store::StoreUrl;
use anyhow::Context;
use domain::{EventStore, Position, Revision, StoreId};
use projections::{CheckpointError, Checkpointed, Projection};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// The read model as of the store's last event: resumed from its checkpoint, or built anew.
pub async fn caught_up<P: Projection>(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
) -> anyhow::Result<Checkpointed<P>> {
    let folder = url.read_models(store.id());
    let kept = match &folder {
        Some(folder) => kept(folder, &*store).await?,
        None => None,
    };
    let mut model = kept.unwrap_or_else(|| Checkpointed::new(store.id()));
    let before = model.position();
    catch_up(&mut model, store).await?;
    if let Some(folder) = folder
        && model.position() > before
        && let Err(error) = keep(&folder, &model)
    {
        // Losing a checkpoint costs a replay, nothing else.
        eprintln!(
            "kaigi: the checkpoint of {} is not kept: {error:#}",
            P::NAME
        );
    }
    Ok(model)
}

/// Folds what the store holds behind the read model.
pub async fn catch_up<P: Projection>(
    model: &mut Checkpointed<P>,
    store: Arc<dyn EventStore>,
) -> anyhow::Result<()> {
    read_on(store, model.position(), |events| model.fold(events)).await?;
    Ok(())
}

/// The read model to go on from, if there is one that this store's events made.
async fn kept<P: Projection>(
    folder: &Path,
    store: &dyn EventStore,
) -> anyhow::Result<Option<Checkpointed<P>>> {
    let path = folder.join(P::NAME);
    let Some(model) = read::<P>(&path, store.id()) else {
        return Ok(None);
    };
    if told_by(store, &model).await? {
        return Ok(Some(model));
    }
    eprintln!(
        "kaigi: {}: the store was restored since, building the read model anew",
        path.display()
    );
    Ok(None)
}

/// Whether the store has the last event the read model has taken in: one restored from a copy may have lost it, and
/// have another in its place.
async fn told_by<P: Projection>(
    store: &dyn EventStore,
    model: &Checkpointed<P>,
) -> anyhow::Result<bool> {
    let Some((call, head)) = model.last() else {
        return Ok(model.position() == Position::START);
    };
    let before = Revision(head.revision.0.saturating_sub(1));
    let there = store.read_call(call, before).await?;
    Ok(there.first().is_some_and(|stored| {
        stored.position == model.position() && stored.recorded.head() == head
    }))
}

fn read<P: Projection>(path: &Path, store: StoreId) -> Option<Checkpointed<P>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            eprintln!(
                "kaigi: cannot read {}, building it anew: {error}",
                path.display()
            );
            return None;
        }
    };
    match Checkpointed::decode(&bytes, store) {
        Ok(model) => Some(model),
        // An upgrade is no news to whoever looks at a table.
        Err(CheckpointError::OtherVersion { .. }) => None,
        Err(error) => {
            eprintln!("kaigi: {}: {error}", path.display());
            None
        }
    }
}

/// Written beside the old one, made durable, then put in its place: a reader finds the one or the other.
fn keep<P: Projection>(folder: &Path, model: &Checkpointed<P>) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(P::NAME);
    // Others may look at the same store, and keep what they saw, at the same moment.
    let fresh = folder.join(format!("{}.new-{}", P::NAME, uuid::Uuid::new_v4()));
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(&model.encode())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, &path).with_context(|| format!("cannot replace {}", path.display()))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}
