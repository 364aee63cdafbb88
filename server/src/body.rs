//! Bodies as they come in: never more of one than is agreed. That none is waited for without end sees [`crate::listen`] to.

use crate::{Problem, Settings};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use domain::json::plain;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The media type of a stream of commands, and of its answers.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// How often the time in which a client may send nothing fits into that which a body may take that is wanted as a whole.
const IDLE_TIMES: u64 = 4;

/// A body, piece by piece.
pub(crate) struct Pieces {
    body: Body,
    idle_timeout_ms: u64,
}

/// Why there is no next piece though the body did not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    /// The connection is gone, or what came on it was no body.
    #[error("the body ends before its end: {0}")]
    Failed(axum::Error),
    /// Nothing more came.
    #[error("nothing came for {0} ms, and the body did not end")]
    Silent(u64),
    /// It came too slowly.
    #[error("the body did not end within {0} ms")]
    Slow(u64),
}

impl Pieces {
    pub(crate) fn of(body: Body, settings: &Settings) -> Self {
        Self {
            body,
            idle_timeout_ms: settings.idle_timeout_ms,
        }
    }

    /// The next piece; none at the end of the body. Nothing is lost if this is not waited for.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| self.broken_off(error))?;
            // Trailers say nothing here.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn broken_off(&self, error: axum::Error) -> BrokenOff {
        if is_silence(&error) {
            BrokenOff::Silent(self.idle_timeout_ms)
        } else {
            BrokenOff::Failed(error)
        }
    }
}

/// Whether somewhere below there is a time that ran out.
fn is_silence(error: &(dyn Error + 'static)) -> bool {
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    error.downcast_ref().is_some_and(timed_out) || error.source().is_some_and(is_silence)
}

/// The body must say what it is, and be that.
pub(crate) fn must_be(media_type: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|given| given.to_str().ok()).unwrap_or("");
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    if essence.trim().eq_ignore_ascii_case(media_type) && is_utf_8(parameters) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media_type",
        format!("send the body as `Content-Type: {media_type}`, in UTF-8"),
    ))
}

fn is_utf_8(parameters: &str) -> bool {
    let mut parameters = parameters.split(';').map(str::trim);
    parameters.all(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return parameter.is_empty();
        };
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
    })
}

/// The whole body as a text.
pub(crate) async fn text(body: Body, settings: &Settings) -> Result<String, Problem> {
    let most = settings.max_body_bytes;
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(too_large(most));
    }
    let whole_ms = settings.idle_timeout_ms.saturating_mul(IDLE_TIMES);
    let whole = whole(Pieces::of(body, settings), most);
    let whole = timeout(Duration::from_millis(whole_ms), whole).await;
    let bytes = whole.map_err(|_| Problem::from(BrokenOff::Slow(whole_ms)))??;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        malformed(format!("invalid UTF-8 at byte {}", valid + 1))
    })
}

async fn whole(mut pieces: Pieces, most: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await? {
        if bytes.len() + piece.len() > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The whole body, if it says that it is JSON and is JSON of that kind.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    settings: &Settings,
) -> Result<T, Problem> {
    must_be("application/json", headers)?;
    let text = text(body, settings).await?;
    serde_json::from_str(&text).map_err(|error| {
        let (what, line, column) = (plain(&error), error.line(), error.column());
        malformed(format!("{what}, at line {line}, column {column}"))
    })
}

impl From<BrokenOff> for Problem {
    fn from(broken_off: BrokenOff) -> Self {
        let said = format!("{broken_off}; send it again");
        match broken_off {
            BrokenOff::Failed(_) => malformed(said),
            BrokenOff::Silent(_) | BrokenOff::Slow(_) => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", said)
            }
        }
    }
}

fn too_large(most: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("this body has at most {most} bytes; many commands are sent to /v1/commands"),
    )
}

/// What cannot be understood at all.
pub(crate) const MALFORMED: &str = "malformed";

pub(crate) fn malformed(what: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, MALFORMED, what)
}
