//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Compares the store with a bare file, other layouts, SQLite and cqrs-es, and prints tables
#[derive(Debug, Parser)]
#[command(name = "peers", max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Args {
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
        let usual = if self.quick { 1 } else { 5 };
        let rounds = self.rounds.map(usize::try_from);
        rounds.map_or(usual, |rounds| rounds.expect("at most 99"))
    }

    pub(crate) fn append_ms(&self) -> u64 {
        if self.quick { 100 } else { 2_500 }
    }

    pub(crate) fn events(&self) -> u64 {
        let usual = if self.quick { 30_000 } else { 5_000_000 };
        self.events.unwrap_or(usual)
    }
}
