//! A stream of a service, opened again whenever it breaks off, from where it broke off.

use client::sse::Message;
use client::{Client, ClientError, Events, Patience, Question, Waits};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What a subscriber is told.
#[derive(Debug)]
pub enum Told {
    /// The next message.
    Message(Message),
    /// The stream broke off, and is opened again; this is why, unless the service ended it in good order.
    BrokenOff(Option<ClientError>),
}

/// A subscription that goes on until it is dropped, or the service refuses it.
pub struct Subscription {
    told: mpsc::Receiver<Result<Told, ClientError>>,
    task: JoinHandle<()>,
}

/// How many messages may wait for whoever takes them. Past that the service is not read from, and may cut us off.
const WAITING: usize = 1024;

impl Subscription {
    /// Subscribes to what that question names.
    pub fn new(client: Client, question: Question) -> Self {
        let (to, told) = mpsc::channel(WAITING);
        let patience = client.patience();
        let reader = Reader {
            client,
            question,
            last_id: None,
            waits: patience.waits(),
            patience,
            to,
        };
        let task = tokio::spawn(reader.read());
        Self { told, task }
    }

    /// What comes next. An error is the end. Whoever drops it while it waits has lost nothing.
    pub async fn next(&mut self) -> Result<Told, ClientError> {
        let told = self.told.recv().await;
        told.expect("the reader ends with an error, and that was told")
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    client: Client,
    question: Question,
    last_id: Option<String>,
    waits: Waits,
    patience: Patience,
    to: mpsc::Sender<Result<Told, ClientError>>,
}

impl Reader {
    /// Ends when nobody listens any more, or opening it again would change nothing.
    async fn read(mut self) {
        loop {
            let why = match self.open().await {
                Ok(events) => self.pass_on(events).await.err(),
                Err(error) => Some(error),
            };
            let wait = match why.as_ref().map(|error| (error, error.is_passing())) {
                None => self.patience.first_wait,
                Some((error, true)) => self.wait_after(error),
                Some((_, false)) => {
                    let error = why.expect("it was matched");
                    // Whoever dropped the subscription wants to know nothing.
                    let _ = self.to.send(Err(error)).await;
                    return;
                }
            };
            if self.to.send(Ok(Told::BrokenOff(why))).await.is_err() {
                return;
            }
            sleep(wait).await;
        }
    }

    async fn open(&self) -> Result<Events, ClientError> {
        let last_id = self.last_id.as_deref();
        self.client.follow(&self.question, last_id).await
    }

    async fn pass_on(&mut self, mut events: Events) -> Result<(), ClientError> {
        while let Some(message) = events.next().await? {
            self.waits.begin_anew();
            self.last_id.clone_from(&message.id);
            if self.to.send(Ok(Told::Message(message))).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Never gives up: who follows a service wants to outlast its restarts.
    fn wait_after(&mut self, error: &ClientError) -> Duration {
        let wait = self.waits.next(error);
        wait.unwrap_or(self.patience.longest_wait)
    }
}
