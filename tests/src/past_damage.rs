//! What every store promises of damage: each whole event is returned once and in order, each damaged one is reported
//! once, and reading goes on after either.

use crate::contract::{a_whole_call, batches, chatter};
use domain::{Batch, CallId, DamagedEvent, EventStore, Followed, Follower, Position, StoredEvent};
use proptest::prelude::*;
use std::sync::Arc;

/// How many calls there are at most.
pub const CALLS: usize = 5;

/// What a reader comes to at a position: an event, or the report of a damaged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// A whole event.
    Event(StoredEvent),
    /// A damaged event, with its call where the store can tell.
    Damaged(Position, Option<CallId>),
}

impl Met {
    /// Where it stands.
    pub fn position(&self) -> Position {
        match self {
            Met::Event(event) => event.position,
            Met::Damaged(position, _) => *position,
        }
    }
}

impl From<DamagedEvent> for Met {
    fn from(event: DamagedEvent) -> Self {
        Met::Damaged(event.position, event.call)
    }
}

/// All that a reader meets after that position.
pub async fn met(store: &Arc<dyn EventStore>, after: Position, page: usize) -> Vec<Met> {
    let mut follower = Follower::new(Arc::clone(store), after, page);
    let mut met = Vec::new();
    loop {
        match follower.next().await.expect("it can be read") {
            Followed::Events(events) => met.extend(events.into_iter().map(Met::Event)),
            Followed::Damaged(event) => met.push(event.into()),
            Followed::CaughtUp(_) => return met,
        }
    }
}

/// Reads the store in pages of several sizes, and after each position that it has: all that is expected is met, and
/// nothing else.
pub async fn reads_past_damage(store: &Arc<dyn EventStore>, expected: &[Met]) {
    for page in [1, 2, 7, 1000] {
        assert_eq!(
            met(store, Position::START, page).await,
            expected,
            "pages of {page}"
        );
    }
    for (number, after) in expected.iter().map(Met::position).enumerate() {
        assert_eq!(
            met(store, after, 3).await,
            expected[number + 1..],
            "after {after}"
        );
    }
}

/// The batches of a few calls, as one history.
#[derive(Debug, Clone)]
pub struct History {
    /// Whose batch comes next.
    pub turns: Vec<usize>,
}

/// Which of the calls has the next batch, again and again.
pub fn history() -> impl Strategy<Value = History> {
    proptest::collection::vec(0..CALLS, 1..40).prop_map(|turns| History { turns })
}

/// That call's name.
pub fn call(number: usize) -> CallId {
    format!("c{number}").parse().expect("a call")
}

impl History {
    /// Its batches in order.
    pub async fn batches(&self) -> Vec<Batch> {
        let mut calls = Vec::new();
        for number in 0..CALLS {
            let story = if number % 2 == 0 {
                a_whole_call()
            } else {
                chatter(30)
            };
            calls.push(batches(&call(number), story).await.into_iter());
        }
        let turns = self.turns.iter();
        turns.filter_map(|turn| calls[*turn].next()).collect()
    }
}

/// All events of a store in which nothing is damaged yet.
pub async fn everything(store: &dyn EventStore) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |last| last.position);
        let page = store
            .read_all(after, 1000)
            .await
            .expect("nothing is damaged");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}
