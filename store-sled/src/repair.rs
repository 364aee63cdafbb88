//! Salvaging: every event of a damaged store that is whole goes into a new one. The damaged store is only read.
//!
//! What is damaged in the log is looked for in two more places: among the events of a damaged block one by one, each
//! verified by its hash, and in a copy of the index, which holds every call's events together.

use crate::block::{GroupBytes, Groups, intact_events};
use crate::error::OpenError;
use crate::files::is_within;
use crate::folder::{Folder, indexes_of, keep_out};
use crate::guard::guarded;
use crate::history::History;
use crate::index_copy::IndexCopy;
use crate::log::{Log, LogError, Piece, Segment, first_of, segments_in};
use crate::new_log::NewLog;
use crate::notes::{Archives, promised};
use crate::rows::{Row, Rows};
use domain::envelope::verify;
use domain::{CallId, Head, RecordedEvent, Revision, StoreError, StoreId, StoredEvent};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// How much memory sled may use to read an index once.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// What was salvaged, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The new store.
    pub id: StoreId,
    /// How many events it has.
    pub events: u64,
    /// How many calls they are of.
    pub calls: u64,
    /// How many of them came from the index, or from damaged blocks.
    pub recovered: u64,
    /// The calls that lost something, by name.
    pub losses: Vec<Loss>,
    /// Positions whose events are lost, and whose calls nothing tells, unless the losses above account for them.
    pub unknown: Vec<Range<u64>>,
    /// Events that are whole, but cannot follow because others before them are lost.
    pub stranded: Vec<StoredEvent>,
}

/// What a call lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The call.
    pub call: CallId,
    /// Its last revision in the new store; 0 if it is not there at all.
    pub kept_to: u64,
    /// The last revision anything knows of.
    pub known_to: u64,
    /// How many of the events in between are whole, and in [`Repaired::stranded`].
    pub stranded: u64,
}

/// Why nothing could be salvaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The damaged one cannot be read, or the new one not written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new store's place is taken.
    #[error("{0} is not empty; name a new folder for what is salvaged")]
    Taken(String),
    /// The new store's place is in the damaged store's folder, which is only read.
    #[error("{0} is in the damaged store; name a folder elsewhere for what is salvaged")]
    InTheStore(String),
    /// There is no log to salvage from.
    #[error("{0} has no log; it is no store of this kind")]
    NoLog(String),
}

impl From<LogError> for RepairError {
    fn from(error: LogError) -> Self {
        RepairError::Store(error.into())
    }
}

/// Salvages what is whole of the store in one folder into a new store in another. The damaged store's folder is only
/// read, and other processes are kept out of it meanwhile.
pub fn repair(
    damaged: &Path,
    into: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Repaired, RepairError> {
    // Nothing below may write to the damaged store: it is the only copy of what is lost in the new one.
    let _kept_out = keep_out(damaged)?;
    let files = files_of(damaged)?;
    must_be_free(into, damaged)?;
    let mut files = files
        .iter()
        .map(|path| RawFile::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    // By their names, because headers may be damaged.
    files.sort_by_key(|file| file.first);
    let total: u64 = files.iter().map(|file| file.length).sum();
    // The log is read twice. The first time tells which positions it holds whole, so that of the index only the others are
    // kept in memory; the second time writes the new log in order, with spare events where the log has a hole.
    let (mut whole, mut spare) = (Vec::new(), BTreeMap::new());
    for file in &files {
        file.scan(&mut whole, &mut spare)?;
    }
    let mut salvage = Salvage::into(into)?;
    let mut copies = Copies::default();
    copies.take_indexes(damaged, &salvage.folder, &whole)?;
    let known = copies.heads;
    // The index's copies passed their checksums; a damaged block's events did not, so they come second.
    spare.extend(copies.events);
    let mut next = 1;
    let mut read = 0;
    for file in &files {
        next = salvage.take_file(file, next, &spare)?;
        read += file.length;
        progress(read, total);
    }
    // Beyond the last frame there may be more: events in the index, and positions of which only a note tells.
    let end = spare.last_key_value().map_or(next, |(last, _)| last + 1);
    let end = end.max(promised(damaged) + 1).max(next);
    salvage.take_spare(next..end, &spare)?;
    salvage.finish(&known)
}

/// The files of the damaged store's log, also of its archives.
fn files_of(damaged: &Path) -> Result<Vec<PathBuf>, RepairError> {
    // Where the file `archives` is damaged, the store's own files are salvaged.
    let archives = Archives::read(damaged).unwrap_or_default().folders;
    // What is only away is not lost.
    if let Some(away) = archives.iter().find(|folder| !folder.join("log").is_dir()) {
        return Err(LogError::Away(away.clone()).into());
    }
    let folders = archives.iter().map(PathBuf::as_path).chain([damaged]);
    let files: Vec<_> = folders
        .flat_map(|folder| segments_in(&folder.join("log")).unwrap_or_default())
        .filter(|path| first_of(path).is_some())
        .collect();
    if files.is_empty() {
        return Err(RepairError::NoLog(damaged.display().to_string()));
    }
    Ok(files)
}

fn must_be_free(into: &Path, damaged: &Path) -> Result<(), RepairError> {
    if is_within(into, damaged).map_err(|error| OpenError::from_io(into, error))? {
        return Err(RepairError::InTheStore(into.display().to_string()));
    }
    let entries = into.read_dir();
    if entries.is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RepairError::Taken(into.display().to_string()));
    }
    Ok(())
}

/// A file of the log as it is, whatever its header says.
struct RawFile {
    log: Log,
    first: u64,
    length: u64,
}

impl RawFile {
    fn open(path: &Path) -> Result<Self, LogError> {
        let first = first_of(path).unwrap_or(u64::MAX);
        let segment = Segment {
            path: path.to_owned(),
            file: File::open(path).map_err(|error| LogError::io(path, error))?,
            first,
            start: 0,
        };
        let length = segment.end()?;
        let log = Log::new(vec![segment]);
        Ok(Self { log, first, length })
    }

    /// Notes which positions are in whole frames, and what can be read of others.
    fn scan(
        &self,
        whole: &mut Vec<Range<u64>>,
        spare: &mut BTreeMap<u64, StoredEvent>,
    ) -> Result<(), LogError> {
        let mut address = 0;
        while address < self.length {
            let frame = self.frame(address)?;
            match frame {
                Piece::Whole { header, .. } => {
                    note(whole, header.first..header.next());
                    address += header.frame_bytes() as u64;
                }
                Piece::Damaged { header, block, end } => {
                    // Without a header the position can only be guessed. The hash decides whether the event follows.
                    let next = whole.last().map_or(1, |range| range.end);
                    let first = header.map_or(next, |header| header.first);
                    let events = intact_events(first, &block);
                    spare.extend(events.into_iter().map(|event| (event.position.0, event)));
                    address = end;
                }
            }
        }
        Ok(())
    }

    fn frame(&self, address: u64) -> Result<Piece, LogError> {
        self.log.piece(address, self.length)
    }
}

fn note(whole: &mut Vec<Range<u64>>, range: Range<u64>) {
    match whole.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        Some(_) | None => whole.push(range),
    }
}

/// What the index knows that the log has lost.
#[derive(Default)]
struct Copies {
    events: BTreeMap<u64, StoredEvent>,
    heads: BTreeMap<CallId, u64>,
}

impl Copies {
    /// Takes what the damaged store's indexes have, as far as they can be read. They are copied to the new store's folder.
    fn take_indexes(
        &mut self,
        damaged: &Path,
        new: &Folder,
        whole: &[Range<u64>],
    ) -> Result<(), OpenError> {
        let within = new.index_copies();
        let failed = |error| OpenError::from_io(&within, error);
        fs::create_dir_all(&within).map_err(failed)?;
        for index in indexes_of(damaged) {
            let copy = IndexCopy::of_what_can_be_read(&index, &within)?;
            self.take_index(&copy, whole);
        }
        fs::remove_dir_all(&within).map_err(failed)
    }

    fn take_index(&mut self, copy: &IndexCopy, whole: &[Range<u64>]) {
        if let Ok(rows) = copy.open(CACHE_BYTES) {
            // Where sled panics, what was read before is as good as ever.
            let _ = guarded(|| self.take_all(&rows, whole));
        }
    }

    fn take_all(&mut self, rows: &Rows, whole: &[Range<u64>]) {
        // Where rows cannot be read on, those before are as good as ever.
        let _ = rows.each_completed(|call| {
            if let Ok(Some(Row::Whole(history))) = rows.get(&call) {
                self.take(call, &history, whole);
            }
            Ok(())
        });
        for (call, history) in rows.readable_live() {
            self.take(call, &history, whole);
        }
    }

    fn take(&mut self, call: CallId, history: &History, whole: &[Range<u64>]) {
        let revision = history.head.revision.0;
        let events = usize::try_from(revision).unwrap_or(usize::MAX);
        let events = history
            .events(&call, Revision(0), events)
            .unwrap_or_default();
        let lost = events
            .into_iter()
            .filter(|event| !holds(whole, event.position.0));
        self.events
            .extend(lost.map(|event| (event.position.0, event)));
        let head = self.heads.entry(call).or_default();
        *head = revision.max(*head);
    }
}

fn holds(whole: &[Range<u64>], position: u64) -> bool {
    let behind = whole.partition_point(|range| range.end <= position);
    whole
        .get(behind)
        .is_some_and(|range| range.contains(&position))
}

/// A new store on its way.
struct Salvage {
    folder: Folder,
    id: StoreId,
    log: NewLog,
    /// Events of one call that follow each other, not written yet.
    run: Vec<RecordedEvent>,
    calls: HashMap<CallId, Salvaged, RandomState>,
    recovered: u64,
    unknown: Vec<Range<u64>>,
    stranded: Vec<StoredEvent>,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Follows,
    /// It is whole, but events before it are lost.
    Stranded,
    /// It is there already, or not as it was written.
    Not,
}

/// What shows that an event is as it was written although it does not follow what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its block's checksum holds.
    Checksum,
    /// Only its hash may, after the one that the event before it has.
    Chain,
}

#[derive(Clone, Copy)]
struct Salvaged {
    head: Head,
    /// The last event that was seen, whole or not.
    seen: Head,
    known_to: u64,
    stranded: u64,
}

impl Salvage {
    fn into(path: &Path) -> Result<Self, RepairError> {
        let (folder, _) = Folder::take(path)?;
        let id = StoreId(Uuid::new_v4());
        let failed = |error| OpenError::from_io(folder.path(), error);
        fs::create_dir_all(folder.log()).map_err(failed)?;
        let log = NewLog::begin(&folder.log(), id).map_err(failed)?;
        Ok(Self {
            folder,
            id,
            log,
            run: Vec::new(),
            calls: HashMap::default(),
            recovered: 0,
            unknown: Vec::new(),
            stranded: Vec::new(),
        })
    }

    /// Takes a file's whole frames in, and where some are damaged what else there is. Answers the next position.
    fn take_file(
        &mut self,
        file: &RawFile,
        mut next: u64,
        spare: &BTreeMap<u64, StoredEvent>,
    ) -> Result<u64, RepairError> {
        let mut address = 0;
        while address < file.length {
            match file.frame(address)? {
                Piece::Damaged { end, .. } => address = end,
                Piece::Whole { header, block } => {
                    address += header.frame_bytes() as u64;
                    // A frame that is there twice was taken in once.
                    if header.first < next {
                        continue;
                    }
                    self.take_spare(next..header.first, spare)?;
                    let events = Groups::new(header.first, &block).and_then(Groups::events);
                    for event in events.map_err(LogError::from)? {
                        self.take(event, Proof::Checksum)?;
                    }
                    next = header.next();
                }
            }
        }
        Ok(next)
    }

    fn take_spare(
        &mut self,
        lost: Range<u64>,
        spare: &BTreeMap<u64, StoredEvent>,
    ) -> Result<(), RepairError> {
        let mut unknown = lost.start;
        for (position, event) in spare.range(lost.clone()) {
            let taken = self.take(event.clone(), Proof::Chain)?;
            if taken == Taken::Not {
                continue;
            }
            self.recovered += u64::from(taken == Taken::Follows);
            self.note_unknown(unknown..*position);
            unknown = position + 1;
        }
        self.note_unknown(unknown..lost.end);
        Ok(())
    }

    fn note_unknown(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.unknown.push(range);
        }
    }

    /// Takes an event in, if it follows what is there of its call.
    fn take(&mut self, event: StoredEvent, proof: Proof) -> Result<Taken, RepairError> {
        let recorded = &event.recorded;
        let call = recorded.cause.call.clone();
        let revision = recorded.revision.0;
        let state = self.calls.entry(call).or_insert(Salvaged {
            head: Head::NONE,
            seen: Head::NONE,
            known_to: 0,
            stranded: 0,
        });
        // Events after a loss may still follow each other; that is the best proof there is that they are whole.
        let before = std::mem::replace(&mut state.seen, recorded.head());
        if revision <= state.head.revision.0 {
            return Ok(Taken::Not);
        }
        // A new store holds histories without gaps only, so an event that does not follow is listed instead.
        let Ok(head) = verify(state.head, [recorded]) else {
            let continues = verify(before, [recorded]).is_ok();
            let is_whole = proof == Proof::Checksum || continues;
            if revision == state.head.revision.0 + 1 || !is_whole {
                return Ok(Taken::Not);
            }
            state.stranded += 1;
            state.known_to = state.known_to.max(revision);
            self.stranded.push(event);
            return Ok(Taken::Stranded);
        };
        state.head = head;
        state.known_to = state.known_to.max(revision);
        self.push(event.recorded)?;
        Ok(Taken::Follows)
    }

    fn push(&mut self, event: RecordedEvent) -> Result<(), RepairError> {
        let follows = self.run.last().is_none_or(|last| {
            last.cause.call == event.cause.call && last.revision.plus(1) == event.revision
        });
        if !follows {
            self.write_run()?;
        }
        self.run.push(event);
        Ok(())
    }

    fn write_run(&mut self) -> Result<(), RepairError> {
        for group in GroupBytes::of(&self.run).each() {
            let pushed = self.log.push(group);
            pushed.map_err(|error| OpenError::from_io(self.folder.path(), error))?;
        }
        self.run.clear();
        Ok(())
    }

    fn finish(mut self, known: &BTreeMap<CallId, u64>) -> Result<Repaired, RepairError> {
        self.write_run()?;
        let failed = |error| OpenError::from_io(self.folder.path(), error);
        // The marker comes last: a repair that was interrupted leaves a folder that is no store.
        let events = self.log.finish().map_err(failed)?;
        self.folder.write_marker(self.id).map_err(failed)?;
        let known_to = |call: &CallId| known.get(call).copied().unwrap_or(0);
        let of_log = self.calls.iter().map(|(call, state)| Loss {
            call: call.clone(),
            kept_to: state.head.revision.0,
            known_to: state.known_to.max(known_to(call)),
            stranded: state.stranded,
        });
        let of_index = known
            .iter()
            .filter(|(call, _)| !self.calls.contains_key(*call));
        let of_index = of_index.map(|(call, revision)| Loss {
            call: call.clone(),
            kept_to: 0,
            known_to: *revision,
            stranded: 0,
        });
        let all = of_log.chain(of_index);
        let mut losses: Vec<_> = all.filter(|loss| loss.known_to > loss.kept_to).collect();
        losses.sort_by(|one, other| one.call.cmp(&other.call));
        let there = self.calls.values().filter(|state| state.head != Head::NONE);
        Ok(Repaired {
            id: self.id,
            events,
            calls: there.count() as u64,
            recovered: self.recovered,
            losses,
            unknown: self.unknown,
            stranded: self.stranded,
        })
    }
}
