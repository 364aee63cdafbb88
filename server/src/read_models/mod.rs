//! The four read models, and their changes as they come.

use crate::route::Handled;
use domain::{EventStore, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// The four read models, kept up with the store.
pub struct Views {}

impl Views {
    /// Begins to follow the store, from the checkpoint in that folder if there is one of this store.
    #[expect(clippy::unused_async, reason = "the skeleton")]
    pub async fn start(
        _store: Arc<dyn EventStore>,
        _folder: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        Ok(Self {})
    }

    /// Stops following, and keeps what the next start need not read again.
    #[expect(clippy::unused_async, reason = "the skeleton")]
    pub async fn close(&self) {}
}

pub(crate) fn routes() -> Vec<Handled> {
    Vec::new()
}
