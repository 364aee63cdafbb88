//! The program on a store in a cluster that several of its processes share, against the stand-in server.

mod patience;
mod refused;
mod together;
mod verbs;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use tests::program::{Ran, Run, bare};
use tests::standin::{Config, StandIn, User};

/// A password with everything that means something in a connection string, and as it is written there.
const PASSWORD: &str = "p@ss:wörd/?#&%";
const WRITTEN: &str = "p%40ss%3Aw%C3%B6rd%2F%3F%23%26%25";

/// A time to which everything was recorded.
const LATER: &str = "2100-01-01";

/// A cluster, and somebody who uses it from a machine of their own.
struct Desk {
    cluster: StandIn,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let users = vec![User::new("kai", PASSWORD)];
        Self {
            cluster: StandIn::start_with(Config {
                nodes: 3,
                users,
                ..Config::default()
            }),
            home: tempdir().unwrap(),
        }
    }

    fn url(&self) -> String {
        self.cluster.url_as("kai", WRITTEN)
    }

    fn on(&self, args: &[&str]) -> Run {
        let run = bare(args).env("KAIGI_STORE", self.url());
        run.env("XDG_DATA_HOME", self.home.path())
    }

    /// The same, giving up on a call after so many milliseconds.
    fn on_within(&self, args: &[&str], limit_ms: u64) -> Run {
        let url = format!("{}&defaultDeadline={limit_ms}", self.url());
        self.on(args).env("KAIGI_STORE", url)
    }

    /// What the program says, which is never the password.
    fn ask(&self, args: &[&str], code: i32) -> Ran {
        said_no_password(self.on(args).run().ended_with(code))
    }

    fn run(&self, commands: &str) {
        let _ = self.on(&["run", "-"]).input(commands).run().ended_with(0);
    }

    fn store_id(&self) -> String {
        let info = self.ask(&["store", "info", "--output", "json"], 0).json();
        info["id"].as_str().unwrap().to_owned()
    }

    fn checkpoint(&self) -> PathBuf {
        let clusters = self.home.path().join("kaigi-clusters");
        let of_store = clusters.join(self.store_id());
        of_store.join("read-models/active-calls")
    }
}

fn said_no_password(ran: Ran) -> Ran {
    for part in [PASSWORD, WRITTEN, "p@ss", "p%40ss", "w%C3%B6rd", "wörd"] {
        assert!(!ran.out.contains(part), "{ran:?}");
        assert!(!ran.err.contains(part), "{ran:?}");
    }
    ran
}

fn day(calls: &str) -> String {
    let args = ["simulate", "--calls", calls, "--seed", "1"];
    bare(args).run().ended_with(0).out
}

fn sled(folder: &Path) -> String {
    format!("sled:{}", folder.display())
}

/// Ana holds the customer of call c1.
const HOLD: [&str; 7] = [
    "call",
    "c1",
    "hold",
    "--by",
    "agent:ana",
    "--party",
    "customer",
];

#[test]
fn what_one_process_writes_the_next_reads() {
    let desk = Desk::new();
    let call = ["call", "c1", "connect-call", "--agent", "agent:ana"];
    desk.ask(&call, 0);
    desk.ask(&HOLD, 0);
    desk.ask(&HOLD, 3);
    let shown = ["show", "call", "c1", "--output", "json"];
    assert_eq!(desk.ask(&shown, 0).json()["revision"], 2);
    let told = desk.ask(&["replay", "c1", "--output", "table"], 0).out;
    assert!(told.contains("verified: all 2 events"), "{told}");
    desk.ask(&["show", "call", "c2"], 4);
    desk.ask(&["demo"], 2);
}

/// A process that follows and one that takes commands do not wait for each other.
#[test]
fn a_process_follows_what_another_writes() {
    let desk = Desk::new();
    let mut follows = desk.on(&["events", "--follow"]).start();
    let mut out = std::io::BufReader::new(follows.stdout.take().unwrap());
    for turn in 1..=3 {
        let call = format!("c{turn}");
        desk.ask(&["call", &call, "connect-call", "--agent", "agent:ana"], 0);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["call"], json!(call));
    }
    follows.kill().unwrap();
    follows.wait().unwrap();
}

#[test]
fn a_cluster_is_counted_by_reading_it_and_digested_like_any_store() {
    let desk = Desk::new();
    let (folder, day) = (tempdir().unwrap(), day("30"));
    desk.run(&day);
    let copied = folder.path().join("copied");
    let (from, to) = (desk.url(), sled(&copied));
    let copy = ["copy", "--from", &from, "--to", &to, "--output", "json"];
    let copied = said_no_password(bare(copy).run().ended_with(0)).json();
    assert_eq!(copied["digest_from"], copied["digest_to"]);
    let info = desk.ask(&["store", "info", "--output", "json"], 0).json();
    for field in ["events", "calls"] {
        assert!(info[field].as_u64() > Some(0));
        assert_eq!(info[field], copied[field], "{field}");
    }
    assert!(info["store"].as_str().unwrap().contains("://kai:***@"));
    assert_eq!(info["bytes_on_disk"], Value::Null);
    let digest = desk.ask(&["store", "digest", "--output", "json"], 0).json();
    assert_eq!(digest["digest"], copied["digest_from"]);
    // Back into another cluster, from a backup of the first.
    let (backup, other) = (folder.path().join("backup"), Desk::new());
    desk.ask(&["store", "backup", backup.to_str().unwrap()], 0);
    let restore = [
        "store",
        "restore",
        backup.to_str().unwrap(),
        "--output",
        "json",
    ];
    assert_eq!(other.ask(&restore, 0).json()["digest"], digest["digest"]);
}

#[test]
fn read_models_of_a_cluster_go_on_from_where_their_user_was() {
    let desk = Desk::new();
    let day = day("30");
    let lines: Vec<_> = day.lines().collect();
    let (before, after) = lines.split_at(lines.len() / 2);
    let show = ["show", "handle-times", "--output", "ndjson"];
    let active = ["show", "active-calls", "--output", "ndjson"];
    desk.run(&before.join("\n"));
    assert_ne!(desk.ask(&active, 0).out, "");
    desk.ask(&show, 0);
    let kept = fs::read(desk.checkpoint()).unwrap();
    desk.run(&after.join("\n"));
    let resumed = desk.ask(&show, 0);
    assert_eq!(resumed.err, "", "it goes on from its checkpoint");
    desk.ask(&active, 0);
    assert_ne!(fs::read(desk.checkpoint()).unwrap(), kept);
    let anew = Desk {
        home: tempdir().unwrap(),
        ..desk
    };
    assert_eq!(anew.ask(&show, 0).out, resumed.out);
    // A checkpoint of a history that the cluster does not have any more, as after a restore: it is made anew.
    let other = Desk::new();
    other.run(&before.join("\n"));
    let _ = other.ask(&active, 0);
    assert_ne!(
        other.store_id(),
        anew.store_id(),
        "each cluster's store is its own"
    );
    let names = fs::read_dir(anew.checkpoint().parent().unwrap()).unwrap();
    assert_eq!(names.count(), 1, "nothing is left beside the checkpoint");
}
