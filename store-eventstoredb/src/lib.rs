//! Events in an EventStoreDB or KurrentDB cluster, which several processes share.

mod error;

pub use error::OpenError;

/// A store in a cluster.
pub struct ClusterStore {}

impl ClusterStore {
    /// Connects, and looks whether this is a store and whether its user may do what is needed.
    #[expect(clippy::unused_async, reason = "a beginning")]
    pub async fn open(_url: &str) -> Result<Self, OpenError> {
        Err(OpenError::Unreachable("not built yet".to_owned()))
    }
}
