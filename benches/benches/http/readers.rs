//! How long a command takes while readers ask for as much as they can, beside the same commands alone.

use crate::percentile;
use crate::service::Service;
use crate::wire::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// How many readers there are.
const READERS: usize = 16;

/// How often a command is sent.
const EACH: Duration = Duration::from_millis(5);

/// What the readers ask for, each another and then the next.
const PATHS: [&str; 8] = [
    "/v1/calls/long",
    "/v1/calls/long/events",
    "/v1/events?limit=10000",
    "/v1/calls.csv",
    "/v1/handle-times.csv",
    "/v1/handle-times.ndjson?window=15m&by=agent",
    "/v1/handle-times?window=1d&explain=true&limit=10000",
    "/v1/active-calls.ndjson",
];

/// Measures, and prints what it came to.
pub(crate) async fn latencies(events: usize, commands: usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let service = Service::start(&folder.path().join("readers"));
    fill(&service, events).await;
    let alone = timed(&service, "alone", commands).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let (address, key) = (service.address.clone(), service.key.clone());
            tokio::spawn(read(address, key, number, Arc::clone(&over)))
        })
        .collect();
    let together = timed(&service, "together", commands).await;
    over.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for reader in readers {
        answers += reader.await.expect("a reader does not panic");
    }
    service.stop();
    report("alone", alone);
    report(
        &format!("with {READERS} readers, {answers} answers read"),
        together,
    );
}

fn report(side: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    println!(
        "readers: commands {side}: p50 {} us, p99 {} us, most {} us",
        percentile(&latencies, 50).as_micros(),
        percentile(&latencies, 99).as_micros(),
        percentile(&latencies, 100).as_micros()
    );
}

/// One long call, and a hundredth as many that ended.
async fn fill(service: &Service, events: usize) {
    let connection = Connection::open(&service.address, &service.key).await;
    let mut connection = connection.expect("the service listens");
    let mut send = async |call: &str, command: &str| {
        let path = format!("/v1/calls/{call}/commands");
        let (status, _) = connection.post(&path, command).await.expect("an answer");
        assert_eq!(status, 200);
    };
    let connect = r#"{"type":"connect_call","agent":"agent:ana"}"#;
    for call in 0..events / 100 {
        let call = format!("ended{call}");
        send(&call, connect).await;
        send(&call, r#"{"type":"hang_up","by":"customer"}"#).await;
    }
    send("long", connect).await;
    for turn in 0..events {
        let verb = if turn % 2 == 0 { "hold" } else { "resume" };
        let command = format!(r#"{{"type":"{verb}","by":"agent:ana","party":"customer"}}"#);
        send("long", &command).await;
    }
}

async fn timed(service: &Service, name: &str, commands: usize) -> Vec<Duration> {
    let connection = Connection::open(&service.address, &service.key).await;
    let mut connection = connection.expect("the service listens");
    let mut ticks = interval(EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut latencies = Vec::with_capacity(commands);
    for number in 0..commands {
        ticks.tick().await;
        let path = format!("/v1/calls/{name}{number}/commands");
        let command = r#"{"type":"connect_call","agent":"agent:ana"}"#;
        let asked = Instant::now();
        let (status, _) = connection.post(&path, command).await.expect("an answer");
        latencies.push(asked.elapsed());
        assert_eq!(status, 200);
    }
    latencies
}

/// How many answers were read.
async fn read(address: String, key: String, number: usize, over: Arc<AtomicBool>) -> usize {
    let connection = Connection::open(&address, &key).await;
    let mut connection = connection.expect("the service listens");
    let mut answers = 0;
    for path in PATHS.iter().cycle().skip(number) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let status = connection.get(path).await.expect("an answer");
        // A service that has too much to do may say so.
        assert!(matches!(status, 200 | 503), "{path} was answered {status}");
        answers += usize::from(status == 200);
    }
    answers
}
