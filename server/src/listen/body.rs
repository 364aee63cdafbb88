//! Bodies, with an eye on how they get on.

use super::patience::UnderWay;
use axum::body::Body as AnyBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A request's body that fails when the client sends nothing of it for twice too long. Whoever reads it says so after
/// once too long; this is for those who do not.
pub(super) struct Asked {
    body: Incoming,
    patience: Duration,
    /// While something is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Asked {
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            body,
            patience: idle.saturating_mul(2),
            waiting: None,
        }
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)));
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        let silent = io::Error::new(
            io::ErrorKind::TimedOut,
            "nothing of the body came for too long",
        );
        Poll::Ready(Some(Err(axum::Error::new(silent))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body; the request is under way until it ends.
pub(super) struct Answered {
    body: AnyBody,
    under_way: UnderWay,
}

impl Answered {
    /// The answer's head is the first piece of it.
    pub(super) fn new(body: AnyBody, under_way: UnderWay) -> Self {
        under_way.handed_over();
        Self { body, under_way }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.under_way.asked_for_more();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.under_way.handed_over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
