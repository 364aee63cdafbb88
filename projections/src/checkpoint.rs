//! State and checkpoint as one value, and the bytes it is kept in between two runs of the program.

use crate::{Projection, ReadModel};
use domain::envelope::Hash;
use domain::{CallId, Head, Position, Revision, StoreId, StoredEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How every checkpoint file begins; the number is the layout's.
const MAGIC: &[u8] = b"kaigi-read-model-3\n";

/// How long the SHA-256 is that every checkpoint file ends with.
const CHECKSUM: usize = 32;

/// A read model, whose store it was read from, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpointed<P: Projection> {
    store: StoreId,
    position: Position,
    last: Option<(CallId, Head)>,
    state: ReadModel<P>,
}

/// Why bytes are no checkpoint to go on from. None of these loses anything: the read model is built anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not every byte is as it was written.
    #[error("the checkpoint is damaged; the read model must be built anew from the store")]
    Damaged,
    /// It is another read model's.
    #[error("the checkpoint is of {found}, not of {expected}")]
    OtherReadModel {
        /// The one this was asked for.
        expected: &'static str,
        /// The one it is of.
        found: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "the checkpoint has version {found} and this program reads {expected}; the read model must be built anew from the store"
    )]
    OtherVersion {
        /// The version this program writes.
        expected: u32,
        /// The version it has.
        found: u32,
    },
    /// It was read from another store.
    #[error("the checkpoint is of store {found}, not of store {expected}")]
    OtherStore {
        /// The store that was opened.
        expected: StoreId,
        /// The store it was read from.
        found: StoreId,
    },
}

/// What stands before the state.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    name: &'a str,
    version: u32,
    store: StoreId,
    position: Position,
    last: Option<(CallId, u64, [u8; 32])>,
}

impl<P: Projection> Checkpointed<P> {
    /// The read model before that store's first event.
    pub fn new(store: StoreId) -> Self {
        Self {
            store,
            position: Position::START,
            last: None,
            state: ReadModel::default(),
        }
    }

    /// The position of the last event it has taken in.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The call of the last event it has taken in, and its head there: a store that was restored from a copy may have
    /// another event at that position, and then what the read model tells of never happened there. Who wants to know
    /// asks for the call, because a store need not understand a position that it never gave.
    pub fn last(&self) -> Option<(&CallId, Head)> {
        self.last.as_ref().map(|(call, head)| (call, *head))
    }

    /// The store it is read from.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// What the events came to.
    pub fn state(&self) -> &ReadModel<P> {
        &self.state
    }

    /// Takes further events in, in the order of the store; those it has taken in already change nothing.
    pub fn fold(&mut self, events: &[StoredEvent]) {
        let known = events.partition_point(|stored| stored.position <= self.position);
        self.state.fold(&events[known..]);
        if let Some(last) = events[known..].last() {
            self.position = last.position;
            self.last = Some((last.recorded.cause.call.clone(), last.recorded.head()));
        }
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            name: P::NAME,
            version: P::VERSION,
            store: self.store,
            position: self.position,
            last: self
                .last()
                .map(|(call, head)| (call.clone(), head.revision.0, head.hash.0)),
        };
        let bytes = postcard::to_extend(&(header, &self.state), MAGIC.to_vec());
        let mut bytes = bytes.expect("a growing buffer takes whatever is written");
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// The read model as it was kept, if it is this one, of this store, and whole.
    pub fn decode(bytes: &[u8], store: StoreId) -> Result<Self, CheckpointError> {
        let (header, rest) = postcard::take_from_bytes::<Header>(undamaged(bytes)?)
            .map_err(|_| CheckpointError::Damaged)?;
        fits::<P>(&header, store)?;
        match postcard::take_from_bytes(rest) {
            Ok((state, [])) => Ok(Self {
                store,
                position: header.position,
                last: header.last.map(|(call, revision, hash)| {
                    let (revision, hash) = (Revision(revision), Hash(hash));
                    (call, Head { revision, hash })
                }),
                state,
            }),
            Ok(_) | Err(_) => Err(CheckpointError::Damaged),
        }
    }
}

/// What stands between the beginning and the checksum, if both are as they must be.
fn undamaged(bytes: &[u8]) -> Result<&[u8], CheckpointError> {
    let end = bytes.len().checked_sub(CHECKSUM);
    let (kept, checksum) = bytes.split_at(end.ok_or(CheckpointError::Damaged)?);
    if *Sha256::digest(kept) != *checksum {
        return Err(CheckpointError::Damaged);
    }
    kept.strip_prefix(MAGIC).ok_or(CheckpointError::Damaged)
}

fn fits<P: Projection>(header: &Header<'_>, store: StoreId) -> Result<(), CheckpointError> {
    if header.name != P::NAME {
        Err(CheckpointError::OtherReadModel {
            expected: P::NAME,
            found: header.name.to_owned(),
        })
    } else if header.version != P::VERSION {
        Err(CheckpointError::OtherVersion {
            expected: P::VERSION,
            found: header.version,
        })
    } else if header.store != store {
        Err(CheckpointError::OtherStore {
            expected: store,
            found: header.store,
        })
    } else {
        Ok(())
    }
}
