//! A request of many commands, under way.

use bytes::Bytes;
use client::{Client, ClientError};
use futures_util::stream::unfold;
use std::future::pending;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::task::JoinHandle;

/// It is sent and answered beside whoever made it.
pub(super) struct Request {
    pub(super) pieces: Option<mpsc::Sender<Bytes>>,
    pub(super) answers: mpsc::Receiver<Result<String, ClientError>>,
    task: JoinHandle<()>,
}

impl Request {
    pub(super) fn begin(client: &Client) -> Self {
        let (pieces, body) = mpsc::channel(1);
        let (to, answers) = mpsc::channel(1024);
        let task = tokio::spawn(exchanged(client.clone(), body, to));
        Self {
            pieces: Some(pieces),
            answers,
            task,
        }
    }

    /// No more lines come.
    pub(super) fn end(&mut self) {
        self.pieces = None;
    }

    /// Reads the answer to its end, so that the connection can be used again; every line was answered.
    pub(super) async fn ended(mut self) {
        while self.answers.recv().await.is_some() {}
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchanged(
    client: Client,
    body: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Result<String, ClientError>>,
) {
    let body = unfold(body, |mut body| async move {
        let piece = body.recv().await?;
        Some((piece, body))
    });
    let mut lines = match client.exchange(["v1", "commands"], body).await {
        Ok(lines) => lines,
        Err(error) => {
            // Whoever gave up on the request wants to know nothing.
            let _ = to.send(Err(error)).await;
            return;
        }
    };
    while let Some(line) = lines.next().await.transpose() {
        let failed = line.is_err();
        if to.send(line).await.is_err() || failed {
            return;
        }
    }
}

/// Waits until the next piece can be sent at once, or no more will be taken.
pub(super) async fn has_room(pieces: Option<&mpsc::Sender<Bytes>>) {
    match pieces {
        Some(pieces) => drop(pieces.reserve().await),
        None => pending().await,
    }
}

pub(super) async fn send(
    pieces: Option<&mpsc::Sender<Bytes>>,
    piece: Bytes,
) -> Result<(), SendError<Bytes>> {
    match pieces {
        // Where every line was answered without the service, there is nothing to send.
        Some(pieces) if !piece.is_empty() => pieces.send(piece).await,
        Some(_) | None => Ok(()),
    }
}
