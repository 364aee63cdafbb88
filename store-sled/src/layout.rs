//! The blocks in which events lie in the store, for tools that read them without it and tests that keep them frozen.

use crate::block::{Blocks, Groups, group_of};
use domain::{Position, RecordedEvent, StoreError, StoredEvent};

/// The blocks in which these events would lie, were they committed at once after that position.
pub fn blocks_of(after: Position, calls: &[Vec<RecordedEvent>]) -> Vec<(Position, Vec<u8>)> {
    let mut blocks = Blocks::after(after.0);
    for events in calls {
        blocks.push(events, group_of(events).as_deref());
    }
    let blocks = blocks.finish().blocks.into_iter();
    blocks
        .map(|(first, block)| (Position(first), block.to_vec()))
        .collect()
}

/// The events of the block that begins at that position.
pub fn events_of(first: Position, block: &[u8]) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events = Vec::new();
    let mut groups = Groups::new(first.0, block)?;
    while let Some(group) = groups.next()? {
        group
            .open()?
            .each(|_, _| true, |event| events.push(event))?;
    }
    Ok(events)
}
