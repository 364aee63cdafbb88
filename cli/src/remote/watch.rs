//! `kaigi show --watch`: a read model again whenever it changes.

use super::show::{VIEWERS, listing, print, question};
use super::subscription::{Subscription, Told};
use crate::args::Show;
use crate::exit::{Exit, usage};
use crate::output::{Console, Output, json_line};
use crate::show::Asked;
use client::{Client, ClientError};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a table is drawn at most.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// How often a table is drawn at least: it tells how long ago things were.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Goes on until interrupted.
pub async fn watch(client: &Client, what: &Show, console: &mut Console) -> anyhow::Result<Exit> {
    let changes = Subscription::new(client.clone(), of_changes(what)?);
    match console.output() {
        Output::Table => tables(client, what, changes, console).await,
        Output::Json | Output::Ndjson => lines(changes, console).await,
        Output::Csv => Err(usage(
            "changes have no CSV; use --output table, json or ndjson",
        )),
    }
}

/// Which rows are asked for says the table; that something changed is told whatever it was.
fn of_changes(what: &Show) -> anyhow::Result<client::Question> {
    // What is asked must make sense before anything is subscribed to.
    question(what, "")?;
    let name = match what {
        Show::ActiveCalls { .. } => "active-calls",
        Show::WrapUpQueue { .. } => "wrap-up-queue",
        Show::HandleTimes(_) => "handle-times",
        Show::Monitoring => "monitoring",
        Show::Call { .. } => unreachable!("one call is no read model"),
    };
    let changes = client::Question::new(["v1", name, "changes"]).for_roles(VIEWERS);
    Ok(match what {
        Show::ActiveCalls { queue, .. } => changes.with_some("queue", queue.as_ref()),
        Show::WrapUpQueue { agent, queue } => changes
            .with_some(
                "agent",
                agent.as_ref().map(|agent| format!("agent:{agent}")),
            )
            .with_some("queue", queue.as_ref()),
        Show::HandleTimes(args) => changes
            .with_some(
                "by",
                (Asked::new(args)? == Asked::Agents).then_some("agent"),
            )
            .with_some(
                "agent",
                args.agent.as_ref().map(|agent| format!("agent:{agent}")),
            )
            .with_some("queue", args.queue.as_ref()),
        Show::Monitoring | Show::Call { .. } => changes,
    })
}

/// A line for each change, as the service tells it.
async fn lines(mut changes: Subscription, console: &mut Console) -> anyhow::Result<Exit> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let told = tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(Exit::Done),
            told = changes.next() => told?,
        };
        match told {
            Told::Message(message) => {
                let data: Value = serde_json::from_str(&message.data).unwrap_or_default();
                let mut line = json!({ "event": message.event });
                if let (Value::Object(line), Value::Object(data)) = (&mut line, data) {
                    line.extend(data);
                }
                console.print(&json_line(&line))?;
                console.flush()?;
            }
            Told::BrokenOff(why) => waiting(why.as_ref()),
        }
    }
}

/// The table, drawn again after changes.
async fn tables(
    client: &Client,
    what: &Show,
    mut changes: Subscription,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let question = question(what, "")?;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut ticks = interval(AT_MOST_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is drawn at once; then what is drawn must tell of the last change that was told of.
    let mut due = Some(Instant::now());
    let mut told_of = 0;
    loop {
        tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(Exit::Done),
            told = changes.next() => match told? {
                Told::Message(message) => {
                    told_of = position(&message.data).unwrap_or(0).max(told_of);
                    if matches!(&*message.event, "row" | "gone" | "reset") {
                        due = Some(Instant::now());
                    }
                }
                Told::BrokenOff(why) => waiting(why.as_ref()),
            },
            now = ticks.tick() => if due.is_none_or(|due| due <= now) {
                let question = question.clone().with("min_position", &told_of);
                match listing(client, &question).await {
                    Ok(listing) => {
                        draw(what, &listing, console)?;
                        due = Some(now + AT_LEAST_EVERY);
                    }
                    Err(error) if error.is_passing() => waiting(Some(&error)),
                    Err(error) => return Err(error.into()),
                }
            },
        }
    }
}

fn draw(
    what: &Show,
    listing: &projections::Listing<Value>,
    console: &mut Console,
) -> anyhow::Result<()> {
    let (as_of, position, rows) = (listing.as_of.0, listing.position, listing.rows.len());
    let last_line = format!("as of {as_of}, position {position}, rows {rows}");
    console.screenful(|console| print(what, listing, console), &last_line)
}

fn position(data: &str) -> Option<u64> {
    let data: Value = serde_json::from_str(data).ok()?;
    data["position"].as_u64()
}

/// An end in good order is no news: the service is stopping, or we were too slow.
pub(crate) fn waiting(why: Option<&ClientError>) {
    if let Some(why) = why {
        eprintln!("kaigi: waiting for the service: {why}");
    }
}
