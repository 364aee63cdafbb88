//! Every verb that makes sense on a cluster says what it says of an embedded store with the same events.

use super::{Desk, LATER, day, said_no_password, sled};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use tests::program::{bare, on};

/// The same calls in a cluster and in an embedded store.
struct Twins {
    desk: Desk,
    folder: TempDir,
}

impl Twins {
    fn new() -> Self {
        let twins = Self {
            desk: Desk::new(),
            folder: tempdir().unwrap(),
        };
        let day = day("60");
        let lines: Vec<_> = day.lines().collect();
        // Calls go on, so that all read models have rows.
        let commands = lines[..lines.len() / 2].join("\n");
        let ran = on(&twins.embedded(), ["run", "-"]).input(commands).run();
        let _ = ran.ended_with(0);
        let from = sled(&twins.embedded());
        twins.desk.ask(&["copy", "--from", &from], 0);
        twins
    }

    fn embedded(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What both say, without what belongs to one store.
    fn both(&self, args: &[&str], code: i32) -> [Value; 2] {
        let clustered = self.desk.ask(args, code);
        let embedded = on(&self.embedded(), args).run().ended_with(code);
        [clustered, embedded].map(|ran| in_order(ran.lines().into_iter().map(anywhere)))
    }
}

/// Which of two calls that came at the same time stands first is each store's own affair.
fn in_order(said: impl Iterator<Item = Value>) -> Value {
    let mut said: Vec<_> = said.collect();
    said.sort_by_key(|line| (line["call"].to_string(), line["revision"].as_u64()));
    Value::Array(said)
}

/// Without the places, the order and the moment of asking, which belong to a store and to the one who asked.
fn anywhere(mut said: Value) -> Value {
    let Value::Object(fields) = &mut said else {
        return said;
    };
    for field in [
        "position",
        "last_position",
        "as_of",
        "store",
        "id",
        "rolling_hash",
    ] {
        fields.remove(field);
    }
    for nested in fields.values_mut() {
        if let Value::Array(items) = nested {
            *items = std::mem::take(items).into_iter().map(anywhere).collect();
        }
    }
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn whatever_reads_says_of_a_cluster_what_it_says_of_an_embedded_store() {
    let twins = Twins::new();
    let calls = on(&twins.embedded(), ["calls", "--output", "ndjson"])
        .run()
        .ended_with(0)
        .lines();
    let call = calls[0]["call"].as_str().unwrap();
    for args in [
        &["show", "active-calls"][..],
        &["show", "wrap-up-queue"],
        &["show", "handle-times"],
        &["show", "handle-times", "--window", "1h", "--by", "agent"],
        &["show", "monitoring"],
        &["show", "call", call],
        &["calls"],
        &["calls", "--phase", "ended"],
        &["replay", call],
        &["replay", call, "--revision", "1"],
        &["events"],
        &["events", "--call", call],
        &["store", "digest"],
    ] {
        let args = [args, &["--output", "ndjson"]].concat();
        let [clustered, embedded] = twins.both(&args, 0);
        assert_eq!(clustered, embedded, "{args:?}");
    }
    for args in [
        &["show", "call", "nowhere"][..],
        &["replay", "nowhere"],
        &["events", "--call", "nowhere"],
    ] {
        let refused = twins.desk.ask(args, 4);
        assert!(
            refused.err.contains("there is no call nowhere"),
            "{refused:?}"
        );
    }
}

#[test]
fn events_are_read_on_from_where_a_reader_was() {
    let twins = Twins::new();
    let all = twins.desk.ask(&["events"], 0).lines();
    for at in [0, 1, all.len() / 2, all.len() - 1] {
        let after = all[at]["position"].to_string();
        let rest = twins.desk.ask(&["events", "--after", &after], 0).lines();
        assert_eq!(rest, all[at + 1..], "after {after}");
    }
}

#[test]
fn following_goes_on_across_the_death_of_a_node() {
    let desk = Desk::new();
    desk.ask(&["call", "c0", "connect-call", "--agent", "agent:ana"], 0);
    let mut follows = desk.on(&["events", "--follow"]).start();
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["call"], "c0");
    for turn in 1..=3 {
        let leader = desk.cluster.leader().unwrap();
        desk.cluster.kill(leader);
        let call = format!("c{turn}");
        desk.ask(&["call", &call, "connect-call", "--agent", "agent:ana"], 0);
        assert_eq!(next()["call"], json!(call), "each once and in order");
        desk.cluster.revive(leader);
    }
    follows.kill().unwrap();
    follows.wait().unwrap();
}

/// An outage beyond every deadline is told, and is a pause.
#[test]
fn following_goes_on_after_an_outage_of_the_whole_cluster() {
    let desk = Desk::new();
    desk.ask(&["call", "c0", "connect-call", "--agent", "agent:ana"], 0);
    let mut follows = desk.on_within(&["events", "--follow"], 500).start();
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let mut said = BufReader::new(follows.stderr.take().unwrap()).lines();
    assert_eq!(next()["call"], "c0");
    for node in 0..3 {
        desk.cluster.kill(node);
    }
    let told = said.next().unwrap().unwrap();
    assert!(told.contains("waiting for the store"), "{told}");
    for node in 0..3 {
        desk.cluster.revive(node);
    }
    desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 0);
    assert_eq!(next()["call"], "c1");
    follows.kill().unwrap();
    follows.wait().unwrap();
}

#[test]
fn copies_of_every_kind_lead_into_a_cluster_and_out_of_it() {
    let twins = Twins::new();
    let (backup, dump) = (twins.path("backup"), twins.path("dump"));
    let digest = |said: &Value| said["digest"].clone();
    let whole = digest(
        &twins
            .desk
            .ask(&["store", "digest", "--output", "json"], 0)
            .json(),
    );
    let backed = twins
        .desk
        .ask(&["store", "backup", text(&backup)], 0)
        .json();
    assert_eq!(backed["files"], 1);
    twins
        .desk
        .ask(&["call", "late", "connect-call", "--agent", "agent:ana"], 0);
    let grown = twins
        .desk
        .ask(&["store", "backup", text(&backup)], 0)
        .json();
    assert_eq!(
        (&grown["files"], &grown["added"]["events"]),
        (&json!(2), &json!(1))
    );
    let now = digest(
        &twins
            .desk
            .ask(&["store", "digest", "--output", "json"], 0)
            .json(),
    );
    assert_ne!(now, whole);
    assert_eq!(
        digest(
            &twins
                .desk
                .ask(&["store", "verify", text(&backup)], 0)
                .json()
        ),
        now
    );
    fs::write(&dump, twins.desk.ask(&["store", "dump"], 0).out).unwrap();
    for from in [text(&backup), text(&dump)] {
        let other = Desk::new();
        assert_eq!(
            digest(&other.ask(&["store", "restore", from], 0).json()),
            now
        );
        let folder = tempdir().unwrap();
        let restored = on(&folder.path().join("calls"), ["store", "restore", from])
            .run()
            .ended_with(0);
        assert_eq!(digest(&restored.json()), now);
        let copied = other
            .ask(&["copy", "--to", &sled(&folder.path().join("calls"))], 0)
            .json();
        assert_eq!((&copied["sent"], &copied["digest_to"]), (&json!(0), &now));
    }
    // From one cluster into another.
    let other = Desk::new();
    let copied = other.ask(&["copy", "--from", &twins.desk.url()], 0).json();
    assert_eq!(copied["digest_to"], now);
}

#[test]
fn what_is_done_with_files_is_refused_before_anything_is_asked_of_the_cluster() {
    let desk = Desk::new();
    let folder = tempdir().unwrap();
    let new = folder.path().join("new");
    let before = (desk.cluster.seen(), desk.cluster.log().events().len());
    for args in [
        &["store", "check"][..],
        &["store", "repair", text(&new)],
        &["store", "archive", "--before", LATER, "--to", text(&new)],
    ] {
        let refused = desk.ask(args, 2);
        for told in [
            "`kaigi store digest`",
            "`kaigi store backup`",
            "--store sled:PATH",
        ] {
            assert!(refused.err.contains(told), "{refused:?}");
        }
    }
    assert_eq!(
        (desk.cluster.seen(), desk.cluster.log().events().len()),
        before
    );
    assert!(!new.exists());
}

/// An empty cluster is a store without calls, and says so.
#[test]
fn an_empty_cluster_has_nothing_to_show() {
    let desk = Desk::new();
    for args in [&["show", "active-calls"][..], &["calls"]] {
        let shown = desk.ask(&[args, &["--output", "json"]].concat(), 0).json();
        assert_eq!(shown["rows"], json!([]), "{shown}");
    }
    assert_eq!(desk.ask(&["events"], 0).out, "");
    let info = desk.ask(&["store", "info", "--output", "json"], 0).json();
    assert_eq!(
        (&info["events"], &info["last_position"]),
        (&json!(0), &json!(0))
    );
    let folder = tempdir().unwrap();
    let copied = said_no_password(
        bare(["copy", "--from", &desk.url(), "--to", &sled(folder.path())])
            .run()
            .ended_with(0),
    );
    assert_eq!(copied.json()["sent"], 0);
}
