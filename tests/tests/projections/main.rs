//! The read models: stories computed by hand, and what holds of them whatever happens.

mod active_calls;
mod call_list;
mod checkpoints;
mod handle_times;
mod monitoring;
mod oracle;
mod properties;
mod registry;
mod sketch;
mod windows;
mod wrap_up_queue;

use domain::{Command, StoreId, StoredEvent};
use projections::{Checkpointed, Projection};
use serde::Serialize;
use serde_json::{Value, to_value};
use tests::scenario::Who;
use uuid::Uuid;

/// The store that histories are said to be of where it does not matter.
const STORE: StoreId = StoreId(Uuid::from_u128(7));

/// The read model that these events make.
fn read<P: Projection>(events: &[StoredEvent]) -> Checkpointed<P> {
    let mut model = Checkpointed::new(STORE);
    model.fold(events);
    model
}

/// As the interface shows it.
fn shown(value: impl Serialize) -> Value {
    to_value(value).expect("rows are JSON")
}

/// `connect_call` with all that is known of it.
fn connect_through(queue: &str, agent: Who) -> Command {
    Command::ConnectCall {
        agent: agent.party(),
        customer: Some("+81312345678".parse().expect("a number")),
        queue: Some(queue.parse().expect("a queue")),
    }
}
