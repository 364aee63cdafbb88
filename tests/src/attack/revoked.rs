//! Requests and streams that were begun with a key go on after it was revoked. They must end, and change nothing.

use super::{Attack, Outcome};
use crate::service_program::Serving;
use anyhow::Context as _;
use engine::keys::{Grant, Key, KeyFile};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The attack.
pub const ATTACK: Attack = Attack {
    name: "revoked",
    goal: "requests and streams of a revoked key end within 1.5 s, and none makes a key or writes an event",
    run,
};

/// The program looks at the file of keys twice a second, and a stream may say why it ends.
const WITHIN: Duration = Duration::from_millis(1500);

/// How long an end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is begun with the key before it is revoked: a name, the request's line and headers, and the two parts of its
/// body, the second sent after the key was revoked.
const BEGUN: [(&str, &str, [&str; 2]); 6] = [
    (
        "a new key",
        "POST /v1/keys HTTP/1.1\r\ncontent-type: application/json",
        ["{\"name\":\"mine\",", "\"roles\":[\"operator\"]}"],
    ),
    (
        "a command",
        "POST /v1/calls/c1/commands HTTP/1.1\r\ncontent-type: application/json",
        ["{\"type\":\"connect_call\",", "\"agent\":\"agent:ana\"}"],
    ),
    (
        "a stream of commands",
        "POST /v1/commands HTTP/1.1\r\ncontent-type: application/x-ndjson",
        [
            "{\"call\":\"c1\",\"type\":\"connect_call\",",
            "\"agent\":\"agent:ana\"}\n",
        ],
    ),
    (
        "a question that waits",
        "GET /v1/position?past=1000000&wait=30 HTTP/1.1",
        ["", ""],
    ),
    ("the feed", "GET /v1/events?stream=true HTTP/1.1", ["", ""]),
    ("changes", "GET /v1/active-calls/changes HTTP/1.1", ["", ""]),
];

fn run() -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = KeyFile::at(folder.path().join("keys.json"));
    let grants = vec![Grant::Telephony, Grant::Auditor, Grant::Operator];
    let (key, text) = Key::create("stolen", grants);
    let id = key.id.clone();
    file.add(key)?;
    let serving = Serving::with(folder.path(), ["--log", "none"]);
    let begun = BEGUN.map(|(_, head, body)| begin(&serving, &text, head, body));
    let streams: anyhow::Result<Vec<_>> = begun.into_iter().collect();
    let mut streams = streams?;
    // The last stream has said that it has caught up, so all of them are under way.
    wait_for(&mut streams[5], "caught_up")?;
    let revoked = Instant::now();
    revoke(folder.path(), &id)?;
    let ends = streams.iter_mut().map(|stream| ended(stream, revoked));
    let ends: Vec<_> = ends.collect();
    for (stream, (_, _, [_, rest])) in streams.iter_mut().zip(BEGUN) {
        // Those that the service has closed take nothing.
        let _ = stream.write_all(rest.as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let slowest = ends.iter().copied().flatten().max();
    let never = ends.iter().filter(|end| end.is_none()).count();
    let keys = file.keys()?.len();
    let _ = serving.stop();
    let slowest = slowest.map_or_else(
        || "none".to_owned(),
        |slowest| format!("{} ms", slowest.as_millis()),
    );
    let in_time = ends.iter().all(|end| end.is_some_and(|end| end <= WITHIN));
    Ok(Outcome {
        measured: format!(
            "the last of {} ended after {slowest}, {never} went on, {keys} keys",
            BEGUN.len()
        ),
        held: in_time && keys == 1 && is_empty(folder.path())?,
    })
}

fn begin(
    serving: &Serving,
    key: &str,
    head: &str,
    [begin, rest]: [&str; 2],
) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(serving.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = begin.len() + rest.len();
    write!(
        stream,
        "{head}\r\nhost: kaigi\r\nauthorization: Bearer {key}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{begin}"
    )?;
    Ok(stream)
}

fn wait_for(stream: &mut TcpStream, wanted: &str) -> anyhow::Result<()> {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains(wanted) {
        let read = stream.read(&mut piece)?;
        anyhow::ensure!(read > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    Ok(())
}

fn revoke(store: &Path, id: &str) -> anyhow::Result<()> {
    let ran = crate::program::on(store, ["keys", "revoke", id]).run();
    let code = ran.code.context("a signal ended it")?;
    anyhow::ensure!(code == 0, "{}", ran.err);
    Ok(())
}

/// When the response ended, counted from the revocation; none if it did not.
fn ended(stream: &mut TcpStream, revoked: Instant) -> Option<Duration> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Some(revoked.elapsed()),
            Ok(read) if is_refusal(&piece[..read]) => return Some(revoked.elapsed()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return Some(revoked.elapsed());
            }
            Err(_) => return None,
        }
    }
}

fn is_refusal(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer);
    answer.starts_with("HTTP/1.1 401") || answer.ends_with("0\r\n\r\n")
}

fn is_empty(store: &Path) -> anyhow::Result<bool> {
    let ran = crate::program::on(store, ["store", "info", "--output", "json"]).run();
    anyhow::ensure!(ran.code == Some(0), "{}", ran.err);
    Ok(ran.json()["events"] == 0)
}
