//! One reader key opens as many streams and answers as it may, and reads none of them.

use super::target::{Connection, Prepared, Target};
use super::{Attack, Outcome};
use anyhow::ensure;
use std::thread;
use std::time::Duration;

/// See the module.
pub(super) const ATTACK: Attack = Attack {
    name: "memory",
    goal: "with 256 unread streams and 512 unread answers of one key, memory stays within 256 MB of the idle figure",
    run,
};

/// How many calls ended. The attack that once succeeded had as many.
const CALLS: &str = "100000";

/// How many streams a key may have.
const STREAMS: usize = 256;

/// How many answers are asked for beside them.
const ANSWERS: usize = 512;

const GOAL: u64 = 256 * 1024 * 1024;

/// How long the memory is watched, and how often.
const WATCHED: u32 = 150;
const EACH: Duration = Duration::from_millis(100);

const FOLLOWED: [&str; 4] = [
    "/v1/handle-times/changes?from=1970-01-01T00:00:00Z",
    "/v1/handle-times/changes?by=agent&from=1970-01-01T00:00:00Z",
    "/v1/active-calls/changes",
    "/v1/monitoring/changes",
];

const ASKED: [&str; 8] = [
    "/v1/handle-times?window=1d&explain=true&limit=10000",
    "/v1/handle-times.ndjson?window=1d&explain=true",
    "/v1/handle-times.csv?window=1d&by=agent&explain=true",
    "/v1/handle-times.csv",
    "/v1/handle-times.csv?by=agent&sort=-handle_ms",
    "/v1/handle-times.ndjson?window=15m&by=agent&sort=-sum_ms",
    "/v1/handle-times?by=agent&limit=10000",
    "/v1/active-calls.csv",
];

fn run() -> anyhow::Result<Outcome> {
    let target = prepare()?;
    let reader = target.key("wallboard", &["reader"])?;
    let telephony = target.key("acd", &["telephony"])?;
    let idle = target.resident()?;
    let unread = hoard(&target, &reader)?;
    let mut most = 0;
    for _ in 0..WATCHED {
        thread::sleep(EACH);
        most = most.max(target.resident()?);
    }
    let command = r#"{"type":"connect_call","agent":"agent:ana"}"#;
    let (status, _) = target
        .connect(&telephony)?
        .post("/v1/calls/new/commands", command)?;
    ensure!(status == 200, "a command was answered {status}");
    drop(unread);
    thread::sleep(Duration::from_secs(2));
    let after = target.resident()?;
    Ok(Outcome {
        measured: format!(
            "idle {} MB, at most {} MB more, {} MB more once they were gone",
            megabytes(idle),
            megabytes(most.saturating_sub(idle)),
            megabytes(after.saturating_sub(idle))
        ),
        held: most.saturating_sub(idle) <= GOAL,
    })
}

fn prepare() -> anyhow::Result<Target> {
    let prepared = Prepared::new()?;
    let day = prepared
        .run(["simulate", "--calls", CALLS, "--seed", "1"])
        .run();
    ensure!(day.code == Some(0), "no day was made: {}", day.err);
    let ran = prepared.run(["run", "-"]).input(day.out).run();
    ensure!(
        ran.code == Some(0),
        "the commands were not taken: {}",
        ran.err
    );
    prepared.serve()
}

/// Asks for much, and keeps the connections.
fn hoard(target: &Target, key: &str) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    let streams = FOLLOWED.iter().cycle().take(STREAMS);
    let streams = streams.map(|path| (path, "text/event-stream"));
    let answers = ASKED.iter().cycle().take(ANSWERS);
    for (path, accept) in streams.chain(answers.map(|path| (path, "*/*"))) {
        let mut connection = target.connect(key)?;
        connection.ask(path, accept)?;
        connections.push(connection);
    }
    Ok(connections)
}

fn megabytes(bytes: u64) -> u64 {
    bytes / 1024 / 1024
}
