//! Lines of an input that may be anything: never more of one in memory than a command can need.

/// The longest line that can be a command, with room to spare: the longest texts, every character escaped.
pub const LONGEST: usize = 64 * 1024;

/// What some editors put before a text; it says nothing that UTF-8 does not.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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

/// Cuts what arrives into lines, wherever the pieces end.
#[derive(Debug, Default)]
pub struct Cutter {
    /// The line so far, at most one byte more than the longest.
    kept: Vec<u8>,
    /// How many bytes of it there really were.
    total: usize,
    begun: bool,
}

impl Line {
    /// Whether nothing is asked; such lines count, and are not answered.
    pub fn is_blank(&self) -> bool {
        matches!(self, Line::Text(text) if text.trim_ascii().is_empty())
    }
}

impl Cutter {
    /// Takes the next line from what arrived; none if it goes on in what is still to come.
    pub fn cut(&mut self, arrived: &mut &[u8]) -> Option<Line> {
        let end = arrived.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.keep(arrived);
            *arrived = &[];
            return None;
        };
        self.keep(&arrived[..end]);
        *arrived = &arrived[end + 1..];
        Some(self.line())
    }

    /// The last line, once nothing more comes: it needs no end.
    pub fn rest(&mut self) -> Option<Line> {
        (self.total > 0).then(|| self.line())
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (LONGEST + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&part[..part.len().min(room)]);
        self.total += part.len();
    }

    fn line(&mut self) -> Line {
        let mut bytes = std::mem::take(&mut self.kept);
        let total = std::mem::take(&mut self.total);
        if !std::mem::replace(&mut self.begun, true) && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        line(bytes, total)
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

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn a_line_may_arrive_in_any_pieces() {
        let input = "\u{feff}ab\n\n日本\nlast".as_bytes();
        for size in 1..=input.len() {
            let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
            for mut piece in input.chunks(size) {
                lines.extend(std::iter::from_fn(|| cutter.cut(&mut piece)));
            }
            lines.extend(cutter.rest());
            assert_eq!(lines, [text("ab"), text(""), text("日本"), text("last")]);
        }
    }

    #[test]
    fn of_a_line_that_never_ends_only_so_much_is_kept() {
        let mut cutter = Cutter::default();
        for _ in 0..100 {
            assert_eq!(cutter.cut(&mut &[b'x'; 10_000][..]), None);
        }
        assert_eq!(cutter.kept.len(), LONGEST + 1);
        let Some(Line::Malformed(said)) = cutter.rest() else {
            panic!("a line so long is no command");
        };
        assert!(said.contains("1000000 bytes"), "{said}");
    }
}
