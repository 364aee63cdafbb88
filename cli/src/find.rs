//! `kaigi calls`: finds calls.

use crate::args::Calls;
use crate::events::read_on;
use crate::exit::Exit;
use crate::output::Console;
use crate::sheets;
use domain::{EventStore, Position, Timestamp};
use projections::{CallFilter, CallList, Listing};
use std::sync::Arc;

/// Prints the calls that fit. All events are read for it: whoever asks this often should follow a read model instead.
pub async fn calls(
    store: Arc<dyn EventStore>,
    args: Calls,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let mut list = CallList::new(CallFilter {
        agent: args.agent,
        customer: args.customer,
        queue: args.queue,
        correlation: args.correlation,
        from: args.from,
        to: args.to,
        phase: args.phase,
    });
    let position = read_on(store, Position::START, |events| list.fold(events)).await?;
    let listing = Listing::new(Timestamp::now(), position, list.rows());
    console.listing(&listing, &sheets::calls())?;
    Ok(Exit::Done)
}
