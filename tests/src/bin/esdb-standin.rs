//! The stand-in for `EventStoreDB` as a program, to try a client by hand or from another language.

use clap::{Parser, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tests::standin::{Config, Failure, StandIn, User};

const EXAMPLES: &str = "\
Examples:
  esdb-standin                              one node on port 2113, open to everybody
  esdb-standin --port 0 --nodes 3           a cluster on ports that are free
  esdb-standin --user ops:secret --tls ./keys
                                            encrypted; the authority is ./keys/ca.pem
  esdb-standin --latency 200                every answer 200 ms later, as over a slow line
  esdb-standin --nodes 3 --election 1000 --kill-leader-every 10
                                            another leader each 10 s, ready after one; the dead one is back in 5 s
  esdb-standin --lose-answers 3 --failure break
                                            the first three writes are in, but the connection breaks";

const ABOUT: &str = "A stand-in for EventStoreDB (KurrentDB), for tests only: it speaks the published protocol, \
    keeps nothing, and fails on demand. The first line it prints is its connection string.";

/// What the program can be told.
#[derive(Parser)]
#[command(name = "esdb-standin", about = ABOUT, after_help = EXAMPLES)]
struct Options {
    /// Where the first node listens, the others behind it; 0 for any free port
    #[arg(long, default_value_t = 2113)]
    port: u16,

    /// How many nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,

    /// Encrypts, and writes the authority's certificate into this folder as ca.pem
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,

    /// Somebody who may log in; nobody else may do anything then. Can be given again
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = user)]
    users: Vec<User>,

    /// The version that clients are told
    #[arg(long, default_value_t = Config::default().version, value_name = "VERSION")]
    server_version: String,

    /// Kills the leader again and again, and revives it after half of that time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    kill_leader_every: Option<Duration>,

    /// Breaks all connections again and again
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    break_connections_every: Option<Duration>,

    /// Ends all subscriptions again and again, without an error
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    end_subscriptions_every: Option<Duration>,

    /// Every answer arrives that much later, as from a server far away; answers do not wait for each other
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency: u64,

    /// For how long after an election no node is ready; the servers of the vendor take about a second
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    election: u64,

    /// Delays each call
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    slow: u64,

    /// So many of the first writes fail, and nothing is written
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    refuse_writes: usize,

    /// So many of the first writes are written, and fail then
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    lose_answers: usize,

    /// So many of the first reads fail
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    refuse_reads: usize,

    /// How they fail
    #[arg(long, value_enum, default_value_t = How::Unavailable)]
    failure: How,
}

/// The failures that need no more than a name.
#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// UNAVAILABLE, as from a node that is starting
    Unavailable,
    /// ABORTED, as when the cluster did not agree in time
    TimedOut,
    /// The code of a deadline that is over
    DeadlineExceeded,
    /// There is never an answer
    Hang,
    /// The node breaks all its connections
    Break,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let standin = StandIn::try_start(options.config())?;
    options.plan(&standin);
    eprintln!(
        "This is a stand-in for EventStoreDB, for tests only. It is no database: it keeps nothing, and everything in it \
         is gone when it stops (Ctrl-C)."
    );
    announce(&match options.users.first() {
        Some(User { name, password }) => standin.url_as(name, password),
        None => standin.url(),
    })?;
    let standin = &standin;
    thread::scope(|disturbers| {
        if let Some(pause) = options.kill_leader_every {
            disturbers.spawn(move || kill_leaders(standin, pause));
        }
        if let Some(pause) = options.break_connections_every {
            disturbers.spawn(move || every(pause, || standin.break_connections()));
        }
        if let Some(pause) = options.end_subscriptions_every {
            disturbers.spawn(move || every(pause, || standin.faults().end_subscriptions()));
        }
        every(Duration::from_hours(1), || ())
    })
}

impl Options {
    fn config(&self) -> Config {
        Config {
            nodes: self.nodes.into(),
            port: (self.port > 0).then_some(self.port),
            users: self.users.clone(),
            tls: self.tls.is_some(),
            tls_folder: self.tls.clone(),
            version: self.server_version.clone(),
            latency: Duration::from_millis(self.latency),
            election: Duration::from_millis(self.election),
            ..Config::default()
        }
    }

    fn plan(&self, standin: &StandIn) {
        let failure = match self.failure {
            How::Unavailable => Failure::Unavailable,
            How::TimedOut => Failure::TimedOut,
            How::DeadlineExceeded => Failure::DeadlineExceeded,
            How::Hang => Failure::Hang,
            How::Break => Failure::Break,
        };
        let faults = standin.faults();
        faults.slow(Duration::from_millis(self.slow));
        faults.refuse_writes(self.refuse_writes, failure);
        faults.lose_answers(self.lose_answers, failure);
        faults.refuse_reads(self.refuse_reads, failure);
    }
}

/// Whoever started it may wait for this line.
fn announce(url: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{url}")?;
    out.flush()
}

fn kill_leaders(standin: &StandIn, pause: Duration) -> ! {
    every(pause / 2, || {
        let Some(leader) = standin.leader() else {
            return;
        };
        eprintln!("node {leader} dies");
        standin.kill(leader);
        thread::sleep(pause / 2);
        standin.revive(leader);
        eprintln!(
            "node {leader} is back, and node {} leads",
            standin.leader().unwrap_or(leader)
        );
    })
}

fn every(pause: Duration, what: impl Fn()) -> ! {
    loop {
        thread::sleep(pause);
        what();
    }
}

fn user(text: &str) -> Result<User, String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok(User::new(name, password)),
        _ => Err("a name and a password are expected, with a colon between them".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = duration.filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "a number of seconds above 0 is expected".to_owned())
}
