//! Whether the service is well, and what it offers.

mod openapi;
mod page;
mod ready;
mod routes;
pub(crate) mod schemas;
mod store;

pub use openapi::document;
pub(crate) use routes::routes;
