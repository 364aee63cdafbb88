//! The store beside what else could be used: a bare file, its layout before, SQLite, and cqrs-es on SQLite. All in one
//! run, for disks and machines differ and only the ratios travel. And, where it is built with that, the service beside
//! UmaDB's (`services`).
//!
//! Read top-down: the command line (`args`), what is written (`calls`), whom it is written to (`sides`), then one module
//! for each question (`append`, `scan`, `cold`, `open`, `size`), and what they share.

mod append;
mod args;
mod calls;
mod child;
mod cold;
mod figures;
mod fill;
mod folders;
mod goals;
mod group_commit;
mod machine;
mod open;
mod scan;
#[cfg(feature = "umadb")]
mod services;
mod sides;
mod size;
mod table;

use args::{Args, Question};
use clap::Parser;
use fill::Filled;
use goals::Goals;
use std::path::Path;
use std::process::ExitCode;

/// What one run goes by.
struct Run<'a> {
    folder: &'a Path,
    runtime: &'a tokio::runtime::Runtime,
    rounds: usize,
    /// How long each side appends, in each round.
    append_ms: u64,
    /// How many events the stores hold that are read, opened and weighed.
    events: u64,
}

fn main() -> ExitCode {
    match perform(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &Args) -> anyhow::Result<()> {
    #[cfg(feature = "umadb")]
    if let Some(args::Beyond::Umadb(services)) = &args.beyond {
        return beside_umadb(services);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(task) = &args.child {
        runtime.block_on(child::perform(task));
        return Ok(());
    }
    let folder = folders::make(args.folder.as_deref())?;
    let run = Run {
        folder: folder.path(),
        runtime: &runtime,
        rounds: args.rounds(),
        append_ms: args.append_ms(),
        events: args.events(),
    };
    machine::print("The store beside its peers", &run, &machine::STORES);
    let goals = answer(&run, args);
    print!("{NOT_COMPARABLE}");
    goals.print();
    Ok(())
}

#[cfg(feature = "umadb")]
fn beside_umadb(asked: &args::Services) -> anyhow::Result<()> {
    if let Some([folder, address]) = asked.serve.as_deref() {
        return services::serve_umadb(Path::new(folder), address);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = folders::make(asked.folder.as_deref())?;
    let run = Run {
        folder: folder.path(),
        runtime: &runtime,
        rounds: asked.rounds(),
        append_ms: 0,
        events: 0,
    };
    machine::print("The service beside UmaDB's", &run, &machine::SERVICES);
    services::compare(&run, asked)
}

fn answer(run: &Run, args: &Args) -> Goals {
    let mut goals = Goals::default();
    if args.asks(Question::Append) {
        append::compare(run, args, &mut goals);
    }
    if args.asks(Question::Size) {
        size::compare(run, &mut goals);
    }
    if args.asks(Question::Scan) || args.asks(Question::Cold) {
        let filled = Filled::by(run);
        if args.asks(Question::Scan) {
            scan::compare(run, &filled, &mut goals);
        }
        if args.asks(Question::Cold) {
            cold::compare(run, &filled, &mut goals);
        }
    }
    if args.asks(Question::Open) {
        open::compare(run, &mut goals);
    }
    goals
}

const NOT_COMPARABLE: &str = "
## What is not comparable

- Every side but kaigi takes bytes that were encoded before the clock started. Kaigi encodes under it, checks the head's
  hash as well as the revision, and answers with the events and their positions.
- A bare file that is given events is one where nothing is ready: they are encoded under the clock, as kaigi does. Between the
  two bare files is what encoding costs, and reading events that no processor has in its cache.
- The bare file keeps no index, checks no revision and answers nobody's reads. It is the floor. It takes its share of the
  prepared commands again and again, for all that fits into memory would not last it for seconds.
- Layout D is a prototype. It checks revisions and keeps an index in memory, but never writes the index, so that it
  would have to read everything when it is opened. Its commands carry 7 bytes more than they would in a shared block.
- SQLite's writer stores opaque blobs, one for each event, each with all that the events of its command share, so that
  a row can be read alone. The unique constraint checks revisions: it refuses what is there, not a gap.
- How often SQLite syncs is not counted: once for each commit, and some more times when it moves its log.
- cqrs-es reads the call again and runs a transaction of its own for each command. Its events are JSON texts as long as
  our payloads, without digest, hash, cause or times. Its pool is `default_sqlite_pool` but for `synchronous`: it says
  NORMAL, which loses what was acknowledged in a power cut, and FULL is measured.
- In `append` each side works for the same time, so the faster ones end with the larger store.
- Files are dropped from the page cache by `posix_fadvise`, one by one; what the disk itself caches stays.
";
