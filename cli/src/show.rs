//! `kaigi show`: the read models.

use crate::args::{HandleTimes as Args, Output, Show, Subject, Window as Length};
use crate::exit::{Exit, usage};
use crate::output::{Column, Console, column, list, number, plain, stacked};
use crate::read_models::{catch_up, caught_up};
use crate::store::StoreUrl;
use domain::json::{ConsultJson, SeatJson, SessionJson, Text};
use domain::{CallId, EventStore, Queue, Timestamp};
use projections::{
    ActiveCall, ActiveCalls, AgentTimes, AllFour, Behind, By, CallTimes, Checkpointed, Explained,
    ExplainedRow, HandleTimes, Key, Listing, MonitoredCall, MonitoredSession, Monitoring,
    OwedWrapUp, TimesFilter, Window, WindowRow, WrapUpQueue,
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
    windows(&listing, console)?;
    console.print("\nMONITORING  (kaigi show monitoring)\n")?;
    let listing = Listing::new(as_of, position, four.monitoring());
    console.listing(&listing, &monitoring(as_of), "no call goes on")
}

fn is_of(wanted: Option<&Queue>, queue: Option<&Queue>) -> bool {
    wanted.is_none() || wanted == queue
}

fn active_calls<'a>(as_of: Timestamp) -> Vec<Column<ActiveCall<'a>>> {
    vec![
        stacked("CALL\nQUEUE", |row: &ActiveCall<'_>| {
            call_and_queue(row.call.0, row.queue.as_ref())
        }),
        column("PHASE", move |row: &ActiveCall<'_>| {
            let phase = row.phase.unwrap_or("-");
            format!("{phase} {}", age(as_of, row.phase_since.0))
        }),
        list(
            "PARTIES, CONSULT, SUPERVISORS",
            move |row: &ActiveCall<'_>| {
                let parties = row.parties.iter().map(|seat| party(as_of, row, seat));
                let consult = row.consult.iter().map(consult);
                let sessions = row.supervisors.iter();
                let supervisors = sessions.map(|session| supervisor(as_of, session));
                parties.chain(consult).chain(supervisors).collect()
            },
        ),
    ]
}

/// Most rows have two lines anyway, and a table that is no wider than a terminal is easier to read.
pub(crate) fn call_and_queue(call: &CallId, queue: Option<&Text<&Queue>>) -> Vec<String> {
    vec![call.to_string(), or_dash(queue.map(|queue| queue.0))]
}

fn party(as_of: Timestamp, row: &ActiveCall<'_>, seat: &SeatJson<'_>) -> String {
    let primary = row.primary.as_ref().map(|agent| agent.0);
    let primary = match seat.party.0.agent() {
        Some(agent) if Some(agent) == primary => ", primary",
        _ => "",
    };
    let held = match (&seat.held_by, &seat.held_since) {
        (Some(by), Some(since)) => format!(", held by {} {}", by.0, age(as_of, since.0)),
        _ => String::new(),
    };
    format!("{}{primary}{held}", seat.party.0)
}

fn consult(consult: &ConsultJson<'_>) -> String {
    format!(
        "consult: {} with {}, {}",
        consult.by.0, consult.target.0, consult.state
    )
}

fn supervisor(as_of: Timestamp, session: &SessionJson<'_>) -> String {
    format!(
        "supervisor:{} through {}, {} {}",
        session.supervisor.0,
        session.agent.0,
        session.mode,
        age(as_of, session.since.0)
    )
}

fn wrap_up_queue<'a>(as_of: Timestamp) -> Vec<Column<OwedWrapUp<'a>>> {
    vec![
        number("OWED", move |row: &OwedWrapUp<'_>| age(as_of, row.since.0)),
        column("AGENT", |row: &OwedWrapUp<'_>| row.agent.0.to_string()),
        column("CALL", |row: &OwedWrapUp<'_>| row.call.0.to_string()),
        list("QUEUE", |row: &OwedWrapUp<'_>| {
            row.queue.iter().map(|queue| queue.0.to_string()).collect()
        }),
        column("LEFT BY", |row: &OwedWrapUp<'_>| row.why.to_owned()),
        list("SUGGESTED", |row: &OwedWrapUp<'_>| {
            let suggested = row.suggestions.iter();
            suggested
                .map(|suggestion| format!("{} (by {})", suggestion.reason.0, suggestion.by.0))
                .collect()
        }),
    ]
}

fn monitoring<'a>(as_of: Timestamp) -> Vec<Column<MonitoredCall<'a>>> {
    vec![
        column("CALL", |row: &MonitoredCall<'_>| row.call.0.to_string()),
        column("MAY START", |row: &MonitoredCall<'_>| {
            may(row.may_start, row.rule.as_ref().map(|rule| rule.0))
        }),
        list("SESSIONS", move |row: &MonitoredCall<'_>| {
            let sessions = row.sessions.iter();
            sessions.map(|one| session(as_of, one)).collect()
        }),
    ]
}

fn session(as_of: Timestamp, session: &MonitoredSession<'_>) -> String {
    let rule = session.rule.as_ref().map(|rule| rule.0);
    format!(
        "{} through {}, {} {}; may barge in: {}",
        session.supervisor.0,
        session.agent.0,
        session.mode,
        age(as_of, session.since.0),
        may(session.may_barge_in, rule)
    )
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
    windows(&listing, console)
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
        stacked("CALL\nQUEUE", |row: &CallTimes<'_>| {
            call_and_queue(row.call.0, row.queue.as_ref())
        }),
        list("ENDED", |row: &CallTimes<'_>| vec![moment(row.ended_at.0)]),
        number("HANDLE", |row: &CallTimes<'_>| spent(row.handle_ms)),
        number("=\nTALKING", |row: &CallTimes<'_>| spent(row.talking_ms)),
        number("+\nCONF.", |row: &CallTimes<'_>| spent(row.conference_ms)),
        number("+\nASSIST", |row: &CallTimes<'_>| {
            spent(row.wrap_up_assist_ms)
        }),
        number("of it\nHELD", |row: &CallTimes<'_>| {
            spent(row.customer_held_ms)
        }),
        number("of it\nCONSULT", |row: &CallTimes<'_>| {
            spent(row.consult_ms)
        }),
    ]
}

fn agent_times<'a>() -> Vec<Column<AgentTimes<'a>>> {
    vec![
        stacked("CALL\nAGENT", |row: &AgentTimes<'_>| {
            vec![row.call.0.to_string(), row.agent.0.to_string()]
        }),
        number("HANDLE", |row: &AgentTimes<'_>| spent(row.handle_ms)),
        number("=\nENGAGED", |row: &AgentTimes<'_>| spent(row.engaged_ms)),
        number("+\nHELD", |row: &AgentTimes<'_>| spent(row.held_ms)),
        number("+\nWRAP-UP", |row: &AgentTimes<'_>| spent(row.wrap_up_ms)),
        number("\nOWED", |row: &AgentTimes<'_>| {
            if row.open > 0 { "yes" } else { "no" }.to_owned()
        }),
        number("of it\nCONF.", |row: &AgentTimes<'_>| {
            spent(row.conference_ms)
        }),
        number("\nCONSULT", |row: &AgentTimes<'_>| spent(row.consult_ms)),
        number("\nASSIST", |row: &AgentTimes<'_>| {
            spent(row.wrap_up_assist_ms)
        }),
    ]
}

/// For people, each window and key is a table of its own.
fn windows(listing: &Listing<WindowRow>, console: &mut Console) -> anyhow::Result<()> {
    if console.output() != Output::Table || listing.rows.is_empty() {
        return console.listing(listing, &[], "no call ended");
    }
    for (index, rows) in blocks(&listing.rows).enumerate() {
        console.print(if index > 0 { "\n" } else { "" })?;
        block(rows, console)?;
    }
    Ok(())
}

/// The rows of each window and key.
fn blocks(rows: &[WindowRow]) -> impl Iterator<Item = &[WindowRow]> {
    rows.chunk_by(|one, other| (&one.key, one.from) == (&other.key, other.from))
}

fn block(rows: &[WindowRow], console: &mut Console) -> anyhow::Result<()> {
    let first = &rows[0];
    console.print(&format!("{}\n", heading(first)))?;
    console.table(rows, &metrics(), "no call ended")
}

/// Which window, of whom, and how much of it is still open.
fn heading(row: &WindowRow) -> String {
    let (from, to) = (row.from.0.to_string(), row.to.0.to_string());
    let key = match &row.key {
        Key::All => "all calls".to_owned(),
        Key::Queue(Some(queue)) => format!("queue {}", plain(queue.as_str())),
        Key::Queue(None) => "no queue".to_owned(),
        Key::Agent(agent) => format!("agent:{agent}"),
    };
    let (day, from) = (&from[..10], &from[11..16]);
    let to = match &to[11..16] {
        "00:00" => "24:00",
        to => to,
    };
    format!("{day} {from}-{to} UTC, {key}, {} open", row.open)
}

fn metrics() -> Vec<Column<WindowRow>> {
    vec![
        column("METRIC", |row: &WindowRow| row.metric.to_owned()),
        number("COUNT", |row: &WindowRow| row.count.to_string()),
        number("SUM", |row: &WindowRow| spent(row.sum_ms)),
        number("MEAN", |row: &WindowRow| or_dash(row.mean_ms.map(spent))),
        number("P50", |row: &WindowRow| or_dash(row.p50_ms.map(spent))),
        number("P90", |row: &WindowRow| or_dash(row.p90_ms.map(spent))),
        number("P95", |row: &WindowRow| or_dash(row.p95_ms.map(spent))),
        number("P99", |row: &WindowRow| or_dash(row.p99_ms.map(spent))),
        number("MAX", |row: &WindowRow| or_dash(row.max_ms.map(spent))),
    ]
}

/// A time as tables tell it: month, day and second, in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_string()[5..19].replace('T', " ")
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

/// For programs, the calls stand behind each row; for people, once behind all metrics of a window and key.
fn explained(
    model: &Checkpointed<HandleTimes>,
    (window, by): (Window, By),
    filter: &TimesFilter,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let rows = model.state().windows(window, by, filter);
    let explained = model.state().explain(window, by, filter);
    if console.output() == Output::Table && !rows.is_empty() {
        return blocks(&rows).try_for_each(|rows| {
            block(rows, console)?;
            console.print("\nbehind it:\n")?;
            behind(rows, &explained, console)?;
            console.print("\n")
        });
    }
    let rows = rows.iter().map(|row| ExplainedRow {
        row,
        calls: explained.behind(row),
    });
    let listing = Listing::new(as_of, model.position(), rows.collect());
    console.listing(&listing, &[], "no call ended")
}

fn behind(
    rows: &[WindowRow],
    explained: &Explained<'_>,
    console: &mut Console,
) -> anyhow::Result<()> {
    // What adds to any metric adds to the one that most was counted for.
    let most = rows.iter().max_by_key(|row| row.count + row.open);
    match explained.behind(most.unwrap_or(&rows[0])) {
        Behind::Calls(calls) => console.table(calls, &call_times(), "no call"),
        Behind::Agents(agents) => console.table(agents, &agent_times(), "no call"),
    }
}
