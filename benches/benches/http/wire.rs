//! HTTP/1.1 as little as a generator of load needs: it shares the machine with the service, and must not be what is measured.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A kept-alive connection that asks one thing after the other.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

/// A request whose body and answer flow at the same time.
pub(crate) struct Duplex {
    /// Where lines are sent.
    pub(crate) lines: OwnedWriteHalf,
    /// Where answers come from.
    pub(crate) answers: Chunks,
}

/// The lines of a chunked body.
pub(crate) struct Chunks {
    stream: BufReader<OwnedReadHalf>,
    left_in_chunk: usize,
    line: Vec<u8>,
}

async fn connected(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    /// To that address, with that key.
    pub(crate) async fn open(address: &str, key: &str) -> io::Result<Self> {
        let head = format!("Host: {address}\r\nAuthorization: Bearer {key}\r\n");
        let stream = BufReader::with_capacity(32 * 1024, connected(address).await?);
        Ok(Self { stream, head })
    }

    /// Posts a JSON body and reads the answer: its status and body.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let (status, length) = head(&mut self.stream).await?;
        let length = length.ok_or_else(|| io::Error::other("an answer has a length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((status, body))
    }

    /// Asks, and reads the whole answer; its status.
    pub(crate) async fn get(&mut self, path: &str) -> io::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head);
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let (status, length) = head(&mut self.stream).await?;
        if let Some(length) = length {
            self.discard(length).await?;
            return Ok(status);
        }
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16);
            let size = size.map_err(|_| io::Error::other("the body is not chunked"))?;
            self.discard(size + 2).await?;
            if size == 0 {
                return Ok(status);
            }
        }
    }

    async fn discard(&mut self, bytes: usize) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let available = self.stream.fill_buf().await?.len().min(left);
            if available == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stream.consume(available);
            left -= available;
        }
        Ok(())
    }
}

impl Duplex {
    /// Begins a stream of commands.
    pub(crate) async fn open(address: &str, key: &str) -> io::Result<Self> {
        let mut stream = connected(address).await?;
        let request = format!(
            "POST /v1/commands HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let (reading, lines) = stream.into_split();
        let stream = BufReader::with_capacity(64 * 1024, reading);
        let answers = Chunks::new(stream);
        Ok(Self { lines, answers })
    }
}

/// Lines as one chunk.
pub(crate) fn chunk(lines: &str) -> String {
    format!("{:x}\r\n{lines}\r\n", lines.len())
}

/// What ends a chunked body.
pub(crate) const END: &str = "0\r\n\r\n";

impl Chunks {
    fn new(stream: BufReader<OwnedReadHalf>) -> Self {
        Self {
            stream,
            left_in_chunk: 0,
            line: Vec::new(),
        }
    }

    /// A stream of server-sent events after that position, or from now on.
    pub(crate) async fn subscribe(address: &str, key: &str, path: &str) -> io::Result<Self> {
        let mut stream = connected(address).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        // Never written to again, and not closed either: that would end the stream.
        let (reading, writing) = stream.into_split();
        std::mem::forget(writing);
        let mut chunks = Self::new(BufReader::with_capacity(64 * 1024, reading));
        chunks.head().await?;
        Ok(chunks)
    }

    /// Reads the head of the answer.
    pub(crate) async fn head(&mut self) -> io::Result<()> {
        match head(&mut self.stream).await? {
            (200, _) => Ok(()),
            (status, _) => Err(io::Error::other(format!("the service answered {status}"))),
        }
    }

    /// The next line without its end; none at the end of the body.
    pub(crate) async fn line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        loop {
            if self.left_in_chunk == 0 && !self.next_chunk().await? {
                return Ok(None);
            }
            let available = self.stream.fill_buf().await?;
            if available.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let available = &available[..available.len().min(self.left_in_chunk)];
            let end = available.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            self.line
                .extend_from_slice(&available[..end.unwrap_or(used)]);
            self.left_in_chunk -= used;
            self.stream.consume(used);
            if self.left_in_chunk == 0 {
                let mut end_of_chunk = [0; 2];
                self.stream.read_exact(&mut end_of_chunk).await?;
            }
            if end.is_some() {
                return Ok(Some(&self.line));
            }
        }
    }

    async fn next_chunk(&mut self) -> io::Result<bool> {
        let mut size = String::new();
        self.stream.read_line(&mut size).await?;
        let size = usize::from_str_radix(size.trim(), 16);
        self.left_in_chunk = size.map_err(|_| io::Error::other("the body is not chunked"))?;
        Ok(self.left_in_chunk > 0)
    }
}

/// The status and length of an answer.
async fn head<S: AsyncBufReadExt + Unpin>(stream: &mut S) -> io::Result<(u16, Option<usize>)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no answer of HTTP"))?;
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Ok((status, length));
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        }
    }
}
