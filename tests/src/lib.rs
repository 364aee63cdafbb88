//! What the tests of the whole system share.

pub mod api;
pub mod arbitrary;
#[cfg(unix)]
pub mod attack;
pub mod clients;
pub mod closed_port;
pub mod contract;
pub mod disk;
pub mod files;
pub mod hex;
pub mod judge;
pub mod ledger;
pub mod load;
pub mod page;
pub mod past_damage;
pub mod program;
pub mod scenario;
pub mod scripted;
pub mod service;
pub mod service_program;
pub mod skip;
pub mod slow_store;
pub mod sse;
pub mod standin;
#[cfg(unix)]
pub mod torture;
pub mod trial;
