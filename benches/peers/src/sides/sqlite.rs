//! SQLite as one would write it by hand for this: a log in front, every commit synced, one writer that commits whatever
//! waits, prepared statements.

use super::{Counts, Readable, Side, block_of, events_of};
use crate::group_commit::GroupCommit;
use domain::{Batch, CallId, StoredEvent};
use rusqlite::{Connection, params};
use std::path::Path;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        call TEXT NOT NULL,
        revision INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        UNIQUE (call, revision)
    )";

const INSERT: &str = "INSERT INTO events (position, call, revision, bytes) VALUES (?1, ?2, ?3, ?4)";

pub(crate) struct Sqlite(GroupCommit<Command>);

pub(crate) struct Command {
    call: CallId,
    after: u64,
    events: Vec<Box<[u8]>>,
}

/// What the thread has.
struct Writer {
    connection: Connection,
    last: u64,
}

fn opened(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("sqlite.db")).expect("SQLite opens");
    let configured = connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;",
    );
    configured.expect("SQLite has both");
    connection.execute_batch(TABLE).expect("a table is made");
    connection
}

impl Side for Sqlite {
    const NAME: &'static str = "SQLite";

    type Command = Command;

    fn command(batch: &Batch) -> Command {
        let events = batch.events().chunks(1);
        Command {
            call: batch.call().clone(),
            after: batch.expected().revision.0,
            events: events.map(block_of).collect(),
        }
    }

    async fn open(folder: &Path) -> Self {
        let connection = opened(folder);
        let last =
            connection.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| {
                row.get(0)
            });
        let mut writer = Writer {
            connection,
            last: last.expect("SQLite can be read"),
        };
        Self(GroupCommit::start(move |commands: &[Command]| {
            writer.commit(commands).expect("SQLite takes it");
        }))
    }

    async fn append(&self, command: Command) {
        self.0.take(command).await;
    }

    fn counts(&self) -> Counts {
        Counts {
            syncs: None,
            ..self.0.counts()
        }
    }

    async fn close(self) {
        self.0.close();
    }
}

impl Writer {
    fn commit(&mut self, commands: &[Command]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut insert = transaction.prepare_cached(INSERT)?;
        for command in commands {
            for (bytes, revision) in command.events.iter().zip(command.after + 1..) {
                self.last += 1;
                insert.execute(params![self.last, command.call.as_str(), revision, bytes])?;
            }
        }
        drop(insert);
        transaction.commit()
    }
}

/// Moves SQLite's log into its file and cuts it off, so that the folder holds each event once.
pub(crate) fn move_log(folder: &Path) {
    let moved = opened(folder).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    moved.expect("SQLite moves its log");
}

/// A connection of its own.
pub(crate) struct SqliteReader(Connection);

impl Readable for SqliteReader {
    const NAME: &'static str = Sqlite::NAME;

    fn open(folder: &Path) -> Self {
        Self(opened(folder))
    }

    fn scan(&self, mut page: impl FnMut(&[StoredEvent])) {
        self.blobs(|bytes| page(&events_of(bytes)));
    }

    fn call(&self, call: &CallId) -> Vec<StoredEvent> {
        let select = "SELECT bytes FROM events WHERE call = ?1 ORDER BY revision";
        let mut events = Vec::new();
        self.each(select, params![call.as_str()], |bytes| {
            events.extend(events_of(bytes));
        });
        events
    }
}

impl SqliteReader {
    /// Hands out the bytes of all events, in order, and decodes nothing.
    pub(crate) fn blobs(&self, blob: impl FnMut(&[u8])) {
        self.each("SELECT bytes FROM events ORDER BY position", [], blob);
    }

    fn each(&self, select: &str, given: impl rusqlite::Params, mut blob: impl FnMut(&[u8])) {
        let mut select = self.0.prepare_cached(select).expect("it is SQL");
        let mut rows = select.query(given).expect("SQLite can be read");
        while let Some(row) = rows.next().expect("SQLite can be read") {
            let bytes = row.get_ref(0).and_then(|bytes| Ok(bytes.as_blob()?));
            blob(bytes.expect("it is a blob"));
        }
    }
}
