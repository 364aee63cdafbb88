//! A power cut, modelled. `powercut.c` is preloaded into the program and notes what would take back each change below
//! a folder; here what no sync made safe is taken back, once the program is dead.
//!
//! - **Bytes.** A page of 4 KiB is on the disk as it was at some moment between the last sync of its file and the cut,
//!   and a torn one sector of 512 bytes by sector. A file's size is kept apart: it may have grown without its bytes,
//!   which are zeros then. `sync_file_range` makes nothing safe.
//! - **Names.** A name that was made, moved or removed is safe once its folder was synced, not with the file's own sync.
//!   Of what was not safe, a folder has the first so many changes. A move between two folders needs both synced.
//! - **A kill** takes nothing back: what the dead program left unsynced can still be lost in a cut after the next start.
//! - **A failed sync** gives up what it was asked for, as Linux does: the pages count as clean, so that a later sync
//!   says it succeeded and writes none of them, unless they were written to again.
//!
//! Not modelled: bytes that decay, sectors torn within, writes reordered across a sync by a disk that lies about it,
//! and a rename that a file system makes safe by itself. What the notes cannot follow (a file mapped for writing, a
//! folder that gets another name, `copy_file_range` and the like) fails the test instead of being taken for safe.

use crate::torture::chance::Chance;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PAGE: u64 = 4096;
const SECTOR: u64 = 512;

/// How much of what was not safe is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it.
    Everything,
    /// Each page, size and folder is as it was at a moment of its own.
    Pages,
    /// The same, and within a page each sector is.
    Sectors,
    /// Even what is safe, back to the last cut: a check of the notes themselves.
    EvenWhatIsSafe,
}

/// A folder whose power can be cut.
pub struct Disk {
    folder: PathBuf,
    root: PathBuf,
    notes: PathBuf,
    gone: PathBuf,
    fail_sync: PathBuf,
    full: PathBuf,
}

/// The shared object to preload, made of `powercut.c`; why not, where that cannot be.
pub fn shim() -> Result<&'static Path, &'static str> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        if !cfg!(all(
            target_os = "linux",
            target_env = "gnu",
            target_pointer_width = "64"
        )) {
            return Err("it needs Linux and glibc with 64 bits".to_owned());
        }
        make()
    });
    made.as_deref().map_err(String::as_str)
}

/// Beside the test programs, moved there whole: others may be using the one before.
fn make() -> Result<PathBuf, String> {
    let program = std::env::current_exe().expect("a test knows where it runs");
    let object = program.with_file_name("kaigi-powercut.so");
    let fresh = program.with_file_name(format!("kaigi-powercut-{}.so", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/torture/powercut.c");
    let mut cc = Command::new("cc");
    cc.args("-shared -fPIC -O2 -pthread -U_FORTIFY_SOURCE".split(' '));
    let made = cc.arg("-o").arg(&fresh).arg(source).output();
    let made = made.map_err(|error| format!("there is no C compiler (cc: {error})"))?;
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "powercut.c does not compile: {said}");
    fs::rename(&fresh, &object).expect("it was just made there");
    Ok(object)
}

impl Disk {
    /// An empty disk in that folder, which has to be there.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let disk = Self {
            root: folder.join("disk"),
            notes: folder.join("notes"),
            gone: folder.join("gone"),
            fail_sync: folder.join("fail-sync"),
            full: folder.join("full"),
            folder,
        };
        fs::create_dir(&disk.root)?;
        fs::create_dir(&disk.gone)?;
        Ok(disk)
    }

    /// Where the store is on it.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// A folder beside the disk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the program needs in its environment to be on this disk.
    pub fn environment(&self, shim: &Path) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("LD_PRELOAD", shim.to_owned()),
            ("POWERCUT_ROOT", self.root.clone()),
            ("POWERCUT_NOTES", self.notes.clone()),
            ("POWERCUT_GONE", self.gone.clone()),
            ("POWERCUT_FAIL_SYNC", self.fail_sync.clone()),
            ("POWERCUT_FULL", self.full.clone()),
        ]
    }

    /// Once this file is there, one sync of a file fails in each program that is running or started.
    pub fn fail_sync(&self) -> PathBuf {
        self.fail_sync.clone()
    }

    /// While this file is there, the disk is full for each program that is running or started.
    pub fn full(&self) -> PathBuf {
        self.full.clone()
    }

    /// Whether a sync has failed since the last cut.
    pub fn failed_a_sync(&self) -> io::Result<bool> {
        let notes = fs::read(&self.notes)?;
        Ok(read(&notes).any(|note| note.kind == Kind::SyncFailed))
    }

    /// Cuts the power; every program on the disk has to be dead.
    pub fn cut(&self, loss: Loss, chance: &mut Chance) -> io::Result<()> {
        let bytes = match fs::read(&self.notes) {
            Ok(bytes) => bytes,
            // Killed before it began.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let notes: Vec<_> = read(&bytes).collect();
        let beyond = notes.iter().find(|note| note.kind == Kind::Beyond);
        if let Some(note) = beyond {
            let what = String::from_utf8_lossy(note.text);
            panic!("the store did what a power cut is not modelled for: {what}");
        }
        take_back_bytes(self, &notes, loss, chance)?;
        take_back_names(self, &notes, loss, chance)?;
        fs::remove_dir_all(&self.gone)?;
        fs::create_dir(&self.gone)?;
        fs::write(&self.notes, [])
    }
}

/// The kinds of notes, with the numbers of `powercut.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wrote,
    Resized,
    Synced,
    SyncFailed,
    AllSynced,
    Created,
    Removed,
    Renamed,
    MadeFolder,
    RemovedFolder,
    Beyond,
}

impl Kind {
    fn of(number: u64) -> Self {
        const KINDS: [Kind; 11] = [
            Kind::Wrote,
            Kind::Resized,
            Kind::Synced,
            Kind::SyncFailed,
            Kind::AllSynced,
            Kind::Created,
            Kind::Removed,
            Kind::Renamed,
            Kind::MadeFolder,
            Kind::RemovedFolder,
            Kind::Beyond,
        ];
        let kind = usize::try_from(number - 1).ok();
        *kind
            .and_then(|kind| KINDS.get(kind))
            .expect("both files know the same kinds")
    }
}

/// One note; which number means what says `powercut.c`.
struct Note<'a> {
    kind: Kind,
    sequence: u64,
    inode: u64,
    offset: u64,
    length: u64,
    size: u64,
    text: &'a [u8],
    bytes: &'a [u8],
}

/// The notes in their order. A program killed while it noted leaves a last one that is not whole.
fn read(mut rest: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let header = rest.get(..56)?;
        let number = |place: usize| {
            let bytes = header[place..].first_chunk().expect("within the header");
            u64::from_ne_bytes(*bytes)
        };
        let half = |place: usize| {
            let bytes = header[place..].first_chunk().expect("within the header");
            u32::from_ne_bytes(*bytes)
        };
        let text_end = 56 + half(4) as usize;
        let end = text_end + usize::try_from(number(48)).expect("it fits into memory");
        let (text, bytes) = (rest.get(56..text_end)?, rest.get(text_end..end)?);
        rest = &rest[end..];
        Some(Note {
            kind: Kind::of(half(0).into()),
            sequence: number(8),
            inode: number(16),
            offset: number(24),
            length: number(32),
            size: number(40),
            text,
            bytes,
        })
    })
}

// Bytes.

/// What of a file the disk has one state of: a page, or the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Size,
    Page(u64),
}

/// What happened to one file, by its inode.
#[derive(Default)]
struct Changed<'a> {
    changes: Vec<&'a Note<'a>>,
    /// Until which change each part is on the disk for certain.
    safe: HashMap<Part, u64>,
    /// The parts that the system means to write once more, and their first change that it has not written.
    dirty: BTreeMap<Part, u64>,
    last: u64,
}

impl<'a> Changed<'a> {
    fn change(&mut self, note: &'a Note<'a>) {
        self.changes.push(note);
        self.last = note.sequence;
        for part in parts_of(note) {
            self.dirty.entry(part).or_insert(note.sequence);
        }
    }

    /// A sync of what was changed until then has ended.
    fn synced(&mut self, until: u64, succeeded: bool) {
        let before = std::mem::take(&mut self.dirty);
        let meanwhile = self.changes.partition_point(|note| note.sequence <= until);
        for note in &self.changes[meanwhile..] {
            for part in parts_of(note) {
                self.dirty.entry(part).or_insert(note.sequence);
            }
        }
        let written = before.into_iter().filter(|(_, first)| *first <= until);
        for (part, _) in written.filter(|_| succeeded) {
            let safe = self.safe.entry(part).or_default();
            *safe = until.max(*safe);
        }
    }

    /// Until which change the disk has the part.
    fn kept(&self, part: Part, loss: Loss, chance: &mut Chance) -> u64 {
        let safe = self.safe.get(&part).copied().unwrap_or(0);
        match loss {
            Loss::EvenWhatIsSafe => 0,
            Loss::Pages | Loss::Sectors if self.dirty.contains_key(&part) => {
                chance.within(safe..=self.last)
            }
            Loss::Everything | Loss::Pages | Loss::Sectors => safe,
        }
    }
}

fn parts_of(note: &Note<'_>) -> Vec<Part> {
    let (from, to) = match note.kind {
        Kind::Wrote => (note.offset, note.offset + note.length),
        // What a file grows by is no page anybody wrote.
        _ => (note.offset.min(note.size), note.size),
    };
    let resizes = note.kind == Kind::Resized || to > note.size;
    let pages = (from / PAGE..to.div_ceil(PAGE)).map(Part::Page);
    pages.chain(resizes.then_some(Part::Size)).collect()
}

fn take_back_bytes(
    disk: &Disk,
    notes: &[Note<'_>],
    loss: Loss,
    chance: &mut Chance,
) -> io::Result<()> {
    let mut files: BTreeMap<u64, Changed<'_>> = BTreeMap::new();
    for note in notes {
        match note.kind {
            Kind::Wrote | Kind::Resized => files.entry(note.inode).or_default().change(note),
            Kind::Synced | Kind::SyncFailed => {
                if let Some(file) = files.get_mut(&note.inode) {
                    file.synced(note.sequence, note.kind == Kind::Synced);
                }
            }
            Kind::AllSynced => {
                let files = files.values_mut();
                files.for_each(|file| file.synced(note.sequence, true));
            }
            _ => {}
        }
    }
    let mut paths = HashMap::new();
    for folder in [&disk.root, &disk.gone] {
        paths_by_inode(folder, &mut paths)?;
    }
    for (inode, changed) in &files {
        // A file that was made and removed before it could be kept is nobody's.
        if let Some(path) = paths.get(inode) {
            take_back(path, changed, loss, chance)?;
        }
    }
    Ok(())
}

/// From the last change to the first, so that every byte ends as it was when the disk had it last.
fn take_back(
    path: &Path,
    changed: &Changed<'_>,
    loss: Loss,
    chance: &mut Chance,
) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut size = file.metadata()?.len();
    let size_kept = changed.kept(Part::Size, loss, chance);
    let mut kept = Kept {
        changed,
        loss,
        pages: HashMap::new(),
        sectors: HashMap::new(),
    };
    for note in changed.changes.iter().rev() {
        let end = note.bytes.len() as u64;
        for sector in sectors(note) {
            if kept.until(sector, chance) >= note.sequence {
                continue;
            }
            let from = (sector * SECTOR).max(note.offset);
            let to = ((sector + 1) * SECTOR).min(note.offset + note.length.max(end));
            let mut before = vec![0; index(to - from)];
            if from - note.offset < end {
                let there =
                    &note.bytes[index(from - note.offset)..index(end.min(to - note.offset))];
                before[..there.len()].copy_from_slice(there);
            }
            file.write_all_at(&before, from)?;
        }
        if note.sequence > size_kept {
            size = note.size;
        }
    }
    file.set_len(size)
}

fn sectors(note: &Note<'_>) -> impl Iterator<Item = u64> + use<> {
    let length = note.length.max(note.bytes.len() as u64);
    note.offset / SECTOR..(note.offset + length).div_ceil(SECTOR)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a write fits into memory")
}

/// Draws once until when the disk has each part of a file.
struct Kept<'a> {
    changed: &'a Changed<'a>,
    loss: Loss,
    pages: HashMap<u64, u64>,
    sectors: HashMap<u64, u64>,
}

impl Kept<'_> {
    fn until(&mut self, sector: u64, chance: &mut Chance) -> u64 {
        let page = sector * SECTOR / PAGE;
        let (drawn, place) = match self.loss {
            Loss::Sectors => (&mut self.sectors, sector),
            _ => (&mut self.pages, page),
        };
        *drawn
            .entry(place)
            .or_insert_with(|| self.changed.kept(Part::Page(page), self.loss, chance))
    }
}

fn paths_by_inode(folder: &Path, paths: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            paths_by_inode(&entry.path(), paths)?;
        } else {
            paths.insert(entry.metadata()?.ino(), entry.path());
        }
    }
    Ok(())
}

// Names.

fn take_back_names(
    disk: &Disk,
    notes: &[Note<'_>],
    loss: Loss,
    chance: &mut Chance,
) -> io::Result<()> {
    let mut safe: HashMap<u64, u64> = HashMap::new();
    let mut all_safe = 0;
    let mut last = 0;
    for note in notes {
        match note.kind {
            Kind::Synced => {
                let safe = safe.entry(note.inode).or_insert(0);
                *safe = note.sequence.max(*safe);
            }
            Kind::AllSynced => all_safe = note.sequence.max(all_safe),
            _ => last = note.sequence,
        }
    }
    let mut drawn: HashMap<u64, u64> = HashMap::new();
    let mut kept = |folder: u64| {
        let safe = safe.get(&folder).copied().unwrap_or(0).max(all_safe);
        *drawn.entry(folder).or_insert_with(|| match loss {
            Loss::EvenWhatIsSafe => 0,
            Loss::Everything => safe,
            Loss::Pages | Loss::Sectors => chance.within(safe..=last.max(safe)),
        })
    };
    for note in notes.iter().rev() {
        let until = match note.kind {
            Kind::Renamed => kept(note.offset).min(kept(note.length)),
            Kind::Created | Kind::Removed | Kind::MadeFolder | Kind::RemovedFolder => {
                kept(note.offset)
            }
            _ => continue,
        };
        if note.sequence > until {
            take_back_name(disk, note)?;
        }
    }
    Ok(())
}

fn take_back_name(disk: &Disk, note: &Note<'_>) -> io::Result<()> {
    let mut paths = note.text.split(|byte| *byte == 0);
    let mut path = || Path::new(OsStr::from_bytes(paths.next().unwrap_or_default()));
    let kept = |inode: u64| disk.gone.join(inode.to_string());
    let (path, other) = (path(), path());
    let done = match note.kind {
        Kind::Created => fs::remove_file(path),
        Kind::Removed => fs::hard_link(kept(note.inode), path),
        Kind::MadeFolder => fs::remove_dir_all(path),
        Kind::RemovedFolder => fs::create_dir(path),
        Kind::Renamed => fs::rename(other, path).and_then(|()| match note.size {
            0 => Ok(()),
            replaced => fs::hard_link(kept(replaced), other),
        }),
        _ => unreachable!("only names are taken back here"),
    };
    match done {
        // The folder it was in is itself gone, for ever.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !parent_is_there(path) => Ok(()),
        done => done,
    }
}

fn parent_is_there(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}
