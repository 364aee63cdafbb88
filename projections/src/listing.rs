//! What a read model is asked for.

use domain::json::Text;
use domain::{Position, Timestamp};
use serde::Serialize;

/// A row of a read model: always the same fields, so that a table of none still has its columns.
pub trait Row: Serialize {
    /// The names of its fields in JSON, in order.
    const COLUMNS: &'static [&'static str];
}

/// Rows, and what they were read at. No row holds a position: it belongs to the store, not to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing<R> {
    /// When they were asked for.
    pub as_of: Text<Timestamp>,
    /// The position of the last event they tell of.
    pub position: u64,
    /// The rows.
    pub rows: Vec<R>,
}

impl<R> Listing<R> {
    /// Those rows.
    pub fn new(as_of: Timestamp, position: Position, rows: Vec<R>) -> Self {
        Self {
            as_of: Text(as_of),
            position: position.0,
            rows,
        }
    }
}
