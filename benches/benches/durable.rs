//! Durable commands through the whole path (handle, hash, encode, commit, fsync) beside a bare append-only file that
//! takes the same bytes by the same group commit, in the same run: the ratio is what counts, for disks differ.

use benches::day;
use domain::{EventStore, Handler, Request, StoredEvent};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store_sled::SledStore;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// How often each side runs; the median counts.
const ROUNDS: usize = 5;

/// How many calls the day has, per round.
const CALLS: u64 = 3_000;

/// What one side did in one round.
struct Measured {
    commands: usize,
    /// The bare file knows no events.
    events: Option<usize>,
    took: Duration,
    syncs: u64,
    latencies: Vec<Duration>,
}

fn main() {
    // `cargo test --benches` asks only whether it runs.
    let (rounds, calls) = if std::env::args().any(|arg| arg == "--bench") {
        (ROUNDS, CALLS)
    } else {
        (1, 20)
    };
    let runtime = Runtime::new().expect("threads can be started");
    println!(
        "writers   side         commands/s   events/s   syncs   commands/sync   p50 us   p99 us"
    );
    for writers in [1, 64, 1024] {
        // One writer waits for every sync alone; a shorter day is enough to see how long.
        let calls = if writers == 1 { calls / 20 + 1 } else { calls };
        compare(&runtime, writers, calls, rounds);
    }
}

fn compare(runtime: &Runtime, writers: usize, calls: u64, rounds: usize) {
    let scripts = scripts(day(calls), writers);
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (kaigi, bytes) = runtime.block_on(whole_path(folder.path(), &scripts));
        let bare = runtime.block_on(bare_file(folder.path(), bytes));
        report(writers, "kaigi", &kaigi);
        report(writers, "bare file", &bare);
        ratios.push(rate(kaigi.commands, kaigi.took) / rate(bare.commands, bare.took));
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{writers:>7}   kaigi / bare file: median {:.2} of {rounds} (from {:.2} to {:.2})\n",
        ratios[rounds / 2],
        ratios[0],
        ratios[rounds - 1]
    );
}

/// Each writer plays whole calls, one command after the other, as a telephone system would.
fn scripts(day: Vec<Request>, writers: usize) -> Vec<Vec<Request>> {
    let mut scripts = vec![Vec::new(); writers];
    let mut writer_of = HashMap::new();
    for request in day {
        let next = writer_of.len() % writers;
        let writer = *writer_of.entry(request.call.clone()).or_insert(next);
        scripts[writer].push(request);
    }
    scripts
}

/// Also answers the bytes that each writer's commands came to, for the bare file to take.
async fn whole_path(folder: &Path, scripts: &[Vec<Request>]) -> (Measured, Vec<Vec<Vec<u8>>>) {
    let store = Arc::new(SledStore::open(&folder.join("calls")).expect("a new store can be made"));
    let handler = Arc::new(Handler::new(Arc::clone(&store) as Arc<dyn EventStore>));
    let before = store.stats().syncs;
    let started = Instant::now();
    let writers: Vec<_> = scripts
        .iter()
        .map(|script| tokio::spawn(play(Arc::clone(&handler), script.clone())))
        .collect();
    let mut played = Vec::new();
    for writer in writers {
        played.push(writer.await.expect("a writer does not panic"));
    }
    let took = started.elapsed();
    let syncs = store.stats().syncs - before;
    store.close().await.expect("the store closes");
    let batches = played.iter().flat_map(|(batches, _)| batches);
    let measured = Measured {
        commands: batches.clone().count(),
        events: Some(batches.map(|(events, _)| events).sum()),
        took,
        syncs,
        latencies: played
            .iter()
            .flat_map(|(_, latencies)| latencies)
            .copied()
            .collect(),
    };
    let bytes = |(batches, _): (Vec<(usize, usize)>, _)| {
        batches
            .into_iter()
            .map(|(_, bytes)| vec![7; bytes])
            .collect()
    };
    (measured, played.into_iter().map(bytes).collect())
}

/// Events and bytes of each accepted command, and how long each took.
type Played = (Vec<(usize, usize)>, Vec<Duration>);

async fn play(handler: Arc<Handler>, script: Vec<Request>) -> Played {
    let (mut batches, mut latencies) = (Vec::new(), Vec::new());
    for request in script {
        let id = request.id.unwrap_or_else(|| handler.random_id());
        let asked = Instant::now();
        // A refused command writes nothing, so the bare file has nothing to take for it.
        if let Ok(answer) = handler.handle(&request, id, handler.now()).await {
            latencies.push(asked.elapsed());
            batches.push((answer.events.len(), stored_bytes(&answer.events)));
        }
    }
    (batches, latencies)
}

/// What a command's events take in a block: what they share once, then payload and hash of each.
fn stored_bytes(events: &[StoredEvent]) -> usize {
    let cause = &events[0].recorded.cause;
    let shared = cause.call.as_str().len() + 16 + 32 + 8 + 8 + 8 + 24;
    let each = events.iter().map(|stored| {
        let personal = stored.recorded.personal.as_ref();
        let personal = personal.map_or(0, |part| 48 + part.text.len());
        stored.recorded.payload.bytes.len() + 32 + 4 + personal
    });
    shared + each.sum::<usize>()
}

/// What a writer hands to the committing thread of the bare file.
type Handed = (Vec<u8>, oneshot::Sender<()>);

async fn bare_file(folder: &Path, scripts: Vec<Vec<Vec<u8>>>) -> Measured {
    let file = File::create(folder.join("bare")).expect("a file can be made");
    let (jobs, waiting) = mpsc::channel(4096);
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    let thread = std::thread::spawn(move || commit(file, waiting, &counted));
    let commands = scripts.iter().map(Vec::len).sum();
    let started = Instant::now();
    let writers: Vec<_> = scripts
        .into_iter()
        .map(|script| tokio::spawn(hand_over(jobs.clone(), script)))
        .collect();
    drop(jobs);
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await.expect("a writer does not panic"));
    }
    let took = started.elapsed();
    thread.join().expect("the committing thread does not panic");
    Measured {
        commands,
        events: None,
        took,
        syncs: syncs.load(Ordering::Relaxed),
        latencies,
    }
}

async fn hand_over(jobs: mpsc::Sender<Handed>, script: Vec<Vec<u8>>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for bytes in script {
        let asked = Instant::now();
        let (answer, answered) = oneshot::channel();
        jobs.send((bytes, answer))
            .await
            .expect("the thread takes jobs");
        answered.await.expect("the thread answers");
        latencies.push(asked.elapsed());
    }
    latencies
}

fn commit(mut file: File, mut waiting: mpsc::Receiver<Handed>, syncs: &AtomicU64) {
    let (mut taken, mut bytes) = (Vec::<Handed>::new(), Vec::new());
    while waiting.blocking_recv_many(&mut taken, 1024) > 0 {
        bytes.clear();
        for (part, _) in &taken {
            bytes.extend_from_slice(part);
        }
        file.write_all(&bytes).expect("the disk takes it");
        file.sync_data().expect("the disk keeps it");
        syncs.fetch_add(1, Ordering::Relaxed);
        for (_, answer) in taken.drain(..) {
            answer.send(()).expect("the writer waits");
        }
    }
}

fn report(writers: usize, side: &str, measured: &Measured) {
    let mut latencies = measured.latencies.clone();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let per_sync = measured.commands as f64 / measured.syncs as f64;
    let events = measured.events.map_or("-".to_owned(), |events| {
        format!("{:.0}", rate(events, measured.took))
    });
    println!(
        "{writers:>7}   {side:<10} {:>12.0} {events:>10} {:>7} {per_sync:>15.1} {:>8} {:>8}",
        rate(measured.commands, measured.took),
        measured.syncs,
        at(50),
        at(99)
    );
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
