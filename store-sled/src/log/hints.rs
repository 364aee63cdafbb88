//! Where readers stopped, since they mostly read on from there.

use std::collections::VecDeque;

/// How many places are remembered.
const HINTS: usize = 32;

/// Beyond so many events searching by halves is quicker than following frames from a hint.
const NEAR_EVENTS: u64 = 2_000;

/// First positions of frames and their addresses, the latest first.
#[derive(Default)]
pub(super) struct Hints(VecDeque<(u64, u64)>);

impl Hints {
    pub(super) fn remember(&mut self, first: u64, address: u64) {
        self.0.retain(|(known, _)| *known != first);
        self.0.push_front((first, address));
        self.0.truncate(HINTS);
    }

    /// The last frame that begins not far before the position.
    pub(super) fn near(&self, position: u64) -> Option<(u64, u64)> {
        let near = |first: u64| first <= position && position - first < NEAR_EVENTS;
        let near = self.0.iter().filter(|(first, _)| near(*first));
        near.max().copied()
    }
}
