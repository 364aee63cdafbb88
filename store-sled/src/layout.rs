//! The blocks in which events lie in the store, for tools that read them without it and tests that keep them frozen.

use crate::block::{Blocks, GroupBytes, Groups, Sealed};
use domain::{Position, RecordedEvent, StoreError, StoredEvent};

/// The blocks in which these events would lie, were they committed at once after that position.
pub fn blocks_of(after: Position, calls: &[Vec<RecordedEvent>]) -> Vec<(Position, Vec<u8>)> {
    let blocks = sealed(after, calls).blocks().into_iter();
    blocks
        .map(|(first, block)| (Position(first), block))
        .collect()
}

/// The bytes that would be written to the log for it: those blocks, each in a frame.
pub fn frames_of(after: Position, calls: &[Vec<RecordedEvent>]) -> Vec<u8> {
    sealed(after, calls).bytes
}

fn sealed(after: Position, calls: &[Vec<RecordedEvent>]) -> Sealed {
    let mut blocks = Blocks::after(after.0);
    for events in calls {
        for group in GroupBytes::of(events).each() {
            blocks.push(group);
        }
    }
    blocks.finish()
}

/// The events of the block that begins at that position.
pub fn events_of(first: Position, block: &[u8]) -> Result<Vec<StoredEvent>, StoreError> {
    Ok(Groups::new(first.0, block)?.events()?)
}
