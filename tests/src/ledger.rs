//! Histories of several calls, as a store hands them to its readers.

use crate::arbitrary::Asked;
use crate::scenario::start;
use domain::{
    Command, EventStore, HandleError, Handler, MemoryStore, Position, Request, StoreId,
    StoredEvent, Timestamp,
};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// A store in memory and who writes to it, at times that the story tells.
pub struct Ledger {
    store: Arc<MemoryStore>,
    handler: Handler,
    runtime: Runtime,
}

impl Default for Ledger {
    fn default() -> Self {
        let store = Arc::new(MemoryStore::new());
        let runtime = Builder::new_current_thread().build();
        Self {
            handler: Handler::new(Arc::clone(&store) as Arc<dyn EventStore>).with_clock(start),
            store,
            runtime: runtime.expect("a runtime without threads can be had"),
        }
    }
}

impl Ledger {
    /// A store nobody wrote to.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many seconds after the start of every story that is asked of the call, and nothing refuses it.
    #[track_caller]
    pub fn ask(&self, call: &str, seconds: u64, command: Command) -> &Self {
        self.ask_at(call, after(seconds * 1000), command)
    }

    /// The same at any time.
    #[track_caller]
    pub fn ask_at(&self, call: &str, at: Timestamp, command: Command) -> &Self {
        let asked = Asked { command, at };
        if let Err(error) = self.offer(call, &asked) {
            panic!("not a past: {asked:?} was refused: {error}");
        }
        self
    }

    /// That is asked of the call; a rule may refuse it.
    pub fn offer(&self, call: &str, asked: &Asked) -> Result<(), HandleError> {
        let request = Request {
            call: call.parse().expect("a call's identifier"),
            id: None,
            at: Some(asked.at),
            correlation: None,
            expect: None,
            command: asked.command.clone(),
        };
        self.take(&request)
    }

    /// That request is taken, or refused.
    pub fn take(&self, request: &Request) -> Result<(), HandleError> {
        let id = request.id.unwrap_or_else(|| self.handler.random_id());
        let taken = self.handler.handle(request, id, self.handler.now());
        self.runtime.block_on(taken).map(|_| ())
    }

    /// All that happened.
    pub fn events(&self) -> Vec<StoredEvent> {
        let events = self.store.read_all(Position::START, usize::MAX);
        self.runtime.block_on(events).expect("memory never fails")
    }

    /// Whose events they are.
    pub fn store(&self) -> StoreId {
        self.store.id()
    }
}

/// So many milliseconds after the start of every story.
pub fn after(ms: u64) -> Timestamp {
    start().plus_millis(ms)
}

/// What became of a call of which that was asked; what rules refused is left out.
pub fn history(call: &str, asked: &[Asked]) -> Vec<StoredEvent> {
    let ledger = Ledger::new();
    for asked in asked {
        match ledger.offer(call, asked) {
            Ok(()) | Err(HandleError::Rejected { .. }) => {}
            Err(error) => panic!("{asked:?}: {error}"),
        }
    }
    ledger.events()
}

/// The histories as one store might hold them: each keeps its order, and the picks say whose turn it is.
pub fn interleaved(histories: &[Vec<StoredEvent>], picks: &[usize]) -> Vec<StoredEvent> {
    let mut rests: Vec<_> = histories.iter().map(|history| history.iter()).collect();
    let mut picks = picks.iter().copied().cycle();
    let mut events = Vec::new();
    loop {
        rests.retain(|rest| !rest.as_slice().is_empty());
        if rests.is_empty() {
            return events;
        }
        let turn = picks.next().unwrap_or(0) % rests.len();
        if let Some(event) = rests[turn].next() {
            events.push(StoredEvent {
                position: Position(events.len() as u64 * 3 + 1),
                ..event.clone()
            });
        }
    }
}
