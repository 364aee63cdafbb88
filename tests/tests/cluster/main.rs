//! The store in a cluster, against the stand-in server: the contract, what is stored, what goes wrong, following, and
//! opening. Where `KAIGI_TEST_ESDB` names a real one, against that, too.

mod ahead;
mod contract;
mod damage;
mod failing;
mod following;
mod loaded;
mod messages;
mod opening;
mod readers;
mod real;
mod serving;
mod stored;

use domain::{Batch, CallId, Command, EventStore};
use std::sync::Arc;
use store_eventstoredb::ClusterStore;
use tests::contract::batches;
use tests::standin::{Config, StandIn};

/// A cluster of so many nodes.
fn nodes(nodes: usize) -> StandIn {
    StandIn::start_with(Config {
        nodes,
        ..Config::default()
    })
}

/// The store in it.
async fn open(cluster: &StandIn) -> Arc<ClusterStore> {
    Arc::new(opened(&cluster.url()).await)
}

async fn opened(url: &str) -> ClusterStore {
    let store = ClusterStore::open(url).await;
    store.unwrap_or_else(|error| panic!("{error}"))
}

fn call(name: &str) -> CallId {
    name.parse().expect("a call's identifier")
}

/// What the commands bring about, kept in the store.
async fn keep(store: &dyn EventStore, name: &str, commands: Vec<Command>) -> Vec<Batch> {
    let batches = batches(&call(name), commands).await;
    for batch in &batches {
        store.append(batch.clone()).await.expect("kept");
    }
    batches
}
