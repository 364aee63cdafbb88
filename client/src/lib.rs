//! A client of a running service, over HTTP: for the program's `--server`, and for whoever writes Rust against one.
//!
//! Read top-down: [`Client`] asks and retries, [`ClientError`] says what the caller can do; [`Lines`] and [`Events`]
//! are answers that come bit by bit; [`RemoteStore`] reads the service's store as if it were at hand; [`StorePrefix`] proves
//! that a consumer of the feed has missed nothing.

mod asking;
mod error;
mod lines;
mod patience;
mod prefix;
mod remote_store;
pub mod sse;
mod stream;

pub use asking::{Answer, Client, Options, Question};
pub use error::{ClientError, Problem};
pub use lines::Lines;
pub use patience::{Patience, Waits};
pub use prefix::{Counted, Disagreement, StorePrefix};
pub use remote_store::RemoteStore;
pub use stream::Events;
