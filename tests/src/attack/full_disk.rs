//! A disk that is full for a while under load. It is modelled by the shared object that also cuts power.

use super::commanding::{Commanding, Sent, block_on, send, until_ready_is};
use super::{Attack, Outcome};
use crate::program::on;
use crate::service_program::Serving;
use crate::torture::powercut::{Disk, shim};
use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// The attack.
pub const ATTACK: Attack = Attack {
    name: "full-disk",
    goal: "nothing is acknowledged on a full disk; with room again the service resumes within 5 s without a restart; \
           nothing acknowledged is lost, nothing is there twice",
    run,
};

/// How often the disk is full, and for how long.
const ROUNDS: u64 = 3;
const FULL: Duration = Duration::from_secs(3);

fn run() -> anyhow::Result<Outcome> {
    let shim = shim().map_err(|why| anyhow::anyhow!(why))?;
    block_on(async {
        let folder = tempfile::tempdir()?;
        let disk = Disk::new(folder.path())?;
        let mut run = on(
            &disk.store(),
            ["serve", "--without-keys", "--listen", "127.0.0.1:0"],
        );
        for (name, value) in disk.environment(shim) {
            run = run.env(name, value);
        }
        let serving = Serving::start(run);
        until_ready_is(&serving.url, 200).await;
        let commanding = Commanding::begin(&serving.url);
        let (mut while_full, mut slowest) = (0, Duration::ZERO);
        for round in 1..=ROUNDS {
            commanding.until_acknowledged(round * 500).await;
            fs::write(disk.full(), [])?;
            until_ready_is(&serving.url, 503).await;
            let acknowledged = commanding.acknowledged();
            tokio::time::sleep(FULL).await;
            while_full += commanding.acknowledged() - acknowledged;
            fs::remove_file(disk.full())?;
            slowest = slowest.max(until_ready_is(&serving.url, 200).await);
        }
        commanding.until_acknowledged((ROUNDS + 1) * 500).await;
        let sent = commanding.end().await?;
        let wrong = wrong_answers(&serving.url, &sent).await;
        let ended = serving.stop().code;
        let twice = kept_twice(&disk, sent.len());
        Ok(Outcome {
            measured: format!(
                "{} commands; {while_full} acknowledged on the full disk; the slowest resumption took {} ms; {wrong} \
                 answered otherwise when sent again, {twice} kept twice or not at all",
                sent.len(),
                slowest.as_millis()
            ),
            held: while_full == 0
                && slowest < Duration::from_secs(5)
                && (wrong, twice, ended) == (0, 0, Some(0)),
        })
    })
}

/// Sends every command again; returns how many are not answered as they were acknowledged.
async fn wrong_answers(url: &str, sent: &[Sent]) -> usize {
    let client = reqwest::Client::new();
    let mut wrong = 0;
    for before in sent {
        let again = send(&client, url, before.number).await.acknowledged;
        let is_same = match &before.acknowledged {
            Some(_) => again == before.acknowledged,
            None => again.is_some(),
        };
        wrong += usize::from(!is_same);
    }
    wrong
}

/// How far the store is from having each command once.
fn kept_twice(disk: &Disk, commands: usize) -> usize {
    let events = on(&disk.store(), ["events"]).run().lines();
    let calls: HashSet<_> = events
        .iter()
        .map(|event| event["call"].to_string())
        .collect();
    calls.len().abs_diff(commands) + events.len().abs_diff(commands)
}
