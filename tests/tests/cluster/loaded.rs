//! Two processes, the same calls, many commands at once, and nodes that die: nothing acknowledged is lost, nothing is
//! there twice, and every conflict is resolved.

use super::{nodes, open};
use domain::{EventStore, MemoryStore, Position};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tests::load::{Acknowledged, Found, Load, Outcome, connect, drive, look};
use tests::standin::StandIn;

/// So many seconds; `just load` takes longer.
fn seconds() -> u64 {
    let asked = std::env::var("KAIGI_LOAD_SECONDS").ok();
    asked.map_or(4, |seconds| seconds.parse().expect("a number of seconds"))
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
    let cluster = Arc::new(nodes(3));
    let store = open(&cluster).await;
    let load = Load {
        prefix: format!("load-{at_once}"),
        calls: 1000,
        at_once: at_once / 2,
        lasting: Duration::from_secs(seconds()),
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
        let every = Duration::from_millis(1200);
        tokio::task::spawn_blocking(move || {
            let deaths = trouble(&cluster, &mut processes, every);
            let codes = processes.map(|mut process| process.wait().expect("it ended").code());
            assert_eq!(codes, [Some(0), Some(0)]);
            deaths
        })
    };
    let deaths = deaths.await.expect("it ends");
    for file in &files {
        let text = std::fs::read(file).expect("it wrote what was acknowledged");
        let of_one: Outcome = serde_json::from_slice(&text).expect("as JSON");
        assert!(
            of_one.accepted > 100,
            "each has its share: {}",
            of_one.accepted
        );
        outcome = outcome.and(of_one);
    }
    let found = look(&*store, &load, &outcome).await.expect("readable");
    println!(
        "{at_once} at once, {deaths} deaths of a leader: {} accepted, {} refused, {} events, {} sent again for \
         conflicts, {} for want of an answer, p50 {} ms, p99 {} ms",
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
