//! The store of a service, read through it: everything that reads a store works through a service unchanged.

use crate::{Client, ClientError, Question};
use async_trait::async_trait;
use domain::json::{parse_damaged, parse_line};
use domain::{
    AppendError, Batch, CallId, EventStore, Position, Revision, StoreError, StoreId, StoreInfo,
    StoredEvent,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A service's store. It is read only: commands go through the service, which decides them. What it hands out is
/// verified by whoever reads it, as of any store.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    client: Client,
    id: StoreId,
}

/// Where the store stands.
#[derive(Deserialize)]
struct Stands {
    store: StoreId,
    position: Position,
}

/// What the store is and holds.
#[derive(Deserialize)]
struct Told {
    id: StoreId,
    format: String,
    events: Option<u64>,
    calls: Option<u64>,
    bytes_on_disk: Option<u64>,
    last_position: Position,
    #[serde(default)]
    remarks: BTreeMap<String, String>,
}

/// Who may read all that a store holds.
const READERS: &str = "auditor or operator";

/// How long the service is asked to wait for the next event before it answers that there is none.
const WAITING: Duration = Duration::from_secs(25);

/// At most so many events are asked for at once.
const LARGEST_PAGE: usize = 4096;

impl RemoteStore {
    /// The store of that service; asks which one it is.
    pub async fn open(client: Client) -> Result<Self, ClientError> {
        let stands: Stands = client.ask(&position()).await?.json()?;
        Ok(Self {
            client,
            id: stands.store,
        })
    }

    /// The service.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for events, up to the first damaged one.
    async fn events(&self, question: Question) -> Result<Vec<StoredEvent>, StoreError> {
        let question = question.with("form", &"whole").by_line().for_roles(READERS);
        let answer = match self.client.ask(&question).await {
            Err(error) if is_no_such_call(&error) => return Ok(Vec::new()),
            answer => answer.map_err(|error| of_reading(&error))?,
        };
        let lines = answer.text().map_err(|error| of_reading(&error))?.lines();
        let mut events = Vec::new();
        for line in lines {
            match parse_line(line) {
                Ok(event) => events.push(event),
                Err(error) => match parse_damaged(line) {
                    Some(_) if !events.is_empty() => break,
                    Some(damaged) => return Err(damaged.into()),
                    None => {
                        let url = self.client.url();
                        let error = ClientError::protocol(&url, error.to_string());
                        return Err(of_reading(&error));
                    }
                },
            }
        }
        Ok(events)
    }

    /// A service that was given another store meanwhile is no longer the one that was opened.
    fn same(&self, store: StoreId) -> Result<(), StoreError> {
        if store == self.id {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "the service at {} serves another store now: {store} instead of {}; begin again",
            self.client.url(),
            self.id
        )))
    }
}

fn position() -> Question {
    Question::new(["v1", "position"]).for_roles(READERS)
}

#[async_trait]
impl EventStore for RemoteStore {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, _: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        Err(AppendError::Store(StoreError::Refused(
            "a service takes commands, not events; send it commands with `kaigi --server URL run`"
                .to_owned(),
        )))
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let question = Question::new(["v1", "calls", call.as_str(), "events"]);
        self.events(question.with("after", &after)).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let question = Question::new(["v1", "events"])
            .with("after", &after)
            .with("limit", &max.clamp(1, LARGEST_PAGE));
        self.events(question).await
    }

    async fn wait_past(&self, past: Position) -> Result<Position, StoreError> {
        loop {
            let question = position()
                .with("past", &past)
                .with("wait", &WAITING.as_secs());
            let asked = self.client.ask(&question).await;
            let stands: Result<Stands, _> = asked.and_then(|answer| answer.json());
            let stands = stands.map_err(|error| of_reading(&error))?;
            self.same(stands.store)?;
            if stands.position > past {
                return Ok(stands.position);
            }
        }
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        let asked = self
            .client
            .ask(&Question::new(["v1", "store"]).for_roles(READERS))
            .await;
        let told: Result<Told, _> = asked.and_then(|answer| answer.json());
        let told = told.map_err(|error| of_reading(&error))?;
        self.same(told.id)?;
        Ok(StoreInfo {
            id: told.id,
            format: told.format,
            events: told.events,
            calls: told.calls,
            bytes_on_disk: told.bytes_on_disk,
            last: told.last_position,
            remarks: told.remarks.into_iter().map(remark).collect(),
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The word of a remark lives as long as the program: a store has a few, and is asked for them once or twice.
fn remark((name, said): (String, String)) -> (&'static str, String) {
    (Box::leak(name.into_boxed_str()), said)
}

fn is_no_such_call(error: &ClientError) -> bool {
    let problem = error.problem();
    problem.is_some_and(|problem| problem.code == "call_not_found")
}

/// A service that cannot be reached is a store that cannot; one whose store is damaged is a damaged store.
fn of_reading(error: &ClientError) -> StoreError {
    let damaged = error
        .problem()
        .filter(|problem| problem.code == "store_damaged");
    if error.is_passing() {
        StoreError::Unavailable(error.to_string())
    } else if let Some(problem) = damaged {
        // The error says that itself.
        let what = problem.detail.trim_start_matches("the store is damaged: ");
        StoreError::Corrupt(what.to_owned())
    } else {
        StoreError::Refused(error.to_string())
    }
}
