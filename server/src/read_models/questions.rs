//! What can be asked of the four read models.

use super::filter::Filter;
use super::format::Format;
use super::page::{Page, Paging};
use super::rows::Followed;
use crate::Problem;
use crate::request::Params;
use domain::{TimeSpan, Timestamp};
use projections::{
    ActiveCall, AgentTimes, AllFour, By, CallTimes, Checkpointed, MonitoredCall, OwedWrapUp,
    TimesFilter, Window, WindowRow,
};

/// A question for one of the read models.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Live(OfLive),
    Ended(OfEnded),
}

/// For calls that are not over.
#[derive(Debug, Clone)]
pub(super) enum OfLive {
    ActiveCalls {
        filter: Filter,
        idle_ms: Option<u64>,
    },
    WrapUpQueue(Filter),
    Monitoring(Filter),
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
    pub(super) fn active_calls(params: &Params) -> Result<Self, Problem> {
        Ok(Self::Live(OfLive::ActiveCalls {
            filter: Filter::of(params)?,
            idle_ms: params.get("idle")?.map(TimeSpan::as_millis),
        }))
    }

    pub(super) fn wrap_up_queue(params: &Params) -> Result<Self, Problem> {
        Ok(Self::Live(OfLive::WrapUpQueue(Filter::of(params)?)))
    }

    pub(super) fn monitoring(params: &Params) -> Result<Self, Problem> {
        Ok(Self::Live(OfLive::Monitoring(Filter::of(params)?)))
    }

    /// Single calls and agents in them, or windows of time: what the program's `show handle-times` can be asked.
    pub(super) fn handle_times(params: &Params) -> Result<Self, Problem> {
        let filter = Filter::of(params)?.times();
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
            Self::Live(OfLive::ActiveCalls { .. }) => Paging::of::<ActiveCall<'_>>(params, format),
            Self::Live(OfLive::WrapUpQueue(_)) => Paging::of::<OwedWrapUp<'_>>(params, format),
            Self::Live(OfLive::Monitoring(_)) => Paging::of::<MonitoredCall<'_>>(params, format),
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
        !matches!(
            self,
            Self::ActiveCalls {
                idle_ms: Some(_),
                ..
            }
        )
    }

    pub(super) fn page(
        &self,
        model: &Checkpointed<AllFour>,
        paging: &Paging,
        as_of: Timestamp,
    ) -> Page {
        let cut = Cut {
            paging,
            as_of,
            model,
        };
        let four = model.state();
        match self {
            Self::ActiveCalls { filter, idle_ms } => match idle_ms {
                Some(idle_ms) => cut.page(four.idle_calls(as_of, *idle_ms), filter),
                None => cut.page(four.active_calls(), filter),
            },
            Self::WrapUpQueue(filter) => cut.page(four.wrap_up_queue(), filter),
            Self::Monitoring(filter) => cut.page(four.monitoring(), filter),
        }
    }
}

/// The page of whatever rows.
struct Cut<'p> {
    paging: &'p Paging,
    as_of: Timestamp,
    model: &'p Checkpointed<AllFour>,
}

impl Cut<'_> {
    fn page<R: Followed>(&self, rows: Vec<R>, filter: &Filter) -> Page {
        let rows = rows.into_iter();
        let rows = rows.filter(|row| filter.fits(&row.facets()));
        self.paging.page(rows, self.as_of, self.model.events())
    }
}
