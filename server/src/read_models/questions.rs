//! What can be asked of the read models.

use super::filter::filter;
use super::format::Format;
use super::models::{Live, Model};
use super::page::{Page, Paging};
use crate::Problem;
use crate::request::Params;
use domain::Timestamp;
use projections::{
    AgentTimes, AllFour, By, CallTimes, Checkpointed, Filter, TimesFilter, Window, WindowRow,
};

/// A question for one of the read models.
#[derive(Clone)]
pub(super) enum Question {
    Live(OfLive),
    Ended(OfEnded),
}

/// For calls that are not over.
#[derive(Clone)]
pub(super) struct OfLive {
    model: &'static Live,
    filter: Filter,
}

/// For calls that ended.
#[derive(Debug, Clone)]
pub(super) enum OfEnded {
    Calls(TimesFilter),
    Agents(TimesFilter),
    Windows {
        window: Window,
        by: By,
        filter: TimesFilter,
    },
    Explained {
        window: Window,
        by: By,
        filter: TimesFilter,
    },
}

impl Question {
    /// What the parameters ask that read model.
    pub(super) fn of(model: &'static Model, params: &Params) -> Result<Self, Problem> {
        let filter = filter(params)?;
        match model {
            Model::Live(model) => Ok(Self::Live(OfLive { model, filter })),
            Model::Ended(_) => Self::handle_times(params, filter.times()),
        }
    }

    /// Single calls and agents in them, or windows of time: what the program's `show handle-times` can be asked.
    fn handle_times(params: &Params, filter: TimesFilter) -> Result<Self, Problem> {
        let explain = params.get("explain")?.unwrap_or(false);
        let by = params.text("by");
        let Some(window) = params.get("window")? else {
            return single(by, explain, filter).map(Self::Ended);
        };
        let by = match by {
            Some("call") => {
                let what = "single calls are in no window; leave `window` away, or use by=queue, agent or all";
                return Err(Problem::bad_value("by", what));
            }
            Some(_) => params.get("by")?.unwrap_or(By::All),
            None => By::All,
        };
        Ok(Self::Ended(if explain {
            OfEnded::Explained { window, by, filter }
        } else {
            OfEnded::Windows { window, by, filter }
        }))
    }

    pub(super) fn paging(&self, params: &Params, format: Format) -> Result<Paging, Problem> {
        match self {
            Self::Live(question) => (question.model.paging)(params, format),
            Self::Ended(OfEnded::Calls(_)) => Paging::of::<CallTimes<'_>>(params, format),
            Self::Ended(OfEnded::Agents(_)) => Paging::of::<AgentTimes<'_>>(params, format),
            Self::Ended(OfEnded::Windows { .. } | OfEnded::Explained { .. }) => {
                Paging::of::<WindowRow>(params, format)
            }
        }
    }
}

/// Rows of single calls, or of agents in them.
fn single(by: Option<&str>, explain: bool, filter: TimesFilter) -> Result<OfEnded, Problem> {
    match by {
        _ if explain => Err(Problem::bad_value(
            "explain",
            "only windows are explained; add window=15m, 1h or 1d",
        )),
        Some("call") | None => Ok(OfEnded::Calls(filter)),
        Some("agent") => Ok(OfEnded::Agents(filter)),
        Some(by) => Err(no_window(by)),
    }
}

fn no_window(by: &str) -> Problem {
    let what = match by {
        "queue" | "all" => {
            "queues and all calls are summed up in windows; add window=15m, 1h or 1d"
        }
        _ => "it is one of call, agent, queue, all",
    };
    Problem::bad_value("by", what)
}

impl OfLive {
    /// Whether the answer is the same as long as nothing happens.
    pub(super) fn is_timeless(&self) -> bool {
        self.filter.is_timeless()
    }

    pub(super) fn page(
        &self,
        model: &Checkpointed<AllFour>,
        paging: &Paging,
        as_of: Timestamp,
    ) -> Page {
        (self.model.page)(model, &self.filter, paging, as_of)
    }
}
