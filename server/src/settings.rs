//! What an operator may choose. Every limit is one a client can run into, and is named in the answer then.

use serde::{Deserialize, Serialize};

/// What an operator may choose of the service itself; where it listens and by which keys, says whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How far ahead of the server's clock a command's `at` may lie, in milliseconds.
    pub max_ahead_ms: u64,
    /// The most bytes of a body that is one command.
    pub max_body_bytes: usize,
    /// The most bytes of a request's line and headers together.
    pub max_header_bytes: usize,
    /// How long a client may take to send its headers, in milliseconds; and for the handshake before them.
    pub header_timeout_ms: u64,
    /// How long a client may send nothing of a body, a stream of commands among them, or take nothing of an answer, in
    /// milliseconds. A body that is no stream must be there as a whole within four times as long.
    pub idle_timeout_ms: u64,
    /// How long a connection without a request is kept, in milliseconds.
    pub keep_alive_ms: u64,
    /// How long a connection without a request is kept on which no request was admitted with a key, in milliseconds; at
    /// most as long as others.
    pub keep_alive_anonymous_ms: u64,
    /// How many connections are served at once; an eighth of them is for keys with the role telephony.
    pub max_connections: usize,
    /// How many connections of one address are served at once on which no request was admitted with a key; 0 for as many
    /// as there are places.
    pub max_anonymous_per_address: usize,
    /// How many requests a second a key of any role may make; 0 for the rates of its roles. A line of a stream of
    /// commands counts as a request. A key with several roles has the rate of the fastest.
    pub rate_per_key: u32,
    /// How many requests a second a key with the role telephony may make; 0 for no limit.
    pub rate_telephony: u32,
    /// The same of desk.
    pub rate_desk: u32,
    /// The same of supervisor.
    pub rate_supervisor: u32,
    /// The same of reader.
    pub rate_reader: u32,
    /// The same of auditor.
    pub rate_auditor: u32,
    /// The same of operator.
    pub rate_operator: u32,
    /// For how long a key that does not ask saves up requests that it may then make at once, in milliseconds.
    pub rate_burst_ms: u64,
    /// How many streams, of server-sent events or of commands, a key may have open at once.
    pub max_streams_per_key: usize,
    /// How many bytes of answers may be made and wait to be sent, for one key. More answers of the key wait.
    pub max_unsent_bytes_per_key: usize,
    /// The same for all keys together.
    pub max_unsent_bytes: usize,
    /// How long what is under way may take once the service was told to stop, in milliseconds.
    pub grace_ms: u64,
    /// How long a stream may be silent before it says that it is still there, in milliseconds.
    pub heartbeat_ms: u64,
    /// How many events may wait for a subscriber before it is cut off.
    pub max_waiting_events: usize,
    /// The longest that a question waits for a position, in milliseconds.
    pub max_wait_ms: u64,
    /// The origins whose pages may ask from a browser, beside the service's own.
    pub allowed_origins: Vec<String>,
    /// How long a token for a stream lets a browser connect, in milliseconds; a stream that began may go on.
    pub token_ttl_ms: u64,
    /// How far behind the read models may be what the feed had, and the feed what the store had, for the service to be
    /// ready, in milliseconds.
    pub max_lag_ms: u64,
    /// Whether the feed and the read models stop at a damaged event, instead of leaving its call out.
    pub stop_at_damage: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_ahead_ms: 60_000,
            max_body_bytes: 64 * 1024,
            max_header_bytes: 16 * 1024,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 30_000,
            // Longer than the usual clients and balancers keep theirs, so that it is they who close an idle connection,
            // and none is closed under a request just sent.
            keep_alive_ms: 120_000,
            keep_alive_anonymous_ms: 10_000,
            max_connections: 4096,
            max_anonymous_per_address: 512,
            rate_per_key: 0,
            rate_telephony: 10_000,
            rate_desk: 10,
            rate_supervisor: 10,
            rate_reader: 100,
            // Copies and backups read all events, page by page.
            rate_auditor: 1_000,
            rate_operator: 1_000,
            rate_burst_ms: 5_000,
            max_streams_per_key: 256,
            max_unsent_bytes_per_key: 32 * 1024 * 1024,
            max_unsent_bytes: 128 * 1024 * 1024,
            grace_ms: 20_000,
            heartbeat_ms: 15_000,
            max_waiting_events: 8192,
            max_wait_ms: 30_000,
            allowed_origins: Vec::new(),
            token_ttl_ms: 300_000,
            max_lag_ms: 5_000,
            stop_at_damage: false,
        }
    }
}
