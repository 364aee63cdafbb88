//! An older log under a newer index, as a partial restore leaves it: the index has the only copy of the newer events.

use super::{Attack, Outcome};
use crate::files::{copy, files};
use crate::program::{bare, on};
use std::fs;
use std::path::Path;

/// The attack.
pub const ATTACK: Attack = Attack {
    name: "check",
    goal: "a check changes no file, opening refuses, and a repair brings every event back",
    run,
};

/// What an older backup of the files has.
const RESTORED: [&str; 3] = ["log", "head", "acknowledged"];

fn run() -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let (store, old) = (folder.path().join("store"), folder.path().join("old"));
    fill(&store, "1");
    copy(&files(&store), &store, &old);
    fill(&store, "2");
    let events = count(&store);
    fs::remove_dir_all(store.join("log"))?;
    let restored = files(&old);
    let is_restored = |path: &Path| RESTORED.iter().any(|name| path.starts_with(old.join(name)));
    let restored = restored.into_iter().filter(|(path, _)| is_restored(path));
    copy(&restored.collect(), &old, &store);
    let before = files(&store);
    let checked = on(&store, ["store", "check"]).run();
    let changed = differing(&before, &files(&store));
    let opened = on(&store, ["store", "info"]).run();
    let new = folder.path().join("new");
    let repair = ["store", "repair", &new.display().to_string()].map(str::to_owned);
    let repaired = on(&store, repair).run();
    let back = count(&new);
    let refused = checked.code == Some(6) && !matches!(opened.code, Some(0));
    Ok(Outcome {
        measured: format!(
            "check ended with {:?} and changed {changed} files, opening with {:?}, repair with {:?}: {back} of {events} \
             events are back",
            checked.code, opened.code, repaired.code
        ),
        held: refused && changed == 0 && back == events,
    })
}

/// Adds a made-up day.
fn fill(store: &Path, seed: &str) {
    let day = ["simulate", "--calls", "300", "--seed", seed];
    let day = bare(day).run().out;
    let _ = on(store, ["run", "-"]).input(day).run().ended_with(0);
}

/// How many events a store has; 0 if it does not open.
fn count(store: &Path) -> u64 {
    let info = on(store, ["store", "info", "--output", "json"]).run();
    let info: serde_json::Value = serde_json::from_str(&info.out).unwrap_or_default();
    info["events"].as_u64().unwrap_or(0)
}

type Files = std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>;

fn differing(before: &Files, after: &Files) -> usize {
    let changed = before
        .iter()
        .filter(|(path, bytes)| after.get(*path) != Some(bytes));
    let new = after.keys().filter(|path| !before.contains_key(*path));
    changed.count() + new.count()
}
