//! Streams: how many a key may have open at once, and that they end with it.

use super::caller::Caller;
use crate::{Problem, Settings};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// When to try again, in seconds: a stream whose client is gone is noticed only when something is sent on it.
const RETRY_S: u64 = 5;

/// How long a stream has to say that its key has ended, before it is cut off.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The streams that are open, for each key.
pub(super) struct Streams {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of a key's places, until this is dropped.
pub(super) struct Place {
    key: String,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// A stream's body, which ends with its key, and its place.
struct Held {
    body: Body,
    key_ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Runs once the key has ended.
    last_words: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

/// The same response, with a body that is cut off soon after the key has ended.
pub(super) fn ending_with(
    caller: Caller,
    place: Option<Place>,
    stream: Response<Body>,
) -> Response<Body> {
    stream.map(|body| {
        Body::new(Held {
            body,
            key_ended: Box::pin(async move { caller.ended().await }),
            last_words: None,
            _place: place,
        })
    })
}

impl Streams {
    pub(super) fn within(settings: &Settings) -> Self {
        Self {
            most: settings.max_streams_per_key,
            open: Arc::default(),
        }
    }

    /// A place for a stream, if the key has one left.
    pub(super) fn take(&self, key: &str) -> Result<Place, Problem> {
        self.free(key).ok_or_else(|| self.too_many())
    }

    fn free(&self, key: &str) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = open.entry(key.to_owned()).or_default();
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Place {
            key: key.to_owned(),
            open: Arc::clone(&self.open),
        })
    }

    fn too_many(&self) -> Problem {
        let most = self.most;
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            format!("this key has {most} streams already; end one, or give each user a key"),
        )
        .retry_after_s(RETRY_S)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = open.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                open.remove(&self.key);
            }
        }
    }
}

impl Held {
    /// Whether the key has ended and the stream has had its time.
    fn is_cut_off(&mut self, context: &mut Context<'_>) -> bool {
        if self.last_words.is_none() && self.key_ended.as_mut().poll(context).is_ready() {
            self.last_words = Some(Box::pin(sleep(LAST_WORDS)));
        }
        let last_words = self.last_words.as_mut();
        last_words.is_some_and(|timer| timer.as_mut().poll(context).is_ready())
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_cut_off(context) {
            let ended = io::Error::other("the key has ended");
            return Poll::Ready(Some(Err(axum::Error::new(ended))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
