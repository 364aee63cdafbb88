//! cqrs-es on SQLite, as its users would write it, but durable.

use super::{Counts, Side};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use domain::{Batch, CallId};
use serde::{Deserialize, Serialize};
use sqlite_es::{SqliteCqrs, sqlite_cqrs};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

/// The table as the crate's own migration makes it.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS events (
        aggregate_type text NOT NULL,
        aggregate_id text NOT NULL,
        sequence integer CHECK (sequence >= 0) NOT NULL,
        event_type text NOT NULL,
        event_version text NOT NULL,
        payload text NOT NULL,
        metadata text NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    ) STRICT";

/// As many as its own pool has.
const CONNECTIONS: u32 = 10;

/// Longer than a thousand commands take that all wait for the one that writes.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct CqrsEs {
    pool: SqlitePool,
    cqrs: SqliteCqrs<Call>,
}

#[derive(Clone)]
pub(crate) struct Command {
    call: CallId,
    texts: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Call {
    events: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Happened {
    text: String,
}

/// The calls are known to be right, so nothing is refused.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

impl DomainEvent for Happened {
    fn event_type(&self) -> String {
        "happened".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Call {
    const TYPE: &'static str = "call";
    type Command = Command;
    type Event = Happened;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        for text in command.texts {
            sink.write(Happened { text }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, _: Happened) {
        self.events += 1;
    }
}

impl Side for CqrsEs {
    const NAME: &'static str = "cqrs-es";
    const ONE_CALL_IN: usize = 6;

    type Command = Command;

    fn command(batch: &Batch) -> Command {
        let payloads = batch.events().iter().map(|event| &event.payload.bytes);
        Command {
            call: batch.call().clone(),
            texts: payloads.map(|bytes| "x".repeat(bytes.len())).collect(),
        }
    }

    async fn open(folder: &Path) -> Self {
        Self::open_with(folder, SqliteSynchronous::Full).await
    }

    async fn append(&self, command: Command) {
        // Others may write to the database, or the pool be empty; whoever uses it tries again.
        while let Err(error) = self
            .cqrs
            .execute(command.call.as_str(), command.clone())
            .await
        {
            eprintln!("cqrs-es, again: {error}");
        }
    }

    /// It commits each command alone; how often SQLite syncs for it is not counted.
    fn counts(&self) -> Counts {
        Counts {
            commits: None,
            syncs: None,
        }
    }

    async fn close(self) {
        self.pool.close().await;
    }
}

impl CqrsEs {
    /// For weighing what it has written, which is the same however durable.
    pub(crate) async fn open_not_durable(folder: &Path) -> Self {
        Self::open_with(folder, SqliteSynchronous::Off).await
    }

    async fn open_with(folder: &Path, synchronous: SqliteSynchronous) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("cqrs-es.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(PATIENCE)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .expect("SQLite opens");
        let made = sqlx::query(TABLE).execute(&pool).await;
        made.expect("a table is made");
        let cqrs = sqlite_cqrs(pool.clone(), Vec::new(), ());
        Self { pool, cqrs }
    }
}
