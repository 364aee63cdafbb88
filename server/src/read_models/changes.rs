//! What changed in the read models lately, for those who follow it.
//!
//! A row is compared as it is sent, before and after each fold, and only the rows of calls that the fold touched. That
//! costs something, so it is done only for read models that somebody follows, or did a few minutes ago. Each change
//! keeps the row before it, so that one who filters is told of what stops to fit, wherever they go on from.

use super::models::{Kind, Rendered};
use domain::{CallId, Event, Position, StoredEvent, Timestamp};
use projections::{AllFour, ReadModel};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many changes of a read model are kept for those who come back.
const KEPT: usize = 16_384;

/// How many bytes the kept changes of a read model take at most, about.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// What a row takes beside its texts.
const ROW_BYTES: usize = 256;

/// How long they are kept once nobody follows any more.
const KEPT_FOR: Duration = Duration::from_mins(5);

/// Where a change stands among all of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// From 1 within the position.
    ordinal: u32,
}

/// What a client that comes back was given last: a place in the changes of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) place: Place,
    pub(crate) tag: u32,
}

/// A text that is no such id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this stream; leave the header away to begin with all rows")]
pub(crate) struct NoId;

/// A row that came, changed or went.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) before: Option<Arc<Rendered>>,
    pub(crate) after: Option<Arc<Rendered>>,
}

/// What there is after a place.
#[derive(Debug)]
pub(crate) enum Further {
    /// These, and so many in all.
    Changes(Vec<Arc<Change>>, usize),
    /// Nothing; the log has got to there.
    Nothing(Place),
    /// Some of it is not kept any more.
    Forgotten,
    /// The model was replaced.
    OtherModel,
}

/// The recent changes of all read models.
#[derive(Debug)]
pub(crate) struct Changes(Mutex<Logs>);

#[derive(Debug)]
struct Logs {
    tag: u32,
    /// By [`Kind::place`].
    logs: Vec<Log>,
}

#[derive(Debug)]
struct Log {
    subscribers: usize,
    wanted: Wanted,
    /// A fold is under way that began before anybody wanted to know: what it changes is not noted.
    is_blind: bool,
    /// Everything after this is there.
    floor: Place,
    /// How far the model was when something was noted last.
    end: Place,
    changes: VecDeque<Arc<Change>>,
    /// How many bytes these take, about.
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    No,
    Now,
    Until(Instant),
}

/// What is compared of a fold.
#[derive(Debug)]
pub(crate) struct Watching {
    kinds: Vec<Kind>,
    /// Each call once, in the order of the events, with when it ended if it has.
    touched: Vec<(CallId, Option<Timestamp>)>,
}

/// The rows of the touched calls, of each kind.
pub(crate) type Rows = Vec<RowsOfKind>;

/// By the call's place among those that were touched, and key.
type RowsOfKind = BTreeMap<(usize, String), Arc<Rendered>>;

/// A row before and after; none where it was not there.
type Difference = (Option<Arc<Rendered>>, Option<Arc<Rendered>>);

impl Change {
    /// How many bytes it takes, about.
    fn bytes(&self) -> usize {
        let rows = self.before.iter().chain(&self.after);
        rows.map(|row| row.key.len() + row.row.len() + ROW_BYTES)
            .sum()
    }
}

impl Watching {
    fn new(kinds: Vec<Kind>, events: &[&StoredEvent]) -> Self {
        let mut touched: Vec<(CallId, Option<Timestamp>)> = Vec::new();
        let mut places = HashMap::new();
        for StoredEvent { recorded, .. } in events.iter().filter(|_| !kinds.is_empty()) {
            let place = *places.entry(&recorded.cause.call).or_insert_with(|| {
                touched.push((recorded.cause.call.clone(), None));
                touched.len() - 1
            });
            if matches!(recorded.event, Event::CallEnded { .. }) {
                touched[place].1 = Some(recorded.cause.at);
            }
        }
        Self { kinds, touched }
    }

    /// The rows as they are now. Once a call is completed and let go, nothing tells any more when it ended, so that is
    /// asked before.
    pub(crate) fn rows(&mut self, model: &ReadModel<AllFour>) -> Rows {
        for (call, ended_at) in &mut self.touched {
            *ended_at = ended_at.or_else(|| model.ended_at(call));
        }
        self.kinds
            .iter()
            .map(|kind| self.rows_of(*kind, model))
            .collect()
    }

    fn rows_of(&self, kind: Kind, model: &ReadModel<AllFour>) -> RowsOfKind {
        let touched = self.touched.iter().enumerate();
        let rows = touched.flat_map(|(place, (call, ended_at))| {
            let rows = kind.rows_of(model, (call, *ended_at)).into_iter();
            rows.map(move |row| ((place, row.key.clone()), Arc::new(row)))
        });
        rows.collect()
    }
}

impl Changes {
    /// Nothing changed yet in a model that is at that position.
    pub(crate) fn since(position: Position, tag: u32) -> Self {
        let logs = Kind::all().map(|_| Log::since(position)).collect();
        Self(Mutex::new(Logs { tag, logs }))
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be compared of a fold of those events.
    pub(crate) fn watching(&self, events: &[&StoredEvent]) -> Watching {
        let mut logs = self.logs();
        for log in &mut logs.logs {
            log.is_blind = !log.is_wanted();
        }
        let kinds = Kind::all();
        let wanted = kinds.filter(|kind| logs.logs[kind.place()].is_wanted());
        Watching::new(wanted.collect(), events)
    }

    /// Notes what is not as before.
    pub(crate) fn note(&self, watched: &Watching, position: Position, before: Rows, after: Rows) {
        let noted = before.into_iter().zip(after);
        let noted: Vec<_> = noted
            .map(|(before, after)| differences(before, after))
            .collect();
        let mut logs = self.logs();
        for log in &mut logs.logs {
            log.end = Place::end_of(position);
            log.is_blind = false;
        }
        for kind in Kind::all() {
            let log = &mut logs.logs[kind.place()];
            if !watched.kinds.contains(&kind) {
                log.forget();
            }
        }
        for (kind, changes) in watched.kinds.iter().zip(noted) {
            logs.logs[kind.place()].push(position, changes);
        }
    }

    /// Another model is there, at that position.
    pub(crate) fn begin_anew(&self, position: Position, tag: u32) {
        let mut logs = self.logs();
        logs.tag = tag;
        for log in &mut logs.logs {
            log.end = Place::end_of(position);
            log.forget();
        }
    }

    /// Somebody follows; they say when they leave.
    pub(crate) fn join(&self, kind: Kind) {
        let mut logs = self.logs();
        let log = &mut logs.logs[kind.place()];
        log.subscribers += 1;
        log.wanted = Wanted::Now;
    }

    /// Whether one who just came has to wait for a fold to end before all that follows is noted.
    pub(crate) fn is_blind(&self, kind: Kind) -> bool {
        self.logs().logs[kind.place()].is_blind
    }

    /// Somebody does not follow any more.
    pub(crate) fn leave(&self, kind: Kind) {
        let mut logs = self.logs();
        let log = &mut logs.logs[kind.place()];
        log.subscribers -= 1;
        if log.subscribers == 0 {
            log.wanted = Wanted::Until(Instant::now() + KEPT_FOR);
        }
    }

    pub(crate) fn subscribers(&self) -> usize {
        let logs = self.logs();
        logs.logs.iter().map(|log| log.subscribers).sum()
    }

    /// Forgets what nobody came back for.
    pub(crate) fn let_go(&self) {
        for log in &mut self.logs().logs {
            if let Wanted::Until(end) = log.wanted
                && end <= Instant::now()
            {
                log.wanted = Wanted::No;
                log.forget();
            }
        }
    }

    /// At most `max` changes after that one.
    pub(crate) fn after(&self, kind: Kind, id: Id, max: usize) -> Further {
        let logs = self.logs();
        if logs.tag != id.tag {
            return Further::OtherModel;
        }
        logs.logs[kind.place()].after(id.place, max)
    }
}

/// The rows that are not as before, those of one call together.
fn differences(mut before: RowsOfKind, after: RowsOfKind) -> Vec<Difference> {
    let mut differences = BTreeMap::new();
    for (key, row) in after {
        let was = before.remove(&key);
        if was.as_ref().is_none_or(|was| was.row != row.row) {
            differences.insert(key, (was, Some(row)));
        }
    }
    let gone = before.into_iter();
    differences.extend(gone.map(|(key, was)| (key, (Some(was), None))));
    differences.into_values().collect()
}

impl Log {
    fn since(position: Position) -> Self {
        Self {
            subscribers: 0,
            wanted: Wanted::No,
            is_blind: false,
            floor: Place::end_of(position),
            end: Place::end_of(position),
            changes: VecDeque::new(),
            bytes: 0,
        }
    }

    fn is_wanted(&self) -> bool {
        match self.wanted {
            Wanted::No => false,
            Wanted::Now | Wanted::Until(_) => true,
        }
    }

    fn forget(&mut self) {
        self.changes = VecDeque::new();
        self.bytes = 0;
        self.floor = self.end;
    }

    fn push(&mut self, position: Position, changes: Vec<Difference>) {
        for (ordinal, (before, after)) in (1..).zip(changes) {
            let place = Place { position, ordinal };
            let change = Change {
                place,
                before,
                after,
            };
            self.bytes += change.bytes();
            self.changes.push_back(Arc::new(change));
        }
        while (self.changes.len() > KEPT || self.bytes > KEPT_BYTES)
            && let Some(oldest) = self.changes.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.floor = oldest.place;
        }
    }

    fn after(&self, place: Place, max: usize) -> Further {
        if place < self.floor {
            return Further::Forgotten;
        }
        let known = self.changes.partition_point(|change| change.place <= place);
        let further = self.changes.iter().skip(known).take(max);
        let further: Vec<_> = further.cloned().collect();
        if further.is_empty() {
            return Further::Nothing(self.end.max(place));
        }
        Further::Changes(further, self.changes.len() - known)
    }
}

impl Place {
    /// After all changes of that position.
    pub(crate) fn end_of(position: Position) -> Self {
        let ordinal = u32::MAX;
        Self { position, ordinal }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { position, ordinal } = self.place;
        match ordinal {
            u32::MAX => write!(f, "{position}-{:08x}", self.tag),
            ordinal => write!(f, "{position}.{ordinal}-{:08x}", self.tag),
        }
    }
}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (place, tag) = text.split_once('-').ok_or(NoId)?;
        let (position, ordinal) = match place.split_once('.') {
            Some((position, ordinal)) => (position, ordinal.parse().map_err(|_| NoId)?),
            None => (place, u32::MAX),
        };
        let position = Position(position.parse().map_err(|_| NoId)?);
        let tag = u32::from_str_radix(tag, 16).map_err(|_| NoId)?;
        Ok(Self {
            place: Place { position, ordinal },
            tag,
        })
    }
}
