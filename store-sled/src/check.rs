//! Reading everything, to find damage: frames, blocks, the order of events, the hash chain of every call, the digest
//! noted in `head`, and the index against the log. No file of the store is made or changed: the index is read in a copy.

use crate::block::frame::HEADER_BYTES;
use crate::block::{Groups, intact_events};
use crate::damage::Damage;
use crate::error::OpenError;
use crate::folder::Folder;
use crate::index::Index;
use crate::index_copy::IndexCopy;
use crate::log::{self, End, Frames, Log, LogError, Segment, Unfinished, segments_in};
use crate::notes::{Acknowledged, Marker, Purpose, read_marker};
use crate::open;
use crate::options::Options;
use crate::reach::{beyond, reach};
use crate::rows::{Rows, is_to_be_made_anew};
use domain::envelope::{Hash, roll, verify};
use domain::{CallId, Head, Revision, StoreError, StoreId, StoredEvent};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::path::Path;

/// After so many events progress is told.
const TELL_EVERY: u64 = 16_384;

/// What a store holds of which everything was read and nothing is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its identity.
    pub id: StoreId,
    /// How many events it holds, which is the last position, too.
    pub events: u64,
    /// How many calls they are of.
    pub calls: u64,
    /// The digest of all events in their order (see [`roll`]).
    pub digest: Hash,
    /// The last position up to which damage is certain to be found, whatever it is.
    pub certain_to: u64,
    /// Bytes behind the last event, of a commit that was never acknowledged.
    pub torn_bytes: u64,
    /// How many rows of the index were compared.
    pub index_rows: u64,
}

/// Why a store was not found whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It cannot be opened, for reasons that are no damage.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is of the first format, which opening it brings to today's.
    #[error(
        "the store is of the first format: `kaigi store info` brings it to today's, then check it"
    )]
    FirstFormat,
    /// It cannot be read.
    #[error(transparent)]
    Read(StoreError),
    /// The first damage; nothing was changed.
    #[error(
        "damaged: {0}; keep a copy of the store, then `kaigi store repair` salvages what is whole"
    )]
    Damaged(FirstDamage),
    /// Only the index is damaged, which follows from the log; nothing was changed.
    #[error(
        "no event is damaged, but the index is: {0}; move the store's folder `index` away, and the next opening makes \
         it anew from the log"
    )]
    Index(FirstDamage),
}

/// What is damaged first, and where, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstDamage {
    /// The position of the first event that is not as it was written.
    pub position: Option<u64>,
    /// Its call.
    pub call: Option<String>,
    /// Its revision.
    pub revision: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for FirstDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut damage = Damage::new(self.what.clone());
        if let Some(position) = self.position {
            damage = damage.at(position);
        }
        if let (Some(call), Some(revision)) = (&self.call, self.revision) {
            damage = damage.of(call, revision);
        }
        damage.fmt(f)
    }
}

impl From<Damage> for FirstDamage {
    fn from(damage: Damage) -> Self {
        let (position, call, what) = damage.into_parts();
        let (call, revision) = call.unzip();
        Self {
            position,
            call,
            revision,
            what,
        }
    }
}

impl From<LogError> for CheckError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Damage(damage) => CheckError::Damaged(damage.into()),
            other => CheckError::Read(other.into()),
        }
    }
}

impl From<Damage> for CheckError {
    fn from(damage: Damage) -> Self {
        CheckError::Damaged(damage.into())
    }
}

/// Reads everything in the store in that folder, and tells `progress` how many bytes of the log it has read of how many;
/// another process must not have it. Needs about 150 bytes of memory for each call, and about 100 bytes for each in the
/// system's folder for temporary files.
pub fn check(
    path: &Path,
    options: &Options,
    progress: impl FnMut(u64, u64),
) -> Result<Checked, CheckError> {
    check_to(path, options, 0, progress).map(|(checked, _)| checked)
}

/// The same, and the digest of the first `count` events; `None` if there are fewer.
pub fn check_to(
    path: &Path,
    options: &Options,
    count: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<(Checked, Option<Hash>), CheckError> {
    let corrupt = |error: OpenError| match error {
        OpenError::Corrupt { what, .. } => CheckError::from(Damage::new(what)),
        other => CheckError::Open(other),
    };
    must_be_store(path).map_err(corrupt)?;
    let (folder, marker) = Folder::take_for_reading(path).map_err(corrupt)?;
    let id = match marker {
        Marker::None => return Err(Damage::new(GONE).into()),
        Marker::Store(_, Purpose::Format1) => return Err(CheckError::FirstFormat),
        Marker::Store(id, Purpose::Calls | Purpose::Archive) => id,
    };
    let acknowledged = Acknowledged::read(path).map_err(corrupt)?;
    let head = folder.head().read().map_err(corrupt)?;
    let promised = acknowledged
        .unwrap_or(0)
        .max(head.map_or(0, |head| head.position));
    let log = folder.read_log(id, Unfinished::Skip).map_err(corrupt)?;
    if let Some(away) = log.lacks(0) {
        return Err(away.into());
    }
    let written = log.last().end()?;
    let noted = head.map(|head| (head.position, head.digest));
    let mut reading = Reading::new(&log, noted, count);
    let torn = reading.read_all(promised, written, &mut progress)?;
    if reading.end.position < promised {
        let what = format!("its events end before position {promised}, which was acknowledged");
        return Err(Damage::new(what).at(reading.end.position + 1).into());
    }
    let index_rows = index_against(&folder, &log, id, &reading, options)?;
    let checked = Checked {
        id,
        events: reading.end.position,
        calls: reading.heads.len() as u64,
        digest: reading.digest,
        certain_to: promised,
        torn_bytes: torn,
        index_rows,
    };
    Ok((checked, reading.digest_at))
}

const GONE: &str = "its file kaigi-store is gone";

/// A store that lost its marker is damaged; where there is no log of one either, nothing is touched.
fn must_be_store(path: &Path) -> Result<(), OpenError> {
    if read_marker(path)? != Marker::None {
        return Ok(());
    }
    let (path, log) = (path.to_owned(), path.join("log"));
    let mut files = segments_in(&log).unwrap_or_default().into_iter();
    if files.any(|file| matches!(Segment::open(&file), Ok(Some(_)))) {
        let what = GONE.to_owned();
        return Err(OpenError::Corrupt { path, what });
    }
    let what = "log".to_owned();
    Err(OpenError::NotAStore { path, what })
}

/// Where each call stands, and a checksum over the positions of its events.
pub(crate) type Heads = HashMap<CallId, (Head, u32), RandomState>;

/// The log as far as it was read.
struct Reading<'a> {
    log: &'a Log,
    head: Option<(u64, Hash)>,
    heads: Heads,
    digest: Hash,
    /// The position whose digest is asked for, and the digest once it is reached.
    asked_for: u64,
    digest_at: Option<Hash>,
    end: End,
    told: u64,
}

impl<'a> Reading<'a> {
    fn new(log: &'a Log, head: Option<(u64, Hash)>, asked_for: u64) -> Self {
        Self {
            log,
            head,
            heads: Heads::default(),
            digest: Head::NONE.hash,
            asked_for,
            digest_at: (asked_for == 0).then_some(Head::NONE.hash),
            end: End {
                position: 0,
                address: log.start(),
            },
            told: 0,
        }
    }

    /// Answers how many bytes behind the last whole commit were torn.
    fn read_all(
        &mut self,
        promised: u64,
        written: u64,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<u64, CheckError> {
        let end = log::find_end(self.log, self.end, promised, written);
        let until = match &end {
            Ok(end) => end.address,
            Err(_) => written,
        };
        let mut frames = self.log.frames(self.end.address, until);
        while self.frame(&mut frames)? {
            if self.end.position - self.told >= TELL_EVERY {
                self.told = self.end.position;
                progress(self.end.address, until);
            }
        }
        Ok(written - end?.address)
    }

    fn frame(&mut self, frames: &mut Frames<'_>) -> Result<bool, CheckError> {
        let next = self.end.position + 1;
        let address = frames.address();
        let read = match frames.next(next) {
            Ok(None) => return Ok(false),
            Ok(Some(read)) => read,
            Err(LogError::Damage(damage)) => return Err(self.locate(address, damage).into()),
            Err(error) => return Err(error.into()),
        };
        let events = match Groups::new(next, read.block).and_then(Groups::events) {
            Ok(events) => events,
            Err(damage) => return Err(self.within(next, read.block, damage).into()),
        };
        let header = read.header;
        for event in &events {
            self.event(event)?;
        }
        self.end.address = frames.address();
        if self.end.position + 1 == header.next() {
            return Ok(true);
        }
        let what = "the frame's header counts other events than its block holds";
        Err(Damage::new(what).at(next).into())
    }

    fn event(&mut self, event: &StoredEvent) -> Result<(), Damage> {
        let (position, recorded) = (event.position.0, &event.recorded);
        let call = &recorded.cause.call;
        let known = self.heads.get(call).copied();
        let (head, positions) = known.unwrap_or((Head::NONE, 0));
        let head = verify(head, [recorded]).map_err(|altered| {
            Damage::new(altered.what)
                .at(position)
                .of(call.as_str(), recorded.revision.0)
        })?;
        let positions = with_position(positions, position);
        match self.heads.get_mut(call) {
            Some(known) => *known = (head, positions),
            None => {
                self.heads.insert(call.clone(), (head, positions));
            }
        }
        self.digest = roll(self.digest, recorded.hash);
        self.end.position = position;
        if position == self.asked_for {
            self.digest_at = Some(self.digest);
        }
        match self.head {
            Some((at, digest)) if at == position && digest != self.digest => {
                let what = "the digest of the events up to there is not the one that was noted";
                Err(Damage::new(what).at(position))
            }
            _ => Ok(()),
        }
    }

    /// Where within a block the first event is that is not as it was written.
    fn within(&self, first: u64, block: &[u8], damage: Damage) -> Damage {
        let mut heads = Heads::default();
        let mut next = first;
        for event in intact_events(first, block) {
            if event.position.0 != next {
                break;
            }
            let recorded = &event.recorded;
            let call = &recorded.cause.call;
            let known = heads.get(call).or_else(|| self.heads.get(call)).copied();
            let head = known.map_or(Head::NONE, |(head, _)| head);
            let Ok(head) = verify(head, [recorded]) else {
                return damage.at(next).of(call.as_str(), recorded.revision.0);
            };
            heads.insert(call.clone(), (head, 0));
            next += 1;
        }
        damage.at(next)
    }

    /// What a damaged header stood before, if the next frame tells where its block ends.
    fn locate(&self, address: u64, damage: Damage) -> Damage {
        let written = self.log.last().end().unwrap_or(address);
        let start = address + HEADER_BYTES as u64;
        let next = self.log.find(start, written).ok().flatten();
        let end = next.map_or(written, |(next, _)| next);
        let bytes = self.log.bytes(start, end.min(start + 64 * 1024));
        let bytes = bytes.unwrap_or_default();
        let first = self.end.position + 1;
        match intact_events(first, &bytes).first() {
            Some(event) => {
                let recorded = &event.recorded;
                damage.of(recorded.cause.call.as_str(), recorded.revision.0)
            }
            None => damage,
        }
    }
}

fn with_position(positions: u32, position: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(positions);
    hasher.update(&position.to_be_bytes());
    hasher.finalize()
}

/// Compares the index with the calls of the log; answers how many rows it has.
fn index_against(
    folder: &Folder,
    log: &Log,
    id: StoreId,
    reading: &Reading<'_>,
    options: &Options,
) -> Result<u64, CheckError> {
    let failed = |error: OpenError| match error {
        OpenError::Corrupt { what, .. } => damaged_index(Damage::new(what)),
        other => CheckError::Open(other),
    };
    let copies = copies_of(folder).map_err(CheckError::Open)?;
    let mut newest = Err(folder.corrupt("its index cannot be read"));
    for copy in &copies {
        newest = copy.open_of(id, options.cache_bytes);
        if let Ok(rows) = &newest {
            must_not_reach_beyond(rows, reading.end.position)?;
        }
    }
    if is_to_be_made_anew(&folder.index()) {
        return Err(damaged_index(Damage::new("it is noted to be made anew")));
    }
    let rows = newest.map_err(failed)?;
    let index = open::index_of(folder, log, id, reading.end, rows).map_err(failed)?;
    let mut compared = 0;
    for (call, (head, positions)) in &reading.heads {
        let told = told_of(&index, log, reading.end, call)?;
        if told != Some((*head, *positions)) {
            let damage = Damage::new("the index and the log do not tell the same of the call");
            return Err(damaged_index(damage.of(call.as_str(), head.revision.0)));
        }
        compared += 1;
    }
    let mut unknown = None;
    let read = index.rows.each_completed(|call| {
        if unknown.is_none() && !reading.heads.contains_key(&call) {
            unknown = Some(call);
        }
        Ok(())
    });
    read.map_err(of_index)?;
    match unknown {
        None => Ok(compared),
        Some(call) => {
            let damage = Damage::new("the index knows a call that is not in the log");
            Err(damaged_index(damage.of(call.as_str(), 1)))
        }
    }
}

/// Copies of the indexes, the one that is used last; an empty one where there is none.
fn copies_of(folder: &Folder) -> Result<Vec<IndexCopy>, OpenError> {
    let mut indexes = folder.indexes();
    if indexes.is_empty() {
        indexes.push(folder.index());
    }
    let temporary = std::env::temp_dir();
    let copies = indexes.iter();
    copies
        .map(|index| IndexCopy::of(index, &temporary))
        .collect()
}

/// What only the index has is lost from the log, so events are damaged.
fn must_not_reach_beyond(rows: &Rows, end: u64) -> Result<(), CheckError> {
    match reach(rows) {
        reach if reach > end => Err(Damage::new(beyond(reach, end)).at(end + 1).into()),
        _ => Ok(()),
    }
}

/// What the index tells of a call: where it stands by its verified events, and where they are.
fn told_of(
    index: &Index,
    log: &Log,
    end: End,
    call: &CallId,
) -> Result<Option<(Head, u32)>, CheckError> {
    let history = match index.live.get(call) {
        Some(history) => history.clone(),
        None => match index.rows.get(call).map_err(of_index)? {
            None => return Ok(None),
            Some(row) => {
                let history = row.history(log, end.address, call);
                history.map_err(|error| of_index(error.into()))?
            }
        },
    };
    let wanted = usize::try_from(history.head.revision.0).unwrap_or(usize::MAX);
    let events = history.events(call, Revision(0), wanted);
    let events = events.map_err(damaged_index)?;
    let recorded = events.iter().map(|event| &event.recorded);
    let head = verify(Head::NONE, recorded).map_err(|altered| {
        damaged_index(Damage::new(altered.what).of(call.as_str(), altered.revision.0))
    })?;
    let positions = events.iter().map(|event| event.position.0);
    Ok(Some((head, positions.fold(0, with_position))))
}

fn damaged_index(damage: Damage) -> CheckError {
    CheckError::Index(damage.into())
}

/// A disk that cannot be read is no damage to the index.
fn of_index(error: StoreError) -> CheckError {
    if error.is_damage() {
        damaged_index(Damage::new(error.to_string()))
    } else {
        CheckError::Read(error)
    }
}
