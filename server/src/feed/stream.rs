//! A subscriber's stream: where it begins, what there was since, and then what comes.

use super::OpenStream;
use super::filter::Filter;
use super::form::Form;
use super::live::{Onwards, PAGE, Registration};
use super::mailboxes::Reason;
use crate::access::Caller;
use crate::streamed::PIECE;
use crate::{Service, sse};
use bytes::Bytes;
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Entry, Prefix, StoreId};
use engine::follower::{Counted, Place};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How many events are read from the store for one piece.
const AT_ONCE: u64 = 128;

/// What somebody subscribes to.
pub(super) struct Subscription {
    pub(super) service: Arc<Service>,
    pub(super) caller: Caller,
    pub(super) from: Place,
    pub(super) filter: Filter,
    pub(super) form: Form,
}

/// A stream under way. All that is ready was looked through up to its place.
struct Streaming {
    service: Arc<Service>,
    caller: Caller,
    filter: Filter,
    form: Form,
    place: Place,
    ready: VecDeque<Bytes>,
    phase: Phase,
    stopped: BoxFuture<'static, ()>,
    next_heartbeat: Instant,
    _open: OpenStream,
}

enum Phase {
    /// It reads what there was, at its own pace and in nobody's way.
    CatchingUp,
    /// It is told what comes.
    Live(Registration),
    Over,
}

/// How far a stream is: what it begins with, and what it says now and then.
#[derive(Serialize)]
struct Reached {
    store: Text<StoreId>,
    position: u64,
    count: u64,
    rolling_hash: Text<Hash>,
}

#[derive(Serialize)]
struct End {
    reason: &'static str,
    resume_after: u64,
}

impl Subscription {
    /// The frames of the stream, from its beginning until it ends.
    pub(super) fn frames(self) -> impl Stream<Item = Bytes> + Send + 'static {
        unfold(Streaming::new(self), |mut streaming| async move {
            let frame = streaming.next().await?;
            Some((frame, streaming))
        })
    }
}

impl Streaming {
    fn new(subscription: Subscription) -> Self {
        let Subscription {
            service,
            caller,
            from,
            filter,
            form,
        } = subscription;
        let mut streaming = Self {
            stopped: Box::pin(stopped(Arc::clone(&service))),
            _open: service.feed.opened(&filter),
            service,
            caller,
            filter,
            form,
            place: from,
            ready: VecDeque::new(),
            phase: Phase::CatchingUp,
            next_heartbeat: Instant::now(),
        };
        streaming.say_where("begin");
        streaming
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !matches!(self.phase, Phase::Over) && !self.caller.is_admitted() {
                self.end(Reason::KeyRevoked);
            }
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            match self.phase {
                Phase::Over => return None,
                Phase::CatchingUp => self.catch_up().await,
                Phase::Live(_) => self.wait().await,
            }
        }
    }

    async fn catch_up(&mut self) {
        if self.service.is_stopping() {
            return self.end(Reason::Stopping);
        }
        let service = Arc::clone(&self.service);
        let capacity = service.settings.max_waiting_events;
        match service
            .feed
            .live
            .onwards(self.place, &self.filter, capacity)
        {
            Onwards::These(events) => self.tell_all(&events),
            Onwards::Joined(events, registration) => {
                self.phase = Phase::Live(registration);
                self.tell_all(&events);
            }
            Onwards::InStore(ahead) => self.read_on(ahead).await,
            Onwards::Gone => self.end(Reason::StoreChanged),
        }
        if self.ready.is_empty() && Instant::now() >= self.next_heartbeat {
            self.beat();
        }
    }

    async fn read_on(&mut self, ahead: u64) {
        let service = Arc::clone(&self.service);
        let key = self.caller.key().to_owned();
        let allowance = service.budget.take(&key, PIECE).await;
        let reading = service.feed.reading_for(&key);
        match reading.read_on(self.place, ahead.min(AT_ONCE)).await {
            Ok(events) if events.is_empty() => self.end(reading.contradicted(self.place).reason()),
            Ok(events) => {
                let reached = events.last().map(|(_, up_to)| *up_to);
                let (filter, form) = (self.filter.clone(), self.form);
                let store = service.store.id();
                let write = move || frames(&events, &filter, form, store);
                let frames = service.turns.run(&key, write).await;
                if !frames.is_empty() {
                    self.ready.push_back(allowance.cover(frames));
                }
                self.place.reached = reached.unwrap_or(self.place.reached);
            }
            Err(broken) => self.end(broken.reason()),
        }
    }

    async fn wait(&mut self) {
        let Phase::Live(registration) = &mut self.phase else {
            return;
        };
        tokio::select! {
            biased;
            () = &mut self.stopped => self.end(Reason::Stopping),
            told = registration.next() => match told {
                Some(told) => self.tell_what_waits(told),
                None => self.cut_off(),
            },
            () = self.caller.ended() => {}
            () = sleep_until(self.next_heartbeat) => self.beat(),
        }
    }

    fn tell_what_waits(&mut self, first: Arc<Counted>) {
        let mut waiting = vec![first];
        if let Phase::Live(registration) = &mut self.phase {
            waiting.extend(std::iter::from_fn(|| registration.next_now()).take(PAGE));
        }
        for told in waiting {
            self.tell(&told);
            self.place.reached = told.up_to;
        }
    }

    /// Those come next; nothing between them was left out. If they do not follow, this is another store's order.
    fn tell_all(&mut self, events: &[Arc<Counted>]) {
        for told in events {
            let follows = self.place.reached.plus_entry(&told.entry);
            if follows != told.up_to {
                self.service.feed.tail().doubt(self.place);
                return self.end(Reason::StoreChanged);
            }
            if self.filter.lets_through(&told.entry) {
                self.tell(told);
            }
            self.place.reached = told.up_to;
        }
    }

    fn tell(&mut self, counted: &Counted) {
        let frame = self.form.shared_frame(counted, self.service.store.id());
        self.ready.push_back(frame);
    }

    fn cut_off(&mut self) {
        if let Phase::Live(registration) = &self.phase {
            let why = registration.why();
            self.end(why);
        }
    }

    /// Says how far everything was looked through, unless something waits that says so itself.
    fn beat(&mut self) {
        if let Phase::Live(registration) = &self.phase {
            match registration.looked_through() {
                Some(reached) => self.place.reached = reached,
                None => return self.rest(),
            }
        }
        self.say_where("progress");
    }

    fn say_where(&mut self, name: &str) {
        let Prefix {
            count,
            position,
            rolling_hash,
        } = self.place.reached;
        let reached = Reached {
            store: Text(self.service.store.id()),
            position: position.0,
            count,
            rolling_hash: Text(rolling_hash),
        };
        self.say(name, &reached);
        self.rest();
    }

    fn end(&mut self, reason: Reason) {
        let end = End {
            reason: reason.name(),
            resume_after: self.place.reached.position.0,
        };
        let name = match reason {
            Reason::Stopping => "stopping",
            Reason::TooSlow
            | Reason::StoreChanged
            | Reason::StoreUnavailable
            | Reason::KeyRevoked => "cut_off",
        };
        self.say(name, &end);
        self.phase = Phase::Over;
    }

    fn say(&mut self, name: &str, what: &impl Serialize) {
        let data = serde_json::to_string(what).expect("it is JSON");
        let position = self.place.reached.position;
        self.ready
            .push_back(sse::event(Some(&position), name, &data));
    }

    fn rest(&mut self) {
        self.next_heartbeat = Instant::now() + self.silence();
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.service.settings.heartbeat_ms.max(1))
    }
}

/// The events that fit, one after the other.
fn frames(events: &[(Entry, Prefix)], filter: &Filter, form: Form, store: StoreId) -> Vec<u8> {
    let fitting = events
        .iter()
        .filter(|(entry, _)| filter.lets_through(entry));
    let frames = fitting.map(|(entry, up_to)| form.frame(entry, *up_to, store));
    frames.collect::<Vec<_>>().concat()
}

async fn stopped(service: Arc<Service>) {
    service.stopped().await;
}
