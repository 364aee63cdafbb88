//! The log: every event there ever was, in the order of commits, in files that are only ever appended to.
//!
//! A segment is a file named by the position of its first event. It begins with a header (magic, the store's identity,
//! the first position, the address of the first frame, a checksum), then frames. An **address** is a place in the log
//! as if it were one file without segment headers: it stays the same when segments are cut or moved.

pub(crate) mod frame;
mod piece;
mod read;
mod search;
mod segment;
mod write;

pub(crate) use piece::Piece;
pub(crate) use read::Frames;
pub(crate) use segment::{Segment, SegmentHeader, segments_in};
pub(crate) use write::Writer;

use crate::damage::Damage;
use crate::notes::Archives;
use domain::{StoreError, StoreId};
use search::Hints;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Why the log cannot be read.
#[derive(Debug)]
pub(crate) enum LogError {
    Io(PathBuf, io::Error),
    Damage(Damage),
    /// It is in an archive that is not there.
    Away(PathBuf),
}

/// The segments in order. The last one grows.
pub(crate) struct Log {
    segments: RwLock<Vec<Arc<Segment>>>,
    hints: Mutex<Hints>,
    /// The archive that holds what is before the first segment, if it is not there.
    away: Option<PathBuf>,
}

impl Log {
    pub(crate) fn new(segments: Vec<Segment>) -> Self {
        let segments = segments.into_iter().map(Arc::new).collect();
        Self {
            segments: RwLock::new(segments),
            hints: Mutex::new(Hints::default()),
            away: None,
        }
    }

    /// Why what is at that address cannot be read, if it was archived.
    pub(crate) fn lacks(&self, address: u64) -> Option<LogError> {
        let away = self.away.as_ref().filter(|_| address < self.start());
        away.map(|folder| LogError::Away(folder.clone()))
    }

    /// Why there is nothing before the first segment.
    fn before_the_first(&self, position: u64) -> LogError {
        if let Some(folder) = &self.away {
            return LogError::Away(folder.clone());
        }
        let damage = Damage::new("the events from there on are missing");
        damage.at(position).into()
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        segments.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, segment: Arc<Segment>) {
        let segments = self.segments.write();
        segments
            .unwrap_or_else(PoisonError::into_inner)
            .push(segment);
    }

    /// Puts other files in the place of segments, which hold the same frames at the same addresses, and answers what was
    /// there. Segments that commits begin meanwhile stay.
    pub(crate) fn replace(
        &self,
        is_old: impl Fn(&Segment) -> bool,
        new: Vec<Arc<Segment>>,
    ) -> Vec<Arc<Segment>> {
        let segments = self.segments.write();
        let mut segments = segments.unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *segments);
        let (old, mut kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|segment| is_old(segment));
        kept.extend(new);
        kept.sort_by_key(|segment| segment.start);
        *segments = kept;
        old
    }

    /// The address of the first frame.
    pub(crate) fn start(&self) -> u64 {
        self.segments().first().map_or(0, |segment| segment.start)
    }

    /// The first position of the file that begins at that address, if one does.
    pub(crate) fn first_of_file(&self, address: u64) -> Option<u64> {
        let (segment, _) = self.segment_at(address)?;
        (segment.start == address).then_some(segment.first)
    }

    /// The name of the file that holds the position.
    pub(crate) fn file_of(&self, position: u64) -> String {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.first <= position);
        let segment = after.checked_sub(1).and_then(|at| segments.get(at));
        let name = segment.and_then(|segment| segment.path.file_name());
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The segment that holds the address, and the address where it ends, unless it is the one that grows.
    fn segment_at(&self, address: u64) -> Option<(Arc<Segment>, Option<u64>)> {
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.start <= address);
        let segment = segments.get(behind.checked_sub(1)?)?;
        let end = segments.get(behind).map(|next| next.start);
        Some((Arc::clone(segment), end))
    }

    /// Frames from that address on, which must be where one begins, up to another.
    pub(crate) fn frames(&self, from: u64, until: u64) -> Frames<'_> {
        Frames::new(self, from, until)
    }
}

impl LogError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io(path.to_owned(), error)
    }
}

impl From<Damage> for LogError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(path, error) => {
                let what = format!("reading {} failed: {error}", path.display());
                StoreError::Unavailable(what)
            }
            LogError::Damage(damage) => damage.into(),
            LogError::Away(folder) => StoreError::Unavailable(format!(
                "those events were archived to {}, which is not there; bring it back and try again",
                folder.display()
            )),
        }
    }
}

/// What to do with a last file that was being made when the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    Remove,
    Skip,
}

/// Opens the log whose files are in the store and in its archives; returns the store's identity, too.
/// Archives may be away.
pub(crate) fn open(
    archives: &Archives,
    own: Vec<PathBuf>,
    unfinished: Unfinished,
) -> Result<Option<(Log, StoreId)>, LogError> {
    let mut folders = archives.folders.iter();
    let away = folders.find(|folder| !folder.join("log").is_dir());
    let mut found = Found::default();
    if away.is_none() {
        found.take(archived_in(&archives.folders)?, unfinished)?;
    } else {
        found.from = archives.up_to + 1;
    }
    found.take(own, unfinished)?;
    let Some(store) = found.store.filter(|_| !found.segments.is_empty()) else {
        return Ok(None);
    };
    let mut log = Log::new(found.segments);
    log.away = away.cloned();
    Ok(Some((log, store)))
}

/// The files of all archives in the order of the log: it may have been archived to one, to another, and to the first
/// again.
fn archived_in(archives: &[PathBuf]) -> Result<Vec<PathBuf>, LogError> {
    let mut paths = Vec::new();
    for archive in archives {
        let folder = archive.join("log");
        let found = segments_in(&folder).map_err(|error| LogError::io(&folder, error))?;
        paths.extend(found);
    }
    paths.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    Ok(paths)
}

/// Segments as they are found.
struct Found {
    segments: Vec<Segment>,
    store: Option<StoreId>,
    /// The position of the first event.
    from: u64,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            store: None,
            from: 1,
        }
    }
}

impl Found {
    fn take(&mut self, paths: Vec<PathBuf>, unfinished: Unfinished) -> Result<(), LogError> {
        let last = paths.len().saturating_sub(1);
        for (number, path) in paths.into_iter().enumerate() {
            let opened = Segment::open(&path);
            // A file that was being made when the process died, or the disk was full: nothing was written to it.
            if number == last && is_only_begun(&path) && !matches!(opened, Ok(Some(_))) {
                if number > 0 && unfinished == Unfinished::Remove {
                    let removed = std::fs::remove_file(&path);
                    removed.map_err(|error| LogError::io(&path, error))?;
                }
                continue;
            }
            let Some((segment, header)) = opened? else {
                let what = format!("{} is cut off", path.display());
                return Err(Damage::new(what).into());
            };
            continues(self.segments.last(), self.from, &header)?;
            if *self.store.get_or_insert(header.store) != header.store {
                let what = format!("{} is of another store", path.display());
                return Err(Damage::new(what).into());
            }
            self.segments.push(segment);
        }
        Ok(())
    }
}

fn is_only_begun(segment: &Path) -> bool {
    let length = segment.metadata().map(|about| about.len());
    length.is_ok_and(|length| length <= segment::HEADER_BYTES as u64)
}

/// Segments are whole: each ends where the next begins.
fn continues(before: Option<&Segment>, from: u64, header: &SegmentHeader) -> Result<(), LogError> {
    let missing = |position: u64| {
        let damage = Damage::new("the log's file that holds the events from there on is missing");
        LogError::from(damage.at(position))
    };
    let Some(before) = before else {
        return if header.first == from {
            Ok(())
        } else {
            Err(missing(from))
        };
    };
    let end = before.end()?;
    if end == header.start {
        return Ok(());
    }
    let name = before
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let what = format!(
        "the log's file {name} ends {} bytes too {}",
        end.abs_diff(header.start),
        if end < header.start { "early" } else { "late" }
    );
    Err(Damage::new(what).into())
}
