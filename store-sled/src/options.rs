//! What can be chosen when a store is opened.

/// What can be chosen when a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// After how many events the index on disk is brought up to the log: 65,536 unless said otherwise. More makes
    /// opening after a kill slower, less makes writing slower.
    pub checkpoint_every: u64,
    /// About how many bytes of memory the index on disk is cached in: 64 MiB unless said otherwise. Beside it the calls
    /// that go on are in memory, and nothing else that grows.
    pub cache_bytes: u64,
    /// How long a file of the log may become before the next one is begun: 64 MiB unless said otherwise. Whole files are
    /// archived.
    pub log_file_bytes: u64,
    /// The unit in which sled writes a new index: 2 MiB unless said otherwise. Smaller ones make a store of few calls
    /// smaller, for tests that damage each byte.
    pub index_segment_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_every: 65_536,
            cache_bytes: 64 * 1024 * 1024,
            log_file_bytes: 64 * 1024 * 1024,
            index_segment_bytes: None,
        }
    }
}
