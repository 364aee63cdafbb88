//! State and checkpoint as one value, and the bytes it is kept in between two runs of the program.

use crate::read_model::{Holds, Projection, ReadModel};
use domain::envelope::Hash;
use domain::{DamagedEvent, Position, Prefix, StoreId, StoredEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Borrow;

/// How every checkpoint file begins.
const KIND: &[u8] = b"kaigi-read-model-";

/// The layout, which the beginning goes on with. Layout 4 has the proof of the events.
const LAYOUT: &[u8] = b"4\n";

/// How long the SHA-256 is that every checkpoint file ends with.
const CHECKSUM: usize = 32;

/// A read model, and the events of a store that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpointed<P: Projection> {
    store: StoreId,
    events: Prefix,
    mark: Prefix,
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
    /// Another program wrote it in another layout; an older one without the proof of its events.
    #[error(
        "the checkpoint has another layout, as those without a proof of their events; the read model must be built anew from the store, once"
    )]
    OtherLayout,
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
    events: KeptPrefix,
    mark: KeptPrefix,
}

#[derive(Serialize, Deserialize)]
struct KeptPrefix {
    count: u64,
    position: Position,
    rolling_hash: [u8; 32],
}

impl From<Prefix> for KeptPrefix {
    fn from(prefix: Prefix) -> Self {
        Self {
            count: prefix.count,
            position: prefix.position,
            rolling_hash: prefix.rolling_hash.0,
        }
    }
}

impl From<KeptPrefix> for Prefix {
    fn from(kept: KeptPrefix) -> Self {
        Self {
            count: kept.count,
            position: kept.position,
            rolling_hash: Hash(kept.rolling_hash),
        }
    }
}

impl<P: Projection> Checkpointed<P> {
    /// The read model before that store's first event.
    pub fn new(store: StoreId) -> Self {
        Self {
            store,
            events: Prefix::NONE,
            mark: Prefix::NONE,
            state: ReadModel::default(),
        }
    }

    /// The position of the last event it has taken in.
    pub fn position(&self) -> Position {
        self.events.position
    }

    /// All events it has taken in, damaged ones among them: how many, and their rolling hash.
    pub fn events(&self) -> Prefix {
        self.events
    }

    /// The last prefix at or before [`Self::events`] that is a mark: where the store still leads from the one to the
    /// other, it is the store that was read.
    pub fn mark(&self) -> Prefix {
        self.mark
    }

    /// The store it is read from.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// What the events came to.
    pub fn state(&self) -> &ReadModel<P> {
        &self.state
    }

    /// The same as part of `Q`, which then answers for this read model alone.
    pub fn into_part_of<Q: Holds<P>>(self) -> Checkpointed<Q> {
        Checkpointed {
            store: self.store,
            events: self.events,
            mark: self.mark,
            state: self.state.into_part_of(),
        }
    }

    /// Takes further events in, in the order of the store; those it has taken in already change nothing.
    pub fn fold<E: Borrow<StoredEvent>>(&mut self, events: &[E]) {
        let known = events.partition_point(|stored| stored.borrow().position <= self.position());
        let events = &events[known..];
        self.state.fold(events);
        for event in events {
            self.passed(self.events.plus(event.borrow()));
        }
    }

    /// Takes in that the next event is damaged: its call is left out from now on.
    pub fn fold_damaged(&mut self, event: &DamagedEvent) {
        if event.position > self.position() {
            self.state.set_aside(event, Some(self.position()));
            self.passed(self.events.plus_damaged(event));
        }
    }

    fn passed(&mut self, events: Prefix) {
        self.events = events;
        if events.is_mark() {
            self.mark = events;
        }
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            name: P::NAME,
            version: P::VERSION,
            store: self.store,
            events: self.events.into(),
            mark: self.mark.into(),
        };
        let bytes = postcard::to_extend(&(header, &self.state), [KIND, LAYOUT].concat());
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
                events: header.events.into(),
                mark: header.mark.into(),
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
    let kept = kept.strip_prefix(KIND).ok_or(CheckpointError::Damaged)?;
    kept.strip_prefix(LAYOUT)
        .ok_or(CheckpointError::OtherLayout)
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
