//! `kaigi show`: the read models.

use crate::args::{HandleTimes as Args, Output, Show, Subject, Window as Length};
use crate::exit::{Exit, usage};
use crate::output::{Column, Console, column};
use crate::read_models::{catch_up, caught_up};
use crate::store::StoreUrl;
use domain::json::{ConsultJson, SeatJson, SessionJson};
use domain::{EventStore, Queue, Timestamp};
use projections::{
    ActiveCall, ActiveCalls, AgentTimes, AllFour, Behind, By, CallTimes, Checkpointed, HandleTimes,
    Key, Listing, MonitoredCall, Monitoring, OwedWrapUp, TimesFilter, Window, WindowRow,
    WrapUpQueue,
};
use std::sync::Arc;

/// Prints a read model as of now.
pub async fn show(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    what: Show,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let as_of = Timestamp::now();
    match what {
        Show::ActiveCalls { idle, queue } => {
            let model: Checkpointed<ActiveCalls> = caught_up(url, store).await?;
            let calls = model.state();
            let mut rows = match idle {
                Some(idle) => {
                    let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
                    calls.idle(as_of, idle_ms)
                }
                None => calls.rows(),
            };
            rows.retain(|row| is_of(queue.as_ref(), row.queue.as_ref().map(|queue| queue.0)));
            let listing = Listing::new(as_of, model.position(), rows);
            console.listing(&listing, &active_calls(as_of), "no call goes on")?;
        }
        Show::WrapUpQueue { agent, queue } => {
            let model: Checkpointed<WrapUpQueue> = caught_up(url, store).await?;
            let mut rows = model.state().rows();
            rows.retain(|row| {
                is_of(queue.as_ref(), row.queue.as_ref().map(|queue| queue.0))
                    && agent.as_ref().is_none_or(|agent| row.agent.0 == agent)
            });
            let listing = Listing::new(as_of, model.position(), rows);
            console.listing(&listing, &wrap_up_queue(as_of), "no wrap-up is owed")?;
        }
        Show::HandleTimes(args) => {
            let model: Checkpointed<HandleTimes> = caught_up(url, store).await?;
            handle_times(&model, args, as_of, console)?;
        }
        Show::Monitoring => {
            let model: Checkpointed<Monitoring> = caught_up(url, store).await?;
            let listing = Listing::new(as_of, model.position(), model.state().rows());
            console.listing(&listing, &monitoring(as_of), "no call goes on")?;
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
    let (position, four) = (model.position(), model.state());
    console.print("\nACTIVE CALLS  (kaigi show active-calls)\n")?;
    let listing = Listing::new(as_of, position, four.active_calls());
    console.listing(&listing, &active_calls(as_of), "no call goes on")?;
    console.print("\nWRAP-UP QUEUE  (kaigi show wrap-up-queue)\n")?;
    let listing = Listing::new(as_of, position, four.wrap_up_queue());
    console.listing(&listing, &wrap_up_queue(as_of), "no wrap-up is owed")?;
    console.print("\nHANDLE TIMES  (kaigi show handle-times --window 1d --by all)\n")?;
    let rows = four.windows(Window::Day, By::All, &TimesFilter::default());
    let listing = Listing::new(as_of, position, rows);
    console.listing(&listing, &windows(), "no call ended")?;
    console.print("\nMONITORING  (kaigi show monitoring)\n")?;
    let listing = Listing::new(as_of, position, four.monitoring());
    console.listing(&listing, &monitoring(as_of), "no call goes on")
}

fn is_of(wanted: Option<&Queue>, queue: Option<&Queue>) -> bool {
    wanted.is_none() || wanted == queue
}

fn active_calls<'a>(as_of: Timestamp) -> Vec<Column<ActiveCall<'a>>> {
    vec![
        column("CALL", |row: &ActiveCall<'_>| row.call.0.to_string()),
        column("QUEUE", |row: &ActiveCall<'_>| {
            or_dash(row.queue.as_ref().map(|queue| queue.0))
        }),
        column("PHASE", move |row: &ActiveCall<'_>| {
            format!(
                "{} {}",
                row.phase.unwrap_or("-"),
                age(as_of, row.phase_since.0)
            )
        }),
        column("PRIMARY", |row: &ActiveCall<'_>| {
            or_dash(row.primary.as_ref().map(|agent| agent.0))
        }),
        column("PARTIES", move |row: &ActiveCall<'_>| {
            lines(row.parties.iter().map(|seat| party(as_of, seat)))
        }),
        column("CONSULT", |row: &ActiveCall<'_>| {
            or_dash(row.consult.as_ref().map(consult))
        }),
        column("SUPERVISORS", move |row: &ActiveCall<'_>| {
            lines(
                row.supervisors
                    .iter()
                    .map(|session| supervisor(as_of, session)),
            )
        }),
    ]
}

fn party(as_of: Timestamp, seat: &SeatJson<'_>) -> String {
    let held = match (&seat.held_by, &seat.held_since) {
        (Some(by), Some(since)) => format!(" (held by {} {})", by.0, age(as_of, since.0)),
        _ => String::new(),
    };
    format!("{}{held}", seat.party.0)
}

fn consult(consult: &ConsultJson<'_>) -> String {
    format!(
        "{} with {}, {}",
        consult.by.0, consult.target.0, consult.state
    )
}

fn supervisor(as_of: Timestamp, session: &SessionJson<'_>) -> String {
    format!(
        "{} through {}, {} {}",
        session.supervisor.0,
        session.agent.0,
        session.mode,
        age(as_of, session.since.0)
    )
}

fn wrap_up_queue<'a>(as_of: Timestamp) -> Vec<Column<OwedWrapUp<'a>>> {
    vec![
        column("OWED", move |row: &OwedWrapUp<'_>| age(as_of, row.since.0)),
        column("AGENT", |row: &OwedWrapUp<'_>| row.agent.0.to_string()),
        column("CALL", |row: &OwedWrapUp<'_>| row.call.0.to_string()),
        column("QUEUE", |row: &OwedWrapUp<'_>| {
            or_dash(row.queue.as_ref().map(|queue| queue.0))
        }),
        column("LEFT BY", |row: &OwedWrapUp<'_>| row.why.to_owned()),
        column("SUGGESTED", |row: &OwedWrapUp<'_>| {
            lines(
                row.suggestions
                    .iter()
                    .map(|suggestion| format!("{} (by {})", suggestion.reason.0, suggestion.by.0)),
            )
        }),
    ]
}

fn monitoring<'a>(as_of: Timestamp) -> Vec<Column<MonitoredCall<'a>>> {
    vec![
        column("CALL", |row: &MonitoredCall<'_>| row.call.0.to_string()),
        column("MAY START", |row: &MonitoredCall<'_>| {
            may(row.may_start, row.rule.as_ref().map(|rule| rule.0))
        }),
        column("SESSIONS", move |row: &MonitoredCall<'_>| {
            lines(row.sessions.iter().map(|session| {
                format!(
                    "{} through {}, {} {}; may barge in: {}",
                    session.supervisor.0,
                    session.agent.0,
                    session.mode,
                    age(as_of, session.since.0),
                    may(
                        session.may_barge_in,
                        session.rule.as_ref().map(|rule| rule.0)
                    )
                )
            }))
        }),
    ]
}

fn may(may: bool, rule: Option<domain::Rule>) -> String {
    match rule {
        _ if may => "yes".to_owned(),
        Some(rule) => format!("no ({rule})"),
        None => "no".to_owned(),
    }
}

fn handle_times(
    model: &Checkpointed<HandleTimes>,
    args: Args,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let filter = TimesFilter {
        queue: args.queue,
        agent: args.agent,
        from: args.from,
        to: args.to,
    };
    let Some(window) = args.window.map(window) else {
        return single_calls(model, args.by, &filter, as_of, console);
    };
    let by = match args.by {
        Some(Subject::Queue) => By::Queue,
        Some(Subject::Agent) => By::Agent,
        Some(Subject::All) | None => By::All,
        Some(Subject::Call) => {
            return Err(usage(
                "--by call lists single calls; leave --window away, or use --by queue, agent or all",
            ));
        }
    };
    if args.explain {
        return explained(model, (window, by), &filter, as_of, console);
    }
    let rows = model.state().windows(window, by, &filter);
    let listing = Listing::new(as_of, model.position(), rows);
    console.listing(&listing, &windows(), "no call ended")
}

fn window(length: Length) -> Window {
    match length {
        Length::QuarterHour => Window::Quarter,
        Length::Hour => Window::Hour,
        Length::Day => Window::Day,
    }
}

fn single_calls(
    model: &Checkpointed<HandleTimes>,
    by: Option<Subject>,
    filter: &TimesFilter,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    match by {
        Some(Subject::Call) | None => {
            let rows = model.state().calls(filter);
            let listing = Listing::new(as_of, model.position(), rows);
            console.listing(&listing, &call_times(), "no call ended")
        }
        Some(Subject::Agent) => {
            let rows = model.state().agents(filter);
            let listing = Listing::new(as_of, model.position(), rows);
            console.listing(&listing, &agent_times(), "no call ended")
        }
        Some(Subject::Queue | Subject::All) => Err(usage(
            "--by queue and --by all sum up a window; add --window 15m, 1h or 1d",
        )),
    }
}

fn call_times<'a>() -> Vec<Column<CallTimes<'a>>> {
    vec![
        column("CALL", |row: &CallTimes<'_>| row.call.0.to_string()),
        column("QUEUE", |row: &CallTimes<'_>| {
            or_dash(row.queue.as_ref().map(|queue| queue.0))
        }),
        column("ENDED", |row: &CallTimes<'_>| row.ended_at.0.to_string()),
        column("HANDLE", |row: &CallTimes<'_>| spent(row.handle_ms)),
        column("= TALKING", |row: &CallTimes<'_>| spent(row.talking_ms)),
        column("+ CONFERENCE", |row: &CallTimes<'_>| {
            spent(row.conference_ms)
        }),
        column("+ ASSIST", |row: &CallTimes<'_>| {
            spent(row.wrap_up_assist_ms)
        }),
        column("(HELD", |row: &CallTimes<'_>| spent(row.customer_held_ms)),
        column("CONSULT)", |row: &CallTimes<'_>| spent(row.consult_ms)),
    ]
}

fn agent_times<'a>() -> Vec<Column<AgentTimes<'a>>> {
    vec![
        column("CALL", |row: &AgentTimes<'_>| row.call.0.to_string()),
        column("AGENT", |row: &AgentTimes<'_>| row.agent.0.to_string()),
        column("HANDLE", |row: &AgentTimes<'_>| spent(row.handle_ms)),
        column("= ENGAGED", |row: &AgentTimes<'_>| spent(row.engaged_ms)),
        column("+ HELD", |row: &AgentTimes<'_>| spent(row.held_ms)),
        column("+ WRAP-UP", |row: &AgentTimes<'_>| {
            let open = if row.open > 0 { " (owed)" } else { "" };
            format!("{}{open}", spent(row.wrap_up_ms))
        }),
        column("(CONFERENCE", |row: &AgentTimes<'_>| {
            spent(row.conference_ms)
        }),
        column("CONSULT", |row: &AgentTimes<'_>| spent(row.consult_ms)),
        column("ASSIST)", |row: &AgentTimes<'_>| {
            spent(row.wrap_up_assist_ms)
        }),
    ]
}

fn windows() -> Vec<Column<WindowRow>> {
    vec![
        column("FROM", |row: &WindowRow| {
            row.from.0.to_string()[..16].replace('T', " ")
        }),
        column("KEY", |row: &WindowRow| key(row)),
        column("METRIC", |row: &WindowRow| row.metric.to_owned()),
        column("COUNT", |row: &WindowRow| row.count.to_string()),
        column("SUM", |row: &WindowRow| spent(row.sum_ms)),
        column("MEAN", |row: &WindowRow| or_dash(row.mean_ms.map(spent))),
        column("P50", |row: &WindowRow| or_dash(row.p50_ms.map(spent))),
        column("P90", |row: &WindowRow| or_dash(row.p90_ms.map(spent))),
        column("P95", |row: &WindowRow| or_dash(row.p95_ms.map(spent))),
        column("P99", |row: &WindowRow| or_dash(row.p99_ms.map(spent))),
        column("MAX", |row: &WindowRow| or_dash(row.max_ms.map(spent))),
        column("OPEN", |row: &WindowRow| row.open.to_string()),
    ]
}

/// Parties, suggestions and the like, one under the other.
fn lines(texts: impl Iterator<Item = String>) -> String {
    or_dash(Some(texts.collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty()))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// How long ago, as of the listing.
fn age(as_of: Timestamp, since: Timestamp) -> String {
    spent(as_of.millis_since(since))
}

/// A duration for people: the two units that matter.
fn spent(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A row of a window and what was counted in it.
#[derive(serde::Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    row: WindowRow,
    calls: Behind<'a>,
}

/// The calls stand once behind the rows of a window and key, not again behind every metric of it.
fn explained(
    model: &Checkpointed<HandleTimes>,
    (window, by): (Window, By),
    filter: &TimesFilter,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let times = model.state();
    let rows = times.windows(window, by, filter);
    if console.output() == Output::Table {
        for rows in rows.chunk_by(|a, b| (&a.key, a.from) == (&b.key, b.from)) {
            // The metric that most was counted for has the others' calls behind it, too.
            let most = rows.iter().max_by_key(|row| row.count + row.open);
            let behind = times.explain(most.unwrap_or(&rows[0]), filter);
            let listing = Listing::new(as_of, model.position(), rows.to_vec());
            console.listing(&listing, &windows(), "no call ended")?;
            console.print("\nbehind it:\n")?;
            match behind {
                Behind::Calls(calls) => {
                    let listing = Listing::new(as_of, model.position(), calls);
                    console.listing(&listing, &call_times(), "no call")?;
                }
                Behind::Agents(agents) => {
                    let listing = Listing::new(as_of, model.position(), agents);
                    console.listing(&listing, &agent_times(), "no call")?;
                }
            }
            console.print("\n")?;
        }
        return Ok(());
    }
    let explained = rows.into_iter().map(|row| Explained {
        calls: times.explain(&row, filter),
        row,
    });
    let listing = Listing::new(as_of, model.position(), explained.collect());
    console.listing(&listing, &[], "no call ended")
}

fn key(row: &WindowRow) -> String {
    match &row.key {
        Key::All => "all".to_owned(),
        Key::Queue(queue) => or_dash(queue.as_ref()),
        Key::Agent(agent) => agent.to_string(),
    }
}
