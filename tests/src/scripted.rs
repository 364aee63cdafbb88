//! A service that says what a test wrote down for it, and breaks off where the test wants it to: for what no healthy
//! service does.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A running stand-in. It listens until the test ends.
pub struct Scripted {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The path, with the query.
    pub path: String,
    /// The headers, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without how it was cut.
    pub body: String,
}

impl Asked {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The lines of the body.
    pub fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).expect("the client sends JSON");
        self.body.lines().map(line).collect()
    }
}

impl Scripted {
    /// Answers each request with those bytes, and closes the connection then, whatever was promised in them.
    pub fn new(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::listening(move |connection, seen| converse(connection, &answer, seen))
    }

    /// Answers one request after the other as it is written down; what comes after the last gets the last again.
    pub fn in_turn(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        let turn = Mutex::new(0);
        Self::new(move |_| {
            let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answers[usize::min(*turn, answers.len() - 1)].clone();
            *turn += 1;
            answer
        })
    }

    /// Answers each line of a request as soon as it comes, as a service does with a stream of commands.
    pub fn by_line(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::listening(move |connection, asked| {
            let _ = converse_by_line(connection, &*answer, asked);
        })
    }

    fn listening(converse: impl Fn(TcpStream, &Mutex<Vec<Asked>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (converse, seen) = (Arc::new(converse), Arc::clone(&asked));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (converse, seen) = (Arc::clone(&converse), Arc::clone(&seen));
                std::thread::spawn(move || converse(connection, &seen));
            }
        });
        Self {
            url: format!("http://{address}"),
            asked,
        }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn converse(
    mut connection: TcpStream,
    answer: &dyn Fn(&Asked) -> Vec<u8>,
    seen: &Mutex<Vec<Asked>>,
) {
    let mut reader = BufReader::new(connection.try_clone().expect("a connection has two ends"));
    // One that is opened and not used asks nothing.
    let Some(asked) = read(&mut reader) else {
        return;
    };
    let answer = answer(&asked);
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    // A client that went away was told enough.
    let _ = connection.write_all(&answer);
}

/// Ends with the request, or when the client goes away.
fn converse_by_line(
    mut connection: TcpStream,
    answer: &dyn Fn(&Value) -> Value,
    seen: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let asked = head(&mut reader)?;
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    let head = "HTTP/1.1 200 -\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write_all(head.as_bytes()).ok()?;
    // The program sends whole lines in each chunk.
    loop {
        let piece = chunk(&mut reader)?;
        if piece.is_empty() {
            return connection.write_all(b"0\r\n\r\n").ok();
        }
        let lines = piece.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let answer = format!("{}\n", answer(&serde_json::from_slice(line).ok()?));
            let sent = format!("{:x}\r\n{answer}\r\n", answer.len());
            connection.write_all(sent.as_bytes()).ok()?;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut asked = head(reader)?;
    let body = if asked.header("transfer-encoding").is_some() {
        chunks(reader)?
    } else {
        let length = asked.header("content-length").map_or(Ok(0), str::parse);
        taken(reader, length.ok()?)?
    };
    asked.body = String::from_utf8(body).ok()?;
    Some(asked)
}

/// The request without its body.
fn head(reader: &mut impl BufRead) -> Option<Asked> {
    let first = line(reader)?;
    let mut asked = Asked {
        path: first.split(' ').nth(1)?.to_owned(),
        ..Asked::default()
    };
    while let Some((name, value)) = line(reader)?.split_once(": ") {
        let header = (name.to_lowercase(), value.to_owned());
        asked.headers.push(header);
    }
    Some(asked)
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

fn taken(reader: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let piece = chunk(reader)?;
        if piece.is_empty() {
            return Some(body);
        }
        body.extend(piece);
    }
}

/// The next piece of a body, empty at its end; `None` if the client went away.
fn chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let length = usize::from_str_radix(&line(reader)?, 16).ok()?;
    let piece = taken(reader, length)?;
    line(reader)?;
    Some(piece)
}

/// A whole answer.
pub fn answer(status: u16, media_type: &str, body: &str) -> Vec<u8> {
    with_headers(status, &[("content-type", media_type)], body)
}

/// A whole answer with those headers.
pub fn with_headers(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} -\r\n");
    for (name, value) in headers {
        answer += &[name, ": ", value, "\r\n"].concat();
    }
    let length = body.len().to_string();
    answer += &[
        "content-length: ",
        &length,
        "\r\nconnection: close\r\n\r\n",
        body,
    ]
    .concat();
    answer.into_bytes()
}

/// An answer that goes on, of which only that came before the connection broke.
pub fn begun(media_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 -\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"
    )
    .into_bytes()
}

/// An answer that comes bit by bit, to its end.
pub fn streamed(media_type: &str, body: &str) -> Vec<u8> {
    let mut answer = begun(media_type, body);
    answer.extend(b"0\r\n\r\n");
    answer
}

/// A problem, as the service tells it.
pub fn problem(status: u16, code: &str, detail: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let body =
        serde_json::json!({ "status": status, "code": code, "rule": null, "detail": detail });
    let mut all = vec![("content-type", "application/problem+json")];
    all.extend(headers);
    with_headers(status, &all, &body.to_string())
}
