//! The program as a client: `--server`.

use client::{Client, RemoteStore};
use domain::{AppendError, Batch, CallId, EventStore as _, Head, Position, Revision, StoreError};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use tempfile::tempdir;
use tests::program::{Ran, Run, bare, on};
use tests::scripted::{Scripted, answer, begun, problem, streamed};
use tests::service::Running as Service;
use tests::service_program::Serving;
use uuid::Uuid;

/// The program with those arguments, through that service.
pub(super) fn through(url: &str, args: &str) -> Run {
    bare(["--server", url].into_iter().chain(args.split(' ')))
}

/// What a service answers that has no row.
fn no_rows() -> Vec<u8> {
    let page = json!({ "as_of": "2026-11-22T09:00:00.000Z", "position": 7, "count": 7, "proof": "00".repeat(32), "rows": [], "next": null });
    answer(200, "application/json", &page.to_string())
}

#[test]
fn a_question_is_asked_again_when_the_service_is_busy_or_breaks_off() {
    let busy = |status| problem(status, "busy", "try again", &[("retry-after", "0")]);
    let broken_off = begun("application/json", "{\"as_of\":");
    let service = Scripted::in_turn([busy(503), busy(429), broken_off, no_rows()]);
    let shown = through(&service.url, "show monitoring").run().ended_with(0);
    assert_eq!(shown.json()["position"], 7);
    assert_eq!(service.asked().len(), 4);
}

#[test]
fn a_service_that_stays_away_is_worth_another_try_later() {
    let busy = problem(503, "stopping", "it stops", &[("retry-after", "0")]);
    let service = Scripted::in_turn([busy]);
    let shown = through(&service.url, "calls").run().ended_with(75);
    assert!(shown.err.contains("it stops"), "{shown:#?}");
    // Nobody listens there any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for verb in [
        "calls",
        "events",
        "replay c1",
        "store info",
        "call c1 consult-unanswered",
    ] {
        let ran = through(&url, verb).run().ended_with(75);
        assert!(ran.err.contains(&url), "{ran:#?}");
    }
}

#[test]
fn what_is_no_such_service_is_said_to_be_none() {
    let page = answer(200, "text/html", "<h1>It works</h1>");
    let service = Scripted::in_turn([page]);
    let shown = through(&service.url, "calls").run().ended_with(1);
    assert!(shown.err.contains("is it a kaigi service"), "{shown:#?}");
}

#[test]
fn every_page_is_fetched() {
    let page = |call: &str, next: Value| {
        let row = json!({ "call": call, "may_start": true, "rule": null, "sessions": [] });
        let page = json!({ "as_of": "2026-11-22T09:00:00.000Z", "position": 7, "count": 7, "proof": "00".repeat(32), "rows": [row], "next": next });
        answer(200, "application/json", &page.to_string())
    };
    let service = Scripted::new(move |asked| match asked.path.split_once("cursor=") {
        None => page("c1", json!("a b")),
        Some((_, "a+b")) => page("c2", json!("c")),
        Some((_, "c")) => page("c3", Value::Null),
        Some((_, cursor)) => panic!("{cursor} was never given"),
    });
    let shown = through(&service.url, "show monitoring --output ndjson");
    let lines = shown.run().ended_with(0).lines();
    let calls: Vec<_> = lines.iter().map(|line| line["call"].as_str()).collect();
    assert_eq!(calls, [Some("c1"), Some("c2"), Some("c3")]);
}

#[test]
fn the_key_comes_from_the_environment_or_a_file_and_is_shown_to_nobody() {
    let service = Scripted::in_turn([no_rows()]);
    let show = || through(&service.url, "show monitoring");
    let folder = tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "kaigi_b_geheim\n").unwrap();
    let file = file.to_str().unwrap();
    let _ = show().run().ended_with(0);
    let _ = show()
        .env("KAIGI_KEY", "kaigi_a_geheim")
        .run()
        .ended_with(0);
    let with_file = format!("show monitoring --key-file {file}");
    let with_file = through(&service.url, &with_file).env("KAIGI_KEY", "kaigi_a_geheim");
    let _ = with_file.run().ended_with(0);
    let asked = service.asked();
    let keys: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("authorization"))
        .collect();
    let bearer = |key| Some(key);
    assert_eq!(
        keys,
        [
            None,
            bearer("Bearer kaigi_a_geheim"),
            bearer("Bearer kaigi_b_geheim")
        ]
    );
    let wrong = show().env("KAIGI_KEY", "geheim\u{7}").run().ended_with(2);
    assert!(!wrong.err.contains("geheim"), "{wrong:#?}");
    for url in ["http://ana:geheim@localhost", "htp://ana:geheim@localhost"] {
        let wrong = through(url, "calls").run().ended_with(2);
        assert!(!wrong.err.contains("geheim"), "{wrong:#?}");
    }
}

#[test]
fn a_command_by_hand_ends_as_its_answer_says() {
    for (status, code, exit) in [
        (404, "call_not_found", 4),
        (409, "call_full", 3),
        (412, "conflict", 5),
        (422, "command_id_reused", 3),
    ] {
        let service = Scripted::in_turn([problem(status, code, "what to do", &[])]);
        let ran = through(&service.url, "call c1 consult-unanswered").run();
        let refused = ran.ended_with(exit).json();
        assert_eq!(refused["accepted"], false);
        assert_eq!(refused["rejection"]["code"], code);
        assert_eq!(refused["rejection"]["message"], "what to do");
        assert_eq!(service.asked().len(), 1, "a refusal is an answer");
    }
    for (status, code, exit) in [
        (400, "malformed", 1),
        (401, "key_missing", 1),
        (403, "not_yours", 1),
        (404, "no_such_route", 4),
        (500, "store_damaged", 1),
    ] {
        let service = Scripted::in_turn([problem(status, code, "what to do", &[])]);
        let ran = through(&service.url, "call c1 consult-unanswered").run();
        let ran = ran.ended_with(exit);
        assert!(ran.err.contains("what to do"), "{ran:#?}");
        let names_the_key = ran.err.contains("KAIGI_KEY") && ran.err.contains("kaigi keys create");
        assert_eq!(names_the_key, matches!(status, 401 | 403), "{ran:#?}");
    }
}

#[test]
fn a_command_is_sent_again_with_its_id_and_if_that_does_not_help_the_id_is_told() {
    let busy = problem(503, "unsettled", "others write", &[("retry-after", "0")]);
    let service = Scripted::in_turn([busy]);
    let ran = through(&service.url, "call c1 consult-unanswered").run();
    let ran = ran.ended_with(75);
    let asked = service.asked();
    let ids: Vec<_> = asked
        .iter()
        .map(|asked| asked.lines()[0]["id"].clone())
        .collect();
    assert!(
        ids.len() > 1 && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    let id = ids[0].as_str().unwrap();
    assert!(ran.err.contains(&format!("--id {id}")), "{ran:#?}");
}

/// Answers of a service to those lines, counted from one.
fn accepted(lines: &[Value]) -> String {
    let answers = (1..).zip(lines).map(|(line, command)| {
        let (call, id) = (&command["call"], &command["id"]);
        let answer = json!({ "line": line, "call": call, "id": id, "accepted": true, "revision": 1, "events": [] });
        format!("{answer}\n")
    });
    answers.collect()
}

const NDJSON: &str = "application/x-ndjson";

pub(super) fn commands(count: u32) -> String {
    let command = |number| {
        let agent = format!("agent:a{number}");
        let command =
            json!({ "call": format!("c{number}"), "type": "connect_call", "agent": agent });
        format!("{command}\n")
    };
    (1..=count).map(command).collect()
}

#[test]
fn what_was_not_answered_when_the_connection_broke_is_sent_again_with_its_ids() {
    let service = Scripted::new(|asked| {
        let lines = asked.lines();
        match lines.len() {
            // The first time three are answered, and half of the fourth.
            8 => {
                let answers = accepted(&lines);
                let three: usize = answers.lines().take(3).map(|line| line.len() + 1).sum();
                begun(NDJSON, &answers[..three + 20])
            }
            _ => streamed(NDJSON, &accepted(&lines)),
        }
    });
    // A line that is no command needs no service, and is answered in its place.
    let input = commands(8).replacen('\n', "\n\nnonsense\n", 1);
    let ran = through(&service.url, "run -")
        .input(input)
        .run()
        .ended_with(65);
    let [first, second] = &service.asked()[..] else {
        panic!("two requests");
    };
    assert_eq!(
        first.lines()[3..],
        second.lines(),
        "the same lines, the same ids"
    );
    let answers = ran.lines();
    let told: Vec<_> = answers
        .iter()
        .map(|answer| answer["line"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [1, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(answers[1]["error"].is_string());
    let ids: Vec<_> = answers
        .iter()
        .filter(|answer| answer["id"].is_string())
        .collect();
    assert!(
        ids.iter()
            .zip(first.lines())
            .all(|(answer, sent)| answer["id"] == sent["id"])
    );
}

#[test]
fn a_service_that_takes_no_more_lines_is_sent_the_others_again() {
    let service = Scripted::new(|asked| {
        let lines = asked.lines();
        let stopping = "{\"line\":3,\"error\":\"the service is stopping\"}\n";
        match lines.len() {
            4 => streamed(NDJSON, &(accepted(&lines[..2]) + stopping)),
            _ => streamed(NDJSON, &accepted(&lines)),
        }
    });
    let ran = through(&service.url, "run -").input(commands(4)).run();
    assert_eq!(ran.ended_with(0).lines().len(), 4);
    assert_eq!(service.asked().len(), 2);
}

#[test]
fn a_damaged_store_is_one_through_a_service_too() {
    let stands = json!({ "store": Uuid::new_v4().to_string(), "position": 7 }).to_string();
    let service = Scripted::new(move |asked| {
        if asked.path.starts_with("/v1/position") {
            return answer(200, "application/json", &stands);
        }
        let said = "the store is damaged: a block is missing";
        problem(500, "store_damaged", said, &[])
    });
    let ran = through(&service.url, "store digest").run().ended_with(6);
    let said = "kaigi: the store is damaged: a block is missing";
    assert!(ran.err.contains(said), "{ran:#?}");
}

/// A day of commands.
fn a_day() -> String {
    bare(["simulate", "--calls", "40", "--seed", "5"])
        .run()
        .ended_with(0)
        .out
}

#[test]
fn through_a_service_everything_is_as_on_the_store_it_has() {
    let (served, local) = (tempdir().unwrap(), tempdir().unwrap());
    let service = Serving::on(served.path());
    let day = a_day();
    let by_service = through(&service.url, "run -")
        .input(day.clone())
        .run()
        .ended_with(0);
    let by_store = on(local.path(), ["run", "-"])
        .input(day)
        .run()
        .ended_with(0);
    by_service.decides_as(&by_store);

    let verbs = [
        "show active-calls",
        "show wrap-up-queue",
        "show monitoring",
        "show handle-times",
        "show handle-times --by agent",
        "show handle-times --window 1h --by queue",
        "show handle-times --window 1h --by agent --explain",
        "show active-calls --queue billing",
        "calls",
        "calls --phase ended --from 2026-03-02T12:00:00Z",
        "replay sim-5-000003",
        "show call sim-5-000003",
        "events",
        "events --after 5 --call sim-5-000003",
        "store dump",
        "store digest",
        "store info",
    ];
    let asked = |run: &dyn Fn(&str) -> Run| -> Vec<String> {
        let forms = verbs.iter().flat_map(|verb| {
            ["json", "table", "csv"].map(|form| format!("{verb} --output {form}"))
        });
        forms.map(|verb| run(&verb).run().out).collect()
    };
    let remote = asked(&|verb| through(&service.url, verb));
    let url = service.url.clone();
    let _ = service.stop().ended_with(0);
    let here = asked(&|verb| on(served.path(), verb.split(' ')));
    let folder = format!("sled:{}", served.path().display());
    for (remote, here) in remote.iter().zip(&here) {
        assert_eq!(steady(&remote.replace(&url, &folder)), steady(here));
    }
}

/// What does not change with the time of the question.
fn steady(out: &str) -> String {
    if let Ok(Value::Object(mut fields)) = serde_json::from_str(out) {
        for field in ["as_of", "bytes_on_disk"] {
            fields.remove(field);
        }
        return Value::Object(fields).to_string();
    }
    // How many bytes the store has, and how long ago something was.
    let lines = out.lines().filter(|line| !line.starts_with("size"));
    let words = lines.flat_map(|line| line.split_whitespace().chain(["\n"]));
    let words = words.filter(|word| !is_an_age(word));
    words.collect::<Vec<_>>().join(" ")
}

/// Days and hours, such as 265d15h.
fn is_an_age(word: &str) -> bool {
    let age = word.strip_suffix('h').and_then(|age| age.split_once('d'));
    age.is_some_and(|(days, hours)| {
        (days.to_owned() + hours)
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    })
}

#[test]
fn a_service_is_backed_up_and_copied_while_it_runs() {
    let (served, kept) = (tempdir().unwrap(), tempdir().unwrap());
    let service = Serving::on(served.path());
    let _ = through(&service.url, "run -")
        .input(a_day())
        .run()
        .ended_with(0);
    let digest = through(&service.url, "store digest")
        .run()
        .ended_with(0)
        .json();
    let path = |name: &str| kept.path().join(name).to_str().unwrap().to_owned();

    let backup = format!("store backup {}", path("backup"));
    let _ = through(&service.url, &backup).run().ended_with(0);
    let verified = bare(["store", "verify", &path("backup")])
        .run()
        .ended_with(0);
    assert_eq!(verified.json()["digest"], digest["digest"]);

    let to = format!("sled:{}", path("copy"));
    let from = service.url.clone();
    let copied = bare(["copy", "--from", &from, "--to", &to])
        .run()
        .ended_with(0)
        .json();
    assert_eq!(copied["digest_to"], digest["digest"]);
    let again = through(&service.url, &format!("copy --to {to}"))
        .run()
        .ended_with(0);
    assert_eq!(again.json()["sent"], 0);
    let back = bare(["copy", "--from", &to, "--to", &from])
        .run()
        .ended_with(2);
    assert!(back.err.contains("takes commands, not events"), "{back:#?}");
    let _ = service.stop();
}

#[test]
fn a_run_outlasts_a_service_that_is_killed_and_started_again() {
    let folder = tempdir().unwrap();
    let mut service = Serving::on(folder.path());
    let address = service.address().to_owned();
    let mut running = Running::start(through(&service.url, "run -"));
    let day = a_day();
    let lines: Vec<_> = day.lines().collect();
    let mut accepted = Vec::new();
    for (round, part) in lines.chunks(lines.len().div_ceil(3)).enumerate() {
        if round > 0 {
            let _ = service.kill();
            // What is sent meanwhile finds nobody.
            running.send(part);
            service = Serving::start(on(
                folder.path(),
                ["serve", "--listen", &address, "--without-keys"],
            ));
        } else {
            running.send(part);
        }
        for _ in part {
            let answer = running.answer();
            let events = answer["events"].as_array().cloned().unwrap_or_default();
            accepted.extend(events.into_iter().map(|event| event["id"].clone()));
        }
    }
    let _ = running.end().ended_with(0);
    let kept = through(&service.url, "events").run().ended_with(0).lines();
    let mut kept: Vec<_> = kept
        .into_iter()
        .map(|event| event["id"].to_string())
        .collect();
    let mut accepted: Vec<_> = accepted.into_iter().map(|id| id.to_string()).collect();
    kept.sort();
    accepted.sort();
    assert_eq!(accepted, kept, "nothing lost, nothing twice");
    let _ = service.stop();
}

#[test]
fn what_is_watched_is_told_as_it_changes() {
    let folder = tempdir().unwrap();
    let service = Serving::on(folder.path());
    let watch = |form: &str| {
        let watch = format!("show active-calls --queue billing --watch --output {form}");
        Running::start(through(&service.url, &watch))
    };
    let (mut lines, mut tables) = (watch("ndjson"), watch("table"));
    while lines.answer()["event"] != "caught_up" {}
    tables.line_with("no call goes on");
    let connect = |call: &str, queue: &str| {
        let connect = format!("call {call} connect-call --agent agent:ana --queue {queue}");
        let _ = through(&service.url, &connect).run().ended_with(0);
    };
    connect("c1", "sales");
    connect("c2", "billing");
    let mut row = lines.answer();
    while row["event"] != "row" {
        row = lines.answer();
    }
    assert_eq!(row["row"]["call"], "c2", "another queue is not watched");
    tables.line_with("c2");
    lines.stop();
    tables.stop();
    let _ = service.stop();
}

#[test]
fn a_key_that_lacks_a_role_is_told_which() {
    let folder = tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    let keys = keys.to_str().unwrap();
    let create = [
        "keys", "create", "--keys", keys, "--name", "board", "--role", "reader", "--output", "json",
    ];
    let created = bare(create).run().ended_with(0).json();
    let key = created["key"]
        .as_str()
        .expect("the key is shown once")
        .to_owned();
    let service = Serving::with(&folder.path().join("store"), ["--keys", keys]);
    let asked = |verb: &str| through(&service.url, verb).env("KAIGI_KEY", &key).run();
    let _ = asked("show active-calls").ended_with(0);
    for verb in ["events", "replay c1", "store info", "follow"] {
        let refused = asked(verb).ended_with(1);
        assert!(refused.err.contains("auditor"), "{verb}: {refused:#?}");
        assert!(!refused.err.contains(&key), "{refused:#?}");
    }
    let without = through(&service.url, "show active-calls")
        .run()
        .ended_with(1);
    assert!(without.err.contains("KAIGI_KEY"), "{without:#?}");
    let _ = service.stop();
}

#[test]
fn what_needs_the_files_of_a_store_says_so_and_what_to_do() {
    let server = "http://localhost:1";
    for verb in [
        "store check",
        "store repair x",
        "store restore x",
        "demo",
        "serve",
    ] {
        let refused = through(server, verb).run().ended_with(2);
        assert!(refused.err.contains("store"), "{verb}: {refused:#?}");
    }
    let both = bare(["calls", "--server", server, "--store", "memory:"])
        .run()
        .ended_with(2);
    assert!(both.err.contains("two places"), "{both:#?}");
    for env in [("KAIGI_SERVER", server), ("KAIGI_STORE", server)] {
        let refused = bare(["store", "check"])
            .env(env.0, env.1)
            .run()
            .ended_with(2);
        assert!(refused.err.contains("--store"), "{refused:#?}");
    }
    // What needs neither store nor service asks for none.
    let _ = through(server, "simulate --calls 1").run().ended_with(0);
}

/// The program at work, its input and its output in our hands.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(run: Run) -> Self {
        let mut child = run.start();
        let out = child.stdout.take().unwrap();
        Self {
            input: child.stdin.take(),
            lines: BufReader::new(out).lines(),
            child,
        }
    }

    fn send(&mut self, lines: &[&str]) {
        let input = self.input.as_mut().unwrap();
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
        input.flush().unwrap();
    }

    fn line(&mut self) -> String {
        let line = self.lines.next();
        line.expect("the program goes on").unwrap()
    }

    fn answer(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn line_with(&mut self, part: &str) {
        while !self.line().contains(part) {}
    }

    /// Ends its input, and waits for its end.
    fn end(mut self) -> Ran {
        drop(self.input.take());
        self.child.wait_with_output().unwrap().into()
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn a_store_is_read_through_its_service_as_if_it_were_at_hand() {
    let service = Service::start().await;
    let here = Arc::clone(&service.service.store);
    let client = |key: &str| Client::new(&service.url, Some(key.to_owned())).unwrap();
    let there = RemoteStore::open(client(&service.keys.auditor))
        .await
        .unwrap();
    assert_eq!(there.id(), here.id());
    let (call, nobodys): (CallId, CallId) = ("a%b?c#d".parse().unwrap(), "c2".parse().unwrap());
    let pbx = client(&service.keys.telephony);
    let send = async |mut command: Value| {
        command["call"] = call.as_str().into();
        let path = ["v1", "calls", call.as_str(), "commands"];
        pbx.post(path, command.to_string()).await.unwrap();
    };
    let (waited, ()) = tokio::join!(
        there.wait_past(Position::START),
        send(json!({ "type": "connect_call", "agent": "agent:ana" })),
    );
    assert_eq!(waited, Ok(Position(1)));
    send(json!({ "type": "start_consult", "by": "agent:ana", "target": "agent:ben" })).await;

    assert_eq!(there.info().await, here.info().await);
    for after in [0, 1, 3] {
        let (revision, position) = (Revision(after), Position(after));
        let events = there.read_call(&call, revision).await.unwrap();
        assert_eq!(events, here.read_call(&call, revision).await.unwrap());
        assert_eq!(events.len() as u64, 3 - after);
        for max in [1, 2, 100_000] {
            let events = there.read_all(position, max).await;
            assert_eq!(events, here.read_all(position, max).await);
        }
    }
    assert_eq!(there.read_call(&nobodys, Revision(0)).await, Ok(Vec::new()));

    let events = here.read_call(&call, Revision(0)).await.unwrap();
    let events = events.into_iter().map(|stored| stored.recorded).collect();
    let appended = there.append(Batch::new(Head::NONE, events).unwrap()).await;
    assert!(matches!(
        appended,
        Err(AppendError::Store(StoreError::Refused(_)))
    ));
    service.stop().await;
    let gone = there.info().await;
    assert!(matches!(gone, Err(StoreError::Unavailable(_))), "{gone:?}");
}

#[test]
fn a_certificate_of_an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("chain.pem"), certified.cert.pem()).unwrap();
    fs::write(path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let tls = [
        "--tls-certificate",
        &path("chain.pem"),
        "--tls-key",
        &path("key.pem"),
        "--without-keys",
    ];
    let service = Serving::with(Path::new(&path("store")), tls);
    let port = service.address().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("https://localhost:{port}");
    let show = |more: &str| through(&url, &format!("show monitoring{more}")).run();
    let _ = show("").ended_with(75);
    let _ = show(&format!(" --ca-file {}", path("chain.pem"))).ended_with(0);
    let wrong = show(&format!(" --ca-file {}", path("key.pem"))).ended_with(2);
    assert!(wrong.err.contains("BEGIN CERTIFICATE"), "{wrong:#?}");
    let _ = service.stop();
}
