//! Following a read model: all its rows, then each that changes, as server-sent events.
//!
//! Nothing is put in a queue for a subscriber: each has a place in the one log of changes and reads on from there when
//! its connection takes more. So a slow one costs nobody anything, and falls behind until it is cut off.

use super::asked::Asked;
use super::changes::{Change, Further, Id, Place};
use super::filter::filter;
use super::models::{Kind, Rendered};
use super::shared::Progress;
use super::snapshot::{self, Beginning, Wanted};
use crate::access::Caller;
use crate::streamed::PIECE;
use crate::{Problem, Service, sse};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use projections::Filter;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How many changes are taken from the log at once.
const AT_ONCE: usize = 64;

/// Why a stream begins anew.
const FORGOTTEN: &str = "what changed since is not kept any more";
const OTHER_MODEL: &str = "the read model was rebuilt, or the server started anew";

/// One who follows.
struct Subscriber {
    service: Arc<Service>,
    caller: Caller,
    /// When it says where it stands, unless it is given something before.
    next_heartbeat: Instant,
    kind: Kind,
    filter: Arc<Filter>,
    progress: watch::Receiver<Progress>,
    /// What it was given last; none before all rows.
    last: Option<Id>,
    /// The rows to begin with that are still to be given.
    beginning: Option<Beginning>,
    standing: Standing,
    ready: VecDeque<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Takes in what there was before it came; it may take as long as it likes.
    CatchingUp,
    /// Is given what comes.
    CaughtUp,
    /// Is given nothing any more.
    Over,
}

/// The changes of that kind as a stream.
pub(super) fn answer(
    service: &Arc<Service>,
    kind: Kind,
    asked: &Asked,
) -> Result<Response, Problem> {
    let last = sse::last_event_id::<Id>(&asked.headers)?;
    let filter = Arc::new(filter(&asked.params)?);
    service.views.changes().join(kind);
    let subscriber = Subscriber {
        service: Arc::clone(service),
        caller: asked.caller.clone(),
        next_heartbeat: Instant::now(),
        kind,
        filter,
        progress: service.views.progress(),
        last,
        beginning: None,
        standing: Standing::CatchingUp,
        ready: VecDeque::new(),
    };
    Ok(sse::answer(unfold(subscriber, Subscriber::next)))
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.service.views.changes().leave(self.kind);
    }
}

impl Subscriber {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if self.standing != Standing::Over && !self.caller.is_admitted() {
                self.ready.clear();
                self.cut_off("key_revoked", "this key is not admitted any more");
            }
            if let Some(events) = self.gathered().await {
                self.next_heartbeat = Instant::now() + self.silence();
                return Some((events, self));
            }
            if self.standing == Standing::Over {
                return None;
            }
            self.go_on().await;
        }
    }

    /// What is ready, many events in one piece.
    async fn gathered(&mut self) -> Option<Bytes> {
        let first = self.ready.pop_front()?;
        if self.ready.is_empty() {
            return Some(first);
        }
        let bytes = first.len() + self.ready.iter().map(Bytes::len).sum::<usize>();
        let allowance = self.service.budget.take(self.caller.key(), bytes).await;
        let mut piece = Vec::with_capacity(bytes);
        piece.extend_from_slice(&first);
        for event in self.ready.drain(..) {
            piece.extend_from_slice(&event);
        }
        Some(allowance.cover(piece))
    }

    async fn go_on(&mut self) {
        if self.standing == Standing::CaughtUp && Instant::now() >= self.next_heartbeat {
            return self.say("progress");
        }
        self.progress.mark_unchanged();
        if self.standing == Standing::CatchingUp && self.service.views.changes().is_blind(self.kind)
        {
            // The sender is the service's own, so this ends when that fold does.
            let _ = self.progress.changed().await;
            return;
        }
        let Some(last) = self.last else {
            return self.begin().await;
        };
        let changes = self.service.views.changes();
        match changes.after(self.kind, last, AT_ONCE) {
            Further::Changes(_, waiting) if self.lags_by(waiting) => self.too_slow(),
            Further::Changes(changes, _) => changes.iter().for_each(|change| self.tell(change)),
            Further::Nothing(place) => self.wait(place).await,
            Further::Forgotten if self.standing == Standing::CaughtUp => self.too_slow(),
            Further::Forgotten => self.begin_anew(FORGOTTEN),
            Further::OtherModel => self.begin_anew(OTHER_MODEL),
        }
    }

    fn lags_by(&self, waiting: usize) -> bool {
        let most = self.service.settings.max_waiting_events;
        self.standing == Standing::CaughtUp && waiting > most
    }

    /// The next of all rows to begin with. What changed meanwhile follows after the last of them.
    async fn begin(&mut self) {
        if let Some(beginning) = &self.beginning {
            let changes = self.service.views.changes();
            match changes.after(self.kind, beginning.id, 0) {
                Further::Changes(..) | Further::Nothing(_) => {}
                Further::Forgotten => return self.begin_anew(FORGOTTEN),
                Further::OtherModel => return self.begin_anew(OTHER_MODEL),
            }
        }
        let service = Arc::clone(&self.service);
        let key = self.caller.key().to_owned();
        let allowance = service.budget.take(&key, PIECE).await;
        let wanted = Wanted {
            kind: self.kind,
            filter: Arc::clone(&self.filter),
            now: service.handler.now(),
        };
        let made = snapshot::next(&service, &key, wanted, self.beginning.take()).await;
        let Some((piece, beginning)) = made else {
            return self.begin_anew(OTHER_MODEL);
        };
        if !piece.events.is_empty() {
            self.ready.push_back(allowance.cover(piece.events));
        }
        if piece.more {
            self.beginning = Some(beginning);
        } else {
            // What the rows show already may not have been noted yet.
            service.views.noted(piece.position, beginning.id.tag).await;
            self.last = Some(beginning.id);
        }
    }

    fn begin_anew(&mut self, why: &str) {
        self.beginning = None;
        self.last = None;
        self.standing = Standing::CatchingUp;
        let data = json!({"reason": why}).to_string();
        self.ready.push_back(sse::event(None, "reset", &data));
    }

    /// A row that does not fit any more is as good as gone.
    fn tell(&mut self, change: &Change) {
        let fits = |row: &&Arc<Rendered>| self.filter.fits(&row.facets);
        let before = change.before.as_ref().filter(fits);
        let after = change.after.as_ref().filter(fits);
        let position = change.place.position;
        let tag = self.last.map_or(0, |last| last.tag);
        let id = Id {
            place: change.place,
            tag,
        };
        let event = match (before, after) {
            (_, Some(row)) => Some(("row", row.data(position))),
            (Some(row), None) => Some(("gone", row.gone(position))),
            (None, None) => None,
        };
        let event = event.map(|(name, data)| sse::event(Some(&id), name, &data));
        self.ready.extend(event);
        self.last = Some(id);
    }

    /// There is nothing new up to that place.
    async fn wait(&mut self, place: Place) {
        let id = self.last.map(|last| Id { place, ..last });
        self.last = id;
        if self.standing == Standing::CatchingUp {
            self.standing = Standing::CaughtUp;
            return self.say("caught_up");
        }
        tokio::select! {
            () = self.service.stopped() => {
                self.say("stopping");
                self.standing = Standing::Over;
            }
            // The sender is the service's own, and outlives this.
            _ = self.progress.changed() => {}
            () = self.caller.ended() => {}
            () = sleep_until(self.next_heartbeat) => {}
        }
    }

    /// Where it stands; its id is one to go on from. Count and proof are there if the model has folded nothing since.
    fn say(&mut self, name: &str) {
        let Some(last) = &self.last else { return };
        let mut data = json!({"position": last.place.position.0});
        let events = self.progress.borrow().events;
        if events.position == last.place.position {
            data["count"] = events.count.into();
            data["proof"] = events.rolling_hash.to_string().into();
        }
        let event = sse::event(Some(last), name, &data.to_string());
        self.ready.push_back(event);
    }

    fn too_slow(&mut self) {
        self.cut_off(
            "too_slow",
            "changes came faster than they were read; come back with Last-Event-ID to go on",
        );
    }

    fn cut_off(&mut self, reason: &str, detail: &str) {
        let data = json!({
            "reason": reason,
            "detail": detail,
        });
        let event = sse::event(None, "cut_off", &data.to_string());
        self.ready.push_back(event);
        self.standing = Standing::Over;
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.service.settings.heartbeat_ms.max(1))
    }
}
