//! Sixteen readers ask for as much as they can, while the telephone system sends commands.

use super::target::{Connection, Prepared, Target};
use super::{Attack, Outcome};
use anyhow::ensure;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// See the module.
pub(super) const ATTACK: Attack = Attack {
    name: "reads",
    goal: "with 16 readers of long calls, pages and lists, p99 of a command is at most 20 ms",
    run,
};

/// How many events the long call has.
const EVENTS: usize = 50_000;

/// How many further calls there are.
const CALLS: &str = "5000";

const READERS: usize = 16;

/// How many commands are timed, and how often one is sent.
const COMMANDS: u64 = 1500;
const EACH: Duration = Duration::from_millis(5);

const GOAL: Duration = Duration::from_millis(20);

/// What the readers ask for, each another and then the next.
const PATHS: [&str; 12] = [
    "/v1/calls/long",
    "/v1/calls/long/events",
    "/v1/events?limit=10000",
    "/v1/calls.csv",
    "/v1/calls?limit=10000",
    "/v1/calls/long/events?form=whole",
    "/v1/handle-times.csv",
    "/v1/handle-times?window=1d&explain=true&limit=10000",
    "/v1/handle-times.ndjson?window=15m&by=agent",
    "/v1/active-calls.ndjson",
    "/v1/handle-times.csv?by=agent&sort=-handle_ms",
    "/v1/proof?count=12345",
];

fn run() -> anyhow::Result<Outcome> {
    let target = prepare()?;
    let telephony = target.key("acd", &["telephony"])?;
    let reader = target.key("reports", &["reader", "auditor"])?;
    let alone = commands(&target, &telephony, "alone")?;
    let over = AtomicBool::new(false);
    let answers = AtomicU64::new(0);
    let together = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                scope.spawn({
                    let (target, reader, over, answers) = (&target, &reader, &over, &answers);
                    move || read(target, reader, number, (over, answers))
                })
            })
            .collect();
        let together = commands(&target, &telephony, "together");
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader does not panic")?;
        }
        together
    })?;
    let p99 = percentile(&together, 99);
    Ok(Outcome {
        measured: format!(
            "alone p50 {:.1?} p99 {:.1?}; with readers p50 {:.1?} p99 {:.1?}, {} large answers read",
            percentile(&alone, 50),
            percentile(&alone, 99),
            percentile(&together, 50),
            p99,
            answers.load(Ordering::Relaxed)
        ),
        held: p99 <= GOAL,
    })
}

fn prepare() -> anyhow::Result<Target> {
    let prepared = Prepared::new()?;
    let day = prepared
        .run(["simulate", "--calls", CALLS, "--seed", "1"])
        .run();
    ensure!(day.code == Some(0), "no day was made: {}", day.err);
    let mut commands = day.out;
    commands.push_str("{\"call\":\"long\",\"type\":\"connect_call\",\"agent\":\"agent:ana\"}\n");
    for turn in 0..EVENTS {
        let verb = if turn % 2 == 0 { "hold" } else { "resume" };
        writeln!(
            commands,
            r#"{{"call":"long","type":"{verb}","by":"agent:ana","party":"customer"}}"#
        )?;
    }
    let ran = prepared.run(["run", "-"]).input(commands).run();
    ensure!(
        ran.code == Some(0),
        "the commands were not taken: {}",
        ran.err
    );
    prepared.serve()
}

/// Times commands that are sent at an even pace; a slow one does not delay the next.
fn commands(target: &Target, key: &str, name: &str) -> anyhow::Result<Vec<Duration>> {
    let mut connection = target.connect(key)?;
    let begun = Instant::now();
    let mut times = Vec::new();
    for number in 0..COMMANDS {
        let due = EACH * u32::try_from(number)?;
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let path = format!("/v1/calls/{name}{number}/commands");
        let sent = Instant::now();
        let command = r#"{"type":"connect_call","agent":"agent:ana"}"#;
        let (status, _) = connection.post(&path, command)?;
        times.push(sent.elapsed());
        ensure!(status == 200, "a command was answered {status}");
    }
    times.sort_unstable();
    Ok(times)
}

fn read(
    target: &Target,
    key: &str,
    number: usize,
    (over, answers): (&AtomicBool, &AtomicU64),
) -> anyhow::Result<()> {
    let mut connection: Connection = target.connect(key)?;
    for path in PATHS.iter().cycle().skip(number) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (status, _) = connection.get(path)?;
        // A service that has too much to do may say so.
        ensure!(matches!(status, 200 | 503), "{path} was answered {status}");
        answers.fetch_add(u64::from(status == 200), Ordering::Relaxed);
    }
    Ok(())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}
