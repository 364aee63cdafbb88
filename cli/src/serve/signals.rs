//! The signals that end the service: the first in good order, the second at once.

use crate::exit::Exit;
use anyhow::Context;
use server::Service;
use std::sync::Arc;

/// Signals that have come since it was made.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    #[cfg(unix)]
    pub(super) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Nothing to prepare.
    #[cfg(not(unix))]
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Stops the service at the first, and ends the process at the second.
    pub(super) fn stop(mut self, service: Arc<Service>) {
        tokio::spawn(async move {
            self.next().await;
            eprintln!(
                "kaigi: stopping; what is under way is answered first, a second signal ends it at once"
            );
            service.stop();
            // Its log is written to the end once nobody has it.
            drop(service);
            self.next().await;
            eprintln!("kaigi: ended at once; what was acknowledged is durable");
            std::process::exit(Exit::Failed as i32);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a signal it can only be ended from outside.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
