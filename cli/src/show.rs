//! `kaigi show`: the read models, of a store at hand.

use crate::args::{HandleTimes as Args, Output, Show, Subject, Window as Length};
use crate::exit::{Exit, usage};
use crate::output::Console;
use crate::read_models::{catch_up, caught_up};
use crate::sheets::{self, Explain, Windows};
use crate::store::StoreUrl;
use domain::{EventStore, Queue, TimeSpan, Timestamp};
use projections::{
    ActiveCalls, AllFour, By, Checkpointed, Explained, ExplainedRow, Filter, Followed as _,
    HandleTimes, Listing, Monitoring, TimesFilter, Window, WindowRow, WrapUpQueue,
};
use serde_json::Value;
use std::sync::Arc;

/// Prints a read model as of now.
pub async fn show(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    what: Show,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let as_of = domain::now();
    match what {
        Show::ActiveCalls { idle, queue } => {
            let model: Checkpointed<ActiveCalls> = caught_up(url, store).await?;
            let filter = Filter {
                queue,
                idle_ms: idle.map(TimeSpan::as_millis),
                ..Filter::default()
            };
            let mut rows = model.state().rows();
            rows.retain(|row| filter.fits(&row.facets()) && filter.fits_at(&row.facets(), as_of));
            let listing = Listing::new(as_of, model.events(), rows);
            console.listing(&listing, &sheets::active_calls(as_of))?;
        }
        Show::WrapUpQueue { agent, queue } => {
            let model: Checkpointed<WrapUpQueue> = caught_up(url, store).await?;
            let mut rows = model.state().rows();
            rows.retain(|row| {
                is_of(queue.as_ref(), row.queue.as_ref().map(|queue| queue.0))
                    && agent.as_ref().is_none_or(|agent| row.agent.0 == agent)
            });
            let listing = Listing::new(as_of, model.events(), rows);
            console.listing(&listing, &sheets::wrap_up_queue(as_of))?;
        }
        Show::HandleTimes(args) => {
            let asked = Asked::new(&args)?;
            let model: Checkpointed<HandleTimes> = caught_up(url, store).await?;
            handle_times(&model, args, asked, as_of, console)?;
        }
        Show::Monitoring => {
            let model: Checkpointed<Monitoring> = caught_up(url, store).await?;
            let listing = Listing::new(as_of, model.events(), model.state().rows());
            console.listing(&listing, &sheets::monitoring(as_of))?;
        }
        Show::Call { .. } => unreachable!("one call is no read model"),
    }
    Ok(Exit::Done)
}

/// Prints all four, one under the other, as they come from one fold of the store.
pub async fn all_four(
    store: Arc<dyn EventStore>,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let mut model = Checkpointed::<AllFour>::new(store.id());
    catch_up(&mut model, store).await?;
    let (events, four) = (model.events(), model.state());
    console.print("\nACTIVE CALLS  (kaigi show active-calls)\n")?;
    let listing = Listing::new(as_of, events, four.rows_of::<ActiveCalls>());
    console.listing(&listing, &sheets::active_calls(as_of))?;
    console.print("\nWRAP-UP QUEUE  (kaigi show wrap-up-queue)\n")?;
    let listing = Listing::new(as_of, events, four.rows_of::<WrapUpQueue>());
    console.listing(&listing, &sheets::wrap_up_queue(as_of))?;
    console.print("\nHANDLE TIMES  (kaigi show handle-times --window 1d --by all)\n")?;
    let rows = four.windows(Window::Day, By::All, &TimesFilter::default());
    let listing = Listing::new(as_of, events, rows);
    windows(&listing, By::All, console)?;
    console.print("\nMONITORING  (kaigi show monitoring)\n")?;
    let listing = Listing::new(as_of, events, four.rows_of::<Monitoring>());
    console.listing(&listing, &sheets::monitoring(as_of))
}

fn is_of(wanted: Option<&Queue>, queue: Option<&Queue>) -> bool {
    wanted.is_none() || wanted == queue
}

/// Which of the kinds of rows that handle times have is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Calls, each by itself.
    Calls,
    /// Agents' parts in calls, each by itself.
    Agents,
    /// Sums.
    Windows(Window, By, Explain),
}

impl Asked {
    /// What the arguments ask for, if they agree.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let explain = if args.explain {
            Explain::Yes
        } else {
            Explain::No
        };
        let windows = |by| {
            args.window
                .map(|length| Asked::Windows(window(length), by, explain))
        };
        let asked = match args.by {
            Some(Subject::Queue) => windows(By::Queue),
            Some(Subject::All) => windows(By::All),
            None => Some(windows(By::All).unwrap_or(Asked::Calls)),
            Some(Subject::Agent) => Some(windows(By::Agent).unwrap_or(Asked::Agents)),
            Some(Subject::Call) if args.window.is_some() => {
                return Err(usage(
                    "--by call lists single calls; leave --window away, or use --by queue, agent or all",
                ));
            }
            Some(Subject::Call) => Some(Asked::Calls),
        };
        asked.ok_or_else(|| {
            usage("--by queue and --by all sum up a window; add --window 15m, 1h or 1d")
        })
    }
}

fn window(length: Length) -> Window {
    match length {
        Length::QuarterHour => Window::Quarter,
        Length::Hour => Window::Hour,
        Length::Day => Window::Day,
    }
}

fn handle_times(
    model: &Checkpointed<HandleTimes>,
    args: Args,
    asked: Asked,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let filter = TimesFilter {
        queue: args.queue,
        agent: args.agent,
        from: args.from,
        to: args.to,
    };
    let (state, events) = (model.state(), model.events());
    match asked {
        Asked::Calls => {
            let listing = Listing::new(as_of, events, state.calls(&filter));
            console.listing(&listing, &sheets::call_times())
        }
        Asked::Agents => {
            let listing = Listing::new(as_of, events, state.agents(&filter));
            console.listing(&listing, &sheets::agent_times())
        }
        Asked::Windows(window, by, Explain::No) => {
            let listing = Listing::new(as_of, events, state.windows(window, by, &filter));
            windows(&listing, by, console)
        }
        Asked::Windows(window, by, Explain::Yes) => {
            explained(model, (window, by), &filter, as_of, console)
        }
    }
}

fn windows(listing: &Listing<WindowRow>, by: By, console: &mut Console) -> anyhow::Result<()> {
    if console.output() != Output::Table {
        return console.listing(listing, &sheets::windows(Explain::No));
    }
    let mut windows = Windows::new(by, Explain::No);
    for rows in blocks(&listing.rows) {
        let rows: Vec<Value> = rows.iter().map(sheets::value).collect();
        windows.print(&rows, console)?;
    }
    windows.end(console)
}

/// The rows of each window and key.
fn blocks(rows: &[WindowRow]) -> impl Iterator<Item = &[WindowRow]> {
    rows.chunk_by(|one, other| (&one.key, one.from) == (&other.key, other.from))
}

fn explained(
    model: &Checkpointed<HandleTimes>,
    (window, by): (Window, By),
    filter: &TimesFilter,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let rows = model.state().windows(window, by, filter);
    let explained = model.state().explain(window, by, filter);
    if console.output() != Output::Table {
        let rows = rows.iter().map(|row| behind(row, &explained));
        let listing = Listing::new(as_of, model.events(), rows.collect());
        return console.listing(&listing, &sheets::windows(Explain::Yes));
    }
    // One window and key after the other: what explains a day's figures is long.
    let mut windows = Windows::new(by, Explain::Yes);
    for rows in blocks(&rows) {
        let rows = rows
            .iter()
            .map(|row| sheets::value(&behind(row, &explained)));
        windows.print(&rows.collect::<Vec<_>>(), console)?;
    }
    windows.end(console)
}

fn behind<'e, 'a>(row: &'e WindowRow, explained: &'e Explained<'a>) -> ExplainedRow<'e, 'a> {
    ExplainedRow {
        row,
        calls: explained.behind(row),
    }
}
