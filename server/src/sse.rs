//! Server-Sent Events: how they are asked for and how they are written.

use crate::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::fmt::{Display, Write as _};
use std::str::FromStr;

/// The media type of a stream.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// One event as it is sent. A client that comes back names the last `id` it was given, so whoever gives one must be
/// able to go on from there.
pub(crate) fn event(id: Option<&dyn Display>, name: &str, data: &str) -> Bytes {
    let mut text = String::with_capacity(name.len() + data.len() + 48);
    if let Some(id) = id {
        // Writing to a text never fails.
        let _ = writeln!(text, "id: {id}");
    }
    let _ = writeln!(text, "event: {name}");
    // A line break would end the field, so each line is a field of its own.
    for line in data.split(['\r', '\n']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text.into()
}

/// The answer that goes on until those end.
pub(crate) fn answer(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), EVENT_STREAM),
        (header::CACHE_CONTROL.as_str(), "no-store"),
        // Proxies that gather an answer before they pass it on would hold everything back.
        ("x-accel-buffering", "no"),
    ];
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    (headers, body).into_response()
}

/// The last `id` that a client which comes back was given. An empty one means that it was given none.
pub(crate) fn last_event_id<T>(headers: &HeaderMap) -> Result<Option<T>, Problem>
where
    T: FromStr,
{
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let bad = || {
        let what = "must be the `id` of an event of this stream, as it was";
        Problem::bad_value("Last-Event-ID", what)
    };
    let text = value.to_str().map_err(|_| bad())?;
    // Parsers of numbers also take a sign.
    let is_plain = |letter: char| letter.is_ascii_hexdigit() || ['.', '-'].contains(&letter);
    if !text.chars().all(is_plain) {
        return Err(bad());
    }
    let parsed = (!text.is_empty()).then(|| text.parse()).transpose();
    parsed.map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn an_event_is_its_fields_and_an_empty_line() {
        let sent = event(Some(&7), "call_ended", r#"{"a":1}"#);
        assert_eq!(sent, "id: 7\nevent: call_ended\ndata: {\"a\":1}\n\n");
    }

    #[test]
    fn each_line_of_data_is_a_field() {
        assert_eq!(
            event(None, "note", "one\ntwo"),
            "event: note\ndata: one\ndata: two\n\n"
        );
    }
}
