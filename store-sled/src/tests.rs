//! What only the inside of the crate can do to a store: a disk that fails, a length that is made up, a history that is
//! hashed again.

use crate::block::GroupBytes;
use crate::error::OpenError;
use crate::jobs::{Append, Job, Work};
use crate::new_log::NewLog;
use crate::notes::{HeadFile, NotedHead};
use crate::open;
use crate::options::Options;
use crate::store::SledStore;
use crate::testing::{a_call, block_on};
use domain::envelope::Hash;
use domain::{AppendError, EventStore as _, Position, StoreError, StoreId};
use std::fs::{self, File};
use std::path::Path;
use tokio::sync::oneshot;

/// Syncing a device fails, so this is a store whose disk fails until its file is opened again.
fn store_that_cannot_sync(path: &Path) -> SledStore {
    let mut found = open::open(path, &Options::default()).expect("a store");
    let device = File::options().write(true).open("/dev/null");
    found.recovered.tail = device.expect("a device");
    SledStore::start(found, &Options::default()).expect("a thread")
}

#[test]
fn a_store_resumes_by_itself_after_a_failed_sync_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let call = a_call("c1").await;
        let store = SledStore::open(folder.path()).expect("a store");
        let kept = store.append(call[0].clone()).await.expect("kept");
        store.close().await.expect("closed");

        let store = store_that_cannot_sync(folder.path());
        let healthy = store.write_health().expect("it can tell");
        let Err(AppendError::Store(StoreError::Unavailable(why))) =
            store.append(call[1].clone()).await
        else {
            panic!("acknowledged what is not on the disk");
        };
        assert!(why.contains("nothing acknowledged is lost"), "{why}");
        let all = store.read_all(Position::START, 10).await;
        assert_eq!(all.as_ref(), Ok(&kept), "what is not durable is not shown");

        let mut health = store.write_health_changed(&healthy).await;
        while health.trouble.is_some() {
            health = store.write_health_changed(&health).await;
        }
        assert_eq!(health.failures, 1);
        let again = store.append(call[1].clone()).await.expect("kept once");
        store.close().await.expect("closed");

        let store = SledStore::open(folder.path()).expect("it opens again");
        let all = store.read_all(Position::START, 10).await.expect("readable");
        assert_eq!(all, [kept, again].concat());
    });
}

/// No event that the domain makes is so long, so the length is a made-up one.
#[test]
fn an_event_that_is_too_long_is_refused_and_others_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let store = SledStore::open(folder.path()).expect("a store");
        let batch = a_call("c1").await.swap_remove(0);
        let mut work = Work::of(batch.clone());
        work.too_long = Some(20_000);
        let (answer, answered) = oneshot::channel();
        let asked = store.ask(Job::Append(Append { work, answer })).await;
        asked.expect("it runs");
        let refused = answered.await.expect("answered").err();
        let what = "an event of 20000 bytes is longer than it takes".to_owned();
        assert_eq!(refused, Some(StoreError::Refused(what).into()));
        store.append(batch).await.expect("kept");
    });
}

/// A closed store with one commit.
fn a_store(path: &Path) -> StoreId {
    block_on(async {
        let store = SledStore::open(path).expect("a store");
        let batch = a_call("c1").await.swap_remove(0);
        store.append(batch).await.expect("kept");
        store.close().await.expect("closed");
        store.id()
    })
}

fn must_refuse(path: &Path) {
    let refused = SledStore::open(path).err();
    assert!(
        matches!(refused, Some(OpenError::Altered { .. })),
        "{refused:?}"
    );
}

#[test]
fn events_that_were_hashed_again_do_not_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let id = a_store(path);
    drop(SledStore::open(path).expect("it opens"));
    let log = path.join("log");
    fs::remove_dir_all(&log).expect("removed");
    fs::create_dir(&log).expect("made");
    let mut new = NewLog::begin(&log, id).expect("a log");
    // As many events of the same length, in a chain that is whole.
    let batch = block_on(a_call("c1")).swap_remove(0);
    for group in GroupBytes::of(batch.events()).each() {
        new.push(group).expect("written");
    }
    new.finish().expect("written");
    must_refuse(path);
}

#[test]
fn a_head_with_another_digest_does_not_open_and_without_it_the_store_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    a_store(path);
    let file = HeadFile::of(path);
    let head = file.read().expect("readable").expect("there");
    assert!(head.before.is_some());
    let digest = Hash([7; 32]);
    file.write(&NotedHead { digest, ..head }).expect("written");
    must_refuse(path);
    // As an earlier version wrote it, it is compared with the index.
    let before = None;
    file.write(&NotedHead {
        digest,
        before,
        ..head
    })
    .expect("written");
    must_refuse(path);
    fs::remove_file(path.join("head")).expect("removed");
    drop(SledStore::open(path).expect("it opens"));
    file.write(&NotedHead { before, ..head }).expect("written");
    drop(SledStore::open(path).expect("an earlier version's opens"));
}
