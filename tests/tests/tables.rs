//! Rows as people and spreadsheets get them, and the read models they come from.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::tempdir;
use tests::program::{Ran, on};

/// A row of every kind: a call that goes on with a consult and a supervisor, and one that ended and is still owed.
fn a_story() -> String {
    [
        json!({"call":"over","type":"connect_call","agent":"agent:ana","queue":"billing","at":"2026-11-22T09:00:00Z"}),
        json!({"call":"over","type":"start_consult","by":"agent:ana","target":"agent:dan","at":"2026-11-22T09:01:00Z"}),
        json!({"call":"over","type":"accept_consult","by":"agent:dan","at":"2026-11-22T09:01:10Z"}),
        json!({"call":"over","type":"end_consult","by":"agent:dan","at":"2026-11-22T09:02:00Z"}),
        json!({"call":"over","type":"end_call","by":"agent:ana","at":"2026-11-22T09:05:00Z"}),
        json!({"call":"live","type":"connect_call","agent":"agent:ben","queue":"sales\n\u{202e}north","at":"2026-11-22T09:10:00Z"}),
        json!({"call":"live","type":"start_monitoring","by":"supervisor:sam","agent":"agent:ben","at":"2026-11-22T09:10:30Z"}),
        json!({"call":"live","type":"start_consult","by":"agent:ben","target":"dial:+1555","at":"2026-11-22T09:11:00Z"}),
    ]
    .map(|command| command.to_string())
    .join("\n")
}

/// A store of those commands.
fn told(folder: &Path, commands: impl Into<Vec<u8>>) {
    let ran = on(folder, ["run", "-"]).input(commands).run();
    let _ = ran.ended_with(0);
}

fn asked(folder: &Path, args: &str, output: &str) -> Ran {
    let args = args.split(' ').chain(["--output", output]);
    on(folder, args).run().ended_with(0)
}

/// Everything that prints rows.
const ALL: [&str; 8] = [
    "show active-calls",
    "show wrap-up-queue",
    "show monitoring",
    "show handle-times --by call",
    "show handle-times --by agent",
    "show handle-times --window 1h --by agent",
    "show handle-times --window 1h --by agent --explain",
    "calls",
];

#[test]
fn csv_has_the_same_header_without_rows_as_with_them_and_it_names_the_fields() {
    let (some, none) = (tempdir().unwrap(), tempdir().unwrap());
    told(some.path(), a_story());
    told(none.path(), "");
    for args in ALL {
        let header = asked(none.path(), args, "csv").out;
        let csv = asked(some.path(), args, "csv").out;
        assert!(
            csv.starts_with(&header) && csv.len() > header.len(),
            "{args}: {header}{csv}"
        );
        let row = asked(some.path(), args, "ndjson").lines().remove(0);
        let fields: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        assert_eq!(header.trim_end(), fields.join(","), "{args}");
    }
}

#[test]
fn a_table_without_rows_says_so() {
    let folder = tempdir().unwrap();
    told(folder.path(), "");
    for args in ALL {
        let table = asked(folder.path(), args, "table").out;
        assert!(
            table.starts_with("no ") && table.lines().count() == 1,
            "{args}: {table}"
        );
    }
}

#[test]
fn windows_of_a_span_that_ends_before_it_begins_are_none_in_every_form() {
    let folder = tempdir().unwrap();
    told(folder.path(), a_story());
    for (from, to) in [("09:30", "09:20"), ("09:04", "09:04"), ("09:00", "08:00")] {
        for explain in ["", " --explain"] {
            let args = format!(
                "show handle-times --window 1h --from 2026-11-22T{from}:00Z --to 2026-11-22T{to}:00Z{explain}"
            );
            assert_eq!(
                asked(folder.path(), &args, "json").json()["rows"],
                json!([])
            );
            assert_eq!(asked(folder.path(), &args, "ndjson").out, "");
            assert_eq!(asked(folder.path(), &args, "csv").out.lines().count(), 1);
            assert_eq!(asked(folder.path(), &args, "table").out, "no call ended\n");
        }
    }
}

#[test]
fn every_row_of_a_window_has_the_parts_behind_it() {
    let folder = tempdir().unwrap();
    told(folder.path(), a_story());
    let args = "show handle-times --window 1h --by agent --explain";
    let explained = asked(folder.path(), args, "json").json();
    let mut rows = Vec::new();
    for row in explained["rows"].as_array().unwrap() {
        let calls = row["calls"].as_array().unwrap().iter();
        let calls: Vec<_> = calls.map(|call| &call["agent"]).collect();
        assert_eq!(calls, [&row["key"]], "{row}");
        rows.push((
            row["key"].as_str().unwrap(),
            row["metric"].as_str().unwrap(),
        ));
    }
    let of_ana = rows.iter().filter(|(key, _)| *key == "agent:ana").count();
    assert_eq!(of_ana, 7);
    assert_eq!(
        rows[of_ana..],
        [("agent:dan", "consult")],
        "who was only consulted"
    );
}

#[test]
fn windows_are_blocks_and_what_explains_them_stands_once_behind_each() {
    let folder = tempdir().unwrap();
    told(folder.path(), a_story());
    let args = "show handle-times --window 1d --by agent --explain";
    let table = asked(folder.path(), args, "table").out;
    for part in [
        "2026-11-22 00:00-24:00 UTC, agent:ana, 1 open\nMETRIC",
        "2026-11-22 00:00-24:00 UTC, agent:dan, 0 open\nMETRIC",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    assert_eq!(table.matches("behind it:").count(), 2, "{table}");
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
}

#[test]
fn no_value_begins_a_line_or_turns_it_round() {
    let folder = tempdir().unwrap();
    told(folder.path(), a_story());
    for args in ["show active-calls", "calls"] {
        let table = asked(folder.path(), args, "table").out;
        assert!(table.contains("sales\u{fffd}\u{fffd}north"), "{table}");
    }
}

#[test]
fn a_read_model_is_built_anew_for_a_store_that_was_restored() {
    let connect = |call: &str, minute: u32| {
        let at = format!("2026-11-22T09:{minute:02}:00Z");
        json!({"call":call,"type":"connect_call","agent":"agent:ana","at":at}).to_string()
    };
    let folder = tempdir().unwrap();
    let (store, copy) = (folder.path().join("store"), folder.path().join("copy"));
    told(&store, connect("before", 0));
    copied(&store, &copy);
    told(
        &store,
        [connect("lost", 1), connect("also-lost", 2)].join("\n"),
    );
    let calls = |ran: &Ran| -> Vec<Value> {
        let rows = ran.json()["rows"].as_array().unwrap().clone();
        rows.into_iter().map(|row| row["call"].clone()).collect()
    };
    let shown = || asked(&store, "show active-calls", "json");
    assert_eq!(calls(&shown()), ["before", "lost", "also-lost"]);

    // What is restored keeps the checkpoints of what was lost.
    let restore = || {
        for folder in ["log", "index"] {
            fs::remove_dir_all(store.join(folder)).unwrap();
            copied(&copy.join(folder), &store.join(folder));
        }
        for file in ["acknowledged", "head"] {
            fs::copy(copy.join(file), store.join(file)).unwrap();
        }
    };
    restore();
    let restored = shown();
    assert_eq!(calls(&restored), ["before"]);
    assert!(
        restored.err.contains("the store was restored"),
        "{}",
        restored.err
    );

    told(
        &store,
        [connect("lost", 1), connect("also-lost", 2)].join("\n"),
    );
    assert_eq!(calls(&shown()).len(), 3);
    restore();
    let others: Vec<_> = (3..8)
        .map(|minute| connect(&format!("c{minute}"), minute))
        .collect();
    told(&store, others.join("\n"));
    let gone_on = shown();
    assert_eq!(calls(&gone_on), ["before", "c3", "c4", "c5", "c6", "c7"]);
    assert!(
        gone_on.err.contains("the store was restored"),
        "{}",
        gone_on.err
    );
    assert_eq!(shown().err, "", "the checkpoint was replaced");
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
