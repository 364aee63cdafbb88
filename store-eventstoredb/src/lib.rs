//! Events in an EventStoreDB or KurrentDB cluster, which several processes share.
//!
//! Read top-down: what an event looks like there (`event`), reading and appending (`read`, `append`), where all ends
//! and waiting for more (`tail`), and beneath them how the cluster is talked to (`link`, `session`, `nodelay`).
//! `docs/eventstoredb.md` is for those who run it, `docs/decisions/store-eventstoredb.md` says why it is so.

mod ahead;
mod append;
mod call_stream;
mod deleted;
mod error;
mod event;
mod flights;
mod heads;
mod identity;
mod limits;
mod link;
mod nodelay;
mod open;
mod reach;
mod read;
mod session;
mod tail;
mod url;
mod words;

pub use error::OpenError;

use ahead::Ahead;
use async_trait::async_trait;
use domain::{
    AppendError, Batch, CallId, EventStore, Pages, Position, Revision, StoreError, StoreId,
    StoreInfo, StoredEvent,
};
use eventstore::{Authentication, ClientSettings};
use flights::Flights;
use link::Link;
use nodelay::Unclogged;
use std::fmt;
use std::sync::Arc;
use tail::Tail;

/// A store in a cluster. Any number of processes may have it open.
pub struct ClusterStore {
    id: StoreId,
    link: Link,
    /// For reading ahead, which has a connection of its own. It connects when it is first used.
    ahead: Arc<Link>,
    tail: Tail,
    flights: Flights,
}

impl ClusterStore {
    /// Connects, and looks whether this is a store and whether its user may do what is needed. A cluster without a
    /// store becomes one.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let (id, link) = open::open(url).await?;
        Ok(Self {
            id,
            ahead: Arc::new(Link::new(link.url.clone())),
            link,
            tail: Tail::new(),
            flights: Flights::default(),
        })
    }

    /// Whether a text is meant as a connection string of such a store, well-formed or not.
    pub fn is_url(text: &str) -> bool {
        url::ConnectionString::is_one(text)
    }

    /// The connection string with asterisks for its password, to be shown.
    pub fn shown(text: &str) -> String {
        url::redacted(text)
    }

    /// How the vendor's client is told of the same cluster and the same user, for tools that ask it for something other
    /// than events.
    pub fn client_settings(
        text: &str,
    ) -> Result<(ClientSettings, Option<Authentication>), OpenError> {
        let url = url::ConnectionString::parse(text)?;
        let user = url.authentication();
        Ok((url.settings, user))
    }

    /// The events of a call that this process has not seen. That it has none is not enough: its stream may have been
    /// soft-deleted. Both are asked at once, because a call's first command waits for it.
    async fn read_unseen(&self, call: &CallId) -> Result<Vec<StoredEvent>, StoreError> {
        let read = call_stream::call(&self.link, call, Revision(0), None);
        let refused = deleted::refuse_soft_deleted(&self.link, self.link.time(), call);
        let (events, refused) = tokio::join!(read, refused);
        let events = events?;
        if events.is_empty() {
            refused?;
            self.link.heads.saw_none(call);
        }
        Ok(events)
    }

    async fn remarks(&self) -> Vec<(&'static str, String)> {
        let asked = |client: eventstore::Client, _| async move { client.server_info().await };
        let version = self.link.call(self.link.time(), asked).await;
        let server = match version {
            Ok(info) => info.version().to_string(),
            Err(_) => "does not tell its version".to_owned(),
        };
        let delay = match self.link.unclogged() {
            Ok(Unclogged { connections: 0, .. }) => {
                "40 ms a call: its connections are to ports that nobody named".to_owned()
            }
            Ok(_) => "none".to_owned(),
            Err(why) => format!("40 ms a call: {why}"),
        };
        vec![("server", server), ("delay", delay)]
    }
}

#[async_trait]
impl EventStore for ClusterStore {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let write = Box::pin(append::append(&self.link, &batch));
        let events = self.flights.share(&batch, write).await?;
        self.link.heads.saw(&events);
        if let Some(last) = events.last() {
            self.tail.saw(last.position);
        }
        Ok(events)
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let head = self.link.heads.head(call);
        let events = match head {
            None if after == Revision(0) => self.read_unseen(call).await?,
            head => call_stream::call(&self.link, call, after, head).await?,
        };
        self.link.heads.saw(&events);
        Ok(events)
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        read::all(&self.link, after, max).await
    }

    fn read_ahead(&self, after: Position, max: usize) -> Option<Box<dyn Pages>> {
        let ahead = Ahead::begin(&self.ahead, after, max)?;
        Some(Box::new(ahead))
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.tail.past(&self.link, position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        Ok(StoreInfo {
            id: self.id,
            format: format!("eventstoredb, format {}", identity::FORMAT),
            events: None,
            calls: None,
            bytes_on_disk: None,
            last: self.tail.position(&self.link).await?,
            remarks: self.remarks().await,
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.link.close();
        self.ahead.close();
        self.tail.close();
        Ok(())
    }
}

impl fmt::Debug for ClusterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterStore({})", self.link.url)
    }
}
