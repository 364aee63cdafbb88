//! Calls: finding them, and one call as it stands or stood.

use crate::route::Handled;

pub(crate) fn routes() -> Vec<Handled> {
    Vec::new()
}
