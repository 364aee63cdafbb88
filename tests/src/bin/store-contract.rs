//! Puts any store to the contract and a load, and prints a table of what held: for somebody with a server and no Rust.

use clap::Parser;
use domain::Position;
use kaigi::exit::{Exit, usage};
use kaigi::store::StoreUrl;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::load::{Load, Outcome};
use tests::trial::{Accused, Election, Finding, Operator, Verdict, contract, server_version, soak};

const ABOUT: &str = "Puts a store to everything that Kaigi expects of one, then loads it from two sides at once, and \
    prints a table of what held.\n\nIt writes calls of its own, whose names begin with contract- and a random text, and \
    touches no others. A cluster keeps them for ever, so give it one for trials.";

const EXAMPLES: &str = "\
Examples:
  store-contract 'esdb://admin:changeit@localhost:2113?tlsVerifyCert=false'
  store-contract --resign --seconds 60 'esdb://admin:changeit@node1,node2,node3?tlsCaFile=ca.pem'
                                       a minute of load, in which the leader is asked to resign
  store-contract --seconds 300 'esdb://...'
                                       time to kill the leader by hand: the table says which nodes led
  store-contract --only 'sent again' 'esdb://...'
                                       once more what did not hold
  store-contract sled:/tmp/a-new-folder
  store-contract memory:

Exit codes:
  0 all of it held · 6 something did not hold · 75 the server cannot be reached
  2 the command line is wrong · 1 the store does not open: a password, a right, a certificate";

/// What the program can be told.
#[derive(Parser)]
#[command(name = "store-contract", about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
struct Options {
    /// The store: esdb://HOST:PORT (or kurrentdb://), sled:PATH with a folder that is not there yet, or memory:
    #[arg(value_name = "URL", env = "KAIGI_TEST_ESDB", hide_env_values = true)]
    url: String,

    /// How long the load lasts; 0 leaves it out
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    seconds: u64,

    /// How many calls the load has
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,

    /// How many commands of the load are under way at once
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    at_once: u32,

    /// Asks a cluster's leader to resign during the load, again if it is elected again, and sets its priority to -1
    /// before that, until it is started again; the user must be in the group $ops
    #[arg(long)]
    resign: bool,

    /// Only the checks with these words in their promise; "load" for the load
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,

    /// Prints one JSON object in the end instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    kaigi::private::keep_new_files_private();
    // What a check panics over is in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let ended = runtime.block_on(trial(&options));
    // What a check left behind must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("store-contract: {error:#}");
            Exit::of(&error).into()
        }
    }
}

async fn trial(options: &Options) -> anyhow::Result<Exit> {
    let url = options.store()?;
    let (shown, began) = (url.to_string(), Instant::now());
    let accused = Arc::new(Accused::at(url).await?);
    let server = server_version(&options.url).await;
    let mut report = Report::of(&shown, server, accused.calls(), options.json);
    let mut tell = |finding| report.note(finding);
    contract(&accused, options.words(), &mut tell).await;
    let mut outcome = None;
    if options.wants_load() {
        let load = options.load(accused.calls());
        outcome = soak(&accused, load, options.election(), &mut tell).await;
    }
    if report.findings.is_empty() {
        let words = options.words();
        return Err(usage(format!("no promise has the words {words:?} in it")));
    }
    report.close(outcome.as_ref(), began.elapsed())
}

impl Options {
    fn words(&self) -> &str {
        self.only.as_deref().unwrap_or_default()
    }

    fn wants_load(&self) -> bool {
        self.seconds > 0 && ["", "load"].contains(&self.words())
    }

    /// The store that is meant; never one that is somebody's already, where that can be seen.
    fn store(&self) -> anyhow::Result<StoreUrl> {
        let url: StoreUrl = self.url.parse().map_err(usage)?;
        match &url {
            StoreUrl::Sled(folder) if folder.exists() => Err(usage(format!(
                "{url} exists; name a folder that is not there yet"
            ))),
            StoreUrl::Sled(_) | StoreUrl::Memory if self.resign => Err(usage(format!(
                "{url} has no leader that could resign; --resign is for clusters"
            ))),
            StoreUrl::Service(_) => Err(usage(format!(
                "{url} is a service, which takes commands and no events; name the store that it has"
            ))),
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) => Ok(url),
        }
    }

    fn load(&self, prefix: &str) -> Load {
        Load {
            prefix: format!("{prefix}-load"),
            calls: self.calls as usize,
            at_once: self.at_once as usize / 2,
            lasting: Duration::from_secs(self.seconds),
            since: Position::START,
        }
    }

    fn election(&self) -> Election {
        let advice = "say --resign, or kill the leader by hand meanwhile".to_owned();
        match Operator::of(&self.url) {
            Ok(operator) if self.resign => Election::Asked(operator),
            Ok(operator) => Election::Watched(operator, advice),
            Err(why) if self.resign => Election::Untried(why),
            Err(_) => Election::Untried(advice),
        }
    }
}

/// The table, printed as it grows, or gathered for one JSON object.
struct Report {
    store: String,
    server: Option<String>,
    calls: String,
    json: bool,
    findings: Vec<Finding>,
    /// The first row that nobody could be told.
    failed: std::io::Result<()>,
}

impl Report {
    fn of(store: &str, server: Option<String>, calls: &str, json: bool) -> Self {
        let mut report = Self {
            store: store.to_owned(),
            server: server.clone(),
            calls: calls.to_owned(),
            json,
            findings: Vec::new(),
            failed: Ok(()),
        };
        let version = server.map(|version| format!(", server {version},"));
        let version = version.unwrap_or_default();
        report.print(&format!(
            "{store}{version} is put to the contract. The names of its calls begin with {calls}- and they stay where they are.\n\n\
             {:>9}  {:<66}  verdict",
            "ms", "promise"
        ));
        report
    }

    fn note(&mut self, finding: Finding) {
        let Finding {
            promise,
            verdict,
            ms,
        } = &finding;
        self.print(&format!("{ms:>9}  {promise:<66}  {verdict}"));
        self.findings.push(finding);
    }

    fn close(mut self, outcome: Option<&Outcome>, took: Duration) -> anyhow::Result<Exit> {
        if let Some(outcome) = outcome {
            self.print(&format!("\n{}", told(outcome)));
        }
        let count = |is: fn(&Verdict) -> bool| {
            let verdicts = self.findings.iter().map(|finding| &finding.verdict);
            verdicts.filter(|verdict| is(verdict)).count()
        };
        let held = count(|verdict| matches!(verdict, Verdict::Held));
        let did_not_hold = count(|verdict| matches!(verdict, Verdict::DidNotHold(_)));
        let not_tried = count(|verdict| matches!(verdict, Verdict::NotTried(_)));
        let seen = count(|verdict| matches!(verdict, Verdict::Seen(_)));
        let seconds = took.as_secs();
        let also = if seen > 0 {
            format!(", {seen} seen")
        } else {
            String::new()
        };
        self.print(&format!(
            "{held} held, {did_not_hold} did not hold, {not_tried} not tried{also}, in {seconds} s"
        ));
        if self.json {
            let whole = json!({
                "store": self.store, "server": self.server, "calls": self.calls, "findings": self.findings, "load": outcome.map(figures),
                "held": held, "did_not_hold": did_not_hold, "not_tried": not_tried, "seen": seen,
            });
            self.json = false;
            self.print(&whole.to_string());
        }
        self.failed?;
        Ok(if did_not_hold == 0 {
            Exit::Done
        } else {
            Exit::Altered
        })
    }

    /// Where JSON is wanted there is no table.
    fn print(&mut self, line: &str) {
        if self.json || self.failed.is_err() {
            return;
        }
        let mut out = std::io::stdout().lock();
        self.failed = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn told(outcome: &Outcome) -> String {
    let ms = |percent| outcome.percentile_us(percent) / 1000;
    format!(
        "load: {} commands accepted, {} refused by a rule, {} sent again because others wrote, {} for want of an answer;\n\
         half took at most {} ms, 99 of a hundred at most {} ms, the slowest {} ms",
        outcome.accepted,
        outcome.refused,
        outcome.unsettled,
        outcome.unanswered,
        ms(50),
        ms(99),
        ms(100)
    )
}

fn figures(outcome: &Outcome) -> serde_json::Value {
    json!({
        "accepted": outcome.accepted, "refused": outcome.refused, "unsettled": outcome.unsettled,
        "unanswered": outcome.unanswered, "events": outcome.acknowledged.len(), "p50_us": outcome.percentile_us(50),
        "p99_us": outcome.percentile_us(99), "max_us": outcome.percentile_us(100),
    })
}
