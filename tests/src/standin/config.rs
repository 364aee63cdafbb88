//! What kind of cluster to start, and what was counted of it.

use super::access::User;
use std::path::PathBuf;
use std::time::Duration;

/// Where every node listens.
pub(super) const HOST: &str = "127.0.0.1";

/// What kind of cluster to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many nodes; the first leads.
    pub nodes: usize,
    /// Where the first node listens, the others behind it; wherever there is room otherwise.
    pub port: Option<u16>,
    /// Who may log in; nobody has to if this is empty.
    pub users: Vec<User>,
    /// Whether connections are encrypted, with a certificate made for this run.
    pub tls: bool,
    /// Where the authority's certificate is written for clients to read; a temporary folder otherwise.
    pub tls_folder: Option<PathBuf>,
    /// The version that clients are told. From 25 on, a subscription that has caught up is told where.
    pub version: String,
    /// The largest append in bytes: names of types, data and metadata.
    pub max_append_size: usize,
    /// How much later each answer arrives, in whole milliseconds.
    pub latency: Duration,
    /// For how long after an election no node is ready: each refuses reads and writes. The first election takes no time.
    pub election: Duration,
    /// After what time the server ends a write that it dropped, because the same one was under way.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 1,
            port: None,
            users: Vec::new(),
            tls: false,
            tls_folder: None,
            version: "24.10.6".to_owned(),
            max_append_size: 1 << 20,
            latency: Duration::ZERO,
            election: Duration::ZERO,
            write_timeout: Duration::from_secs(2),
        }
    }
}

/// How many calls came, failed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Calls of Append.
    pub appends: u64,
    /// Appends within sessions of `BatchAppend`.
    pub batch_appends: u64,
    /// Calls of Delete and Tombstone.
    pub deletes: u64,
    /// Reads to an end.
    pub reads: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Questions for the members of the cluster.
    pub gossip: u64,
    /// Questions for what the server can do.
    pub features: u64,
}
