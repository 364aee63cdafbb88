//! `kaigi demo`: the main job on a fresh store. A real capture and a made-up day in, the read models out.

use crate::args::Demo;
use crate::exit::Exit;
use crate::output::{Console, Output};
use crate::run::{Tally, run};
use crate::show;
use crate::store::StoreUrl;
use anyhow::{Context, bail};
use domain::json::write_command;
use domain::{CallId, EventStore, Handler, Position, Request, Timestamp};
use import::asterisk::import_captures;
use simulate::placed::{Placed, moved, place};
use simulate::{Day, simulate};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An attended transfer, captured from a running telephone system; tests/fixtures/asterisk-ami has its licence.
const CAPTURE: (&str, &[u8]) = (
    "xfer_attended/xfer_abbcac.json",
    include_bytes!("../../tests/fixtures/asterisk-ami/xfer_attended/xfer_abbcac.json"),
);

/// How long before now the captured call begins in the demo.
const CAPTURE_BEGAN_MS_AGO: u64 = 20 * 60_000;

/// Fills a fresh store and shows what came of it.
pub async fn demo(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    args: &Demo,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let handler = Arc::new(Handler::new(Arc::clone(&store)));
    let now = domain::now();
    let captured = captured(now)?;
    let transferred = captured.first().map(|request| request.call.clone());
    console.print(&format!(
        "A real capture of 2018, {}, its times moved to the last minutes: {} commands\n",
        CAPTURE.0,
        captured.len()
    ))?;
    let mut exit = apply(&handler, &captured, console).await?;
    let day = Day {
        calls: args.calls,
        seed: args.seed,
    };
    let day: Vec<_> = place(simulate(&day), Placed::UpTo(now)).collect();
    console.print(&format!(
        "\nA made-up day of {} calls, half past ten of it moved to now: {} commands\n",
        args.calls,
        day.len()
    ))?;
    exit = exit.and(apply(&handler, &day, console).await?);
    show::all(store, now, console).await?;
    console.print(&next_steps(url, transferred.as_ref()))?;
    Ok(exit)
}

/// The captured call, as if it had begun a while ago.
fn captured(now: Timestamp) -> anyhow::Result<Vec<Request>> {
    let files = [(PathBuf::from(CAPTURE.0), CAPTURE.1.to_vec())];
    let mut import = import_captures(&files).context("the demo's capture")?;
    let began = import
        .commands
        .iter()
        .filter_map(|request| request.at)
        .min();
    for request in &mut import.commands {
        let at = request.at.zip(began);
        request.at = at.map(|(at, began)| moved(at, began, now.minus_millis(CAPTURE_BEGAN_MS_AGO)));
    }
    Ok(import.commands)
}

/// The same way as `kaigi run`, but for the answers, which nobody would read here.
async fn apply(
    handler: &Arc<Handler>,
    commands: &[Request],
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let lines: Vec<String> = commands.iter().map(write_command).collect();
    let input = Box::new(Cursor::new(lines.join("\n").into_bytes()));
    let started = std::time::Instant::now();
    let (exit, tally) = run(
        Arc::clone(handler),
        Duration::ZERO,
        input,
        &mut std::io::sink(),
        |_| (),
    )
    .await;
    console.print(&summary(&tally, started.elapsed()))?;
    if tally.stopped.is_some() {
        bail!("the demo was stopped before its end");
    }
    Ok(exit)
}

fn summary(tally: &Tally, took: Duration) -> String {
    format!(
        "  {} accepted, {} refused by a rule, each durable when answered; {:.2} s\n",
        tally.accepted,
        tally.refused,
        took.as_secs_f64()
    )
}

fn next_steps(url: &StoreUrl, call: Option<&CallId>) -> String {
    let call = call.map_or("CALL", CallId::as_str);
    let url = match url {
        StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Service(_) => url.to_string(),
        StoreUrl::Cluster(_) => format!("'{url}'   # with its password, if it has one"),
    };
    format!(
        "\nThe store stays. Look around in it:\n\n  \
         export KAIGI_STORE={url}\n  \
         cargo run --release -- replay {call}\n  \
         cargo run --release -- calls\n  \
         cargo run --release -- events | head -3\n"
    )
}

/// A fresh folder for a demo's store, unless the user named a store.
pub fn fresh_store() -> anyhow::Result<StoreUrl> {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let name = format!("kaigi-demo-{:08x}", random >> 32);
    Ok(StoreUrl::Sled(std::env::temp_dir().join(name)))
}

/// Refuses to mix a demo with somebody's calls.
pub async fn must_be_empty(url: &StoreUrl, store: &dyn EventStore) -> anyhow::Result<()> {
    if store.read_all(Position::START, 1).await?.is_empty() {
        return Ok(());
    }
    Err(crate::exit::usage(format!(
        "{url} holds calls already; a demo wants a store of its own: leave --store and KAIGI_STORE away \
         (env -u KAIGI_STORE kaigi demo), or name an empty one"
    )))
}

/// Tables, whatever the output: a demo is for people.
pub const OUTPUT: Output = Output::Table;
