//! The store's threads.

use crate::error::OpenError;
use std::path::Path;
use std::thread::{Builder, JoinHandle};

/// Starts a thread for the store in that folder.
pub(crate) fn spawn(
    name: &str,
    store: &Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let started = Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| OpenError::from_io(store, error))
}
