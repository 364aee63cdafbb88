//! Server-sent events as a test takes them, parsed as the client does.

use client::sse::{Message, Parser};
use reqwest::Response;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// The last `id` the stream gave, with this event or before it; empty before the first.
    pub id: String,
    /// Its name; `message` if it has none.
    pub event: String,
    /// Its data, lines joined by a line feed.
    pub data: String,
}

/// The events of an answer as they come.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
}

impl Sent {
    /// Its data as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).expect("the data is JSON")
    }
}

impl From<Message> for Sent {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.unwrap_or_default(),
            event: message.event,
            data: message.data,
        }
    }
}

/// The events of a whole body.
pub fn sent(body: &[u8]) -> Vec<Sent> {
    let mut parser = Parser::default();
    parser.read(body).expect("every event has an end");
    std::iter::from_fn(|| parser.next())
        .map(Sent::from)
        .collect()
}

impl Events {
    /// Of an answer that is a stream.
    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            parser: Parser::default(),
        }
    }

    /// The next one; none once the stream has ended.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(message) = self.parser.next() {
                return Some(message.into());
            }
            let bytes = self
                .response
                .chunk()
                .await
                .expect("the stream is not cut")?;
            self.parser.read(&bytes).expect("every event has an end");
        }
    }

    /// The next one of that name, passing over others.
    pub async fn next_named(&mut self, name: &str) -> Option<Sent> {
        loop {
            let sent = self.next().await?;
            if sent.event == name {
                return Some(sent);
            }
        }
    }
}
