//! The program that puts any store to the contract: it says yes to those that hold it, and no to those that do not.

use serde_json::Value;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::closed_port::ClosedPort;
use tests::contract::checks;
use tests::program::Ran;
use tests::standin::{Config, Recorded, Right, StandIn, User};

const PASSWORD: &str = "geheim";

fn store_contract(url: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-contract"));
    command.args(arguments).arg(url);
    let ran = Ran::from(command.output().expect("the program runs"));
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:#?}");
    ran
}

/// What it says of each promise, as JSON.
fn verdicts(ran: &Ran) -> Vec<(String, String, String)> {
    let whole = ran.json();
    let findings = whole["findings"].as_array().expect("there are findings");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .iter()
        .map(|finding| {
            (
                text(&finding["promise"]),
                text(&finding["verdict"]),
                text(&finding["why"]),
            )
        })
        .collect()
}

/// The one promise that did not hold, and why.
#[track_caller]
fn did_not_hold(ran: &Ran) -> (String, String) {
    let mut broken = verdicts(ran);
    broken.retain(|(_, verdict, _)| verdict == "did_not_hold");
    assert_eq!(broken.len(), 1, "{ran:#?}");
    let (promise, _, why) = broken.swap_remove(0);
    (promise, why)
}

fn a_cluster(nodes: usize) -> StandIn {
    StandIn::start_with(Config {
        nodes,
        users: vec![User::new("ops", PASSWORD)],
        ..Config::default()
    })
}

fn url(cluster: &StandIn) -> String {
    cluster.url_as("ops", PASSWORD)
}

#[test]
fn a_store_that_holds_the_contract_is_told_so_promise_by_promise() {
    let ran = store_contract("memory:", &["--seconds", "1"]).ended_with(0);
    for check in checks() {
        let promise = check.name.replace('_', " ");
        let row = ran.out.lines().find(|row| row.contains(&promise));
        assert!(row.is_some_and(|row| row.ends_with("held")), "{promise}");
    }
    let last = format!("{} held, 0 did not hold, 0 not tried", checks().len() + 6);
    assert!(ran.out.contains(&last), "{ran:#?}");
    assert!(ran.out.contains("begin with contract-") && ran.out.contains("commands accepted"));
}

#[test]
fn one_node_holds_the_contract() {
    let cluster = a_cluster(1);
    let ran = store_contract(&url(&cluster), &["--seconds", "1", "--json"]).ended_with(0);
    let whole = ran.json();
    assert_eq!(whole["held"], checks().len() + 6, "{ran:#?}");
    assert_eq!(whole["server"], Config::default().version);
    assert!(whole["load"]["accepted"].as_u64() > Some(100), "{ran:#?}");
    // Nobody asked for a resignation, and the calls are where the program says.
    assert_eq!(whole["not_tried"], 1);
    let calls = format!("call-{}-", whole["calls"].as_str().expect("a prefix"));
    let streams = cluster.log().events().into_iter().map(|event| event.stream);
    let ours = |stream: &String| stream.starts_with(&calls);
    let mut others = streams.filter(|stream| !ours(stream) && !stream.starts_with('$'));
    assert_eq!(others.next().as_deref(), Some("kaigi_store"));
    assert_eq!(others.next(), None);
}

#[test]
fn a_leader_that_resigns_under_load_changes_nothing_but_the_leader() {
    let cluster = a_cluster(3);
    let load = ["--only", "load", "--seconds", "3", "--resign"];
    let ran = store_contract(&url(&cluster), &load).ended_with(0);
    assert!(
        ran.out.contains("7 held, 0 did not hold, 0 not tried"),
        "{ran:#?}"
    );
    assert_ne!(cluster.leader(), Some(0));
}

#[test]
fn a_leader_that_would_be_elected_again_loses_its_priority_before_it_resigns() {
    let cluster = a_cluster(3);
    cluster.faults().prefer_the_leader();
    let load = ["--only", "load", "--seconds", "1", "--resign"];
    let ran = store_contract(&url(&cluster), &load).ended_with(0);
    assert!(ran.out.contains("7 held, 0 did not hold"), "{ran:#?}");
    assert_ne!(cluster.leader(), Some(0));
}

#[test]
fn a_leader_that_is_elected_again_is_asked_again() {
    let cluster = a_cluster(3);
    cluster.faults().elect_again(1);
    let load = ["--only", "load", "--seconds", "1", "--resign"];
    let ran = store_contract(&url(&cluster), &load).ended_with(0);
    assert!(ran.out.contains("7 held, 0 did not hold"), "{ran:#?}");
    assert_ne!(cluster.leader(), Some(0));
}

#[test]
fn a_leader_killed_by_hand_during_the_load_is_seen() {
    let cluster = a_cluster(3);
    let load = ["--only", "load", "--seconds", "5", "--json"];
    let ran = thread::scope(|scope| {
        let running = scope.spawn(|| store_contract(&url(&cluster), &load));
        while !cluster.log().events().iter().any(is_of_the_load) {
            assert!(!running.is_finished(), "the load began");
            thread::yield_now();
        }
        cluster.kill(0);
        running.join().expect("the program ends")
    });
    let ran = ran.ended_with(0);
    let mut seen = verdicts(&ran);
    seen.retain(|(_, verdict, _)| verdict == "seen");
    let [first, second, _] = cluster.ports()[..] else {
        panic!("three nodes");
    };
    let nodes = format!("127.0.0.1:{first} led, then 127.0.0.1:{second}");
    let promise = "the leader resigns meanwhile, and another node leads".to_owned();
    assert_eq!(seen, [(promise, "seen".to_owned(), nodes)]);
    assert_eq!(ran.json()["seen"], 1);
}

fn is_of_the_load(event: &Recorded) -> bool {
    event.stream.starts_with("call-contract-") && event.stream.contains("-load-")
}

#[test]
fn a_resignation_that_cannot_be_asked_for_is_not_tried() {
    let (three, one) = (a_cluster(3), a_cluster(1));
    three.deny(Right::Operate);
    for (cluster, why) in [(three, "group $ops"), (one, "names one node")] {
        let load = ["--only", "load", "--seconds", "1", "--resign", "--json"];
        let ran = store_contract(&url(&cluster), &load).ended_with(0);
        let not_tried = verdicts(&ran)
            .into_iter()
            .find(|finding| finding.1 == "not_tried");
        let (promise, _, told) = not_tried.expect("one was not tried");
        assert!(
            promise.contains("resigns") && told.contains(why),
            "{ran:#?}"
        );
        assert_eq!(cluster.leader(), Some(0));
    }
}

#[test]
fn an_embedded_store_is_tried_in_a_new_folder_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = format!("sled:{}", folder.path().join("store").display());
    let held = store_contract(&new, &["--only", "again"]).ended_with(0);
    assert!(held.err.is_empty(), "{held:#?}");
    for arguments in [
        &["--only", "again"][..],
        &["--only", "load", "--seconds", "1"],
    ] {
        let ran = store_contract(&new, arguments).ended_with(2);
        assert!(
            ran.err.contains("name a folder that is not there yet"),
            "{ran:#?}"
        );
    }
}

#[test]
fn what_cannot_be_tried_is_told_before_anything_is() {
    let closed = ClosedPort::reserve();
    let port = closed.number();
    let away = format!("esdb://ops:{PASSWORD}@127.0.0.1:{port}?tls=false");
    let ran = store_contract(&away, &[]).ended_with(75);
    assert!(
        ran.err.contains("no node of the cluster can be reached"),
        "{ran:#?}"
    );
    let cluster = a_cluster(1);
    let refused = store_contract(&cluster.url_as("ops", "wrong"), &[]).ended_with(1);
    assert!(
        refused.err.contains("the password is wrong"),
        "{refused:#?}"
    );
    for (url, arguments) in [
        (format!("esbd://ops:{PASSWORD}@host"), &[][..]),
        (format!("esdb://ops:{PASSWORD}@host?tsl=false"), &[]),
        ("memory:".to_owned(), &["--resign"]),
        ("memory:".to_owned(), &["--at-once", "1"]),
        ("memory:".to_owned(), &["--only", "no such words"]),
    ] {
        let ran = store_contract(&url, arguments).ended_with(2);
        assert_eq!(
            ran.out.lines().filter(|row| row.ends_with("held")).count(),
            0
        );
    }
}

/// The promise on which everything rests, broken by the server: the table must say no, and which it was.
#[test]
fn a_server_that_writes_whatever_is_expected_is_found_out() {
    let cluster = a_cluster(1);
    cluster.faults().ignore_expectations();
    let checks = ["one of many writers", "kept once", "same head conflict"];
    for words in checks {
        let ran = store_contract(&url(&cluster), &["--only", words, "--json"]).ended_with(6);
        let (promise, why) = did_not_hold(&ran);
        assert!(promise.contains(words) && !why.is_empty(), "{ran:#?}");
    }
    let ran = store_contract(&url(&cluster), &["--only", "same head conflict"]).ended_with(6);
    assert!(
        ran.out.contains("DID NOT HOLD: ") && ran.err.is_empty(),
        "{ran:#?}"
    );
}

/// A disk that forgets what it was told, while the load goes on.
#[test]
fn events_that_are_changed_meanwhile_are_found_out() {
    let cluster = a_cluster(1);
    let over = AtomicBool::new(false);
    let ran = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                change_one(&cluster);
            }
        });
        let load = ["--only", "load", "--seconds", "2", "--json"];
        let ran = store_contract(&url(&cluster), &load);
        over.store(true, Ordering::Relaxed);
        ran
    });
    let (promise, why) = did_not_hold(&ran.ended_with(6));
    assert!(
        promise.contains("commands for") || promise.contains("can be read"),
        "{promise}"
    );
    assert!(why.contains("of stream call-contract-"), "{why}");
}

/// Gives the first event of a call in the load another actor.
fn change_one(cluster: &StandIn) {
    let events = cluster.log().events().into_iter();
    let Some(event) = events
        .map(|event| event.stream)
        .find(|name| name.contains("-load-"))
    else {
        return;
    };
    cluster.log().alter(&event, 0, |event| {
        let metadata = String::from_utf8_lossy(&event.metadata);
        event.metadata = metadata
            .replace("\"actor\":null", "\"actor\":\"agent:eve\"")
            .into();
    });
}
