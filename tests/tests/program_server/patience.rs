//! `kaigi --server run` while the service, or the store that it has, is away.

use super::client::{commands, through};
use super::cluster::House;
use super::faults::{address, serving};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tempfile::tempdir;
use tests::program::{Ran, bare};
use tests::scripted::{Scripted, problem};

/// How often the service is killed during the import.
const KILLS: usize = 3;

/// What a service was sent, line by line.
type Sent = Arc<Mutex<Vec<Value>>>;

/// A service that answers commands of call c1 with that error and code as long as the predicate, which is asked how often
/// the line came before, says so. It accepts every other command.
fn failing_while(
    (error, code): (&'static str, &'static str),
    fails: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (Scripted, Sent) {
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    let service = Scripted::by_line(move |command| {
        let mut seen = seen.lock().unwrap();
        let before = seen
            .iter()
            .filter(|line| line["id"] == command["id"])
            .count();
        seen.push(command.clone());
        let (call, id) = (&command["call"], &command["id"]);
        if *call == "c1" && fails(before) {
            json!({ "line": 1, "call": call, "id": id, "error": error, "code": code })
        } else {
            json!({ "line": 1, "call": call, "id": id, "accepted": true })
        }
    });
    (service, sent)
}

const AWAY: (&str, &str) = ("the store is not available: no leader", "store_unavailable");

/// One command for each of those calls.
fn of_calls(calls: &[&str]) -> String {
    let command = |call| json!({ "call": call, "type": "consult_unanswered" }).to_string();
    let commands: Vec<_> = calls.iter().map(command).collect();
    commands.join("\n")
}

fn ids(lines: &[Value]) -> Vec<&Value> {
    lines.iter().map(|line| &line["id"]).collect()
}

/// Which lines were answered, in the order of the answers.
fn answered(ran: &Ran) -> Vec<u64> {
    let answers = ran.lines();
    let lines = answers.iter().map(|answer| answer["line"].as_u64());
    lines
        .map(|line| line.expect("each answer has a line"))
        .collect()
}

/// Enough commands that a run is never done before something happens to the service.
fn long_day() -> String {
    let args = ["simulate", "--calls", "300", "--seed", "5"];
    bare(args).run().ended_with(0).out
}

/// What the commands come to on a store that never fails.
fn undisturbed(input: &str) -> Ran {
    let run = bare(["--store", "memory:", "run", "-"]);
    run.input(input).run().ended_with(0)
}

/// The lines of call c1.
fn of_c1(sent: &Sent) -> Vec<Value> {
    let mut lines = sent.lock().unwrap().clone();
    lines.retain(|line| line["call"] == "c1");
    lines
}

/// Whether each command was accepted, in the order of the answers.
fn accepted(ran: &Ran) -> Vec<Value> {
    let decisions = ran.decisions().into_iter();
    decisions.map(|(_, accepted, _)| accepted).collect()
}

#[test]
fn undecided_commands_are_sent_again_in_the_order_of_their_call() {
    let (service, sent) = failing_while(AWAY, |before| before == 0);
    let input = of_calls(&["c1", "c2", "c1", "c3", "c1"]);
    let ran = through(&service.url, "run -").input(input).run();
    let ran = ran.ended_with(0);
    assert_eq!(answered(&ran), [1, 2, 3, 4, 5]);
    let answers = ran.lines();
    let [one, two, three] = [0, 2, 4].map(|at: usize| &answers[at]["id"]);
    assert_eq!(ids(&of_c1(&sent)), [one, one, two, two, three, three]);
}

#[test]
fn without_patience_nothing_is_sent_again() {
    let (service, sent) = failing_while(AWAY, |_| true);
    let input = of_calls(&["c1", "c2", "c1"]);
    let run = through(&service.url, "run - --patience 0");
    let ran = run.input(input).run().ended_with(75);
    assert_eq!(answered(&ran), [1, 2, 3]);
    assert_eq!(of_c1(&sent).len(), 1);
    let away = Scripted::in_turn([problem(
        503,
        "stopping",
        "it stops",
        &[("retry-after", "0")],
    )]);
    let run = through(&away.url, "run - --patience 0");
    let ran = run.input(commands(3)).run().ended_with(75);
    assert_eq!(away.asked().len(), 1);
    let answers = ran.lines();
    assert_eq!(ids(&answers), ids(&away.asked()[0].lines()));
    for answer in answers {
        assert!(answer["error"].as_str().unwrap().contains("it stops"));
    }
}

#[test]
fn when_patience_ends_every_line_has_one_answer() {
    let (service, _) = failing_while(AWAY, |_| true);
    let input = of_calls(&["c2", "c1", "c3", "c1"]);
    let run = through(&service.url, "run - --patience 1s");
    let ran = run.input(input).run().ended_with(75);
    assert_eq!(answered(&ran), [1, 2, 3, 4]);
    assert_eq!(
        accepted(&ran),
        [json!(true), Value::Null, json!(true), Value::Null]
    );
    assert!(ran.err.contains("the first on line 2"), "{ran:#?}");
}

#[test]
fn an_interrupt_ends_a_run_that_waits_and_every_line_before_the_last_it_sent_has_one_answer() {
    let (service, _) = failing_while(AWAY, |_| true);
    let input = of_calls(&["c2", "c1", "c1", "c3", "c1"]);
    let running = through(&service.url, "run -").input(input).begin();
    running.wait_until_told("waiting for the store: no leader, ");
    running.interrupt();
    let ran = running.ended().ended_with(75);
    assert_eq!(answered(&ran), [1, 2, 3, 4]);
    assert_eq!(
        accepted(&ran),
        [json!(true), Value::Null, Value::Null, json!(true)]
    );
    assert!(ran.err.contains("interrupted"), "{ran:#?}");
    let told = ran.err.matches("waiting for the store").count();
    assert_eq!(told, 1, "once for each wait: {ran:#?}");
}

/// Sending a command to a damaged call again changes nothing, and what follows it must not be judged without it.
#[test]
fn a_command_of_a_damaged_call_is_not_sent_again_and_holds_back_its_call() {
    let damaged = ("the store is damaged: event 1", "store_damaged");
    let (service, sent) = failing_while(damaged, |_| true);
    let input = of_calls(&["c1", "c1", "c2"]);
    let ran = through(&service.url, "run -").input(input).run();
    let ran = ran.ended_with(1);
    let answers = ran.lines();
    assert_eq!(answers[0]["code"], "store_damaged");
    let held_back = answers[1]["error"].as_str().unwrap();
    assert!(held_back.contains("earlier command"), "{held_back}");
    assert_eq!(answers[2]["accepted"], true);
    assert_eq!(of_c1(&sent).len(), 1);
}

/// Each accepted command's events are in the store, once, and no others.
fn each_is_kept_once(ran: &Ran, kept: &[Value]) {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for event in kept {
        *count.entry(event["command"].as_str().unwrap()).or_default() += 1;
    }
    let answers = ran.lines();
    let accepted = answers.iter().filter(|answer| answer["accepted"] == true);
    let told = accepted.map(|answer| {
        let events = answer["events"].as_array().unwrap();
        (answer["id"].as_str().unwrap(), events.len())
    });
    assert_eq!(count, told.collect());
}

#[test]
fn an_import_outlasts_kills_of_the_service_and_its_answers_are_as_without() {
    let folder = tempdir().unwrap();
    let address = address();
    let mut service = serving(folder.path(), &address, &[]);
    let day = long_day();
    let lines = day.lines().count();
    let running = through(&service.url, "run -").input(&*day).begin();
    for kill in 1..=KILLS {
        running.wait_for_lines(lines * kill / (KILLS + 1));
        let _ = service.kill();
        service = serving(folder.path(), &address, &[]);
    }
    let ran = running.ended().ended_with(0);
    ran.decides_as(&undisturbed(&day));
    let kept = through(&service.url, "events").run().ended_with(0).lines();
    each_is_kept_once(&ran, &kept);
    assert_eq!(service.stop().code, Some(0));
}

#[test]
fn a_run_through_a_service_waits_for_the_leader_of_its_cluster() {
    let house = House::new();
    let service = house.serving();
    let day = long_day();
    let running = through(&service.url, "run -").input(&*day).begin();
    running.wait_for_lines(20);
    for node in [0, 1] {
        house.cluster.kill(node);
    }
    running.wait_until_told("waiting for the store: ");
    for node in [0, 1] {
        house.cluster.revive(node);
    }
    let ran = running.ended().ended_with(0);
    ran.decides_as(&undisturbed(&day));
    let kept = through(&service.url, "events").run().ended_with(0).lines();
    each_is_kept_once(&ran, &kept);
    assert_eq!(service.stop().code, Some(0));
}
