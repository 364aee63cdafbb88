//! Archiving: completed calls move out of the store and are read as before.

use domain::{
    AppendError, CallId, EventStore, Handler, Position, Revision, StoreError, StoredEvent,
    Timestamp,
};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store_sled::archive::{ArchiveError, Because};
use store_sled::check::check;
use store_sled::{Options, SledStore};
use tempfile::TempDir;
use tests::contract::{a_whole_call, batches, chatter, request};
use tests::past_damage::{Met, met};
use tests::scenario::{ANA, apply_wrap_up, end_call};

fn call(number: usize) -> CallId {
    format!("c{number}").parse().expect("a call")
}

/// So small that a few calls make several files.
fn options() -> Options {
    Options {
        log_file_bytes: 4096,
        ..Options::default()
    }
}

fn open(path: &Path) -> SledStore {
    SledStore::open_with(path, &options()).expect("a store")
}

async fn completed(store: &SledStore, calls: Range<usize>) {
    for number in calls {
        for batch in batches(&call(number), a_whole_call()).await {
            store.append(batch).await.expect("kept");
        }
    }
}

async fn going_on(store: &SledStore, number: usize) {
    for batch in batches(&call(number), chatter(5)).await {
        store.append(batch).await.expect("kept");
    }
}

async fn everything(store: &SledStore) -> Vec<StoredEvent> {
    let all = store.read_all(Position::START, usize::MAX).await;
    all.expect("readable")
}

async fn of_call(store: &SledStore, number: usize) -> Result<Vec<StoredEvent>, StoreError> {
    store.read_call(&call(number), Revision(0)).await
}

fn later() -> Timestamp {
    domain::now().plus_millis(60_000)
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("a folder");
    let bytes = files.map(|file| file.expect("a file").metadata().expect("known").len());
    bytes.sum()
}

/// A store with completed calls, then one that goes on, then completed ones, and what it held.
async fn a_store() -> (TempDir, PathBuf, PathBuf, Vec<StoredEvent>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, archive) = (folder.path().join("store"), folder.path().join("archive"));
    let store = open(&path);
    completed(&store, 0..20).await;
    going_on(&store, 20).await;
    completed(&store, 21..30).await;
    let all = everything(&store).await;
    store.close().await.expect("closed");
    (folder, path, archive, all)
}

#[tokio::test]
async fn what_is_archived_is_read_as_before() {
    let (_folder, path, archive, all) = a_store().await;
    let before = bytes_in(&path.join("log"));
    let store = open(&path);
    let archived = store.archive(later(), &archive).await.expect("archived");
    assert_eq!(archived.because, Because::GoesOn(call(20)));
    assert_eq!(archived.calls, 20);
    let first = all
        .iter()
        .find(|event| event.recorded.cause.call == call(20));
    let first = first.expect("it is there").position.0;
    assert_eq!(archived.up_to, Position(first - 1));
    assert_eq!(archived.events, first - 1);
    assert!(bytes_in(&path.join("log")) < before / 2);
    for _ in 0..2 {
        assert_eq!(everything(&store).await, all);
        assert_eq!(
            store.read_all(Position(7), 5).await.expect("readable"),
            all[7..12]
        );
    }
    for number in 0..30 {
        let had = all
            .iter()
            .filter(|event| event.recorded.cause.call == call(number));
        let there = of_call(&store, number).await.expect("readable");
        assert!(there.iter().eq(had), "call {number}");
    }
    store.close().await.expect("closed");
    let store = open(&path);
    assert_eq!(everything(&store).await, all);
    store.close().await.expect("closed");
    let checked = check(&path, &options(), |_, _| {}).expect("whole");
    assert_eq!(checked.events, all.len() as u64);
}

#[tokio::test]
async fn an_archive_is_a_store_of_its_own_that_nobody_writes_to() {
    let (_folder, path, archive, all) = a_store().await;
    let store = open(&path);
    let archived = store.archive(later(), &archive).await.expect("archived");
    store.close().await.expect("closed");
    let alone = SledStore::open(&archive).expect("a store");
    let events = usize::try_from(archived.up_to.0).expect("few");
    assert_eq!(everything(&alone).await, all[..events]);
    assert_eq!(of_call(&alone, 3).await.expect("readable").len(), {
        let of_three = all
            .iter()
            .filter(|event| event.recorded.cause.call == call(3));
        of_three.count()
    });
    let batch = batches(&call(99), chatter(1)).await.remove(0);
    let Err(AppendError::Store(StoreError::Refused(why))) = alone.append(batch).await else {
        panic!("repeating it changes nothing");
    };
    assert!(why.contains("it is an archive"), "{why}");
    let archived = alone.archive(later(), &path.join("another")).await;
    assert!(
        matches!(archived, Err(ArchiveError::Store(StoreError::Refused(_)))),
        "{archived:?}"
    );
    alone.close().await.expect("closed");
    check(&archive, &options(), |_, _| {}).expect("whole");
}

/// Its end is no torn write, and is not cut off: the store that it belongs to would not open any more.
#[tokio::test]
async fn damage_at_the_end_of_an_archive_is_damage() {
    let (_folder, path, archive, all) = a_store().await;
    let store = open(&path);
    store.archive(later(), &archive).await.expect("archived");
    store.close().await.expect("closed");
    let mut files: Vec<_> = fs::read_dir(archive.join("log"))
        .expect("a folder")
        .map(|file| file.expect("an entry").path())
        .collect();
    files.sort();
    let last = files.pop().expect("it has some");
    let whole = fs::read(&last).expect("a file");
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("it has bytes") ^= 1;
    fs::write(&last, &damaged).expect("written");
    let refused = SledStore::open(&archive).err().expect("damaged");
    assert!(refused.to_string().contains("damaged"), "{refused}");
    assert!(
        fs::read(&last).expect("a file") == damaged,
        "nothing is cut off"
    );
    fs::write(&last, whole).expect("written");
    assert_eq!(everything(&open(&path)).await, all);
}

#[tokio::test]
async fn without_its_archive_a_store_goes_on_and_says_what_is_missing() {
    let (folder, path, archive, all) = a_store().await;
    let store = open(&path);
    let archived = store.archive(later(), &archive).await.expect("archived");
    store.close().await.expect("closed");
    fs::rename(&archive, folder.path().join("elsewhere")).expect("moved");
    let store = open(&path);
    for lost in [
        of_call(&store, 3).await,
        store.read_all(Position::START, 10).await,
    ] {
        let Err(StoreError::Unavailable(why)) = lost else {
            panic!("{lost:?}");
        };
        assert!(why.contains("archive"), "{why}");
    }
    going_on(&store, 50).await;
    assert_eq!(of_call(&store, 20).await.expect("it is here").len(), 5);
    let rest = store
        .read_all(archived.up_to, usize::MAX)
        .await
        .expect("here");
    assert_eq!(
        rest.len(),
        all.len() - usize::try_from(archived.events).expect("few") + 5
    );
    store.close().await.expect("closed");
    fs::rename(folder.path().join("elsewhere"), &archive).expect("moved back");
    let store = open(&path);
    assert_eq!(everything(&store).await.len(), all.len() + 5);
}

#[tokio::test]
async fn what_is_archived_grows_and_only_what_is_before_the_date_goes() {
    let (_folder, path, archive, _) = a_store().await;
    let store = open(&path);
    let long_ago = "2001-01-01T00:00:00.000Z".parse().expect("a time");
    let none = store
        .archive(long_ago, &archive)
        .await
        .expect("nothing to do");
    assert_eq!(none.events, 0);
    assert!(matches!(none.because, Because::Newer(_)), "{none:?}");
    let first = store.archive(later(), &archive).await.expect("archived");
    let done = store
        .archive(later(), &archive)
        .await
        .expect("nothing to do");
    assert_eq!((done.events, done.up_to), (0, first.up_to));
    // The call that held the rest up is completed as any other.
    let store = Arc::new(store);
    let handler = Handler::new(Arc::clone(&store) as Arc<dyn EventStore>);
    for command in [end_call(ANA), apply_wrap_up(ANA, "billing")] {
        let request = request(&call(20), command);
        let answer = handler.handle(&request, handler.random_id(), handler.now());
        answer.await.expect("accepted");
    }
    let all = everything(&store).await;
    let second = store.archive(later(), &archive).await.expect("archived");
    assert_eq!(second.because, Because::End);
    assert_eq!(second.up_to.0, all.len() as u64);
    assert_eq!(everything(&store).await, all);
    going_on(&store, 70).await;
    store.close().await.expect("closed");
    drop((handler, store));
    let store = open(&path);
    assert_eq!(everything(&store).await.len(), all.len() + 5);
    let alone = SledStore::open(&archive).expect("a store");
    assert_eq!(everything(&alone).await, all);
}

/// A process that dies while it archives leaves copies that nobody needs; whatever it had done, the store opens.
#[tokio::test]
async fn an_archive_that_was_not_finished_changes_nothing() {
    let (folder, path, archive, all) = a_store().await;
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).expect("a folder");
    for file in fs::read_dir(path.join("log")).expect("a folder") {
        let file = file.expect("an entry").path();
        fs::copy(&file, kept.join(file.file_name().expect("it has one"))).expect("copied");
    }
    // Before the copies count: they lie beside.
    fs::write(path.join("log/00000000000000000009.part"), "half").expect("written");
    fs::write(path.join("log/00000000000000000009.new"), "half").expect("written");
    let store = open(&path);
    assert_eq!(everything(&store).await, all);
    let archived = store.archive(later(), &archive).await.expect("archived");
    store.close().await.expect("closed");
    // After they count: what was copied is still there, and the rest has not its name yet.
    let rest = path.join(format!("log/{:020}.log", archived.up_to.0 + 1));
    fs::rename(&rest, rest.with_extension("part")).expect("renamed");
    for file in fs::read_dir(&kept).expect("a folder") {
        let file = file.expect("an entry").path();
        let first: u64 = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .parse()
            .expect("a number");
        if first <= archived.up_to.0 {
            let to = path.join("log").join(file.file_name().expect("it has one"));
            fs::copy(&file, to).expect("copied");
        }
    }
    let store = open(&path);
    assert_eq!(everything(&store).await, all);
    going_on(&store, 80).await;
    store.close().await.expect("closed");
    assert_eq!(everything(&open(&path)).await.len(), all.len() + 5);
}

#[tokio::test]
async fn the_archive_is_not_in_the_store() {
    let (_folder, path, _, _) = a_store().await;
    let store = open(&path);
    let refused = store.archive(later(), &path.join("log/old")).await;
    assert!(
        matches!(refused, Err(ArchiveError::InTheStore(_))),
        "{refused:?}"
    );
    assert!(!path.join("log/old").exists());
}

/// Files of two stores have the same names: whatever is in the folder already stays as it is.
#[tokio::test]
async fn a_folder_that_holds_something_else_is_refused_and_left_as_it_is() {
    let (folder, path, archive, all) = a_store().await;
    let other = folder.path().join("other");
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    fs::write(photos.join("holiday.jpg"), "x").expect("written");
    let second = open(&other);
    completed(&second, 0..3).await;
    let held = everything(&second).await;
    second.archive(later(), &archive).await.expect("archived");
    second.close().await.expect("closed");
    let store = open(&path);
    for taken in [&other, &archive] {
        let refused = store.archive(later(), taken).await;
        assert!(
            matches!(refused, Err(ArchiveError::Taken(_))),
            "{refused:?}"
        );
    }
    let refused = store.archive(later(), &photos).await;
    let refused = refused.expect_err("it holds photos").to_string();
    assert!(refused.contains("holiday.jpg"), "{refused}");
    assert_eq!(fs::read_dir(&photos).expect("a folder").count(), 1);
    assert_eq!(everything(&store).await, all);
    assert_eq!(everything(&open(&other)).await, held);
}

#[tokio::test]
async fn archives_may_take_turns() {
    let (folder, path, archive, _) = a_store().await;
    let other = folder.path().join("other");
    let store = open(&folder.path().join("turns"));
    for (turn, to) in [&archive, &other, &archive].into_iter().enumerate() {
        completed(&store, turn * 3..turn * 3 + 3).await;
        let archived = store.archive(later(), to).await.expect("archived");
        assert_eq!(archived.because, Because::End);
    }
    let all = everything(&store).await;
    store.close().await.expect("closed");
    assert_eq!(everything(&open(&folder.path().join("turns"))).await, all);
    assert!(SledStore::is_archive(&archive) && !SledStore::is_archive(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_while_calls_are_archived() {
    let (_folder, path, archive, _) = a_store().await;
    let store = Arc::new(open(&path));
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move { completed(&writer, 100..160).await });
    let reader = Arc::clone(&store);
    let reading = tokio::spawn(async move {
        for _ in 0..50 {
            let all = everything(&reader).await;
            let positions = all.iter().map(|event| event.position.0);
            assert!(positions.eq(1..=all.len() as u64));
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..5 {
        store.archive(later(), &archive).await.expect("archived");
    }
    writing.await.expect("no panic");
    reading.await.expect("no panic");
    let all = everything(&store).await;
    store.close().await.expect("closed");
    assert_eq!(everything(&open(&path)).await, all);
    check(&path, &options(), |_, _| {}).expect("whole");
}

/// Of an archived call the index has positions only, so the hash chain decides which events are whole.
#[tokio::test]
async fn a_flipped_byte_in_an_archive_damages_the_events_of_one_command_at_most() {
    let (_folder, path, archive, all) = a_store().await;
    let store = open(&path);
    store.archive(later(), &archive).await.expect("archived");
    store.close().await.expect("closed");
    let file = archive.join("log/00000000000000000001.log");
    let whole = fs::read(&file).expect("a file");
    let mut reported = 0;
    for at in (48..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).expect("written");
        let store: Arc<dyn EventStore> = Arc::new(open(&path));
        let found = met(&store, Position::START, 1000).await;
        store.close().await.expect("closed");
        let expected = all.iter().cloned().map(Met::from);
        let unlike = found.iter().zip(&all).zip(expected);
        let unlike = unlike.filter(|((found, _), expected)| *found != expected);
        let unlike: Vec<_> = unlike.map(|(unlike, _)| unlike).collect();
        assert_eq!(found.len(), all.len(), "byte {at}");
        for (found, event) in &unlike {
            let cause = &event.recorded.cause;
            let expected = Met::Damaged(event.position, Some(cause.call.clone()));
            assert_eq!(**found, expected, "byte {at}");
            let first = &unlike[0].1.recorded.cause;
            assert_eq!(cause.command, first.command, "byte {at}");
        }
        reported += usize::from(!unlike.is_empty());
    }
    assert!(reported > 0);
}
