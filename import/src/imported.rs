//! What a capture becomes, and why a file is none.

use domain::Request;
use std::fmt;
use std::path::{Path, PathBuf};

/// What captures are as commands, and what they hold beside that.
#[derive(Debug, Default)]
pub struct Import {
    /// To be applied in this order; each carries its `id` and `at`.
    pub commands: Vec<Request>,
    /// What the commands leave out, and why.
    pub notes: Vec<Note>,
}

/// Something in a capture that became no command, or not wholly; shown as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The capture.
    pub file: PathBuf,
    /// The call, if it is about one: as the telephone system names it.
    pub call: Option<String>,
    /// What was seen, and why there is no command for it.
    pub text: String,
}

/// A file that is no capture.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are no text.
    #[error("{}: line {line} is not UTF-8", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// Where it goes wrong, counted from 1.
        line: usize,
    },
    /// The text is not a JSON array; the source names line and column.
    #[error("{}: not a JSON array of events", file.display())]
    NotEvents {
        /// The file.
        file: PathBuf,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// An element of the array is no event, or one without a field it needs.
    #[error("{}: event {event} of the array: {problem}", file.display())]
    BadEvent {
        /// The file.
        file: PathBuf,
        /// Its place in the array, counted from 1.
        event: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Note {
    pub(crate) fn about(file: &Path, call: Option<String>, text: String) -> Self {
        Self {
            file: file.to_owned(),
            call,
            text,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(call) = &self.call {
            write!(f, "call {}: ", one_line(call))?;
        }
        f.write_str(&one_line(&self.text))
    }
}

/// A capture's text is somebody else's: it must not break the line, nor speak to the terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
