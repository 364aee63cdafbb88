//! The port: how events are kept. A store keeps finished events and adds their position, nothing else.

use async_trait::async_trait;
use rules::DamagedEvent;
use rules::envelope::{Batch, StoredEvent};
use rules::ids::{CallId, Position, Revision, StoreId};

/// A store of all calls' events. Every store passes the same contract suite.
///
/// Positions ascend and say nothing else: there may be gaps between them, also between two events of one batch. But the
/// events of one batch stand next to each other in the store's order: no event of another batch is between them. Copies
/// rely on it, which pass on a command's events together.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// The store's identity; a checkpoint of another store is refused by it.
    fn id(&self) -> StoreId;

    /// Keeps the batch whole, after the head it expects, and answers once it is durable. A batch that is there already
    /// is answered as the first time; of concurrent writers one wins, and the others are told the actual revision.
    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError>;

    /// The call's events after that revision, in order; none for a call nobody wrote to.
    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// The next events of the call after that revision, in order: `max` of them, or more where a store reads calls only
    /// whole. None after the last one.
    async fn read_call_page(
        &self,
        call: &CallId,
        after: Revision,
        _max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read_call(call, after).await
    }

    /// At most `max` events of all calls after that position, in order: the start, or one where this store has an event.
    /// Nothing ever appears at or below a position that a reader has seen.
    ///
    /// A page ends before a damaged event. A page that would begin with one is [`StoreError::DamagedEvent`]; reading on
    /// after the position in that error continues with the next event.
    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// The pages that [`EventStore::read_all`] would return one after the other, read ahead of the caller, if the store
    /// can do that. Worth it where each page costs a wait and many events follow.
    fn read_ahead(&self, _after: Position, _max: usize) -> Option<Box<dyn Pages>> {
        None
    }

    /// Waits until there is an event past that position, and answers the last position.
    async fn wait_past(&self, position: Position) -> Result<Position, StoreError>;

    /// What the store is and holds.
    async fn info(&self) -> Result<StoreInfo, StoreError>;

    /// How its commits went since it was opened, if it commits by itself and knows.
    fn commits(&self) -> Option<CommitFigures> {
        None
    }

    /// Whether it takes events now; `None` from a store that cannot tell before it is asked to append.
    fn write_health(&self) -> Option<WriteHealth> {
        None
    }

    /// Waits until [`EventStore::write_health`] differs from `seen`, and returns it. A store that cannot tell never does.
    async fn write_health_changed(&self, _seen: &WriteHealth) -> WriteHealth {
        std::future::pending().await
    }

    /// Finishes what is under way and lets go of the store; nothing acknowledged depends on it.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Pages of events: the next ones arrive while the caller handles the last one.
#[async_trait]
pub trait Pages: Send + Sync {
    /// The next page, with at least one event. Dropping the future loses no event.
    ///
    /// `None` at the end of the store, before a damaged event, or where reading ahead fails: which of them it is, the
    /// caller finds out with [`EventStore::read_all`].
    async fn next(&mut self) -> Option<Vec<StoredEvent>>;
}

/// What a store is and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its identity.
    pub id: StoreId,
    /// What kind of store it is, and the version of its format.
    pub format: String,
    /// How many events it holds; none where the store would have to read everything to know.
    pub events: Option<u64>,
    /// How many calls they are of; none likewise.
    pub calls: Option<u64>,
    /// How many bytes it takes on disk, if it is on one.
    pub bytes_on_disk: Option<u64>,
    /// The position of its last event.
    pub last: Position,
    /// What else a store of its kind has to say, by a word each.
    pub remarks: Vec<(&'static str, String)>,
}

/// Whether a store takes events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteHealth {
    /// How often writing has failed since the store was opened. A failed attempt to resume is not counted.
    pub failures: u64,
    /// Why the store takes no events now; `None` while it does. It resumes by itself once the cause is gone.
    pub trouble: Option<String>,
}

/// How a store's commits went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFigures {
    /// How many events each of them kept.
    pub events: Spread,
    /// How long the disk took to make each of them durable, in microseconds.
    pub sync_us: Spread,
}

/// How many values are how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The largest value of each group, ascending.
    pub bounds: &'static [u64],
    /// How many values are in each group, and last, how many are larger than all bounds.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

/// Why a batch was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else wrote to the call: read on from the actual revision and decide again.
    #[error("the call is at revision {actual}, not {expected}")]
    Conflict {
        /// The revision the batch continues.
        expected: Revision,
        /// The revision the call is at.
        actual: Revision,
    },
    /// The store failed; whether the batch was kept is known once the call is read again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a store cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or has stopped; what to do is said.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What it holds is damaged; where is said.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// One event is damaged. Its call cannot be read past it; all other calls can.
    #[error("the store is damaged: {0}")]
    DamagedEvent(Box<DamagedEvent>),
    /// It will not do that: a right is missing, an event is beyond a limit, or it is an archive. Repeating it changes
    /// nothing.
    #[error("the store refuses it: {0}")]
    Refused(String),
}

impl From<DamagedEvent> for StoreError {
    fn from(event: DamagedEvent) -> Self {
        Self::DamagedEvent(Box::new(event))
    }
}

impl StoreError {
    /// The code in the interface.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Unavailable(_) => "store_unavailable",
            StoreError::Corrupt(_) | StoreError::DamagedEvent(_) => "store_damaged",
            StoreError::Refused(_) => "store_refuses",
        }
    }

    /// Whether stored bytes are not what was written. Retrying changes nothing; repairing the store does.
    pub fn is_damage(&self) -> bool {
        matches!(self, StoreError::Corrupt(_) | StoreError::DamagedEvent(_))
    }
}
