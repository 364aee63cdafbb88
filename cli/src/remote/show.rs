//! `kaigi show` and `kaigi calls` through a service, which has the read models.

use crate::args::{Calls, HandleTimes, Show, Subject, Window};
use crate::exit::Exit;
use crate::output::{Console, Output, Sheet};
use crate::sheets::{self, Explain, Windows};
use crate::show::Asked;
use client::{Answer, Client, ClientError, Question};
use domain::envelope::Hash;
use domain::json::Sha256Text;
use domain::{Position, Prefix, Timestamp};
use projections::Listing;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A page of rows.
#[derive(Deserialize)]
struct Page {
    #[serde(deserialize_with = "time")]
    as_of: Timestamp,
    position: Position,
    count: u64,
    proof: Sha256Text,
    rows: Vec<Value>,
    next: Option<String>,
}

/// Who may read the read models.
pub(super) const VIEWERS: &str = "reader, desk or supervisor";

/// How many rows are asked for at once.
const ROWS: usize = 5000;

/// Prints a read model as the service has it now.
pub async fn show(client: &Client, what: &Show, console: &mut Console) -> anyhow::Result<Exit> {
    let question = question(what, "")?;
    let listing = listing(client, &question).await?;
    print(what, &listing, console)?;
    Ok(Exit::Done)
}

/// Prints the calls that fit.
pub async fn calls(client: &Client, args: Calls, console: &mut Console) -> anyhow::Result<Exit> {
    let question = Question::new(["v1", "calls"])
        .for_roles("auditor or operator")
        .with_some("agent", args.agent.map(|agent| format!("agent:{agent}")))
        .with_some("customer", args.customer)
        .with_some("queue", args.queue)
        .with_some("correlation", args.correlation)
        .with_some("from", args.from)
        .with_some("to", args.to)
        .with_some("phase", args.phase.map(domain::call::Phase::name));
    let listing = listing(client, &question).await?;
    console.listing(&listing, &sheets::calls())?;
    Ok(Exit::Done)
}

/// What the service is asked for that read model, or for what stands below it.
pub(super) fn question(what: &Show, below: &'static str) -> anyhow::Result<Question> {
    let of = |name| {
        let path = ["v1", name, below];
        Question::new(path.into_iter().filter(|part| !part.is_empty())).for_roles(VIEWERS)
    };
    Ok(match what {
        Show::ActiveCalls { idle, queue } => of("active-calls")
            .with_some("idle", idle.as_ref())
            .with_some("queue", queue.as_ref()),
        Show::WrapUpQueue { agent, queue } => of("wrap-up-queue")
            .with_some(
                "agent",
                agent.as_ref().map(|agent| format!("agent:{agent}")),
            )
            .with_some("queue", queue.as_ref()),
        Show::HandleTimes(args) => {
            Asked::new(args)?;
            handle_times(of("handle-times"), args)
        }
        Show::Monitoring => of("monitoring"),
        Show::Call { .. } => unreachable!("one call is no read model"),
    })
}

fn handle_times(question: Question, args: &HandleTimes) -> Question {
    let by = args.by.map(|by| match by {
        Subject::Call => "call",
        Subject::Agent => "agent",
        Subject::Queue => "queue",
        Subject::All => "all",
    });
    let window = args.window.map(|window| match window {
        Window::QuarterHour => "15m",
        Window::Hour => "1h",
        Window::Day => "1d",
    });
    question
        .with_some("by", by)
        .with_some("window", window)
        .with_some("explain", args.explain.then_some("true"))
        .with_some(
            "agent",
            args.agent.as_ref().map(|agent| format!("agent:{agent}")),
        )
        .with_some("queue", args.queue.as_ref())
        .with_some("from", args.from)
        .with_some("to", args.to)
}

/// All rows, as they are at one position.
pub(super) async fn listing(
    client: &Client,
    question: &Question,
) -> Result<Listing<Value>, ClientError> {
    let answer = client.ask(&question.clone().by_line()).await?;
    match of_lines(&answer) {
        Some(listing) => Ok(listing),
        // An older service sends lines of a page, and a proxy may know JSON alone.
        None => by_page(client, question, answer.json().ok()).await,
    }
}

/// The rows of an answer that says that it has all of them.
fn of_lines(answer: &Answer) -> Option<Listing<Value>> {
    let header = |name: &str| answer.headers.get(name)?.to_str().ok();
    if header("kaigi-complete") != Some("true") {
        return None;
    }
    let proof: Sha256Text = serde_json::from_value(header("kaigi-proof")?.into()).ok()?;
    let events = Prefix {
        count: header("kaigi-count")?.parse().ok()?,
        position: Position(header("kaigi-position")?.parse().ok()?),
        rolling_hash: Hash(proof.0),
    };
    let rows = answer.text().ok()?.lines().map(serde_json::from_str);
    let rows = rows.collect::<Result<_, _>>().ok()?;
    Some(Listing::new(
        header("kaigi-as-of")?.parse().ok()?,
        events,
        rows,
    ))
}

/// The rows page by page: they tell of everything up to the position of the first.
async fn by_page(
    client: &Client,
    question: &Question,
    first: Option<Page>,
) -> Result<Listing<Value>, ClientError> {
    let question = question.clone().with("limit", &ROWS);
    let first = match first {
        Some(page) => page,
        None => client.ask(&question).await?.json()?,
    };
    let Page {
        as_of,
        position,
        count,
        proof,
        mut rows,
        mut next,
    } = first;
    while let Some(cursor) = next {
        let question = question.clone().with("cursor", &cursor);
        let page: Page = client.ask(&question).await?.json()?;
        rows.extend(page.rows);
        next = page.next;
    }
    let events = Prefix {
        count,
        position,
        rolling_hash: Hash(proof.0),
    };
    Ok(Listing::new(as_of, events, rows))
}

/// Prints the rows as those of a store at hand.
pub(super) fn print(
    what: &Show,
    listing: &Listing<Value>,
    console: &mut Console,
) -> anyhow::Result<()> {
    let as_of = listing.as_of.0;
    let sheet = match what {
        Show::ActiveCalls { .. } => sheets::active_calls(as_of),
        Show::WrapUpQueue { .. } => sheets::wrap_up_queue(as_of),
        Show::HandleTimes(args) => return times(args, listing, console),
        Show::Monitoring => sheets::monitoring(as_of),
        Show::Call { .. } => unreachable!("one call is no read model"),
    };
    console.listing(listing, &sheet)
}

fn times(
    args: &HandleTimes,
    listing: &Listing<Value>,
    console: &mut Console,
) -> anyhow::Result<()> {
    let asked = Asked::new(args)?;
    match asked {
        Asked::Windows(_, by, explain) if console.output() == Output::Table => {
            let mut windows = Windows::new(by, explain);
            for rows in sheets::blocks(&listing.rows) {
                windows.print(rows, console)?;
            }
            windows.end(console)
        }
        _ => console.listing(listing, &sheet_of(asked)),
    }
}

fn sheet_of(asked: Asked) -> Sheet {
    match asked {
        Asked::Calls => sheets::call_times(),
        Asked::Agents => sheets::agent_times(),
        Asked::Windows(_, _, explain @ (Explain::Yes | Explain::No)) => sheets::windows(explain),
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}
