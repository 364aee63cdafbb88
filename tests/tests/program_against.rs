//! A store compared with a count and a rolling hash that were noted elsewhere: the one thing that shows that a user who
//! can write the store made another chain of hashes.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use tests::program::{Ran, bare, on};

fn add(store: &Path, seed: &str) {
    let day = bare(["simulate", "--calls", "20", "--seed", seed]);
    let day = day.run().ended_with(0).out;
    let _ = on(store, ["run", "-"]).input(day).run().ended_with(0);
}

/// A store with a day, and what was noted of it.
fn a_noted_store(folder: &Path, name: &str) -> (PathBuf, Value) {
    let store = folder.join(name);
    add(&store, "1");
    let digest = on(&store, ["store", "digest"]).run().ended_with(0).json();
    (store, digest)
}

fn note(digest: &Value) -> String {
    let hash = digest["rolling_hash"].as_str().unwrap();
    format!("{}:{hash}", digest["count"])
}

/// Both ways to compare; the check reads the files, the digest any store.
fn compared(store: &Path, against: &str) -> [Ran; 2] {
    ["check", "digest"].map(|verb| on(store, ["store", verb, "--against", against]).run())
}

fn folder() -> TempDir {
    tempdir().unwrap()
}

#[test]
fn a_store_that_has_grown_since_is_as_noted() {
    let folder = folder();
    let (store, digest) = a_noted_store(folder.path(), "calls");
    add(&store, "2");
    let file = folder.path().join("checkpoint.json");
    let checkpoint = json!({
        "store": on(&store, ["store", "info"]).run().json()["id"], "position": digest["last_position"],
        "count": digest["count"], "rolling_hash": digest["rolling_hash"],
    });
    fs::write(&file, format!("{checkpoint}\n")).unwrap();
    for against in [note(&digest), file.display().to_string()] {
        for ran in compared(&store, &against) {
            assert_eq!(ran.ended_with(0).json()["same_up_to"], digest["count"]);
        }
    }
}

#[test]
fn a_checkpoint_of_a_follower_is_a_note() {
    let folder = folder();
    let (store, digest) = a_noted_store(folder.path(), "calls");
    let serving = tests::service_program::Serving::on(&store);
    let file = folder.path().join("audit.json").display().to_string();
    let follow = [
        "--server",
        &serving.url,
        "follow",
        "--until-caught-up",
        "--quiet",
    ];
    let args = [&follow[..], &["--checkpoint", &file]].concat();
    let _ = bare(args).run().ended_with(0);
    // Through the service, too.
    let through = [
        "--server",
        &serving.url,
        "store",
        "digest",
        "--against",
        &file,
    ];
    let through = bare(through).run().ended_with(0);
    assert_eq!(through.json()["same_up_to"], digest["count"]);
    let _ = serving.stop().ended_with(0);
    add(&store, "2");
    for ran in compared(&store, &file) {
        assert_eq!(ran.ended_with(0).json()["same_up_to"], digest["count"]);
    }
}

/// The same commands, applied again: each chain verifies, and every hash is another.
#[test]
fn another_chain_that_verifies_differs_from_what_was_noted() {
    let folder = folder();
    let (_, noted) = a_noted_store(folder.path(), "calls");
    let (forged, _) = a_noted_store(folder.path(), "forged");
    let checked = on(&forged, ["store", "check"]).run().ended_with(0);
    assert_eq!(checked.json()["damaged"], false);
    for ran in compared(&forged, &note(&noted)) {
        let ran = ran.ended_with(6);
        assert!(ran.err.contains("altered, removed or added"), "{ran:#?}");
    }
}

#[test]
fn a_store_that_lost_its_end_or_is_another_one_differs() {
    let folder = folder();
    let (store, digest) = a_noted_store(folder.path(), "calls");
    let beyond = format!("{}:{}", 1_000_000, digest["rolling_hash"].as_str().unwrap());
    for ran in compared(&store, &beyond) {
        let ran = ran.ended_with(6);
        assert!(ran.err.contains("1000000 were noted"), "{ran:#?}");
    }
    let file = folder.path().join("other.json");
    let other = json!({
        "store": uuid::Uuid::nil(), "position": digest["last_position"], "count": digest["count"],
        "rolling_hash": digest["rolling_hash"],
    });
    fs::write(&file, other.to_string()).unwrap();
    for ran in compared(&store, &file.display().to_string()) {
        let ran = ran.ended_with(6);
        assert!(ran.err.contains("and this is store"), "{ran:#?}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let folder = folder();
    let (store, _) = a_noted_store(folder.path(), "calls");
    for against in ["12:xyz", "nowhere.json"] {
        for ran in compared(&store, against) {
            let _ = ran.ended_with(2);
        }
    }
}
