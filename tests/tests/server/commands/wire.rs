//! A client that says byte by byte what it sends, for whatever no well-behaved one would.

use serde_json::Value;
use tests::service::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Wire(TcpStream);

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    /// Without the chunks' lengths, whatever the encoding was.
    pub(crate) body: String,
}

impl Wire {
    /// A POST with the telephone system's key, whose body is still to come.
    pub(crate) async fn post(service: &Running, path: &str, headers: &[&str]) -> Self {
        Self::post_with(service, &service.keys.telephony, path, headers).await
    }

    /// The same with that key.
    pub(crate) async fn post_with(
        service: &Running,
        key: &str,
        path: &str,
        headers: &[&str],
    ) -> Self {
        let address = service.url.strip_prefix("http://").expect("it is http");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let mut head =
            format!("POST {path} HTTP/1.1\r\nhost: kaigi\r\nauthorization: Bearer {key}\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        Self(stream)
    }

    /// Bytes of the body as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("it reads");
    }

    /// Bytes of the body, which the service may not want any more.
    pub(crate) async fn try_send(mut self, bytes: &[u8]) -> Self {
        let _ = self.0.write_all(bytes).await;
        self
    }

    /// A chunk of the body.
    pub(crate) async fn chunk(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.send(chunk.as_bytes()).await;
    }

    /// Says nothing more, and still listens.
    pub(crate) async fn half_close(&mut self) {
        self.0.shutdown().await.expect("it is open");
    }

    /// Until the service asks for the body, which it does once it takes the request.
    pub(crate) async fn until_asked_for_the_body(&mut self) {
        let mut asked = [0; 25];
        self.0.read_exact(&mut asked).await.expect("it answers");
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        // A connection that is cut off ends, too.
        let _ = self.0.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("it is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("there is a head");
        let (status, headers) = head.split_once("\r\n").expect("there are headers");
        let status = status.split(' ').nth(1).expect("there is a status");
        Answer {
            status: status.parse().expect("it is a number"),
            headers: headers.to_lowercase(),
            body: body
                .lines()
                .filter(|line| line.contains('{'))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

impl Answer {
    /// The lines of the body.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.body.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("it is JSON"))
            .collect()
    }
}
