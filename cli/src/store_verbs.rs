//! `kaigi store`: what a store is and holds, its digest, dumps and backups of it, and the way back.

use crate::against::{self, Against};
use crate::args::StoreVerb;
use crate::damaged;
use crate::events::read_on;
use crate::exit::{Exit, not_found, usage};
use crate::facts::{Fact, print};
use crate::output::{Console, NobodyReads};
use crate::private::keep_private;
use crate::progress;
use crate::store::{StoreUrl, closing};
use anyhow::Context;
use copies::{Backed, Copied, CopyError, Source, StoreDigest, Verified};
use domain::{EventStore, Followed, Position, Prefix, StoreError};
use serde_json::json;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// What is done with a store that is open.
pub async fn store_verb(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    what: StoreVerb,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    match what {
        StoreVerb::Info => info(url, store, console).await,
        StoreVerb::Backup { folder } => backup(&*store, &folder, console).await,
        StoreVerb::Dump { after } => dump(&*store, after, console).await,
        StoreVerb::Digest {
            at: Some(count), ..
        } => prefix(url, &*store, count, console).await,
        StoreVerb::Digest { at: None, against } => {
            digest(url, &*store, against.as_deref(), console).await
        }
        StoreVerb::Damaged => damaged::damaged(url, &*store, console).await,
        StoreVerb::Restore { .. }
        | StoreVerb::Verify { .. }
        | StoreVerb::Create
        | StoreVerb::Check { .. }
        | StoreVerb::Repair { .. }
        | StoreVerb::Archive(_) => unreachable!("carried out before a store is open"),
    }
}

async fn info(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let info = store.info().await?;
    let (events, calls) = match (info.events, info.calls) {
        (Some(events), Some(calls)) => (events, calls),
        (None, _) | (_, None) => counted(store).await?,
    };
    let bytes = info.bytes_on_disk;
    let size = Fact::new("size", "bytes_on_disk", bytes);
    let size = match bytes {
        Some(bytes) => size.shown(format!("{bytes} bytes on disk")),
        None => size.for_programs(),
    };
    let mut facts = vec![
        Fact::new("store", "store", url.to_string()),
        Fact::new("id", "id", info.id.to_string()),
        Fact::new("format", "format", info.format),
        Fact::new("events", "events", events),
        Fact::new("calls", "calls", calls),
        size,
        Fact::new("last position", "last_position", info.last.0),
    ];
    let remarks = info.remarks.into_iter();
    facts.extend(remarks.map(|(name, value)| Fact::new(name, name, value)));
    print("store info", &facts, console)?;
    Ok(Exit::Done)
}

/// How many events there are and of how many calls, for a store that does not know: all of it is read.
async fn counted(store: Arc<dyn EventStore>) -> Result<(u64, u64), StoreError> {
    let (mut events, mut calls) = (0, HashSet::new());
    let count = |next: &Followed| {
        let Followed::Events(page) = next else {
            return;
        };
        events += page.len() as u64;
        for stored in page {
            let call = &stored.recorded.cause.call;
            if !calls.contains(call) {
                calls.insert(call.clone());
            }
        }
    };
    read_on(store, Position::START, count).await?;
    Ok((events, calls.len() as u64))
}

async fn digest(
    url: &StoreUrl,
    store: &dyn EventStore,
    against: Option<&str>,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let against = against.map(Against::read).transpose()?;
    let mut progress = progress::copies();
    let survey = copies::survey(store, &mut |step| progress.step(step), &mut |_| {}).await;
    progress.done();
    let digested = survey.map_err(CopyError::from);
    let digested = digested.and_then(|survey| Ok((survey.digest()?, survey.prefix)));
    let (digest, prefix) = match digested {
        // Looking for damage is what this is for: found, it is an answer like that of a history that was altered.
        Err(damage) if damage.is_damage() => {
            eprintln!("kaigi: {damage}\nkaigi: {}", url.when_damaged());
            return Ok(Exit::Altered);
        }
        digested => digested?,
    };
    let mut facts = vec![Fact::new("store", "store", url.to_string())];
    facts.extend(told_of(&digest));
    facts.push(Fact::new("count", "count", prefix.count).for_programs());
    facts.push(rolling_hash(&prefix));
    let compared = match &against {
        Some(against) => compared(store, against, &prefix).await.map(Some),
        None => Ok(None),
    };
    facts.extend(against::fact_of(&compared));
    print("a digest", &facts, console)?;
    compared.map(|_| Exit::Done)
}

/// Every hash in the store is verified by now, so the rolling hash of the first events proves what they hold.
async fn compared(store: &dyn EventStore, against: &Against, all: &Prefix) -> anyhow::Result<Fact> {
    let first = copies::prefix(store, against.count, &mut |_| {}).await?;
    let found = (first.count == against.count).then_some(first.rolling_hash);
    against.compare(store.id(), all.count, found)
}

fn rolling_hash(prefix: &Prefix) -> Fact {
    let hash = prefix.rolling_hash.to_string();
    Fact::new("rolling hash", "rolling_hash", hash)
}

/// `kaigi store digest --at`: what proves the first events of the store.
async fn prefix(
    url: &StoreUrl,
    store: &dyn EventStore,
    count: u64,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let mut progress = progress::copies();
    let prefix = copies::prefix(store, count, &mut |step| progress.step(step)).await;
    progress.done();
    let prefix = prefix?;
    if prefix.count < count {
        let there = prefix.count;
        return Err(not_found(format!(
            "the store has {there} events, and no prefix of {count}; name a count up to {there}"
        )));
    }
    let facts = [
        Fact::new("store", "store", url.to_string()),
        Fact::new("count", "count", prefix.count),
        Fact::new("position", "position", prefix.position.0),
        rolling_hash(&prefix),
    ];
    print("a prefix", &facts, console)?;
    Ok(Exit::Done)
}

async fn dump(
    store: &dyn EventStore,
    after: Position,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let mut progress = progress::dumping();
    let report = &mut |step| progress.step(step);
    let dumped = copies::dump(store, after, console.writer(), report).await;
    progress.done();
    match dumped {
        Err(CopyError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(NobodyReads.into())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Exit::Done),
    }
}

async fn backup(
    store: &dyn EventStore,
    folder: &Path,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let mut progress = progress::copies();
    let backed = copies::backup(store, folder, &mut |step| progress.step(step)).await;
    progress.done();
    let Backed { manifest, added } = backed?;
    keep_private(folder);
    let shown = match &added {
        Some(piece) => format!("{}, {} events", piece.file, piece.events),
        None => "nothing: no event came since the last time".to_owned(),
    };
    let added = added.map(|piece| {
        json!({
            "file": piece.file, "after": piece.after, "last": piece.last, "events": piece.events,
            "bytes": piece.bytes, "sha256": piece.sha256,
        })
    });
    let facts = [
        Fact::new("backup", "folder", folder.display().to_string()),
        Fact::new("of the store", "id", manifest.store.to_string()),
        Fact::new("files", "files", manifest.pieces.len()),
        Fact::new("events", "events", manifest.events),
        Fact::new("last position", "last_position", manifest.last.0),
        Fact::new("added", "added", added).shown(shown),
    ];
    print("a backup", &facts, console)?;
    Ok(Exit::Done)
}

/// `kaigi store verify`: reads a backup or a dump as restoring would.
pub fn verify(from: &Path, console: &mut Console) -> anyhow::Result<Exit> {
    let (verified, _spooled) = verified(from)?;
    let mut facts = of(from, &verified).to_vec();
    facts.extend(told_of(&verified.digest()));
    print("a verification", &facts, console)?;
    Ok(Exit::Done)
}

/// `kaigi store restore`: a backup or a dump into a store, which is made once all is verified.
pub async fn restore(url: &StoreUrl, from: &Path, console: &mut Console) -> anyhow::Result<Exit> {
    url.must_be_writable()?;
    let (verified, _spooled) = verified(from)?;
    let store = url.open().await?;
    let mut progress = progress::copies();
    let mut report = |step| progress.step(step);
    let restored = closing(&*store, async {
        Ok(verified.restore(&*store, &mut report).await?)
    });
    let restored = restored.await;
    progress.done();
    let Copied {
        sent, destination, ..
    } = restored?;
    let mut facts = of(from, &verified).to_vec();
    facts.push(Fact::new("into", "store", url.to_string()));
    facts.push(Fact::new("events sent", "sent", sent));
    facts.extend(told_of(&destination));
    print("a restore", &facts, console)?;
    Ok(Exit::Done)
}

/// What was given, verified. Standard input cannot be read twice, so it is kept in a file until the end.
fn verified(from: &Path) -> anyhow::Result<(Verified, Option<NamedTempFile>)> {
    let (source, spooled) = given(from)?;
    let mut progress = progress::copies();
    let verified = source.verify(&mut |step| progress.step(step));
    progress.done();
    Ok((verified?, spooled))
}

fn given(from: &Path) -> anyhow::Result<(Source, Option<NamedTempFile>)> {
    if from == Path::new("-") {
        let mut file = NamedTempFile::new().context("cannot keep standard input")?;
        io::copy(&mut io::stdin().lock(), &mut file).context("cannot keep standard input")?;
        return Ok((Source::file("standard input", file.path()), Some(file)));
    }
    if !from.exists() {
        let from = from.display();
        return Err(usage(format!(
            "there is neither a backup nor a dump at {from}"
        )));
    }
    Ok((Source::at(from)?, None))
}

fn of(from: &Path, verified: &Verified) -> [Fact; 2] {
    let store = verified.store().map(|store| store.to_string());
    [
        Fact::new("from", "from", from.display().to_string()),
        Fact::new("of the store", "id", store),
    ]
}

fn told_of(digest: &StoreDigest) -> [Fact; 4] {
    [
        Fact::new("digest", "digest", digest.sha256.to_string()),
        Fact::new("calls", "calls", digest.calls),
        Fact::new("events", "events", digest.events),
        Fact::new("last position", "last_position", digest.last.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Handler;
    use simulate::{Day, simulate};

    #[tokio::test]
    async fn a_store_that_does_not_count_is_read_to_know() {
        let store = StoreUrl::Memory.open().await.unwrap();
        let handler = Handler::new(Arc::clone(&store));
        for request in simulate(&Day { calls: 5, seed: 1 }) {
            // The day has commands that a rule refuses.
            let _ = handler
                .handle(&request, handler.random_id(), handler.now())
                .await;
        }
        let info = store.info().await.unwrap();
        let (events, calls) = counted(store).await.unwrap();
        assert_eq!((Some(events), Some(calls)), (info.events, info.calls));
        assert_eq!(calls, 5);
    }
}
