//! How clients find out whom they talk to: gossip, and what the server can do.

use super::cluster::Node;
use super::config::HOST;
use super::protocol::gossip::gossip_server::Gossip;
use super::protocol::gossip::member_info::VNodeState;
use super::protocol::gossip::{ClusterInfo, EndPoint, MemberInfo};
use super::protocol::server_features::server_features_server::ServerFeatures;
use super::protocol::server_features::{SupportedMethod, SupportedMethods};
use super::reading::structured;
use super::server::Member;
use std::time::SystemTime;
use tonic::{Request, Response, Status, async_trait};

/// What is served, as a real server lists it: names in lower case.
const METHODS: [(&str, &str, &[&str]); 10] = [
    (
        "event_store.client.streams.streams",
        "read",
        &["position", "events"],
    ),
    ("event_store.client.streams.streams", "append", &[]),
    ("event_store.client.streams.streams", "delete", &[]),
    ("event_store.client.streams.streams", "tombstone", &[]),
    (
        "event_store.client.streams.streams",
        "batchappend",
        &["deadline_duration"],
    ),
    ("event_store.client.gossip.gossip", "read", &[]),
    (
        "event_store.client.operations.operations",
        "resignnode",
        &[],
    ),
    (
        "event_store.client.operations.operations",
        "setnodepriority",
        &[],
    ),
    (
        "event_store.client.operations.operations",
        "startscavenge",
        &[],
    ),
    (
        "event_store.client.server_features.serverfeatures",
        "getsupportedmethods",
        &[],
    ),
];

#[async_trait]
impl Gossip for Member {
    async fn read(&self, request: Request<()>) -> Result<Response<ClusterInfo>, Status> {
        self.cluster.access.identify(request.metadata())?;
        self.cluster.seen().gossip += 1;
        let nodes = self.cluster.nodes();
        let ready = nodes.ready();
        let members = nodes.all.iter().map(|node| member(node, ready)).collect();
        Ok(Response::new(ClusterInfo { members }))
    }
}

#[async_trait]
impl ServerFeatures for Member {
    async fn get_supported_methods(
        &self,
        request: Request<()>,
    ) -> Result<Response<SupportedMethods>, Status> {
        self.cluster.access.identify(request.metadata())?;
        self.cluster.seen().features += 1;
        Ok(Response::new(SupportedMethods {
            methods: METHODS.map(method).into(),
            event_store_server_version: self.cluster.config.version.clone(),
        }))
    }
}

fn member(node: &Node, ready: bool) -> MemberInfo {
    let state = if node.alive() && !ready {
        VNodeState::Unknown
    } else if node.last_led {
        VNodeState::Leader
    } else {
        VNodeState::Follower
    };
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    MemberInfo {
        instance_id: Some(structured(node.id)),
        time_stamp: i64::try_from(since_1970.as_nanos() / 100).unwrap_or(i64::MAX),
        state: state.into(),
        is_alive: node.alive(),
        http_end_point: Some(EndPoint {
            address: HOST.to_owned(),
            port: node.port.into(),
        }),
    }
}

fn method((service, method, features): (&str, &str, &[&str])) -> SupportedMethod {
    SupportedMethod {
        method_name: method.to_owned(),
        service_name: service.to_owned(),
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
    }
}
