//! What can be asked of the four read models.

use super::filter::Filter;
use super::format::Format;
use super::page::{Page, Paging};
use super::rows::Followed;
use crate::Problem;
use crate::request::Params;
use domain::{Prefix, TimeSpan, Timestamp};
use projections::{
    ActiveCall, AgentTimes, AllFour, By, CallTimes, Checkpointed, ExplainedRow, MonitoredCall,
    OwedWrapUp, ReadModel, TimesFilter, Window, WindowRow,
};

/// A question for one of the read models.
#[derive(Debug, Clone)]
pub(super) enum Question {
    ActiveCalls {
        filter: Filter,
        idle_ms: Option<u64>,
    },
    WrapUpQueue(Filter),
    Monitoring(Filter),
    CallTimes(TimesFilter),
    AgentTimes(TimesFilter),
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
        Ok(Self::ActiveCalls {
            filter: Filter::of(params)?,
            idle_ms: params.get("idle")?.map(TimeSpan::as_millis),
        })
    }

    pub(super) fn wrap_up_queue(params: &Params) -> Result<Self, Problem> {
        Filter::of(params).map(Self::WrapUpQueue)
    }

    pub(super) fn monitoring(params: &Params) -> Result<Self, Problem> {
        Filter::of(params).map(Self::Monitoring)
    }

    /// Single calls and agents in them, or windows of time: what the program's `show handle-times` can be asked.
    pub(super) fn handle_times(params: &Params) -> Result<Self, Problem> {
        let filter = Filter::of(params)?.times();
        let explain = params.get("explain")?.unwrap_or(false);
        let by = params.text("by");
        let Some(window) = params.get("window")? else {
            return match by {
                _ if explain => Err(Problem::bad_value(
                    "explain",
                    "only windows are explained; add window=15m, 1h or 1d",
                )),
                Some("call") | None => Ok(Self::CallTimes(filter)),
                Some("agent") => Ok(Self::AgentTimes(filter)),
                Some(by) => Err(no_window(by)),
            };
        };
        let by = match by {
            Some("call") => {
                let what = "single calls are in no window; leave `window` away, or use by=queue, agent or all";
                return Err(Problem::bad_value("by", what));
            }
            Some(_) => params.get("by")?.unwrap_or(By::All),
            None => By::All,
        };
        Ok(if explain {
            Self::Explained { window, by, filter }
        } else {
            Self::Windows { window, by, filter }
        })
    }

    pub(super) fn paging(&self, params: &Params, format: Format) -> Result<Paging, Problem> {
        match self {
            Self::ActiveCalls { .. } => Paging::of::<ActiveCall<'_>>(params, format),
            Self::WrapUpQueue(_) => Paging::of::<OwedWrapUp<'_>>(params, format),
            Self::Monitoring(_) => Paging::of::<MonitoredCall<'_>>(params, format),
            Self::CallTimes(_) => Paging::of::<CallTimes<'_>>(params, format),
            Self::AgentTimes(_) => Paging::of::<AgentTimes<'_>>(params, format),
            Self::Windows { .. } => Paging::of::<WindowRow>(params, format),
            Self::Explained { .. } => Paging::of::<ExplainedRow<'_, '_>>(params, format),
        }
    }

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

    pub(super) fn answer(
        &self,
        model: &Checkpointed<AllFour>,
        paging: &Paging,
        as_of: Timestamp,
    ) -> Page {
        let cut = Cut {
            paging,
            as_of,
            events: model.events(),
        };
        let four = model.state();
        match self {
            Self::ActiveCalls { filter, idle_ms } => match idle_ms {
                Some(idle_ms) => cut.found(four.idle_calls(as_of, *idle_ms), filter),
                None => cut.found(four.active_calls(), filter),
            },
            Self::WrapUpQueue(filter) => cut.found(four.wrap_up_queue(), filter),
            Self::Monitoring(filter) => cut.found(four.monitoring(), filter),
            Self::CallTimes(filter) => cut.page(four.each_call(filter)),
            Self::AgentTimes(filter) => cut.page(four.each_agent(filter)),
            Self::Windows { window, by, filter } => cut.page(four.windows(*window, *by, filter)),
            Self::Explained { window, by, filter } => cut.explained(four, (*window, *by), filter),
        }
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

/// The page of whatever rows.
struct Cut<'p> {
    paging: &'p Paging,
    as_of: Timestamp,
    events: Prefix,
}

impl Cut<'_> {
    fn page<R: super::rows::Listed>(&self, rows: impl IntoIterator<Item = R>) -> Page {
        self.paging.page(rows, self.as_of, self.events)
    }

    fn found<R: Followed>(&self, rows: Vec<R>, filter: &Filter) -> Page {
        let rows = rows.into_iter();
        self.page(rows.filter(|row| filter.fits(&row.facets())))
    }

    fn explained(
        &self,
        four: &ReadModel<AllFour>,
        (window, by): (Window, By),
        filter: &TimesFilter,
    ) -> Page {
        let rows = four.windows(window, by, filter);
        let explained = four.explain(window, by, filter);
        let rows = rows.iter().map(|row| ExplainedRow {
            row,
            calls: explained.behind(row),
        });
        self.page(rows)
    }
}
