//! `kaigi calls`: finds calls.

use crate::args::Calls;
use crate::events::read_on;
use crate::exit::Exit;
use crate::output::{Column, Console, column, list, number, stacked};
use crate::show::{call_and_queue, moment};
use domain::{EventStore, Position, Timestamp};
use projections::{CallFilter, CallList, ListedCall, Listing};
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
    console.listing(&listing, &columns(), "no call fits")?;
    Ok(Exit::Done)
}

fn columns<'a>() -> Vec<Column<ListedCall<'a>>> {
    vec![
        stacked("CALL\nQUEUE", |row: &ListedCall<'_>| {
            call_and_queue(row.call.0, row.queue.as_ref())
        }),
        list("PHASE", |row: &ListedCall<'_>| {
            let completed = if row.completed { ", completed" } else { "" };
            vec![format!("{}{completed}", row.phase.unwrap_or("-"))]
        }),
        column("ANSWERED", |row: &ListedCall<'_>| moment(row.answered_at.0)),
        list("AGENTS", |row: &ListedCall<'_>| {
            let agents: Vec<_> = row.agents.iter().map(|agent| agent.0.as_str()).collect();
            vec![agents.join(", ")]
        }),
        number("EVENTS", |row: &ListedCall<'_>| row.revision.to_string()),
    ]
}
