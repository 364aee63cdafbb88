//! The read models of the list in `projections`, as functions that know no row type, and rows as subscribers get them.

use super::format::Format;
use super::page::{Page, Paging};
use crate::Problem;
use crate::request::Params;
use crate::sse;
use bytes::Bytes;
use domain::{AgentId, CallId, Position, Timestamp};
use projections::{
    AllFour, Checkpointed, Description, Filter, Followed, HandleTimes, Holds, LiveModel, Place,
    Projection, ReadModel, TimesFilter, Visitor,
};
use serde_json::json;
use std::sync::LazyLock;

/// A read model of the list.
pub(super) enum Model {
    /// Its rows are made of calls that are not over.
    Live(Live),
    /// Its rows are made of ended calls.
    Ended(&'static Description),
}

/// A question for a read model of calls that are not over.
pub(super) struct Live {
    description: &'static Description,
    pub(super) paging: fn(&Params, Format) -> Result<Paging, Problem>,
    pub(super) page: fn(&Checkpointed<AllFour>, &Filter, &Paging, Timestamp) -> Page,
    rows_of_call: fn(&ReadModel<AllFour>, &CallId) -> Vec<Rendered>,
    rows_after: for<'a> fn(&'a ReadModel<AllFour>, Option<&Key>, usize) -> KeyedRows<'a>,
}

/// The read models, in the order of the list.
pub(super) static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let mut models = Models(Vec::new());
    projections::visit(&mut models);
    models.0
});

/// Rows that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of the read model at that place of the list.
    Live(usize),
    /// Ended calls.
    CallTimes,
    /// Agents' parts in ended calls.
    AgentTimes,
}

/// A row as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) key: String,
    pub(crate) row: String,
    pub(crate) facets: projections::Facets,
}

/// The place of a row in its list: when it began, the call, and the agent where a call has several rows.
pub(super) type Key = (Timestamp, CallId, Option<AgentId>);

/// Rows with their places, rendered one by one.
pub(super) type KeyedRows<'a> = Box<dyn ExactSizeIterator<Item = (Key, Rendered)> + 'a>;

/// Rendered rows of a quarter of an hour after those that were sent, and how many it has in all.
pub(super) struct OfQuarter<'a> {
    pub(super) rows: Box<dyn Iterator<Item = Rendered> + 'a>,
    pub(super) all: usize,
}

struct Models(Vec<Model>);

impl Visitor for Models {
    fn live<M: LiveModel>(&mut self)
    where
        AllFour: Holds<M>,
    {
        self.0.push(Model::Live(Live::of::<M>()));
    }

    fn ended<M: Projection>(&mut self)
    where
        AllFour: Holds<M>,
    {
        self.0.push(Model::Ended(&HandleTimes::DESCRIPTION));
    }
}

impl Model {
    pub(super) fn description(&self) -> &'static Description {
        match self {
            Self::Live(live) => live.description,
            Self::Ended(description) => description,
        }
    }
}

impl Live {
    fn of<M: LiveModel>() -> Self
    where
        AllFour: Holds<M>,
    {
        Self {
            description: &M::DESCRIPTION,
            paging: Paging::of::<M::Row<'_>>,
            page: page::<M>,
            rows_of_call: |model, call| rendered(model.rows_of_call::<M>(call)),
            rows_after: rows_after::<M>,
        }
    }
}

fn page<M: LiveModel>(
    model: &Checkpointed<AllFour>,
    filter: &Filter,
    paging: &Paging,
    as_of: Timestamp,
) -> Page
where
    AllFour: Holds<M>,
{
    let rows = model.state().rows_of::<M>().into_iter();
    let rows = rows.filter(|row| {
        let facets = row.facets();
        filter.fits(&facets) && filter.fits_at(&facets, as_of)
    });
    paging.page(rows, as_of, model.events())
}

fn rows_after<'a, M: LiveModel>(
    model: &'a ReadModel<AllFour>,
    after: Option<&Key>,
    max: usize,
) -> KeyedRows<'a>
where
    AllFour: Holds<M>,
{
    let after: Option<Place<'_>> = after.map(|(at, call, agent)| (*at, call, agent.as_ref()));
    let rows = model.rows_after::<M>(after, max).into_iter();
    Box::new(rows.map(|row| (key(&row), Rendered::new(&row))))
}

fn key(row: &impl Followed) -> Key {
    let (at, call, agent) = row.place();
    (at, call.clone(), agent.cloned())
}

impl Kind {
    /// Each kind, in the order of [`Kind::place`].
    pub(super) fn all() -> impl Iterator<Item = Kind> {
        let places = MODELS.iter().enumerate();
        let live = places.filter(|(_, model)| matches!(model, Model::Live(_)));
        let live = live.map(|(place, _)| Kind::Live(place));
        live.chain([Kind::CallTimes, Kind::AgentTimes])
    }

    /// Its place among all kinds.
    pub(super) fn place(self) -> usize {
        let mut all = Kind::all();
        all.position(|kind| kind == self)
            .expect("every kind is listed")
    }

    /// The kind of rows that is followed in the read model at that place of the list.
    pub(super) fn of(place: usize, params: &Params) -> Result<Self, Problem> {
        match (&MODELS[place], params.text("by")) {
            (Model::Live(_), _) => Ok(Kind::Live(place)),
            (Model::Ended(_), Some("call") | None) => Ok(Kind::CallTimes),
            (Model::Ended(_), Some("agent")) => Ok(Kind::AgentTimes),
            (Model::Ended(_), Some(_)) => {
                let what = "changes are told by call or by agent; windows are asked for anew";
                Err(Problem::bad_value("by", what))
            }
        }
    }

    fn live(self) -> Option<&'static Live> {
        match self {
            Kind::Live(place) => match &MODELS[place] {
                Model::Live(live) => Some(live),
                Model::Ended(_) => None,
            },
            Kind::CallTimes | Kind::AgentTimes => None,
        }
    }

    /// Whether its rows are made of calls that are not over.
    pub(super) fn is_live(self) -> bool {
        self.live().is_some()
    }

    /// About `max` rows of calls that are not over after that one, in the order of the list.
    pub(super) fn rows_after<'a>(
        self,
        model: &'a ReadModel<AllFour>,
        after: Option<&Key>,
        max: usize,
    ) -> KeyedRows<'a> {
        match self.live() {
            Some(live) => (live.rows_after)(model, after, max),
            None => Box::new(std::iter::empty()),
        }
    }

    /// Rows of ended calls after the first `sent`.
    pub(super) fn ended_rows<'a>(
        self,
        times: &'a ReadModel<HandleTimes>,
        filter: &TimesFilter,
        sent: usize,
    ) -> OfQuarter<'a> {
        match self {
            Kind::AgentTimes => of_quarter(times.agents(filter), sent),
            Kind::CallTimes | Kind::Live(_) => of_quarter(times.calls(filter), sent),
        }
    }

    /// The rows of a call, which ended then if it has.
    pub(super) fn rows_of(
        self,
        model: &ReadModel<AllFour>,
        (call, ended_at): (&CallId, Option<Timestamp>),
    ) -> Vec<Rendered> {
        match (self, ended_at) {
            (Kind::Live(_), _) => self
                .live()
                .map_or_else(Vec::new, |live| (live.rows_of_call)(model, call)),
            (Kind::CallTimes, Some(at)) => rendered(model.times_of_call(call, at)),
            (Kind::AgentTimes, Some(at)) => rendered(model.times_of_agents(call, at)),
            (Kind::CallTimes | Kind::AgentTimes, None) => Vec::new(),
        }
    }
}

fn of_quarter<'a, R: Followed + 'a>(rows: Vec<R>, sent: usize) -> OfQuarter<'a> {
    OfQuarter {
        all: rows.len(),
        rows: Box::new(rows.into_iter().skip(sent).map(|row| Rendered::new(&row))),
    }
}

fn rendered<R: Followed>(rows: impl IntoIterator<Item = R>) -> Vec<Rendered> {
    rows.into_iter().map(|row| Rendered::new(&row)).collect()
}

impl Rendered {
    fn new<R: Followed>(row: &R) -> Self {
        let (_, call, agent) = row.place();
        let key = match agent {
            Some(agent) => json!({"call": call.as_str(), "agent": format!("agent:{agent}")}),
            None => json!({"call": call.as_str()}),
        };
        Self {
            key: key.to_string(),
            row: serde_json::to_string(row).expect("a row is JSON"),
            facets: row.facets(),
        }
    }

    /// As an event of a stream, to begin with.
    pub(super) fn event(&self, position: Position) -> Bytes {
        sse::event(None, "row", &self.data(position))
    }

    /// What an event says of the row.
    pub(super) fn data(&self, position: Position) -> String {
        data(position, &self.key, &self.row)
    }

    /// What an event says once the row is gone.
    pub(super) fn gone(&self, position: Position) -> String {
        data(position, &self.key, "null")
    }
}

/// Key and row are JSON already.
fn data(position: Position, key: &str, row: &str) -> String {
    format!(r#"{{"position":{position},"key":{key},"row":{row}}}"#)
}
