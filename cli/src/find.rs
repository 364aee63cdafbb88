//! `kaigi calls`: finds calls.

use crate::args::Calls;
use crate::events::PAGE;
use crate::exit::Exit;
use crate::output::{Column, Console, column};
use crate::progress;
use domain::{EventStore, Follower, Position, Timestamp};
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
    let mut progress = progress::events(store.info().await?.events);
    let mut follower = Follower::new(store, Position::START, PAGE);
    loop {
        let events = follower.next_there().await?;
        if events.is_empty() {
            break;
        }
        list.fold(&events);
        progress.at(follower.position().0);
    }
    progress.done();
    let listing = Listing::new(Timestamp::now(), follower.position(), list.rows());
    console.listing(&listing, &columns(), "no call fits")?;
    Ok(Exit::Done)
}

fn columns<'a>() -> Vec<Column<ListedCall<'a>>> {
    vec![
        column("CALL", |row: &ListedCall<'_>| row.call.0.to_string()),
        column("PHASE", |row: &ListedCall<'_>| {
            let completed = if row.completed { ", completed" } else { "" };
            format!("{}{completed}", row.phase.unwrap_or("-"))
        }),
        column("QUEUE", |row: &ListedCall<'_>| {
            text(row.queue.as_ref().map(|queue| queue.0))
        }),
        column("ANSWERED", |row: &ListedCall<'_>| {
            row.answered_at.0.to_string()
        }),
        column("AGENTS", |row: &ListedCall<'_>| {
            let agents: Vec<_> = row.agents.iter().map(|agent| agent.0.as_str()).collect();
            agents.join(", ")
        }),
        column("EVENTS", |row: &ListedCall<'_>| row.revision.to_string()),
    ]
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}
