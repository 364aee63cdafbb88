//! What a read model is asked for.

use domain::envelope::Hash;
use domain::json::Text;
use domain::{Prefix, Timestamp};
use serde::Serialize;

/// Rows, and what they were read at. No row holds a position: it belongs to the store, not to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing<R> {
    /// When they were asked for.
    pub as_of: Text<Timestamp>,
    /// The position of the last event they tell of.
    pub position: u64,
    /// The number of events that were folded.
    pub count: u64,
    /// The rolling hash of those events: it equals the one that the store gives for that count.
    pub proof: Text<Hash>,
    /// The rows.
    pub rows: Vec<R>,
}

impl<R> Listing<R> {
    /// Those rows, made of those events.
    pub fn new(as_of: Timestamp, events: Prefix, rows: Vec<R>) -> Self {
        Self {
            as_of: Text(as_of),
            position: events.position.0,
            count: events.count,
            proof: Text(events.rolling_hash),
            rows,
        }
    }
}
