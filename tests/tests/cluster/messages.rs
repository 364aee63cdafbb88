//! What people read when something goes wrong: plain sentences that name the nodes, and nothing of the gRPC library.

use super::{call, nodes, open, opened};
use domain::{EventStore, Position, Revision};
use store_eventstoredb::ClusterStore;
use tests::contract::{batches, chatter};
use tests::standin::{Failure, Right, StandIn};

/// Words that only a programmer of the client knows.
const INSIDE: [&str; 9] = [
    "metadata:",
    "MetadataMap",
    "status:",
    "gRPC",
    "grpc",
    "h2 ",
    "transport",
    "Error",
    "exception",
];

#[track_caller]
fn assert_plain(message: &str, expected: &str) {
    assert!(message.contains(expected), "{message}");
    for word in INSIDE {
        assert!(!message.contains(word), "{word:?} in {message}");
    }
}

/// A store that gives up soon, and knows that call `c` has no events.
async fn impatient(cluster: &StandIn) -> ClusterStore {
    let store = opened(&format!("{}&defaultDeadline=600", cluster.url())).await;
    let events = store.read_call(&call("c"), Revision(0)).await;
    assert_eq!(events, Ok(Vec::new()));
    store
}

/// The messages of each kind of call.
async fn messages(store: &ClusterStore) -> [String; 2] {
    let batch = batches(&call("c"), chatter(1)).await.swap_remove(0);
    let written = store.append(batch).await.expect_err("it cannot be kept");
    let read = store.read_call(&call("c"), Revision(0)).await;
    let read = read.expect_err("it cannot be read");
    [written.to_string(), read.to_string()]
}

fn nodes_of(cluster: &StandIn) -> String {
    let ports = cluster.ports().into_iter();
    let names: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    names.join(", ")
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_named_as_that() {
    let cluster = nodes(3);
    let store = impatient(&cluster).await;
    cluster.kill(0);
    cluster.kill(1);
    let expected = format!(
        "the cluster has no leader just now, says one of {}",
        nodes_of(&cluster)
    );
    for message in messages(&store).await {
        assert_plain(&message, &expected);
    }
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_named() {
    let cluster = nodes(1);
    let store = impatient(&cluster).await;
    cluster.faults().refuse_reads(1000, Failure::Unavailable);
    cluster.faults().refuse_writes(1000, Failure::Unavailable);
    let expected = format!(
        "the cluster has no leader just now, says {}",
        nodes_of(&cluster)
    );
    for message in messages(&store).await {
        assert_plain(&message, &expected);
    }
}

#[tokio::test]
async fn opening_a_cluster_without_a_leader_says_so() {
    let cluster = nodes(3);
    cluster.kill(0);
    cluster.kill(1);
    let url = format!("{}&defaultDeadline=600", cluster.url());
    let error = ClusterStore::open(&url)
        .await
        .expect_err("it has no leader");
    assert_plain(
        &error.to_string(),
        "the cluster is not available: the cluster has no leader just now",
    );
}

#[tokio::test]
async fn an_answer_that_is_late_names_the_node() {
    let cluster = nodes(1);
    let store = impatient(&cluster).await;
    cluster.faults().refuse_reads(1000, Failure::Hang);
    cluster.faults().refuse_writes(1000, Failure::Hang);
    let expected = format!("no answer in time from {}", nodes_of(&cluster));
    for message in messages(&store).await {
        assert_plain(&message, &expected);
    }
}

#[tokio::test]
async fn a_node_that_is_gone_is_named() {
    let cluster = nodes(1);
    let store = impatient(&cluster).await;
    cluster.kill(0);
    for message in messages(&store).await {
        assert_plain(&message, &nodes_of(&cluster));
        assert_plain(&message, "connection");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_names_the_node() {
    let cluster = nodes(1);
    let store = impatient(&cluster).await;
    cluster.faults().refuse_reads(1000, Failure::Break);
    cluster.faults().refuse_writes(1000, Failure::Break);
    for message in messages(&store).await {
        assert_plain(&message, &nodes_of(&cluster));
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_agree_in_time_is_quoted() {
    let cluster = nodes(1);
    let store = impatient(&cluster).await;
    cluster.faults().refuse_reads(1000, Failure::TimedOut);
    cluster.faults().refuse_writes(1000, Failure::TimedOut);
    let expected = format!("{} says: Operation timed out", nodes_of(&cluster));
    for message in messages(&store).await {
        assert_plain(&message, &expected);
    }
}

#[tokio::test]
async fn a_missing_right_is_named_without_the_library() {
    let cluster = nodes(1);
    let store = open(&cluster).await;
    cluster.deny(Right::Write);
    cluster.deny(Right::ReadStreams);
    for message in messages(&store).await {
        assert_plain(&message, "the server refuses it without a user name");
    }
    cluster.deny(Right::ReadAll);
    let read = store.read_all(Position::START, 1).await;
    let message = read.expect_err("it is denied").to_string();
    assert_plain(&message, "cannot read $all: the server refuses it");
}
