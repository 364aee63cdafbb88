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

/// A request's body that fails when the client sends nothing of it for too long.
pub(super) struct Asked {
    body: Incoming,
    patience: Duration,
    /// While something is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Asked {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience,
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

/// The most bytes of an answer that are handed over at once: how fast they are taken is felt only between two pieces.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer's body, in pieces; the request is under way until the last of them is handed over.
pub(super) struct Answered {
    body: AnyBody,
    /// What is still to be handed over of what the body gave.
    rest: Bytes,
    under_way: UnderWay,
}

impl Answered {
    /// The answer's head is the first piece of it.
    pub(super) fn new(body: AnyBody, under_way: UnderWay) -> Self {
        under_way.handed_over();
        Self {
            body,
            rest: Bytes::new(),
            under_way,
        }
    }

    /// The next piece of what the body gave.
    fn piece(&mut self) -> Bytes {
        let length = self.rest.len().min(PIECE_BYTES);
        self.rest.split_to(length)
    }

    /// The next frame, of which no more than a piece is handed over now.
    fn cut(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Frame::data(self.piece())
            }
            Err(trailers) => trailers,
        }
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
        if !self.rest.is_empty() {
            self.under_way.handed_over();
            let piece = Frame::data(self.piece());
            return Poll::Ready(Some(Ok(piece)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.under_way.handed_over();
        }
        Poll::Ready(frame.map(|frame| frame.map(|frame| self.cut(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        // The upper bound first: it must never be below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
