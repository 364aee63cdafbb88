//! Pages: rows in an order, from where the page before ended. A cursor holds what the last row was sorted by and what
//! tells it from others, not how many came before it, so rows that come and go elsewhere change nothing.

use super::format::Format;
use super::rendering::Rendering;
use crate::Problem;
use crate::request::Params;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Prefix, Timestamp};
use projections::{Cell, Row, RowKey};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How many rows a page has unless something else is said.
pub(crate) const USUAL_LIMIT: usize = 1000;

/// How many it has at most.
pub(crate) const HIGHEST_LIMIT: usize = 10_000;

/// What is asked of a list beside which rows.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub(crate) format: Format,
    order: Order,
    /// None asks for all lines, or for a page of the usual size in JSON.
    limit: Option<usize>,
    pub(crate) after: Option<Place>,
    /// Where the page before ended within its last row.
    pub(super) within: Option<Within>,
}

/// How rows are sorted; those that are equal so, by what tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    column: &'static str,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// Where a row stands in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place(Cell, RowKey);

/// The last call that a page lists of its last row: when it ended, its id, and the agent if it is an agent's part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Within(pub(super) u64, pub(super) String, pub(super) String);

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
struct Cursor {
    list: String,
    sort: String,
    after: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
}

/// A page as it is sent, and where the next one begins if there is more.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) next: Option<String>,
}

/// Some rows in order.
pub(crate) struct Batch<R> {
    pub(crate) rows: Vec<R>,
    /// The place of the last of them.
    pub(crate) last: Option<Place>,
    /// Whether rows follow.
    pub(crate) more: bool,
}

/// How far a list was gone through.
#[derive(Clone, Default)]
pub(super) struct At {
    pub(super) after: Option<Place>,
    /// The last call that was listed of the row at that place, if there are more.
    pub(super) within: Option<Within>,
    /// Whether that row was begun in this answer.
    pub(super) is_begun: bool,
    pub(super) is_over: bool,
}

impl Paging {
    /// What the parameters say of that list.
    pub(crate) fn of<R: Row>(params: &Params, format: Format) -> Result<Self, Problem> {
        let order = Order::of::<R>(params.text("sort"))?;
        let cursor = params.text("cursor");
        let cursor = cursor.map(|text| order.cursor_of::<R>(text)).transpose()?;
        let (after, within) =
            cursor.map_or((None, None), |cursor| (Some(cursor.after), cursor.within));
        Ok(Self {
            format,
            order,
            limit: limit(params)?,
            after,
            within,
        })
    }

    /// Whether all rows are asked for, and not a page.
    pub(crate) fn is_whole(&self) -> bool {
        self.limit.is_none() && self.format != Format::Json
    }

    /// How many rows a page has.
    pub(crate) fn page_limit(&self) -> usize {
        self.limit.unwrap_or(USUAL_LIMIT)
    }

    /// Whether rows are sorted by the column that all of their kind are sorted by unless something else is said.
    pub(super) fn is_usual_order<R: Row>(&self) -> bool {
        self.order.column == R::SORTS[0]
    }

    pub(super) fn is_descending(&self) -> bool {
        self.order.direction == Direction::Descending
    }

    /// The page of those rows; all of them if all are asked for.
    pub(crate) fn page<R: Row>(
        &self,
        rows: impl IntoIterator<Item = R>,
        as_of: Timestamp,
        events: Prefix,
    ) -> Page {
        let most = if self.is_whole() {
            usize::MAX
        } else {
            self.page_limit()
        };
        let Batch { rows, last, more } = self.cut(rows, self.after.as_ref(), most);
        let mut rendering = Rendering::begin::<R>(self.format, as_of, events);
        rendering.rows(&rows);
        let next = self.next::<R>(last.as_ref().filter(|_| more), None);
        rendering.end(next.as_deref());
        Page {
            body: rendering.take(),
            next,
        }
    }

    /// The cursor after that place, if there is one.
    pub(super) fn next<R: Row>(
        &self,
        last: Option<&Place>,
        within: Option<Within>,
    ) -> Option<String> {
        last.map(|last| self.order.cursor::<R>(last, within))
    }

    /// At most `max` rows after that place. Only these are sorted, and no more than twice as many are held.
    pub(crate) fn cut<R: Row>(
        &self,
        all: impl IntoIterator<Item = R>,
        after: Option<&Place>,
        max: usize,
    ) -> Batch<R> {
        let mut rows = Vec::new();
        let mut more = false;
        for row in all {
            let place = self.order.place_of(&row);
            if after.is_none_or(|after| self.order.compare(&place, after).is_gt()) {
                rows.push((place, row));
            }
            if rows.len() > max.saturating_mul(2) {
                more |= self.shorten(&mut rows, max);
            }
        }
        more |= self.shorten(&mut rows, max);
        rows.sort_unstable_by(|(one, _), (other, _)| self.order.compare(one, other));
        let last = rows.last().map(|(place, _)| place.clone());
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Batch { rows, last, more }
    }

    pub(super) fn place_of<R: Row>(&self, row: &R) -> Place {
        self.order.place_of(row)
    }

    /// Whether it is the row of that place. What it is sorted by may have changed.
    pub(super) fn is_row_of<R: Row>(&self, place: &Place, row: &R) -> bool {
        self.order.place_of(row).1 == place.1
    }

    /// Keeps the first rows, and says whether there were others.
    fn shorten<R>(&self, rows: &mut Vec<(Place, R)>, max: usize) -> bool {
        let more = rows.len() > max;
        if more {
            rows.select_nth_unstable_by(max, |(one, _), (other, _)| self.order.compare(one, other));
            rows.truncate(max);
        }
        more
    }
}

impl At {
    pub(super) fn beginning(paging: &Paging) -> Self {
        Self {
            after: paging.after.clone(),
            within: paging.within.clone(),
            ..Self::default()
        }
    }

    pub(super) fn rows<R: Row>(
        &mut self,
        to: &mut Rendering,
        batch: impl FnOnce(Option<&Place>) -> Batch<R>,
    ) -> usize {
        let batch = batch(self.after.as_ref());
        to.rows(&batch.rows);
        self.is_over = !batch.more;
        self.after = batch.last.or(self.after.take());
        batch.rows.len()
    }
}

impl Place {
    /// When the window begins that a row of windows is of.
    pub(super) fn window_start(&self) -> Option<Timestamp> {
        match self.1[0] {
            Cell::Number(millis) => Timestamp::from_millis(millis).ok(),
            Cell::Nothing | Cell::Flag(_) | Cell::Text(_) => None,
        }
    }

    /// The time that rows are sorted by, if they are sorted by a time.
    pub(super) fn millis(&self) -> Option<u64> {
        match self.0 {
            Cell::Number(millis) => Some(millis),
            Cell::Nothing | Cell::Flag(_) | Cell::Text(_) => None,
        }
    }
}

fn limit(params: &Params) -> Result<Option<usize>, Problem> {
    let limit = params.get("limit")?;
    if limit.is_none_or(|limit| (1..=HIGHEST_LIMIT).contains(&limit)) {
        return Ok(limit);
    }
    let what = format!("a page has 1 to {HIGHEST_LIMIT} rows; `next` leads on");
    Err(Problem::bad_value("limit", what))
}

impl Order {
    fn of<R: Row>(sort: Option<&str>) -> Result<Self, Problem> {
        let Some(sort) = sort else {
            return Ok(Self {
                column: R::SORTS[0],
                direction: Direction::Ascending,
            });
        };
        let (name, direction) = match sort.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (sort, Direction::Ascending),
        };
        let mut sorts = R::SORTS.iter();
        let column = sorts.find(|column| **column == name).ok_or_else(|| {
            let known = R::SORTS.join(", ");
            let what = format!("these rows are sorted by {known}, or with - before it");
            Problem::bad_value("sort", what)
        })?;
        Ok(Self { column, direction })
    }

    fn name(self) -> String {
        match self.direction {
            Direction::Ascending => self.column.to_owned(),
            Direction::Descending => format!("-{}", self.column),
        }
    }

    fn place_of<R: Row>(self, row: &R) -> Place {
        Place(row.cell(self.column), row.key())
    }

    fn compare(self, one: &Place, other: &Place) -> Ordering {
        let by_column = match self.direction {
            Direction::Ascending => one.0.cmp(&other.0),
            Direction::Descending => other.0.cmp(&one.0),
        };
        by_column.then_with(|| one.1.cmp(&other.1))
    }

    fn cursor<R: Row>(self, after: &Place, within: Option<Within>) -> String {
        let cursor = Cursor {
            list: R::LIST.to_owned(),
            sort: self.name(),
            after: after.clone(),
            within,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a cursor is JSON"))
    }

    fn cursor_of<R: Row>(self, text: &str) -> Result<Cursor, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor>(&bytes).ok());
        let fits = |cursor: &Cursor| cursor.list == R::LIST && cursor.sort == self.name();
        cursor.filter(fits).ok_or_else(|| {
            let what = "give back the `next` of a page with the same list and sort, as it was";
            Problem::bad_value("cursor", what)
        })
    }
}
