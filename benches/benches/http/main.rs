//! Commands over HTTP beside the same commands on the bare store, durable both, in the same run; and how long an event
//! takes from its acknowledgement to the subscribers of the feed. The service is the real program in a process of its
//! own; the generator shares the machine with it.

mod feed;
mod readers;
mod service;
mod wire;

use benches::day;
use domain::json::write_command;
use domain::{EventStore, Handler, Request};
use service::Service;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_sled::SledStore;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wire::{Connection, Duplex, chunk};

/// How often each side runs; the median counts.
const ROUNDS: usize = 3;

/// How many calls the day has, per round.
const CALLS: u64 = 4_000;

/// How many lines a connection sends ahead of their answers.
const AHEAD: usize = 64;

/// What one side did in one round.
struct Measured {
    commands: usize,
    took: Duration,
    latencies: Vec<Duration>,
    /// The processor time of the service, and of the generator or what has the bare store.
    cpu: (Duration, Duration),
}

/// What each connection sends, one after the other.
type Script = Vec<Request>;

fn main() {
    // `cargo test --benches` asks only whether it runs.
    let asked = |what: &str| std::env::args().any(|arg| arg == what);
    let really = asked("--bench");
    let (rounds, calls) = if really { (ROUNDS, CALLS) } else { (1, 20) };
    let runtime = Runtime::new().expect("threads can be started");
    // `-- feed` and `-- readers` measure that alone.
    let (feed, readers) = (asked("feed"), asked("readers"));
    if !feed && !readers {
        commands(&runtime, rounds, calls);
    }
    if !readers {
        let (commands_per_s, seconds) = if really { (1_000, 20) } else { (100, 1) };
        runtime.block_on(feed::latencies(commands_per_s, seconds));
    }
    if !feed {
        let (events, commands) = if really { (50_000, 2_000) } else { (200, 20) };
        runtime.block_on(readers::latencies(events, commands));
    }
}

fn commands(runtime: &Runtime, rounds: usize, calls: u64) {
    println!(
        "connections   side           commands/s   p50 us   p99 us   service cpu us/command   other cpu us/command"
    );
    for connections in [1, 64, 256] {
        // One alone waits for every answer; a shorter day is enough to see how long.
        let calls = if connections == 1 {
            calls / 10 + 1
        } else {
            calls
        };
        compare(runtime, connections, calls, rounds);
    }
}

fn compare(runtime: &Runtime, connections: usize, calls: u64, rounds: usize) {
    let scripts = scripts(day(calls), connections);
    let (mut single, mut lines) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let bare = runtime.block_on(bare_store(folder.path(), &scripts));
        let posts = runtime.block_on(over_http(
            &folder.path().join("posts"),
            &scripts,
            Kind::Single,
        ));
        let streamed = runtime.block_on(over_http(
            &folder.path().join("lines"),
            &scripts,
            Kind::Lines,
        ));
        report(connections, "bare store", &bare);
        report(connections, "single posts", &posts);
        report(connections, "NDJSON", &streamed);
        single.push(posts.rate() / bare.rate());
        lines.push(streamed.rate() / bare.rate());
    }
    ratio(connections, "single posts", single);
    ratio(connections, "NDJSON", lines);
    println!();
}

fn ratio(connections: usize, side: &str, mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    println!(
        "{connections:>11}   {side} / bare store: median {:.2} of {} (from {:.2} to {:.2})",
        ratios[ratios.len() / 2],
        ratios.len(),
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

/// Each connection plays whole calls, one command after the other, as a telephone system would.
fn scripts(day: Vec<Request>, connections: usize) -> Vec<Script> {
    let mut scripts = vec![Vec::new(); connections];
    let mut connection_of = HashMap::new();
    for mut request in day {
        // Taken now, so that no server thinks they come from the future.
        request.at = None;
        let next = connection_of.len() % connections;
        let connection = *connection_of.entry(request.call.clone()).or_insert(next);
        scripts[connection].push(request);
    }
    scripts
}

async fn bare_store(folder: &Path, scripts: &[Script]) -> Measured {
    let store = Arc::new(SledStore::open(&folder.join("bare")).expect("a new store can be made"));
    let handler = Arc::new(Handler::new(Arc::clone(&store) as Arc<dyn EventStore>));
    let (started, cpu) = (Instant::now(), service::own_cpu());
    let writers = scripts.iter().map(|script| {
        let (handler, script) = (Arc::clone(&handler), script.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(script.len());
            for request in script {
                let id = request.id.unwrap_or_else(|| handler.random_id());
                let asked = Instant::now();
                // The day has some commands that a rule refuses; over HTTP they are answered, too.
                let _ = handler.handle(&request, id, handler.now()).await;
                latencies.push(asked.elapsed());
            }
            latencies
        })
    });
    let latencies = joined(writers.collect()).await;
    let took = started.elapsed();
    let cpu = (Duration::ZERO, service::own_cpu().saturating_sub(cpu));
    store.close().await.expect("the store closes");
    Measured::new(took, latencies, cpu)
}

#[derive(Clone, Copy)]
enum Kind {
    Single,
    Lines,
}

async fn over_http(folder: &Path, scripts: &[Script], kind: Kind) -> Measured {
    let service = Service::start(folder);
    let prepared: Vec<Vec<_>> = scripts
        .iter()
        .map(|script| {
            script
                .iter()
                .map(|request| prepared(request, kind))
                .collect()
        })
        .collect();
    let (started, own, its) = (Instant::now(), service::own_cpu(), service.cpu());
    let connections = prepared.into_iter().map(|script| {
        let (address, key) = (service.address.clone(), service.key.clone());
        tokio::spawn(async move {
            match kind {
                Kind::Single => posted(&address, &key, script).await,
                Kind::Lines => streamed(&address, &key, script).await,
            }
        })
    });
    let latencies = joined(connections.collect()).await;
    let took = started.elapsed();
    let cpu = (
        service.cpu().saturating_sub(its),
        service::own_cpu().saturating_sub(own),
    );
    service.stop();
    Measured::new(took, latencies, cpu)
}

async fn joined(tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>) -> Vec<Duration> {
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a connection does not panic"));
    }
    all
}

/// Path and body of a command.
fn prepared(request: &Request, kind: Kind) -> (String, String) {
    let line = write_command(request);
    match kind {
        Kind::Single => (format!("/v1/calls/{}/commands", request.call), line),
        Kind::Lines => (String::new(), line + "\n"),
    }
}

async fn posted(address: &str, key: &str, script: Vec<(String, String)>) -> Vec<Duration> {
    let connection = Connection::open(address, key).await;
    let mut connection = connection.expect("the service listens");
    let mut latencies = Vec::with_capacity(script.len());
    for (path, body) in script {
        let asked = Instant::now();
        let (status, answer) = connection.post(&path, &body).await.expect("an answer");
        assert!(
            matches!(status, 200 | 404 | 409),
            "{status}: {}",
            String::from_utf8_lossy(&answer)
        );
        latencies.push(asked.elapsed());
    }
    latencies
}

/// Keeps so many lines in flight. A latency is from sending a line to reading its answer.
async fn streamed(address: &str, key: &str, script: Vec<(String, String)>) -> Vec<Duration> {
    let Duplex {
        mut lines,
        mut answers,
    } = Duplex::open(address, key)
        .await
        .expect("the service listens");
    let (sent, mut awaited) = mpsc::channel::<Instant>(AHEAD);
    let count = script.len();
    let reader = tokio::spawn(async move {
        answers.head().await.expect("the stream begins");
        let mut latencies = Vec::with_capacity(count);
        while let Some(at) = awaited.recv().await {
            let line = answers
                .line()
                .await
                .expect("an answer")
                .expect("one a line");
            assert!(
                line.starts_with(b"{\"line\":"),
                "{}",
                String::from_utf8_lossy(line)
            );
            latencies.push(at.elapsed());
        }
        latencies
    });
    let mut script = VecDeque::from(script);
    while let Some((_, line)) = script.pop_front() {
        let mut together = line;
        sent.send(Instant::now())
            .await
            .expect("the answers are read");
        // What can be sent at once goes together, as it would from a file.
        while let (Some((_, next)), Ok(permit)) = (script.front(), sent.try_reserve()) {
            together += next;
            permit.send(Instant::now());
            script.pop_front();
        }
        lines
            .write_all(chunk(&together).as_bytes())
            .await
            .expect("the service reads");
    }
    lines
        .write_all(wire::END.as_bytes())
        .await
        .expect("the service reads");
    drop(sent);
    reader.await.expect("reading does not panic")
}

impl Measured {
    fn new(took: Duration, mut latencies: Vec<Duration>, cpu: (Duration, Duration)) -> Self {
        latencies.sort_unstable();
        Self {
            commands: latencies.len(),
            took,
            latencies,
            cpu,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a day has far fewer commands than that"
    )]
    fn rate(&self) -> f64 {
        self.commands as f64 / self.took.as_secs_f64()
    }
}

/// That part of the latencies, which are sorted, took no longer.
fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let last = latencies.len().saturating_sub(1);
    latencies
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a day has far fewer commands than that"
)]
fn report(connections: usize, side: &str, measured: &Measured) {
    let a_command = |cpu: Duration| cpu.as_secs_f64() * 1e6 / measured.commands as f64;
    println!(
        "{connections:>11}   {side:<12} {:>12.0} {:>8} {:>8} {:>24.1} {:>23.1}",
        measured.rate(),
        percentile(&measured.latencies, 50).as_micros(),
        percentile(&measured.latencies, 99).as_micros(),
        a_command(measured.cpu.0),
        a_command(measured.cpu.1),
    );
}
