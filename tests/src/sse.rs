//! A client of Server-Sent Events, after the description of the format and nothing of ours.

use reqwest::Response;
use std::collections::VecDeque;

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

/// Takes a stream apart, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Parser {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The line feed after a carriage return belongs to it.
    after_return: bool,
    id: String,
    event: String,
    data: Option<String>,
}

/// The events of an answer as they come.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
    ready: VecDeque<Sent>,
}

impl Sent {
    /// Its data as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).expect("the data is JSON")
    }
}

impl Parser {
    /// The events that those bytes complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Sent> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => complete.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
        }
        complete
    }

    fn end_of_line(&mut self) -> Option<Sent> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).expect("a stream is UTF-8");
        if line.is_empty() {
            return self.end_of_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => data.extend(["\n", value]),
                None => self.data = Some(value.to_owned()),
            },
            // A comment, a time to wait, or a field that came later than this client.
            _ => {}
        }
        None
    }

    fn end_of_event(&mut self) -> Option<Sent> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        let id = self.id.clone();
        Some(Sent { id, event, data })
    }
}

impl Events {
    /// Of an answer that is a stream.
    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            parser: Parser::default(),
            ready: VecDeque::new(),
        }
    }

    /// The next one; none once the stream has ended.
    pub async fn next(&mut self) -> Option<Sent> {
        while self.ready.is_empty() {
            let bytes = self.response.chunk().await.expect("the stream is not cut");
            self.ready.extend(self.parser.take(&bytes?));
        }
        self.ready.pop_front()
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

#[cfg(test)]
mod tests {
    use super::{Parser, Sent};

    const STREAM: &[u8] =
        b": hello\r\nid: 1\r\nevent: a\ndata: x\ndata:y\r\rdata\n\nevent: nothing\n\ndata:  z\n\nid: 9\ndata: cut";

    fn sent(id: &str, event: &str, data: &str) -> Sent {
        Sent {
            id: id.to_owned(),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn the_pieces_a_stream_comes_in_make_no_difference() {
        let expected = [
            sent("1", "a", "x\ny"),
            sent("1", "message", ""),
            sent("1", "message", " z"),
        ];
        for size in 1..=STREAM.len() {
            let mut parser = Parser::default();
            let pieces = STREAM.chunks(size).flat_map(|piece| parser.take(piece));
            assert_eq!(pieces.collect::<Vec<_>>(), expected, "{size}");
        }
    }
}
