//! The lines of an input that is read by whoever waits for it.

use engine::lines::{Cutter, Line};
use std::io::{self, BufRead};

/// The lines of an input.
pub struct Lines<R> {
    input: R,
    cutter: Cutter,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// The lines of that input.
    pub fn new(input: R) -> Self {
        Self {
            input,
            cutter: Cutter::default(),
            ended: false,
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(self.cutter.rest());
            }
            let mut left = available;
            let line = self.cutter.cut(&mut left);
            let used = available.len() - left.len();
            self.input.consume(used);
            if line.is_some() {
                return Ok(line);
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
        self.next_line().unwrap_or_else(|error| {
            self.ended = true;
            Some(Line::Unreadable(error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::lines::LONGEST;

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
