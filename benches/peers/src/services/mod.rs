//! Kaigi's service beside `UmaDB`'s, each a process of its own, over the loopback: commands that are durable when they are
//! answered, one in flight on each connection. The generator shares the machine with them.

mod kaigi;
mod load;
mod process;
mod umadb;
#[path = "../../../benches/http/wire.rs"]
#[expect(
    dead_code,
    reason = "streams of commands and events are what `just bench` measures with it"
)]
mod wire;

use crate::Run;
use crate::args::Services;
use crate::figures::{Spread, figure, percentiles, rate, shown};
use crate::table::Table;
use anyhow::Context;
use load::{Load, Script};
use process::{Service, own_cpu};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

pub(crate) use umadb::serve as serve_umadb;

/// How many connections there are.
const CONNECTIONS: [usize; 3] = [1, 64, 256];

/// A service and one of its connections, which takes a command and answers once it is durable.
trait Side {
    /// Its name in the table.
    const NAME: &'static str;

    /// A command in the form it takes, made before the clock starts.
    type Command: Send + 'static;

    /// A connection that asks one thing after the other.
    type Connection: Send + 'static;

    /// Starts it on a new store in that folder.
    fn start(folder: &Path, services: &Services) -> anyhow::Result<Service>;

    /// The script in the form it takes.
    fn commands(script: &Script) -> Vec<Self::Command>;

    /// Opens a connection.
    fn connect(address: String) -> impl Future<Output = Self::Connection> + Send;

    /// Answers once the command is durable.
    fn send(
        connection: &mut Self::Connection,
        command: Self::Command,
    ) -> impl Future<Output = ()> + Send;
}

/// What one side did in one round.
struct Round {
    commands: u64,
    took: Duration,
    p50: f64,
    p99: f64,
    service_cpu: Duration,
    generator_cpu: Duration,
}

type Measure = fn(&Run, &Services, &Load) -> anyhow::Result<Round>;

/// Who is measured with what.
struct Row<'a> {
    side: &'static str,
    measure: Measure,
    load: &'a Load,
    rounds: Vec<Round>,
}

/// Measures, and prints a table.
pub(crate) fn compare(run: &Run, services: &Services) -> anyhow::Result<()> {
    println!("\n## The services over the loopback\n");
    let mut table = Table::new([
        "connections",
        "load",
        "side",
        "events/command",
        "commands/s",
        "events/s",
        "p50 us",
        "p99 us",
        "service cpu us/command",
        "generator cpu us/command",
        "kaigi is, times",
    ]);
    for connections in services.connections.as_deref().unwrap_or(&CONNECTIONS) {
        // One alone waits for every answer; a shorter day is enough to see how long.
        let shorter = if *connections == 1 { 4 } else { 1 };
        let calls = services.calls() / shorter + 1;
        for load in &Load::all(run, &services.kaigi()?, *connections, calls)? {
            let mut rows = [
                Row::new::<kaigi::Kaigi>(load),
                Row::new::<umadb::UmaDb>(load),
            ];
            measure_in_turn(run, services, &mut rows)?;
            let ours = rows[0].rates();
            for row in &rows {
                table.row(row.cells(*connections, &ours));
            }
        }
    }
    table.print();
    print!("{NOT_COMPARABLE}");
    Ok(())
}

fn measure_in_turn(run: &Run, services: &Services, rows: &mut [Row]) -> anyhow::Result<()> {
    for round in 0..run.rounds {
        for turn in 0..rows.len() {
            // Whoever begins differs from round to round.
            let row = (round + turn) % rows.len();
            let row = &mut rows[row];
            let measured = (row.measure)(run, services, row.load);
            let measured = measured.with_context(|| format!("{} cannot be measured", row.side))?;
            row.rounds.push(measured);
        }
    }
    Ok(())
}

impl<'a> Row<'a> {
    fn new<S: Side>(load: &'a Load) -> Self {
        Self {
            side: S::NAME,
            measure: measure::<S>,
            load,
            rounds: Vec::new(),
        }
    }

    fn rates(&self) -> Vec<f64> {
        let rounds = self.rounds.iter();
        rounds
            .map(|round| rate(round.commands, round.took))
            .collect()
    }

    fn cells(&self, connections: usize, ours: &[f64]) -> [String; 11] {
        let rates = self.rates();
        let commands = Spread::of(rates.iter().copied());
        let median = |of: fn(&Round) -> f64| shown(Spread::of(self.rounds.iter().map(of)).median);
        [
            connections.to_string(),
            self.load.name.to_owned(),
            self.side.to_owned(),
            shown(self.load.events_of_command()),
            commands.to_string(),
            shown(commands.median * self.load.events_of_command()),
            median(|round| round.p50),
            median(|round| round.p99),
            median(|round| round.micros_of_command(round.service_cpu)),
            median(|round| round.micros_of_command(round.generator_cpu)),
            Spread::of_ratios(ours, &rates).to_string(),
        ]
    }
}

impl Round {
    fn micros_of_command(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / figure(self.commands)
    }
}

fn measure<S: Side>(run: &Run, services: &Services, load: &Load) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir_in(run.folder)?;
    let service = S::start(folder.path(), services)?;
    Ok(run.runtime.block_on(play::<S>(&service, load)))
}

async fn play<S: Side>(service: &Service, load: &Load) -> Round {
    let all_ready = Arc::new(Barrier::new(load.scripts.len() + 1));
    let mut connections = JoinSet::new();
    for script in &load.scripts {
        let (commands, all_ready) = (S::commands(script), Arc::clone(&all_ready));
        let address = service.address.clone();
        connections.spawn(async move {
            let mut connection = S::connect(address).await;
            all_ready.wait().await;
            answered::<S>(&mut connection, commands).await
        });
    }
    all_ready.wait().await;
    let (started, own, its) = (Instant::now(), own_cpu(), service.cpu());
    let latencies = connections.join_all().await.concat();
    let took = started.elapsed();
    let generator_cpu = own_cpu().saturating_sub(own);
    let service_cpu = service.cpu().saturating_sub(its);
    let commands = latencies.len() as u64;
    let [p50, p99] = percentiles(latencies);
    Round {
        commands,
        took,
        p50,
        p99,
        service_cpu,
        generator_cpu,
    }
}

async fn answered<S: Side>(
    connection: &mut S::Connection,
    commands: Vec<S::Command>,
) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(commands.len());
    for command in commands {
        let asked = Instant::now();
        S::send(connection, command).await;
        latencies.push(asked.elapsed());
    }
    latencies
}

const NOT_COMPARABLE: &str = "
- Kaigi is sent commands and decides them, UmaDB the events that they bring about. No command is one that a rule refuses.
- The day is a simulated one. The held calls and the conferences are made for their one and three events a command.
- UmaDB decides nothing and reads nothing back. Its client appends under the condition that no other event has the call's tag
  after the last one it knows, which it remembers; who cannot remember it must read before each append.
- UmaDB's events carry one tag, the id that makes a retry harmless, and all the bytes that kaigi keeps of an event alone.
  Kaigi keeps what the events of a command share only once, and checks each call's chain of hashes.
- Kaigi answers with the events as JSON, UmaDB with one position.
- Neither asks for a key, and neither encrypts.
- Kaigi's generator writes HTTP/1.1 by hand; UmaDB's is the client of its makers, with a gRPC connection of its own for each.
  What a generator takes, the service cannot have.
- UmaDB runs as its makers start it, with all that they chose: one thread commits what waits, up to 2,048 events at once, and
  syncs twice a commit, the pages and then the header that makes them valid. Kaigi syncs once.
";
