//! The four read models, and their changes as they come.

mod answering;
mod asked;
mod batches;
mod changes;
mod csv;
mod ended;
mod explained;
mod filter;
mod follow;
mod format;
mod listed;
mod page;
mod questions;
mod rebuilds;
mod routes;
mod rows;
mod shared;
mod snapshot;
mod stream;
mod views;

pub(crate) use asked::{
    Asked, KAIGI_COMPLETE, KAIGI_POSITION, MadeOf, has, text, unless_stopping, wait,
};
pub(crate) use batches::Rendering;
pub use csv::{csv, csv_of};
pub(crate) use filter::{agent, phase};
pub(crate) use format::{Format, liked_best};
pub(crate) use listed::{Found, found};
pub(crate) use page::{Page, Paging, Place};
pub use rebuilds::WhyRebuilt;
pub(crate) use routes::{
    agent_parameter, list, list_answers, paging_parameters, phase_parameter, queue, routes,
};
pub(crate) use rows::Listed;
pub use shared::Behind;
pub use views::{NotReached, Standing, Views};
