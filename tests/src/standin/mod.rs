//! A stand-in for `EventStoreDB`, also called `KurrentDB`: a server that speaks its published protocol over a log in memory, and fails
//! on demand.
//!
//! It is no database: it keeps nothing, forgets everything when it stops, and was written from the sources of clients
//! and of the server (23.10 and 24.10). It shows how our client side copes with what a server may do; what a real
//! server does, only a real one shows. Clients that others wrote keep it honest (`tests/tests/standin.rs`).

#![allow(
    clippy::result_large_err,
    reason = "the size of an error is that of tonic's status"
)]

mod access;
mod cluster;
mod config;
mod discovery;
mod event;
mod faults;
mod filter;
mod latency;
mod log;
mod operations;
pub mod protocol;
mod reading;
mod server;
mod status;
mod streams;
mod tls;
mod under_way;
mod writing;

pub use access::{Right, User};
pub use config::{Config, Seen};
pub use event::{END_OF_STREAM, Expected, Proposed, Recorded, Refused, Written};
pub use faults::{Failure, Faults};
pub use log::Log;

use cluster::Cluster;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A running cluster on runtimes of its own, so that no test can starve it. Dropping it stops it.
pub struct StandIn {
    cluster: Arc<Cluster>,
}

impl StandIn {
    /// One node, open to everybody.
    pub fn start() -> Self {
        Self::start_with(Config::default())
    }

    /// A cluster as configured.
    pub fn start_with(config: Config) -> Self {
        Self::try_start(config).expect("this machine has room for a few listeners")
    }

    /// A cluster as configured, or why there is none: a port that is taken, say.
    pub fn try_start(config: Config) -> std::io::Result<Self> {
        let cluster = Cluster::start(config, server::start)?;
        Ok(Self { cluster })
    }

    /// The connection string.
    pub fn url(&self) -> String {
        self.url_with("")
    }

    /// The connection string with credentials, which must need no escaping.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    /// Where each node listens, or listened.
    pub fn ports(&self) -> Vec<u16> {
        self.cluster
            .nodes()
            .all
            .iter()
            .map(|node| node.port)
            .collect()
    }

    /// The authority's certificate as a PEM file, if connections are encrypted.
    pub fn authority(&self) -> Option<&Path> {
        let certificate = self.cluster.certificate.as_ref();
        certificate.map(|certificate| certificate.authority.as_path())
    }

    /// Stops a node: its listener and all its connections are gone when this returns. If it led, another one does,
    /// provided that most nodes are alive.
    pub fn kill(&self, node: usize) {
        self.cluster.kill(node);
    }

    /// Starts a killed node again, on the same port. It follows unless there is no other leader.
    pub fn revive(&self, node: usize) {
        let revived = self.cluster.revive(node);
        revived.expect("the port is free as soon as its connections are closed");
    }

    /// Which node leads, or will lead once it is ready.
    pub fn leader(&self) -> Option<usize> {
        self.cluster.nodes().leader
    }

    /// Makes a living node the leader; the one that led follows.
    pub fn elect(&self, node: usize) {
        self.cluster.elect(node);
    }

    /// Closes all connections; the nodes go on.
    pub fn break_connections(&self) {
        for node in 0..self.ports().len() {
            self.cluster.break_connections(node);
        }
    }

    /// Forbids something to everybody.
    pub fn deny(&self, right: Right) {
        self.cluster.access.deny(right);
    }

    /// Takes that back.
    pub fn allow(&self, right: Right) {
        self.cluster.access.allow(right);
    }

    /// From now on each answer arrives that much later, in whole milliseconds; answers do not wait for each other.
    pub fn set_latency(&self, latency: Duration) {
        self.cluster.latency.set(latency);
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// What stands in the log, and ways to it past the protocol.
    pub fn log(&self) -> &Log {
        &self.cluster.log
    }

    /// How many calls came so far.
    pub fn seen(&self) -> Seen {
        *self.cluster.seen()
    }

    /// How many writes are under way: not in the log yet, or not answered.
    pub fn writes_under_way(&self) -> usize {
        self.cluster.under_way.count()
    }

    fn url_with(&self, credentials: &str) -> String {
        let hosts = self.ports().into_iter();
        let hosts: Vec<_> = hosts
            .map(|port| format!("{}:{port}", config::HOST))
            .collect();
        let hosts = hosts.join(",");
        match self.authority() {
            None => format!("esdb://{credentials}{hosts}?tls=false"),
            Some(file) => format!(
                "esdb://{credentials}{hosts}?tls=true&tlsCaFile={}",
                file.display()
            ),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.cluster.stop();
    }
}
