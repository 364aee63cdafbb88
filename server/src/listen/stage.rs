//! How far the end of the service has come.

/// How far the end has come, for every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// What is under way is answered, and nothing more.
    Stopping,
    /// What is under way has had its time.
    CutOff,
}
