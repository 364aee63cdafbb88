//! The way back: a backup or a dump into a store, verified to the last line before the first event is sent.

use crate::backup::{Manifest, Piece, fault};
use crate::backup_fault::BackupFault;
use crate::commands::Gathering;
use crate::copy::Copied;
use crate::copy::Copying;
use crate::dump::{DumpReader, Fault, Header};
use crate::error::CopyError;
use crate::error::{altered_in, failed};
use crate::heads::{Heads, StoreDigest};
use crate::progress::{Report, Told, Work};
use crate::survey::heads;
use domain::{EventStore, Position, StoreId, StoredEvent};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// A backup or a dump, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    files: Vec<DumpFile>,
    /// Where a backup lies.
    folder: PathBuf,
    /// How many events there should be, if anything says so beforehand.
    events: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DumpFile {
    name: String,
    path: PathBuf,
    /// What the manifest says of it.
    piece: Option<Piece>,
}

/// A backup or a dump whose every line, SHA-256 and chain of hashes was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    source: Source,
    /// The store it was taken of; none if a backup has no events yet.
    store: Option<StoreId>,
    heads: Heads,
    last: Position,
}

impl Source {
    /// The backup in that folder, or the dump in that file.
    pub fn at(path: &Path) -> Result<Self, CopyError> {
        if path.is_dir() {
            return Self::backup(path);
        }
        let name = path.display().to_string();
        Ok(Self::file(name, path))
    }

    /// The dump in that file, called by another name: what was read from standard input lies in some file, too.
    pub fn file(name: impl Into<String>, path: &Path) -> Self {
        Self {
            files: vec![DumpFile {
                name: name.into(),
                path: path.to_owned(),
                piece: None,
            }],
            folder: PathBuf::new(),
            events: None,
        }
    }

    fn backup(folder: &Path) -> Result<Self, CopyError> {
        let manifest = Manifest::read(folder)?;
        let file = |piece: Piece| DumpFile {
            name: piece.file.clone(),
            path: folder.join(&piece.file),
            piece: Some(piece),
        };
        Ok(Self {
            events: Some(manifest.events),
            files: manifest.pieces.into_iter().map(file).collect(),
            folder: folder.to_owned(),
        })
    }

    /// Reads all of it, and answers what proves that it is whole.
    pub fn verify(self, report: Report<'_>) -> Result<Verified, CopyError> {
        let mut heads = Heads::default();
        let mut told = Told::new(Work::Verifying, self.events, report);
        let mut events = Events::of(&self);
        while let Some(event) = events.next()? {
            let followed = heads.follow(&event.recorded);
            followed.map_err(|altered| altered_in(events.place())(altered))?;
            told.more(1);
        }
        told.done();
        let (store, last) = (events.store, events.last);
        Ok(Verified {
            source: self,
            store,
            heads,
            last,
        })
    }
}

impl Verified {
    /// The store it was taken of; none if a backup has no events yet.
    pub fn store(&self) -> Option<StoreId> {
        self.store
    }

    /// What it holds.
    pub fn digest(&self) -> StoreDigest {
        StoreDigest {
            last: self.last,
            ..self.heads.digest()
        }
    }

    /// Into a store that nobody wrote to, or one into which restoring the same was interrupted.
    pub async fn restore(
        &self,
        to: &dyn EventStore,
        report: Report<'_>,
    ) -> Result<Copied, CopyError> {
        let there = heads(to, Work::Looking, "the destination", |_| true, report).await?;
        self.is_all_of(&there.heads)?;
        let mut copying = Copying::new(to, there.heads);
        let mut told = Told::new(Work::Copying, Some(self.heads.digest().events), report);
        let mut events = Events::of(&self.source);
        let mut gathering = Gathering::default();
        while let Some(event) = events.next()? {
            told.more(1);
            if let Some(command) = gathering.take(event) {
                copying.take(command, || events.place()).await?;
            }
        }
        if let Some(command) = gathering.rest() {
            copying.take(command, || events.place()).await?;
        }
        told.done();
        copying.finish(report).await
    }

    /// The destination has nothing that is not restored here.
    fn is_all_of(&self, there: &Heads) -> Result<(), CopyError> {
        let beyond = |call, revision| revision > self.heads.of(call).revision;
        let mut calls = there.iter();
        match calls.find(|(call, head)| beyond(call, head.revision)) {
            Some((call, _)) => Err(CopyError::NotNew { call: call.clone() }),
            None => Ok(()),
        }
    }
}

/// The events of all files, one after the other.
struct Events<'s> {
    source: &'s Source,
    files: std::slice::Iter<'s, DumpFile>,
    open: Option<(&'s DumpFile, DumpReader<BufReader<File>>)>,
    store: Option<StoreId>,
    last: Position,
}

impl<'s> Events<'s> {
    fn of(source: &'s Source) -> Self {
        Self {
            source,
            files: source.files.iter(),
            open: None,
            store: None,
            last: Position::START,
        }
    }

    fn next(&mut self) -> Result<Option<StoredEvent>, CopyError> {
        loop {
            let Some((file, reader)) = &mut self.open else {
                let Some(file) = self.files.next() else {
                    return Ok(None);
                };
                let reader = file.open()?;
                self.begins(file, reader.header())?;
                self.open = Some((file, reader));
                continue;
            };
            if let Some(event) = reader.next_event().map_err(file.fault())? {
                self.last = event.position;
                return Ok(Some(event));
            }
            let (file, sha256) = (*file, reader.closing().map(|closing| closing.sha256));
            if file
                .piece
                .as_ref()
                .is_some_and(|piece| Some(piece.sha256) != sha256)
            {
                return Err(self.exchanged(file));
            }
            self.open = None;
        }
    }

    /// A dump goes on where the one before ended, and is of the same store.
    fn begins(&mut self, file: &DumpFile, header: Header) -> Result<(), CopyError> {
        let other_store = self.store.is_some_and(|store| store != header.store);
        if file.piece.is_some() && (other_store || header.after != self.last) {
            return Err(self.exchanged(file));
        }
        if header.after != self.last {
            return Err(CopyError::NotFromTheBeginning {
                piece: file.name.clone(),
                after: header.after.0,
            });
        }
        self.store = Some(header.store);
        Ok(())
    }

    fn exchanged(&self, file: &DumpFile) -> CopyError {
        fault(&self.source.folder)(BackupFault::PieceExchanged(file.name.clone()))
    }

    /// Where the event that was read last stands.
    fn place(&self) -> String {
        match &self.open {
            Some((file, reader)) => format!("{}, line {}", file.name, reader.line()),
            None => "the last line".to_owned(),
        }
    }
}

impl DumpFile {
    fn open(&self) -> Result<DumpReader<BufReader<File>>, CopyError> {
        let file = File::open(&self.path).map_err(failed("open", &self.path))?;
        let input = BufReader::with_capacity(256 * 1024, file);
        DumpReader::open(input).map_err(self.fault())
    }

    fn fault(&self) -> impl FnOnce(Fault) -> CopyError {
        let piece = self.name.clone();
        |fault| CopyError::Damaged {
            piece,
            line: fault.line,
            what: fault.what,
        }
    }
}
