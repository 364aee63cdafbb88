//! One client, and the runtime of its own that it lives and dies on.
//!
//! A task of the vendor's client keeps itself alive, and its connection with it, whatever its owner drops. So each client
//! has a runtime with one thread, and when its last user has let go of it, the runtime ends, and all of it with it.

use eventstore::{Client, ClientSettings, operations};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, timeout};

/// How long the nodes may take to tell where they are; nothing depends on it but speed.
const GOSSIP: Duration = Duration::from_secs(3);

/// A client, and its number among those there were.
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) client: Client,
    made: Instant,
    /// When it last answered, in milliseconds since it was made.
    answered_ms: AtomicU64,
    runtime: Option<Runtime>,
}

impl Session {
    /// Makes a client; it connects when it is asked something. Reads certificates from files.
    pub(crate) fn make(number: u64, settings: ClientSettings) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("eventstoredb")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let client = Client::with_runtime_handle(runtime.handle().clone(), settings);
        Ok(Self {
            number,
            client: client.map_err(|error| error.to_string())?,
            made: Instant::now(),
            answered_ms: AtomicU64::new(0),
            runtime: Some(runtime),
        })
    }

    /// It works.
    pub(crate) fn answered(&self) {
        self.answered_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Whether it answered somebody since then.
    pub(crate) fn answered_since(&self, then: Instant) -> bool {
        let then = then.saturating_duration_since(self.made).as_millis();
        u128::from(self.answered_ms.load(Ordering::Relaxed)) > then
    }

    /// Asks the nodes of a cluster where they are, and tells of each port.
    pub(crate) fn ask_for_ports(
        &self,
        settings: ClientSettings,
        tell: impl Fn(u16) + Send + 'static,
    ) {
        let Some(runtime) = &self.runtime else {
            return;
        };
        runtime.spawn(async move {
            let Ok(client) = operations::Client::new(settings) else {
                return;
            };
            if let Ok(Ok(members)) = timeout(GOSSIP, client.read_gossip()).await {
                let ports = members.iter().map(|member| member.http_end_point.port);
                ports
                    .filter_map(|port| u16::try_from(port).ok())
                    .for_each(tell);
            }
        });
    }

    /// For tasks that depend on this client and end with it.
    pub(crate) fn handle(&self) -> Handle {
        let runtime = self.runtime.as_ref();
        runtime.expect("only dropping takes it").handle().clone()
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
