//! Where calls stood when they were last seen, so that a batch can be held against its call without reading that again.

use domain::envelope::Hash;
use domain::{CallId, Head, Revision, StoredEvent};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many calls are remembered, a hundred bytes each.
const CALLS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The last head seen of each call, [`Head::NONE`] for one without events. What it says of a revision stays true: a history is only ever added to.
pub(crate) struct Heads(Mutex<LruCache<CallId, Head>>);

impl Heads {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CALLS)))
    }

    /// The hash of that call's event with that revision, if it was the last one seen.
    pub(crate) fn hash(&self, call: &CallId, revision: Revision) -> Option<Hash> {
        let head = self.head(call)?;
        (head.revision == revision).then_some(head.hash)
    }

    pub(crate) fn head(&self, call: &CallId) -> Option<Head> {
        self.heads().get(call).copied()
    }

    /// Remembers the last of these events of one call.
    pub(crate) fn saw(&self, events: &[StoredEvent]) {
        if let Some(StoredEvent { recorded, .. }) = events.last() {
            self.heads()
                .put(recorded.cause.call.clone(), recorded.head());
        }
    }

    /// Remembers that the call has no events, unless another task has seen some meanwhile.
    pub(crate) fn saw_none(&self, call: &CallId) {
        self.heads().get_or_insert_ref(call, || Head::NONE);
    }

    /// Forgets all: a cluster that was away may have been brought back from a backup.
    pub(crate) fn forget(&self) {
        self.heads().clear();
    }

    fn heads(&self) -> MutexGuard<'_, LruCache<CallId, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
