//! What the benchmarks share: a simulated day, as commands and as events.

use domain::{
    Call, CallId, Command, Event, Handler, MemoryStore, Position, Request, StoredEvent, Timestamp,
};
use domain::{EventStore, decide, evolve_in_place};
use simulate::{Day, simulate};
use std::collections::HashMap;
use std::sync::Arc;

/// The commands of a day.
pub fn day(calls: u64) -> Vec<Request> {
    simulate(&Day { calls, seed: 1 }).collect()
}

/// The commands of each call, in the order they came, with their times.
pub fn by_call(day: &[Request]) -> Vec<Vec<(Command, Timestamp)>> {
    let mut places: HashMap<&CallId, usize> = HashMap::new();
    let mut calls: Vec<Vec<_>> = Vec::new();
    for request in day {
        let place = *places.entry(&request.call).or_insert_with(|| {
            calls.push(Vec::new());
            calls.len() - 1
        });
        calls[place].push((request.command.clone(), request.at.unwrap_or_default()));
    }
    calls
}

/// Decides and evolves the commands of one call; answers how many were accepted, so that no work can be left out.
pub fn play(commands: &[(Command, Timestamp)]) -> u64 {
    let mut call = Call::default();
    let mut accepted = 0;
    for (command, at) in commands {
        if let Ok(events) = decide(&call, command) {
            accepted += 1;
            for event in &events {
                evolve_in_place(&mut call, event, *at);
            }
        }
    }
    accepted
}

/// The events of a day, as a store hands them out: at least so many, cut to that number.
pub fn stored_events(count: usize) -> Vec<StoredEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime needs no more than a thread");
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::new());
        let handler = Handler::new(store.clone() as Arc<dyn EventStore>);
        // A call has more than eleven events on average.
        for request in simulate(&Day {
            calls: count as u64 / 11 + 1,
            seed: 1,
        }) {
            let id = request.id.unwrap_or_else(|| handler.random_id());
            // The day has some commands that a rule refuses; they leave no events.
            let _ = handler.handle(&request, id, handler.now()).await;
        }
        let events = store.read_all(Position::START, count).await;
        events.expect("a store in memory can be read")
    })
}

/// The events alone.
pub fn events(stored: &[StoredEvent]) -> Vec<Event> {
    let events = stored.iter();
    events.map(|stored| stored.recorded.event.clone()).collect()
}
