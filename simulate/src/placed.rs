//! The same made-up day on another date: its times moved, its calls and commands renamed.
//!
//! A day that is moved gets its date into the names of its calls, their correlation, and the ids of its commands. So
//! days of several dates fit into one store, and nothing in it is refused as a repetition of another date's command.

use super::day::{BUSIEST_MS, midnight};
use domain::{CallId, CommandId, Correlation, Request, Timestamp};
use uuid::Uuid;

/// Where in time to place a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// The whole day, beginning at that midnight, UTC.
    On(Timestamp),
    /// The day up to its busiest moment, which is placed at that time. Calls are live then and wrap-ups are owed.
    UpTo(Timestamp),
}

/// Moves a day made by [`simulate`](super::simulate).
pub fn place(day: impl Iterator<Item = Request>, placed: Placed) -> impl Iterator<Item = Request> {
    let (begins, ends) = match placed {
        Placed::On(begins) => (begins, Timestamp::MAX),
        Placed::UpTo(now) => (now.minus_millis(BUSIEST_MS), now),
    };
    let date = Date::of(match placed {
        Placed::On(begins) => begins,
        Placed::UpTo(now) => now,
    });
    day.map(move |mut request| {
        request.at = request.at.map(|at| moved(at, midnight(), begins));
        date.mark(request)
    })
    .take_while(move |request| request.at.is_none_or(|at| at <= ends))
}

/// A time as long after `to` as it was after `from`.
pub fn moved(at: Timestamp, from: Timestamp, to: Timestamp) -> Timestamp {
    to.plus_millis(at.millis_since(from))
}

/// A date as it stands in names, such as 20261129.
struct Date(String);

impl Date {
    fn of(at: Timestamp) -> Self {
        Self(at.to_string()[..10].replace('-', ""))
    }

    fn mark(&self, mut request: Request) -> Request {
        let id = request.id.map_or_else(Uuid::nil, |id| id.0);
        request.id = Some(CommandId(Uuid::new_v5(&id, self.0.as_bytes())));
        request.call = self.in_call(&request.call);
        request.correlation = request
            .correlation
            .as_ref()
            .map(|text| self.in_correlation(text));
        request
    }

    /// `sim-1-000042` becomes `sim-1-20261129-000042`.
    fn in_call(&self, call: &CallId) -> CallId {
        let (day, number) = call
            .as_str()
            .rsplit_once('-')
            .unwrap_or((call.as_str(), "0"));
        let name = format!("{day}-{}-{number}", self.0);
        name.parse().expect("letters, digits and hyphens")
    }

    fn in_correlation(&self, correlation: &Correlation) -> Correlation {
        let text = format!("{}-{}", correlation.as_str(), self.0);
        text.parse().expect("letters, digits and hyphens")
    }
}
