//! `kaigi store check`, `repair` and `archive` as the program's users run them, on stores that are damaged for it, and
//! on those that have no files.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::{TempDir, tempdir};
use tests::program::{Ran, bare, on};

/// A made-up day of so many calls, all of them completed.
fn day(calls: u64, seed: u64) -> String {
    let (calls, seed) = (calls.to_string(), seed.to_string());
    let args = ["simulate", "--calls", &calls, "--seed", &seed];
    bare(args).run().ended_with(0).out
}

fn run(store: &Path, commands: impl Into<Vec<u8>>) {
    let _ = on(store, ["run", "-"]).input(commands).run().ended_with(0);
}

/// A store with a day of calls, in a folder of its own.
fn a_store(calls: u64) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let store = folder.path().join("calls");
    run(&store, day(calls, 1));
    (folder, store)
}

fn said(store: &Path, args: &[&str]) -> String {
    on(store, args).run().ended_with(0).out
}

fn ask(store: &Path, args: &[&str], code: i32) -> (Value, String) {
    let args = args.iter().chain(&["--output", "json"]);
    let ran = on(store, args).run().ended_with(code);
    (ran.json(), ran.err)
}

fn table(store: &Path, args: &[&str]) -> Ran {
    on(store, args.iter().chain(&["--output", "table"])).run()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

fn log(store: &Path) -> PathBuf {
    store.join("log/00000000000000000001.log")
}

/// What one command of a store is marked with, so that its bytes are found in the log.
const MARK: &str = "in-the-middle";

/// A store with a day of calls, then a call of which the second of three commands is marked, each a commit of its own.
fn a_marked_store() -> (TempDir, PathBuf) {
    let (folder, store) = a_store(10);
    for command in [
        json!({"call": "c1", "type": "connect_call", "agent": "agent:ana"}),
        json!({"call": "c1", "type": "start_consult", "by": "agent:ana", "target": "agent:ben", "correlation": MARK}),
        json!({"call": "c1", "type": "accept_consult", "by": "agent:ben"}),
    ] {
        run(&store, command.to_string());
    }
    (folder, store)
}

/// Damages the marked command, which has two events.
fn damage(store: &Path) {
    let mut bytes = fs::read(log(store)).unwrap();
    let mut places = bytes.windows(MARK.len());
    let at = places.position(|bytes| bytes == MARK.as_bytes());
    bytes[at.expect("it is marked")] ^= 1;
    fs::write(log(store), bytes).unwrap();
}

/// The event of the store at that position.
fn event(events: &str, position: &Value) -> Value {
    let lines = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut lines = lines.filter(|event| event["position"] == *position);
    lines.next().expect("there is one at that position")
}

// Checking.

#[test]
fn a_whole_store_is_found_whole() {
    let (_folder, store) = a_store(20);
    let info = ask(&store, &["store", "info"], 0).0;
    let (checked, err) = ask(&store, &["store", "check"], 0);
    assert_eq!(err, "");
    for field in ["id", "events", "calls"] {
        assert_eq!(checked[field], info[field], "{field}");
    }
    assert_eq!(checked["damaged"], false);
    assert_eq!(checked["certain_to"], info["last_position"]);
    assert_eq!(checked["index_rows"], 20);
    assert_eq!(checked["torn_bytes"], 0);
    assert_eq!(checked["history_digest"].as_str().unwrap().len(), 64);
    let shown = table(&store, &["store", "check"]).ended_with(0).out;
    let names: Vec<_> = shown.lines().map(|line| line[..15].trim_end()).collect();
    assert_eq!(
        names,
        [
            "store",
            "id",
            "damaged",
            "events",
            "calls",
            "history digest",
            "certain up to",
            "index rows"
        ]
    );
}

#[test]
fn bytes_of_a_commit_that_nobody_was_told_of_are_no_damage() {
    let (_folder, store) = a_store(5);
    let mut bytes = fs::read(log(&store)).unwrap();
    bytes.extend([7; 100]);
    fs::write(log(&store), bytes).unwrap();
    assert_eq!(ask(&store, &["store", "check"], 0).0["torn_bytes"], 100);
    let shown = table(&store, &["store", "check"]).ended_with(0).out;
    assert!(shown.contains("torn bytes     100 at the end"), "{shown}");
}

#[test]
fn what_is_damaged_first_is_named_with_what_to_do() {
    let (_folder, store) = a_marked_store();
    let events = said(&store, &["events"]);
    damage(&store);
    let (found, err) = ask(&store, &["store", "check"], 6);
    assert_eq!(
        (&found["damaged"], &found["index_only"]),
        (&json!(true), &json!(false))
    );
    let first = event(&events, &found["position"]);
    assert_eq!(
        (&found["call"], &found["revision"]),
        (&first["call"], &first["revision"])
    );
    assert_eq!(
        (&found["call"], &found["revision"]),
        (&json!("c1"), &json!(2))
    );
    assert!(found["what"].is_string(), "{found}");
    let shown = table(&store, &["store", "check"]).ended_with(6);
    for (name, field) in [
        ("call", "call"),
        ("revision", "revision"),
        ("position", "position"),
    ] {
        let value = found[field]
            .as_str()
            .map_or(found[field].to_string(), str::to_owned);
        let line = format!("{name:<15}{value}\n");
        assert!(shown.out.contains(&line), "{line}: {shown:#?}");
    }
    for err in [&err, &shown.err] {
        assert!(err.contains("keep a copy of the store"), "{err}");
        assert!(err.contains("`kaigi store repair`"), "{err}");
    }
    let read = on(&store, ["events"]).run().ended_with(0);
    assert!(read.err.contains("`kaigi store damaged`"), "{}", read.err);
    assert!(
        read.out.contains("\"type\":\"damaged_event\""),
        "{}",
        read.out
    );
}

#[test]
fn a_store_that_does_not_open_names_the_ways_to_mend_it() {
    let (_folder, store) = a_store(5);
    fs::write(store.join("kaigi-store"), "kaigi store, format x\n").unwrap();
    let refused = on(&store, ["events"]).run().ended_with(1);
    for way in ["store check", "store repair", "store restore"] {
        assert!(refused.err.contains(way), "{}", refused.err);
    }
    let (found, _) = ask(&store, &["store", "check"], 6);
    assert_eq!(found["position"], Value::Null);
    // Not even that file is needed.
    fs::remove_file(store.join("kaigi-store")).unwrap();
    let (found, _) = ask(&store, &["store", "check"], 6);
    assert_eq!(found["what"], "its file kaigi-store is gone");
    let (repaired, _) = ask(
        &store,
        &["store", "repair", text(&store.with_extension("new"))],
        0,
    );
    assert_eq!(repaired["lost"], false);
}

/// Not every byte of sled's files is one that is read. The advice holds: without it, opening makes it anew.
#[test]
fn damage_of_the_index_is_told_from_damage_of_events() {
    let (_folder, store) = a_store(20);
    let events = said(&store, &["events"]);
    let db = store.join("index/1/db");
    let whole = fs::read(&db).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut damaged = (1..20).filter(|twentieth| {
        let mut bytes = whole.clone();
        bytes[written * twentieth / 20] ^= 1;
        fs::write(&db, bytes).unwrap();
        on(&store, ["store", "check"]).run().code == Some(6)
    });
    damaged.next().expect("one is read");
    let (found, err) = ask(&store, &["store", "check"], 6);
    assert_eq!(
        (&found["damaged"], &found["index_only"]),
        (&json!(true), &json!(true))
    );
    assert!(err.contains("no event is damaged"), "{err}");
    assert!(
        err.contains("move the store's folder `index` away"),
        "{err}"
    );
    let shown = table(&store, &["store", "check"]).ended_with(6).out;
    assert!(
        shown.contains("the index only; no event is damaged"),
        "{shown}"
    );
    fs::rename(store.join("index"), store.with_extension("index")).unwrap();
    assert_eq!(said(&store, &["events"]), events);
    let checked = ask(&store, &["store", "check"], 0).0;
    assert_eq!(checked["index_rows"], 20);
}

/// Replaces the log, `head` and `acknowledged` by those of an earlier day, as a partial restore does.
fn restore_older_log(store: &Path, older: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(store.join("log")).unwrap();
    fs::create_dir(store.join("log")).unwrap();
    let restored = older
        .iter()
        .filter(|(path, _)| !path.starts_with(store.join("index")));
    for (path, bytes) in restored {
        fs::write(path, bytes).unwrap();
    }
}

/// Cuts the log, and removes what else says how far it reached.
fn cut_log(store: &Path) {
    let bytes = fs::read(log(store)).unwrap();
    fs::write(log(store), &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(store.join("head")).unwrap();
    fs::remove_file(store.join("acknowledged")).unwrap();
}

#[test]
fn events_that_only_the_index_has_are_damage_until_a_repair_brings_them_back() {
    for damage in ["older log", "cut log"] {
        let (folder, store) = a_store(20);
        let older = files(&store);
        run(&store, day(20, 2));
        let whole = ask(&store, &["store", "digest"], 0).0;
        match damage {
            "older log" => restore_older_log(&store, &older),
            _ => cut_log(&store),
        }
        let damaged = states(&store);
        for _ in 0..2 {
            let (found, err) = ask(&store, &["store", "check"], 6);
            assert_eq!(
                (&found["damaged"], &found["index_only"]),
                (&json!(true), &json!(false)),
                "{damage}: {found}"
            );
            assert!(
                err.contains("`kaigi store repair` brings back"),
                "{damage}: {err}"
            );
            assert!(states(&store) == damaged, "{damage}: a file changed");
        }
        for mark in [false, true] {
            if mark {
                fs::write(store.join("index/1/make-anew"), "").unwrap();
            }
            let refused = on(&store, ["events"]).run().ended_with(1);
            assert!(
                refused.err.contains("`kaigi store repair`"),
                "{damage}: {refused:?}"
            );
            let found = ask(&store, &["store", "check"], 6).0;
            assert_eq!(found["index_only"], false, "{damage}: {found}");
        }
        let new = folder.path().join("new");
        let repaired = ask(&store, &["store", "repair", text(&new)], 0).0;
        assert_eq!(repaired["lost"], false, "{damage}");
        assert_eq!(repaired["events"], whole["events"], "{damage}");
        let digest = ask(&new, &["store", "digest"], 0).0;
        assert_eq!(digest["digest"], whole["digest"], "{damage}");
    }
}

// Verbs that only read.

type States = BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>;

/// Everything below a folder and itself: when it was modified, and what a file holds.
fn states(folder: &Path) -> States {
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let mut states = States::from([(folder.to_owned(), (modified(folder), None))]);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            states.extend(self::states(&path));
        } else {
            let state = (modified(&path), Some(fs::read(&path).unwrap()));
            states.insert(path, state);
        }
    }
    states
}

/// Paths whose state is another than before.
fn changed(store: &Path, before: &States, after: &States) -> Vec<PathBuf> {
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = all
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path));
    let within = |path: &PathBuf| path.strip_prefix(store).unwrap().to_owned();
    changed.map(within).collect()
}

/// Damages the index where sled reads it.
fn damage_index(store: &Path) {
    let db = store.join("index/1/db");
    let mut bytes = fs::read(&db).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for byte in &mut bytes[written / 2..written] {
        *byte ^= 1;
    }
    fs::write(db, bytes).unwrap();
}

fn tear(store: &Path) {
    let mut bytes = fs::read(log(store)).unwrap();
    bytes.extend([7; 100]);
    fs::write(log(store), bytes).unwrap();
}

fn remove_files(store: &Path) {
    for file in ["lock", "acknowledged", "head"] {
        fs::remove_file(store.join(file)).unwrap();
    }
}

/// A name, and what brings a store to that state.
type State = (&'static str, fn(&Path));

/// Opening a store lets sled write to the index. Nothing else is written by what only reads.
#[test]
fn what_only_reads_changes_no_file_of_a_store() {
    let states_of_a_store: [State; 7] = [
        ("whole", |_| ()),
        ("a damaged event", damage),
        ("a damaged index", damage_index),
        ("a cut log", cut_log),
        ("a torn commit", tear),
        ("no notes", remove_files),
        ("no index", |store| {
            fs::remove_dir_all(store.join("index")).unwrap();
        }),
    ];
    for (name, damage) in states_of_a_store {
        let (folder, store) = a_marked_store();
        let backup = folder.path().join("backup");
        said(&store, &["store", "backup", text(&backup)]);
        damage(&store);
        let before = states(&store);
        let backed = states(&backup);
        for args in [&["store", "check"][..], &["store", "verify", text(&backup)]] {
            let ran = on(&store, args).run();
            let changed = changed(&store, &before, &states(&store));
            assert_eq!(changed, [""; 0].map(PathBuf::from), "{name}: {ran:?}");
        }
        assert!(states(&backup) == backed, "{name}");
        // Opening these cuts off the torn commit, or makes the notes or the index again.
        if ["a torn commit", "no notes", "a damaged index", "no index"].contains(&name) {
            continue;
        }
        for args in [
            &["store", "info"][..],
            &["store", "digest"],
            &["replay", "c1"],
        ] {
            let ran = on(&store, args).run();
            let mut changed = changed(&store, &before, &states(&store));
            changed.retain(|path| !path.starts_with("index"));
            assert_eq!(changed, [""; 0].map(PathBuf::from), "{name}: {ran:?}");
        }
    }
}

#[test]
fn only_an_embedded_store_that_is_there_can_be_mended() {
    let folder = tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let new = folder.path().join("new");
    let archive = [
        "store",
        "archive",
        "--before",
        "2026-11-22",
        "--to",
        text(&new),
    ];
    for verb in [
        &["store", "check"][..],
        &["store", "repair", text(&new)],
        &archive,
    ] {
        let missing = on(&nowhere, verb).run().ended_with(4);
        assert!(missing.err.contains("there is no store"), "{missing:?}");
        let memory = bare(["--store", "memory:"].iter().chain(verb))
            .run()
            .ended_with(2);
        assert!(memory.err.contains("memory: has no files"), "{memory:?}");
        let csv = on(folder.path(), ["--output", "csv"].iter().chain(verb)).run();
        assert_ne!(csv.code, Some(0));
        assert!(!nowhere.exists() && !new.exists());
    }
    // A folder of another program's logs is no store, and nothing of it is lost.
    fs::create_dir(folder.path().join("log")).unwrap();
    fs::write(folder.path().join("log/system.log"), "started\n").unwrap();
    let refused = on(
        folder.path(),
        ["store", "repair", text(&new), "--stranded", "x"],
    )
    .run();
    assert!(
        refused
            .ended_with(4)
            .err
            .contains("it is no store of this kind")
    );
    let refused = on(folder.path(), ["store", "check"]).run();
    assert!(refused.ended_with(1).err.contains("is no store"));
    let wrong = ["store", "archive", "--before", "22.11.2026", "--to", "x"];
    let refused = bare(wrong).run().ended_with(2);
    assert!(refused.err.contains("must be a day like"), "{refused:?}");
}

/// A process that follows the events has the store until it is told to stop.
#[test]
fn a_store_that_a_process_has_is_left_to_it() {
    let (folder, store) = a_store(5);
    let mut has_it = on(&store, ["events", "--follow"]).start();
    let mut out = std::io::BufReader::new(has_it.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let new = folder.path().join("new");
    let archive = [
        "store",
        "archive",
        "--before",
        "2100-01-01",
        "--to",
        text(&new),
    ];
    // The process that has it may write to its index meanwhile.
    let untouched = |store: &Path| {
        let mut files = files(store);
        files.retain(|path, _| !path.starts_with(store.join("index")));
        files
    };
    let before = untouched(&store);
    for verb in [
        &["store", "check"][..],
        &["store", "repair", text(&new)],
        &archive,
    ] {
        let busy = on(&store, verb).run().ended_with(75);
        assert!(
            busy.err.contains("another process has the store"),
            "{busy:?}"
        );
        assert!(!new.exists(), "{verb:?}");
    }
    assert!(untouched(&store) == before);
    has_it.kill().unwrap();
    has_it.wait().unwrap();
}

// Repairing.

#[test]
fn what_the_log_lost_comes_back_from_the_index_and_the_damaged_store_stays_as_it_is() {
    let (folder, store) = a_marked_store();
    let digest = ask(&store, &["store", "digest"], 0).0;
    damage(&store);
    let before = files(&store);
    let new = folder.path().join("new");
    // The copy of the index is made where there must be room anyway.
    let args = ["store", "repair", text(&new), "--output", "json"];
    let ran = on(&store, args)
        .env("TMPDIR", "/dev/null")
        .run()
        .ended_with(0);
    let repaired = ran.json();
    assert!(files(&store) == before, "it is only read");
    assert_eq!(repaired["lost"], false);
    assert_eq!(
        (&repaired["losses"], &repaired["unknown"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(repaired["stranded"], json!({"events": 0, "file": null}));
    assert_eq!(repaired["recovered"], 2);
    assert_eq!(repaired["events"], digest["events"]);
    assert_eq!(
        ask(&new, &["store", "digest"], 0).0["digest"],
        digest["digest"]
    );
    let checked = ask(&new, &["store", "check"], 0).0;
    assert_eq!(checked["certain_to"], digest["events"]);
    let other = folder.path().join("other");
    let shown = table(&store, &["store", "repair", text(&other)])
        .ended_with(0)
        .out;
    assert!(shown.contains("lost           nothing\n"), "{shown}");
    let next = format!("kaigi --store sled:{} store check\n", other.display());
    assert!(shown.contains(&next), "{shown}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "nothing was stranded"
    );
}

#[test]
fn without_the_index_what_is_lost_is_listed_call_by_call() {
    let (folder, store) = a_marked_store();
    let dump = said(&store, &["store", "dump"]);
    let last = ask(&store, &["store", "info"], 0).0["last_position"]
        .as_u64()
        .unwrap();
    fs::remove_dir_all(store.join("index")).unwrap();
    damage(&store);
    let before = files(&store);
    let new = folder.path().join("new");
    let (repaired, err) = ask(&store, &["store", "repair", text(&new)], 6);
    assert!(files(&store) == before, "it is only read");
    assert!(err.contains("some events are lost"), "{err}");
    let loss = json!({"call": "c1", "kept_to": 1, "known_to": 4, "stranded": 1});
    let unknown = json!({"first": last - 2, "last": last - 1});
    assert_eq!(repaired["lost"], true);
    assert_eq!(repaired["losses"], json!([loss]));
    assert_eq!(repaired["unknown"], json!([unknown]));
    assert_eq!(repaired["events"], last - 3);
    // What cannot follow is kept as a dump has it.
    let file = folder.path().join("new-stranded.ndjson");
    assert_eq!(repaired["stranded"], json!({"events": 1, "file": file}));
    let stranded = fs::read_to_string(file).unwrap();
    let of_dump = dump.lines().rev().nth(1).unwrap();
    assert_eq!(stranded, format!("{of_dump}\n"));
    assert!(stranded.contains("consult_started"));
    ask(&new, &["store", "check"], 0);

    let other = folder.path().join("other");
    let file = folder.path().join("apart");
    let args = ["store", "repair", text(&other), "--stranded", text(&file)];
    let shown = table(&store, &args).ended_with(6).out;
    for expected in [
        "lost           events of 1 call\n",
        &format!("positions lost {} to {}\n", last - 2, last - 1),
        "CALL  KEPT UP TO  KNOWN UP TO  STRANDED\nc1             1            4         1\n",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), stranded);
}

#[test]
fn nothing_that_is_there_is_overwritten_by_a_repair() {
    let (folder, store) = a_store(5);
    let before = files(&store);
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("holiday.jpg"), "x").unwrap();
    let file = folder.path().join("new-stranded.ndjson");
    fs::write(&file, "x").unwrap();
    let new = folder.path().join("new");
    let elsewhere = folder.path().join("elsewhere");
    let within = store.join("new");
    let stranded = store.join("stranded");
    for (args, why) in [
        (&[text(&taken)][..], "is not empty"),
        (&[text(&store)], "in the damaged store"),
        (
            &[text(&within), "--stranded", text(&elsewhere)],
            "in the damaged store",
        ),
        (&[text(&new)], "is there already"),
        (
            &[text(&new), "--stranded", text(&stranded)],
            "in the damaged store",
        ),
    ] {
        let args = ["store", "repair"].iter().chain(args);
        let refused = on(&store, args).run().ended_with(2);
        assert!(refused.err.contains(why), "{refused:?}");
    }
    assert!(files(&store) == before && !new.exists() && !within.exists());
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}

// Archiving.

/// Everything that is asked of a store, whose answers are not to change.
fn answers(store: &Path, call: &str) -> Vec<String> {
    let handle_times = |by| {
        said(
            store,
            &["show", "handle-times", "--by", by, "--output", "ndjson"],
        )
    };
    let digest = ask(store, &["store", "digest"], 0).0;
    let checked = ask(store, &["store", "check"], 0).0;
    vec![
        said(store, &["events"]),
        said(store, &["events", "--call", call]),
        handle_times("call"),
        handle_times("agent"),
        said(store, &["replay", call]),
        said(store, &["show", "call", call]),
        said(store, &["calls", "--output", "csv"]),
        said(store, &["store", "dump"]),
        digest["digest"].to_string(),
        checked["history_digest"].to_string(),
        checked["index_rows"].to_string(),
    ]
}

fn archive(store: &Path, before: &str, to: &Path) -> Value {
    let args = ["store", "archive", "--before", before, "--to", text(to)];
    ask(store, &args, 0).0
}

/// Later than these tests are run.
const LATER: &str = "2100-01-01";

#[test]
fn an_archived_day_is_read_through_its_store_as_before() {
    let (folder, store) = a_store(40);
    let to = folder.path().join("archive");
    let call = "sim-1-000007";
    let before = answers(&store, call);
    let log_before = fs::metadata(log(&store)).unwrap().len();
    let none = archive(&store, "2001-01-01", &to);
    assert_eq!(
        (&none["events"], &none["because"]),
        (&json!(0), &json!("newer"))
    );
    assert!(none["newer"].as_str().unwrap().ends_with('Z'), "{none}");
    let archived = archive(&store, LATER, &to);
    assert_eq!(archived["because"], "end");
    assert_eq!(archived["events"], before[0].lines().count());
    assert_eq!(archived["up_to_position"], archived["events"]);
    assert_eq!(archived["calls"], 40);
    assert!(archived["bytes"].as_u64() < Some(log_before) && archived["bytes"].as_u64() > Some(0));
    assert_eq!(answers(&store, call), before);
    // Read models that were made from the archive are the same, too.
    fs::remove_dir_all(store.join("read-models")).unwrap();
    assert_eq!(answers(&store, call), before);
    let info = ask(&store, &["store", "info"], 0).0;
    assert_eq!(info["last_position"], archived["up_to_position"]);

    let copied = folder.path().join("copied");
    let args = [
        "copy",
        "--from",
        &url(&store),
        "--to",
        &url(&copied),
        "--output",
        "json",
    ];
    let copied = bare(args).run().ended_with(0).json();
    assert_eq!(copied["digest_from"].to_string(), before[8]);
    assert_eq!(copied["digest_to"], copied["digest_from"]);
}

fn url(store: &Path) -> String {
    format!("sled:{}", store.display())
}

#[test]
fn an_archive_grows_and_says_what_holds_it_up() {
    let (folder, store) = a_store(5);
    let to = folder.path().join("archive");
    let connect = |call: &str| {
        json!({"call": call, "type": "connect_call", "agent": "agent:ana"}).to_string()
    };
    run(&store, connect("c9"));
    run(&store, day(5, 2));
    let first = archive(&store, LATER, &to);
    assert_eq!(
        (&first["because"], &first["call"]),
        (&json!("goes_on"), &json!("c9"))
    );
    assert_eq!(first["calls"], 5);
    let args = ["store", "archive", "--before", LATER, "--to", text(&to)];
    let shown = table(&store, &args).ended_with(0).out;
    assert!(shown.contains("events moved   0\n"), "{shown}");
    assert!(
        shown.contains("call c9 is not completed: kaigi show call c9;"),
        "{shown}"
    );
    assert!(shown.contains("kaigi show active-calls --idle"), "{shown}");
    assert!(shown.contains("which must stay there"), "{shown}");

    for command in [
        json!({"call": "c9", "type": "end_call", "by": "agent:ana"}),
        json!({"call": "c9", "type": "apply_wrap_up", "by": "agent:ana", "reason": "sale"}),
    ] {
        run(&store, command.to_string());
    }
    let before = answers(&store, "c9");
    let second = archive(&store, LATER, &to);
    assert_eq!(
        (&second["because"], &second["calls"]),
        (&json!("end"), &json!(6))
    );
    assert_eq!(second["up_to_position"], before[0].lines().count());
    assert_eq!(answers(&store, "c9"), before);
}

#[test]
fn commands_to_an_archived_call_are_answered_as_before() {
    let (folder, store) = a_store(10);
    let to = folder.path().join("archive");
    let events = said(&store, &["events"]);
    archive(&store, LATER, &to);
    let args = [
        "call",
        "sim-1-000003",
        "hold",
        "--by",
        "agent:ana",
        "--party",
        "customer",
    ];
    let refused = on(&store, args).run().ended_with(3);
    assert!(refused.out.contains("\"accepted\":false"), "{refused:?}");
    // The same day once more writes nothing.
    run(&store, day(10, 1));
    assert_eq!(said(&store, &["events"]), events);
    let connect = ["call", "c1", "connect-call", "--agent", "agent:ana"];
    let _ = on(&store, connect).run().ended_with(0);
    assert_eq!(
        said(&store, &["events"]).lines().count(),
        events.lines().count() + 1
    );
    assert_eq!(ask(&store, &["store", "check"], 0).0["calls"], 11);
}

#[test]
fn an_archive_by_itself_is_read_and_not_written_to() {
    let (folder, store) = a_store(10);
    let to = folder.path().join("archive");
    let before = answers(&store, "sim-1-000003");
    archive(&store, LATER, &to);
    assert_eq!(answers(&to, "sim-1-000003"), before);
    let other = folder.path().join("other");
    run(&other, day(1, 2));
    let (of_archive, of_other, more) = (url(&to), url(&other), folder.path().join("more"));
    let backup = folder.path().join("backup");
    let _ = on(&other, ["store", "backup", text(&backup)])
        .run()
        .ended_with(0);
    for args in [
        &["run", "-"][..],
        &["call", "c1", "connect-call", "--agent", "agent:ana"],
        &["store", "archive", "--before", LATER, "--to", text(&more)],
        &["store", "restore", text(&backup)],
        &["copy", "--from", &of_other, "--to", &of_archive],
    ] {
        let refused = on(&to, args).input(day(1, 2)).run().ended_with(2);
        assert!(
            refused
                .err
                .contains("is an archive, which nobody writes to"),
            "{refused:?}"
        );
        assert!(
            refused.err.contains("the store it belongs to"),
            "{refused:?}"
        );
        assert_eq!(refused.out, "");
    }
    assert_eq!(said(&to, &["events"]), before[0]);
}

#[test]
fn without_its_archive_a_store_says_what_is_missing() {
    let (folder, store) = a_store(5);
    let to = folder.path().join("archive");
    archive(&store, LATER, &to);
    fs::rename(&to, folder.path().join("elsewhere")).unwrap();
    let new = folder.path().join("new");
    for args in [
        &["store", "repair", text(&new)][..],
        &["events"],
        &["replay", "sim-1-000003"],
        &["store", "check"],
    ] {
        let away = on(&store, args).run().ended_with(75);
        assert!(away.err.contains("bring it back and try again"), "{away:?}");
        assert!(away.err.contains(text(&to)), "{away:?}");
    }
    assert!(!new.exists());
    fs::rename(folder.path().join("elsewhere"), &to).unwrap();
    ask(&store, &["store", "check"], 0);
}

#[test]
fn an_archive_does_not_take_the_place_of_anything() {
    let (folder, store) = a_store(5);
    let other = folder.path().join("other");
    run(&other, day(5, 2));
    let (before, others) = (said(&store, &["events"]), said(&other, &["events"]));
    let within = store.join("archive");
    for (to, why) in [
        (&other, "holds another store"),
        (&store, "in the store itself"),
        (&within, "in the store itself"),
    ] {
        let args = ["store", "archive", "--before", LATER, "--to", text(to)];
        let refused = on(&store, args).run().ended_with(2);
        assert!(refused.err.contains(why), "{refused:?}");
    }
    assert!(!within.exists());
    assert_eq!(said(&store, &["events"]), before);
    assert_eq!(said(&other, &["events"]), others);
}

// Clusters.

/// What is no password of anybody's.
const PASSWORD: &str = "geheim";

#[test]
fn a_cluster_that_cannot_be_reached_may_be_later_and_one_that_is_misnamed_never() {
    for (url, code, why) in [
        (
            "esdb://admin:geheim@127.0.0.1:1?tls=false",
            75,
            "127.0.0.1:1",
        ),
        ("kdb+discover://admin:geheim@127.0.0.1:1", 75, "127.0.0.1:1"),
        ("esdb://admin:geheim@", 2, "names no host"),
        ("esdb://admin:geheim@127.0.0.1:1?colour=blue", 2, "colour"),
        ("esdb://admin:%3Fge?heim@127.0.0.1:1", 2, "%3F"),
        ("esbd://admin:geheim@127.0.0.1:1", 2, "known are sled:PATH"),
        ("admin:geheim@127.0.0.1:1", 2, "known are sled:PATH"),
    ] {
        for args in [
            &["store", "info"][..],
            &["run", "--patience", "0", "-"],
            &["show", "call", "c1"],
        ] {
            let by_option = bare(["--store", url].iter().chain(args)).run();
            let by_variable = bare(args).env("KAIGI_STORE", url).run();
            for ran in [by_option, by_variable] {
                let ran = ran.ended_with(code);
                assert!(ran.err.contains(why) && ran.err.ends_with('\n'), "{ran:?}");
                assert!(!ran.err.contains("heim") && ran.out.is_empty(), "{ran:?}");
            }
        }
    }
}

#[test]
fn what_is_done_with_files_says_what_a_cluster_has_instead() {
    let folder = tempdir().unwrap();
    let new = folder.path().join("new");
    let url = format!("esdb://admin:{PASSWORD}@127.0.0.1:1");
    let archive = ["store", "archive", "--before", LATER, "--to", text(&new)];
    for args in [
        &["store", "check"][..],
        &["store", "repair", text(&new)],
        &archive,
    ] {
        let refused = bare(["--store", &url].iter().chain(args))
            .run()
            .ended_with(2);
        for told in ["admin:***@", "`kaigi store digest`", "--store sled:PATH"] {
            assert!(refused.err.contains(told), "{refused:?}");
        }
        assert!(!refused.err.contains(PASSWORD), "{refused:?}");
    }
    assert!(!new.exists());
    let same = bare(["copy", "--from", &url, "--to", &url])
        .run()
        .ended_with(2);
    assert!(
        same.err.contains("both ends") && !same.err.contains(PASSWORD),
        "{same:?}"
    );
}

// Damaged events.

#[test]
fn nothing_is_listed_of_a_whole_store() {
    let (_folder, store) = a_store(5);
    let (listed, err) = ask(&store, &["store", "damaged"], 0);
    assert_eq!(
        (&listed["damaged"], &listed["calls"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(err, "");
    let shown = table(&store, &["store", "damaged"]).ended_with(0).out;
    assert_eq!(shown, "nothing is damaged\n");
}

#[test]
fn each_damaged_event_is_listed_with_its_call_and_where_it_is() {
    let (_folder, store) = a_marked_store();
    let events = said(&store, &["events"]);
    damage(&store);
    let (listed, err) = ask(&store, &["store", "damaged"], 6);
    let rows = listed["damaged"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let event = event(&events, &row["position"]);
        assert_eq!(
            (&row["call"], &event["correlation"]),
            (&json!("c1"), &json!(MARK))
        );
        assert_eq!(row["number"], row["position"]);
        assert_eq!(row["stream"], "00000000000000000001.log");
        assert!(row["reason"].as_str().is_some_and(|why| !why.is_empty()));
    }
    assert_eq!(
        (&listed["calls"], &listed["without_call"]),
        (&json!(1), &json!(0))
    );
    assert!(err.contains("`kaigi store check`"), "{err}");
    let lines = on(&store, ["store", "damaged", "--output", "ndjson"])
        .run()
        .ended_with(6);
    assert_eq!(lines.lines(), *rows);
    assert!(lines.err.contains("1 damaged call"), "{lines:?}");
    let csv = on(&store, ["store", "damaged", "--output", "csv"])
        .run()
        .ended_with(6)
        .out;
    assert!(
        csv.starts_with("call,stream,number,position,reason\nc1,0000"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 3);
    let shown = table(&store, &["store", "damaged"]).ended_with(6).out;
    assert!(
        shown.starts_with("CALL") && shown.ends_with("\n1 damaged call\n"),
        "{shown}"
    );
}

#[test]
fn a_copy_leaves_out_the_damaged_call_of_an_embedded_store_and_proves_the_others() {
    let (folder, store) = a_marked_store();
    let whole = ask(&store, &["store", "digest"], 0).0;
    damage(&store);
    let err = on(&store, ["store", "digest"]).run().ended_with(6).err;
    assert!(
        err.contains("the store is damaged") && err.contains("`kaigi store damaged`"),
        "{err}"
    );
    let to = |name: &str| folder.path().join(name);
    let url = |path: &Path| format!("sled:{}", text(path));
    let refused = on(&store, ["copy", "--to", &url(&to("stopped"))])
        .run()
        .ended_with(1);
    assert!(refused.err.contains("--leave-out-damaged"), "{refused:?}");
    let copying = ["copy", "--leave-out-damaged", "--to", &url(&to("whole"))];
    let (copied, err) = ask(&store, &copying, 0);
    assert_eq!(err, "kaigi: left out 1 damaged call: c1\n");
    assert_eq!(copied["left_out"], 1);
    assert_eq!(copied["digest_from"], copied["digest_to"]);
    let there = ask(&to("whole"), &["store", "digest"], 0).0;
    assert_eq!(there["digest"], copied["digest_to"]);
    assert_eq!(there["calls"], json!(whole["calls"].as_u64().unwrap() - 1));
    let _ = on(&to("whole"), ["show", "call", "c1"]).run().ended_with(4);
    // A store without damage is copied whole.
    let copying = ["copy", "--leave-out-damaged", "--to", &url(&to("again"))];
    let (copied, err) = ask(&to("whole"), &copying, 0);
    assert_eq!((&copied["left_out"], err.as_str()), (&json!(0), ""));
    assert_eq!(copied["digest_to"], there["digest"]);
}
