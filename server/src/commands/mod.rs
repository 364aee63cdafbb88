//! Commands: one for a call, or many in a stream.

mod conditions;
mod headers;
mod one;
mod refusal;
mod routes;
mod stream;

pub(crate) use headers::trace;
pub(crate) use routes::routes;
