//! Telephone events that another system captured, turned into commands for `kaigi run`.

pub mod asterisk;
mod imported;

pub use imported::{Import, ImportError, Note};
