//! One line a request, as JSON, without secrets and telephone numbers: of a path only its route is told.

use crate::problem::Refused;
use crate::route::Route;
use axum::http::{Method, StatusCode};
use domain::Timestamp;
use domain::json::Text;
use serde::Serialize;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many lines wait to be written. What comes when they wait for a writer that takes no more is dropped: a log that
/// cannot be written must not stop the calls.
const WAITING: usize = 8192;

/// About how many bytes are written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// How long the last lines have for being written, in milliseconds.
const LAST_LINES_MS: u64 = 1000;

/// Where lines go; none to keep silent. They are written by a thread of their own, and the last ones before this is
/// dropped, if they are taken.
pub struct Log(Option<Queue>);

struct Queue {
    /// None only while it is dropped.
    lines: Option<SyncSender<String>>,
    dropped: AtomicU64,
    /// Tells nothing, and ends when everything is written.
    written: Mutex<Receiver<()>>,
}

/// What is told of a request.
#[derive(Debug, Clone)]
pub struct Line {
    /// By [`method`]: a client may send any word.
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) key: Option<String>,
    pub(crate) refused: Option<Refused>,
    pub(crate) took: Duration,
    /// The trace it is part of.
    pub(crate) trace: Option<String>,
    /// From where it came.
    pub(crate) peer: Option<IpAddr>,
    /// The bytes of the answer's body, if that is not a stream.
    pub(crate) bytes: Option<u64>,
    /// For how many lines of a stream of commands it stands, if not for a request as a whole.
    pub(crate) lines: Option<u64>,
}

#[derive(Serialize)]
struct Written<'a> {
    at: Text<Timestamp>,
    method: &'a str,
    route: &'a str,
    status: u16,
    key: Option<&'a str>,
    code: Option<&'a str>,
    rule: Option<&'a str>,
    us: u64,
    trace: Option<&'a str>,
    peer: Option<IpAddr>,
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
}

/// A line about the service itself.
#[derive(Serialize)]
struct Note<'a> {
    at: Text<Timestamp>,
    level: &'static str,
    event: &'static str,
    detail: &'a str,
}

/// The method as the log and the metrics name it. A client may send any word as a method, so only known ones are logged.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

impl Log {
    /// Tells nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Writes there.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let (done, written) = sync_channel(0);
        thread::spawn(move || {
            write(&waiting, writer);
            drop::<SyncSender<()>>(done);
        });
        Self(Some(Queue {
            lines: Some(lines),
            dropped: AtomicU64::new(0),
            written: Mutex::new(written),
        }))
    }

    /// How many lines were not written because the writer took no more.
    pub fn dropped(&self) -> u64 {
        let queue = self.0.as_ref();
        queue.map_or(0, |queue| queue.dropped.load(Ordering::Relaxed))
    }

    /// Tells of lines of a stream of commands that their sender may not send; the code is the last one's.
    pub(crate) fn denied(&self, lines: u64, code: &'static str, key: &str, route: &Route) {
        self.request(&Line {
            method: method(&route.method),
            route: route.path,
            status: StatusCode::FORBIDDEN,
            key: Some(key.to_owned()),
            refused: Some(Refused { code, rule: None }),
            took: Duration::ZERO,
            trace: None,
            peer: None,
            bytes: None,
            lines: Some(lines),
        });
    }

    /// Logs an error of the service that belongs to no request.
    pub(crate) fn error(&self, event: &'static str, detail: &str) {
        self.note("error", event, detail);
    }

    /// Logs an event of the service that belongs to no request.
    pub(crate) fn notice(&self, event: &'static str, detail: &str) {
        self.note("notice", event, detail);
    }

    fn note(&self, level: &'static str, event: &'static str, detail: &str) {
        if let Some(queue) = &self.0 {
            let note = Note {
                at: Text(domain::now()),
                level,
                event,
                detail,
            };
            let line = serde_json::to_string(&note).expect("it is JSON");
            queue.put(line + "\n");
        }
    }

    pub(crate) fn request(&self, line: &Line) {
        if let Some(queue) = &self.0 {
            queue.put(line.text());
        }
    }
}

impl Queue {
    fn put(&self, line: String) {
        let lines = self.lines.as_ref().expect("only dropping takes it");
        if lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.lines = None;
        let written = self.written.get_mut();
        let written = written.unwrap_or_else(PoisonError::into_inner);
        // A writer that takes nothing must not keep the process.
        let _ = written.recv_timeout(Duration::from_millis(LAST_LINES_MS));
    }
}

/// Writes what waits, together, until nobody has anything more to tell.
fn write(waiting: &Receiver<String>, mut writer: impl Write) {
    while let Ok(mut text) = waiting.recv() {
        while text.len() < WRITE_BYTES
            && let Ok(line) = waiting.try_recv()
        {
            text.push_str(&line);
        }
        // There is nobody to tell that the log cannot be written.
        let _ = writer.write_all(text.as_bytes());
        let _ = writer.flush();
    }
}

impl Line {
    fn text(&self) -> String {
        let refused = self.refused.as_ref();
        let written = Written {
            at: Text(domain::now()),
            method: self.method,
            route: self.route,
            status: self.status.as_u16(),
            key: self.key.as_deref(),
            code: refused.map(|refused| refused.code),
            rule: refused.and_then(|refused| refused.rule.as_deref()),
            us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            trace: self.trace.as_deref(),
            peer: self.peer,
            bytes: self.bytes,
            lines: self.lines,
        };
        let mut text = serde_json::to_string(&written).expect("texts and numbers are JSON");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    /// A writer that takes nothing until it is let.
    struct Stuck(Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("nobody panics")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn a_line() -> Line {
        Line {
            method: "GET",
            route: "/healthz",
            status: StatusCode::NO_CONTENT,
            key: None,
            refused: None,
            took: Duration::from_micros(5),
            trace: None,
            peer: None,
            bytes: Some(0),
            lines: None,
        }
    }

    #[test]
    fn a_writer_that_takes_nothing_holds_nobody_up_and_what_is_dropped_is_counted() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let log = Log::to(Stuck(Arc::clone(&taken)));
        let told = WAITING as u64 * 2;
        let stuck = taken.lock().expect("nobody panics");
        for _ in 0..told {
            log.request(&a_line());
        }
        drop(stuck);
        let dropped = log.dropped();
        assert!(dropped > 0);
        drop(log);
        let taken = taken.lock().expect("nobody panics");
        let lines = taken.split(|byte| *byte == b'\n').count() as u64 - 1;
        assert_eq!(lines + dropped, told, "the others are all written");
    }
}
