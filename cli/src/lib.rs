//! The program `kaigi`: chooses the store, and nothing else does.

pub mod args;
pub mod copy;
pub mod demo;
pub mod embedded;
pub mod events;
pub mod exit;
pub mod find;
pub mod follow;
pub mod import;
pub mod keys;
pub mod lines;
pub mod one_call;
pub mod output;
pub mod place;
pub mod progress;
pub mod read_models;
pub mod remote;
pub mod replay;
pub mod run;
pub mod serve;
pub mod sheets;
pub mod show;
pub mod simulate;
pub mod store;
pub mod store_verbs;
pub mod story;
