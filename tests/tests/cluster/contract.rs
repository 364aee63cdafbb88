//! The contract, put to one node, to three, to three that keep dying, to one that is far away, and to a real server if
//! there is one.

use super::nodes;
use async_trait::async_trait;
use domain::EventStore;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store_eventstoredb::ClusterStore;
use tests::contract::{Opener, checks};
use tests::standin::{Config, Expected, Proposed, StandIn};
use tests::store_contract;
use tokio::task::JoinSet;

/// How many of these events the server takes at once.
const LONGEST_BATCH: usize = 400;

store_contract! {
    one_node: Cluster(nodes(1));
    three_nodes: Cluster(nodes(3));
    a_cluster_that_others_use: Shared;
    nodes_that_die: Dying::start();
}

/// All checks side by side, each with a server of its own: they mostly wait.
async fn the_contract_holds_at(latency: Duration) {
    let mut running = JoinSet::new();
    for check in checks() {
        running.spawn(async move {
            let began = Instant::now();
            let far = Arc::new(Far::at(latency));
            let held = tokio::spawn(check.put_to(far)).await;
            println!("{:>7} ms  {}", began.elapsed().as_millis(), check.name);
            held.is_err().then_some(check.name)
        });
    }
    let failed: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    assert_eq!(failed, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_check_holds_with_20_ms_an_answer() {
    the_contract_holds_at(Duration::from_millis(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_check_holds_with_200_ms_an_answer() {
    the_contract_holds_at(Duration::from_millis(200)).await;
}

/// One node whose answers take a while.
struct Far(Cluster);

impl Far {
    fn at(latency: Duration) -> Self {
        Self(Cluster(StandIn::start_with(Config {
            latency,
            ..Config::default()
        })))
    }
}

#[async_trait]
impl Opener for Far {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.0.open().await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        self.0.reopen(store).await
    }

    async fn beside(&self, store: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        self.0.beside(store).await
    }

    fn longest_batch(&self) -> usize {
        LONGEST_BATCH
    }

    fn turns(&self, usual: usize) -> usize {
        usual.div_ceil(5).min(100)
    }
}

struct Cluster(StandIn);

#[async_trait]
impl Opener for Cluster {
    async fn open(&self) -> Arc<dyn EventStore> {
        open(&self.0.url()).await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        reopen(&self.0.url(), store).await
    }

    async fn beside(&self, _: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        open(&self.0.url()).await
    }

    fn longest_batch(&self) -> usize {
        LONGEST_BATCH
    }
}

async fn open(url: &str) -> Arc<dyn EventStore> {
    let store = ClusterStore::open(url).await;
    Arc::new(store.unwrap_or_else(|error| panic!("{error}")))
}

async fn reopen(url: &str, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
    store.close().await.expect("closed");
    drop(store);
    open(url).await
}

/// One cluster for all checks, in which somebody else's events stand, too.
struct Shared;

static SHARED: LazyLock<StandIn> = LazyLock::new(|| {
    let cluster = nodes(3);
    for number in 0..3000 {
        let event = Proposed::json("order-placed", &serde_json::json!({ "number": number }));
        let stream = format!("orders-{}", number % 7);
        let written = cluster.log().append(&stream, Expected::Any, vec![event]);
        written.expect("nothing is expected of the stream");
    }
    cluster
});

#[async_trait]
impl Opener for Shared {
    async fn open(&self) -> Arc<dyn EventStore> {
        open(&SHARED.url()).await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        reopen(&SHARED.url(), store).await
    }

    async fn beside(&self, _: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        open(&SHARED.url()).await
    }

    fn longest_batch(&self) -> usize {
        LONGEST_BATCH
    }
}

/// A cluster whose leader dies again and again, and comes back.
struct Dying {
    cluster: Arc<StandIn>,
    over: Arc<AtomicBool>,
    killer: Option<JoinHandle<()>>,
}

impl Dying {
    fn start() -> Self {
        let cluster = Arc::new(nodes(3));
        let over = Arc::new(AtomicBool::new(false));
        let killer = {
            let (cluster, over) = (Arc::clone(&cluster), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    die_once(&cluster);
                }
            })
        };
        Self {
            cluster,
            over,
            killer: Some(killer),
        }
    }
}

/// The pauses are part of what is tested: how long a cluster is well, and how long a node is away.
fn die_once(cluster: &StandIn) {
    std::thread::sleep(Duration::from_millis(400));
    let Some(leader) = cluster.leader() else {
        return;
    };
    cluster.kill(leader);
    std::thread::sleep(Duration::from_millis(100));
    cluster.revive(leader);
}

impl Drop for Dying {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(killer) = self.killer.take() {
            let _ = killer.join();
        }
    }
}

#[async_trait]
impl Opener for Dying {
    async fn open(&self) -> Arc<dyn EventStore> {
        open(&self.cluster.url()).await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        reopen(&self.cluster.url(), store).await
    }

    async fn beside(&self, _: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        open(&self.cluster.url()).await
    }

    fn longest_batch(&self) -> usize {
        LONGEST_BATCH
    }
}
