//! The command line.

use crate::ids::{agent, phase};
use crate::keys::Keys;
use crate::output::Output;
use crate::remote::ServiceUrl;
use crate::serve::args::milliseconds;
use crate::show_args::Show;
use crate::store::StoreUrl;
use crate::verbs::{self, CallVerb};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use domain::{AgentId, CallId, Correlation, CustomerNumber, Position, Queue, Revision, Timestamp};
use simulate::placed::Placed;
use std::ffi::OsStr;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// A system of record for contact-centre conference calls: commands in, events kept, read models out.
#[derive(Debug, Parser)]
#[command(name = "kaigi", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// The store, by URL: sled:PATH, memory: or esdb://HOST:PORT [default: sled: and a folder kaigi in your data folder]
    #[arg(
        long,
        global = true,
        value_parser = Unrepeated::<StoreUrl>::new(),
        env = "KAIGI_STORE",
        value_name = "URL",
        help_heading = "Everywhere",
        hide_env_values = true
    )]
    pub store: Option<StoreUrl>,

    /// A running service to go through instead, by URL: https://HOST:PORT
    #[arg(
        long,
        global = true,
        value_parser = Unrepeated::<ServiceUrl>::new(),
        env = "KAIGI_SERVER",
        value_name = "URL",
        help_heading = "Everywhere",
        hide_env_values = true
    )]
    pub server: Option<ServiceUrl>,

    /// A file with the key for the service.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "A file with the key for the service [default: what KAIGI_KEY holds]",
        help_heading = "Everywhere"
    )]
    pub key_file: Option<PathBuf>,

    /// Certificates of authorities that the service's is issued by and this machine does not know, as PEM
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub ca_file: Option<PathBuf>,

    /// How rows are printed, where there are rows [default: table on a terminal, otherwise json]
    #[arg(long, short, global = true, value_enum, help_heading = "Everywhere")]
    pub output: Option<Output>,

    /// What to do.
    #[command(subcommand)]
    pub command: Verb,
}

impl Cli {
    /// The command line that the program takes. An environment variable that is empty counts as not set.
    pub fn parsed_by() -> Command {
        without_empty_variables(Self::command())
    }
}

fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

const EXAMPLES: &str = "\
Examples:
  kaigi demo                                          see all of it on a store of its own
  kaigi run commands.ndjson                           apply commands, one JSON object a line
  kaigi call c1 start-consult --by agent:ana --target agent:ben
  kaigi show active-calls
  kaigi replay c1                                     how a call went, step by step
  kaigi simulate --calls 1000 --seed 1 | kaigi run -  try it with a made-up day
  kaigi --server https://kaigi.example:7400 calls     through a running service, with the key in KAIGI_KEY

Exit codes:
  0 done · 1 something failed · 2 the command line is wrong · 3 a command was rejected
  4 not found · 5 conflict · 6 something does not verify · 65 some input lines were malformed
  75 the store is busy or unreachable: try again";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Apply commands, one JSON object a line, and print one answer a line
    #[command(after_long_help = verbs::COMMANDS)]
    Run(Run),
    /// Send one command by hand
    #[command(after_help = CALL_EXAMPLES)]
    Call(OneCall),
    /// Print a read model, or one call
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Show it again whenever it changes, until interrupted; with json and ndjson, a line a change. Needs --server
        #[arg(long, global = true)]
        watch: bool,
        /// Which.
        #[command(subcommand)]
        what: Show,
    },
    /// Find calls
    Calls(Calls),
    /// Tell how a call went, step by step, and where it stood then
    #[command(after_help = REPLAY_HELP)]
    Replay(Replay),
    /// Print the events, one JSON object a line
    Events(Events),
    /// Follow a service's events, and prove that none was missed
    #[command(after_help = FOLLOW_HELP)]
    Follow(Follow),
    /// Write a realistic, made-up day of commands, one a line; the same bytes for the same seed
    Simulate(Simulate),
    /// Turn what telephone systems recorded into commands
    Import {
        /// From what.
        #[command(subcommand)]
        from: Import,
    },
    /// Do the main job on a fresh store: a real capture and a made-up day in, the four read models out
    Demo(Demo),
    /// Copy a store into another, of any kind: every event unchanged; started again it goes on
    Copy(Copy),
    /// Look after the store: its digest, dumps and backups of it, and the way back
    #[command(after_help = STORE_EXAMPLES)]
    Store {
        /// What to do with it.
        #[command(subcommand)]
        what: StoreVerb,
    },
    /// Serve the store to programs on other machines, over HTTP
    Serve(crate::serve::args::Serve),
    /// Make, list and revoke the keys that a service admits
    Keys(Keys),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  kaigi completions bash > ~/.local/share/bash-completion/completions/kaigi"
    )]
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

const SHOW_EXAMPLES: &str = "\
Examples:
  kaigi show active-calls
  kaigi show handle-times --window 1h --by queue
  kaigi --server https://kaigi.example:7400 show wrap-up-queue --watch

As lines, the changes of handle-times begin with the calls that ended in the last 24 hours, unless
--from says since when.";

const FOLLOW_HELP: &str = "\
A service counts its events, and rolls their hashes into one: r(n) = SHA-256(r(n-1), hash of event n).
Both come with every event. This command computes them itself from what it receives, and compares them
at every event and whenever it connects again. With a checkpoint that holds over restarts of both: the
file has the store, the position, the count and the hash, and is written after the events were printed.
What was printed last before a crash may be printed again then; nothing is ever left out.

If a count or a hash does not agree it ends with exit code 6 and says where: events are missing, came
twice or were altered, or the store was restored from an older copy.

Examples:
  kaigi --server https://kaigi.example:7400 follow > events.ndjson
  kaigi follow --checkpoint seen.json >> events.ndjson       go on where it ended
  kaigi follow --checkpoint seen.json --until-caught-up      what came since the last time, and the proof
  kaigi follow --after now --quiet                           no events, a line of status now and then";

/// `kaigi run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The file, or - for standard input
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// End with exit code 3 if a rule refused a command
    #[arg(long)]
    pub strict: bool,
    /// How long to wait for a cluster or a service that decides nothing, and to send again what was not decided: 30s,
    /// 2m, 1h; with 0 the first such command ends the run with exit code 75
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    pub patience: Duration,
}

fn patience(text: &str) -> Result<Duration, String> {
    let ms = milliseconds(text)?;
    Ok(Duration::from_millis(ms.unsigned_abs()))
}

const CALL_EXAMPLES: &str = "\
Examples:
  kaigi call c1 connect-call --agent agent:ana --queue billing
  kaigi call c1 start-consult --by agent:ana --target agent:ben
  kaigi call c1 accept-consult --by agent:ben
  kaigi call c1 start-conference --by agent:ana
  kaigi call c1 exit-conference --by agent:ana
  kaigi call c1 apply-wrap-up --by agent:ana --reason sale";

/// `kaigi call`.
#[derive(Debug, Args)]
pub struct OneCall {
    /// The call
    pub call: CallId,
    /// A UUID that makes the command idempotent within its call
    #[arg(long, global = true)]
    pub id: Option<Uuid>,
    /// When it happened, if not now
    #[arg(long, global = true, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Text to find related work by
    #[arg(long, global = true, value_name = "TEXT")]
    pub correlation: Option<Correlation>,
    /// Refuse as a conflict unless the call is at this revision
    #[arg(long, global = true, value_name = "REVISION", value_parser = revision)]
    pub expect: Option<Revision>,
    /// The command
    #[command(subcommand)]
    pub verb: CallVerb,
}

/// `kaigi calls`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kaigi calls --agent agent:ana --from 2026-11-22T00:00:00Z --phase conference"
)]
pub struct Calls {
    /// Calls this agent was in, or was consulted in
    #[arg(long, value_parser = agent)]
    pub agent: Option<AgentId>,
    /// Calls of the customer with this number
    #[arg(long, value_name = "NUMBER")]
    pub customer: Option<CustomerNumber>,
    /// Calls of this queue
    #[arg(long)]
    pub queue: Option<Queue>,
    /// Calls with a command of this correlation
    #[arg(long, value_name = "TEXT")]
    pub correlation: Option<Correlation>,
    /// Calls answered at or after this time
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Calls answered before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Calls that are in this phase now
    #[arg(long, value_parser = phase)]
    pub phase: Option<domain::call::Phase>,
}

/// `kaigi replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kaigi replay c1\n  kaigi replay c1 --until 2026-11-22T09:05:00Z\n  kaigi replay c1 --revision 7 --output json"
)]
pub struct Replay {
    /// The call
    pub call: CallId,
    /// Stop at what happened by this time
    #[arg(long, value_name = "TIME", conflicts_with = "revision")]
    pub until: Option<Timestamp>,
    /// Stop after this revision
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub revision: Option<Revision>,
}

/// `kaigi events`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kaigi events --after 1200 --call c1")]
pub struct Events {
    /// Only events after this position
    #[arg(long, value_name = "POSITION", default_value = "0", value_parser = position)]
    pub after: Position,
    /// Only this call's events
    #[arg(long)]
    pub call: Option<CallId>,
    /// Go on with the events to come, until interrupted; meanwhile no other process can use an embedded store, unless a
    /// service has it
    #[arg(long)]
    pub follow: bool,
}

/// `kaigi follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// Where to begin: after a position, at the start, or with what comes now; a checkpoint goes before it
    #[arg(long, value_name = "POSITION|start|now", default_value = "start", value_parser = beginning)]
    pub after: Beginning,
    /// Keep in this file what was seen, and go on from there the next time
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// End once all is seen that was there when it began, with a proof that nothing is missing
    #[arg(long)]
    pub until_caught_up: bool,
    /// Print no events, only how far it is: once all was seen, and whenever the service says that nothing came
    #[arg(long, short)]
    pub quiet: bool,
}

/// Where following begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// With the first event, so that the proof covers them all.
    Start,
    /// With the first event that comes.
    Now,
    /// With the event after that position.
    After(Position),
}

/// `kaigi simulate`.
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_HELP)]
pub struct Simulate {
    /// How many calls
    #[arg(long, default_value_t = 1000, value_parser = calls())]
    pub calls: u64,
    /// Which day: the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Place the day on this date, UTC [default: 2026-03-02]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = midnight)]
    pub date: Option<Timestamp>,
    /// Make half past ten of the day, its busiest moment, now, and stop there: calls are live and wrap-ups owed
    #[arg(long, conflicts_with = "date")]
    pub now: bool,
}

const SIMULATE_HELP: &str = "\
With --date or --now the date stands in the ids of calls and commands, so days of several dates fit
into one store. Two days of one date need two seeds.

Examples:
  kaigi simulate --calls 10000 --seed 1 | kaigi run -
  kaigi simulate --now | kaigi run - > answers.ndjson && kaigi show active-calls
  kaigi simulate --date 2026-11-27 --seed 7 > friday.ndjson";

impl Simulate {
    /// Where to place the day, unless it stays where it is.
    pub fn placed(&self) -> Option<Placed> {
        let up_to_now = || self.now.then(|| Placed::UpTo(domain::now()));
        self.date.map(Placed::On).or_else(up_to_now)
    }
}

/// The beginning of a date.
fn midnight(date: &str) -> Result<Timestamp, String> {
    let time = format!("{date}T00:00:00Z").parse();
    time.map_err(|_| "must be a date like 2026-11-29".to_owned())
}

/// `kaigi import`.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Events of the Asterisk Manager Interface, one JSON array a file
    #[command(after_help = IMPORT_HELP)]
    Asterisk {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

const IMPORT_HELP: &str = "\
Commands go to standard output, what the call model cannot express to standard error with the
reason. Times are lower bounds: a capture holds the second each leg was created, and nothing finer.
Ids come from the content, so importing twice writes nothing twice.

Example:
  kaigi import asterisk capture.json | kaigi run -";

/// `kaigi demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How many calls the made-up day has
    #[arg(long, default_value_t = 1200, value_parser = calls())]
    pub calls: u64,
    /// Which made-up day; at half past ten of this one something of everything goes on
    #[arg(long, default_value_t = 19)]
    pub seed: u64,
}

/// `kaigi copy`.
#[derive(Debug, Args)]
#[command(after_help = COPY_HELP)]
pub struct Copy {
    /// The store to copy, by URL [default: as for other commands]
    #[arg(long, value_name = "URL", value_parser = Unrepeated::<StoreUrl>::new(), required_unless_present = "to")]
    pub from: Option<StoreUrl>,
    /// The store to copy into, by URL; an embedded one that is not there yet is made [default: as for other commands]
    #[arg(long, value_name = "URL", value_parser = Unrepeated::<StoreUrl>::new())]
    pub to: Option<StoreUrl>,
    /// Copy the whole calls, and leave the damaged ones out entirely
    #[arg(long)]
    pub leave_out_damaged: bool,
}

const COPY_HELP: &str = "\
Every event arrives unchanged, with its times, ids and hashes; only positions are the destination's
own. In the end both are read again, and their digests must be the same. What is there already is
not sent again: interrupt a copy and start it again, or run it every night. A call that the
destination holds otherwise ends it with exit code 5, and nothing is overwritten.

A damaged event ends it with exit code 1, and all damaged calls are named. With --leave-out-damaged
the source is read twice, nothing of a damaged call is sent, the digests cover the calls that were
copied, and the exit code is 0.

An embedded store that is copied must not be in use, but by a service that is named as --from; a
cluster may be. A cluster's password is for
nobody's eyes, so name the cluster in KAIGI_STORE and only the other end on the command line.

Examples:
  kaigi copy --from sled:./calls --to sled:./calls-moved
  kaigi copy --from sled:./calls      into the cluster that KAIGI_STORE names
  kaigi copy --to sled:./calls        what that cluster holds, into an embedded store
  kaigi copy --from https://kaigi.example:7400 --to sled:./calls      what a running service has
  kaigi copy --leave-out-damaged --to sled:./whole-calls";

const STORE_EXAMPLES: &str = "\
Examples:
  kaigi store backup ./backup                       again and again: each run adds what is new
  kaigi --store sled:./new store restore ./backup   into a store that nobody wrote to
  kaigi store dump | zstd > calls.ndjson.zst        readable without kaigi
  kaigi store digest                                the same for two stores with the same calls
  kaigi store damaged                               every damaged event, with its call
  kaigi store check                                 read everything, find damage
  kaigi store repair ./repaired                     what is whole of a damaged store, in a new one
  kaigi store archive --before 2026-11-22 --to /mnt/archive/calls";

/// `kaigi store`.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Identity, format, counts, size, last position; a cluster is read to count
    Info,
    /// Make a new and empty embedded store; `kaigi serve` starts on no other
    #[command(after_help = CREATE_HELP)]
    Create,
    /// Back the store up into a folder: all of it, or what came since the last time
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// The folder; made if it is not there
        folder: PathBuf,
    },
    /// Bring a backup or a dump back, into a store that is new
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// A backup's folder, a dump, or - for a dump on standard input
        from: PathBuf,
    },
    /// Verify a backup or a dump, every line and every hash, without restoring it
    #[command(after_help = "Example:\n  kaigi store verify ./backup")]
    Verify {
        /// A backup's folder, a dump, or - for a dump on standard input
        from: PathBuf,
    },
    /// Write the store to standard output, one event a line, as docs/dump-format.md says
    #[command(
        after_help = "Examples:\n  kaigi store dump > calls.ndjson\n  kaigi store dump --after 1200 | jq .type"
    )]
    Dump {
        /// Only events after this position; such a dump can be read, and not be restored by itself
        #[arg(long, value_name = "POSITION", default_value = "0", value_parser = position)]
        after: Position,
    },
    /// Verify every hash in the store, and print one digest of all its calls
    #[command(after_help = DIGEST_HELP)]
    Digest {
        /// Print the count, position and rolling hash of the first COUNT events instead
        #[arg(long, value_name = "COUNT", conflicts_with = "against")]
        at: Option<u64>,
        /// Compare the first events with a count and a rolling hash noted elsewhere, or with a checkpoint of `kaigi follow`
        #[arg(long, value_name = "COUNT:HASH|FILE")]
        against: Option<String>,
    },
    /// Read everything past what is damaged, and list each damaged event with its call
    #[command(after_help = DAMAGED_HELP)]
    Damaged,
    /// Read everything in an embedded store, and find damage: the first is named, and nothing is changed
    #[command(after_help = CHECK_HELP)]
    Check {
        /// Compare the first events with a count and a rolling hash noted elsewhere, or with a checkpoint of `kaigi follow`
        #[arg(long, value_name = "COUNT:HASH|FILE")]
        against: Option<String>,
    },
    /// Salvage what is whole of a damaged embedded store into a new one; the damaged one is only read
    #[command(after_help = REPAIR_HELP)]
    Repair {
        /// The folder of the new store; made if it is not there
        into: PathBuf,
        /// Where events go that are whole but cannot follow, as lines of a dump [default: INTO-stranded.ndjson]
        #[arg(long, value_name = "FILE")]
        stranded: Option<PathBuf>,
    },
    /// Move completed calls of an embedded store to another folder; they are read as before
    #[command(after_help = ARCHIVE_HELP)]
    Archive(Archive),
}

/// `kaigi store archive`.
#[derive(Debug, Args)]
pub struct Archive {
    /// Only events recorded before this day, such as 2026-11-22 (from midnight, UTC), or this time
    #[arg(long, value_name = "DATE", value_parser = day_or_time)]
    pub before: Timestamp,
    /// The archive's folder, elsewhere; made if it is not there, and added to if it is
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

const REPLAY_HELP: &str = "\
The call's chain of hashes is verified first: that finds damage and careless edits. It does not find
that a user who can write the store has hashed the call again; `kaigi store check --against` does.

Examples:
  kaigi replay c1
  kaigi replay c1 --revision 3";

const CREATE_HELP: &str = "\
Fails if there is a store, or what is left of one. `kaigi serve` does not start where there is no
store, so that a disk that is not mounted does not become an empty one; `kaigi serve --create` makes
one, as `kaigi run` does. A store in a cluster needs no creating.

Example:
  kaigi --store sled:/var/lib/kaigi store create";

const CHECK_HELP: &str = "\
Checksums, order, the hash chain of every call, and the index against the events. Damage ends it
with exit code 6, and is shown with call, revision and position, as far as they can be read. No file
of the store changes: a copy of the index is read, in the folder that TMPDIR names. The
history digest covers all events in their order, and is the rolling hash at their count (`kaigi store
digest` is another one, which does not depend on positions).

This finds damage and careless edits. It does not find that a user who can write the store has
made other events with a chain of hashes that fits. A hash that was noted elsewhere proves that: with
--against, the first COUNT events are compared with it, however many came since. `kaigi follow
--checkpoint FILE` on another machine keeps one. A difference ends it with exit code 6, and so does a
COUNT beyond the store.

Examples:
  kaigi --store sled:./calls store check
  kaigi store digest --output json | jq -r '\"\\(.count):\\(.rolling_hash)\"' > noted
  kaigi store check --against $(cat noted)
  kaigi store check --against audit.json            a checkpoint of `kaigi follow`";

const REPAIR_HELP: &str = "\
--store names the damaged store. What is damaged among its events is looked for in its index, too,
so do not remove that before. Every event that is whole and continues its call is kept; what is lost
is listed call by call, and ends it with exit code 6. Keep the damaged store: nothing else may hold
what could not be read.

Example:
  kaigi --store sled:./calls store repair ./calls-repaired";

const ARCHIVE_HELP: &str = "\
Events move in their order, up to the first one that is newer or is of a call that is not completed;
the time that counts is when they were recorded. Everything is read through the store as before, as
long as the archive's folder is there. By itself the archive can be opened, and not written to; name
the same folder each time, because one that begins later cannot be opened by itself.

Examples:
  kaigi store archive --before 2026-11-22 --to /mnt/archive/calls
  kaigi --store sled:/mnt/archive/calls events | head -3";

const BACKUP_HELP: &str = "\
The backup is the store as it is when the run begins, whatever is written meanwhile. A run that is
interrupted leaves the backup before it whole. It holds the customers' numbers as the store does:
keep it where only those can read it who may read the store.

Examples:
  kaigi store backup /mnt/backup/calls     each run adds a file with what is new
  kaigi store verify /mnt/backup/calls";

const RESTORE_HELP: &str = "\
Everything is verified before the first event is written, and the store is read again in the end.
A restore that was interrupted goes on when it is started again, and one of a backup that has grown
since brings what is new. A store that holds anything else is refused with exit code 5. --store or
KAIGI_STORE names where to: an embedded store, or a cluster.

Examples:
  kaigi --store sled:./restored store restore /mnt/backup/calls
  zstdcat calls.ndjson.zst | kaigi --store sled:./restored store restore -";

const DIGEST_HELP: &str = "\
The digest is SHA-256 over one line a call, in the order of the calls' bytes: the call, a tab, its
revision, a tab, the hash of its last event, a line feed. Damage ends it with exit code 6, and all
damaged calls are named.

The rolling hash covers all events in the order of the store: r(0) is zeros, r(n) is SHA-256 of
r(n-1) and the hash of event n. `kaigi follow` and GET /v1/proof have the same one at the same count.
--at takes the count of a read model or of a feed, so that its proof can be checked. A damaged event
counts as one, by the stream it is in and its number there.

A chain of hashes alone does not show that a user who can write the store has made another one.
--against compares the first events with a count and a rolling hash that were noted elsewhere, of any
store, a cluster's and a service's too. A difference ends it with exit code 6, and so does a count
beyond the store.

Examples:
  kaigi --store sled:./calls store digest
  kaigi store digest --at 52495
  kaigi store digest --against audit.json           a checkpoint of `kaigi follow`";

const DAMAGED_HELP: &str = "\
Reading goes on after a damaged event, so all of them are listed: call, stream, number, position and
reason. In an embedded store the stream is the file of the log, and the number the position. A call
whose events do not continue one another is listed once, at the first that does not. Ends with exit
code 6 if anything is damaged. All other calls are whole: `kaigi copy --leave-out-damaged` copies them.

Examples:
  kaigi store damaged
  kaigi store damaged --output ndjson | jq -r .call | sort -u";

/// Reads the name of a store or a service, and does not repeat one that is none: it may hold a password.
#[derive(Debug, Clone)]
struct Unrepeated<T>(PhantomData<T>);

impl<T> Unrepeated<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> TypedValueParser for Unrepeated<T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parsed = match value.to_str() {
            Some(url) => url.parse(),
            None => Err("it is not UTF-8".to_owned()),
        };
        parsed.map_err(|why| {
            let arg = arg.map_or("--store".to_owned(), ToString::to_string);
            let what = format!(
                "invalid value for '{arg}': {why}\n\nFor more information, try '--help'.\n"
            );
            clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command)
        })
    }
}

/// A day of more calls than anybody has would only fill a disk.
fn calls() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1_000_000_000)
}

fn revision(text: &str) -> Result<Revision, std::num::ParseIntError> {
    text.parse().map(Revision)
}

fn position(text: &str) -> Result<Position, std::num::ParseIntError> {
    text.parse().map(Position)
}

fn beginning(text: &str) -> Result<Beginning, String> {
    match text {
        "start" => Ok(Beginning::Start),
        "now" => Ok(Beginning::Now),
        text => position(text)
            .map(Beginning::After)
            .map_err(|_| "must be a position, start or now".to_owned()),
    }
}

/// A time, or the day that begins it.
fn day_or_time(text: &str) -> Result<Timestamp, String> {
    let midnight = format!("{text}T00:00:00Z");
    let time = midnight.parse().or_else(|_| text.parse());
    time.map_err(|_| {
        "must be a day like 2026-11-22 or a time like 2026-11-22T09:00:00Z, between the years 1970 and 9999"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let midnight = "2026-11-22T00:00:00Z".parse().map_err(|_| String::new());
        assert_eq!(day_or_time("2026-11-22"), midnight);
        assert_eq!(day_or_time("2026-11-22T01:00:00+01:00"), midnight);
        for text in [
            "",
            "22.11.2026",
            "2026-11-31",
            "2026-11",
            "1969-12-31",
            "2026-11-22T09",
        ] {
            assert!(day_or_time(text).is_err(), "{text}");
        }
    }
}
