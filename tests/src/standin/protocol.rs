//! The protocol as generated from the client's own definitions: servers, clients and messages.

#![allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::all,
    unreachable_pub,
    reason = "generated code and the comments of others are not held to our style"
)]

include!(concat!(env!("OUT_DIR"), "/protocol.rs"));

pub use event_store::client as shared;
pub use event_store::client::{gossip, operations, server_features, streams};
pub use google::rpc;
