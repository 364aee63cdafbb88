//! The small files beside the log: what the folder is, how far the store is known to have come, and where earlier parts
//! of the log are. Each is text with a checksum or has one of its own, and all but one are replaced whole.

use crate::error::OpenError;
use crate::files::{open_or_make, replace, sync_folder};
use crate::{at, presence};
use domain::StoreId;
use domain::envelope::Hash;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The version of everything in the folder together.
pub(crate) const FORMAT: u64 = 2;

pub(crate) const MARKER: &str = "kaigi-store";
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
pub(crate) const HEAD: &str = "head";
pub(crate) const ARCHIVES: &str = "archives";

/// What the marker says the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// Nothing yet.
    None,
    /// A store that was made completely.
    Store(StoreId, Purpose),
}

/// What a store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Commands go on.
    Calls,
    /// It holds what was archived of another, and nobody writes to it.
    Archive,
    /// It is as the first format had it.
    Format1,
}

/// How the marker begins in every format there will ever be.
const MARKER_FIRST_WORDS: &str = "kaigi store, format ";

pub(crate) fn read_marker(path: &Path) -> Result<Marker, OpenError> {
    let Some(text) = read_text(&path.join(MARKER))? else {
        return Ok(Marker::None);
    };
    let damaged = || OpenError::Corrupt {
        path: path.to_owned(),
        what: format!("its file {MARKER} is not as a store's is"),
    };
    let said = text.strip_prefix(MARKER_FIRST_WORDS).ok_or_else(damaged)?;
    let (format, said) = said.split_once('\n').ok_or_else(damaged)?;
    let found = format.parse().map_err(|_| damaged())?;
    // A flipped digit is no newer program.
    if found != 1_u64 && !check_holds(&text) {
        return Err(damaged());
    }
    if found > FORMAT {
        return Err(OpenError::NewerFormat {
            found,
            known: FORMAT,
        });
    }
    let id = said.lines().next();
    let id = id.and_then(|line| line.strip_prefix("id "));
    let id = StoreId(id.and_then(|id| id.parse().ok()).ok_or_else(damaged)?);
    let purposes = [Purpose::Calls, Purpose::Archive, Purpose::Format1];
    let says = |purpose: &Purpose| text == marker_text(*purpose, id);
    let purpose = purposes.into_iter().find(says).ok_or_else(damaged)?;
    Ok(Marker::Store(id, purpose))
}

/// The text of a marker. In every format but the first, now and later, the last line is the checksum of those before.
fn marker_text(purpose: Purpose, id: StoreId) -> String {
    let (format, archive) = match purpose {
        Purpose::Format1 => return format!("{MARKER_FIRST_WORDS}1\nid {id}\n"),
        Purpose::Calls => (FORMAT, ""),
        Purpose::Archive => (FORMAT, "archive\n"),
    };
    with_check(format!("{MARKER_FIRST_WORDS}{format}\nid {id}\n{archive}"))
}

/// Says what the folder is. A folder that is an archive of that store already stays it.
pub(crate) fn write_marker(store: &Path, purpose: Purpose, id: StoreId) -> io::Result<()> {
    let text = marker_text(purpose, id);
    let there = fs::read_to_string(store.join(MARKER));
    if purpose == Purpose::Archive && there.is_ok_and(|there| there != text) {
        return Err(io::Error::other("it holds another store"));
    }
    replace(&store.join(MARKER), &text)
}

const CHECK: &str = "check ";

fn with_check(mut text: String) -> String {
    let check = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "{CHECK}{check:08x}");
    text
}

fn check_holds(text: &str) -> bool {
    let Some((covered, check)) = text.rsplit_once(CHECK) else {
        return false;
    };
    check == format!("{:08x}\n", crc32fast::hash(covered.as_bytes()))
}

/// Which folders hold the log up to a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archives {
    pub(crate) up_to: u64,
    pub(crate) folders: Vec<PathBuf>,
}

const ARCHIVES_FIRST_WORDS: &str = "kaigi archives 1\nup-to ";

impl Archives {
    pub(crate) fn read(store: &Path) -> Result<Self, OpenError> {
        let Some(text) = read_text(&store.join(ARCHIVES))? else {
            return Ok(Self::default());
        };
        let archives = Self::parse(&text).filter(|_| check_holds(&text));
        archives.ok_or_else(|| OpenError::Corrupt {
            path: store.to_owned(),
            what: format!("its file {ARCHIVES} is damaged"),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (up_to, rest) = text.strip_prefix(ARCHIVES_FIRST_WORDS)?.split_once('\n')?;
        let folders = rest.lines().filter_map(|line| line.strip_prefix("folder "));
        Some(Self {
            up_to: up_to.parse().ok()?,
            folders: folders.map(PathBuf::from).collect(),
        })
    }

    pub(crate) fn write(&self, store: &Path) -> io::Result<()> {
        let mut text = format!("{ARCHIVES_FIRST_WORDS}{}\n", self.up_to);
        for folder in &self.folders {
            let folder = folder.to_str().filter(|folder| !folder.contains('\n'));
            let folder = folder.ok_or_else(|| io::Error::other("its name is no plain text"))?;
            let _ = writeln!(text, "folder {folder}");
        }
        replace(&store.join(ARCHIVES), &with_check(text))
    }
}

/// The text of such a file; what is no text has no checksum that holds.
fn read_text(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::from_io(path, error)),
    }
}

/// What was noted of the events up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotedHead {
    pub(crate) position: u64,
    /// The digest of all events up to the position.
    pub(crate) digest: Hash,
    /// A position shortly before, and the digest of all events up to that; `None` in a file of an earlier version.
    pub(crate) before: Option<(u64, Hash)>,
}

/// A position and the digest of all events up to it, replaced whole and durably: damage before it is found for certain.
pub(crate) struct HeadFile(PathBuf);

impl HeadFile {
    pub(crate) fn of(store: &Path) -> Self {
        Self(store.join(HEAD))
    }

    pub(crate) fn write(&self, head: &NotedHead) -> io::Result<()> {
        let NotedHead {
            position,
            digest,
            before,
        } = head;
        let mut text = format!("{HEAD_FIRST_WORDS}{position}\ndigest {digest}\n");
        if let Some((position, digest)) = before {
            let _ = writeln!(text, "{BEFORE}{position} {digest}");
        }
        replace(&self.0, &with_check(text))
    }

    /// What was written last; nothing before the first checkpoint.
    pub(crate) fn read(&self) -> Result<Option<NotedHead>, OpenError> {
        let Some(text) = read_text(&self.0)? else {
            return Ok(None);
        };
        let what = format!(
            "its file {HEAD} is damaged; if everything else is whole, the store opens without that file"
        );
        let path = self.0.parent().unwrap_or(Path::new("")).to_owned();
        let head = read_head(&text).filter(|_| check_holds(&text));
        head.map(Some).ok_or(OpenError::Corrupt { path, what })
    }
}

const HEAD_FIRST_WORDS: &str = "kaigi head 1\nposition ";

/// The line of the earlier digest, which a program before it passes over.
const BEFORE: &str = "before ";

fn read_head(text: &str) -> Option<NotedHead> {
    let (position, rest) = text.strip_prefix(HEAD_FIRST_WORDS)?.split_once('\n')?;
    let mut lines = rest.strip_prefix("digest ")?.lines();
    let digest = Hash::from_hex(lines.next()?)?;
    let before = lines.next().and_then(|line| line.strip_prefix(BEFORE));
    Some(NotedHead {
        position: position.parse().ok()?,
        digest,
        before: before.and_then(read_before),
    })
}

fn read_before(text: &str) -> Option<(u64, Hash)> {
    let (position, digest) = text.split_once(' ')?;
    Some((position.parse().ok()?, Hash::from_hex(digest)?))
}

/// The last position that was acknowledged, in a file of its own: a log that ends before it has lost its end. It is
/// written behind the log's sync and is not synced itself, so it is never ahead of the log, and after a power cut at
/// most behind.
pub(crate) struct Acknowledged(File);

impl Acknowledged {
    /// Opens it, and answers what it says.
    pub(crate) fn open(store: &Path) -> Result<(Self, Option<u64>), OpenError> {
        let path = store.join(ACKNOWLEDGED);
        let failed = |error| OpenError::from_io(&path, error);
        let mut file = open_or_make(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok((Self(file), acknowledged_of(store, &bytes)?))
    }

    /// The position in that file; `None` if there is no such file, which is not made.
    pub(crate) fn read(store: &Path) -> Result<Option<u64>, OpenError> {
        let path = store.join(ACKNOWLEDGED);
        match fs::read(&path) {
            Ok(bytes) => acknowledged_of(store, &bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::from_io(&path, error)),
        }
    }

    /// Verifies that the open file is the one in that store.
    pub(crate) fn verify(&self, store: &Path) -> Result<(), String> {
        presence::verify(&self.0, &store.join(ACKNOWLEDGED))
    }

    pub(crate) fn write(&self, last: u64) -> io::Result<()> {
        let mut bytes = [0; 12];
        let position = last.to_be_bytes();
        bytes[..8].copy_from_slice(&position);
        bytes[8..].copy_from_slice(&crc32fast::hash(&position).to_be_bytes());
        // In place, and so short that no crash leaves a part of it: it lies within one sector.
        at::write_all(&self.0, &bytes, 0)
    }

    /// The same, and on the disk when this returns.
    pub(crate) fn write_durably(&self, last: u64) -> io::Result<()> {
        self.write(last)?;
        self.0.sync_data()
    }
}

fn acknowledged_of(store: &Path, bytes: &[u8]) -> Result<Option<u64>, OpenError> {
    read_acknowledged(bytes).map_err(|what| OpenError::Corrupt {
        path: store.to_owned(),
        what,
    })
}

fn read_acknowledged(bytes: &[u8]) -> Result<Option<u64>, String> {
    match bytes {
        [] => Ok(None),
        [position @ .., _, _, _, _]
            if bytes.len() == 12 && bytes[8..] == crc32fast::hash(position).to_be_bytes() =>
        {
            let position = position.first_chunk().expect("12 bytes less 4 are 8");
            Ok(Some(u64::from_be_bytes(*position)))
        }
        _ => Err(format!(
            "its file {ACKNOWLEDGED} is damaged; without that file it opens, and nobody can tell whether its end is there"
        )),
    }
}

impl Acknowledged {
    /// Notes durably that a store has all up to that position.
    pub(crate) fn note(store: &Path, last: u64) -> io::Result<()> {
        let file = File::create(store.join(ACKNOWLEDGED))?;
        let noted = Self(file);
        noted.write(last)?;
        noted.0.sync_all()?;
        sync_folder(store)
    }
}

/// The last position the store is known to have had, as far as these files can be read.
pub(crate) fn promised(store: &Path) -> u64 {
    let acknowledged = fs::read(store.join(ACKNOWLEDGED)).unwrap_or_default();
    let acknowledged = read_acknowledged(&acknowledged).ok().flatten();
    let head = HeadFile::of(store).read().ok().flatten();
    let head = head.map_or(0, |head| head.position);
    acknowledged.unwrap_or(0).max(head)
}
