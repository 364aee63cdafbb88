//! What the tests in here share.

use domain::{Actor, Batch, Command, Handler, Head, MemoryStore, Party, Request};
use std::sync::Arc;

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(work)
}

/// An agent answers, and then holds the customer: two batches. All at one time, so that any two calls of that name take as
/// many bytes.
pub(crate) async fn a_call(call: &str) -> Vec<Batch> {
    let agent: Party = "agent:ana".parse().expect("an agent");
    let connect = Command::ConnectCall {
        agent: agent.clone(),
        customer: None,
        queue: None,
    };
    let hold = Command::Hold {
        by: Actor::Party(agent),
        party: Party::Customer,
    };
    let at = domain::now();
    let handler = Handler::new(Arc::new(MemoryStore::new())).with_clock(move || at);
    let mut batches: Vec<Batch> = Vec::new();
    for command in [connect, hold] {
        let request = Request {
            call: call.parse().expect("a call"),
            id: None,
            at: None,
            correlation: None,
            expect: None,
            command,
        };
        let answer = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
        let events = answer.expect("accepted").events;
        let events = events.into_iter().map(|event| event.recorded).collect();
        let head = batches.last().map_or(Head::NONE, Batch::head);
        batches.push(Batch::new(head, events).expect("as the loop made it"));
    }
    batches
}
