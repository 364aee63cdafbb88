//! A backup: a folder of dumps, each beginning where the one before ends, and a manifest that says which belong to it.
//!
//! A piece and then the manifest are written beside what is there, made durable and put in place. So whatever
//! interrupts a backup leaves the former one whole, and the next run goes on from that.

use crate::backup_fault::{BackupFault, FORMAT, MANIFEST};
use crate::commands::Commands;
use crate::dump::{Closing, DumpWriter};
use crate::error::CopyError;
use crate::error::{altered_in, failed};
use crate::heads::Heads;
use crate::progress::{Report, Told, Work};
use domain::envelope::Hash;
use domain::json::Sha256Text;
use domain::{
    CallId, EventStore, Head, Position, RecordedEvent, Revision, StoreError, StoreId, StoredEvent,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What is not in place yet: a kill leaves it, the next run writes over it.
const UNFINISHED: &str = ".new";

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format.
    #[serde(rename = "kaigi_backup")]
    pub format: u64,
    /// The store it is of.
    pub store: StoreId,
    /// How many events it has.
    pub events: u64,
    /// The position it reaches.
    pub last: Position,
    /// The event at that position, by which the store is known again.
    pub last_event: Option<LastEvent>,
    /// Its files, each beginning where the one before ends.
    pub pieces: Vec<Piece>,
}

/// The last event of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastEvent {
    /// Its call.
    pub call: CallId,
    /// Its revision.
    pub revision: Revision,
    /// Its hash.
    pub hash: Sha256Text,
}

/// One file of a backup, a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Its name in the folder.
    pub file: String,
    /// The position it begins after.
    pub after: Position,
    /// The position of its last event.
    pub last: Position,
    /// How many events it has.
    pub events: u64,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of all but its closing line, which says the same.
    pub sha256: Sha256Text,
}

/// A backup as it is after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backed {
    /// What it consists of.
    pub manifest: Manifest,
    /// What this run added; nothing if no event came since the run before.
    pub added: Option<Piece>,
}

/// Brings the backup in that folder up to what the store holds now, or begins one if the folder is new or empty.
pub async fn backup(
    store: &dyn EventStore,
    folder: &Path,
    report: Report<'_>,
) -> Result<Backed, CopyError> {
    let folder = Folder::open(folder)?;
    let mut manifest = folder.manifest(store.id())?;
    manifest.is_told_by(store, &folder).await?;
    manifest.is_whole(&folder.path)?;
    let added = match folder.write_piece(store, &manifest, report).await? {
        Some((piece, last_event)) => {
            manifest.add(piece.clone(), last_event);
            folder.keep(&manifest).await?;
            Some(piece)
        }
        None => None,
    };
    folder.tidy(&manifest)?;
    Ok(Backed { manifest, added })
}

impl Manifest {
    fn new(store: StoreId) -> Self {
        Self {
            format: FORMAT,
            store,
            events: 0,
            last: Position::START,
            last_event: None,
            pieces: Vec::new(),
        }
    }

    /// The manifest of the backup in that folder.
    pub fn read(folder: &Path) -> Result<Self, CopyError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(fault(folder)(BackupFault::NoBackup));
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        Self::parse(&bytes).map_err(fault(folder))
    }

    fn parse(bytes: &[u8]) -> Result<Self, BackupFault> {
        #[derive(Deserialize)]
        struct AnyManifest {
            kaigi_backup: u64,
        }
        let damaged = |error: serde_json::Error| BackupFault::BadManifest(error.to_string());
        let AnyManifest { kaigi_backup } = serde_json::from_slice(bytes).map_err(damaged)?;
        if kaigi_backup > FORMAT {
            return Err(BackupFault::NewerFormat(kaigi_backup));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if manifest.is_consistent() {
            return Ok(manifest);
        }
        let what = "its pieces do not follow one another";
        Err(BackupFault::BadManifest(what.to_owned()))
    }

    /// The pieces follow one another up to the last position, and lie in the folder itself.
    fn is_consistent(&self) -> bool {
        let mut reached = Position::START;
        let follow = self.pieces.iter().all(|piece| {
            let before = std::mem::replace(&mut reached, piece.last);
            piece.after == before && piece.last > before && is_piece(&piece.file)
        });
        let events: Option<u64> = self
            .pieces
            .iter()
            .try_fold(0_u64, |sum, piece| sum.checked_add(piece.events));
        follow && reached == self.last && events == Some(self.events)
    }

    /// The store still has the event where this ends: one that was restored from elsewhere may have another there.
    async fn is_told_by(&self, store: &dyn EventStore, folder: &Folder) -> Result<(), CopyError> {
        let Some(last) = &self.last_event else {
            return Ok(());
        };
        let before = Revision(last.revision.0.saturating_sub(1));
        let there = store.read_call(&last.call, before).await?;
        let same = |stored: &StoredEvent| {
            stored.position == self.last && stored.recorded.hash == Hash(last.hash.0)
        };
        if there.first().is_some_and(same) {
            return Ok(());
        }
        Err(fault(&folder.path)(BackupFault::StoreChanged(self.last)))
    }

    /// Every piece is there and as long as it was: what is added to a backup must not hide that it lost something.
    fn is_whole(&self, folder: &Path) -> Result<(), CopyError> {
        let gone = |piece: &&Piece| {
            let found = fs::metadata(folder.join(&piece.file));
            !found.is_ok_and(|found| found.len() == piece.bytes)
        };
        match self.pieces.iter().find(gone) {
            Some(piece) => Err(fault(folder)(BackupFault::PieceGone {
                file: piece.file.clone(),
                bytes: piece.bytes,
            })),
            None => Ok(()),
        }
    }

    fn add(&mut self, piece: Piece, last_event: LastEvent) {
        self.events += piece.events;
        self.last = piece.last;
        self.last_event = Some(last_event);
        self.pieces.push(piece);
    }
}

/// The folder of a backup, in which nobody else writes while this lives.
struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    fn open(path: &Path) -> Result<Self, CopyError> {
        fs::create_dir_all(path).map_err(failed("make", path))?;
        let handle = File::open(path).map_err(failed("open", path))?;
        match handle.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(fault(path)(BackupFault::Busy)),
            // A network's disk without locks is no reason against a backup on it.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(failed("lock", path)(error));
            }
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let path = path.to_owned();
        Ok(Self { path, handle })
    }

    /// The backup that is there, or the beginning of one.
    fn manifest(&self, store: StoreId) -> Result<Manifest, CopyError> {
        let names = self.names()?;
        let ours = |name: &&String| is_ours(name);
        if let Some(other) = names.iter().find(|name| !ours(name)) {
            return Err(fault(&self.path)(BackupFault::HoldsOthers(other.clone())));
        }
        if !names.iter().any(|name| name == MANIFEST) {
            return self.begin(store, &names);
        }
        let manifest = Manifest::read(&self.path)?;
        if manifest.store == store {
            return Ok(manifest);
        }
        Err(fault(&self.path)(BackupFault::OtherStore {
            backup: manifest.store,
            store,
        }))
    }

    /// A manifest without pieces stands there before the first piece does, so that pieces without one are no leftovers.
    fn begin(&self, store: StoreId, names: &[String]) -> Result<Manifest, CopyError> {
        if names.iter().any(|name| is_piece(name)) {
            return Err(fault(&self.path)(BackupFault::LostManifest));
        }
        let manifest = Manifest::new(store);
        let unfinished = self.path.join(format!("{MANIFEST}{UNFINISHED}"));
        let written = write_durably(&unfinished, &pretty(&manifest));
        written.map_err(failed("write", &unfinished))?;
        self.put(&unfinished, MANIFEST)?;
        Ok(manifest)
    }

    fn names(&self) -> Result<Vec<String>, CopyError> {
        let listed = fs::read_dir(&self.path).and_then(|entries| {
            let name = |entry: io::Result<fs::DirEntry>| {
                entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
            };
            entries.map(name).collect()
        });
        listed.map_err(failed("list", &self.path))
    }

    /// What came since the manifest, if anything, as a piece in its place.
    async fn write_piece(
        &self,
        store: &dyn EventStore,
        manifest: &Manifest,
        report: Report<'_>,
    ) -> Result<Option<(Piece, LastEvent)>, CopyError> {
        let info = store.info().await?;
        let mut commands = Commands::new(store, manifest.last, info.last);
        let Some(mut command) = commands.next().await? else {
            return Ok(None);
        };
        let first = command[0].position;
        let mut chains = Chains::after(manifest.last);
        let new = info
            .events
            .map(|events| events.saturating_sub(manifest.events));
        let mut told = Told::new(Work::Writing, new, report);
        let unfinished = self.path.join(format!("piece{UNFINISHED}"));
        let file = File::create(&unfinished).map_err(failed("write", &unfinished))?;
        let dump = DumpWriter::begin(BufWriter::new(file), store.id(), manifest.last);
        let mut dump = dump.map_err(failed("write", &unfinished))?;
        let last_event = loop {
            for event in &command {
                chains.follow(store, &event.recorded).await?;
                dump.write(event).map_err(failed("write", &unfinished))?;
                told.more(1);
            }
            match commands.next().await? {
                Some(next) => command = next,
                None => break last_of(&command),
            }
        };
        let (out, closing) = dump.close().map_err(failed("write", &unfinished))?;
        let bytes = made_durable(out).await;
        let bytes = bytes.map_err(failed("write", &unfinished))?;
        let piece = Piece::new(first, manifest.last, bytes, &closing);
        self.put(&unfinished, &piece.file)?;
        told.done();
        Ok(Some((piece, last_event)))
    }

    async fn keep(&self, manifest: &Manifest) -> Result<(), CopyError> {
        let unfinished = self.path.join(format!("{MANIFEST}{UNFINISHED}"));
        let (path, text) = (unfinished.clone(), pretty(manifest));
        let written = blocking(move || write_durably(&path, &text)).await;
        written.map_err(failed("write", &unfinished))?;
        self.put(&unfinished, MANIFEST)
    }

    /// In place, also after a power cut.
    fn put(&self, unfinished: &Path, name: &str) -> Result<(), CopyError> {
        let path = self.path.join(name);
        fs::rename(unfinished, &path).map_err(failed("put in place", &path))?;
        self.handle.sync_all().map_err(failed("sync", &self.path))
    }

    /// Removes what an interrupted run left: its events stand in the pieces now.
    fn tidy(&self, manifest: &Manifest) -> Result<(), CopyError> {
        for name in self.names()? {
            let listed = manifest.pieces.iter().any(|piece| piece.file == name);
            if name != MANIFEST && !listed {
                let path = self.path.join(name);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl Piece {
    /// Named by the positions of its first and last event.
    fn new(first: Position, after: Position, bytes: u64, closing: &Closing) -> Self {
        Self {
            file: format!("{:020}-{:020}{PIECE}", first.0, closing.last.0),
            after,
            last: closing.last,
            events: closing.events,
            bytes,
            sha256: closing.sha256,
        }
    }
}

/// How a piece's name ends.
const PIECE: &str = ".ndjson";

fn is_piece(name: &str) -> bool {
    let position = |text: &str| text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    let positions = name
        .strip_suffix(PIECE)
        .and_then(|name| name.split_once('-'));
    positions.is_some_and(|(first, last)| position(first) && position(last))
}

fn is_ours(name: &str) -> bool {
    let unfinished = name.strip_suffix(UNFINISHED);
    name == MANIFEST
        || is_piece(name)
        || unfinished.is_some_and(|name| name == MANIFEST || name == "piece")
}

/// The chains of the calls as a piece continues them.
struct Chains {
    heads: Heads,
    from_the_beginning: bool,
}

impl Chains {
    fn after(position: Position) -> Self {
        Self {
            heads: Heads::default(),
            from_the_beginning: position == Position::START,
        }
    }

    /// A call that began in an earlier piece goes on where the store says: what is before was verified with that piece.
    async fn follow(
        &mut self,
        store: &dyn EventStore,
        event: &RecordedEvent,
    ) -> Result<(), CopyError> {
        let call = &event.cause.call;
        let known = self.from_the_beginning || self.heads.of(call) != Head::NONE;
        if !known && let Some(head) = head_before(store, event).await? {
            self.heads.begin(call.clone(), head);
        }
        self.heads.follow(event).map_err(altered_in("the store"))?;
        Ok(())
    }
}

async fn head_before(
    store: &dyn EventStore,
    event: &RecordedEvent,
) -> Result<Option<Head>, StoreError> {
    let Some(after) = event.revision.0.checked_sub(2) else {
        return Ok(None);
    };
    let events = store.read_call(&event.cause.call, Revision(after)).await?;
    Ok(events.first().map(|stored| stored.recorded.head()))
}

fn last_of(command: &[StoredEvent]) -> LastEvent {
    let last = &command[command.len() - 1].recorded;
    LastEvent {
        call: last.cause.call.clone(),
        revision: last.revision,
        hash: Sha256Text(last.hash.0),
    }
}

fn pretty(manifest: &Manifest) -> String {
    let mut text = serde_json::to_string_pretty(manifest).expect("a manifest is JSON");
    text.push('\n');
    text
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// How long the file is, once the disk has it.
async fn made_durable(out: BufWriter<File>) -> io::Result<u64> {
    let file = out.into_inner()?;
    blocking(move || {
        file.sync_all()?;
        Ok(file.metadata()?.len())
    })
    .await
}

/// Elsewhere than on the thread of those who send commands: a disk takes its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

pub(crate) fn fault(folder: &Path) -> impl FnOnce(BackupFault) -> CopyError {
    let folder = folder.to_owned();
    |what| CopyError::Backup { folder, what }
}
