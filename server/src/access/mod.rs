//! Who may do what: keys, their roles, and the guard of every route.
//!
//! Read top-down: what each role opens ([`Access`]), what a caller may do ([`Caller`]), the guard of every route ([`Guards`]), then tokens for streams, origins of pages and rates.

#![allow(
    clippy::result_large_err,
    reason = "a refusal is a whole problem, made once and answered at once"
)]

mod admission;
mod answering;
mod caller;
mod guards;
mod origins;
mod permission;
mod rates;
mod routes;
mod streams;
mod tokens;

pub(crate) use admission::Effect;
pub use caller::Caller;
pub use guards::Guards;
pub(crate) use origins::is_preflight;
pub(crate) use permission::NOT_YOURS;
pub use permission::{
    Access, COMMANDS, HISTORY, METRICS, ONE_CALL, OPERATION, READ_MODELS, STORE, STREAMS,
};
pub(crate) use routes::routes;
