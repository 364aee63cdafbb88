//! `kaigi events`: the events as they are kept, one JSON object a line.

use crate::args::Events;
use crate::exit::{Exit, not_found, usage};
use crate::output::{Console, Output, json_line};
use crate::progress;
use domain::json::{DamagedJson, EventJson};
use domain::{
    DamagedEvent, EventStore, Followed, Follower, Position, Revision, StoreError, StoredEvent,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How many events are read at once.
const PAGE: usize = 4096;

/// How long a follower waits once more after a store had no answer until its own deadline.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Hands on what the store holds after that position, page by page, and answers how far it was read.
pub async fn read_on(
    store: Arc<dyn EventStore>,
    after: Position,
    mut take: impl FnMut(&Followed),
) -> Result<Position, StoreError> {
    let passed = |position: Position| position.0.saturating_sub(after.0);
    let mut progress = progress::positions(passed(store.info().await?.last));
    let mut follower = Follower::new(store, after, PAGE);
    loop {
        let next = follower.next().await?;
        if let Followed::CaughtUp(position) = next {
            progress.done();
            return Ok(position);
        }
        take(&next);
        progress.at(passed(follower.position()));
    }
}

/// Prints the events of the store, or of one call, and with `--follow` those to come.
pub async fn events(
    store: Arc<dyn EventStore>,
    args: &Events,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    if console.output() == Output::Csv {
        return Err(usage(
            "events have no CSV, because each type has fields of its own; use --output ndjson",
        ));
    }
    if let (Some(call), false) = (&args.call, args.follow) {
        let events = store.read_call(call, Revision(0)).await?;
        if events.is_empty() {
            return Err(not_found(format!("there is no call {call} in this store")));
        }
        print(&events, args, console)?;
        return Ok(Exit::Done);
    }
    let mut follower = Follower::new(store, args.after, PAGE);
    // One for all rounds: an interrupt that comes while events are printed counts, too.
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut interrupted, if args.follow => return Ok(Exit::Done),
            next = follower.next() => next,
        };
        match next {
            Ok(Followed::Events(events)) => print(&events, args, console)?,
            Ok(Followed::Damaged(event)) => print_damaged(&event, args, console)?,
            Ok(Followed::CaughtUp(_)) if args.follow => console.flush()?,
            Ok(Followed::CaughtUp(_)) => return Ok(Exit::Done),
            // The follower knows its place, so an outage is no reason to give up.
            Err(StoreError::Unavailable(why)) if args.follow => {
                console.flush()?;
                eprintln!("kaigi: waiting for the store: {why}");
                sleep(BETWEEN_ATTEMPTS).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A damaged event stands in its place, and on standard error.
fn print_damaged(event: &DamagedEvent, args: &Events, console: &mut Console) -> anyhow::Result<()> {
    let other = args.call.as_ref().zip(event.call.as_ref());
    if other.is_none_or(|(wanted, call)| wanted == call) {
        console.flush()?;
        eprintln!("kaigi: damaged: {event}; `kaigi store damaged` lists all of them");
        console.print(&json_line(&DamagedJson(event)))?;
    }
    Ok(())
}

fn print(events: &[StoredEvent], args: &Events, console: &mut Console) -> anyhow::Result<()> {
    let wanted = |stored: &&StoredEvent| {
        let call = &stored.recorded.cause.call;
        stored.position > args.after && args.call.as_ref().is_none_or(|wanted| wanted == call)
    };
    let mut events = events.iter().filter(wanted);
    events.try_for_each(|stored| console.print(&json_line(&EventJson(stored))))
}
