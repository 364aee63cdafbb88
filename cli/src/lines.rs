//! Lines of an input that may be anything: never more of one in memory than a command can need.

use std::io::{self, BufRead};

/// The longest line that can be a command, with room to spare: the longest texts, every character escaped.
const LONGEST: usize = 64 * 1024;

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A text, without its end.
    Text(String),
    /// Not a text that could be a command.
    Malformed(String),
    /// The input failed here; nothing follows.
    Unreadable(String),
}

/// The lines of an input.
pub struct Lines<R> {
    input: R,
    begun: bool,
    ended: bool,
}

/// What some editors put before a text; it says nothing that UTF-8 does not.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: BufRead> Lines<R> {
    /// The lines of that input.
    pub fn new(input: R) -> Self {
        Self {
            input,
            begun: false,
            ended: false,
        }
    }

    /// The next line's bytes, at most one more than the longest, and how many there really were.
    fn next_bytes(&mut self) -> io::Result<Option<(Vec<u8>, usize)>> {
        let (mut kept, mut total) = (Vec::new(), 0);
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok((total > 0).then_some((kept, total)));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = (LONGEST + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&part[..part.len().min(room)]);
            total += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some((kept, total)));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.ended {
            return None;
        }
        match self.next_bytes() {
            Ok(Some((mut bytes, total))) => {
                if !std::mem::replace(&mut self.begun, true) && bytes.starts_with(BYTE_ORDER_MARK) {
                    bytes.drain(..BYTE_ORDER_MARK.len());
                }
                Some(line(bytes, total))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Line::Unreadable(error.to_string()))
            }
        }
    }
}

fn line(bytes: Vec<u8>, total: usize) -> Line {
    if total > LONGEST {
        return Line::Malformed(format!(
            "the line is {total} bytes long; a command has at most {LONGEST}"
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(error) => Line::Malformed(format!(
            "invalid UTF-8 at byte {}",
            error.utf8_error().valid_up_to() + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        // A tiny buffer makes every line cross its end.
        Lines::new(io::BufReader::with_capacity(3, input)).collect()
    }

    #[test]
    fn lines_are_cut_at_line_feeds_and_the_last_needs_none() {
        let text = |text: &str| Line::Text(text.to_owned());
        assert_eq!(lines(b"ab\n\ncdefg"), [text("ab"), text(""), text("cdefg")]);
        assert_eq!(lines(b""), []);
        assert_eq!(
            lines(b"\xef\xbb\xbfab\n\xef\xbb\xbf"),
            [text("ab"), text("\u{feff}")]
        );
    }

    #[test]
    fn a_line_too_long_or_not_utf_8_is_named_and_the_rest_goes_on() {
        let mut input = vec![b'x'; LONGEST + 10];
        input.extend_from_slice(b"\nab\xff\nok\n");
        let [
            Line::Malformed(long),
            Line::Malformed(bytes),
            Line::Text(ok),
        ] = &lines(&input)[..]
        else {
            panic!("three lines");
        };
        assert!(long.contains("65546 bytes"), "{long}");
        assert!(bytes.contains("byte 3"), "{bytes}");
        assert_eq!(ok, "ok");
    }
}
