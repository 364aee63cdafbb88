//! What the program acknowledged, and whether a store keeps it.

use crate::past_damage::read_everything;
use crate::torture::commands::Asked;
use domain::envelope::verify;
use domain::{Call, CallId, EventStore, Head, Revision, StoredEvent, decide, evolve_in_place};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use store_sled::{OpenError, SledStore};

/// How many calls are read by themselves, beside all of them at once.
const READ_ALONE: usize = 20;

/// One answer of `kaigi run`.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The line it answers.
    pub line: usize,
    /// Whether it was accepted; none if it was not decided.
    pub accepted: Option<bool>,
    /// Why it was refused.
    pub rejection: Option<Rejection>,
    /// Why it was not decided.
    pub error: Option<String>,
    /// What it brought about.
    #[serde(default)]
    pub events: Vec<Told>,
}

/// Why a command was refused, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Rejection {
    /// The code.
    pub code: String,
}

/// An event as the program tells it: its hash covers the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// Its place in the store.
    pub position: u64,
    /// Its call.
    pub call: String,
    /// Its place in the call.
    pub revision: u64,
    /// Its id.
    pub id: String,
    /// Its place in the chain.
    pub hash: String,
}

impl From<&StoredEvent> for Told {
    fn from(stored: &StoredEvent) -> Self {
        let recorded = &stored.recorded;
        Self {
            position: stored.position.0,
            call: recorded.cause.call.as_str().to_owned(),
            revision: recorded.revision.0,
            id: recorded.id().to_string(),
            hash: recorded.hash.to_string(),
        }
    }
}

/// All that one store has acknowledged, by position.
#[derive(Debug, Default)]
pub struct Acknowledged(BTreeMap<u64, Told>);

/// What an examination found.
#[derive(Debug, Default)]
pub struct Found {
    /// What was acknowledged and is not there, or not as it was told.
    pub losses: Vec<String>,
    /// What else should not be.
    pub defects: Vec<String>,
}

impl Acknowledged {
    /// How many events.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The program told these; what contradicts what it told before is answered.
    pub fn tell(&mut self, events: Vec<Told>) -> Option<String> {
        let mut contradiction = None;
        for told in events {
            match self.0.get(&told.position) {
                Some(before) if *before != told => {
                    contradiction = Some(format!("told {told:?} after {before:?}"));
                }
                _ => _ = self.0.insert(told.position, told),
            }
        }
        contradiction
    }

    /// Those that the events do not have, or have otherwise.
    pub fn missing_in(&self, events: impl IntoIterator<Item = Told>) -> Vec<String> {
        let there: HashMap<_, _> = events
            .into_iter()
            .map(|told| (told.position, told))
            .collect();
        let missing = self.0.values().filter_map(|told| {
            let place = there.get(&told.position);
            let found = place.map_or("nothing".to_owned(), |found| format!("{found:?}"));
            (place != Some(told)).then(|| format!("{told:?} was acknowledged, {found} is there"))
        });
        missing.collect()
    }
}

/// Opens the store and looks at everything in it, and at how it stands to what was acknowledged.
pub async fn examine(
    store: &Path,
    acknowledged: &Acknowledged,
    asked: &Asked,
) -> Result<Found, OpenError> {
    let mut found = Found::default();
    if !SledStore::is_at(store) {
        // Killed before it was made; whatever is there is no store yet.
        found.losses = acknowledged.missing_in([]);
        return Ok(found);
    }
    let store = SledStore::open(store)?;
    match read_everything(&store).await {
        Ok(events) => {
            found.losses = acknowledged.missing_in(events.iter().map(Told::from));
            found.defects = defects(&events, asked);
            found
                .defects
                .extend(answers_otherwise(&store, &events).await);
        }
        Err(error) => found.defects.push(format!("not readable: {error}")),
    }
    Ok(found)
}

/// What is not as every store's events are.
fn defects(events: &[StoredEvent], asked: &Asked) -> Vec<String> {
    let mut defects = Vec::new();
    let positions = events.iter().map(|stored| stored.position.0);
    if !positions.eq(1..=events.len() as u64) {
        defects.push("positions are not dense".to_owned());
    }
    let mut ids = HashSet::new();
    let twice = events
        .iter()
        .find(|stored| !ids.insert(stored.recorded.id()));
    defects
        .extend(twice.map(|stored| format!("an event is there twice: {:?}", Told::from(stored))));
    for (call, events) in by_call(events) {
        let recorded = events.iter().map(|stored| &stored.recorded);
        defects.extend(
            verify(Head::NONE, recorded)
                .err()
                .map(|error| error.to_string()),
        );
        let times = events.iter().map(|stored| stored.recorded.cause.at);
        if !times.is_sorted() {
            defects.push(format!("the times of call {call} are not ascending (R62)"));
        }
        defects.extend(not_as_decided(&events, asked).map(|what| format!("call {call}: {what}")));
    }
    defects
}

/// Each command stands there once, with all the events that it brings about where the call is then.
fn not_as_decided(events: &[&StoredEvent], asked: &Asked) -> Option<String> {
    let mut call = Call::default();
    let mut commands = HashSet::new();
    for events in events.chunk_by(|one, next| one.recorded.cause == next.recorded.cause) {
        let id = events[0].recorded.cause.command;
        let Some(command) = asked.get(&id) else {
            return Some(format!("command {id} was never asked"));
        };
        let there: Vec<_> = events.iter().map(|stored| &stored.recorded.event).collect();
        let decided = decide(&call, command);
        let decided: Result<Vec<_>, _> = decided.as_ref().map(|events| events.iter().collect());
        if decided.as_ref() != Ok(&there) || !commands.insert(id) {
            return Some(format!(
                "command {id} is there in parts or twice: {there:?}"
            ));
        }
        for stored in events {
            evolve_in_place(&mut call, &stored.recorded.event, stored.recorded.cause.at);
        }
    }
    None
}

/// What the store says otherwise when it is asked otherwise.
async fn answers_otherwise(store: &SledStore, events: &[StoredEvent]) -> Vec<String> {
    let mut otherwise = Vec::new();
    match store.info().await {
        Ok(info)
            if info.events == Some(events.len() as u64) && info.events == Some(info.last.0) => {}
        info => otherwise.push(format!(
            "{} events are there, and it says {info:?}",
            events.len()
        )),
    }
    let calls = by_call(events);
    let every = (calls.len() / READ_ALONE).max(1);
    for (call, events) in calls.iter().step_by(every) {
        match store.read_call(call, Revision(0)).await {
            Ok(read) if read.iter().eq(events.iter().copied()) => {}
            Ok(_) => otherwise.push(format!("call {call} is another when it is read alone")),
            Err(error) => otherwise.push(format!("call {call} cannot be read: {error}")),
        }
    }
    otherwise
}

fn by_call(events: &[StoredEvent]) -> BTreeMap<&CallId, Vec<&StoredEvent>> {
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for stored in events {
        let call = &stored.recorded.cause.call;
        calls.entry(call).or_default().push(stored);
    }
    calls
}
