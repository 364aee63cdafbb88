//! `kaigi show --watch`: a read model again whenever it changes.

use super::subscription::{Subscription, Told};
use crate::exit::{Exit, usage};
use crate::output::{Console, Output, json_line};
use crate::reads::{Rows, of_service};
use crate::show::{Asked, VIEWERS, print, question};
use crate::show_args::ShowReadModel;
use client::{Client, ClientError, Question};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a table is drawn at most.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// How often a table is drawn at least: it tells how long ago things were.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Goes on until interrupted.
pub async fn watch(
    client: &Client,
    what: &ShowReadModel,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let changes = Subscription::new(client.clone(), of_changes(what)?);
    match console.output() {
        Output::Table => tables(client, what, changes, console).await,
        Output::Json | Output::Ndjson => lines(changes, console).await,
        Output::Csv => Err(usage(
            "changes have no CSV; use --output table, json or ndjson",
        )),
    }
}

/// The table shows the rows that are asked for; the changes only say that it is to be drawn again, so a queue and an agent
/// are filter enough.
fn of_changes(what: &ShowReadModel) -> anyhow::Result<Question> {
    let changes = Question::new(["v1", what.model.name, "changes"]).for_roles(VIEWERS);
    let changes = match Asked::of(what)? {
        Asked::Agents(_) => changes.with("by", &"agent"),
        Asked::Rows(_) | Asked::Windows(..) => changes,
    };
    let filters = ["agent", "queue"].into_iter();
    Ok(filters.fold(changes, |changes, name| {
        changes.with_some(name, what.value(name))
    }))
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
    what: &ShowReadModel,
    mut changes: Subscription,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let (asked, question) = (Asked::of(what)?, question(what));
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
                match of_service(client, &question).await {
                    Ok(rows) => {
                        draw(asked, rows, console).await?;
                        due = Some(now + AT_LEAST_EVERY);
                    }
                    Err(error) if error.is_passing() => waiting(Some(&error)),
                    Err(error) => return Err(error.into()),
                }
            },
        }
    }
}

async fn draw(asked: Asked, rows: Rows, console: &mut Console) -> anyhow::Result<()> {
    let (as_of, position) = (rows.as_of, rows.events.position);
    let count = rows.count();
    let last_line = format!("as of {as_of}, position {position}, rows {count}");
    console.begin_screenful();
    let drawn = print(asked, rows, console).await;
    console.end_screenful(drawn, &last_line)
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
