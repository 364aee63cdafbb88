//! Copies, dumps and backups as the program's users make them: also interrupted, also from damaged files.

use domain::envelope::Hash;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use tempfile::tempdir;
use tests::program::{Ran, bare, kaigi, on};

/// A made-up day of so many calls.
fn day(calls: u64, seed: u64) -> String {
    let (calls, seed) = (calls.to_string(), seed.to_string());
    let args = ["simulate", "--calls", &calls, "--seed", &seed];
    bare(args).run().ended_with(0).out
}

fn run(store: &Path, commands: String) {
    let _ = on(store, ["run", "-"]).input(commands).run().ended_with(0);
}

fn ask(store: &Path, args: &[&str]) -> Value {
    let args = args.iter().chain(&["--output", "json"]);
    on(store, args).run().ended_with(0).json()
}

fn digest(store: &Path) -> Value {
    ask(store, &["store", "digest"])["digest"].clone()
}

fn url(store: &Path) -> String {
    format!("sled:{}", store.display())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn copying(from: &Path, to: &Path) -> tests::program::Run {
    bare([
        "copy",
        "--from",
        &url(from),
        "--to",
        &url(to),
        "--output",
        "json",
    ])
}

#[test]
fn a_dump_restored_has_the_same_digest_from_a_file_and_from_standard_input() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(&path("store"), day(40, 1));
    let dump = on(&path("store"), ["store", "dump"])
        .run()
        .ended_with(0)
        .out;
    fs::write(path("dump.ndjson"), &dump).unwrap();
    let file = path("dump.ndjson");
    let from_file = ask(&path("one"), &["store", "restore", text(&file)]);
    let from_input = on(
        &path("other"),
        ["store", "restore", "-", "--output", "json"],
    )
    .input(dump)
    .run()
    .ended_with(0)
    .json();
    let whole = ask(&path("store"), &["store", "digest"]);
    for restored in [&from_file, &from_input] {
        for field in ["digest", "calls", "events"] {
            assert_eq!(restored[field], whole[field]);
        }
        assert_eq!(restored["sent"], whole["events"]);
    }
    assert_eq!(digest(&path("one")), whole["digest"]);
    let events = |store| on(&path(store), ["events"]).run().ended_with(0).out;
    assert_eq!(events("one"), events("store"));
    let verified = bare(["store", "verify", text(&file), "--output", "json"]);
    assert_eq!(
        verified.run().ended_with(0).json()["digest"],
        whole["digest"]
    );
}

#[test]
fn a_backup_is_continued_and_restored() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let backup = path("backup");
    run(&path("store"), day(20, 1));
    let first = ask(&path("store"), &["store", "backup", text(&backup)]);
    assert_eq!(
        (&first["files"], &first["added"]["after"]),
        (&json!(1), &json!(0))
    );
    run(&path("store"), day(15, 2));
    let second = ask(&path("store"), &["store", "backup", text(&backup)]);
    assert_eq!(second["added"]["after"], first["last_position"]);
    assert_eq!(second["id"], ask(&path("store"), &["store", "info"])["id"]);
    let third = ask(&path("store"), &["store", "backup", text(&backup)]);
    assert_eq!(
        (&third["added"], &third["files"]),
        (&Value::Null, &json!(2))
    );
    let restored = ask(&path("restored"), &["store", "restore", text(&backup)]);
    assert_eq!(restored["digest"], digest(&path("store")));
    let again = ask(&path("restored"), &["store", "restore", text(&backup)]);
    assert_eq!(again["sent"], 0);
    let in_use = on(&path("store"), ["store", "restore", text(&backup)]).run();
    assert!(
        in_use.ended_with(0).out.contains("\"sent\":0"),
        "it holds all of it"
    );
    run(&path("store"), day(1, 3));
    let ahead = on(&path("store"), ["store", "restore", text(&backup)]).run();
    assert!(ahead.ended_with(5).err.contains("restore into a new store"));
}

#[test]
fn people_see_one_fact_a_line() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("store");
    run(&store, day(2, 1));
    let shown = on(&store, ["store", "digest", "--output", "table"])
        .run()
        .ended_with(0)
        .out;
    let names: Vec<_> = shown.lines().map(|line| line[..15].trim_end()).collect();
    assert_eq!(
        names,
        [
            "store",
            "digest",
            "calls",
            "events",
            "last position",
            "rolling hash"
        ]
    );
    let csv = on(&store, ["store", "digest", "--output", "csv"])
        .run()
        .ended_with(2);
    assert!(csv.err.contains("a digest has no CSV"), "{}", csv.err);
}

/// How many bytes lie in the folder.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.map(|entry| entry.path()).unwrap_or_default();
        if path.is_dir() {
            return bytes_in(&path);
        }
        fs::metadata(path).map_or(0, |file| file.len())
    };
    entries.map(bytes).sum()
}

/// Kills the run once the folder has grown beyond so many bytes, if it has not ended before.
fn killed_beyond(bytes: u64, folder: &Path, run: tests::program::Run) {
    let mut child = run.start();
    while bytes_in(folder) < bytes && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills the same work again and again, each time a little further on, until it was caught in the middle: how soon a
/// store's files grow is the store's affair.
fn killed_again_and_again(to: &Path, work: impl Fn() -> tests::program::Run, source: &Path) {
    let total = ask(source, &["store", "info"])["events"].as_u64().unwrap();
    let caught = (0..5).any(|_| {
        // There is none the first time.
        let _ = fs::remove_dir_all(to);
        let reached = killed_further_and_further(to, &work, bytes_in(source));
        assert!(reached.is_sorted(), "{reached:?}");
        reached.iter().any(|events| (1..total).contains(events))
    });
    assert!(caught, "never in the middle of {total} events");
}

/// How many events are there after each kill.
fn killed_further_and_further(
    to: &Path,
    work: impl Fn() -> tests::program::Run,
    whole: u64,
) -> Vec<u64> {
    let mut reached = Vec::new();
    for eighth in 0..8 {
        killed_beyond(whole * eighth / 8 + 1, to, work());
        let info = on(to, ["store", "info", "--output", "json"]).run();
        reached.push(match info.code {
            Some(0) => info.json()["events"].as_u64().unwrap(),
            // Killed before there was a store.
            _ => 0,
        });
    }
    reached
}

#[test]
fn a_copy_killed_again_and_again_goes_on_where_it_stopped() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(&path("from"), day(1200, 1));
    let work = || copying(&path("from"), &path("to"));
    killed_again_and_again(&path("to"), work, &path("from"));
    let there = ask(&path("to"), &["store", "info"])["events"]
        .as_u64()
        .unwrap();
    let copied = work().run().ended_with(0).json();
    assert_eq!(copied["digest_from"], copied["digest_to"]);
    let sent = copied["sent"].as_u64().unwrap();
    assert_eq!(sent + there, copied["events"].as_u64().unwrap());
    let events = |store| on(&path(store), ["events"]).run().ended_with(0).out;
    assert!(
        events("to") == events("from"),
        "every event, in the same order"
    );
    assert_eq!(digest(&path("to")), digest(&path("from")));
}

#[test]
fn a_restore_and_a_backup_that_are_killed_go_on_too() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let backup = path("backup");
    run(&path("store"), day(800, 1));
    for part in [1, 200_000, 2_000_000] {
        let work = on(&path("store"), ["store", "backup", text(&backup)]);
        killed_beyond(part, &backup, work);
    }
    let _ = ask(&path("store"), &["store", "backup", text(&backup)]);
    let left = fs::read_dir(&backup).unwrap().count();
    assert_eq!(left, 2, "one piece and the manifest");
    let work = || on(&path("to"), ["store", "restore", text(&backup)]);
    killed_again_and_again(&path("to"), work, &path("store"));
    let _ = work().run().ended_with(0);
    assert_eq!(digest(&path("to")), digest(&path("store")));
}

#[test]
fn a_destination_with_another_history_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let connect = |agent| json!({"call":"c1","type":"connect_call","agent":agent}).to_string();
    run(&path("from"), connect("agent:ana"));
    run(&path("to"), connect("agent:ben"));
    let refused = copying(&path("from"), &path("to")).run().ended_with(5);
    assert!(
        refused
            .err
            .contains("something else for call c1 at revision 1"),
        "{refused:?}"
    );
    let kept = on(&path("to"), ["events"]).run().ended_with(0).out;
    assert!(kept.contains("agent:ben") && kept.lines().count() == 1);
}

#[test]
fn a_store_is_not_copied_into_itself_nor_into_a_copy_of_its_folder() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("store");
    run(&store, day(1, 1));
    let around: PathBuf = store.join("../store");
    for to in [&store, &around] {
        let refused = copying(&store, to).run().ended_with(2);
        assert!(
            refused.err.contains("is both ends of the copy"),
            "{refused:?}"
        );
    }
    let twin = folder.path().join("twin");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&store, &twin])
        .status();
    assert!(copied.unwrap().success());
    let refused = copying(&store, &twin).run().ended_with(2);
    assert!(refused.err.contains("both are the store"), "{refused:?}");
    let missing = copying(&folder.path().join("nowhere"), &twin)
        .run()
        .ended_with(4);
    assert!(missing.err.contains("there is no store"), "{missing:?}");
}

#[test]
fn a_damaged_backup_is_refused_with_piece_and_line_before_a_store_is_made() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let backup = path("backup");
    run(&path("store"), day(10, 1));
    let added = ask(&path("store"), &["store", "backup", text(&backup)])["added"].clone();
    let name = added["file"].as_str().unwrap();
    let whole = fs::read_to_string(backup.join(name)).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let edited = whole.replacen("\"queue\":\"", "\"queue\":\"x", 1);
    let at = 1 + lines
        .iter()
        .position(|line| line.contains("\"queue\":\""))
        .unwrap();
    let cut = lines[..5].join("\n");
    let hash = whole.replacen("\"stored\":{\"index\":0", "\"stored\":{\"index\":1", 1);
    for (damaged, expected) in [
        (
            edited,
            format!("{name}, line {at}: the field `data` says something other"),
        ),
        (
            hash,
            format!("{name}, line 2: the field `id` says something other"),
        ),
        (
            cut,
            format!("{name}, line 5: the dump ends here without its closing line"),
        ),
        (
            whole.replacen("\"kaigi_dump\":1", "\"kaigi_dump\":9", 1),
            "is of format 9".to_owned(),
        ),
        (
            whole.replacen("\"salt\":\"", "\"salt\":\"0", 1),
            "64 lower-case hexadecimal".to_owned(),
        ),
    ] {
        fs::write(backup.join(name), damaged).unwrap();
        for verb in ["restore", "verify"] {
            let refused = on(&path("new"), ["store", verb, text(&backup)])
                .run()
                .ended_with(6);
            assert!(refused.err.contains(&expected), "{expected}: {refused:?}");
        }
        assert!(!path("new").exists());
    }
}

#[test]
fn what_is_no_backup_is_refused_with_what_to_do() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(&path("store"), day(2, 1));
    fs::create_dir(path("photos")).unwrap();
    fs::write(path("photos").join("holiday.jpg"), "x").unwrap();
    let photos = path("photos");
    let refused = on(&path("store"), ["store", "backup", text(&photos)])
        .run()
        .ended_with(1);
    assert!(
        refused.err.contains("choose a new or empty folder"),
        "{refused:?}"
    );
    let refused = on(&path("new"), ["store", "restore", text(&photos)])
        .run()
        .ended_with(4);
    assert!(refused.err.contains("there is no backup"), "{refused:?}");
    let nowhere = path("nowhere");
    let refused = on(&path("new"), ["store", "restore", text(&nowhere)])
        .run()
        .ended_with(2);
    assert!(
        refused.err.contains("there is neither a backup nor a dump"),
        "{refused:?}"
    );
    let missing = on(&path("new"), ["store", "backup", text(&nowhere)])
        .run()
        .ended_with(4);
    assert!(missing.err.contains("there is no store"), "{missing:?}");
    let jpg = photos.join("holiday.jpg");
    let refused = on(&path("new"), ["store", "verify", text(&jpg)])
        .run()
        .ended_with(6);
    assert!(refused.err.contains("it was cut short"), "{refused:?}");
    assert!(!path("new").exists() && !nowhere.exists());
}

/// The dump goes where the reader is, and no further.
#[test]
fn a_dump_that_nobody_reads_on_is_no_failure() {
    let folder = tempdir().unwrap();
    run(folder.path(), day(200, 1));
    let mut dumping = std::process::Command::new(kaigi());
    let args = ["--store", &url(folder.path()), "store", "dump"];
    let mut child = dumping
        .args(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap()).ended_with(0);
    assert_eq!(ran.err, "");
}

#[test]
fn a_dump_after_a_position_is_read_and_not_restored() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(&path("store"), day(3, 1));
    let dump = on(&path("store"), ["store", "dump", "--after", "5"])
        .run()
        .ended_with(0);
    assert_eq!(dump.lines()[0]["after"], 5);
    assert_eq!(dump.lines()[1]["position"], 6);
    let mut file = fs::File::create(path("late")).unwrap();
    file.write_all(dump.out.as_bytes()).unwrap();
    let late = path("late");
    let refused = on(&path("new"), ["store", "restore", text(&late)])
        .run()
        .ended_with(1);
    assert!(
        refused.err.contains("restore the whole backup"),
        "{refused:?}"
    );
}

// Proofs of prefixes.

/// r(n) of those hashes, made anew as the interface says.
fn rolled(hashes: &[String]) -> String {
    let bytes = |text: &str| -> Vec<u8> {
        let digits = (0..text.len()).step_by(2);
        let bytes = digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
        bytes.collect()
    };
    hashes.iter().fold("00".repeat(32), |rolled, hash| {
        let both = bytes(&rolled).into_iter().chain(bytes(hash));
        let next = Sha256::digest(both.collect::<Vec<_>>());
        Hash(next.into()).to_string()
    })
}

#[test]
fn the_digest_at_a_count_proves_the_first_events() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("store");
    run(&store, day(3, 1));
    let events = on(&store, ["events"]).run().ended_with(0).lines();
    let hashes: Vec<_> = events
        .iter()
        .map(|event| event["hash"].as_str().unwrap().to_owned())
        .collect();
    for count in [0, 1, 2, hashes.len() / 2, hashes.len()] {
        let proof = ask(&store, &["store", "digest", "--at", &count.to_string()]);
        let position = count
            .checked_sub(1)
            .map_or(json!(0), |last| events[last]["position"].clone());
        assert_eq!(proof["count"], count);
        assert_eq!(proof["position"], position);
        assert_eq!(proof["rolling_hash"], rolled(&hashes[..count]), "{count}");
    }
    let whole = ask(&store, &["store", "digest"]);
    assert_eq!(whole["count"], hashes.len());
    assert_eq!(whole["rolling_hash"], rolled(&hashes));
    assert_eq!(
        whole["rolling_hash"],
        ask(&store, &["store", "check"])["history_digest"]
    );
}

#[test]
fn a_count_beyond_the_last_event_is_refused_with_the_number_of_events() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("store");
    run(&store, day(2, 1));
    let events = on(&store, ["events"]).run().ended_with(0).lines().len();
    let beyond = (events + 1).to_string();
    let ran = on(&store, ["store", "digest", "--at", &beyond])
        .run()
        .ended_with(4);
    assert!(
        ran.err.contains(&format!("the store has {events} events")),
        "{ran:?}"
    );
}
