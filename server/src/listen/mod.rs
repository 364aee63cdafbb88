//! How bytes come in: connections, their limits, and an end in which nothing is cut off.

use crate::Service;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves until the service is told to stop, and then until what is under way is answered.
pub async fn serve(listener: TcpListener, service: Arc<Service>) -> io::Result<()> {
    let router = service.router();
    let stopped = async move { service.stopped().await };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
}
