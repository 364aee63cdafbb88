//! How many streams a key may have open at once.

use crate::{Problem, Settings};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// When to try again, in seconds: a stream whose client is gone is noticed only when something is sent on it.
const RETRY_S: u64 = 5;

/// The streams that are open, for each key.
pub(super) struct Streams {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of a key's places, until this is dropped.
struct Place {
    key: String,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// A stream's body, and its place.
struct Held {
    body: Body,
    _place: Place,
}

impl Streams {
    pub(super) fn within(settings: &Settings) -> Self {
        Self {
            most: settings.max_streams_per_key,
            open: Arc::default(),
        }
    }

    /// Lets the stream begin if the key has a place for it, which it holds until it ends.
    pub(super) fn begin(
        &self,
        key: &str,
        stream: Response<Body>,
    ) -> Result<Response<Body>, Problem> {
        let place = self.take(key).ok_or_else(|| self.too_many())?;
        Ok(stream.map(|body| {
            Body::new(Held {
                body,
                _place: place,
            })
        }))
    }

    fn take(&self, key: &str) -> Option<Place> {
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

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
