//! Rows as they are sent, batch after batch.

use super::csv;
use super::format::Format;
use domain::envelope::Hash;
use domain::json::Text;
use domain::{Prefix, Timestamp};
use projections::Row;
use serde::Serialize;

/// Rows in one of the forms of a list. What was rendered so far can be taken at any time.
pub(crate) struct Rendering {
    format: Format,
    bytes: Vec<u8>,
    /// Whether the next row of JSON is the first.
    is_first: bool,
}

/// What stands before the rows in JSON.
#[derive(Serialize)]
struct About {
    as_of: Text<Timestamp>,
    position: u64,
    count: u64,
    proof: Text<Hash>,
}

impl Rendering {
    /// With what stands before the rows.
    pub(crate) fn begin<R: Row>(format: Format, as_of: Timestamp, events: Prefix) -> Self {
        let mut bytes = Vec::new();
        match format {
            Format::Json => {
                let about = About {
                    as_of: Text(as_of),
                    position: events.position.0,
                    count: events.count,
                    proof: Text(events.rolling_hash),
                };
                bytes = serde_json::to_vec(&about).expect("it is JSON");
                bytes.pop();
                bytes.extend_from_slice(b",\"rows\":[");
            }
            Format::Ndjson => {}
            Format::Csv => csv::head(&mut bytes, R::COLUMNS),
        }
        Self {
            format,
            bytes,
            is_first: true,
        }
    }

    /// Further rows.
    pub(crate) fn rows<R: Row>(&mut self, rows: &[R]) {
        if self.format == Format::Csv {
            return csv::records(&mut self.bytes, R::COLUMNS, rows);
        }
        for row in rows {
            self.separate();
            serde_json::to_writer(&mut self.bytes, row).expect("a buffer takes a row");
            self.end_line();
        }
    }

    pub(super) fn separate(&mut self) {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.format == Format::Json && !is_first {
            self.bytes.push(b',');
        }
    }

    pub(super) fn end_line(&mut self) {
        if self.format != Format::Json {
            self.bytes.push(b'\n');
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What stands after the rows.
    pub(crate) fn end(&mut self, next: Option<&str>) {
        if self.format == Format::Json {
            let next = serde_json::to_string(&next).expect("a text is JSON");
            let end = format!("],\"next\":{next}}}\n");
            self.bytes.extend_from_slice(end.as_bytes());
        }
    }

    /// What was rendered since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
