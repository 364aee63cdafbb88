//! Archiving: the files of the log in which every call is completed move to another folder, and what the index keeps of
//! those calls shrinks to where their events are. They are read as before, as long as that folder is there.
//!
//! The file `archives` says which folders hold what comes before the log's own files. It is replaced whole once the
//! copies are durable and verified; before that nothing has changed, and after it what was copied is only waste.

use crate::block::Groups;
use crate::damage::Damage;
use crate::error::{OpenError, closed};
use crate::files::{is_within, sync_folder};
use crate::folder::{make, refuse_other_things};
use crate::indexer::Told;
use crate::jobs::{Job, Task};
use crate::live::Stage;
use crate::log::{
    End, Log, LogError, Segment, SegmentHeader, first_of, part, segments_in, settle_part,
};
use crate::notes::{Acknowledged, Archives, Marker, Purpose, read_marker, write_marker};
use crate::shared::Shared;
use crate::store::SledStore;
use crate::tail;
use domain::{CallId, Position, StoreError, StoreId, Timestamp};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// How many events were moved now.
    pub events: u64,
    /// How many bytes of the log that were.
    pub bytes: u64,
    /// How many completed calls shrank in the index.
    pub calls: u64,
    /// Why some of them did not, if so; they do the next time, and nothing is wrong until then.
    pub rows_stay: Option<String>,
    /// The last position that is in an archive.
    pub up_to: Position,
    /// Why no more was moved.
    pub because: Because,
}

/// Why no more was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// There is no more.
    End,
    /// The next event was recorded then, which is not before the date.
    Newer(Timestamp),
    /// The next event is of a call that is not completed, of which the last event was recorded then.
    GoesOn(CallId),
}

/// Why nothing was moved; but for one of these the store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The store cannot be read, or has stopped.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// It is the store's own folder, or within it.
    #[error("{0} is in the store itself; name a folder elsewhere")]
    InTheStore(String),
    /// The archive's folder holds something else, which is left exactly as it is.
    #[error(
        "{0} holds another store; name a new folder, or one that this store was archived to before"
    )]
    Taken(String),
    /// It failed when the copies were about to count, so they may count already.
    #[error(
        "whether {to} is needed now is not known ({why}); keep it, open the store again, and archive again"
    )]
    Unsettled {
        /// The archive.
        to: String,
        /// What failed.
        why: String,
    },
    /// What was copied is not what was read.
    #[error("the copy in {0} does not hold what the log holds; check that disk")]
    NotTheSame(String),
}

impl From<LogError> for ArchiveError {
    fn from(error: LogError) -> Self {
        ArchiveError::Store(error.into())
    }
}

impl From<Damage> for ArchiveError {
    fn from(damage: Damage) -> Self {
        ArchiveError::Store(damage.into())
    }
}

impl SledStore {
    /// Whether in that folder there is what was archived of a store, which can be opened, and not written to.
    pub fn is_archive(path: &Path) -> bool {
        matches!(read_marker(path), Ok(Marker::Store(_, Purpose::Archive)))
    }

    /// Moves completed calls out: the log from its beginning up to the first event that was recorded at or after that
    /// time, or is of a call that is not completed. Commands go on meanwhile. It reads and writes on the caller's
    /// thread, for as long as that takes.
    pub async fn archive(&self, before: Timestamp, to: &Path) -> Result<Archived, ArchiveError> {
        let _one_at_a_time = self.archiving.lock().await;
        let (answer, answered) = oneshot::channel();
        // The file that grows is never moved, so what is in it now has to end with it.
        self.ask(Job::Task(Task::BeginSegment(answer))).await?;
        answered.await.unwrap_or_else(|_| Err(closed()))?;
        let to = archive_folder(&self.path, self.id, to)?;
        let moving = Moving {
            shared: &self.shared,
            folder: &self.path,
            to: &to,
        };
        let cut = moving.cut(before)?;
        let (files, bytes) = moving.copy(self.id, &cut)?;
        moving.commit(&cut, files)?;
        // The events are moved, also where the rows cannot shrink.
        let (calls, rows_stay) = match self.shrink(&cut).await {
            Ok(calls) => (calls, None),
            Err(error) => (0, Some(error.to_string())),
        };
        Ok(Archived {
            events: cut.position - cut.from,
            bytes,
            calls,
            rows_stay,
            up_to: Position(cut.position),
            because: cut.because,
        })
    }

    /// Has the rows of calls whose events are all archived say only where they are.
    async fn shrink(&self, cut: &Cut) -> Result<u64, ArchiveError> {
        let (answer, answered) = oneshot::channel();
        let shrink = Told::Shrink(cut.position, answer);
        self.ask(Job::Task(Task::Index(shrink))).await?;
        Ok(answered.await.unwrap_or_else(|_| Err(closed()))?)
    }
}

/// The archive's folder by its real name. Files of another store have the same names, and must not be replaced.
fn archive_folder(store: &Path, id: StoreId, to: &Path) -> Result<PathBuf, ArchiveError> {
    let failed = |error| OpenError::from_io(to, error);
    if is_within(to, store).map_err(failed)? {
        return Err(ArchiveError::InTheStore(to.display().to_string()));
    }
    make(to)?;
    match read_marker(to)? {
        Marker::None => refuse_other_things(to)?,
        Marker::Store(of, Purpose::Archive) if of == id => {}
        Marker::Store(..) => return Err(ArchiveError::Taken(to.display().to_string())),
    }
    fs::create_dir_all(to.join("log")).map_err(failed)?;
    sync_folder(to).map_err(failed)?;
    Ok(to.canonicalize().map_err(failed)?)
}

/// Where the archive is to end, behind a whole commit.
struct Cut {
    /// The last position that is archived already.
    from: u64,
    position: u64,
    address: u64,
    because: Because,
}

struct Moving<'a> {
    shared: &'a Shared,
    folder: &'a Path,
    to: &'a Path,
}

impl Moving<'_> {
    fn log(&self) -> &Log {
        &self.shared.log
    }

    /// The segments that are the store's own.
    fn own(&self) -> Vec<Arc<Segment>> {
        let mut own = self.log().segments();
        own.retain(|segment| segment.path.starts_with(self.folder));
        own
    }

    fn cut(&self, before: Timestamp) -> Result<Cut, ArchiveError> {
        let own = self.own();
        let (first, start) = own
            .first()
            .map_or((1, 0), |segment| (segment.first, segment.start));
        // The file that grows stays.
        let end = own.last().map_or(start, |segment| segment.start);
        let mut cut = Cut {
            from: first - 1,
            position: first - 1,
            address: start,
            because: Because::End,
        };
        let mut completed = HashSet::new();
        let mut frames = self.log().frames(start, end);
        let mut next = first;
        while let Some(read) = frames.next(next)? {
            let header = read.header;
            let mut groups = Groups::new(next, read.block)?;
            while let Some(group) = groups.next()? {
                let damage = || Damage::new("the event is damaged").at(group.first);
                let shared = group.raw()?;
                let call = group.call_id().ok_or_else(damage)?;
                let at = shared.recorded_at().ok_or_else(damage)?;
                if at >= before {
                    cut.because = Because::Newer(at);
                    return Ok(cut);
                }
                if !completed.contains(&call) {
                    if !self.is_completed(&call)? {
                        cut.because = Because::GoesOn(call);
                        return Ok(cut);
                    }
                    completed.insert(call);
                }
            }
            next = header.next();
            // Only between commits: a part of one at the end of the archive would look like a torn write.
            if header.behind == 0 {
                cut.position = next - 1;
                cut.address = frames.address();
            }
        }
        Ok(cut)
    }

    fn is_completed(&self, call: &CallId) -> Result<bool, StoreError> {
        let stage = self.shared.live().entry(call).map(|entry| entry.stage);
        match stage {
            Some(stage) => Ok(stage == Stage::Completed),
            // Calls that go on are all in memory.
            None => Ok(self.shared.known(call)?.is_some()),
        }
    }

    /// Copies what is before the cut to the archive, and what is behind it of the file that holds both to another.
    fn copy(&self, id: StoreId, cut: &Cut) -> Result<(Vec<PathBuf>, u64), ArchiveError> {
        // Files of a longer attempt would follow the new ones, and not fit them.
        self.remove_unfinished(cut)?;
        let mut copied = Vec::new();
        let mut bytes = 0;
        let own = self.own();
        let ends = own.iter().skip(1).map(|segment| segment.start);
        for (segment, end) in own.iter().zip(ends) {
            if segment.start >= cut.address {
                break;
            }
            let upto = end.min(cut.address);
            let header = SegmentHeader {
                store: id,
                first: segment.first,
                start: segment.start,
            };
            let to = Segment::path(&self.to.join("log"), segment.first);
            self.copy_between(&header, upto, &to)?;
            bytes += upto - segment.start;
            copied.push(to);
            if cut.address < end {
                let header = SegmentHeader {
                    store: id,
                    first: cut.position + 1,
                    start: cut.address,
                };
                self.copy_between(&header, end, &part(self.folder, cut.position + 1))?;
            }
        }
        if !copied.is_empty() {
            // The notes first, and the marker last: with it the archive can be opened, and must then be known to be whole.
            let noted = Acknowledged::note(self.to, cut.position);
            noted.map_err(|error| OpenError::from_io(self.to, error))?;
            write_marker(self.to, Purpose::Archive, id)
                .map_err(|error| OpenError::from_io(self.to, error))?;
        }
        Ok((copied, bytes))
    }

    /// Takes away what an archiving left there that was never finished.
    fn remove_unfinished(&self, cut: &Cut) -> Result<(), ArchiveError> {
        let log = self.to.join("log");
        let failed = |error| OpenError::from_io(&log, error);
        for path in segments_in(&log).map_err(failed)? {
            if first_of(&path).is_some_and(|first| first > cut.from) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Writes a file of the log anew that holds what is between two addresses, durably, and reads it once more.
    fn copy_between(
        &self,
        header: &SegmentHeader,
        until: u64,
        to: &Path,
    ) -> Result<(), ArchiveError> {
        let failed = |error| ArchiveError::Folder(OpenError::from_io(to, error));
        let beside = to.with_extension("new");
        let write = || -> io::Result<Result<(), LogError>> {
            let mut file = File::create(&beside)?;
            file.write_all(&header.bytes())?;
            let mut at = header.start;
            while at < until {
                let bytes = match self.log().bytes(at, until.min(at + 1024 * 1024)) {
                    Ok(bytes) if bytes.is_empty() => break,
                    Ok(bytes) => bytes,
                    Err(error) => return Ok(Err(error)),
                };
                file.write_all(&bytes)?;
                at += bytes.len() as u64;
            }
            // Durable under its own name only once it is whole, so no crash leaves a part of a file that looks like one.
            file.sync_all()?;
            fs::rename(&beside, to)?;
            sync_folder(to.parent().unwrap_or(Path::new("")))?;
            Ok(Ok(()))
        };
        write().map_err(failed)??;
        let Some((copy, found)) = Segment::open(to)? else {
            return Err(ArchiveError::NotTheSame(to.display().to_string()));
        };
        // Read back before anything may depend on it.
        let copy = Log::new(vec![copy]);
        let from = End {
            position: header.first - 1,
            address: header.start,
        };
        let rolled = |log: &Log| tail::roll_between(log, from, until);
        if found != *header || rolled(&copy)? != rolled(self.log())? {
            return Err(ArchiveError::NotTheSame(to.display().to_string()));
        }
        Ok(())
    }

    /// From here on the archive holds what was copied; the store's own copies are taken away.
    fn commit(&self, cut: &Cut, copied: Vec<PathBuf>) -> Result<(), ArchiveError> {
        if copied.is_empty() {
            return Ok(());
        }
        let mut archives = Archives::read(self.folder)?;
        archives.up_to = cut.position;
        if !archives.folders.iter().any(|folder| folder == self.to) {
            archives.folders.push(self.to.to_owned());
        }
        // This write decides. Before it the archive's copies are waste, which the next archiving removes; after it the
        // store's own files are, which the next opening removes. The part that stays gets its name only now, for the
        // same reason.
        let new = archives
            .write(self.folder)
            .and_then(|()| settle_part(self.folder, cut.position + 1))
            .map_err(|error| OpenError::from_io(self.folder, error).to_string())
            .and_then(|split| open_all(copied.into_iter().chain(split)));
        let new = new.map_err(|why| ArchiveError::Unsettled {
            to: self.to.display().to_string(),
            why,
        })?;
        let moved = |segment: &Segment| {
            segment.path.starts_with(self.folder) && segment.start < cut.address
        };
        // Readers go by addresses, which are the same in the copies. Those that have an old file open read on in it.
        let old = self.log().replace(moved, new);
        for segment in old {
            // What cannot be removed now is removed when the store is opened.
            let _ = fs::remove_file(&segment.path);
        }
        Ok(())
    }
}

fn open_all(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<Arc<Segment>>, String> {
    let mut segments = Vec::new();
    for path in paths {
        let opened = Segment::open(&path).map_err(|error| StoreError::from(error).to_string())?;
        segments.extend(opened.map(|(segment, _)| Arc::new(segment)));
    }
    Ok(segments)
}
