//! Errors of the vendor's client in plain words. Its own texts show the inside of the gRPC library.

use eventstore::{Error, GrpcConnectionError};

/// What a node answers while it starts, or while the cluster has no leader.
const NOT_READY: &str = "Server Is Not Ready";

/// How texts of the libraries beneath the client begin; a server's own texts do not.
const LIBRARY: [&str; 9] = [
    "transport error",
    "h2 protocol error",
    "error reading a body",
    "client error",
    "connection error",
    "error trying to connect",
    "tcp connect error",
    "Service was not ready",
    "operation was canceled",
];

/// The error in one phrase. The client does not say which node an answer came from, so all nodes that it may have asked
/// are named.
pub(crate) fn in_words(error: &Error, nodes: &str) -> String {
    match error {
        Error::NotLeaderException(leader) => {
            format!("the leader changed to {}:{}", leader.host, leader.port)
        }
        Error::DeadlineExceeded => format!("no answer in time from {nodes}"),
        Error::ConnectionClosed
        | Error::GrpcConnectionError(GrpcConnectionError::MaxDiscoveryAttemptReached(_)) => {
            format!("no connection to {nodes}")
        }
        Error::ServerError(status)
        | Error::GrpcConnectionError(GrpcConnectionError::Grpc(status)) => {
            message_in_words(&message(status), nodes)
        }
        Error::Grpc { message, .. } => message_in_words(message, nodes),
        Error::InitializationError(why)
        | Error::InternalParsingError(why)
        | Error::IllegalStateError(why) => message_in_words(why, nodes),
        error => message_in_words(error.to_string().trim_end_matches('.'), nodes),
    }
}

/// The node knows no leader, or is starting.
pub(crate) fn no_leader() -> Error {
    Error::ServerError(NOT_READY.to_owned())
}

fn message_in_words(message: &str, nodes: &str) -> String {
    if message == NOT_READY {
        return format!("the cluster has no leader just now, says {nodes}");
    }
    if message.is_empty() || LIBRARY.iter().any(|begin| message.starts_with(begin)) {
        return format!("the connection to {nodes} was lost");
    }
    format!("{nodes} says: {}", message.trim_end_matches('.'))
}

/// The message in a status that the client has written out: `status: Unavailable, message: "...", details: ...`.
fn message(status: &str) -> String {
    let Some((_, rest)) = status.split_once(", message: \"") else {
        return status.to_owned();
    };
    let quoted = rest.split("\", details: ").next().unwrap_or_default();
    quoted.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "127.0.0.1:2113";

    fn of_status(message: &str) -> String {
        let status = format!(
            "status: Unavailable, message: {message:?}, details: [], metadata: MetadataMap {{ headers: {{\"a\": \"b\"}} }}"
        );
        in_words(&Error::ServerError(status), NODES)
    }

    #[test]
    fn a_node_without_a_leader_is_named() {
        let told = "the cluster has no leader just now, says 127.0.0.1:2113";
        assert_eq!(of_status("Server Is Not Ready"), told);
        assert_eq!(in_words(&no_leader(), NODES), told);
    }

    #[test]
    fn a_text_of_the_grpc_library_becomes_a_lost_connection() {
        for text in ["transport error", "h2 protocol error: error reading", ""] {
            assert_eq!(of_status(text), "the connection to 127.0.0.1:2113 was lost");
        }
    }

    #[test]
    fn a_message_of_the_server_is_quoted_without_its_status() {
        let told = of_status("Disk \"data\" is full.");
        assert_eq!(told, "127.0.0.1:2113 says: Disk \"data\" is full");
    }

    #[test]
    fn an_answer_that_is_late_names_the_nodes() {
        let told = in_words(&Error::DeadlineExceeded, NODES);
        assert_eq!(told, "no answer in time from 127.0.0.1:2113");
    }
}
