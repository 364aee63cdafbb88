//! Reading ahead: one long read of `$all` whose next pages arrive while the caller handles the last one.
//!
//! Its events come over a connection of their own. A reader that stops taking pages fills its connection's window, and
//! commands must not wait for it.

use crate::event::{Found, found};
use crate::limits;
use crate::link::{Link, Time};
use crate::read::{Only, Stretch, Way, begin_read_all, from};
use crate::session::Session;
use async_trait::async_trait;
use domain::{Pages, Position, StoredEvent};
use eventstore::{Error, ReadStream, ResolvedEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout};

/// The most events in a page.
const PAGE: usize = 1000;

/// The most pages that wait for the caller.
const PAGES: usize = 4;

/// A read that does not begin, or has no event, for this long is given up. The server may look through foreign events meanwhile.
const SILENCE: Duration = Duration::from_secs(10);

/// A read whose pages the caller has not taken for this long is given up, so that it holds no connection.
const UNTAKEN: Duration = Duration::from_secs(5);

/// The server takes a larger number for one below zero.
const ALL: usize = isize::MAX.cast_unsigned();

/// Pages of events as they arrive, verified when the caller takes them.
pub(crate) struct Ahead {
    /// `None` after a damaged event: pages that wait already are not handed out either.
    pages: Option<Receiver<Vec<ResolvedEvent>>>,
    /// The position of the last event handed out.
    after: Position,
}

/// Why filling a page ended.
enum Filled {
    /// There may be more.
    Full,
    /// The server has said that this is all.
    End,
    Failed(Error),
    /// The caller has dropped its end.
    Unwanted,
}

impl Ahead {
    /// Begins to read after that position, in pages of at most `max` events; `None` outside of a runtime.
    pub(crate) fn begin(link: &Arc<Link>, after: Position, max: usize) -> Option<Self> {
        let (sender, pages) = channel(PAGES);
        let reading = read(Arc::clone(link), after, max.clamp(1, PAGE), sender);
        Handle::try_current().ok()?.spawn(reading);
        Some(Self {
            pages: Some(pages),
            after,
        })
    }

    /// The page's events up to the first one that is damaged, or metadata that hides events: reading ahead ends there.
    fn verified(&mut self, page: &[ResolvedEvent]) -> Vec<StoredEvent> {
        let mut events = Vec::with_capacity(page.len());
        for event in page.iter().map(ResolvedEvent::get_original_event) {
            // A read from a position begins with the event there, which the caller has.
            if Position(event.position.commit) <= self.after || limits::is_harmless(event) {
                continue;
            }
            let Ok(Found { event, .. }) = found(event) else {
                self.pages = None;
                break;
            };
            self.after = event.position;
            events.push(event);
        }
        events
    }
}

#[async_trait]
impl Pages for Ahead {
    async fn next(&mut self) -> Option<Vec<StoredEvent>> {
        loop {
            let page = self.pages.as_mut()?.recv().await?;
            // From here on nothing is awaited, so no page is lost.
            let events = self.verified(&page);
            if !events.is_empty() {
                return Some(events);
            }
        }
    }
}

/// Begins the read, and goes on in the runtime of its connection. Any failure ends the pages early: a caller that
/// then reads a page has the error, or waits for the cluster.
async fn read(link: Arc<Link>, after: Position, max: usize, pages: Sender<Vec<ResolvedEvent>>) {
    let stretch = Stretch {
        from: from(after),
        only: Only::CallsAndMetadata,
        way: Way::Forwards,
        most: ALL,
    };
    let begun = link.begin(Time::of(SILENCE, SILENCE), |client, _| {
        begin_read_all(client, &link, stretch, None)
    });
    tokio::select! {
        begun = begun => if let Ok((read, session)) = begun {
            let runtime = session.handle();
            runtime.spawn(pump(Arc::clone(&link), session, read, max, pages));
        },
        () = pages.closed() => {}
    }
}

/// Passes on what the server sends, a page at a time.
async fn pump(
    link: Arc<Link>,
    session: Arc<Session>,
    mut read: ReadStream,
    max: usize,
    pages: Sender<Vec<ResolvedEvent>>,
) {
    loop {
        let began = Instant::now();
        let mut page = Vec::with_capacity(max);
        let filled = fill(&mut page, max, &mut read, &pages).await;
        if !page.is_empty() {
            session.answered();
            if pages.send_timeout(page, UNTAKEN).await.is_err() {
                return;
            }
        }
        match filled {
            Filled::Full => {}
            Filled::End | Filled::Unwanted => return,
            Filled::Failed(error) => {
                link.failed(&session, began, &error);
                return;
            }
        }
    }
}

async fn fill(
    page: &mut Vec<ResolvedEvent>,
    max: usize,
    read: &mut ReadStream,
    pages: &Sender<Vec<ResolvedEvent>>,
) -> Filled {
    while page.len() < max {
        let next = tokio::select! {
            next = timeout(SILENCE, read.next()) => next,
            () = pages.closed() => return Filled::Unwanted,
        };
        match next {
            Ok(Ok(Some(event))) => page.push(event),
            Ok(Ok(None)) => return Filled::End,
            Ok(Err(error)) => return Filled::Failed(error),
            Err(_) => return Filled::Failed(Error::DeadlineExceeded),
        }
    }
    Filled::Full
}
