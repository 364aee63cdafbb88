//! Pages: rows in an order, from where the page before ended, as text. A cursor holds what the last row was sorted by
//! and what tells it from others, not how many came before it, so rows that come and go elsewhere change nothing.

use super::csv;
use super::format::{Format, ndjson};
use super::rows::{Cell, Listed, RowKey};
use crate::Problem;
use crate::request::Params;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Prefix, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How many rows a page has unless something else is said.
pub(crate) const USUAL_LIMIT: usize = 1000;

/// How many it has at most.
pub(crate) const HIGHEST_LIMIT: usize = 10_000;

/// What is asked of a list beside which rows.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    format: Format,
    order: Order,
    limit: usize,
    after: Option<Place>,
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
struct Place(Cell, RowKey);

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
struct Cursor {
    list: String,
    sort: String,
    after: Place,
}

/// A page as text, and where the next one begins if there is more.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Prefix,
    pub(crate) as_of: Timestamp,
    pub(crate) body: String,
    pub(crate) next: Option<String>,
}

#[derive(Serialize)]
struct Whole<'r, R> {
    as_of: Text<Timestamp>,
    position: u64,
    count: u64,
    proof: Text<Hash>,
    rows: &'r [R],
    next: Option<&'r str>,
}

impl Paging {
    /// What the parameters say of that list.
    pub(crate) fn of<R: Listed>(params: &Params, format: Format) -> Result<Self, Problem> {
        let order = Order::of::<R>(params.text("sort"))?;
        let cursor = params.text("cursor");
        let after = cursor.map(|text| order.place::<R>(text)).transpose()?;
        Ok(Self {
            format,
            order,
            limit: limit(params)?,
            after,
        })
    }

    /// The page of those rows.
    pub(crate) fn page<R: Listed>(
        &self,
        rows: impl IntoIterator<Item = R>,
        as_of: Timestamp,
        events: Prefix,
    ) -> Page {
        let (rows, next) = self.cut(rows);
        let body = match self.format {
            Format::Json => {
                let whole = Whole {
                    as_of: Text(as_of),
                    position: events.position.0,
                    count: events.count,
                    proof: Text(events.rolling_hash),
                    rows: &rows,
                    next: next.as_deref(),
                };
                let mut body = serde_json::to_string(&whole).expect("rows are JSON");
                body.push('\n');
                body
            }
            Format::Ndjson => ndjson(&rows),
            Format::Csv => csv(&rows),
        };
        Page {
            events,
            as_of,
            body,
            next,
        }
    }

    /// Only what the page shows is sorted, and no more than twice as much is held.
    fn cut<R: Listed>(&self, all: impl IntoIterator<Item = R>) -> (Vec<R>, Option<String>) {
        let mut rows = Vec::new();
        let mut more = false;
        for row in all {
            let place = self.order.place_of(&row);
            if self.is_shown(&place) {
                rows.push((place, row));
            }
            if rows.len() > 2 * self.limit {
                more |= self.shorten(&mut rows);
            }
        }
        more |= self.shorten(&mut rows);
        rows.sort_unstable_by(|(one, _), (other, _)| self.order.compare(one, other));
        let last = rows.last().filter(|_| more);
        let next = last.map(|(place, _)| self.order.cursor::<R>(place));
        (rows.into_iter().map(|(_, row)| row).collect(), next)
    }

    /// Whether it is behind the page before.
    fn is_shown(&self, place: &Place) -> bool {
        let after = self.after.as_ref();
        after.is_none_or(|after| self.order.compare(place, after).is_gt())
    }

    /// Keeps the first rows, and says whether there were others.
    fn shorten<R>(&self, rows: &mut Vec<(Place, R)>) -> bool {
        let more = rows.len() > self.limit;
        if more {
            rows.select_nth_unstable_by(self.limit, |(one, _), (other, _)| {
                self.order.compare(one, other)
            });
            rows.truncate(self.limit);
        }
        more
    }
}

fn limit(params: &Params) -> Result<usize, Problem> {
    let limit = params.get("limit")?.unwrap_or(USUAL_LIMIT);
    if (1..=HIGHEST_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let what = format!("a page has 1 to {HIGHEST_LIMIT} rows; `next` leads on");
    Err(Problem::bad_value("limit", what))
}

impl Order {
    fn of<R: Listed>(sort: Option<&str>) -> Result<Self, Problem> {
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

    fn place_of<R: Listed>(self, row: &R) -> Place {
        Place(row.cell(self.column), row.key())
    }

    fn compare(self, one: &Place, other: &Place) -> Ordering {
        let by_column = match self.direction {
            Direction::Ascending => one.0.cmp(&other.0),
            Direction::Descending => other.0.cmp(&one.0),
        };
        by_column.then_with(|| one.1.cmp(&other.1))
    }

    fn cursor<R: Listed>(self, after: &Place) -> String {
        let cursor = Cursor {
            list: R::LIST.to_owned(),
            sort: self.name(),
            after: after.clone(),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a cursor is JSON"))
    }

    fn place<R: Listed>(self, text: &str) -> Result<Place, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor>(&bytes).ok());
        let fits = |cursor: &Cursor| cursor.list == R::LIST && cursor.sort == self.name();
        let cursor = cursor.filter(fits).ok_or_else(|| {
            let what = "give back the `next` of a page with the same list and sort, as it was";
            Problem::bad_value("cursor", what)
        })?;
        Ok(cursor.after)
    }
}
