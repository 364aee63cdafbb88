//! `kaigi replay`: how a call went, step by step, and where it stood at that point.

use crate::args::Replay;
use crate::exit::{Exit, not_found, usage};
use crate::output::{Console, Output, json_line};
use crate::story;
use anyhow::Context;
use domain::handle::rebuild;
use domain::json::{CallJson, EventJson};
use domain::{CallId, EventStore, Revision, StoredEvent};
use serde::Serialize;

/// An event and the rule by which it followed.
#[derive(Serialize)]
struct Step<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    rule: String,
}

/// Prints the story of a call, its whole chain of hashes verified.
pub async fn replay(
    store: &dyn EventStore,
    args: &Replay,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let events = history(store, &args.call).await?;
    // The whole chain, not only what is shown: a prefix of an altered history proves nothing.
    let (_, head) = rebuild(&events)?;
    let count = shown(&events, args)?;
    let shown = &events[..count];
    let (call, _) = rebuild(shown)?;
    match console.output() {
        Output::Table => {
            console.print(&heading(&args.call, &events, shown.len()))?;
            console.prose(&story::told(&events, count))?;
            console.prose(&format!("\n{}", story::state(&call)))?;
            console.print(&format!(
                "\nchain verified: all {} events, head\n{}\n",
                events.len(),
                head.hash
            ))?;
        }
        Output::Json => {
            let state = CallJson::new(&args.call, &call);
            let steps: Vec<_> = steps(&events).take(count).collect();
            let all = serde_json::json!({
                "call": args.call.as_str(), "revision": shown.len(), "of": events.len(),
                "head": head.hash.to_string(), "steps": steps, "state": state,
            });
            console.print(&json_line(&all))?;
        }
        Output::Ndjson => {
            for step in steps(&events).take(count) {
                console.print(&json_line(&step))?;
            }
        }
        Output::Csv => {
            return Err(usage(
                "a story has no CSV; use --output table, json or ndjson",
            ));
        }
    }
    Ok(Exit::Done)
}

/// `kaigi show call`: where a call stands now.
pub async fn show_call(
    store: &dyn EventStore,
    call: &CallId,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let events = history(store, call).await?;
    let (state, _) = rebuild(&events)?;
    match console.output() {
        Output::Table => {
            console.print(&heading(call, &events, events.len()))?;
            console.prose(&story::state(&state))?;
        }
        Output::Json | Output::Ndjson => console.print(&json_line(&CallJson::new(call, &state)))?,
        Output::Csv => return Err(usage("one call has no CSV; use --output table or json")),
    }
    Ok(Exit::Done)
}

async fn history(store: &dyn EventStore, call: &CallId) -> anyhow::Result<Vec<StoredEvent>> {
    let events = store
        .read_call(call, Revision(0))
        .await
        .with_context(|| format!("cannot read call {call}"))?;
    if events.is_empty() {
        return Err(not_found(format!(
            "there is no call {call} in this store; `kaigi calls` lists those there are"
        )));
    }
    Ok(events)
}

/// How many events the reader wants to see.
fn shown(events: &[StoredEvent], args: &Replay) -> anyhow::Result<usize> {
    let count = match (args.until, args.revision) {
        (Some(until), _) => events
            .iter()
            .take_while(|stored| stored.recorded.cause.at <= until)
            .count(),
        (None, Some(revision)) => usize::try_from(revision.0).unwrap_or(usize::MAX),
        (None, None) => events.len(),
    };
    if (1..=events.len()).contains(&count) {
        return Ok(count);
    }
    let call = &args.call;
    Err(not_found(match args.until {
        Some(until) => format!(
            "call {call} had not begun by {until}; it was answered at {}",
            events[0].recorded.cause.at
        ),
        None => format!("call {call} has the revisions 1 to {}", events.len()),
    }))
}

fn heading(call: &CallId, events: &[StoredEvent], shown: usize) -> String {
    let date = events[0].recorded.cause.at.to_string();
    let part = if shown < events.len() {
        format!("the first {shown} of {}", counted(events.len()))
    } else {
        counted(shown)
    };
    format!("call {call}, {} (UTC), {part}\n\n", &date[..10])
}

fn counted(events: usize) -> String {
    match events {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    }
}

fn steps(events: &[StoredEvent]) -> impl Iterator<Item = Step<'_>> {
    let explained = events.iter().zip(story::rules(events));
    explained.map(|(event, rule)| Step {
        event: EventJson(event),
        rule: rule.to_string(),
    })
}
