//! A route together with its handler.

use crate::route::Route;
use crate::service::Service;
use axum::routing::MethodRouter;
use std::sync::Arc;

/// A route and its handler.
pub struct Handled {
    pub(crate) route: Arc<Route>,
    pub(crate) by: MethodRouter<Arc<Service>>,
}

impl Route {
    /// The route and its handler.
    pub fn handled(self, by: MethodRouter<Arc<Service>>) -> Handled {
        Handled {
            route: Arc::new(self),
            by,
        }
    }
}
