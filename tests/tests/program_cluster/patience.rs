//! `kaigi run` while the cluster is away or has no leader.

use super::Desk;
use super::together::{accepted, each_is_written_once};
use serde_json::Value;
use tests::program::{Ran, Started, bare};
use tests::standin::Failure;

/// What a run says that waits.
const WAITING: &str = "waiting for the store: ";

/// What the commands come to on a store that never fails.
fn undisturbed(day: &str) -> Ran {
    let run = bare(["--store", "memory:", "run", "-"]);
    run.input(day).run().ended_with(0)
}

/// Enough commands that a run is never done before the cluster is gone.
fn day() -> String {
    super::day("300")
}

impl Desk {
    /// A run of that day that gives up on a call after half a second, and then waits.
    fn begin(&self, day: &str, more: &[&str]) -> Started {
        let run = [&["run", "-"], more].concat();
        self.on_within(&run, 500).input(day).begin()
    }

    fn lose_the_majority(&self) {
        self.cluster.kill(0);
        self.cluster.kill(1);
    }

    fn regain_the_majority(&self) {
        self.cluster.revive(0);
        self.cluster.revive(1);
    }

    /// The same day sent again: what the earlier run accepted is answered as before, and all is written once.
    fn goes_on_from(&self, earlier: &Ran, day: &str) {
        let again = self.on(&["run", "-"]).input(day).run().ended_with(0);
        let all = accepted(&again);
        for (command, events) in accepted(earlier) {
            assert_eq!(all.get(&command), Some(&events), "an answer is a promise");
        }
        each_is_written_once(self, &all);
    }
}

/// Lines 1 to the last, each answered once, in order.
fn is_whole(ran: &Ran) {
    let answers = ran.lines();
    let lines = answers.iter().map(|answer| answer["line"].as_u64());
    assert!(lines.eq((1..=answers.len() as u64).map(Some)), "{ran:#?}");
}

#[test]
fn a_run_waits_for_a_leader_and_its_answers_are_as_without() {
    let desk = Desk::new();
    let day = day();
    let running = desk.begin(&day, &[]);
    for lines in [50, 200] {
        running.wait_for_lines(lines);
        desk.lose_the_majority();
        // More than one attempt of each command fails.
        let told = running.times_told(WAITING);
        running.wait_until_told_again(WAITING, told);
        desk.regain_the_majority();
    }
    let ran = running.ended().ended_with(0);
    ran.decides_as(&undisturbed(&day));
    each_is_written_once(&desk, &accepted(&ran));
}

#[test]
fn a_run_waits_for_a_cluster_that_cannot_be_reached_yet() {
    let desk = Desk::new();
    let day = super::day("5");
    (0..3).for_each(|node| desk.cluster.kill(node));
    let running = desk.begin(&day, &[]);
    running.wait_until_told("waiting for the store: cannot open ");
    (0..3).for_each(|node| desk.cluster.revive(node));
    let ran = running.ended().ended_with(0);
    ran.decides_as(&undisturbed(&day));
}

#[test]
fn an_interrupt_ends_a_run_that_waits_for_a_leader() {
    let desk = Desk::new();
    let day = day();
    let running = desk.begin(&day, &[]);
    running.wait_for_lines(50);
    desk.lose_the_majority();
    running.wait_until_told("waiting for the store: ");
    running.interrupt();
    let ran = running.ended().ended_with(75);
    assert!(ran.err.contains("kaigi: interrupted; "), "{ran:#?}");
    is_whole(&ran);
    desk.regain_the_majority();
    desk.goes_on_from(&ran, &day);
}

#[test]
fn when_patience_ends_every_line_has_one_answer_and_the_input_can_be_sent_again() {
    let desk = Desk::new();
    let day = day();
    desk.run("");
    let running = desk.begin(&day, &["--patience", "2s"]);
    running.wait_for_lines(20);
    desk.lose_the_majority();
    let ran = running.ended().ended_with(75);
    is_whole(&ran);
    assert_eq!(ran.lines().len(), day.lines().count());
    desk.regain_the_majority();
    desk.goes_on_from(&ran, &day);
}

/// The cluster does not agree on the write in time.
#[test]
fn a_command_by_hand_that_is_not_decided_names_the_id_to_send_it_again_with() {
    let desk = Desk::new();
    desk.run("");
    let call = ["call", "c1", "connect-call", "--agent", "agent:ana"];
    desk.cluster
        .faults()
        .refuse_writes(100_000, Failure::TimedOut);
    let ran = desk.on_within(&call, 500).run().ended_with(75);
    let (_, id) = ran.err.split_once("send it again with --id ").unwrap();
    let (id, _) = id.split_once(' ').unwrap();
    desk.cluster.faults().forget();
    let again = [&call[..], &["--id", id, "--output", "json"]].concat();
    let answer = desk.ask(&again, 0).json();
    let events = desk.ask(&["events"], 0).lines();
    assert_eq!(Value::from(events), answer["events"], "it was written once");
}

/// What a program says about a cluster without a leader is for people: no word of the library that talks to it.
#[test]
fn without_a_leader_messages_say_so_and_what_to_do() {
    let desk = Desk::new();
    desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 0);
    desk.lose_the_majority();
    for args in [
        &["run", "-", "--patience", "0"][..],
        &["call", "c1", "end-call", "--by", "agent:ana"],
        &["show", "call", "c1"],
        &["show", "active-calls"],
        &["calls"],
        &["replay", "c1"],
        &["events"],
        &["store", "info"],
        &["store", "digest"],
    ] {
        let run = desk.on_within(args, 500);
        let command = r#"{"call":"c1","type":"end_call","by":"agent:ana"}"#;
        let ran = super::said_no_password(run.input(command).run().ended_with(75));
        for inner in [
            "MetadataMap",
            "headers",
            "Status {",
            "Some(",
            "Grpc",
            "tonic",
        ] {
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!said.contains(inner), "{args:?} {inner}: {said}");
        }
        assert!(ran.err.contains("again"), "{args:?}: {ran:#?}");
    }
}
