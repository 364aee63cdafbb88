//! How far an index reaches. One that reaches beyond the end of the log has the only copy of the events that the log lost.

use crate::folder::await_release_of;
use crate::rows::{Row, Rows};
use domain::{CallId, StoreId};
use std::path::PathBuf;

/// How much memory sled may use to read an index once.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The last position that any index in these folders has, as far as they can be read. Sled changes what it opens.
pub(crate) fn reach_of(indexes: &[PathBuf], store: StoreId) -> u64 {
    let reaches = indexes.iter().map(|index| {
        await_release_of(index);
        let rows = Rows::open(index, store, CACHE_BYTES, None);
        let reached = rows.as_ref().map_or(0, reach);
        drop(rows);
        await_release_of(index);
        reached
    });
    reaches.max().unwrap_or(0)
}

/// The last position that rows know; those that cannot be read know nothing.
pub(crate) fn reach(rows: &Rows) -> u64 {
    let mark = rows.mark().ok().flatten();
    let mut reach = mark.map_or(0, |mark| mark.position);
    let _ = rows.each_completed(|call| {
        reach = reach.max(last_of_row(rows, &call));
        Ok(())
    });
    for (call, history) in rows.readable_live() {
        reach = reach.max(history.last_position(&call).unwrap_or(0));
    }
    reach
}

fn last_of_row(rows: &Rows, call: &CallId) -> u64 {
    match rows.get(call) {
        Ok(Some(Row::Whole(history))) => history.last_position(call).unwrap_or(0),
        Ok(Some(Row::Places(_, places))) => {
            let lasts = places
                .iter()
                .map(|(first, events)| first.saturating_add(events.saturating_sub(1)));
            lasts.max().unwrap_or(0)
        }
        Ok(None) | Err(_) => 0,
    }
}

/// What is wrong with a store whose index reaches beyond its log.
pub(crate) fn beyond(reach: u64, end: u64) -> String {
    format!(
        "the index has events up to position {reach}, and the log ends at position {end}; \
         `kaigi store repair` brings back those that the log lost"
    )
}
