//! Clients that send commands to a service as fast as it answers, and note what was acknowledged.

use reqwest::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How many clients send at the same time.
const CLIENTS: usize = 32;

/// The pause of a client after a refusal.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// A command that was sent, and its answer if it was acknowledged.
#[derive(Debug)]
pub struct Sent {
    /// Its number, from which its id and call follow.
    pub number: u64,
    /// When it was sent.
    pub at: Instant,
    /// The answer; `None` if it was refused or the connection broke.
    pub acknowledged: Option<Value>,
}

/// Clients at work.
pub struct Commanding {
    clients: Vec<JoinHandle<Vec<Sent>>>,
    ends: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
}

impl Commanding {
    /// Begins to send to that service.
    pub fn begin(url: &str) -> Self {
        let (ends, next) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let acknowledged = Arc::<AtomicU64>::default();
        let clients = (0..CLIENTS).map(|_| {
            let (url, ends, next) = (url.to_owned(), Arc::clone(&ends), Arc::clone(&next));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                let client = Client::new();
                let mut all = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    let sent = send(&client, &url, next.fetch_add(1, Ordering::Relaxed)).await;
                    if sent.acknowledged.is_some() {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::time::sleep(AFTER_REFUSAL).await;
                    }
                    all.push(sent);
                }
                all
            })
        });
        Self {
            clients: clients.collect(),
            ends,
            acknowledged,
        }
    }

    /// Waits until that number of commands was acknowledged.
    pub async fn until_acknowledged(&self, commands: u64) {
        while self.acknowledged.load(Ordering::Relaxed) < commands {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops sending; returns everything that was sent.
    pub async fn end(self) -> anyhow::Result<Vec<Sent>> {
        self.ends.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await?);
        }
        Ok(all)
    }
}

/// Sends the command of that number, which begins a call of its own.
pub async fn send(client: &Client, url: &str, number: u64) -> Sent {
    let command = json!({
        "type": "connect_call", "agent": format!("agent:a{number}"),
        "id": Uuid::from_u128(u128::from(number) + 1),
    });
    let at = Instant::now();
    let sent = client
        .post(format!("{url}/v1/calls/a{number}/commands"))
        .header("content-type", "application/json")
        .body(command.to_string())
        .send();
    let acknowledged = match sent.await {
        Ok(answer) if answer.status() == 200 => answer.text().await.ok(),
        Ok(_) | Err(_) => None,
    };
    let acknowledged = acknowledged.and_then(|text| serde_json::from_str(&text).ok());
    Sent {
        number,
        at,
        acknowledged,
    }
}

/// Waits until `/readyz` answers with that status; returns how long that took.
pub async fn until_ready_is(url: &str, status: u16) -> Duration {
    let (client, begun) = (Client::new(), Instant::now());
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status() == status) {
            return begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A runtime for an attack.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
