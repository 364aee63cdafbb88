//! `kaigi show`: the read models, of a store at hand or of a service.

use crate::exit::{Exit, usage};
use crate::output::{Console, Output};
use crate::read_models::{all_caught_up, caught_up_for};
use crate::reads::{Router, Rows, Sheet};
use crate::show_args::ShowReadModel;
use crate::store::StoreUrl;
use crate::windows::{Explain, Windows};
use client::Question;
use domain::{EventStore, Timestamp};
use projections::{By, ExplainedRow, Row as _, RowKind, descriptions};
use server::read_models::AtHand;
use std::sync::Arc;

/// Who may read the read models.
pub(crate) const VIEWERS: &str = "reader, desk or supervisor";

/// Prints a read model of a store at hand as of now.
pub async fn at_hand(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    what: &ShowReadModel,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let as_of = domain::now();
    Asked::of(what)?;
    let model = caught_up_for(what.model, url, store).await?;
    show(&Router::AtHand(AtHand::new(model, as_of)), what, console).await
}

/// Prints a read model as that router has it now.
pub async fn show(
    router: &Router,
    what: &ShowReadModel,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let asked = Asked::of(what)?;
    let rows = router.ask(&question(what), console.output()).await?;
    print(asked, rows, console).await?;
    Ok(Exit::Done)
}

/// Prints all read models, one under the other, as they come from one fold of the store.
pub async fn all(
    store: Arc<dyn EventStore>,
    as_of: Timestamp,
    console: &mut Console,
) -> anyhow::Result<()> {
    let router = Router::AtHand(AtHand::new(all_caught_up(store).await?, as_of));
    for model in descriptions() {
        let what = ShowReadModel::in_short(model);
        let options = what.values.iter();
        let options = options.flat_map(|(name, value)| [" --", name, " ", value]);
        let options: String = options.collect();
        let (title, name) = (model.title, model.name);
        console.print(&format!("\n{title}  (kaigi show {name}{options})\n"))?;
        show(&router, &what, console).await?;
    }
    Ok(())
}

/// What a router is asked for the rows.
pub(crate) fn question(what: &ShowReadModel) -> Question {
    let question = Question::new(["v1", what.model.name]).for_roles(VIEWERS);
    let values = what.values.iter();
    values.fold(question, |question, (name, value)| {
        question.with(name, value)
    })
}

/// The rows that are asked for, where a read model has rows of several kinds.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// Rows of that kind.
    Rows(&'static RowKind),
    /// Agents' parts in single calls.
    Agents(&'static RowKind),
    /// Windows.
    Windows(&'static RowKind, By, Explain),
}

impl Asked {
    /// What the options ask for, if they agree.
    pub(crate) fn of(what: &ShowReadModel) -> anyhow::Result<Self> {
        let [calls, agents, windows] = what.model.rows else {
            return Ok(Self::Rows(&what.model.rows[0]));
        };
        let explain = match what.value("explain") {
            Some(_) => Explain::Yes,
            None => Explain::No,
        };
        let has_window = what.value("window").is_some();
        let in_windows = |by| has_window.then_some(Self::Windows(windows, by, explain));
        let asked = match what.value("by") {
            Some("queue") => in_windows(By::Queue),
            Some("all") => in_windows(By::All),
            Some("agent") => Some(in_windows(By::Agent).unwrap_or(Self::Agents(agents))),
            Some(_) if has_window => {
                return Err(usage(
                    "--by call lists single calls; leave --window away, or use --by queue, agent or all",
                ));
            }
            Some(_) => Some(Self::Rows(calls)),
            None => Some(in_windows(By::All).unwrap_or(Self::Rows(calls))),
        };
        asked.ok_or_else(|| {
            usage("--by queue and --by all sum up a window; add --window 15m, 1h or 1d")
        })
    }
}

/// Prints the rows that were asked for.
pub(crate) async fn print(
    asked: Asked,
    mut rows: Rows,
    console: &mut Console,
) -> anyhow::Result<()> {
    let (kind, fields) = match asked {
        Asked::Windows(_, by, explain) if console.output() == Output::Table => {
            let mut windows = Windows::new(by, explain, rows.as_of);
            while let Some(row) = rows.next().await? {
                windows.add(row, console)?;
            }
            return windows.end(console);
        }
        Asked::Windows(kind, _, Explain::Yes) => (kind, ExplainedRow::COLUMNS),
        Asked::Rows(kind) | Asked::Agents(kind) | Asked::Windows(kind, _, Explain::No) => {
            (kind, kind.shape.columns)
        }
    };
    let table = &kind.table;
    rows.print(Sheet { fields, table }, console).await
}
