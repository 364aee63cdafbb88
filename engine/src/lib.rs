//! What the program and the service share and neither owns.
//!
//! Read top-down: input cut into lines ([`lines`]), many calls at once with the order kept within each ([`in_order`]) and
//! retried while the store is away ([`retry`]), one reader of the store for all that follow it ([`follower`]), read models
//! kept between two runs ([`checkpoints`]), and who may do what ([`keys`]).

pub mod checkpoints;
pub mod follower;
pub mod in_order;
pub mod keys;
pub mod lines;
pub mod retry;
