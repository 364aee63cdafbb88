//! Server-sent events as the HTML standard defines them, parsed from bytes that may be cut anywhere.

use std::collections::VecDeque;

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What resumes the stream after it: the last `id` that was sent, perhaps with an earlier message.
    pub id: Option<String>,
    /// What kind of message; `message` if the stream does not say.
    pub event: String,
    /// What it says.
    pub data: String,
}

/// A message that has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of more than {LONGEST} bytes")]
pub struct TooLong;

/// No message of the service is longer.
const LONGEST: usize = 16 * 1024 * 1024;

/// Takes bytes in and hands messages out.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The line before ended with a carriage return, so that a line feed now belongs to it.
    after_return: bool,
    begun: bool,
    id: Option<String>,
    event: String,
    /// The lines of data so far, each with its end.
    data: String,
    ready: VecDeque<Message>,
}

/// What some senders put before a text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

impl Parser {
    /// Takes the next bytes in.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let ends_the_line_before = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                b'\n' if ends_the_line_before => {}
                b'\n' => self.end_of_line(),
                b'\r' => {
                    self.after_return = true;
                    self.end_of_line();
                }
                _ => self.line.push(byte),
            }
        }
        if self.line.len() + self.data.len() > LONGEST {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The next message that came whole.
    #[expect(
        clippy::should_implement_trait,
        reason = "it goes on after it had none, which no iterator should"
    )]
    pub fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn end_of_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let mut line = &*String::from_utf8_lossy(&bytes);
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            self.end_of_message();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
    }

    /// A line that begins with a colon has no field's name: it is a comment. Other fields are not ours.
    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            _ => {}
        }
    }

    fn end_of_message(&mut self) {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // The end of the last line belongs to no data; where there was none, there is no message.
        if data.pop().is_none() {
            return;
        }
        self.ready.push_back(Message {
            id: self.id.clone(),
            event: if event.is_empty() {
                "message".to_owned()
            } else {
                event
            },
            data,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Message> {
        let mut parser = Parser::default();
        for part in parts {
            parser.read(part.as_ref()).unwrap();
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    fn message(id: Option<&str>, event: &str, data: &str) -> Message {
        Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    /// Everything there is, with each of the three ends of a line.
    fn a_stream(end: &str) -> String {
        [
            "\u{feff}: a comment",
            "id: 7",
            "event: row",
            "data: {\"a\":",
            "data:  \"grün 日本\"}",
            "",
            ":",
            "data",
            "",
            "event: nothing",
            "",
            "id",
            "data:x",
            "retry: 10",
            "unknown: y",
            "",
            "data: cut short",
        ]
        .map(|line| format!("{line}{end}"))
        .concat()
    }

    fn its_messages() -> [Message; 3] {
        [
            message(Some("7"), "row", "{\"a\":\n \"grün 日本\"}"),
            message(Some("7"), "message", ""),
            message(Some(""), "message", "x"),
        ]
    }

    #[test]
    fn messages_are_the_same_whatever_ends_the_lines() {
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(messages([a_stream(end)]), its_messages(), "{end:?}");
        }
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = a_stream(end);
            assert_eq!(messages(stream.as_bytes().chunks(1)), its_messages());
            for cut in 0..stream.len() {
                let (before, after) = stream.as_bytes().split_at(cut);
                assert_eq!(messages([before, after]), its_messages(), "{cut}");
            }
        }
    }

    #[test]
    fn an_id_with_a_nul_is_none() {
        let stream = "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n";
        let ids = messages([stream]).into_iter().map(|message| message.id);
        let one = Some("1".to_owned());
        assert_eq!(ids.collect::<Vec<_>>(), [one.clone(), one]);
    }

    #[test]
    fn a_message_without_an_end_is_not_kept_in_memory_for_ever() {
        let mut parser = Parser::default();
        let part = vec![b'x'; LONGEST / 2];
        assert_eq!(parser.read(&part), Ok(()));
        assert_eq!(parser.read(&part), Ok(()));
        assert_eq!(parser.read(b"x"), Err(TooLong));
    }
}
