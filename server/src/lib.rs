//! Kaigi as a service: commands from backend services, read models and the feed of events for dashboards, over HTTP.
//! It knows no concrete store; whoever starts it hands one in.
//!
//! Read top-down: every route and who may take it ([`routes`]), what all of them share ([`Service`]), then one module
//! for each kind of question: [`commands`], [`calls`], [`read_models`], [`feed`], [`operations`]; and how bytes come in
//! ([`listen`]).

pub mod access;
mod body;
mod budget;
pub mod calls;
mod clock;
mod clock_log;
pub mod commands;
pub mod feed;
pub mod handled;
mod lag;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod operations;
mod problem;
pub mod read_models;
mod request;
pub mod route;
pub mod routes;
pub mod service;
mod settings;
mod shares;
mod sse;
mod start;
mod streamed;
mod telling;
mod turns;
mod values;
mod verify;

pub use problem::Problem;
pub use service::Service;
pub use settings::Settings;
pub use start::Parts;
