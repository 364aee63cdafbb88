//! One node as its clients see it: what each call must pass before it is served.

use super::access::Right;
use super::cluster::Cluster;
use super::config::HOST;
use super::faults::Failure;
use super::protocol::gossip::gossip_server::GossipServer;
use super::protocol::operations::operations_server::OperationsServer;
use super::protocol::server_features::server_features_server::ServerFeaturesServer;
use super::protocol::streams::streams_server::StreamsServer;
use super::status;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tower::util::MapFutureLayer;

/// The largest message: one event of a real server, and what surrounds it.
const LARGEST_MESSAGE: usize = 17 << 20;

/// The answer of one call, still to come.
type Answer = <Routes as Service<http::Request<Body>>>::Future;

/// Serves a node on that runtime.
pub(super) fn start(
    runtime: &Runtime,
    cluster: Arc<Cluster>,
    number: usize,
    listener: TcpListener,
) {
    runtime.spawn(serve(cluster, number, listener));
}

/// Serves one node's clients until its runtime is dropped.
async fn serve(cluster: Arc<Cluster>, number: usize, listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
    // Real servers do not wait for more to send either.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = Server::builder();
    if let Some(certificate) = &cluster.certificate {
        let encrypted = server.tls_config(certificate.server());
        server = encrypted.expect("our own certificate is valid");
    }
    let latency = Arc::clone(&cluster);
    let later = MapFutureLayer::new(move |answer: Answer| {
        let cluster = Arc::clone(&latency);
        async move { cluster.latency.delay(answer).await }
    });
    let member = Member { cluster, number };
    let streams = StreamsServer::new(member.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    server
        .layer(later)
        .add_service(streams)
        .add_service(GossipServer::new(member.clone()))
        .add_service(OperationsServer::new(member.clone()))
        .add_service(ServerFeaturesServer::new(member))
        .serve_with_incoming(incoming)
        .await
        .expect("accepting does not fail");
}

/// A node and the cluster it belongs to.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) cluster: Arc<Cluster>,
    pub(super) number: usize,
}

impl Member {
    /// What a write must pass. A real follower passes a write on to the leader unless the client requires a leader, as
    /// all clients do that prefer one; this one refuses it always.
    pub(super) fn begin_write(&self, headers: &MetadataMap) -> Result<(), Status> {
        self.cluster.access.admit(headers, Right::Write)?;
        self.lead()
    }

    /// What a read must pass; a follower serves it unless the client requires a leader.
    pub(super) async fn begin_read(
        &self,
        headers: &MetadataMap,
        right: Right,
    ) -> Result<(), Status> {
        self.cluster.access.admit(headers, right)?;
        if !self.cluster.nodes().ready() {
            return Err(status::not_ready());
        }
        let requires = headers.get("requires-leader");
        if requires.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
            self.lead()?;
        }
        self.delay().await;
        match self.cluster.faults.before_read() {
            Some(failure) => Err(self.fail(failure).await),
            None => Ok(()),
        }
    }

    pub(super) async fn delay(&self) {
        let delay = self.cluster.faults.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// How a call that is to fail ends, if it does.
    pub(super) async fn fail(&self, failure: Failure) -> Status {
        match failure {
            Failure::Unavailable => status::not_ready(),
            Failure::TimedOut => status::timed_out("the stand-in was told so"),
            Failure::DeadlineExceeded => {
                Status::new(Code::DeadlineExceeded, "the stand-in was told so")
            }
            Failure::NotLeader(number) => {
                let port = self.cluster.nodes().all[number].port;
                status::not_leader(HOST, port)
            }
            Failure::Break => {
                self.cluster.break_connections(self.number);
                std::future::pending().await
            }
            Failure::Hang => std::future::pending().await,
        }
    }

    fn lead(&self) -> Result<(), Status> {
        let nodes = self.cluster.nodes();
        match nodes.leader {
            _ if !nodes.ready() => Err(status::not_ready()),
            None => Err(status::not_ready()),
            Some(leader) if leader == self.number => Ok(()),
            Some(leader) => Err(status::not_leader(HOST, nodes.all[leader].port)),
        }
    }
}
