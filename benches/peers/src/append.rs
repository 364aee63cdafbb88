//! How fast is a durable append?

use crate::Run;
use crate::args::Args;
use crate::calls::{EVENTS_OF_CALL, commands_of};
use crate::figures::{Spread, figure, percentiles, rate, shown};
use crate::goals::Goals;
use crate::sides::{BareFile, Counts, CqrsEs, EncodingFile, Kaigi, LayoutD, Side, Sqlite};
use crate::table::Table;
use domain::Batch;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

/// How many write at once, and how many commands a second are prepared for that: about as many
/// as anybody can do.
const WRITERS: [(usize, u64); 3] = [(1, 30_000), (64, 250_000), (1024, 800_000)];

/// How many events a command brings about.
const EVENTS_OF_COMMAND: [usize; 2] = [1, 3];

type Measure = fn(&Run, &Work) -> Round;

/// Kaigi first: the others are compared with it.
const SIDES: [(&str, Measure); 6] = [
    (Kaigi::NAME, measure::<Kaigi>),
    (BareFile::NAME, measure::<BareFile>),
    (EncodingFile::NAME, measure::<EncodingFile>),
    (LayoutD::NAME, measure::<LayoutD>),
    (Sqlite::NAME, measure::<Sqlite>),
    (CqrsEs::NAME, measure::<CqrsEs>),
];

/// What each writer has to play: whole calls, one command after the other.
struct Work {
    writers: usize,
    events_of_command: usize,
    /// By writer, then by call.
    scripts: Vec<Arc<Vec<Vec<Batch>>>>,
}

/// What one side did in one round.
#[derive(Clone)]
struct Round {
    commands: u64,
    took: Duration,
    p50: f64,
    p99: f64,
    counts: Counts,
}

pub(crate) fn compare(run: &Run, args: &Args, goals: &mut Goals) {
    println!("\n## Durable append\n\nLatencies are microseconds a command.");
    let asked =
        |(writers, _): &(usize, u64)| args.writers.is_empty() || args.writers.contains(writers);
    for (writers, commands_a_second) in WRITERS.into_iter().filter(asked) {
        for events_of_command in EVENTS_OF_COMMAND {
            let commands = commands_a_second * run.append_ms / 1000;
            let work = Work::prepare(writers, events_of_command, commands);
            compare_sides(run, args, &work, goals);
        }
    }
}

fn compare_sides(run: &Run, args: &Args, work: &Work, goals: &mut Goals) {
    let beside = args.beside.as_deref();
    let asked = |(name, _): &&(&str, Measure)| {
        *name == Kaigi::NAME || beside.is_none_or(|asked| asked.iter().any(|asked| asked == name))
    };
    let sides: Vec<_> = SIDES.iter().filter(asked).collect();
    let mut rounds = vec![Vec::new(); sides.len()];
    for round in 0..run.rounds {
        for turn in 0..sides.len() {
            // Whoever begins differs from round to round.
            let side = (round + turn) % sides.len();
            rounds[side].push(sides[side].1(run, work));
        }
    }
    let rates = |side: usize| -> Vec<f64> {
        let rounds = rounds[side].iter();
        rounds
            .map(|round| rate(round.commands, round.took))
            .collect()
    };
    let ratios: Vec<_> = (0..sides.len())
        .map(|side| Spread::of_ratios(&rates(0), &rates(side)))
        .collect();
    print(work, &sides, &rounds, &ratios);
    if beside.is_none() {
        note_goals(work, &rounds[0], &ratios, goals);
    }
}

fn print(work: &Work, sides: &[&(&str, Measure)], rounds: &[Vec<Round>], ratios: &[Spread]) {
    let (writers, events) = (work.writers, work.events_of_command);
    println!("\n### {writers} writers, {events} events a command\n");
    let mut table = Table::new([
        "side",
        "events/s",
        "commands/s",
        "seconds",
        "p50",
        "p99",
        "commands/commit",
        "syncs/commit",
        "kaigi is, times",
    ]);
    for (((side, _), rounds), ratio) in sides.iter().zip(rounds).zip(ratios) {
        let commands = Spread::of(rounds.iter().map(|round| rate(round.commands, round.took)));
        let median = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of)).median;
        table.row([
            (*side).to_owned(),
            shown(commands.median * figure(events as u64)),
            commands.to_string(),
            shown(median(|round| round.took.as_secs_f64())),
            shown(median(|round| round.p50)),
            shown(median(|round| round.p99)),
            known(rounds, Round::commands_of_commit),
            known(rounds, Round::syncs_of_commit),
            ratio.to_string(),
        ]);
    }
    table.print();
}

fn known(rounds: &[Round], of: fn(&Round) -> Option<f64>) -> String {
    let figures: Option<Vec<f64>> = rounds.iter().map(of).collect();
    figures.map_or("-".to_owned(), |figures| shown(Spread::of(figures).median))
}

fn note_goals(work: &Work, kaigi: &[Round], ratios: &[Spread], goals: &mut Goals) {
    let (writers, events) = (work.writers, work.events_of_command);
    let [_, bare_file, encoding, _, sqlite, cqrs_es] = ratios else {
        unreachable!("there are six sides");
    };
    let load = format!("{writers} writers, {events} a command");
    let least = match writers {
        64 => 0.7,
        1024 => 0.6,
        _ => return,
    };
    for (side, ratio) in [(BareFile::NAME, bare_file), (EncodingFile::NAME, encoding)] {
        goals.at_least(least, ratio.median, format!("of the {side}, {load}"));
    }
    if writers == 64 && events == 3 {
        goals.at_least(1.0, sqlite.median, format!("times SQLite, {load}"));
    }
    goals.at_least(20.0, cqrs_es.median, format!("times cqrs-es, {load}"));
    let syncs = kaigi.iter().filter_map(Round::syncs_of_commit);
    let what = format!("syncs a commit, {load}");
    goals.at_most(1.0, Spread::of(syncs).median, what);
}

impl Work {
    fn prepare(writers: usize, events_of_command: usize, commands: u64) -> Self {
        let calls = commands * events_of_command as u64 / EVENTS_OF_CALL;
        let writers_of_all = writers as u64;
        let calls_of_each = (calls / writers_of_all).max(1);
        let script = |writer: u64| {
            let calls = (0..calls_of_each).map(|call| call * writers_of_all + writer);
            let commands = calls.map(|call| commands_of(call, events_of_command));
            Arc::new(commands.collect())
        };
        Self {
            writers,
            events_of_command,
            scripts: (0..writers_of_all).map(script).collect(),
        }
    }
}

/// A writer's calls in the form the side takes.
fn script<S: Side>(calls: &[Vec<Batch>]) -> Vec<S::Command> {
    let share = (calls.len() / S::ONE_CALL_IN).max(1);
    calls[..share].iter().flatten().map(S::command).collect()
}

impl Round {
    fn commands_of_commit(&self) -> Option<f64> {
        let commits = self.counts.commits?;
        Some(figure(self.commands) / figure(commits))
    }

    fn syncs_of_commit(&self) -> Option<f64> {
        let Counts { commits, syncs } = self.counts;
        Some(figure(syncs?) / figure(commits?))
    }
}

fn measure<S: Side>(run: &Run, work: &Work) -> Round {
    let folder = tempfile::tempdir_in(run.folder).expect("a folder can be made");
    let at_most = Duration::from_millis(run.append_ms);
    run.runtime
        .block_on(append::<S>(folder.path(), &work.scripts, at_most))
}

async fn append<S: Side>(
    folder: &Path,
    scripts: &[Arc<Vec<Vec<Batch>>>],
    at_most: Duration,
) -> Round {
    let side = Arc::new(S::open(folder).await);
    let before = side.counts();
    let all_ready = Arc::new(Barrier::new(scripts.len() + 1));
    let writers = scripts.iter().map(|calls| {
        let (side, calls) = (Arc::clone(&side), Arc::clone(calls));
        tokio::spawn(play(side, calls, Arc::clone(&all_ready), at_most))
    });
    let writers: Vec<_> = writers.collect();
    all_ready.wait().await;
    let started = Instant::now();
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await.expect("a writer does not panic"));
    }
    let took = started.elapsed();
    let counts = side.counts().since(before);
    let side = Arc::into_inner(side).expect("the writers are done");
    side.close().await;
    let commands = latencies.len() as u64;
    let [p50, p99] = percentiles(latencies);
    Round {
        commands,
        took,
        p50,
        p99,
        counts,
    }
}

/// Until the script or the time is over. What is prepared is made by the task that uses it: what another thread has
/// allocated is dear to free, and no service has its events from another thread.
async fn play<S: Side>(
    side: Arc<S>,
    calls: Arc<Vec<Vec<Batch>>>,
    all_ready: Arc<Barrier>,
    at_most: Duration,
) -> Vec<Duration> {
    let script = script::<S>(&calls);
    let mut latencies = Vec::with_capacity(script.len());
    all_ready.wait().await;
    let until = Instant::now() + at_most;
    for command in S::played(script) {
        let asked = Instant::now();
        if asked >= until {
            break;
        }
        side.append(command).await;
        latencies.push(asked.elapsed());
    }
    latencies
}
