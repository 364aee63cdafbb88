//! All rows, to begin following with, made a few at a time while the client reads.
//!
//! Rows of ended calls come from a snapshot. Rows of calls that go on are as they are when they are made, in the order of
//! the list; everything that changed since the first of them follows out of the log of changes, so that the client has
//! the state of one position when it has caught up. No stream holds rows that are not being sent.

use super::changes::{Id, Place};
use super::models::{Key, Kind};
use super::views::Views;
use crate::Service;
use crate::streamed::PIECE;
use domain::{Position, Timestamp};
use projections::{AllFour, Filter, HandleTimes, ReadModel, TimesFilter, Window};
use std::sync::Arc;

/// The calls of how many milliseconds a stream of ended calls begins with, unless it is said since when: a day.
const BEGIN_WITH_MS: u64 = 86_400_000;

/// How many calls that go on are looked at in one turn.
const LOOKED_AT: usize = 512;

/// What a stream begins with.
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) filter: Arc<Filter>,
    pub(super) now: Timestamp,
}

/// The rows that are still to be sent, and where the changes go on after them.
pub(super) struct Beginning {
    pub(super) id: Id,
    rows: Rows,
}

enum Rows {
    GoingOn(Option<Key>),
    Ended(Ended),
}

/// Rows of a snapshot, by the quarter of an hour in which the calls ended.
struct Ended {
    times: ReadModel<HandleTimes>,
    span: TimesFilter,
    position: Position,
    /// When the quarters begin that are still to be sent, the next one last.
    quarters: Vec<Timestamp>,
    /// How many rows of the next one were sent.
    sent: usize,
}

/// Some rows as they are sent.
pub(super) struct Piece {
    pub(super) events: Vec<u8>,
    /// The position that they reflect.
    pub(super) position: Position,
    pub(super) more: bool,
}

/// The next rows. `None` if the model was replaced meanwhile.
pub(super) async fn next(
    service: &Service,
    key: &str,
    wanted: Wanted,
    begun: Option<Beginning>,
) -> Option<(Piece, Beginning)> {
    let views = &service.views;
    let mut beginning = match begun {
        Some(beginning) => beginning,
        None => begin(views, key, &wanted).await,
    };
    if let Rows::Ended(_) = beginning.rows {
        let made = service.turns.run(key, move || {
            let Rows::Ended(ended) = &mut beginning.rows else {
                unreachable!("it was a moment ago");
            };
            let piece = ended.next(&wanted);
            (piece, beginning)
        });
        return Some(made.await);
    }
    let made = views.ask(key, move |model, tag| {
        let Rows::GoingOn(after) = &mut beginning.rows else {
            unreachable!("it was a moment ago");
        };
        if tag != beginning.id.tag {
            return None;
        }
        let piece = going_on(model.state(), model.position(), &wanted, after);
        Some((piece, beginning))
    });
    made.await
}

async fn begin(views: &Views, key: &str, wanted: &Wanted) -> Beginning {
    let (kind, span) = (wanted.kind, span(&wanted.filter, wanted.now));
    let asked = views.ask(key, move |model, tag| {
        let position = model.position();
        let place = Place::end_of(position);
        let rows = if kind.is_live() {
            Rows::GoingOn(None)
        } else {
            Rows::Ended(Ended::new(model.state(), position, span))
        };
        Beginning {
            id: Id { place, tag },
            rows,
        }
    });
    asked.await
}

/// The ended calls to begin with: whoever does not say since when, is not sent years.
fn span(filter: &Filter, now: Timestamp) -> TimesFilter {
    let asked = filter.times();
    let end = asked.to.unwrap_or(now).min(now);
    TimesFilter {
        from: asked.from.or(Some(end.minus_millis(BEGIN_WITH_MS))),
        ..asked
    }
}

/// Rows after that key, which is moved on.
fn going_on(
    model: &ReadModel<AllFour>,
    position: Position,
    wanted: &Wanted,
    after: &mut Option<Key>,
) -> Piece {
    let rows = wanted.kind.rows_after(model, after.as_ref(), LOOKED_AT);
    let mut more = rows.len() == LOOKED_AT;
    let mut events = Vec::new();
    for (key, row) in rows {
        if events.len() >= PIECE {
            more = true;
            break;
        }
        if wanted.filter.fits(&row.facets) {
            events.extend_from_slice(&row.event(position));
        }
        *after = Some(key);
    }
    Piece {
        events,
        position,
        more,
    }
}

impl Ended {
    fn new(model: &ReadModel<AllFour>, position: Position, span: TimesFilter) -> Self {
        let times = model.snapshot(&span, None);
        let mut quarters = times.starts(Window::Quarter);
        quarters.reverse();
        Self {
            times,
            span,
            position,
            quarters,
            sent: 0,
        }
    }

    fn next(&mut self, wanted: &Wanted) -> Piece {
        let mut events = Vec::new();
        while let Some(quarter) = self.quarters.last()
            && events.len() < PIECE
        {
            let filter = self.span.within(Window::Quarter, *quarter);
            let rows = wanted.kind.ended_rows(&self.times, &filter, self.sent);
            let all = rows.all;
            for row in rows.rows {
                if events.len() >= PIECE {
                    break;
                }
                if wanted.filter.fits(&row.facets) {
                    events.extend_from_slice(&row.event(self.position));
                }
                self.sent += 1;
            }
            if self.sent >= all {
                self.quarters.pop();
                self.sent = 0;
            }
        }
        Piece {
            events,
            position: self.position,
            more: !self.quarters.is_empty(),
        }
    }
}
