//! The real program as a service, and its clients.

mod client;
mod cluster;
mod faults;
mod follow;
mod keys;
mod patience;
mod routes;
mod serve;
