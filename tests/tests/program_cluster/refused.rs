//! What is wrong with a cluster, its name, its user or its events: each its own message and exit code, none with the
//! password.

use super::{Desk, PASSWORD, WRITTEN, said_no_password};
use serde_json::json;
use tempfile::tempdir;
use tests::closed_port::ClosedPort;
use tests::program::{Ran, bare};
use tests::standin::{Config, Expected, Proposed, Right, StandIn};

/// What a program says that is told to be as talkative as it can.
fn refused(url: &str, code: i32) -> Ran {
    let home = tempdir().unwrap();
    let by_variable = || {
        let run = bare(["show", "call", "c1"]).env("KAIGI_STORE", url);
        run.env("XDG_DATA_HOME", home.path())
    };
    let talkative = by_variable()
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    let by_option = bare(["--store", url, "run", "-", "--patience", "0"]);
    for ran in [talkative.run(), by_option.run()] {
        let ran = said_no_password(ran.ended_with(code));
        assert!(ran.err.starts_with("kaigi: ") || code == 2, "{ran:?}");
        assert!(
            ran.out.is_empty() && !ran.err.contains("panicked"),
            "{ran:?}"
        );
    }
    said_no_password(by_variable().run().ended_with(code))
}

#[track_caller]
fn says(ran: &Ran, told: &[&str]) {
    for told in told {
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
}

fn encrypted() -> StandIn {
    StandIn::start_with(Config {
        tls: true,
        ..Config::default()
    })
}

#[test]
fn a_misnamed_cluster_is_a_wrong_command_line() {
    let user = format!("kai:{WRITTEN}@");
    for (url, told) in [
        (format!("esdb://{user}"), "names no host"),
        (format!("esdb://{user}127.0.0.1:port"), "port"),
        (
            format!("esdb://{user}127.0.0.1?tsl=false"),
            "unknown parameter \"tsl\"",
        ),
        (format!("esdb://{user}127.0.0.1?tls=perhaps"), "perhaps"),
        ("esdb://kai@127.0.0.1".to_owned(), "has no password"),
    ] {
        says(&refused(&url, 2), &[told]);
    }
}

#[test]
fn a_host_that_is_not_there_may_be_later() {
    let closed = ClosedPort::reserve();
    let port = closed.number();
    let url = format!("esdb://kai:{WRITTEN}@127.0.0.1:{port},nowhere.invalid?tls=false");
    let place = format!("127.0.0.1:{port}: ");
    says(
        &refused(&url, 75),
        &[
            "no node of the cluster can be reached",
            &place,
            "nowhere.invalid:2113: ",
        ],
    );
}

#[test]
fn a_password_with_special_characters_is_written_in_percent() {
    let desk = Desk::new();
    assert!(desk.url().contains(WRITTEN) && !desk.url().contains(PASSWORD));
    desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 0);
    let shown = desk.ask(&["store", "info"], 0);
    assert!(shown.out.contains("://kai:***@127.0.0.1"), "{shown:?}");
}

#[test]
fn a_wrong_password_a_missing_name_and_a_missing_right_are_told_apart() {
    let desk = Desk::new();
    let url = |user: &str| desk.cluster.url().replacen("://", &format!("://{user}"), 1);
    says(
        &refused(&url("kai:other@"), 1),
        &["the server refuses user \"kai\"", "the password is wrong"],
    );
    says(&refused(&url(""), 1), &["say who you are"]);
    desk.cluster.deny(Right::ReadAll);
    says(
        &refused(&desk.url(), 1),
        &["cannot read $all", "user \"kai\"", "docs/eventstoredb.md"],
    );
    desk.cluster.allow(Right::ReadAll);
    desk.cluster.deny(Right::Write);
    says(
        &refused(&desk.url(), 1),
        &["cannot write to stream kaigi_store"],
    );
    // Once there is a store, only who writes is refused, and told what is missing.
    desk.cluster.allow(Right::Write);
    desk.ask(&["store", "info"], 0);
    desk.cluster.deny(Right::Write);
    desk.ask(&["show", "active-calls"], 0);
    let call = desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 1);
    says(&call, &["cannot write to stream call-c1", "user \"kai\""]);
}

#[test]
fn encryption_on_one_side_only_is_told_whichever_it_is() {
    let plain = StandIn::start();
    let url = format!("esdb://kai:{WRITTEN}@127.0.0.1:{}", plain.ports()[0]);
    says(&refused(&url, 1), &["does not speak TLS; say tls=false"]);
    let encrypted = encrypted();
    let url = format!(
        "esdb://kai:{WRITTEN}@127.0.0.1:{}?tls=false",
        encrypted.ports()[0]
    );
    says(&refused(&url, 1), &["speaks TLS; say tls=true"]);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let cluster = encrypted();
    let url = format!("esdb://127.0.0.1:{}", cluster.ports()[0]);
    says(
        &refused(&url, 1),
        &["no trusted connection", "tlsCaFile=PATH"],
    );
    says(
        &refused(&format!("{url}?tlsCaFile=/nowhere/ca.pem"), 2),
        &["/nowhere/ca.pem"],
    );
    let _ = bare(["events"])
        .env("KAIGI_STORE", cluster.url())
        .run()
        .ended_with(0);
}

#[test]
fn a_stream_that_somebody_else_wrote_to_is_named_and_the_others_go_on() {
    let desk = Desk::new();
    for call in ["c1", "c2"] {
        desk.ask(&["call", call, "connect-call", "--agent", "agent:ana"], 0);
    }
    let foreign = Proposed::json("note-added", &json!({"note": "hello"}));
    let foreign = desk
        .cluster
        .log()
        .append("call-c1", Expected::Any, vec![foreign]);
    let position = foreign.unwrap().position.unwrap();
    let named = format!("event 1 of stream call-c1 at position {position}: ");
    let folder = tempdir().unwrap();
    let to = super::sled(&folder.path().join("calls"));
    let backup = folder.path().join("backup");
    for (args, code) in [
        (&["show", "call", "c1"][..], 1),
        (&["replay", "c1"], 1),
        (&["call", "c1", "end-call", "--by", "agent:ana"], 1),
        (&["store", "backup", backup.to_str().unwrap()], 1),
        (&["copy", "--to", &to], 1),
        (&["store", "digest"], 6),
    ] {
        let ran = desk.ask(args, code);
        says(
            &ran,
            &[
                "the store is damaged",
                &named,
                "note-added",
                "`kaigi store damaged`",
            ],
        );
    }
    let events = desk.ask(&["events"], 0);
    says(&events, &[&named, "note-added"]);
    let lines: Vec<_> = events
        .out
        .lines()
        .filter(|line| line.contains("damaged_event"))
        .collect();
    assert_eq!(lines.len(), 1, "{events:#?}");
    let active = desk.ask(&["show", "active-calls"], 0);
    says(
        &active,
        &[
            "calls with a damaged event are left out: 1",
            "kaigi store damaged",
        ],
    );
    assert!(
        active.out.contains("c2") && !active.out.contains("c1"),
        "{active:#?}"
    );
    desk.ask(&["call", "c2", "end-call", "--by", "agent:ana"], 0);
    desk.ask(&["replay", "c2"], 0);
}

/// Somebody changed what people read of an event, or what is stored of it.
#[test]
fn a_changed_event_is_named() {
    let desk = Desk::new();
    desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 0);
    desk.cluster.log().alter("call-c1", 0, |event| {
        let text = String::from_utf8(event.data.to_vec()).unwrap();
        event.data = text.replace("ana", "eva").into();
    });
    let ran = desk.ask(&["store", "digest"], 6);
    says(
        &ran,
        &[
            "event 0 of stream call-c1 at position ",
            "a backup may hold them whole",
        ],
    );
}

/// A message that lists thousands of calls helps less than one that says how to list them.
#[test]
fn a_digest_names_twenty_damaged_calls_and_how_many_more_there_are() {
    let desk = Desk::new();
    for number in 0..23 {
        let call = format!("c{number}");
        desk.ask(&["call", &call, "connect-call", "--agent", "agent:ana"], 0);
        let foreign = Proposed::json("note-added", &json!({ "note": "hello" }));
        let log = desk.cluster.log();
        let written = log.append(&format!("call-{call}"), Expected::Any, vec![foreign]);
        written.unwrap();
    }
    let ran = desk.ask(&["store", "digest"], 6);
    let named = |ran: &Ran| {
        ran.err
            .lines()
            .filter(|line| line.starts_with("  call c"))
            .count()
    };
    assert_eq!(named(&ran), 20, "{ran:?}");
    says(
        &ran,
        &[
            "events of 23 calls are damaged",
            "and 3 more: `kaigi store damaged` lists them",
        ],
    );
    let ran = desk.ask(&["store", "damaged", "--output", "ndjson"], 6);
    assert_eq!(ran.lines().len(), 23, "{ran:?}");
    says(&ran, &["23 damaged calls"]);
}

/// Each harm that was seen on a real server: the other calls are copied, and this one is not.
#[test]
fn a_copy_leaves_out_a_call_of_a_cluster_whatever_was_done_to_its_stream() {
    let folder = tempdir().unwrap();
    for (number, harm) in ["tombstone", "truncate", "delete", "foreign"]
        .iter()
        .enumerate()
    {
        let desk = Desk::new();
        for call in ["c1", "c2"] {
            desk.ask(&["call", call, "connect-call", "--agent", "agent:ana"], 0);
            desk.ask(&["call", call, "end-call", "--by", "agent:ana"], 0);
        }
        let log = desk.cluster.log();
        let harmed = match *harm {
            "tombstone" => log.tombstone("call-c1", Expected::Any),
            "delete" => log.delete("call-c1", Expected::Any),
            "foreign" => {
                let foreign = Proposed::json("note-added", &json!({}));
                log.append("call-c1", Expected::Any, vec![foreign])
            }
            _ => {
                let limits = Proposed::json("$metadata", &json!({ "$tb": 1 }));
                log.append("$$call-c1", Expected::Any, vec![limits])
            }
        };
        harmed.unwrap();
        let listed = desk
            .ask(&["store", "damaged", "--output", "json"], 6)
            .json();
        assert_eq!(listed["calls"], 1, "{harm}: {listed}");
        let row = &listed["damaged"][0];
        assert_eq!(
            (&row["call"], &row["stream"]),
            (&json!("c1"), &json!("call-c1"))
        );
        let to = super::sled(&folder.path().join(number.to_string()));
        desk.ask(&["copy", "--to", &to], 1);
        let whole = super::sled(&folder.path().join(format!("{number}-whole")));
        let args = [
            "copy",
            "--leave-out-damaged",
            "--to",
            &whole,
            "--output",
            "json",
        ];
        let ran = desk.ask(&args, 0);
        says(&ran, &["left out 1 damaged call: c1"]);
        let copied = ran.json();
        assert_eq!(
            (&copied["calls"], &copied["left_out"]),
            (&json!(1), &json!(1)),
            "{harm}"
        );
        assert_eq!(copied["digest_from"], copied["digest_to"]);
        let _ = bare(["--store", &whole, "show", "call", "c1"])
            .run()
            .ended_with(4);
        let _ = bare(["--store", &whole, "show", "call", "c2"])
            .run()
            .ended_with(0);
    }
}
