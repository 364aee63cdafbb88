//! Reading a whole store past what is damaged in it.

use crate::commands::{Commands, Step};
use crate::damage::{DamagedCalls, Fault};
use crate::error::CopyError;
use crate::heads::Heads;
use crate::heads::StoreDigest;
use crate::progress::{Report, Told, Work};

use domain::{EventStore, Position, Prefix, RecordedEvent, StoreError, StoredEvent};

/// What a store holds, and what is damaged of it.
#[derive(Debug)]
pub struct Survey {
    pub(crate) heads: Heads,
    /// All events in the order of the store, damaged ones included.
    pub prefix: Prefix,
    /// The calls that are not whole.
    pub damaged: DamagedCalls,
    pub(crate) last: Position,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            heads: Heads::default(),
            prefix: Prefix::NONE,
            damaged: DamagedCalls::default(),
            last: Position::START,
        }
    }
}

/// Receives each fault as it is found: every damaged event, and of a call with a broken history the first event that
/// does not continue it.
pub type Faults<'f> = &'f mut (dyn FnMut(&Fault) + Send);

/// Reads the store as it is now, verifies every hash, and goes on after what is damaged.
pub async fn survey(
    store: &dyn EventStore,
    report: Report<'_>,
    faults: Faults<'_>,
) -> Result<Survey, StoreError> {
    let info = store.info().await?;
    let told = Told::new(Work::Verifying, info.events, report);
    surveyed(store, info.last, |_| true, told, faults).await
}

/// The events that matter of a store, up to a position.
pub(crate) async fn surveyed(
    store: &dyn EventStore,
    until: Position,
    matters: impl Fn(&RecordedEvent) -> bool,
    mut told: Told<'_>,
    faults: Faults<'_>,
) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut commands = Commands::new(store, Position::START, until);
    while let Some(step) = commands.step().await? {
        match step {
            Step::Command(events) => {
                told.more(events.len());
                for event in events {
                    survey.take(&event, &matters, &mut *faults);
                }
            }
            Step::Damaged(event) => {
                told.more(1);
                survey.prefix = survey.prefix.plus_damaged(&event);
                survey.note(Fault::Event(event), &mut *faults);
            }
        }
    }
    told.done();
    Ok(survey)
}

/// Reads the store as it is now, verifies every hash, and says what it holds.
pub async fn digest(store: &dyn EventStore, report: Report<'_>) -> Result<StoreDigest, CopyError> {
    let found = heads(store, Work::Comparing, "the store", |_| true, report).await?;
    Ok(found.digest())
}

/// Where the calls of a store stood at a position.
pub(crate) struct Found {
    pub(crate) heads: Heads,
    pub(crate) last: Position,
}

impl Found {
    pub(crate) fn digest(&self) -> StoreDigest {
        StoreDigest {
            last: self.last,
            ..self.heads.digest()
        }
    }
}

/// Where the calls of the store stand now, of the events that matter. All damage is named.
pub(crate) async fn heads(
    store: &dyn EventStore,
    work: Work,
    place: &str,
    matters: impl Fn(&RecordedEvent) -> bool,
    report: Report<'_>,
) -> Result<Found, CopyError> {
    let info = store.info().await?;
    let told = Told::new(work, info.events, report);
    let survey = surveyed(store, info.last, matters, told, &mut |_| {}).await?;
    survey.damaged.into_result(place)?;
    let (heads, last) = (survey.heads, survey.last);
    Ok(Found { heads, last })
}

impl Survey {
    /// What the whole store holds, or all that is damaged of it.
    pub fn digest(&self) -> Result<StoreDigest, CopyError> {
        self.damaged.clone().into_result("the store")?;
        Ok(StoreDigest {
            last: self.last,
            ..self.heads.digest()
        })
    }

    fn take(
        &mut self,
        event: &StoredEvent,
        matters: impl Fn(&RecordedEvent) -> bool,
        faults: Faults<'_>,
    ) {
        let StoredEvent { position, recorded } = event;
        self.prefix = self.prefix.plus(event);
        self.last = *position;
        if !matters(recorded) || self.damaged.holds(&recorded.cause.call) {
            return;
        }
        if let Err(altered) = self.heads.follow(recorded) {
            let position = *position;
            self.note(Fault::History { position, altered }, faults);
        }
    }

    fn note(&mut self, fault: Fault, faults: Faults<'_>) {
        faults(&fault);
        self.damaged.note(fault);
    }
}

/// The first `count` events of the store, or all of them if there are fewer. A damaged event counts as one.
pub async fn prefix(
    store: &dyn EventStore,
    count: u64,
    report: Report<'_>,
) -> Result<Prefix, StoreError> {
    let mut told = Told::new(Work::Verifying, Some(count), report);
    let mut prefix = Prefix::NONE;
    let mut commands = Commands::new(store, Position::START, Position(u64::MAX));
    while prefix.count < count {
        let Some(step) = commands.step().await? else {
            break;
        };
        let before = prefix.count;
        prefix = match step {
            Step::Damaged(event) => prefix.plus_damaged(&event),
            Step::Command(events) => {
                let left = usize::try_from(count - before).unwrap_or(usize::MAX);
                events.iter().take(left).fold(prefix, Prefix::plus)
            }
        };
        told.more(usize::try_from(prefix.count - before).unwrap_or(usize::MAX));
    }
    told.done();
    Ok(prefix)
}
