//! Load on a store that others load, too: many commands at once for the same calls, every one sent until its outcome
//! is known, and everything acknowledged written down, to be looked for afterwards.

use crate::contract::request;
use crate::scenario::{
    ANA, CUSTOMER, SAM, SUE, connect_call, hold, resume, start_monitoring, stop_monitoring,
};
use domain::{
    CallId, Command, CommandId, EventStore, HandleError, Handler, Head, Position, Revision,
    StoreError, StoredEvent,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How many calls are connected or read at once, before and after the load.
const AT_ONCE: usize = 32;

/// What to do to a store.
#[derive(Debug, Clone)]
pub struct Load {
    /// What the names of all calls begin with.
    pub prefix: String,
    /// How many calls there are to choose from.
    pub calls: usize,
    /// How many commands are under way at once.
    pub at_once: usize,
    /// For how long new ones are sent.
    pub lasting: Duration,
    /// All events of the load come after it, so nobody looks for them before.
    pub since: Position,
}

/// An event that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Of that call.
    pub call: CallId,
    /// Its revision.
    pub revision: u64,
    /// Its position.
    pub position: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
    /// The command that caused it.
    pub command: CommandId,
}

/// What came of a load.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Every event that was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Commands that were accepted.
    pub accepted: u64,
    /// Commands that a rule refused.
    pub refused: u64,
    /// How often a command was sent again because others kept writing to its call.
    pub unsettled: u64,
    /// How often a command was sent again because the store had no answer.
    pub unanswered: u64,
    /// How long accepted commands took from the first sending on, in microseconds.
    pub latencies_us: Vec<u64>,
}

impl Outcome {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Outcome) -> Outcome {
        self.acknowledged.extend(other.acknowledged);
        self.latencies_us.extend(other.latencies_us);
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unsettled += other.unsettled;
        self.unanswered += other.unanswered;
        self
    }

    /// The latency that so many of a hundred accepted commands did not exceed, in microseconds.
    pub fn percentile_us(&self, percent: usize) -> u64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).copied().unwrap_or(0)
    }
}

/// Sends commands until the time is over, and waits until the outcome of each is known.
pub async fn drive(store: Arc<dyn EventStore>, load: &Load) -> Outcome {
    let cached = NonZeroUsize::new(load.calls).expect("there is a call to choose");
    let handler = Arc::new(Handler::new(store).with_cached_calls(cached));
    let until = Instant::now() + load.lasting;
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let mut senders = JoinSet::new();
    for _ in 0..load.at_once {
        let (handler, load, outcome) = (Arc::clone(&handler), load.clone(), Arc::clone(&outcome));
        senders.spawn(async move {
            while Instant::now() < until {
                send(&handler, &load, &outcome).await;
            }
        });
    }
    senders.join_all().await;
    let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.clone()
}

/// One command to one of the calls, both by chance, sent with one id until its outcome is known.
async fn send(handler: &Handler, load: &Load, outcome: &Mutex<Outcome>) {
    let chance = Uuid::new_v4().as_u128();
    let call = call(
        load,
        usize::try_from(chance % load.calls as u128).expect("a small number"),
    );
    let request = request(&call, any_command(chance >> 64));
    let (id, began) = (handler.random_id(), Instant::now());
    loop {
        let answer = handler.handle(&request, id, handler.now()).await;
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => {
                let took = began.elapsed().as_micros();
                outcome
                    .latencies_us
                    .push(u64::try_from(took).expect("less than ages"));
                outcome.accepted += 1;
                outcome
                    .acknowledged
                    .extend(answer.events.iter().map(acknowledged));
                return;
            }
            Err(HandleError::Rejected { .. }) => {
                outcome.refused += 1;
                return;
            }
            Err(HandleError::Unsettled { .. }) => outcome.unsettled += 1,
            Err(HandleError::Store(StoreError::Unavailable(_))) => outcome.unanswered += 1,
            Err(error) => panic!("call {call}: {error}"),
        }
    }
}

fn call(load: &Load, number: usize) -> CallId {
    let name = format!("{}-{number}", load.prefix);
    name.parse().expect("a call's identifier")
}

fn any_command(chance: u128) -> Command {
    match chance % 8 {
        0 | 1 => hold(ANA, CUSTOMER),
        2 | 3 => resume(ANA, CUSTOMER),
        4 => start_monitoring(SAM, ANA),
        5 => stop_monitoring(SAM),
        6 => start_monitoring(SUE, ANA),
        _ => stop_monitoring(SUE),
    }
}

/// Connects every call, so that there is something to be done to it.
pub async fn connect(store: Arc<dyn EventStore>, load: &Load) -> Outcome {
    let handler = &Handler::new(store);
    let mut outcome = Outcome::default();
    let connecting = stream::iter(0..load.calls).map(|number| async move {
        let call = call(load, number);
        let request = request(&call, connect_call(ANA));
        let taken = handler.handle(&request, handler.random_id(), handler.now());
        let taken = taken.await;
        taken.unwrap_or_else(|error| panic!("call {call}: {error}"))
    });
    let mut connected = connecting.buffered(AT_ONCE);
    while let Some(answer) = connected.next().await {
        outcome
            .acknowledged
            .extend(answer.events.iter().map(acknowledged));
        outcome.accepted += 1;
    }
    outcome
}

fn acknowledged(event: &StoredEvent) -> Acknowledged {
    let recorded = &event.recorded;
    Acknowledged {
        call: recorded.cause.call.clone(),
        revision: recorded.revision.0,
        position: event.position.0,
        hash: recorded.hash.to_string(),
        command: recorded.cause.command,
    }
}

/// What a store holds of the load, held against what was acknowledged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many events it holds.
    pub events: u64,
    /// Acknowledged and not there, or there otherwise.
    pub lost: Vec<Acknowledged>,
    /// Commands whose events are there more than once.
    pub twice: Vec<CommandId>,
    /// Calls whose chain does not hold.
    pub broken: Vec<CallId>,
}

/// Reads every call and all events, and looks for everything that was acknowledged.
pub async fn look(
    store: &dyn EventStore,
    load: &Load,
    outcome: &Outcome,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut there = HashSet::new();
    let reading = stream::iter(0..load.calls).map(|number| async move {
        let call = call(load, number);
        let events = store.read_call(&call, Revision(0)).await?;
        Ok::<_, StoreError>((call, events))
    });
    let mut read = reading.buffered(AT_ONCE);
    while let Some((call, events)) = read.try_next().await? {
        let recorded = events.iter().map(|event| &event.recorded);
        if domain::envelope::verify(Head::NONE, recorded).is_err() {
            found.broken.push(call);
        }
        found.twice.extend(twice(&events));
        there.extend(events.iter().map(acknowledged));
    }
    let among_all = among_all(store, load).await?;
    found.events = there.len() as u64;
    let lost = |event: &&Acknowledged| !there.contains(event) || !among_all.contains(event);
    found.lost = outcome.acknowledged.iter().filter(lost).cloned().collect();
    Ok(found)
}

/// Commands with more than one run of events, or with an index that comes again.
fn twice(events: &[StoredEvent]) -> Vec<CommandId> {
    let mut runs: HashMap<CommandId, u32> = HashMap::new();
    let mut twice = Vec::new();
    for StoredEvent { recorded, .. } in events {
        let next = runs.entry(recorded.cause.command).or_default();
        if recorded.index != *next {
            twice.push(recorded.cause.command);
        }
        *next += 1;
    }
    twice
}

async fn among_all(
    store: &dyn EventStore,
    load: &Load,
) -> Result<HashSet<Acknowledged>, StoreError> {
    let (mut all, mut after) = (HashSet::new(), load.since);
    loop {
        let page = store.read_all(after, 1000).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = last.position;
        let ours =
            |event: &&StoredEvent| event.recorded.cause.call.as_str().starts_with(&load.prefix);
        all.extend(page.iter().filter(ours).map(acknowledged));
    }
}
