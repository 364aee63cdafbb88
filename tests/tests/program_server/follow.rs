//! `kaigi follow`: what it prints, and what it proves.

use domain::envelope::{Hash, roll};
use domain::json::Sha256Text;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use tempfile::tempdir;
use tests::program::{Ran, Run, bare, on};
use tests::scripted::{Asked, Scripted, answer, begun, problem, streamed};
use tests::service_program::Serving;

const STORE: &str = "6f1ff5a4-5a6f-4f0e-9a7e-9bb4bd1ea1c5";

/// A feed as a service has it, with room between the positions.
#[derive(Clone)]
struct Feed {
    store: &'static str,
    /// Position and hash of each event.
    events: Vec<(u64, Hash)>,
}

impl Feed {
    fn of(count: u8) -> Self {
        let events = (1..=count).map(|number| (u64::from(number) * 10, Hash([number; 32])));
        Self {
            store: STORE,
            events: events.collect(),
        }
    }

    /// The count and the digest of what stands at or before that position.
    fn prefix(&self, position: u64) -> Value {
        let up_to = self.events.iter().filter(|(at, _)| *at <= position);
        let (count, hash) = up_to.fold((0, Hash([0; 32])), |(count, rolled), (_, hash)| {
            (count + 1, roll(rolled, *hash))
        });
        json!({
            "store": self.store, "position": position, "count": count,
            "rolling_hash": Sha256Text(hash.0).to_string(),
        })
    }

    fn begin(&self, position: u64) -> String {
        message(position, "begin", &self.prefix(position))
    }

    fn progress(&self, position: u64) -> String {
        message(position, "progress", &self.prefix(position))
    }

    /// The events after that position, as the stream tells them.
    fn after(&self, position: u64) -> Vec<String> {
        let further = self.events.iter().filter(|(at, _)| *at > position);
        let told = further.map(|(at, hash)| {
            let mut event = event(*at, *hash);
            let prefix = self.prefix(*at);
            for field in ["count", "rolling_hash"] {
                event[field] = prefix[field].clone();
            }
            message(*at, "call_connected", &event)
        });
        told.collect()
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |(at, _)| *at)
    }

    /// Answers what is asked beside the stream.
    fn answer(&self, asked: &Asked) -> Vec<u8> {
        let json = |value: &Value| answer(200, "application/json", &value.to_string());
        match asked.path.split_once('?') {
            None => json(&json!({ "store": self.store, "position": self.last() })),
            Some(("/v1/proof", position)) => {
                let position = position.trim_start_matches("position=").parse();
                json(&self.prefix(position.unwrap()))
            }
            Some((path, _)) => panic!("nobody asks for {path}"),
        }
    }
}

fn event(position: u64, hash: Hash) -> Value {
    let hash = Sha256Text(hash.0).to_string();
    json!({ "position": position, "call": "c1", "hash": hash, "data": {} })
}

fn message(id: u64, kind: &str, data: &Value) -> String {
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n")
}

const SSE: &str = "text/event-stream";

/// A service whose streams are what is made of its feed: the first time, the second, and so on.
fn service(feed: &Feed, streams: impl IntoIterator<Item = Vec<u8>>) -> Scripted {
    let (feed, streams) = (
        feed.clone(),
        Mutex::new(streams.into_iter().collect::<Vec<_>>()),
    );
    Scripted::new(move |asked| {
        if !asked.path.starts_with("/v1/events") {
            return feed.answer(asked);
        }
        let mut streams = streams.lock().unwrap();
        if streams.is_empty() {
            return problem(503, "stopping", "no more is written down", &[]);
        }
        streams.remove(0)
    })
}

fn follow(service: &Scripted, args: &str) -> Run {
    let args = args.split(' ').filter(|arg| !arg.is_empty());
    let follow = ["follow", "--server", &service.url, "--until-caught-up"];
    bare(follow.into_iter().chain(args))
}

/// What was followed, without the proof in the end.
fn positions(ran: &Ran) -> Vec<u64> {
    let mut lines = ran.lines();
    let proof = lines.pop().expect("there is a proof");
    assert_eq!(proof["caught_up"], true);
    let positions = lines.iter().map(|line| line["position"].as_u64().unwrap());
    positions.collect()
}

#[test]
fn what_came_is_proved_to_be_all_there_is() {
    let feed = Feed::of(3);
    let stream = feed.begin(0) + &feed.progress(0) + &feed.after(0).concat();
    let service = service(&feed, [begun(SSE, &stream)]);
    let ran = follow(&service, "").run().ended_with(0);
    assert_eq!(positions(&ran), [10, 20, 30]);
    let lines = ran.lines();
    assert_eq!(
        lines[0],
        event(10, Hash([1; 32])),
        "as `kaigi events` prints it"
    );
    let (proof, prefix) = (&lines[3], feed.prefix(30));
    for field in ["store", "position", "count", "rolling_hash"] {
        assert_eq!(proof[field], prefix[field]);
    }
    assert_eq!(proof["since"]["count"], 0);
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_gone_on_with() {
    let feed = Feed::of(3);
    let events = feed.after(0);
    let cut = &events[1][..events[1].len() / 2];
    let cut_off = message(20, "cut_off", &json!({ "reason": "too slow" }));
    let service = service(
        &feed,
        [
            begun(SSE, &(feed.begin(0) + &events[0] + cut)),
            problem(503, "stopping", "it stops", &[("retry-after", "0")]),
            streamed(SSE, &(feed.begin(10) + &events[1] + &cut_off)),
            begun(SSE, &(feed.begin(20) + &feed.progress(20) + &events[2])),
        ],
    );
    let ran = follow(&service, "").run().ended_with(0);
    assert_eq!(positions(&ran), [10, 20, 30], "each once");
    let asked = service.asked();
    let streams = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/v1/events"));
    let resumed: Vec<_> = streams.map(|asked| asked.header("last-event-id")).collect();
    assert_eq!(resumed, [None, Some("10"), Some("10"), Some("20")]);
}

/// Follows a stream of that feed in which something is wrong, and answers what was said of it.
fn noticed(feed: &Feed, stream: &str) -> String {
    let service = service(feed, [begun(SSE, stream)]);
    follow(&service, "").run().ended_with(6).err
}

#[test]
fn an_event_that_is_missing_is_noticed() {
    let feed = Feed::of(3);
    let mut events = feed.after(0);
    events.remove(1);
    let said = noticed(&feed, &(feed.begin(0) + &events.concat()));
    assert!(
        said.contains("at position 30") && said.contains("since position 10"),
        "{said}"
    );
    assert!(said.contains("1 were not sent"), "{said}");
    let said = noticed(
        &feed,
        &(feed.begin(0) + &feed.after(0)[0] + &feed.progress(30)),
    );
    assert!(said.contains("2 were not sent"), "{said}");
}

#[test]
fn an_event_that_was_altered_or_comes_twice_is_noticed() {
    let feed = Feed::of(3);
    let mut other = feed.clone();
    other.events[1].1 = Hash([9; 32]);
    let mut events = feed.after(0);
    let told = &feed.prefix(20)["rolling_hash"];
    let altered = other.after(10)[0].replace(
        other.prefix(20)["rolling_hash"].as_str().unwrap(),
        told.as_str().unwrap(),
    );
    let said = noticed(&feed, &(feed.begin(0) + &events[0] + &altered));
    assert!(
        said.contains("at position 20") && said.contains("rolling hash"),
        "{said}"
    );
    events[1] = events[0].clone();
    let said = noticed(&feed, &(feed.begin(0) + &events.concat()));
    assert!(said.contains("came twice"), "{said}");
}

#[test]
fn a_checkpoint_goes_on_where_it_ended_and_only_on_the_same_history() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("seen.json");
    let checkpoint = format!("--checkpoint {}", file.display());
    let two = Feed::of(2);
    let service_of_two = service(&two, [begun(SSE, &(two.begin(0) + &two.after(0).concat()))]);
    let ran = follow(&service_of_two, &checkpoint).run().ended_with(0);
    assert_eq!(positions(&ran), [10, 20]);
    let seen = fs::read_to_string(&file).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&seen).unwrap(),
        two.prefix(20)
    );

    let mut altered = Feed::of(3);
    altered.events[0].1 = Hash([9; 32]);
    let mut elsewhere = Feed::of(3);
    elsewhere.store = "00000000-0000-4000-8000-000000000000";
    let shorter = problem(409, "ahead_of_store", "the store ends at position 10", &[]);
    for (feed, stream, said) in [
        (
            &altered,
            begun(SSE, &altered.begin(20)),
            "is not what the store holds",
        ),
        (
            &elsewhere,
            begun(SSE, &elsewhere.begin(20)),
            "another store",
        ),
        (
            &Feed::of(3),
            shorter,
            "position 20 was seen, and the store ends",
        ),
    ] {
        let service = service(feed, [stream]);
        let ran = follow(&service, &checkpoint).run().ended_with(6);
        assert!(ran.err.contains(said), "{ran:#?}");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            seen,
            "what is wrong is not kept"
        );
    }

    let three = Feed::of(3);
    let stream = three.begin(20) + &three.after(20).concat();
    let service_of_three = service(&three, [begun(SSE, &stream)]);
    let ran = follow(&service_of_three, &checkpoint).run().ended_with(0);
    assert_eq!(positions(&ran), [30]);
    assert_eq!(ran.lines()[1]["since"]["count"], 2);
    assert!(
        service_of_three
            .asked()
            .iter()
            .any(|asked| asked.path.contains("after=20"))
    );
}

#[test]
fn a_proof_that_differs_in_the_end_is_no_proof() {
    let feed = Feed::of(2);
    let stream = begun(SSE, &(feed.begin(0) + &feed.after(0).concat()));
    let mut other = feed.clone();
    other.events[0].1 = Hash([9; 32]);
    let service = service(&other, [stream]);
    let ran = follow(&service, "").run().ended_with(6);
    assert!(!ran.out.contains("caught_up"), "{ran:#?}");
}

#[test]
fn a_file_that_is_no_checkpoint_is_left_as_it_is() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    let service = service(&Feed::of(1), []);
    let checkpoint = format!("--checkpoint {}", file.display());
    let ran = follow(&service, &checkpoint).run().ended_with(1);
    assert!(ran.err.contains("no checkpoint"), "{ran:#?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

/// A day of commands.
fn a_day(seed: u32) -> String {
    let seed = seed.to_string();
    let day = bare(["simulate", "--calls", "30", "--seed", &seed]);
    day.run().ended_with(0).out
}

fn through(url: &str, args: &str) -> Run {
    bare(["--server", url].into_iter().chain(args.split(' ')))
}

fn send(service: &Serving, seed: u32) {
    let _ = through(&service.url, "run -")
        .input(a_day(seed))
        .run()
        .ended_with(0);
}

/// The program at work until it is told to end.
struct Following {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(service: &Serving, args: &str) -> Self {
        let mut child = through(&service.url, args).start();
        let out = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(out).lines(),
        }
    }

    fn event(&mut self) -> Value {
        let line = self.lines.next().expect("it goes on").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Tells it to end, and answers what it printed until then.
    fn end(self) -> Vec<Value> {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        assert!(kill.unwrap().success());
        let rest = self
            .lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let rest = rest.collect();
        let ended = self.child.wait_with_output().unwrap();
        let _ = Ran::from(ended).ended_with(0);
        rest
    }
}

fn serving(folder: &Path, address: &str) -> Serving {
    Serving::start(on(folder, ["serve", "--listen", address, "--without-keys"]))
}

#[test]
fn what_is_followed_is_what_the_store_holds() {
    let folder = tempdir().unwrap();
    let service = Serving::on(folder.path());
    send(&service, 1);
    let followed = through(&service.url, "follow --until-caught-up");
    let followed = followed.run().ended_with(0);
    let events = through(&service.url, "events").run().ended_with(0);
    let (lines, proof) = followed.out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(lines, events.out.trim_end(), "the same lines, byte by byte");
    let proof: Value = serde_json::from_str(proof).unwrap();
    assert_eq!(proof["count"], events.lines().len());
    let quiet = through(&service.url, "follow --until-caught-up --quiet");
    assert_eq!(quiet.run().ended_with(0).json(), proof);
    let last = proof["position"].as_u64().unwrap();
    let from_there = format!("follow --until-caught-up --after {}", last - 1);
    let from_there = through(&service.url, &from_there).run().ended_with(0);
    assert_eq!(positions(&from_there), [last]);
    let _ = service.stop();
}

#[test]
fn over_restarts_of_itself_and_of_the_service_it_misses_nothing() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("store");
    let checkpoint = folder.path().join("seen.json");
    let follow = format!("follow --checkpoint {}", checkpoint.display());
    let mut seen = Vec::new();

    let service = Serving::on(&store);
    let address = service.address().to_owned();
    send(&service, 1);
    let mut following = Following::start(&service, &follow);
    seen.push(following.event());
    let killed = service.kill();
    assert_eq!(killed.code, None);
    let service = serving(&store, &address);
    send(&service, 2);
    // Both days are there once the second one's events come.
    let is_of_the_second = |event: &Value| event["call"].as_str().unwrap().starts_with("sim-2");
    while !is_of_the_second(&seen[seen.len() - 1]) {
        seen.push(following.event());
    }
    seen.extend(following.end());

    send(&service, 3);
    let _ = service.stop().ended_with(0);
    let service = serving(&store, &address);
    let caught_up = through(&service.url, &format!("{follow} --until-caught-up"));
    let mut caught_up = caught_up.run().ended_with(0).lines();
    let proof = caught_up.pop().unwrap();
    seen.extend(caught_up);
    assert_eq!(
        seen,
        through(&service.url, "events").run().ended_with(0).lines()
    );
    assert_eq!(proof["count"], seen.len());
    let _ = service.stop();
}

#[test]
fn a_store_that_was_restored_from_an_older_copy_is_noticed() {
    let folder = tempdir().unwrap();
    let (store, older) = (folder.path().join("store"), folder.path().join("older"));
    let checkpoint = folder.path().join("seen.json");
    let follow = format!(
        "follow --until-caught-up --checkpoint {}",
        checkpoint.display()
    );
    let service = Serving::on(&store);
    send(&service, 1);
    let _ = service.stop().ended_with(0);
    copied(&store, &older);
    let service = Serving::on(&store);
    send(&service, 2);
    let _ = through(&service.url, &follow).run().ended_with(0);
    let _ = service.stop().ended_with(0);

    let service = Serving::on(&older);
    let lost = through(&service.url, &follow).run().ended_with(6);
    assert!(lost.err.contains("was seen"), "{lost:#?}");
    send(&service, 3);
    send(&service, 4);
    let others = through(&service.url, &follow).run().ended_with(6);
    assert!(
        others.err.contains("up to which both agreed"),
        "{others:#?}"
    );
    let _ = service.stop();
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
