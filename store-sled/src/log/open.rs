//! Opening the files of the log: those of the store and those of its archives must follow one another.

use super::error::LogError;
use super::segment::{HEADER_BYTES, Segment, SegmentHeader, segments_in};
use super::segments::Log;
use crate::damage::Damage;
use crate::notes::Archives;
use domain::StoreId;
use std::path::{Path, PathBuf};
use std::{fs, io};

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

impl Log {
    /// Begins the log of that store in an empty folder.
    pub(crate) fn begin(folder: &Path, store: StoreId) -> io::Result<Self> {
        let (first, start) = (1, 0);
        let header = SegmentHeader {
            store,
            first,
            start,
        };
        Ok(Self::new(vec![Segment::create(folder, &header)?]))
    }
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
                    let removed = fs::remove_file(&path);
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
    length.is_ok_and(|length| length <= HEADER_BYTES as u64)
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
