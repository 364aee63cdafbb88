//! The files of the log as one: which of them holds an address or a position.

use super::error::LogError;
use super::hints::Hints;
use super::segment::Segment;
use crate::damage::Damage;
use crate::{locks, presence};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

/// The segments in order. The last one grows.
pub(crate) struct Log {
    segments: RwLock<Vec<Arc<Segment>>>,
    pub(super) hints: Mutex<Hints>,
    /// The archive that holds what is before the first segment, if it is not there.
    pub(super) away: Option<PathBuf>,
}

/// Where the log ends, or did: the last position, and the address after its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) position: u64,
    pub(crate) address: u64,
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
    pub(super) fn before_the_first(&self, position: u64) -> LogError {
        if let Some(folder) = &self.away {
            return LogError::Away(folder.clone());
        }
        let damage = Damage::new("the events from there on are missing");
        damage.at(position).into()
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        locks::read(&self.segments).clone()
    }

    /// The one that grows.
    pub(crate) fn last(&self) -> Arc<Segment> {
        self.segments().pop().expect("a log has at least one")
    }

    pub(super) fn push(&self, segment: Arc<Segment>) {
        locks::write(&self.segments).push(segment);
    }

    /// Puts other files in the place of segments, which hold the same frames at the same addresses, and answers what was
    /// there. Segments that commits begin meanwhile stay.
    pub(crate) fn replace(
        &self,
        is_old: impl Fn(&Segment) -> bool,
        new: Vec<Arc<Segment>>,
    ) -> Vec<Arc<Segment>> {
        let mut segments = locks::write(&self.segments);
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

    /// Verifies that the files in that folder are where they were opened; those in archives may be away.
    pub(crate) fn verify_files_in(&self, folder: &Path) -> Result<(), String> {
        let is_gone = |segment: &Arc<Segment>| {
            segment.path.starts_with(folder)
                && !presence::is_at(&segment.file, &segment.path).unwrap_or(false)
        };
        match self.segments().into_iter().find(is_gone) {
            // An archive may have taken the file's place since the list was read.
            Some(gone) if self.has(&gone) => Err(presence::gone(&gone.path)),
            Some(_) | None => Ok(()),
        }
    }

    fn has(&self, wanted: &Arc<Segment>) -> bool {
        let segments = self.segments();
        segments.iter().any(|segment| Arc::ptr_eq(segment, wanted))
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
    pub(super) fn segment_at(&self, address: u64) -> Option<(Arc<Segment>, Option<u64>)> {
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.start <= address);
        let segment = segments.get(behind.checked_sub(1)?)?;
        let end = segments.get(behind).map(|next| next.start);
        Some((Arc::clone(segment), end))
    }
}
