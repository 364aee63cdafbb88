//! The events as they come, to any number of subscribers, and the proof that none is missing.

use crate::Settings;
use crate::route::Handled;
use domain::{EventStore, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// The one reader of the store that all subscribers share.
pub struct Feed {}

impl Feed {
    /// Begins to follow the store, from where the proof that is kept in that folder ends.
    #[expect(clippy::unused_async, reason = "the skeleton")]
    pub async fn start(
        _store: Arc<dyn EventStore>,
        _folder: Option<PathBuf>,
        _settings: &Settings,
    ) -> Result<Self, StoreError> {
        Ok(Self {})
    }

    /// Stops following.
    #[expect(clippy::unused_async, reason = "the skeleton")]
    pub async fn close(&self) {}
}

pub(crate) fn routes() -> Vec<Handled> {
    Vec::new()
}
