//! Damage in a store's files: each flipped byte is found or provably harmless, the first damage is named, and whatever
//! is whole is salvaged.

use domain::{Batch, CallId, EventStore, Head, Position, Revision, StoredEvent};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use store_sled::check::{CheckError, Checked, check};
use store_sled::repair::{RepairError, Repaired, repair};
use store_sled::{OpenError, Options, SledStore};
use tempfile::TempDir;
use tests::contract::{a_whole_call, batches, chatter, in_time};
use tests::files::{copy, files};

/// How many bytes are flipped, one at a time, unless all are.
const FLIPS: usize = 500;

/// The variable that asks for every byte, if it is set.
const ALL: &str = "KAIGI_TORTURE_FLIPS";

/// A store so small that each of its bytes can be flipped.
fn small() -> Options {
    Options {
        checkpoint_every: 64,
        index_segment_bytes: Some(16 * 1024),
        ..Options::default()
    }
}

/// Calls that are completed and calls that go on; each batch is a commit of its own.
async fn fill(path: &Path, calls: std::ops::Range<usize>) -> Vec<StoredEvent> {
    let store = SledStore::open_with(path, &small()).expect("a store");
    for number in calls {
        let history = if number % 2 == 0 {
            batches(&call(number), a_whole_call()).await
        } else {
            batches(&call(number), chatter(6)).await
        };
        for batch in history {
            store.append(batch).await.expect("kept");
        }
    }
    let all = store.read_all(Position::START, usize::MAX).await;
    store.close().await.expect("closed");
    all.expect("readable")
}

fn call(number: usize) -> CallId {
    format!("c{number}").parse().expect("a call")
}

/// A store that was closed, opened again and closed, as most are.
async fn a_store() -> (TempDir, PathBuf, Vec<StoredEvent>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    fill(&path, 0..4).await;
    let events = fill(&path, 4..6).await;
    (folder, path, events)
}

fn examine(path: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_store-child"))
        .arg("examine")
        .arg(path)
        .output();
    output.expect("it ran")
}

fn without_first_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n');
    end.map_or(&[], |end| &text[end + 1..])
}

fn checked(path: &Path) -> Result<Checked, CheckError> {
    check(path, &Options::default(), |_, _| {})
}

/// What was found of so many flips.
#[derive(Default)]
struct Found {
    damaged: AtomicUsize,
    index: AtomicUsize,
    harmless: AtomicUsize,
}

impl Found {
    /// One byte flipped in a copy of the store, examined by another process.
    fn flip(&self, whole: &Whole, file: &Path, at: usize, tried: &Path) {
        let _ = fs::remove_dir_all(tried);
        copy(&whole.files, &whole.path, tried);
        let name = file.strip_prefix(&whole.path).expect("below it");
        let mut bytes = whole.files[file].clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(tried.join(name), bytes).expect("written");
        let output = examine(tried);
        let said = String::from_utf8_lossy(&output.stdout);
        let place = format!("{} at {at}", name.display());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{place}");
        match output.status.code() {
            Some(0) => {
                let there = without_first_line(&output.stdout);
                assert!(there == whole.events, "{place}: {said}");
                let count = if said.starts_with("whole") {
                    &self.harmless
                } else {
                    &self.index
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Some(1) => {
                assert!(
                    said.contains("damaged") || said.contains("newer program"),
                    "{place}: {said}"
                );
                assert!(
                    !name.starts_with("index"),
                    "no event is damaged: {place}: {said}"
                );
                self.damaged.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("{place}: {other:?} {said}"),
        }
    }
}

/// A store as it was before it was damaged.
struct Whole {
    path: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What a process prints that reads it.
    events: Vec<u8>,
}

/// Places spread over what is not the zeros at the end of the files; most of them in the log.
fn places(whole: &Whole, most: Option<usize>) -> Vec<(PathBuf, usize)> {
    let mut places = Vec::new();
    for (file, bytes) in &whole.files {
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let of_file = most.map_or(length, |most| {
            let is_log = file.extension().is_some_and(|extension| extension == "log");
            let is_index = file.ends_with("index/1/db");
            if is_log {
                most * 6 / 10
            } else if is_index {
                most * 3 / 10
            } else {
                most / 50
            }
        });
        let of_file = of_file.min(length);
        places.extend((0..of_file).map(|number| (file.clone(), number * length / of_file)));
    }
    places
}

#[tokio::test]
async fn each_flipped_byte_is_found_or_harmless() {
    let (folder, path, _) = a_store().await;
    let whole = Whole {
        files: files(&path),
        events: without_first_line(&examine(&path).stdout).to_vec(),
        path,
    };
    assert!(!whole.events.is_empty());
    let most = std::env::var_os(ALL).is_none().then_some(FLIPS);
    let places = places(&whole, most);
    let (found, next) = (Found::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let tried = folder.path().join(format!("tried-{worker}"));
            let (found, next, places, whole) = (&found, &next, &places, &whole);
            scope.spawn(move || {
                while let Some((file, at)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    found.flip(whole, file, *at, &tried);
                }
            });
        }
    });
    let [damaged, index, harmless] =
        [&found.damaged, &found.index, &found.harmless].map(|count| count.load(Ordering::Relaxed));
    println!(
        "flips: {} bytes, {damaged} found as damage, {index} found in the index alone, {harmless} harmless",
        places.len()
    );
    assert_eq!(damaged + index + harmless, places.len());
    assert!(
        most.is_none() || places.len() >= FLIPS * 9 / 10,
        "{}",
        places.len()
    );
    assert!(damaged > 0 && index > 0 && harmless > 0);
}

/// Sled passes over a damaged part of its file and takes what comes after it for all there is: rows are gone or old.
#[tokio::test]
async fn rows_that_sled_loses_in_silence_are_missed() {
    let (folder, path) = (tempfile::tempdir().expect("a folder"), "store");
    let path = folder.path().join(path);
    let options = Options {
        checkpoint_every: 256,
        ..small()
    };
    let mut expected = BTreeMap::new();
    for calls in [0..120, 120..240] {
        let store = SledStore::open_with(&path, &options).expect("a store");
        for number in calls {
            let commands = if number % 3 == 0 {
                chatter(9)
            } else {
                a_whole_call()
            };
            let history = batches(&call(number), commands).await;
            for batch in &history {
                store.append(batch.clone()).await.expect("kept");
            }
            let events: usize = history.iter().map(|batch| batch.events().len()).sum();
            expected.insert(number, events);
        }
        store.close().await.expect("closed");
    }
    let whole = files(&path);
    let length = whole[&path.join("index/1/db")].len();
    let tried = folder.path().join("tried");
    let mut made_anew = 0;
    for place in 0..40 {
        let _ = fs::remove_dir_all(&tried);
        copy(&whole, &path, &tried);
        let db = tried.join("index/1/db");
        let mut bytes = fs::read(&db).expect("a file");
        let at = length * place / 40 / 512 * 512;
        let end = (at + 512).min(length);
        bytes[at..end].fill(0);
        fs::write(&db, bytes).expect("written");
        let store = SledStore::open(&tried).expect("the log is whole");
        made_anew += usize::from(store.stats().replayed > 0);
        for (number, events) in &expected {
            let read = store.read_call(&call(*number), Revision(0)).await;
            let read = read.expect("readable");
            assert_eq!(read.len(), *events, "call {number}, zeros at {at}");
        }
    }
    assert!(made_anew > 5, "{made_anew} indexes were made anew");
}

#[tokio::test]
async fn a_whole_store_is_whole_and_its_digest_is_that_of_its_events() {
    let (_folder, path, events) = a_store().await;
    let checked = checked(&path).expect("nothing is damaged");
    let hashes = events.iter().map(|event| event.recorded.hash);
    let digest = hashes.fold(domain::Head::NONE.hash, domain::envelope::roll);
    assert_eq!(checked.digest, digest);
    assert_eq!(checked.events, events.len() as u64);
    assert_eq!(checked.calls, 6);
    assert_eq!(checked.certain_to, checked.events);
    assert_eq!(checked.torn_bytes, 0);
    assert_eq!(checked.index_rows, 6);
}

fn log_file(path: &Path) -> PathBuf {
    path.join("log/00000000000000000001.log")
}

fn flip_in_log(path: &Path, at: usize) {
    let mut bytes = fs::read(log_file(path)).expect("a log");
    bytes[at] ^= 1;
    fs::write(log_file(path), bytes).expect("written");
}

/// Every byte of the log, so that each kind of field is damaged once; the first damaged event is among those of the
/// frame in which the byte is, and what is named is what the events say.
#[tokio::test]
async fn the_first_damage_is_named_by_call_revision_and_position() {
    let (folder, path, events) = a_store().await;
    let whole = files(&path);
    let length = fs::metadata(log_file(&path)).expect("a log").len();
    let tried = folder.path().join("tried");
    let mut named = 0;
    let step = 37;
    for at in (48..usize::try_from(length).expect("small")).step_by(step) {
        let _ = fs::remove_dir_all(&tried);
        copy(&whole, &path, &tried);
        flip_in_log(&tried, at);
        let Err(CheckError::Damaged(damage)) = checked(&tried) else {
            panic!("byte {at} is not found");
        };
        let position = damage.position.expect("where it is");
        let event = &events[usize::try_from(position - 1).expect("small")];
        assert_eq!(event.position.0, position);
        if let (Some(call), Some(revision)) = (&damage.call, damage.revision) {
            named += 1;
            let recorded = &event.recorded;
            let is = (recorded.cause.call.as_str(), recorded.revision.0);
            assert_eq!((call.as_str(), revision), is, "byte {at}: {damage}");
        }
    }
    let flips = usize::try_from(length).expect("small").div_ceil(step);
    assert!(named * 2 > flips, "{named} of {flips} name a call");
}

// What is salvaged.

fn salvaged(damaged: &Path, into: &Path) -> Repaired {
    let before = files(damaged);
    let repaired = repair(damaged, into, |_, _| {}).expect("something is whole");
    assert!(files(damaged) == before, "the damaged one is only read");
    checked(into).expect("what is salvaged is whole");
    repaired
}

async fn of_call(path: &Path, call: &CallId) -> Vec<StoredEvent> {
    let store = SledStore::open(path).expect("a store");
    let events = store.read_call(call, Revision(0)).await.expect("readable");
    store.close().await.expect("closed");
    events
}

async fn recorded_in(path: &Path) -> Vec<domain::RecordedEvent> {
    let store = SledStore::open(path).expect("a store");
    let all = store.read_all(Position::START, usize::MAX).await;
    store.close().await.expect("closed");
    let recorded = all
        .expect("readable")
        .into_iter()
        .map(|event| event.recorded);
    recorded.collect()
}

fn without_index(path: &Path) {
    fs::remove_dir_all(path.join("index")).expect("it was there");
}

#[tokio::test]
async fn an_event_damaged_in_the_log_comes_back_from_the_index() {
    let (folder, path, events) = a_store().await;
    let length = fs::metadata(log_file(&path)).expect("a log").len();
    let middle = usize::try_from(length).expect("small") / 2;
    flip_in_log(&path, middle);
    let new = folder.path().join("new");
    let repaired = salvaged(&path, &new);
    assert_eq!(repaired.losses, []);
    assert_eq!(repaired.stranded, []);
    assert!(repaired.recovered > 0);
    let all = events.into_iter().map(|event| event.recorded);
    assert_eq!(recorded_in(&new).await, all.collect::<Vec<_>>());
}

/// Wherever the damage is: every event of the new store is one of the old, each call is there up to where the first of
/// its events is lost, and what is lost is listed.
#[tokio::test]
async fn without_the_index_every_whole_event_is_kept_and_every_loss_is_listed() {
    let (folder, path, events) = a_store().await;
    without_index(&path);
    let whole = files(&path);
    let commands = events.chunk_by(|one, other| one.recorded.cause == other.recorded.cause);
    let of_one_command = commands.map(|events| events.len() as u64).max();
    let of_one_command = of_one_command.expect("there are events");
    let length =
        usize::try_from(fs::metadata(log_file(&path)).expect("a log").len()).expect("small");
    for at in (0..length).step_by(length / 40) {
        let (tried, new) = (folder.path().join("tried"), folder.path().join("new"));
        let _ = (fs::remove_dir_all(&tried), fs::remove_dir_all(&new));
        copy(&whole, &path, &tried);
        flip_in_log(&tried, at);
        let repaired = salvaged(&tried, &new);
        let lost = events.len() as u64 - repaired.events - repaired.stranded.len() as u64;
        assert!(lost <= of_one_command, "{lost} are lost");
        for stranded in &repaired.stranded {
            let position = usize::try_from(stranded.position.0).expect("small");
            assert_eq!(stranded, &events[position - 1], "byte {at}");
        }
        let unknown: u64 = repaired
            .unknown
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        assert!(unknown >= lost, "{lost} are lost, {unknown} are listed");
        for number in 0..6 {
            let kept = of_call(&new, &call(number)).await;
            let had = events
                .iter()
                .filter(|event| event.recorded.cause.call == call(number));
            let had: Vec<_> = had.map(|event| &event.recorded).collect();
            let kept: Vec<_> = kept.iter().map(|event| &event.recorded).collect();
            assert_eq!(kept, had[..kept.len()], "byte {at}");
            let listed = repaired
                .losses
                .iter()
                .find(|loss| loss.call == call(number));
            let stranded = listed.map_or(0, |loss| loss.stranded);
            assert!(
                kept.len() as u64 + stranded + lost >= had.len() as u64,
                "byte {at}"
            );
        }
    }
}

#[tokio::test]
async fn a_log_whose_end_is_gone_comes_back_from_the_index() {
    let (folder, path, events) = a_store().await;
    let file = fs::File::options()
        .write(true)
        .open(log_file(&path))
        .expect("a log");
    file.set_len(700).expect("shorter");
    let new = folder.path().join("new");
    let repaired = salvaged(&path, &new);
    assert_eq!(repaired.events, events.len() as u64);
    assert_eq!(repaired.losses, []);
}

/// Completed calls whose rows are written together.
const ROWS_AT_ONCE: usize = 128;

/// The events of completed calls are in the index before its mark reaches them.
async fn a_killed_store_with_rows_after_the_mark() -> (TempDir, PathBuf, Vec<StoredEvent>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = SledStore::open(&path).expect("a store");
    for number in 0..ROWS_AT_ONCE {
        let history = batches(&call(number), a_whole_call()).await;
        let events = history.iter().flat_map(Batch::events).cloned().collect();
        let whole = Batch::new(Head::NONE, events).expect("a call");
        store.append(whole).await.expect("kept");
    }
    in_time(async {
        while store.stats().calls_in_memory > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let all = store.read_all(Position::START, usize::MAX).await;
    drop(store);
    (folder, path, all.expect("readable"))
}

/// The cut is within a commit, so that its rest looks like a torn write.
#[tokio::test]
async fn a_log_that_is_cut_before_the_rows_of_the_index_is_refused_and_not_changed() {
    let (folder, path, events) = a_killed_store_with_rows_after_the_mark().await;
    for note in ["acknowledged", "head"] {
        let _ = fs::remove_file(path.join(note));
    }
    let log = fs::File::options().write(true).open(log_file(&path));
    let log = log.expect("a log");
    let length = log.metadata().expect("a log").len();
    log.set_len(length / 2 + 5).expect("shorter");
    let before = fs::read(log_file(&path)).expect("a log");
    for mark in [false, true] {
        if mark {
            fs::write(path.join("index/1/make-anew"), "").expect("written");
        }
        let Err(CheckError::Damaged(damage)) = checked(&path) else {
            panic!("the lost events are not found");
        };
        assert!(damage.what.contains("brings back"), "{damage}");
        let refused = SledStore::open(&path).err().expect("refused");
        assert!(
            refused.to_string().contains("the index has events up to"),
            "{refused}"
        );
        assert!(fs::read(log_file(&path)).expect("a log") == before);
    }
    let repaired = salvaged(&path, &folder.path().join("new"));
    assert_eq!(repaired.events, events.len() as u64);
    assert_eq!(repaired.losses, []);
}

/// A process that dies while it makes another index leaves both.
#[tokio::test]
async fn an_older_index_that_reaches_beyond_the_log_is_kept() {
    let (_folder, path, events) = a_killed_store_with_rows_after_the_mark().await;
    let log = fs::File::options().write(true).open(log_file(&path));
    log.expect("a log").set_len(700).expect("shorter");
    for note in ["acknowledged", "head"] {
        let _ = fs::remove_file(path.join(note));
    }
    fs::create_dir(path.join("index/2")).expect("a folder");
    assert!(matches!(checked(&path), Err(CheckError::Damaged(_))));
    let refused = SledStore::open(&path).err().expect("refused").to_string();
    let reach = format!("events up to position {},", events.len());
    assert!(refused.contains(&reach), "{refused}");
    assert!(path.join("index/1/db").exists());
}

#[tokio::test]
async fn an_index_noted_to_be_made_anew_is_when_the_log_is_whole() {
    let (_folder, path, events) = a_store().await;
    fs::write(path.join("index/1/make-anew"), "").expect("written");
    let Err(CheckError::Index(_)) = checked(&path) else {
        panic!("the note is not reported");
    };
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.stats().replayed, events.len() as u64);
    store.close().await.expect("closed");
    checked(&path).expect("whole");
}

/// Calls that were completed after the mark get their rows in the copy, not in the store.
#[tokio::test]
async fn a_check_of_a_store_without_its_index_makes_none() {
    let (_folder, path, _) = a_store().await;
    without_index(&path);
    let before = files(&path);
    assert_eq!(checked(&path).expect("whole").index_rows, 6);
    assert!(files(&path) == before && !path.join("index").exists());
}

#[tokio::test]
async fn a_store_that_is_not_damaged_is_salvaged_whole() {
    let (folder, path, events) = a_store().await;
    let new = folder.path().join("new");
    let repaired = salvaged(&path, &new);
    assert_eq!((repaired.recovered, repaired.unknown), (0, vec![]));
    let all = events.into_iter().map(|event| event.recorded);
    assert_eq!(recorded_in(&new).await, all.collect::<Vec<_>>());
    assert!(
        repair(&path, &new, |_, _| {}).is_err(),
        "it is not overwritten"
    );
}

/// Its files do not move under what is read of them, and none is made to find that out.
#[tokio::test]
async fn a_store_that_a_process_has_is_not_salvaged() {
    let (folder, path, _) = a_store().await;
    let new = folder.path().join("new");
    let store = SledStore::open(&path).expect("a store");
    let refused = repair(&path, &new, |_, _| {});
    assert!(
        matches!(refused, Err(RepairError::Open(OpenError::Busy { .. }))),
        "{refused:?}"
    );
    assert!(!new.exists());
    store.close().await.expect("closed");
    fs::remove_file(path.join("lock")).expect("it was there");
    salvaged(&path, &new);
}

#[tokio::test]
async fn nothing_is_salvaged_into_the_damaged_store() {
    let (_folder, path, _) = a_store().await;
    let before = files(&path);
    for into in [path.join("new"), path.join("log/new/er")] {
        let refused = repair(&path, &into, |_, _| {});
        assert!(
            matches!(refused, Err(RepairError::InTheStore(_))),
            "{refused:?}"
        );
    }
    assert!(!path.join("new").exists() && files(&path) == before);
}

#[test]
fn a_store_of_the_first_format_is_not_called_damaged() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-format-1");
    let folder = tempfile::tempdir().expect("a folder");
    copy(&files(&old), &old, folder.path());
    let before = files(folder.path());
    let refused = checked(folder.path()).expect_err("it is to be opened first");
    assert!(matches!(refused, CheckError::FirstFormat), "{refused}");
    assert!(files(folder.path()) == before);
}
