//! One damaged call is left out, and all others go on.

use crate::nothing_missing::paused;
use crate::read_models::request;
use domain::{EventStore, HandleError, Handler, MemoryStore, Position, StoreError, StoredEvent};
use engine::checkpoints;
use projections::{ActiveCalls, AllFour, Checkpointed};
use serde_json::{Value, json};
use server::Settings;
use server::read_models::WhyRebuilt;
use simulate::{Day, simulate};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store_sled::SledStore;
use tempfile::tempdir;
use tests::scenario::{ANA, end_call};
use tests::service::{Running, Setup, bare, expected};
use tokio::time::sleep;

/// A day in which nothing is over yet, and the position of the third event of one of its calls.
async fn damaged_day(store: &Arc<MemoryStore>) -> Position {
    let handler = Handler::new(Arc::clone(store) as _);
    for request in simulate(&Day { calls: 15, seed: 3 }).take(90) {
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
    let events = store.read_all(Position::START, 1000).await.unwrap();
    let third = events.iter().find(|event| event.recorded.revision.0 == 3);
    let position = third.expect("a call has three events").position;
    store.damage(position, "its bytes are not what was written");
    position
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_damaged_call_is_left_out_and_comes_back_once_it_is_whole() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        let position = damaged_day(&store).await;
        let folder = tempdir().unwrap();
        let service = bare(store.clone(), folder.path(), Settings::default()).await;
        let with_damage = expected(&*store).await;
        until(|| service.views.events() == with_damage.events()).await;
        until(|| service.feed.state().prefix == with_damage.events()).await;
        let damaged = service.views.damaged().await;
        assert_eq!(damaged.len(), 1);
        assert_eq!(damaged[0].position, position);

        store.mend(position);
        let whole = expected(&*store).await;
        assert_ne!(whole.events(), with_damage.events());
        until(|| service.views.events() == whole.events()).await;
        until(|| service.feed.state().prefix == whole.events()).await;
        assert_eq!(service.views.set_aside(), 0);
        service.close().await;
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert!(kept == whole, "the call is back in the read models");
    });
}

#[test]
fn a_checkpoint_with_a_damaged_call_is_gone_on_from_after_a_restart() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        damaged_day(&store).await;
        let folder = tempdir().unwrap();
        let with_damage = expected(&*store).await;
        for _ in 0..2 {
            let service = bare(store.clone(), folder.path(), Settings::default()).await;
            until(|| service.views.events() == with_damage.events()).await;
            assert_eq!(service.views.set_aside(), 1);
            service.close().await;
        }
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert!(kept == with_damage);
    });
}

#[test]
fn with_stop_at_damage_nothing_past_it_is_read() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        let position = damaged_day(&store).await;
        let settings = Settings {
            stop_at_damage: true,
            ..Settings::default()
        };
        let folder = tempdir().unwrap();
        let service = bare(store.clone(), folder.path(), settings).await;
        until(|| service.feed.state().error.is_some()).await;
        until(|| service.views.standing().trouble.is_some()).await;
        sleep(Duration::from_mins(2)).await;
        assert_eq!(service.views.position().0 + 1, position.0);
        assert_eq!(service.feed.state().prefix.position.0 + 1, position.0);
        assert_eq!(service.views.set_aside(), 0);
        store.mend(position);
        let all = expected(&*store).await.events();
        until(|| service.views.events() == all).await;
        until(|| service.feed.state().prefix == all).await;
        service.close().await;
    });
}

/// A day with more events than the feed needs for a mark after the first thousand.
async fn long_day(store: &Arc<MemoryStore>) {
    let handler = Handler::new(Arc::clone(store) as _);
    for request in simulate(&Day {
        calls: 300,
        seed: 5,
    }) {
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
}

#[test]
fn read_models_that_differ_from_the_feed_are_built_again() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        long_day(&store).await;
        let all = store.read_all(Position::START, 10_000).await.unwrap();
        assert!(all.len() > 2 * 1024 + 100, "{}", all.len());
        // A checkpoint of a program that lost a whole call early, and went on without noticing.
        let lost = &all[10].recorded.cause.call;
        let kept = |event: &&StoredEvent| event.recorded.cause.call != *lost;
        let folder = tempdir().unwrap();
        let mut model = Checkpointed::<AllFour>::new(store.id());
        for event in all.iter().filter(kept) {
            model.fold(std::slice::from_ref(event));
        }
        checkpoints::keep(folder.path(), &model).unwrap();

        let service = bare(store.clone(), folder.path(), Settings::default()).await;
        let whole = expected(&*store).await;
        assert_ne!(
            service.views.events(),
            whole.events(),
            "it begins with the loss"
        );
        until(|| service.views.events() == whole.events()).await;
        let rebuilt = service.views.rebuilt();
        assert!(rebuilt.contains(&(WhyRebuilt::Differs, 1)), "{rebuilt:?}");
        assert_eq!(service.feed.state().prefix, whole.events());
        service.close().await;
        let kept = checkpoints::read::<AllFour>(folder.path(), store.id()).unwrap();
        assert!(kept == whole);
    });
}

#[test]
fn a_mended_event_is_no_difference_and_resets_the_feed_once() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        let position = damaged_day(&store).await;
        let folder = tempdir().unwrap();
        let service = bare(store.clone(), folder.path(), Settings::default()).await;
        let before = expected(&*store).await.events();
        until(|| service.views.events() == before).await;
        store.mend(position);
        let whole = expected(&*store).await.events();
        until(|| service.views.events() == whole && service.feed.state().prefix == whole).await;
        sleep(Duration::from_mins(2)).await;
        let rebuilt = service.views.rebuilt();
        assert!(
            rebuilt.contains(&(WhyRebuilt::WholeAgain, 1)),
            "{rebuilt:?}"
        );
        assert!(rebuilt.contains(&(WhyRebuilt::Differs, 0)), "{rebuilt:?}");
        service.close().await;
    });
}

#[test]
fn a_mended_call_takes_commands_again_although_another_is_damaged_in_its_place() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        let first = damaged_day(&store).await;
        let folder = tempdir().unwrap();
        let service = bare(store.clone(), folder.path(), Settings::default()).await;
        let refused = async |event: &StoredEvent| {
            let call = event.recorded.cause.call.as_str();
            let (handler, end) = (&service.handler, request(call, end_call(ANA)));
            let answer = handler.handle(&end, handler.random_id(), handler.now());
            matches!(answer.await, Err(HandleError::Store(_)))
        };
        until(|| service.views.set_aside() == 1).await;
        store.mend(first);
        let events = store.read_all(Position::START, 1000).await.unwrap();
        let at = |position| events.iter().find(|event| event.position == position);
        let mended = at(first).unwrap();
        let is_other =
            |event: &&StoredEvent| event.recorded.cause.call != mended.recorded.cause.call;
        let other = events.iter().rev().find(is_other).unwrap();
        store.damage(other.position, "another one");
        let all = expected(&*store).await.events();
        until(|| service.views.events() == all && service.views.set_aside() == 1).await;
        sleep(Duration::from_secs(3)).await;
        assert!(refused(other).await);
        assert!(!refused(mended).await);
        service.close().await;
    });
}

#[test]
fn stop_at_damage_stops_at_what_a_run_before_has_passed() {
    paused(async {
        let store = Arc::new(MemoryStore::new());
        let position = damaged_day(&store).await;
        let folder = tempdir().unwrap();
        let service = bare(store.clone(), folder.path(), Settings::default()).await;
        let all = expected(&*store).await.events();
        until(|| service.views.events() == all).await;
        service.close().await;
        let settings = Settings {
            stop_at_damage: true,
            ..Settings::default()
        };
        let service = bare(store.clone(), folder.path(), settings).await;
        until(|| service.feed.state().error.is_some()).await;
        until(|| service.views.standing().trouble.is_some()).await;
        assert_eq!(service.views.position().0 + 1, position.0);
        service.close().await;
    });
}

/// A letter of an agent's name, in the second half of the only file of the log.
fn alter_the_log(store: &Path) {
    let mut files = fs::read_dir(store.join("log")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    let is_agent = |name: &[u8]| name.starts_with(b"sim-") && name[4].is_ascii_lowercase();
    let mut names = bytes[half..].windows(5);
    let agent = names.position(is_agent).expect("events name agents");
    bytes[half + agent + 4] ^= 1;
    fs::write(&file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_altered_in_the_embedded_log_leaves_one_call_out_under_load() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let store: Arc<dyn EventStore> = Arc::new(SledStore::open(&path).unwrap());
    let service = bare(Arc::clone(&store), &path.join("kept"), Settings::default()).await;
    let handler = Arc::clone(&service.handler);
    let mut commands = simulate(&Day { calls: 40, seed: 9 });
    for request in commands.by_ref().take(200) {
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
    alter_the_log(&path);
    service.views.rebuild(WhyRebuilt::Asked);
    for request in commands {
        let _ = handler
            .handle(&request, handler.random_id(), handler.now())
            .await;
    }
    until(|| service.views.set_aside() > 0).await;
    let all = expected(&*store).await;
    until(|| service.views.events() == all.events()).await;
    let damaged = service.views.damaged().await;
    let calls: BTreeSet<_> = damaged.iter().map(|damaged| &damaged.call).collect();
    assert_eq!(calls.len(), 1, "{damaged:?}");
    let call = damaged[0]
        .call
        .clone()
        .expect("the index knows whose event it is");
    let end = request(call.as_str(), end_call(ANA));
    let refused = async || {
        let answer = handler
            .handle(&end, handler.random_id(), handler.now())
            .await;
        matches!(answer, Err(HandleError::Store(StoreError::DamagedEvent(_))))
    };
    while !refused().await {
        sleep(Duration::from_millis(50)).await;
    }
    service.close().await;
    // Its index cannot be brought past the damage, so closing fails.
    assert!(store.close().await.is_err());
}

#[tokio::test]
async fn readiness_lists_and_the_feed_name_what_is_left_out() {
    let store = Arc::new(MemoryStore::new());
    let position = damaged_day(&store).await;
    let service = Running::with(Setup {
        store: store.clone(),
        ..Setup::default()
    })
    .await;
    let all = expected(&*store).await;
    until(|| service.service.views.events() == all.events()).await;
    until(|| service.service.views.caught_up() && service.service.feed.state().caught_up).await;
    let ask = async |key: &str, path: &str| -> Value {
        let answer = service.get(key, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    };
    let keys = &service.keys;
    let ready = ask(&keys.reader, "/readyz").await;
    assert_eq!(ready["set_aside"], 1);
    let upkeep = ask(&keys.operator, "/v1/read-models").await;
    assert_eq!(upkeep["set_aside"][0]["position"], position.0);
    assert_eq!(
        upkeep["set_aside"][0]["reason"],
        "its bytes are not what was written"
    );
    let call = upkeep["set_aside"][0]["call"].as_str().unwrap().to_owned();

    let active = ask(&keys.reader, "/v1/active-calls").await;
    assert_eq!(active["count"], all.events().count);
    assert_eq!(active["proof"], all.events().rolling_hash.to_string());
    let rows = active["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["call"] != call.as_str()));
    assert_eq!(rows.len(), all.state().rows_of::<ActiveCalls>().len());

    let page = ask(&keys.auditor, "/v1/events?limit=10000").await;
    let events = page["events"].as_array().unwrap();
    assert_eq!(page["count"], all.events().count);
    assert_eq!(page["rolling_hash"], all.events().rolling_hash.to_string());
    let notices: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "damaged_event")
        .collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0]["position"], position.0);
    assert_eq!(notices[0]["call"], call.as_str());

    let end = json!({"type": "end_call", "by": "agent:ana"});
    let refused = service.send(&call, &end).await;
    assert_eq!(refused.status(), 500, "commands for the call are refused");
    let connect = json!({"type": "connect_call", "agent": "agent:zoe"});
    let connected = service.send("another", &connect).await;
    assert!(connected.status().is_success(), "other calls go on");
    let metrics = service
        .get(&keys.reader, "/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("kaigi_calls_set_aside 1"), "{metrics}");
    assert!(
        metrics.contains(r#"kaigi_read_model_rebuilt_total{why="differs"} 0"#),
        "{metrics}"
    );
    service.stop().await;
}
