//! Nodes that die, lead and follow.

use super::{append, client, events, kinds, of, plain, read};
use eventstore::StreamState::{Any, NoStream, StreamRevision};
use eventstore::operations::OperationalOptions;
use eventstore::{Client, Error, ReadStreamOptions};
use tests::standin::protocol::gossip::gossip_client::GossipClient;
use tests::standin::protocol::gossip::member_info::VNodeState;
use tests::standin::{Config, Right, StandIn};
use tonic::transport::Channel;

fn three_nodes() -> StandIn {
    StandIn::start_with(Config {
        nodes: 3,
        ..Config::default()
    })
}

/// A client that prefers the leader, or a follower.
fn preferring(standin: &StandIn, node: &str) -> Client {
    client(&format!("{}&nodePreference={node}", standin.url()))
}

/// What a node tells of the cluster: for each node, whether it leads and whether it lives.
async fn gossip(node: u16) -> Vec<(bool, bool)> {
    let channel = Channel::from_shared(format!("http://127.0.0.1:{node}")).unwrap();
    let mut client = GossipClient::connect(channel).await.unwrap();
    let members = client.read(()).await.unwrap().into_inner().members;
    let leader = VNodeState::Leader as i32;
    members
        .iter()
        .map(|member| (member.state == leader, member.is_alive))
        .collect()
}

#[tokio::test]
async fn all_nodes_have_one_log() {
    let standin = three_nodes();
    let leader = preferring(&standin, "leader");
    append(&leader, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let follower = preferring(&standin, "follower");
    assert_eq!(kinds(&read(&follower, "call-1").await.unwrap()), ["a"]);
}

#[tokio::test]
async fn a_follower_names_the_leader_and_refuses_to_write() {
    let standin = three_nodes();
    let follower = preferring(&standin, "follower");
    let refused = append(&follower, "call-1", NoStream, events(["a"])).await;
    let Err(Error::NotLeaderException(leader)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(leader.port, u32::from(standin.ports()[0]));
    append(&follower, "call-1", NoStream, events(["a"]))
        .await
        .expect("the client went to the leader");
}

#[tokio::test]
async fn a_follower_refuses_a_reader_who_requires_the_leader() {
    let standin = three_nodes();
    let follower = preferring(&standin, "follower");
    let options = ReadStreamOptions::default().requires_leader(true);
    let refused = follower.read_stream("call-1", &options).await;
    assert!(
        matches!(refused, Err(Error::NotLeaderException(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn when_the_leader_dies_another_one_leads_and_gossip_says_so() {
    let standin = three_nodes();
    let ports = standin.ports();
    assert_eq!(
        gossip(ports[1]).await,
        [(true, true), (false, true), (false, true)]
    );
    let before = preferring(&standin, "leader");
    append(&before, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    standin.kill(0);
    assert!(
        GossipClient::connect(format!("http://127.0.0.1:{}", ports[0]))
            .await
            .is_err()
    );
    assert_eq!(standin.leader(), Some(1));
    assert_eq!(
        gossip(ports[2]).await,
        [(true, false), (true, true), (false, true)]
    );
    let after = preferring(&standin, "leader");
    append(&after, "call-1", StreamRevision(0), events(["b"]))
        .await
        .unwrap();
    standin.revive(0);
    assert_eq!(
        gossip(ports[0]).await,
        [(false, true), (true, true), (false, true)]
    );
    assert_eq!(standin.leader(), Some(1));
}

#[tokio::test]
async fn without_most_of_its_nodes_a_cluster_writes_nothing() {
    let standin = three_nodes();
    standin.kill(0);
    standin.kill(1);
    assert_eq!(standin.leader(), None);
    let last = of(&standin);
    let refused = append(&last, "call-1", NoStream, events(["a"]))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::ServerError(_)), "{refused}");
    standin.revive(1);
    assert_eq!(standin.leader(), Some(1), "the first that lives");
    let leader = preferring(&standin, "leader");
    append(&leader, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_election_makes_the_leader_a_follower() {
    let standin = three_nodes();
    let old = preferring(&standin, "leader");
    append(&old, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    standin.elect(2);
    let refused = append(&old, "call-1", Any, events(["b"])).await;
    let Err(Error::NotLeaderException(leader)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(leader.port, u32::from(standin.ports()[2]));
}

#[tokio::test]
async fn a_node_that_dies_takes_its_subscriptions_with_it() {
    let standin = three_nodes();
    let mut streams = plain::connect(&standin, 0).await;
    let mut following = plain::follow_all(&mut streams).await;
    plain::until_caught_up(&mut following).await;
    standin.kill(0);
    assert!(plain::next(&mut following).await.is_err());
}

#[tokio::test]
async fn a_single_node_comes_back_with_its_log() {
    let standin = StandIn::start();
    append(&of(&standin), "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    standin.kill(0);
    standin.revive(0);
    assert_eq!(kinds(&read(&of(&standin), "call-1").await.unwrap()), ["a"]);
}

#[tokio::test]
async fn a_leader_that_resigns_follows_and_a_follower_that_is_asked_does_nothing() {
    let standin = three_nodes();
    let resign = async |node: &str| {
        let settings = format!(
            "{}&discoveryInterval=1&nodePreference={node}",
            standin.url()
        );
        let operator = eventstore::operations::Client::new(settings.parse().unwrap()).unwrap();
        operator.resign_node(&OperationalOptions::default()).await
    };
    resign("follower").await.unwrap();
    assert_eq!(standin.leader(), Some(0));
    resign("leader").await.unwrap();
    assert_eq!(standin.leader(), Some(1));
    standin.deny(Right::Operate);
    let refused = resign("leader").await;
    assert!(matches!(refused, Err(Error::AccessDenied)), "{refused:?}");
    assert_eq!(standin.leader(), Some(1));
}

#[tokio::test]
async fn a_leader_without_others_goes_on_leading() {
    let standin = StandIn::start();
    let settings = standin.url().parse().unwrap();
    let operator = eventstore::operations::Client::new(settings).unwrap();
    let resigned = operator.resign_node(&OperationalOptions::default()).await;
    resigned.unwrap();
    assert_eq!(standin.leader(), Some(0));
}
