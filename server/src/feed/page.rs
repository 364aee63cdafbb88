//! A page of events, waiting for one, and all events line by line.

use super::filter::Filter;
use super::form::Form;
use super::reading::Reading;
use crate::access::Caller;
use crate::read_models::{KAIGI_COMPLETE, unless_stopping};
use crate::streamed::{self, CutOff, Pieces};
use crate::{Problem, Service};
use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Entry, Position, Prefix, StoreId};
use engine::follower::Place;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How many events a page has unless it is said, and at most.
const LIMIT: u64 = 1_000;
pub(super) const MOST: u64 = 10_000;

/// How many events a filtered page looks through at most; the next one goes on from there.
const LOOKED_THROUGH: u64 = 32 * 1024;

/// How many bytes an event takes as JSON, about.
const EVENT_BYTES: usize = 640;

/// How many events are read for one piece of an answer that has all of them.
const AT_ONCE: u64 = 128;

/// How the events of a page stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In a list, in one JSON object.
    Json,
    /// One a line.
    Ndjson,
}

impl Layout {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Layout::Json => "application/json",
            Layout::Ndjson => "application/x-ndjson",
        }
    }
}

/// What is asked for.
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) after: Position,
    /// None asks for a page of the usual size, or for all lines.
    pub(super) limit: Option<u64>,
    pub(super) filter: Filter,
    pub(super) form: Form,
    pub(super) layout: Layout,
    /// How long to wait for an event if there is none.
    pub(super) wait: Duration,
}

/// What was found.
struct Page {
    place: Place,
    /// How many events it has.
    events: u64,
    looked_through: u64,
    /// There is nothing past it.
    caught_up: bool,
    body: Vec<u8>,
}

/// What stands before the events in JSON, and in headers beside lines.
#[derive(Serialize)]
struct About {
    store: Text<StoreId>,
    after: u64,
    position: u64,
    count: u64,
    rolling_hash: Text<Hash>,
    caught_up: bool,
}

impl Asked {
    /// Reads what is asked for, if need be once there is something in it.
    pub(super) async fn answer(self, service: &Arc<Service>) -> Result<Response, Problem> {
        let reading = service.feed.reading_for(self.caller.key());
        let place = unless_stopping(service, reading.at(self.after)).await?;
        let until = Instant::now() + self.wait;
        if self.limit.is_none() && self.layout == Layout::Ndjson {
            return self.all_lines(service, reading, place, until).await;
        }
        let asked = Arc::new(self);
        let (key, bytes) = (asked.caller.key(), usize_of(asked.limit()) * EVENT_BYTES);
        let mut page = Page::beginning(place);
        loop {
            // Nothing is held while an event is waited for.
            let allowance = service.budget.take_in_time(key, bytes).await?;
            page = page.fill(&asked, service, &reading).await?;
            let nothing_yet = page.events == 0 && page.caught_up;
            if nothing_yet {
                drop(allowance);
                if comes_past(service, page.place.reached, until).await {
                    continue;
                }
                return Ok(page.answer(&asked, service.store.id(), Body::from));
            }
            let cover = |bytes| Body::from(allowance.cover(bytes));
            return Ok(page.answer(&asked, service.store.id(), cover));
        }
    }

    /// All events up to the one that is the last now, made while the client reads.
    async fn all_lines(
        self,
        service: &Arc<Service>,
        reading: Reading,
        place: Place,
        until: Instant,
    ) -> Result<Response, Problem> {
        comes_past(service, place.reached, until).await;
        let last = service.store.info().await;
        let last = last.map_err(|error| Problem::from(&error))?.last;
        let end = unless_stopping(service, reading.at(last)).await?.reached;
        let about = About::of(&self, service.store.id(), end, true);
        let asked = Arc::new(self);
        let caller = asked.caller.clone();
        let lines = Lines {
            reading,
            asked,
            place,
            end,
        };
        let body = streamed::body(service, &caller, lines);
        let content_type = [(header::CONTENT_TYPE, Layout::Ndjson.media_type())];
        Ok((about.headers(), content_type, body).into_response())
    }

    fn limit(&self) -> u64 {
        self.limit.unwrap_or(LIMIT)
    }

    fn is_full(&self, page: &Page) -> bool {
        let limit = self.limit();
        page.events >= limit || page.looked_through >= LOOKED_THROUGH.max(limit)
    }

    /// How many events to read on.
    fn wanted(&self, page: &Page) -> u64 {
        if self.filter.is_everything() {
            self.limit() - page.events
        } else {
            MOST
        }
    }
}

/// Waits until the feed has read something past that, or it is time, or the service ends.
pub(super) async fn comes_past(service: &Service, reached: Prefix, until: Instant) -> bool {
    let mut states = service.feed.tail().states();
    let comes = states.wait_for(|state| state.prefix.position > reached.position);
    tokio::select! {
        biased;
        () = service.stopped() => false,
        comes = timeout_at(until, comes) => comes.is_ok(),
    }
}

impl Page {
    fn beginning(place: Place) -> Self {
        Self {
            place,
            events: 0,
            looked_through: 0,
            caught_up: false,
            body: Vec::new(),
        }
    }

    /// Reads on until it is full or there is no more.
    async fn fill(
        mut self,
        asked: &Arc<Asked>,
        service: &Service,
        reading: &Reading,
    ) -> Result<Self, Problem> {
        while !asked.is_full(&self) {
            let read = reading.read_on(self.place, asked.wanted(&self)).await?;
            if read.is_empty() {
                self.caught_up = true;
                return Ok(self);
            }
            let (taking, store) = (Arc::clone(asked), service.store.id());
            let filled = service.turns.run(asked.caller.key(), move || {
                for (entry, up_to) in read {
                    if !taking.is_full(&self) {
                        self.take(&taking, &entry, up_to, store);
                    }
                }
                self
            });
            self = filled.await;
        }
        let end = service.feed.tail().end().reached;
        self.caught_up = self.place.reached.count >= end.count;
        Ok(self)
    }

    fn take(&mut self, asked: &Asked, entry: &Entry, up_to: Prefix, store: StoreId) {
        self.place.reached = up_to;
        self.looked_through += 1;
        if asked.filter.lets_through(entry) {
            self.separate(asked.layout);
            asked.form.write(&mut self.body, entry, up_to, store);
            self.events += 1;
        }
    }

    fn separate(&mut self, layout: Layout) {
        if self.events > 0 {
            self.body.push(match layout {
                Layout::Json => b',',
                Layout::Ndjson => b'\n',
            });
        }
    }

    fn answer(self, asked: &Asked, store: StoreId, body: impl FnOnce(Vec<u8>) -> Body) -> Response {
        let about = About::of(asked, store, self.place.reached, self.caught_up);
        let bytes = match asked.layout {
            Layout::Json => about.around(self.body),
            Layout::Ndjson => self.lines(),
        };
        let content_type = [(header::CONTENT_TYPE, asked.layout.media_type())];
        (about.headers(), content_type, body(bytes)).into_response()
    }

    fn lines(mut self) -> Vec<u8> {
        if self.events > 0 {
            self.body.push(b'\n');
        }
        self.body
    }
}

/// All events from a place to an end, line by line.
struct Lines {
    reading: Reading,
    asked: Arc<Asked>,
    place: Place,
    end: Prefix,
}

impl Pieces for Lines {
    async fn next(&mut self, service: &Service, key: &str) -> Result<Option<Vec<u8>>, CutOff> {
        while self.place.reached.count < self.end.count {
            let ahead = self.end.count - self.place.reached.count;
            let read = self.reading.read_on(self.place, ahead.min(AT_ONCE)).await;
            let read = read.map_err(|_| CutOff("the store did not return its events"))?;
            let Some((_, reached)) = read.last() else {
                return Err(CutOff("the store has fewer events than before"));
            };
            self.place.reached = *reached;
            let (asked, store) = (Arc::clone(&self.asked), service.store.id());
            let lines = service
                .turns
                .run(key, move || asked.lines(&read, store))
                .await;
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        if self.place.reached == self.end {
            Ok(None)
        } else {
            Err(CutOff("the store has other events than before"))
        }
    }
}

impl Asked {
    fn lines(&self, read: &[(Entry, Prefix)], store: StoreId) -> Vec<u8> {
        let mut lines = Vec::new();
        let fitting = read
            .iter()
            .filter(|(entry, _)| self.filter.lets_through(entry));
        for (entry, up_to) in fitting {
            self.form.write(&mut lines, entry, *up_to, store);
            lines.push(b'\n');
        }
        lines
    }
}

/// A page is far shorter than any memory.
fn usize_of(events: u64) -> usize {
    usize::try_from(events).unwrap_or(usize::MAX)
}

impl About {
    fn of(asked: &Asked, store: StoreId, reached: Prefix, caught_up: bool) -> Self {
        Self {
            store: Text(store),
            after: asked.after.0,
            position: reached.position.0,
            count: reached.count,
            rolling_hash: Text(reached.rolling_hash),
            caught_up,
        }
    }

    fn around(&self, events: Vec<u8>) -> Vec<u8> {
        let mut head = serde_json::to_vec(self).expect("it is JSON");
        head.pop();
        head.extend_from_slice(b",\"events\":[");
        let mut body = events;
        body.splice(0..0, head);
        body.extend_from_slice(b"]}");
        body
    }

    fn headers(&self) -> [(HeaderName, String); 6] {
        let name = HeaderName::from_static;
        [
            (name("kaigi-store"), self.store.0.to_string()),
            (name("kaigi-position"), self.position.to_string()),
            (name("kaigi-count"), self.count.to_string()),
            (name("kaigi-rolling-hash"), self.rolling_hash.0.to_string()),
            (name("kaigi-caught-up"), self.caught_up.to_string()),
            (KAIGI_COMPLETE, self.caught_up.to_string()),
        ]
    }
}
