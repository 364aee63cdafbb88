//! The real program as a service, and its clients.

mod client;
mod cluster;
mod faults;
mod follow;
mod full_disk;
mod keys;
mod patience;
mod routes;
mod serve;
