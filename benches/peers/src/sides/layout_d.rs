//! The layout that `docs/decisions/store-sled.md` calls D, as small as it can be: one key for each block of a commit,
//! and the index in memory.

use super::{Counts, Readable, Side, block_of, events_of};
use crate::group_commit::GroupCommit;
use domain::{Batch, CallId, Revision, StoredEvent};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// Longer values would end up in files of their own that sled never syncs.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// What stands before each command in a value: how long it is.
const LENGTH_BYTES: usize = 2;

/// What keeps the reader from answering out of its own memory; sled needs some.
const SMALL_CACHE_BYTES: u64 = 1024 * 1024;

pub(crate) struct LayoutD(GroupCommit<Command>);

pub(crate) struct Command {
    call: CallId,
    after: Revision,
    events: u64,
    block: Box<[u8]>,
}

/// Where a call stands, and where its commands lie.
#[derive(Default)]
struct OfCall {
    revision: u64,
    places: Vec<Place>,
}

/// A command's block within a value.
#[derive(Clone, Copy)]
struct Place {
    value: u64,
    at: usize,
}

type Index = HashMap<CallId, OfCall, RandomState>;

/// What the thread has.
struct Log {
    db: sled::Db,
    file: File,
    index: Index,
    last: u64,
}

fn opened(folder: &Path, cache_bytes: u64) -> sled::Db {
    let config = sled::Config::new()
        .path(folder.join("layout-d"))
        .cache_capacity(cache_bytes)
        .flush_every_ms(None)
        .segment_size(2 * 1024 * 1024)
        .use_compression(false);
    config.open().expect("sled opens")
}

impl Side for LayoutD {
    const NAME: &'static str = "sled, layout D";

    type Command = Command;

    fn command(batch: &Batch) -> Command {
        Command {
            call: batch.call().clone(),
            after: batch.expected().revision,
            events: batch.events().len() as u64,
            block: block_of(batch.events()),
        }
    }

    async fn open(folder: &Path) -> Self {
        let db = opened(folder, 256 * 1024 * 1024);
        let mut log = Log {
            index: index_of(&db),
            last: last_of(&db),
            db,
            file: File::open(folder.join("layout-d/db")).expect("sled's log is there"),
        };
        Self(GroupCommit::start(move |commands: &[Command]| {
            log.commit(commands);
        }))
    }

    async fn append(&self, command: Command) {
        self.0.take(command).await;
    }

    fn counts(&self) -> Counts {
        self.0.counts()
    }

    async fn close(self) {
        self.0.close();
    }
}

impl Log {
    fn commit(&mut self, commands: &[Command]) {
        let mut batch = sled::Batch::default();
        let mut value = Vec::with_capacity(MAX_VALUE_BYTES);
        let mut first = self.last + 1;
        for command in commands {
            if value.len() + LENGTH_BYTES + command.block.len() > MAX_VALUE_BYTES {
                batch.insert(&first.to_be_bytes(), value.as_slice());
                value.clear();
                first = self.last + 1;
            }
            let place = Place {
                value: first,
                at: value.len(),
            };
            self.admit(command, place);
            let length = u16::try_from(command.block.len()).expect("a block is short");
            value.extend_from_slice(&length.to_be_bytes());
            value.extend_from_slice(&command.block);
        }
        batch.insert(&first.to_be_bytes(), value);
        self.db.apply_batch(batch).expect("sled takes it");
        self.db.flush().expect("sled writes it");
        self.file.sync_data().expect("the disk keeps it");
    }

    fn admit(&mut self, command: &Command, place: Place) {
        let call = self.index.entry(command.call.clone()).or_default();
        assert_eq!(call.revision, command.after.0, "nobody else writes to it");
        call.revision += command.events;
        call.places.push(place);
        self.last += command.events;
    }
}

/// What stands in the log, in order, with its place.
fn commands_of(db: &sled::Db) -> impl Iterator<Item = (Place, Vec<StoredEvent>)> {
    let values = db.iter().map(|entry| entry.expect("sled can be read"));
    values.flat_map(|(key, value)| {
        let first = first_of(&key);
        let mut at = 0;
        std::iter::from_fn(move || {
            let place = Place { value: first, at };
            let block = (at < value.len()).then(|| block_at(&value, at))?;
            at += LENGTH_BYTES + block.len();
            Some((place, events_of(block)))
        })
    })
}

fn first_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("a key is a position"))
}

fn block_at(value: &[u8], at: usize) -> &[u8] {
    let begin = at + LENGTH_BYTES;
    let length = u16::from_be_bytes([value[at], value[at + 1]]);
    &value[begin..begin + usize::from(length)]
}

fn index_of(db: &sled::Db) -> Index {
    let mut index = Index::default();
    for (place, events) in commands_of(db) {
        let call = events[0].recorded.cause.call.clone();
        let call = index.entry(call).or_default();
        call.revision += events.len() as u64;
        call.places.push(place);
    }
    index
}

fn last_of(db: &sled::Db) -> u64 {
    let Some((key, value)) = db.last().expect("sled can be read") else {
        return 0;
    };
    let (mut last, mut at) = (first_of(&key) - 1, 0);
    while at < value.len() {
        let block = block_at(&value, at);
        last += events_of(block).len() as u64;
        at += LENGTH_BYTES + block.len();
    }
    last
}

/// The log, read block by block; the index is made of it before anything is measured.
pub(crate) struct LayoutDReader {
    db: sled::Db,
    index: Index,
}

impl Readable for LayoutDReader {
    const NAME: &'static str = LayoutD::NAME;

    fn open(folder: &Path) -> Self {
        let db = opened(folder, SMALL_CACHE_BYTES);
        let index = index_of(&db);
        Self { db, index }
    }

    fn scan(&self, mut page: impl FnMut(&[StoredEvent])) {
        for (_, events) in commands_of(&self.db) {
            page(&events);
        }
    }

    fn call(&self, call: &CallId) -> Vec<StoredEvent> {
        let places = &self.index.get(call).expect("the call is there").places;
        let mut events = Vec::new();
        for run in places.chunk_by(|one, other| one.value == other.value) {
            let value = self.db.get(run[0].value.to_be_bytes());
            let value = value.expect("sled can be read").expect("it is there");
            for place in run {
                events.extend(events_of(block_at(&value, place.at)));
            }
        }
        events
    }
}
