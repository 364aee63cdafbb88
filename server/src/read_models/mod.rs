//! The read models, and their changes as they come.

mod answering;
mod asked;
mod at_hand;
mod changes;
mod csv;
mod ended;
mod explained;
mod filter;
mod follow;
mod format;
mod listed;
mod models;
mod page;
mod questions;
mod rebuilds;
mod rendering;
mod routes;
mod shared;
mod snapshot;
mod stream;
mod times;
mod views;

pub(crate) use asked::{
    Asked, KAIGI_COMPLETE, KAIGI_POSITION, MadeOf, has, text, unless_stopping, wait,
};
pub use at_hand::{AtHand, NotAnswered, Reply};
pub use csv::{csv, csv_head, csv_records};
pub(crate) use filter::{agent, phase};
pub(crate) use format::{Format, liked_best};
pub(crate) use listed::{Found, found};
pub(crate) use page::{Page, Paging, Place};
pub use rebuilds::WhyRebuilt;
pub(crate) use rebuilds::is_whole_again;
pub(crate) use rendering::Rendering;
pub(crate) use routes::{list, list_answers, paging_parameters, parameter, routes};
pub use shared::Behind;
pub use views::{NotReached, Standing, Views};
