//! Several processes at once, and one that is killed: every command is decided once, on what is stored then.

use super::{Desk, HOLD, day};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use tests::program::Ran;
use uuid::Uuid;

fn identified(mut command: Value) -> Value {
    command["id"] = json!(Uuid::new_v4());
    command
}

fn lines(commands: &[Value]) -> String {
    let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
    lines.join("\n")
}

/// How many events each command has, by the log's own events.
fn events_by_command(desk: &Desk) -> HashMap<String, usize> {
    let mut events = HashMap::new();
    for event in desk.ask(&["events"], 0).lines() {
        let command = event["command"].as_str().unwrap().to_owned();
        *events.entry(command).or_default() += 1;
    }
    events
}

/// What was accepted, by command: the events of the answer without the line.
pub(super) fn accepted(answers: &Ran) -> BTreeMap<String, Value> {
    let answers = answers.lines().into_iter();
    let accepted = answers.filter(|answer| answer["accepted"] == true);
    accepted
        .map(|answer| {
            (
                answer["id"].as_str().unwrap().to_owned(),
                answer["events"].clone(),
            )
        })
        .collect()
}

#[track_caller]
pub(super) fn each_is_written_once(desk: &Desk, accepted: &BTreeMap<String, Value>) {
    let events = events_by_command(desk);
    for (command, told) in accepted {
        assert_eq!(
            events.get(command),
            Some(&told.as_array().unwrap().len()),
            "{command}"
        );
    }
    assert_eq!(
        events.len(),
        accepted.len(),
        "nothing is there that nobody was told of"
    );
}

#[test]
fn two_runs_at_once_on_the_same_calls_settle() {
    let desk = Desk::new();
    let calls = 1..=8;
    let connects: Vec<_> = calls
        .clone()
        .map(|call| {
            identified(
                json!({"call": format!("c{call}"), "type": "connect_call", "agent": "agent:ana"}),
            )
        })
        .collect();
    let first = desk
        .on(&["run", "-"])
        .input(lines(&connects))
        .run()
        .ended_with(0);
    let turns = |by: &str| {
        let mut commands = Vec::new();
        for turn in 0..20 {
            for call in calls.clone() {
                let verb = if turn % 2 == 0 {
                    "start_monitoring"
                } else {
                    "stop_monitoring"
                };
                let mut command = json!({"call": format!("c{call}"), "type": verb, "by": format!("supervisor:{by}")});
                if turn % 2 == 0 {
                    command["agent"] = json!("agent:ana");
                }
                commands.push(identified(command));
            }
        }
        lines(&commands)
    };
    let (sam, kim) = (turns("sam"), turns("kim"));
    let both = std::thread::scope(|threads| {
        [sam, kim]
            .map(|input| threads.spawn(|| desk.on(&["run", "-"]).input(input).run()))
            .map(|running| running.join().unwrap().ended_with(0))
    });
    let mut all = accepted(&first);
    for ran in &both {
        let accepted = accepted(ran);
        assert_eq!(
            accepted.len(),
            160,
            "no supervisor is in another's way: {ran:#?}"
        );
        all.extend(accepted);
    }
    each_is_written_once(&desk, &all);
    desk.ask(&["store", "digest"], 0);
}

#[test]
fn the_same_commands_from_two_runs_at_once_are_written_once() {
    let desk = Desk::new();
    let day = day("40");
    let both = std::thread::scope(|threads| {
        [(), ()]
            .map(|()| threads.spawn(|| desk.on(&["run", "-"]).input(&*day).run()))
            .map(|running| running.join().unwrap().ended_with(0))
    });
    let [one, other] = both.each_ref().map(accepted);
    let mut all = one.clone();
    for (command, events) in &other {
        let told = all.entry(command.clone()).or_insert_with(|| events.clone());
        assert_eq!(told, events, "both are told the same");
    }
    assert!(
        one.len() > 200 && other.len() > 200,
        "{} {}",
        one.len(),
        other.len()
    );
    each_is_written_once(&desk, &all);
}

#[test]
fn a_run_that_was_killed_is_sent_again_and_writes_nothing_twice() {
    let desk = Desk::new();
    let day = day("60");
    let mut told = BTreeMap::new();
    for kill_after in [20, 120, 250] {
        let mut child = desk.on(&["run", "-"]).start();
        let mut input = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // It is killed while this goes on.
                let _ = input.write_all(day.as_bytes());
            });
            let answers: Vec<_> = out.by_ref().take(kill_after).map(Result::unwrap).collect();
            child.kill().unwrap();
            child.wait().unwrap();
            let answers = answers.join("\n");
            told.extend(accepted(&Ran {
                code: None,
                out: answers,
                err: String::new(),
            }));
        });
    }
    let whole = desk.on(&["run", "-"]).input(&*day).run().ended_with(0);
    let all = accepted(&whole);
    for (command, events) in &told {
        assert_eq!(all.get(command), Some(events), "an answer is a promise");
    }
    each_is_written_once(&desk, &all);
    let again = desk.on(&["run", "-"]).input(&*day).run().ended_with(0);
    assert_eq!(accepted(&again), all);
    each_is_written_once(&desk, &all);
}

/// A program that takes commands and answers each before the next.
struct Talking {
    child: Child,
    input: ChildStdin,
    out: BufReader<ChildStdout>,
}

impl Talking {
    fn with(desk: &Desk) -> Self {
        let mut child = desk.on(&["run", "-"]).start();
        let input = child.stdin.take().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, out }
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        let mut answer = String::new();
        self.out.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

/// One program has the call in its memory; another changes it.
#[test]
fn a_command_is_judged_on_what_is_stored_now() {
    let desk = Desk::new();
    let mut one = Talking::with(&desk);
    let connect = json!({"call": "c1", "type": "connect_call", "agent": "agent:ana"});
    assert_eq!(one.tell(&connect)["accepted"], true);
    let hold = json!({"call": "c1", "type": "hold", "by": "agent:ana", "party": "customer"});
    let resume = json!({"call": "c1", "type": "resume", "by": "agent:ana", "party": "customer"});
    assert_eq!(one.tell(&resume)["accepted"], false, "nobody is held");
    desk.ask(&HOLD, 0);
    // By what this one remembers, the first would be refused and the second accepted.
    assert_eq!(one.tell(&resume)["accepted"], true);
    desk.ask(&HOLD, 0);
    assert_eq!(one.tell(&hold)["accepted"], false);
    let told = one.tell(&resume);
    assert_eq!(
        (&told["accepted"], &told["revision"]),
        (&json!(true), &json!(5))
    );
    one.end();
}

#[test]
fn a_command_by_hand_that_another_made_impossible_is_refused_with_its_rule() {
    let desk = Desk::new();
    desk.ask(&["call", "c1", "connect-call", "--agent", "agent:ana"], 0);
    let both = std::thread::scope(|threads| {
        [(), ()]
            .map(|()| threads.spawn(|| desk.on(&HOLD).run()))
            .map(|running| running.join().unwrap())
    });
    let mut codes = both.each_ref().map(|ran| ran.code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(3)], "{both:#?}");
    let refused = both.iter().find(|ran| ran.code == Some(3)).unwrap().json();
    assert!(refused["rejection"]["rule"].is_string(), "{refused}");
    let expected = [
        "call",
        "c1",
        "resume",
        "--by",
        "agent:ana",
        "--party",
        "customer",
        "--expect",
        "1",
    ];
    desk.ask(&expected, 5);
}

/// The leader dies in the middle of a run, and nobody who asks notices more than a pause.
#[test]
fn a_run_outlasts_the_death_of_the_leader() {
    let desk = Desk::new();
    let day = day("60");
    let running = std::thread::scope(|threads| {
        let running = threads.spawn(|| desk.on(&["run", "-"]).input(&*day).run());
        for _ in 0..2 {
            let before = desk.cluster.log().events().len();
            while desk.cluster.log().events().len() < before + 60 && !running.is_finished() {
                std::thread::yield_now();
            }
            let leader = desk.cluster.leader().unwrap();
            desk.cluster.kill(leader);
            desk.cluster.revive(leader);
        }
        running.join().unwrap()
    });
    let all = accepted(&running.ended_with(0));
    each_is_written_once(&desk, &all);
}

#[test]
fn without_a_majority_a_run_without_patience_ends_and_is_sent_again() {
    let desk = Desk::new();
    let day = day("20");
    desk.cluster.kill(1);
    desk.cluster.kill(2);
    let away = desk
        .on_within(&["run", "-", "--patience", "0"], 800)
        .input(&*day)
        .run()
        .ended_with(75);
    assert!(away.err.ends_with('\n') && away.out.is_empty(), "{away:?}");
    desk.cluster.revive(1);
    let all = accepted(&desk.on(&["run", "-"]).input(&*day).run().ended_with(0));
    each_is_written_once(&desk, &all);
}
