//! `kaigi calls`: finds calls.

use crate::args::Calls;
use crate::events::read_on;
use crate::exit::Exit;
use crate::output::Console;
use crate::read_models::warn_of_damage;
use crate::sheets;
use domain::{EventStore, Followed, Position, Prefix};
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
    let (mut events, mut damaged) = (Prefix::NONE, 0);
    let take = |next: &Followed| match next {
        Followed::Events(page) => {
            list.fold(page);
            events = page.iter().fold(events, Prefix::plus);
        }
        Followed::Damaged(event) => {
            list.fold_damaged(event);
            events = events.plus_damaged(event);
            damaged += 1;
        }
        Followed::CaughtUp(_) => {}
    };
    read_on(store, Position::START, take).await?;
    warn_of_damage(damaged);
    let listing = Listing::new(domain::now(), events, list.rows());
    console.listing(&listing, &sheets::calls())?;
    Ok(Exit::Done)
}
