//! `rm -rf` of the store's folder while clients send commands.
//!
//! What was acknowledged before is gone with the folder. What counts is a command that was sent after the deletion had
//! ended: an acknowledgement of it promises what no disk has.

use super::commanding::{Commanding, block_on, until_ready_is};
use super::{Attack, Outcome};
use crate::service_program::Serving;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The attack.
pub const ATTACK: Attack = Attack {
    name: "deleted",
    goal: "no command that is sent after the store was deleted is acknowledged, and /readyz is 503 within 2 s",
    run,
};

/// How long commands are sent after the deletion.
const AFTERWARDS: Duration = Duration::from_secs(5);

fn run() -> anyhow::Result<Outcome> {
    block_on(async {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        let serving = Serving::on(&store);
        until_ready_is(&serving.url, 200).await;
        let commanding = Commanding::begin(&serving.url);
        commanding.until_acknowledged(2_000).await;
        delete(&store);
        let deleted = Instant::now();
        let noticed = until_ready_is(&serving.url, 503).await;
        tokio::time::sleep(AFTERWARDS).await;
        let sent = commanding.end().await?;
        drop(serving.kill());
        let after = sent.iter().filter(|sent| sent.at > deleted);
        let (mut commands, mut acknowledged) = (0, 0);
        for sent in after {
            commands += 1;
            acknowledged += u64::from(sent.acknowledged.is_some());
        }
        Ok(Outcome {
            measured: format!(
                "{acknowledged} of {commands} commands sent after the deletion were acknowledged; /readyz was 503 after \
                 {} ms",
                noticed.as_millis()
            ),
            held: acknowledged == 0 && commands > 0 && noticed < Duration::from_secs(2),
        })
    })
}

/// The service may make files meanwhile, which lets a deletion fail at first.
fn delete(store: &Path) {
    while fs::remove_dir_all(store).is_err() && store.join("log").exists() {}
}
