//! Several services on one cluster: a command is taken by any of them, and each tells what all of them took.

use domain::envelope::{Hash, roll};
use domain::handle::rebuild;
use domain::json::{Sha256Text, parse_command, parse_line};
use domain::{Head, StoredEvent, decide};
use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::{TempDir, tempdir};
use tests::program::{Run, bare};
use tests::service_program::Serving;
use tests::sse::{Parser, Sent, taken};
use tests::standin::{Config, StandIn};
use uuid::Uuid;

/// How long something that is waited for may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster of three nodes, and a machine with services on it.
pub(super) struct House {
    pub(super) cluster: StandIn,
    home: TempDir,
}

impl House {
    pub(super) fn new() -> Self {
        Self {
            cluster: cluster(),
            home: tempdir().unwrap(),
        }
    }

    /// The cluster, given up on after a second instead of ten.
    fn store(&self) -> String {
        format!("{}&defaultDeadline=1000", self.cluster.url())
    }

    fn run(&self, args: &[&str]) -> Run {
        bare(args)
            .env("KAIGI_STORE", self.store())
            .env("XDG_DATA_HOME", self.home.path())
    }

    /// One more service. All of a machine keep their read models in one folder.
    pub(super) fn serving(&self) -> Serving {
        Serving::start(self.run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--without-keys",
            "--log",
            "none",
            "--heartbeat",
            "100ms",
        ]))
    }

    /// No node answers, and whoever was connected is not any more.
    fn is_away(&self) {
        (0..3).for_each(|node| self.cluster.kill(node));
    }

    fn is_back(&self) {
        (0..3).for_each(|node| self.cluster.revive(node));
    }
}

/// Its ports are none that the system gives to those who connect: while a node is dead, one of them could be connected
/// to itself.
fn cluster() -> StandIn {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 10_000 + u16::try_from(std::process::id() % 9_000).unwrap();
    loop {
        let config = Config {
            nodes: 3,
            port: Some(begin + NEXT.fetch_add(3, Ordering::Relaxed)),
            ..Config::default()
        };
        if let Ok(cluster) = StandIn::try_start(config) {
            return cluster;
        }
    }
}

/// Asks again until it is so. A test in which it never is has failed.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    asked.unwrap_or_else(|_| panic!("{what}: never"));
}

/// A service, as a program on another machine knows it.
#[derive(Clone)]
struct Desk {
    http: Client,
    url: String,
}

/// An answer.
#[derive(Debug)]
struct Told {
    status: StatusCode,
    retry_after: Option<String>,
    position: Option<u64>,
    body: Value,
}

impl Told {
    /// None if the connection ended before it was whole.
    async fn of(sent: reqwest::Result<Response>) -> Option<Self> {
        let answer = sent.ok()?;
        let status = answer.status();
        let header = |name| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (retry_after, position) = (header("retry-after"), header("kaigi-position"));
        let text = answer.text().await.ok()?;
        Some(Self {
            status,
            retry_after,
            position: position.map(|position| position.parse().unwrap()),
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }
}

impl Desk {
    fn at(serving: &Serving) -> Self {
        Self {
            http: Client::new(),
            url: serving.url.clone(),
        }
    }

    async fn send(&self, command: &Value) -> Option<Told> {
        let call = command["call"].as_str().unwrap();
        let path = format!("{}/v1/calls/{call}/commands", self.url);
        let sent = self
            .http
            .post(path)
            .header("content-type", "application/json");
        Told::of(sent.body(command.to_string()).send().await).await
    }

    /// The answer to a command that is accepted.
    async fn accepts(&self, command: &Value) -> Told {
        let told = self.send(command).await.expect("it answers");
        assert_eq!(told.status, 200, "{command}: {told:?}");
        told
    }

    async fn asked(&self, path: &str) -> Told {
        let sent = self.http.get(format!("{}{path}", self.url)).send().await;
        Told::of(sent).await.expect("it answers")
    }

    /// What is answered with 200.
    async fn json(&self, path: &str) -> Value {
        let told = self.asked(path).await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
        told.body
    }

    async fn status(&self, path: &str) -> u16 {
        self.asked(path).await.status.as_u16()
    }

    async fn stream(&self, path: &str, last: &str) -> reqwest::Result<Response> {
        let asked = self.http.get(format!("{}{path}", self.url));
        let mut asked = asked.header("accept", "text/event-stream");
        if !last.is_empty() {
            asked = asked.header("last-event-id", last);
        }
        asked.send().await
    }

    /// All events, page by page, and the rolling hash that goes with them.
    async fn pages(&self) -> (Vec<Value>, Value) {
        let (mut events, mut after) = (Vec::new(), json!(0));
        loop {
            let page = self
                .json(&format!("/v1/events?after={after}&limit=97"))
                .await;
            after = page["position"].clone();
            events.extend(page["events"].as_array().unwrap().clone());
            if page["caught_up"] == true {
                return (events, page["rolling_hash"].clone());
            }
        }
    }

    /// The events of a call as they are stored.
    async fn history(&self, call: &str) -> Vec<StoredEvent> {
        let path = format!("{}/v1/calls/{call}/events?form=whole", self.url);
        let asked = self
            .http
            .get(path)
            .header("accept", "application/x-ndjson")
            .send();
        let answer = asked.await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        text.lines().map(|line| parse_line(line).unwrap()).collect()
    }

    /// The rows of the calls that go on.
    async fn active_calls(&self) -> Vec<Value> {
        let calls = self.json("/v1/active-calls").await;
        calls["rows"].as_array().unwrap().clone()
    }
}

fn command(call: &str, fields: Value) -> Value {
    let mut command = fields;
    command["call"] = call.into();
    command["id"] = Uuid::new_v4().to_string().into();
    command
}

fn connect(call: &str) -> Value {
    command(call, json!({"type": "connect_call", "agent": "agent:ana"}))
}

fn hold(call: &str) -> Value {
    command(
        call,
        json!({"type": "hold", "by": "agent:ana", "party": "customer"}),
    )
}

fn resume(call: &str) -> Value {
    command(
        call,
        json!({"type": "resume", "by": "agent:ana", "party": "customer"}),
    )
}

/// One that a rule may refuse.
fn any_command(call: &str, chance: u128) -> Value {
    let start = |who: &str| json!({"type": "start_monitoring", "by": who, "agent": "agent:ana"});
    let stop = |who: &str| json!({"type": "stop_monitoring", "by": who});
    match chance % 6 {
        0 => hold(call),
        1 => resume(call),
        2 => command(call, start("supervisor:sam")),
        3 => command(call, stop("supervisor:sam")),
        4 => command(call, start("supervisor:sue")),
        _ => command(call, stop("supervisor:sue")),
    }
}

/// The calls that all clients send commands for.
const CALLS: [&str; 4] = ["c0", "c1", "c2", "c3"];

/// Clients that send to any of the services, and what they were told.
#[derive(Default)]
struct Load {
    urls: Mutex<Vec<String>>,
    is_over: AtomicBool,
    /// How many commands were settled.
    settled: AtomicUsize,
    /// How often one was sent again for want of an answer.
    unanswered: AtomicUsize,
    /// The highest revision of each call that anybody was told.
    revisions: Mutex<HashMap<String, u64>>,
    accepted: Mutex<Vec<Value>>,
    refused: Mutex<Vec<Refused>>,
}

/// A command that was refused.
struct Refused {
    command: Value,
    /// Where its call was known to be when it was sent.
    known: u64,
    problem: Value,
    /// Somebody was asked before and had no answer: what was under way there may still be written.
    is_doubtful: bool,
}

impl Load {
    /// Connects every call, here and there.
    async fn begin(services: &[&Serving]) -> Arc<Self> {
        let load = Arc::new(Self::default());
        *held(&load.urls) = services.iter().map(|serving| serving.url.clone()).collect();
        let http = Client::new();
        for (number, call) in CALLS.iter().enumerate() {
            load.settle(&http, connect(call), number as u128).await;
        }
        assert_eq!(held(&load.accepted).len(), CALLS.len());
        load
    }

    /// So many clients, until it is over.
    fn clients(self: &Arc<Self>, clients: usize) -> Vec<tokio::task::JoinHandle<()>> {
        let client = |_| {
            let load = Arc::clone(self);
            tokio::spawn(async move {
                let http = Client::new();
                while !load.is_over.load(Ordering::Relaxed) {
                    let chance = Uuid::new_v4().as_u128();
                    let call = CALLS[usize::try_from(chance % CALLS.len() as u128).unwrap()];
                    let mut command = any_command(call, chance >> 8);
                    if (chance >> 16).is_multiple_of(4) {
                        command["expect"] = load.known(call).into();
                    }
                    load.settle(&http, command, chance >> 80).await;
                }
            })
        };
        (0..clients).map(client).collect()
    }

    async fn more(&self, commands: usize) {
        let wanted = self.settled.load(Ordering::Relaxed) + commands;
        until("commands are settled", async || {
            self.settled.load(Ordering::Relaxed) >= wanted
        })
        .await;
    }

    async fn end(&self, clients: Vec<tokio::task::JoinHandle<()>>) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in join_all(clients).await {
            client.unwrap();
        }
    }

    /// The proof of everything that was accepted; the service has read all of it then.
    async fn proof(&self, desk: &Desk) -> Value {
        let last = {
            let accepted = held(&self.accepted);
            let events = accepted.iter().map(|answer| answer["events"].as_array());
            let positions = events
                .flat_map(|events| events.unwrap())
                .map(|event| event["position"].as_u64().unwrap());
            positions.max().unwrap()
        };
        desk.json(&format!("/v1/proof?position={last}")).await
    }

    fn known(&self, call: &str) -> u64 {
        held(&self.revisions).get(call).copied().unwrap_or(0)
    }

    fn desk(&self, http: &Client, chance: u128) -> Desk {
        let urls = held(&self.urls);
        let choice = usize::try_from(chance % urls.len() as u128).unwrap();
        Desk {
            http: http.clone(),
            url: urls[choice].clone(),
        }
    }

    /// Sends it until there is an answer, to another service each time. What was accepted is sent once more now and
    /// then, and now and then to two at once.
    async fn settle(&self, http: &Client, command: Value, chance: u128) {
        let known = self.known(command["call"].as_str().unwrap());
        let mut is_doubtful = false;
        for turn in chance.. {
            let (desk, other) = (self.desk(http, turn), self.desk(http, turn + 1));
            let asked = if (turn >> 8).is_multiple_of(8) {
                &[&desk, &other][..]
            } else {
                &[&desk]
            };
            let told = join_all(asked.iter().map(|desk| desk.send(&command))).await;
            let told: Vec<_> = told.into_iter().flatten().filter(is_settled).collect();
            is_doubtful |= told.len() < asked.len();
            // One that accepts, if there is one.
            let Some(told) = told.into_iter().min_by_key(|told| told.status) else {
                self.try_again().await;
                continue;
            };
            match told.status.as_u16() {
                200 => self.accepted(&other, &command, told.body, turn).await,
                404 | 409 | 412 => held(&self.refused).push(Refused {
                    command,
                    known,
                    problem: told.body,
                    is_doubtful,
                }),
                _ => panic!("{command}: {told:?}"),
            }
            self.settled.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }

    async fn accepted(&self, other: &Desk, command: &Value, answer: Value, chance: u128) {
        let revision = answer["revision"].as_u64().unwrap();
        {
            let mut revisions = held(&self.revisions);
            let known = revisions
                .entry(answer["call"].as_str().unwrap().to_owned())
                .or_default();
            *known = revision.max(*known);
        }
        if (chance >> 12).is_multiple_of(4)
            && let Some(again) = other.send(command).await
            && again.status != 503
        {
            assert_eq!(
                (again.status.as_u16(), &again.body),
                (200, &answer),
                "the same command is answered the same elsewhere"
            );
        }
        held(&self.accepted).push(answer);
    }

    async fn try_again(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    /// Every command that was accepted is there once, as it was answered; every refusal was right where the call stood,
    /// and that was no older than what was known before.
    async fn is_what_is_stored(&self, desk: &Desk) {
        let _ = self.proof(desk).await;
        let (stored, _) = desk.pages().await;
        let mut by_command: HashMap<&str, Vec<&Value>> = HashMap::new();
        for event in &stored {
            let command = event["command"].as_str().unwrap();
            by_command.entry(command).or_default().push(event);
        }
        let accepted = held(&self.accepted).clone();
        for answer in &accepted {
            let told: Vec<_> = answer["events"].as_array().unwrap().iter().collect();
            let kept = by_command.get(answer["id"].as_str().unwrap());
            assert_eq!(kept, Some(&told), "what was answered is what is kept");
        }
        let mut ids: HashSet<_> = accepted
            .iter()
            .map(|answer| answer["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), accepted.len());
        ids.extend(self.doubtful());
        for id in by_command.keys() {
            assert!(ids.contains(*id), "{id} was refused");
        }
        for call in CALLS {
            self.refusals_were_right(call, &desk.history(call).await);
        }
    }

    fn doubtful(&self) -> HashSet<String> {
        let refused = held(&self.refused);
        let doubtful = refused.iter().filter(|refused| refused.is_doubtful);
        doubtful
            .map(|refused| refused.command["id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn refusals_were_right(&self, call: &str, history: &[StoredEvent]) {
        let refused = held(&self.refused);
        for refused in refused
            .iter()
            .filter(|refused| refused.command["call"] == call)
        {
            refused.was_right(history);
        }
    }
}

impl Refused {
    fn was_right(&self, history: &[StoredEvent]) {
        let Self {
            command,
            known,
            problem,
            ..
        } = self;
        let revision = problem["revision"].as_u64().unwrap();
        assert!(revision >= *known, "{command}: {problem}, not {known}");
        if problem["status"] == 412 {
            assert_ne!(command["expect"], revision);
            return;
        }
        let (state, _) = rebuild(&history[..usize::try_from(revision).unwrap()]).unwrap();
        let request = parse_command(&command.to_string()).unwrap();
        let rejection = decide(&state, &request.command).expect_err("a rule refuses it");
        assert_eq!(problem["code"], rejection.code.name(), "{command}");
    }
}

/// Whoever does not know says when to ask again.
fn is_settled(told: &Told) -> bool {
    let is_settled = told.status != 503;
    assert!(is_settled || told.retry_after.is_some(), "{told:?}");
    is_settled
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics with it")
}

/// Who follows all events, now here and now there, and finds every gap and every repeat.
struct Consumer {
    /// What it names when it comes back.
    last: String,
    events: Vec<Value>,
    rolled: Hash,
    /// How often it connected.
    connections: usize,
}

impl Consumer {
    fn new() -> Self {
        Self {
            last: "0".to_owned(),
            events: Vec::new(),
            rolled: Head::NONE.hash,
            connections: 0,
        }
    }

    /// Reads on at that service until it has enough or the stream ends; what it ended with, if it said so.
    async fn read(&mut self, desk: &Desk, mut enough: impl FnMut(&Self) -> bool) -> Option<Value> {
        let answer = desk.stream("/v1/events", &self.last).await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        self.connections += 1;
        let mut stream = answer;
        let mut parser = Parser::default();
        while let Ok(Some(bytes)) = stream.chunk().await {
            for sent in taken(&mut parser, &bytes) {
                if let Some(end) = self.take(&sent) {
                    return Some(end);
                }
                if enough(self) {
                    return None;
                }
            }
        }
        None
    }

    fn take(&mut self, sent: &Sent) -> Option<Value> {
        let said = sent.json();
        match sent.event.as_str() {
            "begin" => self.is_there(&said),
            "progress" => {}
            "cut_off" | "stopping" => return Some(said),
            _ => {
                let hash: Sha256Text = said["hash"].as_str().unwrap().parse().unwrap();
                self.rolled = roll(self.rolled, Hash(hash.0));
                self.events.push(said.clone());
                self.is_there(&said);
            }
        }
        self.last.clone_from(&sent.id);
        None
    }

    /// The service says that so many events make that hash, and so do those that came.
    fn is_there(&self, said: &Value) {
        let own = (self.events.len() as u64, self.rolling_hash());
        let said = (&said["count"], &said["rolling_hash"]);
        assert_eq!(
            said,
            (&own.0.into(), &own.1),
            "nothing missed, nothing twice"
        );
    }

    fn rolling_hash(&self) -> Value {
        Sha256Text(self.rolled.0).to_string().into()
    }

    /// Both services prove what it has seen, from wherever one looks.
    async fn is_proved_by(&self, desk: &Desk) {
        let count = self.events.len();
        let proof = desk.json("/v1/proof").await;
        assert_eq!(
            (&proof["count"], &proof["rolling_hash"]),
            (&count.into(), &self.rolling_hash())
        );
        for count in [1, count / 3, count - 1] {
            let event = &self.events[count - 1];
            let position = &event["position"];
            for asked in [format!("count={count}"), format!("position={position}")] {
                let proof = desk.json(&format!("/v1/proof?{asked}")).await;
                for field in ["count", "position", "rolling_hash"] {
                    assert_eq!(proof[field], event[field], "{asked}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_service_takes_a_command_and_what_one_answered_the_other_knows() {
    let house = House::new();
    let services = [house.serving(), house.serving()];
    let load = Load::begin(&[&services[0], &services[1]]).await;
    let clients = load.clients(24);
    load.more(700).await;
    load.end(clients).await;
    for service in &services {
        load.is_what_is_stored(&Desk::at(service)).await;
    }
    let refused: HashSet<_> = held(&load.refused)
        .iter()
        .map(|refused| refused.problem["status"].as_u64().unwrap())
        .collect();
    assert_eq!(refused, HashSet::from([409, 412]), "there was a race");
    for service in services {
        let _ = service.stop().ended_with(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_from_one_service_to_the_other_misses_nothing_and_reads_nothing_twice() {
    let house = House::new();
    let services = [house.serving(), house.serving()];
    let desks = services.each_ref().map(Desk::at);
    let load = Load::begin(&[&services[0], &services[1]]).await;
    let clients = load.clients(8);
    let following = tokio::spawn({
        let (desks, load) = (desks.clone(), Arc::clone(&load));
        async move {
            let mut consumer = Consumer::new();
            for desk in desks.iter().cycle() {
                let from = consumer.events.len();
                let is_over = || load.is_over.load(Ordering::Relaxed);
                consumer
                    .read(desk, |now| now.events.len() >= from + 7 || is_over())
                    .await;
                if is_over() {
                    break;
                }
            }
            consumer
        }
    });
    load.more(300).await;
    load.end(clients).await;
    let mut consumer = following.await.unwrap();
    assert!(consumer.connections > 10, "it changed often");
    let mut read = Vec::new();
    for desk in &desks {
        let end = load.proof(desk).await["count"].as_u64().unwrap();
        consumer
            .read(desk, |now| now.events.len() as u64 >= end)
            .await;
        consumer.is_proved_by(desk).await;
        read.push(desk.pages().await);
    }
    assert_eq!(read[0], read[1], "one order at both");
    let (events, rolling_hash) = &read[0];
    assert_eq!(*rolling_hash, consumer.rolling_hash());
    let ids = |events: &[Value]| -> Vec<Value> {
        events.iter().map(|event| event["id"].clone()).collect()
    };
    assert_eq!(ids(events), ids(&consumer.events));
    load.is_what_is_stored(&desks[0]).await;
}

#[tokio::test]
async fn what_was_written_through_one_service_is_read_at_the_other_when_it_is_waited_for() {
    let house = House::new();
    let services = [house.serving(), house.serving()];
    let desks = services.each_ref().map(Desk::at);
    for turn in 0..20 {
        let (here, there) = (&desks[turn % 2], &desks[(turn + 1) % 2]);
        let call = format!("m{turn}");
        let told = here.accepts(&connect(&call)).await;
        let position = told.position.expect("an answer tells the position");
        let calls = there
            .json(&format!("/v1/active-calls?min_position={position}"))
            .await;
        let rows = calls["rows"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["call"] == call.as_str()));
        assert!(calls["position"].as_u64().unwrap() >= position);
        let feed = there
            .stream("/v1/events", &position.to_string())
            .await
            .unwrap();
        assert_eq!(feed.status(), 200, "it can be gone on from at once");
    }
}

/// The calls that go on, as a client keeps them that is told of changes, by one stream.
struct Board {
    stream: Response,
    parser: Parser,
    rows: BTreeMap<String, Value>,
    position: u64,
    /// How often it was told to begin anew.
    resets: usize,
}

impl Board {
    async fn of(desk: &Desk) -> Self {
        let stream = desk.stream("/v1/active-calls/changes", "").await.unwrap();
        assert_eq!(stream.status(), 200);
        Self {
            stream,
            parser: Parser::default(),
            rows: BTreeMap::new(),
            position: 0,
            resets: 0,
        }
    }

    fn take(&mut self, sent: &Sent) {
        let said = sent.json();
        let key = said["key"].to_string();
        match sent.event.as_str() {
            "row" => drop(self.rows.insert(key, said["row"].clone())),
            "gone" => drop(self.rows.remove(&key)),
            "reset" => {
                self.rows.clear();
                self.position = 0;
                self.resets += 1;
            }
            "progress" | "caught_up" => self.position = said["position"].as_u64().unwrap(),
            other => panic!("{other}: {said}"),
        }
    }

    /// Reads on until it is so; there is a word of where it stands now and then.
    async fn read_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let bytes = self.stream.chunk().await.expect("it is not cut");
            let bytes = bytes.expect("it goes on");
            for sent in taken(&mut self.parser, &bytes) {
                self.take(&sent);
            }
        }
    }

    fn shown(self) -> BTreeMap<String, Value> {
        Self::sorted(self.rows.into_values())
    }

    fn sorted(rows: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
        let rows = rows.into_iter();
        rows.map(|row| (row["call"].to_string(), row)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_die_and_a_cluster_that_is_away_delay_commands_and_lose_none() {
    let house = House::new();
    let (stays, dies) = (house.serving(), house.serving());
    let desk = Desk::at(&stays);
    let load = Load::begin(&[&stays, &dies]).await;
    let mut board = Board::of(&desk).await;
    let following = tokio::spawn({
        let (desk, load) = (desk.clone(), Arc::clone(&load));
        async move {
            let mut consumer = Consumer::new();
            let over = |_: &Consumer| load.is_over.load(Ordering::Relaxed);
            let end = consumer.read(&desk, over).await;
            assert_eq!(end, None, "the stream goes on by itself");
            consumer
        }
    });
    let clients = load.clients(12);
    load.more(100).await;
    let leader = house.cluster.leader().unwrap();
    house.cluster.kill(leader);
    load.more(100).await;
    house.cluster.revive(leader);
    load.more(50).await;

    house.is_away();
    let away = connect("away");
    let told = desk.send(&away).await.expect("it answers");
    assert_eq!(
        (told.status.as_u16(), &told.body["code"]),
        (503, &"store_unavailable".into()),
        "{told:?}"
    );
    assert!(told.retry_after.is_some());
    until("it says that it is not ready", async || {
        desk.status("/readyz").await == 503
    })
    .await;
    assert_eq!(desk.status("/healthz").await, 204);
    assert_eq!(
        desk.status("/v1/active-calls").await,
        200,
        "what was read can be asked"
    );
    let _ = dies.kill();
    house.is_back();
    until("it is ready again", async || {
        desk.status("/readyz").await == 200
    })
    .await;
    // Sent again, it is accepted, or was.
    load.settle(&desk.http, away, 0).await;
    load.more(50).await;
    let anew = house.serving();
    held(&load.urls)[1].clone_from(&anew.url);
    load.more(50).await;
    load.end(clients).await;
    assert!(load.unanswered.load(Ordering::Relaxed) > 0);

    let mut consumer = following.await.unwrap();
    let end = load.proof(&desk).await;
    let count = end["count"].as_u64().unwrap();
    let anew = Desk::at(&anew);
    let _ = load.proof(&anew).await;
    consumer
        .read(&anew, |now| now.events.len() as u64 >= count)
        .await;
    for desk in [&desk, &anew] {
        consumer.is_proved_by(desk).await;
        load.is_what_is_stored(desk).await;
    }
    let last = end["position"].as_u64().unwrap();
    board.read_until(|board| board.position >= last).await;
    assert_eq!(board.resets, 0);
    assert_eq!(board.shown(), Board::sorted(desk.active_calls().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_restored_is_told_of_and_nothing_is_judged_by_what_it_lost() {
    let house = House::new();
    let services = [house.serving(), house.serving()];
    let desks = services.each_ref().map(Desk::at);
    desks[0].accepts(&connect("kept")).await;
    desks[0].accepts(&hold("kept")).await;
    let backup = house.cluster.log().events().len();
    let lost = resume("kept");
    desks[0].accepts(&lost).await;
    desks[1].accepts(&connect("lost")).await;
    for desk in &desks {
        // Both know the call as it stands, and how it went on.
        let told = desk.send(&resume("kept")).await.unwrap();
        assert_eq!(told.body["revision"], 3, "{told:?}");
        desk.accepts(&lost).await;
    }
    let read = Arc::new(AtomicUsize::new(0));
    let following = tokio::spawn({
        let (desk, read) = (desks[0].clone(), Arc::clone(&read));
        async move {
            let mut consumer = Consumer::new();
            let notes = |now: &Consumer| {
                read.store(now.events.len(), Ordering::Relaxed);
                false
            };
            let end = consumer.read(&desk, notes).await;
            (consumer, end)
        }
    });
    until("all was read", async || read.load(Ordering::Relaxed) == 4).await;
    let mut board = Board::of(&desks[1]).await;
    board.read_until(|board| board.rows.len() == 2).await;

    house.is_away();
    house.cluster.log().roll_back(backup);
    house.is_back();

    // Held since before the backup, and released only in what was lost.
    let told = desks[1].send(&hold("kept")).await.unwrap();
    assert_eq!(
        (told.status.as_u16(), &told.body["revision"]),
        (409, &2.into()),
        "{told:?}"
    );
    let again = desks[0].accepts(&lost).await;
    assert_eq!(again.body["revision"], 3);
    assert_eq!(desks[1].history("kept").await.len(), 3, "it was kept anew");
    let told = desks[1].send(&hold("lost")).await.unwrap();
    assert_eq!(told.status, 404, "{told:?}");

    let (consumer, end) = following.await.unwrap();
    assert_eq!(end.expect("it is cut off")["reason"], "store_changed");
    assert_eq!(consumer.events.len(), 4);
    for desk in &desks {
        let mut anew = Consumer::new();
        until("the proof is of what is there", async || {
            let told = desk.asked("/v1/proof").await;
            told.status == 200 && told.body["count"] == 3
        })
        .await;
        anew.read(desk, |now| now.events.len() == 3).await;
        anew.is_proved_by(desk).await;
        until("the read models are of what is there", async || {
            let rows = desk.active_calls().await;
            rows.len() == 1 && rows[0]["call"] == "kept" && rows[0]["revision"] == 3
        })
        .await;
        let calls = desk.json("/v1/calls").await;
        assert_eq!(calls["rows"].as_array().unwrap().len(), 1, "{calls}");
        let told = desk.stream("/v1/events", &consumer.last).await.unwrap();
        assert_eq!(told.status(), 409, "a place in what was lost is none");
    }
    board
        .read_until(|board| board.resets > 0 && board.position > 0)
        .await;
    assert_eq!(board.resets, 1);
    assert_eq!(board.shown(), Board::sorted(desks[1].active_calls().await));
}

#[tokio::test]
async fn the_program_works_through_a_service_on_a_cluster_as_on_the_cluster() {
    let house = House::new();
    let services = [house.serving(), house.serving()];
    let through = |service: &Serving, args: &[&str]| {
        let server = ["--server", &service.url];
        bare(server.iter().chain(args)).run().ended_with(0)
    };
    let day = bare(["simulate", "--calls", "25", "--seed", "3"])
        .run()
        .ended_with(0)
        .out;
    let run = ["--server", &services[0].url, "run", "-"];
    let _ = bare(run).input(day.clone()).run().ended_with(0);
    // Through the other one, every command was taken before.
    let run = ["--server", &services[1].url, "run", "-"];
    let again = bare(run).input(day).run().ended_with(0);
    let here = house.run(&["events"]).run().ended_with(0);
    let accepted = again.lines().into_iter();
    let accepted = accepted.filter(|answer| answer["accepted"] == true);
    let events: usize = accepted
        .map(|answer| answer["events"].as_array().unwrap().len())
        .sum();
    assert_eq!(events, here.lines().len());
    for verb in [
        vec!["events"],
        vec!["replay", "sim-3-000003"],
        vec!["calls", "--output", "ndjson"],
        vec!["show", "call", "sim-3-000003"],
        vec!["show", "handle-times", "--output", "ndjson"],
        vec!["store", "dump"],
    ] {
        let here = house.run(&verb).run().ended_with(0).out;
        for service in &services {
            assert_eq!(through(service, &verb).out, here, "{verb:?}");
        }
    }
    let copy = house.home.path().join("copy");
    let to = format!("sled:{}", copy.display());
    let copied = bare(["copy", "--from", &services[1].url, "--to", &to]);
    let copied = copied.run().ended_with(0).json();
    let digest = through(&services[0], &["store", "digest"]).json();
    assert_eq!(copied["digest_to"], digest["digest"]);
    assert_eq!(copied["digest_from"], digest["digest"]);
    let followed = through(&services[1], &["follow", "--until-caught-up"]);
    let proof = followed.lines().pop().unwrap();
    assert_eq!(proof["count"], events, "{proof}");
}

#[tokio::test]
async fn what_a_cluster_does_not_count_is_null_and_its_calls_are_found() {
    let house = House::new();
    let service = house.serving();
    let desk = Desk::at(&service);
    let last = desk.accepts(&connect("c1")).await.position.unwrap();
    let store = desk.json("/v1/store").await;
    for field in ["events", "calls", "bytes_on_disk"] {
        assert_eq!(store[field], Value::Null, "{store}");
    }
    assert_eq!(store["last_position"], last);
    let calls = desk.json("/v1/calls").await;
    assert_eq!(calls["rows"][0]["call"], "c1", "{calls}");
    let info = bare([
        "store",
        "info",
        "--server",
        &service.url,
        "--output",
        "json",
    ]);
    let info = info.run().ended_with(0).json();
    assert_eq!(info["id"], store["id"]);
}

#[test]
fn a_service_is_not_started_on_another_service() {
    let home = tempdir().unwrap();
    let server = "http://127.0.0.1:1";
    let serve = ["serve", "--listen", "127.0.0.1:0", "--without-keys"];
    let run = || bare(serve).env("XDG_DATA_HOME", home.path());
    for refused in [
        run().env("KAIGI_SERVER", server),
        run().env("KAIGI_STORE", server),
        bare(serve.iter().chain(&["--server", server])),
        bare(serve.iter().chain(&["--store", server])),
    ] {
        let refused = refused.run().ended_with(2);
        assert!(refused.err.contains("where its store is"), "{refused:#?}");
        assert!(refused.err.contains("--store"), "{refused:#?}");
    }
    let made = home.path().read_dir().unwrap().count();
    assert_eq!(made, 0, "no store was made");
}
