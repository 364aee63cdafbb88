//! From an embedded store into a cluster and back: the page on it followed in a shell, and what it says of faults.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::{TempDir, tempdir};
use tests::page::{blocks, page, runs};
use tests::program::{Ran, Run, bare, kaigi, on};
use tests::standin::{Config, StandIn, User};

/// How the page writes the cluster's connection string.
const ON_THE_PAGE: &str = "esdb://kaigi:secret@node1:2113,node2:2113,node3:2113";

/// Somebody who moves, with an embedded store and an empty cluster of three nodes.
struct Move {
    folder: TempDir,
    cluster: StandIn,
}

impl Move {
    fn new() -> Self {
        Self {
            folder: tempdir().unwrap(),
            cluster: StandIn::start_with(Config {
                nodes: 3,
                users: vec![User::new("kaigi", "secret")],
                ..Config::default()
            }),
        }
    }

    fn url(&self) -> String {
        self.cluster.url_as("kaigi", "secret")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on the embedded store `calls`.
    fn embedded(&self, args: &[&str]) -> Run {
        on(&self.path("calls"), args).within(self.folder.path())
    }

    /// The program on the cluster.
    fn clustered(&self, args: &[&str]) -> Run {
        let run = bare(args).env("KAIGI_STORE", self.url());
        run.env("XDG_DATA_HOME", self.path("home"))
            .within(self.folder.path())
    }

    fn written(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = self.read(name);
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

/// A made-up day of so many calls, one command a line.
fn day(calls: u64) -> String {
    let args = ["simulate", "--calls", &calls.to_string(), "--seed", "19"];
    bare(args).run().ended_with(0).out
}

fn digest(run: Run) -> Value {
    run.run().ended_with(0).json()["digest"].clone()
}

const DIGEST: [&str; 4] = ["store", "digest", "--output", "json"];

// The page.

/// What the page has to do, and what goes on beside it: the commands of a day in parts, before, during and after the
/// passes, and looks at what is there.
fn script(blocks: &[String]) -> String {
    let [
        names,
        before,
        first,
        backup,
        further,
        last,
        digests,
        cut_over,
        back,
        last_back,
        renamed,
    ] = blocks
    else {
        panic!("the page has {} blocks", blocks.len());
    };
    [
        "set -euo pipefail",
        SHOW,
        names,
        "kaigi run 0.ndjson > 0.answers",
        before,
        "kaigi run 1.ndjson > 1.answers & writer=$!",
        first,
        "wait $writer",
        backup,
        "kaigi run 2.ndjson > 2.answers & writer=$!",
        further,
        "wait $writer; kaigi run 3.ndjson > 3.answers",
        last,
        digests,
        "shown before",
        cut_over,
        "shown after",
        "kaigi run sent.ndjson > repeated.answers",
        "kaigi store digest --output table | grep '^digest'",
        "! kaigi --store sled:./calls run 4.ndjson 2> forgotten",
        "kaigi run 4.ndjson > 4.answers & writer=$!",
        back,
        "wait $writer; kaigi run 5.ndjson > 5.answers",
        last_back,
        "shown in-the-end",
        renamed,
        "shown back",
        "cat ?.ndjson > all.ndjson; kaigi run all.ndjson > all.answers",
        "kaigi store digest --output table | grep '^digest'",
    ]
    .join("\n")
}

/// Prints all read models into files that begin with that name.
const SHOW: &str = "shown() {
    for model in active-calls wrap-up-queue handle-times monitoring; do
        kaigi show $model --output json > $1-$model
    done
    kaigi show handle-times --window 1h --by agent --output json > $1-by-agent
}";

const SHOWN: [&str; 5] = [
    "active-calls",
    "wrap-up-queue",
    "handle-times",
    "monitoring",
    "by-agent",
];

#[test]
fn the_page_on_moving_leads_into_the_cluster_and_back() {
    if !runs("bash") {
        tests::skip::skip(
            "docs/moving-to-eventstoredb.md is followed in a shell",
            "there is no bash",
        );
        return;
    }
    let moving = Move::new();
    let parts = in_parts(&moving, 6);
    let said = followed(&moving);
    let same = same(&said);
    assert_eq!(same.len(), 2, "{said}");
    assert_ne!(same[0], same[1], "the cluster took commands");
    let digests: Vec<_> = said.lines().filter(|line| is_digest(line)).collect();
    let unchanged = [digests[0], digests[digests.len() - 1]];
    assert_eq!(
        unchanged,
        [same[0], same[1]],
        "what is repeated writes nothing"
    );
    for (one, other) in [("before", "after"), ("in-the-end", "back")] {
        are_shown_alike(&moving, one, other);
    }
    assert!(
        moving
            .read("forgotten")
            .contains("cannot open sled:./calls"),
        "a program that was forgotten"
    );
    are_answered_as_before(&moving, "repeated.answers", 0..4);
    are_answered_as_before(&moving, "all.answers", 0..parts);
}

/// The commands of a small day, in so many parts that are sent one after the other.
fn in_parts(moving: &Move, parts: usize) -> usize {
    let day = day(240);
    let lines: Vec<_> = day.lines().collect();
    // What comes later in the day is left out, so that calls go on to the end.
    let morning = &lines[..lines.len() * 2 / 5];
    let chunks = morning.chunks(morning.len().div_ceil(parts));
    let mut chunks: Vec<_> = chunks.map(|part| part.join("\n") + "\n").collect();
    chunks[3] += &something_of_everything();
    for (number, part) in chunks.iter().enumerate() {
        moving.written(&format!("{number}.ndjson"), part);
    }
    moving.written("sent.ndjson", &chunks[..4].concat());
    chunks.len()
}

/// Commands after which every read model has something to show.
fn something_of_everything() -> String {
    let commands = [
        json!({"call": "x1", "type": "connect_call", "agent": "agent:ana", "queue": "sales"}),
        json!({"call": "x1", "type": "end_call", "by": "agent:ana"}),
        json!({"call": "x2", "type": "connect_call", "agent": "agent:ben"}),
        json!({"call": "x2", "type": "start_monitoring", "by": "supervisor:sam", "agent": "agent:ben"}),
    ];
    let with_id = |mut command: Value| {
        command["id"] = json!(uuid::Uuid::new_v4());
        format!("{command}\n")
    };
    commands.map(with_id).concat()
}

/// What the shell printed that followed the page.
fn followed(moving: &Move) -> String {
    let page = page("moving-to-eventstoredb.md").replace(ON_THE_PAGE, &moving.url());
    let programs = kaigi().parent().expect("it lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-c", &script(&blocks(&page, "bash"))])
        .current_dir(moving.folder.path())
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("XDG_DATA_HOME", moving.path("home"))
        .output();
    let ran = Ran::from(output.expect("a shell starts")).ended_with(0);
    assert_eq!(ran.err, "", "{}", ran.out);
    assert!(!ran.out.contains("secret"), "{}", ran.out);
    ran.out
}

fn is_digest(line: &str) -> bool {
    line.starts_with("digest  ")
}

/// The digests that were the same on both sides.
fn same(said: &str) -> Vec<&str> {
    let same = said
        .lines()
        .filter_map(|line| line.strip_prefix("the same: "));
    same.collect()
}

/// The rows are the same, and there are some.
fn are_shown_alike(moving: &Move, one: &str, other: &str) {
    for model in SHOWN {
        let shown = |when| -> Value {
            let text = moving.read(&format!("{when}-{model}"));
            serde_json::from_str(&text).unwrap()
        };
        let (one, other) = (shown(one), shown(other));
        assert!(!one["rows"].as_array().unwrap().is_empty(), "{model}");
        assert_eq!(one["rows"], other["rows"], "{model}");
        assert_ne!(one["position"], other["position"], "{model}: {one}");
    }
}

/// Each command that was accepted is answered with the same events; only where they stand is another matter.
fn are_answered_as_before(moving: &Move, again: &str, parts: std::ops::Range<usize>) {
    let again = moving.lines(again);
    let again: HashMap<_, _> = again
        .iter()
        .map(|answer| (answer["id"].as_str(), answer))
        .collect();
    let mut accepted = 0;
    for part in parts {
        for answer in moving.lines(&format!("{part}.answers")) {
            if answer["accepted"] == true {
                let repeated = again[&answer["id"].as_str()];
                assert_eq!(without_places(repeated), without_places(&answer));
                accepted += 1;
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

fn without_places(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer["line"] = Value::Null;
    for event in answer["events"].as_array_mut().into_iter().flatten() {
        event["position"] = Value::Null;
    }
    answer
}

// What the page says of faults.

/// The page has a row for that message.
fn told_on_the_page(message: &str) {
    let page = page("moving-to-eventstoredb.md");
    let mut rows = page.lines().filter(|line| line.starts_with("| "));
    assert!(rows.any(|row| row.contains(message)), "{message}");
}

#[test]
fn while_a_run_has_the_store_nothing_is_copied_out_of_it() {
    let moving = Move::new();
    let mut has_it = moving.embedded(&["run", "-"]).start();
    connect(&mut has_it, "c1");
    for args in [
        &["store", "backup", "moving"][..],
        &["copy", "--to", &moving.url()],
    ] {
        let busy = moving.embedded(args).run().ended_with(75);
        assert!(
            busy.err.contains("another process has the store"),
            "{busy:?}"
        );
        assert!(!busy.err.contains("secret"), "{busy:?}");
    }
    told_on_the_page("another process has the store");
    drop(has_it.stdin.take());
    assert!(has_it.wait().unwrap().success());
    let copied = moving
        .embedded(&["copy", "--to", &moving.url()])
        .run()
        .ended_with(0);
    assert_eq!(copied.json()["sent"], 1);
}

/// Connects a call through a program that takes commands, and waits for the answer.
fn connect(program: &mut std::process::Child, call: &str) {
    use std::io::{BufRead, BufReader, Write};
    let command = json!({"call": call, "type": "connect_call", "agent": "agent:ana"});
    let mut input = program.stdin.as_ref().expect("piped");
    writeln!(input, "{command}").unwrap();
    let mut answer = String::new();
    let out = program.stdout.as_mut().expect("piped");
    BufReader::with_capacity(1, out)
        .read_line(&mut answer)
        .unwrap();
    assert!(answer.contains("\"accepted\":true"), "{answer}");
}

/// Killed while the cluster fills, again and again; then the cluster is away for a while.
#[test]
fn a_pass_that_is_interrupted_goes_on_from_what_arrived() {
    let moving = Move::new();
    moving.written("day.ndjson", &day(300));
    let _ = moving.embedded(&["run", "day.ndjson"]).run().ended_with(0);
    let total = moving
        .embedded(&["store", "info"])
        .run()
        .ended_with(0)
        .json()["events"]
        .clone();
    let arrived = || {
        moving
            .cluster
            .log()
            .events()
            .iter()
            .filter(|event| event.stream.starts_with("call-"))
            .count()
    };
    for pass in 1..=3 {
        let mut copying = moving.clustered(&["copy", "--from", "sled:calls"]).start();
        let before = arrived();
        while arrived() < before + 200 && copying.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        copying.kill().unwrap();
        copying.wait().unwrap();
        assert!(arrived() >= 200 * pass, "{pass}");
    }
    for node in 0..3 {
        moving.cluster.kill(node);
    }
    let away = moving
        .clustered(&["copy", "--from", "sled:calls"])
        .run()
        .ended_with(75);
    assert!(
        away.err.contains("no node of the cluster can be reached"),
        "{away:?}"
    );
    told_on_the_page("no node of the cluster can be reached");
    for node in 0..3 {
        moving.cluster.revive(node);
    }
    let there = arrived() as u64;
    let copied = moving
        .clustered(&["copy", "--from", "sled:calls"])
        .run()
        .ended_with(0)
        .json();
    assert_eq!(copied["events"], total);
    assert_eq!(
        copied["sent"].as_u64().unwrap() + there,
        total.as_u64().unwrap()
    );
    assert_eq!(
        digest(moving.clustered(&DIGEST)),
        digest(moving.embedded(&DIGEST))
    );
}

/// Nodes die one after the other while events arrive, and the pass does not even notice.
#[test]
fn a_pass_outlasts_the_death_of_the_leader() {
    let moving = Move::new();
    moving.written("day.ndjson", &day(300));
    let _ = moving.embedded(&["run", "day.ndjson"]).run().ended_with(0);
    let _ = moving
        .embedded(&["store", "backup", "moving"])
        .run()
        .ended_with(0);
    let mut restoring = moving.clustered(&["store", "restore", "moving"]).start();
    for node in [0, 1] {
        let before = moving.cluster.log().events().len();
        let arrived = || moving.cluster.log().events().len() - before;
        while arrived() < 100 && restoring.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        moving.cluster.kill(node);
        moving.cluster.revive(node);
    }
    let restored = Ran::from(restoring.wait_with_output().unwrap()).ended_with(0);
    assert_eq!(restored.json()["digest"], digest(moving.embedded(&DIGEST)));
}

#[test]
fn a_cluster_with_a_life_of_its_own_is_left_alone() {
    let moving = Move::new();
    let connect = ["call", "c1", "connect-call", "--agent", "agent:ana"];
    let _ = moving.embedded(&connect).run().ended_with(0);
    let _ = moving
        .embedded(&["store", "backup", "moving"])
        .run()
        .ended_with(0);
    // The same call, and not the same history.
    let _ = moving.clustered(&connect).run().ended_with(0);
    let before = moving.cluster.log().events().len();
    let restored = moving.clustered(&["store", "restore", "moving"]).run();
    let copied = moving.clustered(&["copy", "--from", "sled:calls"]).run();
    for refused in [restored, copied] {
        let refused = refused.ended_with(5);
        let what = "the destination holds something else for call c1";
        assert!(refused.err.contains(what), "{refused:?}");
    }
    told_on_the_page("the destination holds something else for call");
    // A call more.
    let other = Move::new();
    let _ = other
        .clustered(&[
            "copy",
            "--from",
            &format!("sled:{}", moving.path("calls").display()),
        ])
        .run()
        .ended_with(0);
    let c2 = ["call", "c2", "connect-call", "--agent", "agent:ana"];
    let _ = other.clustered(&c2).run().ended_with(0);
    let refused = other
        .clustered(&["store", "restore", text(&moving.path("moving"))])
        .run()
        .ended_with(5);
    assert!(
        refused
            .err
            .contains("the store holds more of call c2 than what is restored"),
        "{refused:?}"
    );
    told_on_the_page("the store holds more of call");
    assert_eq!(moving.cluster.log().events().len(), before);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Archived days are part of the store, wherever they lie.
#[test]
fn an_archived_part_moves_with_the_rest() {
    let moving = Move::new();
    moving.written("day.ndjson", &day(40));
    let _ = moving.embedded(&["run", "day.ndjson"]).run().ended_with(0);
    let archive = [
        "store",
        "archive",
        "--before",
        "2100-01-01",
        "--to",
        "archive",
        "--output",
        "json",
    ];
    let archived = moving.embedded(&archive).run().ended_with(0).json();
    assert!(archived["events"].as_u64() > Some(0), "{archived}");
    let _ = moving
        .embedded(&["call", "late", "connect-call", "--agent", "agent:ana"])
        .run()
        .ended_with(0);
    let whole = digest(moving.embedded(&DIGEST));
    fs::rename(moving.path("archive"), moving.path("away")).unwrap();
    let away = moving
        .clustered(&["copy", "--from", "sled:calls"])
        .run()
        .ended_with(75);
    assert!(
        away.err.contains("those events were archived to ") && away.err.contains("is not there"),
        "{away:?}"
    );
    told_on_the_page("those events were archived to");
    fs::rename(moving.path("away"), moving.path("archive")).unwrap();
    let copied = moving
        .clustered(&["copy", "--from", "sled:calls"])
        .run()
        .ended_with(0);
    assert_eq!(copied.json()["digest_to"], whole);
    assert_eq!(digest(moving.clustered(&DIGEST)), whole);
}
