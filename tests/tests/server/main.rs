//! The service, over HTTP on the loopback: what each route asks and answers, and who may take it.

mod access;
mod calls;
mod changes;
mod commands;
mod feed;
mod follower;
mod key_end;
mod listen;
mod metrics;
mod narrow;
mod nothing_missing;
mod openapi;
mod read_models;
mod set_aside;
mod short_pages;
mod stalls;
mod unread;
mod whole_lists;
