//! A service on a cluster: its read models miss no event while leaders die, and a damaged call stops no other.

use super::{call, keep, nodes, open};
use domain::{CallId, EventStore, HandleError, Position, Revision, StoreError};
use engine::checkpoints;
use projections::{ActiveCalls, AllFour};
use server::{Service, Settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_eventstoredb::ClusterStore;
use tempfile::{TempDir, tempdir};
use tests::contract::{a_whole_call, chatter, request};
use tests::load::{Load, connect, drive};
use tests::service::{bare, expected};
use tests::standin::{Config, Expected, Proposed, StandIn};
use tokio::time::sleep;

/// The stream of the call that is harmed.
const STREAM: &str = "call-harmed";

async fn until(is_so: impl AsyncFn() -> bool) {
    while !is_so().await {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the read models and the feed were made from all that the store holds now.
async fn is_up_to_date(service: &Service, store: &ClusterStore) -> bool {
    let all = expected(store).await.events();
    service.views.events() == all && service.feed.state().prefix == all
}

/// A service on the cluster that has read a call to be harmed, and others.
async fn serving(cluster: &StandIn) -> (Arc<ClusterStore>, Arc<Service>, TempDir) {
    let store = open(cluster).await;
    keep(&*store, "harmed", chatter(3)).await;
    keep(&*store, "whole", chatter(3)).await;
    let folder = tempdir().unwrap();
    let service = bare(open(cluster).await, folder.path(), Settings::default()).await;
    until(async || is_up_to_date(&service, &store).await).await;
    (store, service, folder)
}

/// The harm is noticed while others write, exactly that call is left out, and the read models are the fold of the rest.
async fn only_that_call_is_left_out(harm: impl FnOnce(&StandIn)) {
    let cluster = nodes(1);
    let (store, service, folder) = serving(&cluster).await;
    // The handler has the call in its cache, and no later revision tells it of the harm.
    let handler = &service.handler;
    let next = request(&call("harmed"), chatter(4).remove(3));
    let answer = handler
        .handle(&next, handler.random_id(), handler.now())
        .await;
    assert!(answer.is_ok(), "{answer:?}");
    harm(&cluster);
    keep(&*store, "another", a_whole_call()).await;
    until(async || service.views.set_aside() == 1).await;
    keep(&*store, "later", chatter(5)).await;
    until(async || is_up_to_date(&service, &store).await).await;
    let damaged = service.views.damaged().await;
    let calls: Vec<_> = damaged.iter().map(|damaged| &damaged.call).collect();
    assert_eq!(calls, [&Some(call("harmed"))], "{damaged:?}");
    let fresh = open(&cluster).await;
    let refused = fresh.read_call(&call("harmed"), Revision(0)).await;
    assert!(refused.is_err_and(|error| error.is_damage()));
    let next = request(&call("harmed"), chatter(5).remove(4));
    until(async || {
        let answer = handler
            .handle(&next, handler.random_id(), handler.now())
            .await;
        matches!(answer, Err(HandleError::Store(StoreError::DamagedEvent(_))))
    })
    .await;
    until(async || is_up_to_date(&service, &store).await).await;
    service.close().await;
    let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
    let all = expected(&*store).await;
    assert!(kept == all);
    assert!(shows(&kept, "later") && !shows(&kept, "harmed"));
}

fn shows(model: &projections::Checkpointed<AllFour>, name: &str) -> bool {
    let name: CallId = call(name);
    let active = model.state().rows_of::<ActiveCalls>();
    active.iter().any(|row| *row.call.0 == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstoned_call_is_left_out_and_others_go_on() {
    only_that_call_is_left_out(|cluster| {
        cluster
            .log()
            .tombstone(STREAM, Expected::Any)
            .expect("deleted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_call_is_left_out_and_others_go_on() {
    only_that_call_is_left_out(|cluster| cluster.log().truncate(STREAM, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_limited_by_max_count_is_left_out_and_others_go_on() {
    only_that_call_is_left_out(|cluster| {
        let limit = Proposed::json("$metadata", &serde_json::json!({"$maxCount": 2}));
        let metadata = format!("$${STREAM}");
        let written = cluster.log().append(&metadata, Expected::Any, vec![limit]);
        written.expect("written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_foreign_event_is_left_out_and_others_go_on() {
    only_that_call_is_left_out(|cluster| {
        let event = Proposed::json("note-added", &serde_json::json!({"note": "hello"}));
        cluster
            .log()
            .append(STREAM, Expected::Any, vec![event])
            .expect("written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_back_once_its_truncation_is_undone() {
    let cluster = nodes(1);
    let (store, service, _folder) = serving(&cluster).await;
    cluster.log().truncate(STREAM, 2);
    keep(&*store, "another", chatter(1)).await;
    until(async || service.views.set_aside() == 1).await;
    cluster.log().truncate(STREAM, 0);
    until(async || service.views.set_aside() == 0 && is_up_to_date(&service, &store).await).await;
    service.close().await;
}

/// For how long the load goes on; `KAIGI_LOAD_SECONDS` makes it longer.
fn lasting() -> Duration {
    let seconds = std::env::var("KAIGI_LOAD_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse().expect("whole seconds"));
    Duration::from_secs(seconds.unwrap_or(5))
}

/// Two services and two writers, every answer 200 ms late. The read models of both are a rebuild in the end.
async fn nothing_is_missing_after_load(kill_every: Option<Duration>) {
    let cluster = StandIn::start_with(Config {
        nodes: 3,
        election: Duration::from_millis(200),
        ..Config::default()
    });
    let store = open(&cluster).await;
    cluster.set_latency(Duration::from_millis(200));
    let mut services = Vec::new();
    for _ in 0..2 {
        let folder = tempdir().unwrap();
        let opened = open(&cluster).await;
        services.push((
            bare(opened, folder.path(), Settings::default()).await,
            folder,
        ));
    }
    let load = Load {
        prefix: "load-".to_owned(),
        calls: 300,
        at_once: 64,
        lasting: lasting(),
        since: Position::START,
    };
    connect(open(&cluster).await, &load).await;
    let began = Instant::now();
    let writers = [open(&cluster).await, open(&cluster).await].map(|store| {
        let load = load.clone();
        tokio::spawn(async move { drive(store, &load).await })
    });
    if let Some(pause) = kill_every {
        while began.elapsed() < lasting() {
            sleep(pause).await;
            if let Some(leader) = cluster.leader() {
                cluster.kill(leader);
                sleep(pause / 2).await;
                cluster.revive(leader);
            }
        }
    }
    let mut accepted = 0;
    for writer in writers {
        accepted += writer.await.expect("the load ends").accepted;
    }
    cluster.set_latency(Duration::ZERO);
    let all = expected(&*store).await;
    assert!(accepted > 0 && all.events().count >= accepted);
    eprintln!(
        "{accepted} commands accepted, {} events",
        all.events().count
    );
    for (service, folder) in services {
        until(async || is_up_to_date(&service, &store).await).await;
        let rebuilt: u64 = service.views.rebuilt().iter().map(|(_, times)| times).sum();
        assert_eq!(rebuilt, 0, "nothing had to be built again");
        service.close().await;
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert!(kept == all, "the read models are not a rebuild");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_a_rebuild_after_load_at_200_ms_an_answer() {
    nothing_is_missing_after_load(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_a_rebuild_after_load_while_leaders_die() {
    nothing_is_missing_after_load(Some(Duration::from_millis(1500))).await;
}
