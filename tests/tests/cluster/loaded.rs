//! Two processes, the same calls, many commands at once, and nodes that die: nothing acknowledged is lost, nothing is
//! there twice, and every conflict is resolved.

use super::open;
use domain::{EventStore, MemoryStore, Position};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tests::load::{Acknowledged, Found, Load, Outcome, connect, drive, look};
use tests::standin::{Config, StandIn};

/// How many commands of each process are accepted at least, where answers take no time.
const SHARE: u64 = 100;

/// For how long no node is ready after a leader died.
const ELECTION: Duration = Duration::from_millis(200);

/// A number from the environment; `just load` sets them.
fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |number| number.parse().expect("a number"))
}

/// For how long commands are sent.
fn lasting() -> Duration {
    Duration::from_secs(number("KAIGI_LOAD_SECONDS", 4))
}

/// How much later each answer arrives.
fn latency() -> Duration {
    Duration::from_millis(number("KAIGI_LOAD_LATENCY_MS", 0))
}

fn start(cluster: &StandIn, load: &Load, file: &Path) -> Child {
    let numbers = [
        load.calls.to_string(),
        load.at_once.to_string(),
        load.lasting.as_secs().to_string(),
    ];
    Command::new(env!("CARGO_BIN_EXE_store-load"))
        .arg(cluster.url())
        .arg(&load.prefix)
        .args(numbers)
        .arg(file)
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Kills the leader every so often, and brings it back, until the processes have ended.
fn trouble(cluster: &StandIn, processes: &mut [Child], every: Duration) -> u32 {
    let mut deaths = 0;
    loop {
        std::thread::sleep(every);
        let over = |process: &mut Child| process.try_wait().expect("it can be asked").is_some();
        if processes.iter_mut().all(over) {
            return deaths;
        }
        if let Some(leader) = cluster.leader() {
            cluster.kill(leader);
            std::thread::sleep(Duration::from_millis(200));
            cluster.revive(leader);
            deaths += 1;
        }
    }
}

async fn two_processes(at_once: usize) {
    let cluster = Arc::new(StandIn::start_with(Config {
        nodes: 3,
        latency: latency(),
        election: ELECTION,
        ..Config::default()
    }));
    let store = open(&cluster).await;
    let load = Load {
        prefix: format!("load-{at_once}"),
        calls: 1000,
        at_once: at_once / 2,
        lasting: lasting(),
        since: Position::START,
    };
    let mut outcome = connect(Arc::clone(&store) as Arc<dyn EventStore>, &load).await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["one", "other"].map(|name| folder.path().join(name));
    let mut processes = files
        .each_ref()
        .map(|file: &PathBuf| start(&cluster, &load, file));
    let deaths = {
        let cluster = Arc::clone(&cluster);
        // A client needs some answers in a row before it can go on with another leader.
        let every = Duration::from_millis(1200) + 10 * latency();
        tokio::task::spawn_blocking(move || {
            let deaths = trouble(&cluster, &mut processes, every);
            let codes = processes.map(|mut process| process.wait().expect("it ended").code());
            assert_eq!(codes, [Some(0), Some(0)]);
            deaths
        })
    };
    let deaths = deaths.await.expect("it ends");
    let share = SHARE / (1 + u64::try_from(latency().as_millis()).unwrap_or(u64::MAX) / 10);
    for file in &files {
        let text = std::fs::read(file).expect("it wrote what was acknowledged");
        let of_one: Outcome = serde_json::from_slice(&text).expect("as JSON");
        assert!(
            of_one.accepted > share,
            "each has its share: {}",
            of_one.accepted
        );
        outcome = outcome.and(of_one);
    }
    let found = look(&*store, &load, &outcome).await.expect("readable");
    println!(
        "{at_once} at once, {} ms an answer, {deaths} deaths of a leader: {} accepted, {} refused, {} events, {} sent again for \
         conflicts, {} for want of an answer, p50 {} ms, p99 {} ms",
        latency().as_millis(),
        outcome.accepted,
        outcome.refused,
        found.events,
        outcome.unsettled,
        outcome.unanswered,
        outcome.percentile_us(50) / 1000,
        outcome.percentile_us(99) / 1000,
    );
    let events = outcome.acknowledged.len() as u64;
    let whole = Found {
        events,
        ..Found::default()
    };
    assert_eq!(
        found, whole,
        "everything acknowledged, once, and nothing else"
    );
    assert!(deaths > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_commands_at_once_from_two_processes() {
    two_processes(64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commands_at_once_from_two_processes() {
    two_processes(1024).await;
}

/// What looks for losses finds one, and what looks for repetitions finds those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_and_is_not_there_is_found() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let load = Load {
        prefix: "found".to_owned(),
        calls: 3,
        at_once: 4,
        lasting: Duration::from_millis(50),
        since: Position::START,
    };
    let connected = connect(Arc::clone(&store), &load).await;
    let mut outcome = connected.and(drive(Arc::clone(&store), &load).await);
    let found = look(&*store, &load, &outcome).await.expect("readable");
    assert_eq!((found.lost.len(), found.twice.len()), (0, 0));
    for (number, change) in [
        |event: &mut Acknowledged| event.revision += 1,
        |event: &mut Acknowledged| event.position += 1,
        |event: &mut Acknowledged| event.hash.push('0'),
    ]
    .into_iter()
    .enumerate()
    {
        change(&mut outcome.acknowledged[number]);
    }
    let found = look(&*store, &load, &outcome).await.expect("readable");
    assert_eq!(found.lost, outcome.acknowledged[..3]);
}
