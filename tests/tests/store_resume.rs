//! The embedded store while its files are deleted, replaced or moved under it: it takes no events until they are back.

use domain::{
    AppendError, Batch, CallId, EventStore, Position, StoreError, StoredEvent, WriteHealth,
};
use std::fs;
use std::path::{Path, PathBuf};
use store_sled::check::check;
use store_sled::{Options, SledStore};
use tempfile::{TempDir, tempdir};
use tests::contract::{a_whole_call, batches, chatter};

fn call(number: usize) -> CallId {
    format!("c{number}").parse().unwrap()
}

/// Files of the log are closed early, so that there are several.
fn short_files() -> Options {
    Options {
        log_file_bytes: 1024,
        ..Options::default()
    }
}

/// A store with completed calls and calls that go on, and its events.
async fn a_store() -> (TempDir, PathBuf, SledStore, Vec<StoredEvent>) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let store = SledStore::open_with(&path, &short_files()).unwrap();
    let mut events = Vec::new();
    for number in 0..4 {
        for batch in history(number).await {
            events.extend(store.append(batch).await.unwrap());
        }
    }
    (folder, path, store, events)
}

async fn history(number: usize) -> Vec<Batch> {
    if number.is_multiple_of(2) {
        batches(&call(number), a_whole_call()).await
    } else {
        batches(&call(number), chatter(6)).await
    }
}

/// A batch of a call that the store does not have yet.
async fn a_batch(number: usize) -> Batch {
    history(number).await.swap_remove(0)
}

async fn until(store: &SledStore, is_so: impl Fn(&WriteHealth) -> bool) -> WriteHealth {
    let mut health = store.write_health().unwrap();
    while !is_so(&health) {
        health = store.write_health_changed(&health).await;
    }
    health
}

async fn until_it_says_so(store: &SledStore, file: &Path) {
    let health = until(store, |health| health.trouble.is_some()).await;
    let why = health.trouble.unwrap();
    assert!(why.contains("deleted, replaced or moved"), "{why}");
    assert!(why.contains(&file.display().to_string()), "{why}");
}

async fn must_refuse(store: &SledStore, number: usize) {
    match store.append(a_batch(number).await).await {
        Err(AppendError::Store(StoreError::Unavailable(why))) => {
            assert!(why.contains("deleted, replaced or moved"), "{why}");
        }
        other => panic!("acknowledged without its files: {other:?}"),
    }
}

/// Closes the store and opens it again: it has these events, and nothing is damaged.
async fn must_have(store: SledStore, path: &Path, events: &[StoredEvent]) {
    store.close().await.unwrap();
    let checked = check(path, &Options::default(), |_, _| {}).unwrap();
    assert_eq!(checked.events, events.len() as u64);
    let store = SledStore::open(path).unwrap();
    let all = store.read_all(Position::START, usize::MAX).await.unwrap();
    assert_eq!(all, events);
}

#[tokio::test]
async fn a_commit_to_a_deleted_log_is_not_acknowledged() {
    let (_folder, path, store, _) = a_store().await;
    fs::remove_dir_all(&path).unwrap();
    // The first append finds out, whether or not the store has looked since.
    must_refuse(&store, 9).await;
    must_refuse(&store, 9).await;
    let health = store.write_health().unwrap();
    assert_eq!(health.failures, 1);
    assert!(health.trouble.is_some());
}

#[tokio::test]
async fn an_idle_store_notices_each_file_that_it_must_not_lose() {
    for name in ["log", "lock", "acknowledged", "kaigi-store"] {
        let (_folder, path, store, events) = a_store().await;
        let (file, aside) = (path.join(name), path.with_file_name("aside"));
        fs::rename(&file, &aside).unwrap();
        until_it_says_so(&store, &file).await;
        must_refuse(&store, 9).await;
        fs::rename(&aside, &file).unwrap();
        until(&store, |health| health.trouble.is_none()).await;
        let mut events = events;
        events.extend(store.append(a_batch(9).await).await.unwrap());
        must_have(store, &path, &events).await;
    }
}

#[tokio::test]
async fn a_file_of_the_log_that_is_not_written_to_any_more_is_missed_too() {
    let (_folder, path, store, _) = a_store().await;
    let first = path.join("log/00000000000000000001.log");
    let newest = fs::read_dir(path.join("log")).unwrap().count();
    assert!(newest > 1, "the log has one file only");
    fs::remove_file(&first).unwrap();
    until_it_says_so(&store, &first).await;
}

#[tokio::test]
async fn a_copy_in_the_place_of_the_log_is_another_file() {
    let (_folder, path, store, _) = a_store().await;
    let log = path.join("log");
    let aside = path.with_file_name("aside");
    fs::rename(&log, &aside).unwrap();
    let kept = tests::files::files(&aside);
    tests::files::copy(&kept, &aside, &log);
    must_refuse(&store, 9).await;
}

#[tokio::test]
async fn a_deleted_index_is_made_anew_while_the_store_is_open() {
    let (_folder, path, store, mut events) = a_store().await;
    fs::remove_dir_all(path.join("index")).unwrap();
    until(&store, |health| {
        health.failures == 1 && health.trouble.is_none()
    })
    .await;
    for number in 0..4 {
        let read = store.read_call(&call(number), domain::Revision(0)).await;
        let of_call = |event: &&StoredEvent| event.recorded.cause.call == call(number);
        let expected: Vec<_> = events.iter().filter(of_call).cloned().collect();
        assert_eq!(read.unwrap(), expected);
    }
    for batch in history(10).await {
        events.extend(store.append(batch).await.unwrap());
    }
    must_have(store, &path, &events).await;
}

#[tokio::test]
async fn archiving_is_no_loss_of_files() {
    let (folder, path, store, _) = a_store().await;
    let later = domain::now().plus_millis(60_000);
    let archived = store.archive(later, &folder.path().join("archive")).await;
    assert!(archived.unwrap().events > 0);
    // Two looks go by.
    for _ in 0..2 {
        let health = store.write_health().unwrap();
        let changed = store.write_health_changed(&health);
        let looked = tokio::time::timeout(std::time::Duration::from_millis(1100), changed).await;
        assert!(looked.is_err(), "{looked:?}");
    }
    store.append(a_batch(9).await).await.unwrap();
    store.close().await.unwrap();
    check(&path, &Options::default(), |_, _| {}).unwrap();
}
