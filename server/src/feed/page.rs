//! A page of events, and waiting for one.

use super::filter::Filter;
use super::form::Form;
use super::live::Place;
use super::prefix::Prefix;
use crate::read_models::unless_stopping;
use crate::{Problem, Service};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Entry, Position, StoreId};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How many events a page has unless it is said, and at most.
pub(super) const LIMIT: u64 = 1_000;
pub(super) const MOST: u64 = 10_000;

/// How many events a filtered page looks through at most; the next one goes on from there.
const LOOKED_THROUGH: u64 = 32 * 1024;

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
    pub(super) after: Position,
    pub(super) limit: u64,
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
    /// Reads the page, if need be once there is something in it.
    pub(super) async fn answer(self, service: &Service) -> Result<Response, Problem> {
        let place = unless_stopping(service, service.feed.reading.at(self.after)).await?;
        let until = Instant::now() + self.wait;
        let mut page = Page::beginning(place);
        loop {
            page.fill(&self, service).await?;
            let nothing_yet = page.events == 0 && page.caught_up;
            if !nothing_yet || !comes_past(service, page.place.reached, until).await {
                return Ok(page.answer(&self, service.store.id()));
            }
        }
    }

    fn is_full(&self, page: &Page) -> bool {
        page.events >= self.limit || page.looked_through >= LOOKED_THROUGH.max(self.limit)
    }

    /// How many events to read on.
    fn wanted(&self, page: &Page) -> u64 {
        if self.filter.is_everything() {
            self.limit - page.events
        } else {
            MOST
        }
    }
}

/// Waits until the feed has read something past that, or it is time, or the service ends.
pub(super) async fn comes_past(service: &Service, reached: Prefix, until: Instant) -> bool {
    let mut states = service.feed.live.states();
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
    async fn fill(&mut self, asked: &Asked, service: &Service) -> Result<(), Problem> {
        while !asked.is_full(self) {
            let wanted = asked.wanted(self);
            let read = service.feed.reading.read_on(self.place, wanted).await?;
            if read.is_empty() {
                self.caught_up = true;
                return Ok(());
            }
            for (entry, up_to) in read {
                if !asked.is_full(self) {
                    self.take(asked, &entry, up_to, service.store.id());
                }
            }
        }
        let end = service.feed.live.end().reached;
        self.caught_up = self.place.reached.count >= end.count;
        Ok(())
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

    fn answer(self, asked: &Asked, store: StoreId) -> Response {
        let reached = self.place.reached;
        let about = About {
            store: Text(store),
            after: asked.after.0,
            position: reached.position.0,
            count: reached.count,
            rolling_hash: Text(reached.rolling_hash),
            caught_up: self.caught_up,
        };
        let body = match asked.layout {
            Layout::Json => about.with(&self.body),
            Layout::Ndjson => self.lines(),
        };
        let content_type = [(header::CONTENT_TYPE, asked.layout.media_type())];
        (about.headers(), content_type, body).into_response()
    }

    fn lines(mut self) -> Vec<u8> {
        if self.events > 0 {
            self.body.push(b'\n');
        }
        self.body
    }
}

impl About {
    fn with(&self, events: &[u8]) -> Vec<u8> {
        let mut body = serde_json::to_vec(self).expect("it is JSON");
        body.pop();
        body.extend_from_slice(b",\"events\":[");
        body.extend_from_slice(events);
        body.extend_from_slice(b"]}");
        body
    }

    fn headers(&self) -> [(HeaderName, String); 5] {
        let name = HeaderName::from_static;
        [
            (name("kaigi-store"), self.store.0.to_string()),
            (name("kaigi-position"), self.position.to_string()),
            (name("kaigi-count"), self.count.to_string()),
            (name("kaigi-rolling-hash"), self.rolling_hash.0.to_string()),
            (name("kaigi-caught-up"), self.caught_up.to_string()),
        ]
    }
}
