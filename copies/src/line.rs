//! One event on one line of a dump, and what can be wrong with a line.

use domain::json::{InvalidEvent, Sha256Text};
use domain::{Position, StoredEvent};

pub use domain::json::write_line;

/// The format this program writes, and the newest it reads.
pub const FORMAT: u64 = 1;

/// No line is longer: the longest texts an event can have, escaped and written twice, need less.
pub const LONGEST_LINE: u64 = 64 * 1024;

/// A line of a dump that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    /// No event, or one that contradicts itself.
    #[error("{0}")]
    Event(#[from] InvalidEvent),
    /// Neither an event nor a line that opens or closes a dump.
    #[error("not a line of a dump: {0}")]
    NotALine(String),
    /// The file begins otherwise.
    #[error("this is no dump: its first line is not {{\"kaigi_dump\":1,...}}")]
    NoHeader,
    /// A newer program wrote it.
    #[error(
        "the dump is of format {found}, and this program reads {}; use the kaigi that wrote it, or a newer one",
        FORMAT
    )]
    NewerFormat {
        /// The format it is of.
        found: u64,
    },
    /// Longer than any event.
    #[error("longer than {} bytes, which no event is", LONGEST_LINE)]
    TooLong,
    /// Events are missing, or stand in another order.
    #[error("position {found} stands after position {before}")]
    OutOfOrder {
        /// The position before.
        before: Position,
        /// The one that is not after it.
        found: Position,
    },
    /// The file ends before the line that closes it.
    #[error("the dump ends here without its closing line: it was cut short")]
    Truncated,
    /// Something follows the line that closes it.
    #[error("something follows the closing line")]
    Trailing,
    /// The closing line is another dump's.
    #[error("the closing line says {said}, and there are {there}")]
    Miscounted {
        /// What it says.
        said: String,
        /// What there is.
        there: String,
    },
    /// A byte before the closing line was changed.
    #[error(
        "the lines above were changed: their SHA-256 is {there}, and the closing line says {said}"
    )]
    Changed {
        /// What the closing line says.
        said: Sha256Text,
        /// What it is.
        there: Sha256Text,
    },
    /// The file cannot be read on.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// Reads an event from its line, with or without the end of line; exactly the one that was written, or none.
pub fn parse_line(line: &str) -> Result<StoredEvent, InvalidLine> {
    Ok(domain::json::parse_line(line)?)
}

pub(crate) fn not_a_line(error: &serde_json::Error) -> InvalidLine {
    let what = error.to_string().replace(" at line 1 column", " at column");
    InvalidLine::NotALine(what)
}
