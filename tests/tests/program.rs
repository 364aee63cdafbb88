//! The program as its users meet it: commands, answers, exit codes, bad input.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use tempfile::tempdir;
use tests::program::{Ran, bare, on};

const CONNECT: &str = r#"{"call":"c1","type":"connect_call","agent":"agent:ana","queue":"billing","id":"00000000-0000-4000-8000-000000000001","at":"2026-11-22T09:00:00Z"}"#;

/// A two-party call that becomes a conference, loses its primary, and ends.
fn a_story() -> String {
    let commands = [
        json!({"call":"c1","type":"connect_call","agent":"agent:ana","queue":"billing","customer":"+15550100","at":"2026-11-22T09:00:00Z"}),
        json!({"call":"c1","type":"start_consult","by":"agent:ana","target":"agent:ben","at":"2026-11-22T09:01:00Z"}),
        json!({"call":"c1","type":"accept_consult","by":"agent:ben","at":"2026-11-22T09:01:10Z"}),
        json!({"call":"c1","type":"start_conference","by":"agent:ana","at":"2026-11-22T09:02:00Z"}),
        json!({"call":"c1","type":"transfer_call","by":"agent:ana","at":"2026-11-22T09:02:30Z"}),
        json!({"call":"c1","type":"exit_conference","by":"agent:ana","at":"2026-11-22T09:03:00Z"}),
        json!({"call":"c2","type":"connect_call","agent":"agent:dan","at":"2026-11-22T09:03:00Z"}),
        json!({"call":"c1","type":"hang_up","party":"customer","at":"2026-11-22T09:05:00Z"}),
        json!({"call":"c1","type":"apply_wrap_up","by":"agent:ana","reason":"sale","at":"2026-11-22T09:06:00Z"}),
    ];
    commands.map(|command| command.to_string()).join(
        "
",
    )
}

fn told(folder: &Path) -> Ran {
    on(folder, ["run", "-"])
        .input(a_story())
        .run()
        .ended_with(0)
}

#[test]
fn answers_come_in_the_order_of_the_input_with_events_or_a_rejection() {
    let folder = tempdir().unwrap();
    let answers = told(folder.path()).lines();
    let numbers: Vec<_> = answers
        .iter()
        .map(|answer| answer["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    let types: Vec<_> = answers[3]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(
        types,
        [
            "consult_ended",
            "party_joined",
            "party_released",
            "conference_started"
        ]
    );
    assert_eq!(answers[4]["accepted"], false);
    assert_eq!(answers[4]["rejection"]["code"], "refused_in_conference");
    assert_eq!(answers[4]["rejection"]["rule"], "R21");
    assert!(
        answers[4]["rejection"]["message"]
            .as_str()
            .unwrap()
            .contains("exit_conference")
    );
    assert_eq!(answers[3]["revision"], 8);
}

#[test]
fn a_command_sent_again_is_answered_as_before_after_a_restart() {
    let folder = tempdir().unwrap();
    let first = on(folder.path(), ["run"])
        .input(CONNECT)
        .run()
        .ended_with(0);
    let again = on(folder.path(), ["run"])
        .input(CONNECT)
        .run()
        .ended_with(0);
    assert_eq!(first.out, again.out);
    let other = CONNECT.replace("agent:ana", "agent:ben");
    let reused = on(folder.path(), ["run"]).input(other).run().ended_with(0);
    assert_eq!(reused.lines()[0]["rejection"]["code"], "command_id_reused");
    assert_eq!(reused.lines()[0]["rejection"]["rule"], Value::Null);
    let info = on(folder.path(), ["store", "info", "--output", "json"])
        .run()
        .ended_with(0)
        .json();
    assert_eq!(info["events"], 1);
}

#[test]
fn lines_that_are_no_commands_are_answered_and_the_rest_goes_on() {
    let folder = tempdir().unwrap();
    let mut input = Vec::new();
    for line in [
        &b"{\"call\":"[..],
        b"[1,2]",
        b"{\"call\":\"c1\",\"type\":\"hang_up\",\"party\":\"customer\",\"reson\":\"x\"}",
        b"{\"call\":\"c1\",\"type\":\"dance\"}",
        b"{\"call\":\"c1\",\"type\":\"connect_call\"}",
        b"{\"call\":\"c 1\",\"type\":\"consult_unanswered\"}",
        b"{\"call\":\"c1\",\"type\":\"consult_unanswered\",\"at\":\"1969-12-31T23:59:59Z\"}",
        b"{\"call\":\"c1\",\"type\":\"consult_unanswered\",\"at\":\"10000-01-01T00:00:00Z\"}",
        b"\xff\xfe",
        b"",
        CONNECT.as_bytes(),
        b"{\"call\":\"c1\",\"type\":\"start_cons",
    ] {
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    input.pop();
    let ran = on(folder.path(), ["run", "-"])
        .input(input)
        .run()
        .ended_with(65);
    let answers = ran.lines();
    let errors: Vec<_> = answers
        .iter()
        .filter(|answer| answer["error"].is_string())
        .collect();
    assert_eq!(errors.len(), 10, "{ran:#?}");
    for (answer, part) in errors.iter().zip([
        "column",
        "column",
        "reson",
        "dance",
        "agent",
        "call",
        "1970",
        "10000",
        "UTF-8 at byte 1",
        "column",
    ]) {
        assert!(
            answer["error"].as_str().unwrap().contains(part),
            "{answer} should say {part}"
        );
    }
    assert_eq!(
        answers[9]["line"], 11,
        "the empty line is counted and not answered"
    );
    assert_eq!(answers[9]["accepted"], true);
    assert!(
        ran.err.contains("10 of 11 lines were no commands"),
        "{}",
        ran.err
    );
}

#[test]
fn a_line_of_a_hundred_megabytes_is_one_malformed_line() {
    let folder = tempdir().unwrap();
    let mut input = vec![b'x'; 100_000_000];
    input.push(b'\n');
    input.extend_from_slice(CONNECT.as_bytes());
    let ran = on(folder.path(), ["run", "-"])
        .input(input)
        .run()
        .ended_with(65);
    let answers = ran.lines();
    assert!(
        answers[0]["error"]
            .as_str()
            .unwrap()
            .contains("100000000 bytes long")
    );
    assert_eq!(answers[1]["accepted"], true);
}

#[test]
fn strict_ends_with_3_if_a_rule_refused() {
    let folder = tempdir().unwrap();
    let input = r#"{"call":"c9","type":"end_call","by":"agent:ana"}"#;
    let lenient = on(folder.path(), ["run", "-"])
        .input(input)
        .run()
        .ended_with(0);
    assert_eq!(lenient.lines()[0]["rejection"]["code"], "call_not_found");
    let _ = on(folder.path(), ["run", "-", "--strict"])
        .input(input)
        .run()
        .ended_with(3);
    let both = format!("nonsense\n{input}");
    let _ = on(folder.path(), ["run", "-", "--strict"])
        .input(both)
        .run()
        .ended_with(65);
}

#[test]
fn answers_are_written_while_the_input_pauses() {
    let folder = tempdir().unwrap();
    let mut child = on(folder.path(), ["run", "-"]).start();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for revision in 1..=3 {
        let command = match revision {
            1 => CONNECT.to_owned(),
            2 => r#"{"call":"c1","type":"hold","by":"agent:ana","party":"customer"}"#.to_owned(),
            _ => r#"{"call":"c1","type":"resume","by":"agent:ana","party":"customer"}"#.to_owned(),
        };
        writeln!(input, "{command}").unwrap();
        let mut answer = String::new();
        // Blocks for ever if the answer waited for more input.
        output.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["revision"], revision);
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_command_by_hand_ends_with_what_became_of_it() {
    let folder = tempdir().unwrap();
    let by_hand = |args: &[&str]| on(folder.path(), [&["call", "c1"], args].concat()).run();
    let connected =
        by_hand(&["connect-call", "--agent", "agent:ana", "--output", "table"]).ended_with(0);
    assert!(
        connected
            .out
            .contains("agent:ana answers the customer and is primary"),
        "{}",
        connected.out
    );
    let refused =
        by_hand(&["exit-conference", "--by", "agent:ana", "--output", "table"]).ended_with(3);
    assert!(
        refused.err.contains("not_in_conference (R39)") && refused.err.contains("end_call"),
        "{}",
        refused.err
    );
    let refused = by_hand(&["exit-conference", "--by", "agent:ana"])
        .ended_with(3)
        .json();
    assert_eq!(refused["rejection"]["rule"], "R39");
    let conflict = by_hand(&["end-call", "--by", "agent:ana", "--expect", "7"])
        .ended_with(5)
        .json();
    assert_eq!(conflict["rejection"]["code"], "conflict");
    let _ = by_hand(&["end-call"]).ended_with(2);
    let _ = by_hand(&["end-call", "--by", "ana"]).ended_with(2);
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let unknown = bare(["--store", "ftp://localhost", "store", "info"])
        .run()
        .ended_with(2);
    assert!(
        unknown.err.contains("unknown store") && unknown.err.contains("sled:PATH"),
        "{}",
        unknown.err
    );
    let _ = bare(["dance"]).run().ended_with(2);
    let folder = tempdir().unwrap();
    let missing = on(folder.path(), ["run", "no-such-file"])
        .run()
        .ended_with(2);
    assert!(missing.err.contains("no-such-file"), "{}", missing.err);
}

#[test]
fn looking_at_a_store_that_is_not_there_makes_none() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mistyped");
    let ran = on(&path, ["show", "active-calls"]).run().ended_with(4);
    assert!(ran.err.contains("there is no store at"), "{}", ran.err);
    assert!(!path.exists());
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = tempdir().unwrap();
    told(folder.path());
    for args in [
        &["replay", "c9"][..],
        &["show", "call", "c9"],
        &["events", "--call", "c9"],
        &["replay", "c1", "--revision", "99"],
        &["replay", "c1", "--revision", "0"],
        &["replay", "c1", "--until", "2026-11-22T08:00:00Z"],
    ] {
        let _ = on(folder.path(), args).run().ended_with(4);
    }
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempdir().unwrap();
    let mut first = on(folder.path(), ["run", "-"]).start();
    let mut input = first.stdin.take().unwrap();
    writeln!(input, "{CONNECT}").unwrap();
    let mut answer = String::new();
    BufReader::new(first.stdout.take().unwrap())
        .read_line(&mut answer)
        .unwrap();
    let second = on(folder.path(), ["show", "active-calls"])
        .run()
        .ended_with(75);
    assert!(second.err.contains("another process"), "{}", second.err);
    drop(input);
    assert!(first.wait().unwrap().success());
    let _ = on(folder.path(), ["show", "active-calls"])
        .run()
        .ended_with(0);
}

#[test]
fn a_store_path_that_is_a_file_is_refused_unharmed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("calls");
    fs::write(&path, "mine").unwrap();
    let ran = on(&path, ["run", "-"]).input(CONNECT).run().ended_with(1);
    assert!(ran.err.contains("calls"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_call_is_replayed_as_a_story_at_any_point() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let story = on(folder.path(), ["replay", "c1", "--output", "table"])
        .run()
        .ended_with(0)
        .out;
    for part in [
        "call c1, 2026-11-22 (UTC), 17 events",
        "09:00:00.000      +0:00  the telephone system",
        "agent:ana answers the customer (+15550100) from queue billing and is primary  [R1]",
        "the customer is held by agent:ana  [R12]",
        "the customer hears the call again  [R7]",
        "agent:ben takes control over from agent:ana  [R24]",
        "agent:ana owes wrap-up  [R50]",
        "the call ends: at most one party is left  [R34]",
        "agent:ana settles the wrap-up with \"sale\"  [R51]",
        "phase    ended since 2026-11-22T09:05:00.000Z",
        "verified: all 17 events",
    ] {
        assert!(story.contains(part), "{part}\n{story}");
    }
    let then = on(
        folder.path(),
        ["replay", "c1", "--until", "2026-11-22T09:02:00Z"],
    )
    .run()
    .ended_with(0)
    .json();
    assert_eq!(then["revision"], 8);
    assert_eq!(then["state"]["phase"], "conference");
    assert_eq!(then["steps"][7]["rule"], "R8");
    let by_revision = on(folder.path(), ["replay", "c1", "--revision", "8"])
        .run()
        .ended_with(0)
        .json();
    assert_eq!(then, by_revision);
}

#[test]
fn one_call_is_shown_as_the_interface_says() {
    let folder = tempdir().unwrap();
    let three: Vec<_> = a_story().lines().take(3).map(str::to_owned).collect();
    let _ = on(folder.path(), ["run", "-"])
        .input(three.join("\n"))
        .run()
        .ended_with(0);
    let call = on(folder.path(), ["show", "call", "c1"])
        .run()
        .ended_with(0)
        .json();
    assert_eq!(call["phase"], "talking");
    assert_eq!(call["primary"], "agent:ana");
    assert_eq!(
        call["parties"][0],
        json!({"party":"customer","joined_at":"2026-11-22T09:00:00.000Z","held_by":"agent:ana","held_since":"2026-11-22T09:01:00.000Z"})
    );
    assert_eq!(
        call["consult"],
        json!({"by":"agent:ana","target":"agent:ben","state":"answered","hold":"others"})
    );
    assert_eq!(call["ended_at"], Value::Null);
    assert_eq!(call["completed"], false);
}

#[test]
fn the_read_models_come_as_table_json_ndjson_and_csv() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let show = |args: &[&str]| {
        on(folder.path(), [&["show"], args].concat())
            .run()
            .ended_with(0)
    };
    let active = show(&["active-calls"]).json();
    assert_eq!(active["rows"][0]["call"], "c2");
    assert_eq!(active["position"], 18);
    let queue = show(&["wrap-up-queue", "--output", "ndjson"]).lines();
    assert_eq!(queue[0]["agent"], "agent:ben");
    assert_eq!(queue[0]["why"], "call_ended");
    let times = show(&["handle-times", "--by", "call", "--output", "csv"]).out;
    let mut lines = times.lines();
    assert_eq!(
        lines.next(),
        Some(
            "call,queue,answered_at,ended_at,talking_ms,conference_ms,wrap_up_assist_ms,handle_ms,customer_held_ms,consult_ms,open"
        )
    );
    assert_eq!(
        lines.next(),
        Some(
            "c1,billing,2026-11-22T09:00:00.000Z,2026-11-22T09:05:00.000Z,240000,60000,0,300000,60000,50000,1"
        )
    );
    let table = show(&["monitoring", "--output", "table"]).out;
    assert!(
        table.starts_with("CALL") || table.trim_start().starts_with("CALL"),
        "{table}"
    );
    let explained = show(&[
        "handle-times",
        "--window",
        "1h",
        "--by",
        "queue",
        "--explain",
    ])
    .json();
    assert_eq!(explained["rows"][0]["calls"][0]["call"], "c1");
    let _ = on(folder.path(), ["show", "handle-times", "--by", "queue"])
        .run()
        .ended_with(2);
}

#[test]
fn a_checkpoint_that_cannot_be_kept_or_read_costs_nothing_but_a_warning() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let checkpoints = folder.path().join("read-models");
    fs::write(&checkpoints, "in the way").unwrap();
    let show = || {
        on(folder.path(), ["show", "active-calls"])
            .run()
            .ended_with(0)
    };
    let warned = show();
    assert_eq!(warned.json()["rows"][0]["call"], "c2");
    assert!(
        warned
            .err
            .contains("the checkpoint of active-calls is not kept"),
        "{}",
        warned.err
    );
    fs::remove_file(&checkpoints).unwrap();
    assert_eq!(show().err, "");
    let checkpoint = checkpoints.join("active-calls");
    let mut bytes = fs::read(&checkpoint).unwrap();
    bytes[30] ^= 1;
    fs::write(&checkpoint, bytes).unwrap();
    let rebuilt = show();
    assert_eq!(rebuilt.json()["rows"], warned.json()["rows"]);
    assert!(
        rebuilt.err.contains("the checkpoint is damaged"),
        "{}",
        rebuilt.err
    );
    assert_eq!(show().err, "", "the damaged one was replaced");
}

#[test]
fn a_store_may_be_named_by_a_relative_path() {
    let folder = tempdir().unwrap();
    for path in ["calls", "./calls", "new/calls"] {
        let run = bare(["--store", &format!("sled:{path}"), "run", "-"]);
        let _ = run.within(folder.path()).input(CONNECT).run().ended_with(0);
    }
}

#[test]
fn an_empty_folder_is_no_store_to_look_at() {
    let folder = tempdir().unwrap();
    let _ = on(folder.path(), ["show", "active-calls"])
        .run()
        .ended_with(4);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupt_stops_a_busy_run_and_what_was_answered_is_there() {
    let folder = tempdir().unwrap();
    let day = bare(["simulate", "--calls", "20000"])
        .run()
        .ended_with(0)
        .out;
    let lines = day.lines().count();
    let mut child = on(folder.path(), ["run", "-"]).start();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // The program closes its input when it was interrupted.
        let _ = input.write_all(day.as_bytes());
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    let interrupt = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let answers = output.lines().map(Result::unwrap).collect::<Vec<_>>();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    writer.join().unwrap();
    assert!(
        said.contains("interrupted") && said.contains("run the same input again"),
        "{said}"
    );
    assert!(
        answers.len() + 1 < lines,
        "all {lines} lines were answered in spite of it"
    );
    let last: Value = serde_json::from_str(answers.last().unwrap_or(&first)).unwrap();
    let call = last["call"].as_str().unwrap();
    let _ = on(folder.path(), ["show", "call", call])
        .run()
        .ended_with(0);
}

#[test]
fn answers_that_nobody_reads_end_the_run_with_a_word() {
    let folder = tempdir().unwrap();
    let mut child = on(folder.path(), ["run", "-"]).start();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{CONNECT}").unwrap();
    drop(input);
    let ran = Ran::from(child.wait_with_output().unwrap()).ended_with(1);
    assert!(
        ran.err.contains("the answers cannot be written"),
        "{}",
        ran.err
    );
    let mut child = bare(["completions", "bash"]).start();
    drop(child.stdout.take());
    let _ = Ran::from(child.wait_with_output().unwrap()).ended_with(0);
}

#[test]
fn a_replay_cut_within_a_command_tells_the_same_rules() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let replay = |args: &[&str]| {
        let ran = on(folder.path(), [&["replay", "c1"], args].concat())
            .run()
            .ended_with(0);
        ran.json()["steps"].as_array().unwrap().clone()
    };
    let whole = replay(&[]);
    for revision in 1..=whole.len() {
        assert_eq!(
            replay(&["--revision", &revision.to_string()]),
            whole[..revision]
        );
    }
}

#[test]
fn a_time_that_runs_backwards_and_a_day_that_changes_are_told() {
    let folder = tempdir().unwrap();
    let input = [
        json!({"call":"c1","type":"connect_call","agent":"agent:ana","at":"2026-11-22T23:59:00Z"}),
        json!({"call":"c1","type":"hold","by":"agent:ana","party":"customer","at":"2025-11-22T23:59:00Z"}),
        json!({"call":"c1","type":"resume","by":"agent:ana","party":"customer","at":"2026-11-24T00:59:00Z"}),
    ];
    let _ = on(folder.path(), ["run", "-"])
        .input(input.map(|line| line.to_string()).join("\n"))
        .run()
        .ended_with(0);
    let story = on(folder.path(), ["replay", "c1", "--output", "table"])
        .run()
        .ended_with(0)
        .out;
    assert!(
        story.contains("(reported for 2025-11-22T23:59:00.000Z; time never runs backwards: R62)"),
        "{story}"
    );
    assert!(
        story.contains("\n2026-11-24\n00:59:00.000  +1d 01:00:00  agent:ana\n"),
        "{story}"
    );
}

#[test]
fn calls_are_found_by_what_is_known_of_them() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let found = |args: &[&str]| {
        let ran = on(folder.path(), [&["calls"], args].concat())
            .run()
            .ended_with(0);
        let rows = ran.json()["rows"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["call"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), ["c1", "c2"]);
    assert_eq!(found(&["--agent", "agent:ben"]), ["c1"]);
    assert_eq!(found(&["--customer", "+15550100"]), ["c1"]);
    assert_eq!(found(&["--queue", "billing", "--phase", "ended"]), ["c1"]);
    assert_eq!(found(&["--from", "2026-11-22T09:01:00Z"]), ["c2"]);
    assert!(found(&["--agent", "zoe"]).is_empty());
}

#[test]
fn events_are_listed_after_a_position_and_of_a_call() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let all = on(folder.path(), ["events"]).run().ended_with(0).lines();
    let positions: Vec<_> = all
        .iter()
        .map(|event| event["position"].as_u64().unwrap())
        .collect();
    assert_eq!(positions, (1..=18).collect::<Vec<_>>());
    let later = on(folder.path(), ["events", "--after", "16"])
        .run()
        .ended_with(0)
        .lines();
    assert_eq!(later, all[16..]);
    let of_c2 = on(folder.path(), ["events", "--call", "c2"])
        .run()
        .ended_with(0)
        .lines();
    assert_eq!(of_c2.len(), 1);
}

#[test]
fn a_day_cut_by_a_kill_and_resumed_comes_to_the_same_read_models() {
    let day = bare(["simulate", "--calls", "400", "--seed", "7"])
        .run()
        .ended_with(0)
        .out;
    let whole = tempdir().unwrap();
    let answers = on(whole.path(), ["run", "-"]).input(day.clone()).run();
    let answers = answers.ended_with(0).lines();
    let accepted = answers
        .iter()
        .filter(|answer| answer["accepted"] == true)
        .count();
    assert!(
        accepted * 100 > answers.len() * 95,
        "{accepted} of {}",
        answers.len()
    );
    let cut = tempdir().unwrap();
    for answers in [1, 300, 1100] {
        kill_after(cut.path(), &day, answers);
        // A checkpoint of the middle of the day must be resumed, not rebuilt, to the same rows.
        let _ = on(cut.path(), ["show", "handle-times"]).run().ended_with(0);
    }
    let _ = on(cut.path(), ["run", "-"]).input(day).run().ended_with(0);
    for model in [
        &["active-calls"][..],
        &["wrap-up-queue"],
        &["monitoring"],
        &["handle-times", "--by", "call"],
        &["handle-times", "--by", "agent"],
        &["handle-times", "--window", "1h", "--by", "agent"],
    ] {
        let rows = |folder: &Path| {
            on(folder, [&["show"], model].concat())
                .run()
                .ended_with(0)
                .json()["rows"]
                .clone()
        };
        let (whole, cut) = (rows(whole.path()), rows(cut.path()));
        // Not assert_eq: thousands of rows in a message help nobody.
        assert!(whole == cut, "{model:?} differs");
    }
}

/// Kills the program once it has given so many answers; what it acknowledged must be there.
fn kill_after(folder: &Path, day: &str, answers: usize) {
    let mut child = on(folder, ["run", "-"]).start();
    let mut input = child.stdin.take().unwrap();
    let day = day.to_owned();
    let writer = std::thread::spawn(move || {
        // The kill breaks the pipe.
        let _ = input.write_all(day.as_bytes());
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut last = String::new();
    for _ in 0..answers {
        last.clear();
        output.read_line(&mut last).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();
    let answer: Value = serde_json::from_str(&last).unwrap();
    if let Some(event) = answer["events"].as_array().and_then(|events| events.last()) {
        let call = answer["call"].as_str().unwrap();
        let kept = on(folder, ["events", "--call", call])
            .run()
            .ended_with(0)
            .lines();
        assert!(kept.contains(event), "{event} was acknowledged");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let day = |seed| {
        bare(["simulate", "--calls", "50", "--seed", seed])
            .run()
            .ended_with(0)
            .out
    };
    assert_eq!(day("1"), day("1"));
    assert_ne!(day("1"), day("2"));
    assert!(
        day("1").lines().all(|line| line.contains("\"sim-1-")),
        "labelled synthetic"
    );
}

#[test]
fn the_demo_shows_all_four_read_models_and_keeps_its_store() {
    let ran = bare(["demo", "--calls", "200"]).run().ended_with(0);
    for part in [
        "A real capture",
        "ACTIVE CALLS",
        "WRAP-UP QUEUE",
        "HANDLE TIMES",
        "MONITORING",
        "export KAIGI_STORE=sled:",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    let accepted = |line: &str| line.split(" accepted").next()?.trim().parse::<u64>().ok();
    let accepted: Vec<_> = ran.out.lines().filter_map(accepted).collect();
    assert!(
        matches!(accepted[..], [5, day] if day > 100),
        "{accepted:?} were accepted"
    );
    let url = ran
        .out
        .split("export KAIGI_STORE=sled:")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let replay = ran
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("cargo run --release -- replay "));
    let told = on(Path::new(url), ["replay", replay.unwrap()])
        .run()
        .ended_with(0);
    assert!(told.out.contains("transferred"), "{}", told.out);
    // The capture is of 2018; moved to now, nothing in it is days old.
    let queue = on(
        Path::new(url),
        ["show", "wrap-up-queue", "--output", "table"],
    );
    let queue = queue.run().ended_with(0).out;
    let owed = queue
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    let owed: Vec<_> = owed.collect();
    assert!(
        !owed.is_empty() && owed.iter().all(|age| !age.contains('d')),
        "{queue}"
    );
    fs::remove_dir_all(url).unwrap();
}

#[test]
fn simulate_refuses_a_date_that_is_none() {
    let wrong = bare(["simulate", "--date", "2026-02-30"])
        .run()
        .ended_with(2);
    assert!(
        wrong.err.contains("must be a date like 2026-11-29"),
        "{}",
        wrong.err
    );
    let both = bare(["simulate", "--date", "2026-02-03", "--now"]).run();
    let _ = both.ended_with(2);
}

#[test]
fn what_has_no_csv_says_so() {
    let folder = tempdir().unwrap();
    told(folder.path());
    for args in [
        &["events"][..],
        &["events", "--call", "c1"],
        &["replay", "c1"],
    ] {
        let refused = on(folder.path(), args.iter().chain(&["--output", "csv"])).run();
        let refused = refused.ended_with(2);
        assert!(
            refused.err.contains("no CSV") && refused.out.is_empty(),
            "{refused:#?}"
        );
    }
}

#[test]
fn a_demo_does_not_mix_with_somebodys_calls() {
    let folder = tempdir().unwrap();
    told(folder.path());
    let _ = on(folder.path(), ["demo"]).run().ended_with(2);
}

#[test]
fn completions_and_help_are_there_for_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = bare(["completions", shell]).run().ended_with(0).out;
        assert!(script.contains("start-consult"), "{shell}");
    }
    for command in [
        "run",
        "call",
        "show",
        "calls",
        "replay",
        "events",
        "simulate",
        "import",
        "demo",
        "store",
        "completions",
    ] {
        let help = bare(["help", command]).run().ended_with(0).out;
        assert!(help.contains("Usage: kaigi"), "{help}");
    }
}

/// The variables that the help of a command names.
fn variables(help: &[&str]) -> Vec<String> {
    let help = bare(help).run().ended_with(0).out;
    let named = help.split("[env: ").skip(1);
    let ends = |char: char| !char.is_ascii_uppercase() && char != '_';
    named
        .map(|text| text.split(ends).next().unwrap().to_owned())
        .collect()
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let home = tempdir().unwrap();
    let asked = |args: &[&str]| bare(args).env("XDG_DATA_HOME", home.path());
    let named = variables(&["serve", "--help"]);
    assert!(named.len() > 20, "{named:?}");
    let config = ["serve", "--print-config"];
    let expected = asked(&config).run().ended_with(0).out;
    for name in named {
        let shown = asked(&config).env(&name, "").run().ended_with(0);
        assert_eq!(shown.out, expected, "{name}");
    }
    let connect = ["call", "c1", "connect-call", "--agent", "agent:ana"];
    let connected = asked(&connect).env("KAIGI_STORE", "").run();
    let _ = connected.ended_with(0);
    let create = ["keys", "create", "--name", "board", "--role", "reader"];
    let _ = asked(&create).env("KAIGI_KEYS", "").run().ended_with(0);
    assert!(home.path().join("kaigi/keys.json").is_file());
    for (name, args) in [
        ("KAIGI_STORE", &["show", "call", "c1"][..]),
        ("KAIGI_SERVER", &["show", "call", "c1"]),
        ("KAIGI_KEY", &["show", "call", "c1"]),
        ("KAIGI_KEYS", &["keys", "list"]),
    ] {
        let expected = asked(args).run().ended_with(0).out;
        let shown = asked(args).env(name, "").run().ended_with(0);
        assert_eq!(shown.out, expected, "{name}");
    }
    // A variable that is not empty still counts.
    let elsewhere = asked(&["show", "call", "c1"]).env("KAIGI_STORE", "memory:");
    let _ = elsewhere.run().ended_with(4);
}
