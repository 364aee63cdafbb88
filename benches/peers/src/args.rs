//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Compares the store with a bare file, other layouts, SQLite and cqrs-es, and prints tables
#[derive(Debug, Parser)]
#[command(name = "peers", max_term_width = 100, after_help = EXAMPLES)]
#[cfg_attr(feature = "umadb", command(args_conflicts_with_subcommands = true))]
pub(crate) struct Args {
    /// Something else than stores.
    #[cfg(feature = "umadb")]
    #[command(subcommand)]
    pub(crate) beyond: Option<Beyond>,

    /// Ask only this; may be given several times
    #[arg(long, value_enum, value_name = "QUESTION", value_delimiter = ',')]
    only: Vec<Question>,

    /// How often each side is measured, in turn; the median counts [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: Option<u64>,

    /// How many events the stores hold that are read, opened and weighed [default: 5000000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(3_000..))]
    events: Option<u64>,

    /// In `append`, only so many writers; may be given several times
    #[arg(long, value_delimiter = ',')]
    pub(crate) writers: Vec<usize>,

    /// In `append`, only these beside kaigi, to look closer at something; no goals are judged then
    #[arg(long, value_name = "SIDE", value_delimiter = ',')]
    pub(crate) beside: Option<Vec<String>>,

    /// A smoke run: whether everything works, in seconds; its figures mean nothing
    #[arg(long)]
    quick: bool,

    /// Where to put the stores while they are measured; not in memory [default: beside the program]
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,

    /// What this process does for another one of this program
    #[arg(long, hide = true, num_args = 3)]
    pub(crate) child: Option<Vec<String>>,
}

const EXAMPLES: &str = "\
Examples:
  just bench-store                                  everything, about a quarter of an hour
  just bench-store --quick                          does it work?
  just bench-store --only append --rounds 9
  just bench-store --only scan,cold --events 1000000
  just bench-store --folder /mnt/data               on that disk";

#[cfg(feature = "umadb")]
const SERVICES_HELP: &str = "\
Both sides are processes of their own on a new store, take one command at a time on each connection
and answer once it is durable. Kaigi is sent commands, UmaDB the events that they bring about, so both
keep as many events a command: as a simulated day has them, one, and three. The generator takes its
share of the processors, which is told.

It is there where this program is built with `--features umadb`, and that takes protoc (Debian:
protobuf-compiler; or `cargo install protox --features bin` and PROTOC=$HOME/.cargo/bin/protox).

Examples:
  just bench-umadb                                  about three minutes
  just bench-umadb --quick                          does it work?
  just bench-umadb --connections 64 --rounds 9
  just bench-umadb --calls 20000 --folder /mnt/data";

/// What is compared but stores.
#[cfg(feature = "umadb")]
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Beyond {
    /// Compares `kaigi serve` with UmaDB's server, both over the loopback
    #[command(after_help = SERVICES_HELP)]
    Umadb(Services),
}

/// `peers umadb`.
#[cfg(feature = "umadb")]
#[derive(Debug, clap::Args)]
pub(crate) struct Services {
    /// The program kaigi, built for release [default: the one in the repository's target folder]
    #[arg(long, value_name = "FILE")]
    kaigi: Option<PathBuf>,

    /// How many calls the day has, with more than one connection [default: 4000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,

    /// Only so many connections; may be given several times
    #[arg(long, value_delimiter = ',')]
    pub(crate) connections: Option<Vec<usize>>,

    /// How often each side is measured, in turn; the median counts [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: Option<u64>,

    /// A smoke run: whether everything works, in seconds; its figures mean nothing
    #[arg(long)]
    quick: bool,

    /// Where to put the stores while they are measured; not in memory [default: beside the program]
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,

    /// Be UmaDB's server, in that folder and at that address
    #[arg(long, hide = true, num_args = 2)]
    pub(crate) serve: Option<Vec<String>>,
}

#[cfg(feature = "umadb")]
impl Services {
    /// The program of that name, which must be there.
    pub(crate) fn kaigi(&self) -> anyhow::Result<PathBuf> {
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/dist/kaigi");
        let program = self.kaigi.clone().unwrap_or_else(|| built.into());
        anyhow::ensure!(
            program.is_file(),
            "{} is not there; build it with `cargo build --profile dist --package kaigi`, or name another with --kaigi",
            program.display()
        );
        Ok(program)
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.unwrap_or(if self.quick { 400 } else { 4_000 })
    }

    pub(crate) fn rounds(&self) -> usize {
        rounds(self.rounds, self.quick)
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// How fast is a durable append?
    Append,
    /// How fast are all events read, and folded into the read models?
    Scan,
    /// How long does a call take that no process has in memory?
    Cold,
    /// How long until a killed store takes commands again, and in how much memory?
    Open,
    /// How many bytes does an event take, and how many syncs a commit?
    Size,
}

impl Args {
    pub(crate) fn asks(&self, question: Question) -> bool {
        self.only.is_empty() || self.only.contains(&question)
    }

    pub(crate) fn rounds(&self) -> usize {
        rounds(self.rounds, self.quick)
    }

    pub(crate) fn append_ms(&self) -> u64 {
        if self.quick { 100 } else { 2_500 }
    }

    pub(crate) fn events(&self) -> u64 {
        let usual = if self.quick { 30_000 } else { 5_000_000 };
        self.events.unwrap_or(usual)
    }
}

fn rounds(asked: Option<u64>, quick: bool) -> usize {
    let usual = if quick { 1 } else { 5 };
    let rounds = asked.map(usize::try_from);
    rounds.map_or(usual, |rounds| rounds.expect("at most 99"))
}
