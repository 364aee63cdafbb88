//! All rows, to begin following with.
//!
//! Calls that go on are few enough to be told while the fold waits. There may be very many that ended, so these are
//! taken a slice at a time, and what the fold changed meanwhile is put in at the end, out of the log of changes.

use super::changes::{Change, Further, Id, Kind, Place, Rendered};
use super::filter::Filter;
use super::views::Views;
use domain::{CallId, Position, Timestamp};
use projections::TimesFilter;
use std::collections::HashMap;
use std::sync::Arc;

/// The calls of how many milliseconds a stream of ended calls begins with, unless it is said since when: a day.
const BEGIN_WITH_MS: u64 = 86_400_000;

/// Of how many calls the rows are taken while the fold waits.
const SLICE: usize = 1024;

/// Rows, and as of what.
pub(super) struct Snapshot {
    pub(super) id: Id,
    pub(super) rows: Vec<Arc<Rendered>>,
}

/// What the log told since the first slice.
struct Meanwhile {
    id: Id,
    changes: Vec<Arc<Change>>,
}

/// None if the model was replaced meanwhile, or more changed than is kept.
pub(super) async fn of(
    views: &Views,
    kind: Kind,
    filter: &Arc<Filter>,
    now: Timestamp,
) -> Option<Snapshot> {
    match kind {
        Kind::ActiveCalls | Kind::WrapUpQueue | Kind::Monitoring => {
            Some(of_going_on(views, kind, Arc::clone(filter)).await)
        }
        Kind::CallTimes | Kind::AgentTimes => {
            of_ended(views, kind, span(filter, now), filter).await
        }
    }
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

async fn of_going_on(views: &Views, kind: Kind, filter: Arc<Filter>) -> Snapshot {
    let asked = views.ask(move |model, tag| {
        let place = Place::end_of(model.position());
        let rows = kind.rows_that_go_on(model.state()).into_iter();
        let rows = rows.filter(|row| filter.fits(&row.facets)).map(Arc::new);
        Snapshot {
            id: Id { place, tag },
            rows: rows.collect(),
        }
    });
    asked.await
}

async fn of_ended(
    views: &Views,
    kind: Kind,
    span: TimesFilter,
    filter: &Arc<Filter>,
) -> Option<Snapshot> {
    let (id, ended) = views
        .ask(move |model, tag| {
            let ended = model.state().calls(&span);
            let ended = ended.iter().map(|row| (row.call.0.clone(), row.ended_at.0));
            let place = Place::end_of(model.position());
            (Id { place, tag }, ended.collect::<Vec<_>>())
        })
        .await;
    let mut meanwhile = Meanwhile::since(id);
    let mut reached = id.place.position;
    let mut rows = Vec::new();
    for slice in ended.chunks(SLICE) {
        let (position, taken) = slice_of(views, kind, slice.to_vec(), Arc::clone(filter)).await;
        reached = position;
        rows.extend(taken);
        meanwhile.read(views, kind)?;
    }
    // What a slice has in it already may not have been noted yet.
    views.noted(reached, id.tag).await;
    meanwhile.read(views, kind)?;
    Some(meanwhile.put_into(rows, reached, filter))
}

async fn slice_of(
    views: &Views,
    kind: Kind,
    calls: Vec<(CallId, Timestamp)>,
    filter: Arc<Filter>,
) -> (Position, Vec<Arc<Rendered>>) {
    let asked = views.ask(move |model, _| {
        let calls = calls.iter();
        let rows =
            calls.flat_map(|(call, ended_at)| kind.rows_of(model.state(), (call, Some(*ended_at))));
        let rows = rows.filter(|row| filter.fits(&row.facets)).map(Arc::new);
        (model.position(), rows.collect())
    });
    asked.await
}

impl Meanwhile {
    fn since(id: Id) -> Self {
        Self {
            id,
            changes: Vec::new(),
        }
    }

    /// All that the log has further.
    fn read(&mut self, views: &Views, kind: Kind) -> Option<()> {
        match views.changes().after(kind, self.id, usize::MAX) {
            Further::Changes(changes, _) => {
                self.id.place = changes.last().map_or(self.id.place, |last| last.place);
                self.changes.extend(changes);
            }
            Further::Nothing(_) => {}
            Further::Forgotten | Further::OtherModel => return None,
        }
        Some(())
    }

    /// A row that changed after it was taken, or before, is as the last change left it.
    fn put_into(self, rows: Vec<Arc<Rendered>>, reached: Position, filter: &Filter) -> Snapshot {
        let place = self.id.place.max(Place::end_of(reached));
        let id = Id { place, ..self.id };
        if self.changes.is_empty() {
            return Snapshot { id, rows };
        }
        let keys = rows.iter().enumerate();
        let mut places: HashMap<_, _> = keys.map(|(place, row)| (row.key.clone(), place)).collect();
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        for change in &self.changes {
            let Some(key) = change.key() else { continue };
            let after = change.after.clone();
            let after = after.filter(|row| filter.fits(&row.facets));
            let place = *places.entry(key.to_owned()).or_insert(rows.len());
            if place == rows.len() {
                rows.push(None);
            }
            rows[place] = after;
        }
        let rows = rows.into_iter().flatten().collect();
        Snapshot { id, rows }
    }
}
