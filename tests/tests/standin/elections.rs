//! Elections that take time, and whom they make the leader.

use super::{append, client, events, kinds, plain, read};
use eventstore::Error;
use eventstore::StreamState::NoStream;
use eventstore::operations::{Client, OperationalOptions};
use std::time::{Duration, Instant};
use tests::standin::protocol::gossip::gossip_client::GossipClient;
use tests::standin::protocol::gossip::member_info::VNodeState;
use tests::standin::{Config, Right, StandIn};
use tonic::Code;

/// Longer than any test waits.
const NEVER: Duration = Duration::from_hours(1);

/// The client has unsigned priorities, and makes 32 bits of them: -1.
const LOWEST: usize = usize::MAX;

fn three_nodes(election: Duration) -> StandIn {
    StandIn::start_with(Config {
        nodes: 3,
        election,
        ..Config::default()
    })
}

/// An operator who talks to the leader.
fn operator(standin: &StandIn) -> Client {
    let settings = format!("{}&discoveryInterval=1", standin.url());
    Client::new(settings.parse().unwrap()).unwrap()
}

async fn resign(standin: &StandIn) {
    let options = OperationalOptions::default();
    let operator = operator(standin);
    operator.resign_node(&options).await.unwrap();
}

async fn set_priority(standin: &StandIn, priority: usize) -> eventstore::Result<()> {
    let options = OperationalOptions::default();
    let operator = operator(standin);
    operator.set_node_priority(priority, &options).await
}

#[tokio::test]
async fn the_first_leader_is_ready_at_once() {
    let standin = three_nodes(NEVER);
    let mut leader = plain::connect(&standin, 0).await;
    plain::append(&mut leader, "call-1").await.unwrap();
}

#[tokio::test]
async fn during_an_election_no_node_is_ready() {
    let standin = three_nodes(NEVER);
    let mut old = plain::connect(&standin, 0).await;
    standin.elect(1);
    assert_eq!(standin.leader(), Some(1));
    let mut new = plain::connect(&standin, 1).await;
    for node in [&mut old, &mut new] {
        let refused = plain::append(node, "call-1").await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unavailable, "Server Is Not Ready")
        );
        let refused = plain::try_follow_all(node).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
    }
}

#[tokio::test]
async fn during_an_election_gossip_names_no_leader() {
    let standin = three_nodes(NEVER);
    standin.kill(0);
    let address = format!("http://127.0.0.1:{}", standin.ports()[2]);
    let mut gossip = GossipClient::connect(address).await.unwrap();
    let members = gossip.read(()).await.unwrap().into_inner().members;
    let alive = members.iter().filter(|member| member.is_alive);
    let unknown = alive.filter(|member| member.state == VNodeState::Unknown as i32);
    assert_eq!(unknown.count(), 2);
}

#[tokio::test]
async fn after_an_election_the_new_leader_is_ready() {
    const ELECTION: Duration = Duration::from_millis(200);
    let standin = three_nodes(ELECTION);
    let began = Instant::now();
    standin.elect(1);
    let mut leader = plain::connect(&standin, 1).await;
    while let Err(refused) = plain::append(&mut leader, "call-1").await {
        assert_eq!(refused.code(), Code::Unavailable);
    }
    assert!(began.elapsed() >= ELECTION, "{:?}", began.elapsed());
    let leader = client(&format!("{}&nodePreference=leader", standin.url()));
    assert_eq!(kinds(&read(&leader, "call-1").await.unwrap()), ["a"]);
    append(&leader, "call-2", NoStream, events(["b"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_leader_that_resigns_can_be_elected_again() {
    let standin = three_nodes(Duration::ZERO);
    standin.faults().elect_again(1);
    set_priority(&standin, LOWEST).await.unwrap();
    resign(&standin).await;
    assert_eq!(standin.leader(), Some(0));
    resign(&standin).await;
    assert_eq!(standin.leader(), Some(1));
}

#[tokio::test]
async fn a_preferred_leader_resigns_for_a_node_of_higher_priority_only() {
    let standin = three_nodes(Duration::ZERO);
    standin.faults().prefer_the_leader();
    resign(&standin).await;
    assert_eq!(standin.leader(), Some(0));
    set_priority(&standin, LOWEST).await.unwrap();
    resign(&standin).await;
    assert_eq!(standin.leader(), Some(1));
}

#[tokio::test]
async fn the_living_node_of_the_highest_priority_is_elected() {
    let standin = three_nodes(Duration::ZERO);
    standin.elect(1);
    set_priority(&standin, LOWEST).await.unwrap();
    standin.elect(0);
    standin.kill(0);
    assert_eq!(standin.leader(), Some(2));
}

#[tokio::test]
async fn a_node_that_starts_again_has_its_first_priority() {
    let standin = three_nodes(Duration::ZERO);
    set_priority(&standin, LOWEST).await.unwrap();
    standin.kill(0);
    standin.revive(0);
    standin.kill(1);
    assert_eq!(standin.leader(), Some(0));
}

#[tokio::test]
async fn only_an_operator_sets_a_priority() {
    let standin = three_nodes(Duration::ZERO);
    standin.deny(Right::Operate);
    let refused = set_priority(&standin, LOWEST).await;
    assert!(matches!(refused, Err(Error::AccessDenied)), "{refused:?}");
}
