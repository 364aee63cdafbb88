//! How often the read models were built from the store's first event, and why.

use domain::{EventStore, Revision, StoreError};
use projections::SetAside;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;

/// Time for one read of a damaged event.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// Why read models are built from the store's first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRebuilt {
    /// An operator asked for it.
    Asked,
    /// The store was restored from a copy, and has other events.
    Restored,
    /// The events that the read models were made from are not those of the feed.
    Differs,
    /// A damaged event is whole again.
    WholeAgain,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rebuilds([AtomicU64; WhyRebuilt::ALL.len()]);

impl WhyRebuilt {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Restored, Self::Differs, Self::WholeAgain];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Restored => "restored",
            Self::Differs => "differs",
            Self::WholeAgain => "whole_again",
        }
    }
}

impl Rebuilds {
    pub(super) fn count(&self, why: WhyRebuilt) {
        self.0[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn counts(&self) -> [(WhyRebuilt, u64); WhyRebuilt::ALL.len()] {
        WhyRebuilt::ALL.map(|why| (why, self.0[why as usize].load(Relaxed)))
    }
}

/// Whether the event is known to be readable now.
pub(crate) async fn is_whole_again(store: &dyn EventStore, damaged: &SetAside) -> bool {
    let read = timeout(LONGEST_READ, can_be_read(store, damaged)).await;
    matches!(read, Ok(Ok(true)))
}

/// One that is missing is there again when its call can be read.
async fn can_be_read(store: &dyn EventStore, damaged: &SetAside) -> Result<bool, StoreError> {
    match (damaged.after, &damaged.call) {
        (Some(after), _) => match store.read_all(after, 1).await {
            Ok(_) => Ok(true),
            Err(StoreError::DamagedEvent(there)) => Ok(there.position != damaged.position),
            Err(error) => Err(error),
        },
        (None, Some(call)) => {
            let events = store.read_call(call, Revision(0)).await?;
            Ok(!events.is_empty())
        }
        (None, None) => Ok(false),
    }
}
