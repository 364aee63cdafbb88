//! Why a cluster's store does not open, each reason with what to do.

/// Why a cluster's store does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The connection string is none.
    #[error(
        "bad connection string: {0}; one looks like esdb://user:password@host:2113?tls=true, and a cluster's names its \
         nodes, separated by commas"
    )]
    Url(String),
    /// No node answers, or the cluster has no leader. It may answer later.
    #[error("{0}")]
    Unreachable(String),
    /// One side speaks TLS and the other does not, or a certificate is not trusted.
    #[error("{0}")]
    Tls(String),
    /// The server does not know the user, or not with that password.
    #[error("{0}")]
    Credentials(String),
    /// The user may not do what every user of a store must.
    #[error("{0}")]
    Right(String),
    /// It answers, and will not answer that; repeating it changes nothing.
    #[error("the server refuses it: {0}")]
    Refused(String),
    /// An old server, to which something is missing.
    #[error("{0}")]
    TooOld(String),
    /// What the cluster holds is not a store of this program, or damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
