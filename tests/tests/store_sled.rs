//! What is true of the embedded store alone: its files, its layout, and what is left of it after a kill or damage.

use domain::envelope::{Digest, Hash, PersonalPart, verify};
use domain::event::{ConsultEnd, EndCause, LeaveReason, MonitoringEnd};
use domain::{
    AppendError, Batch, CallId, Cause, CommandId, Event, EventStore, Head, KeyId, Position,
    RecordedEvent, Revision, StoreError, StoredEvent, stored,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use store_sled::check::check;
use store_sled::{OpenError, Options, SledStore, layout};
use tempfile::TempDir;
use tests::contract::{a_whole_call, batches, chatter, in_time};
use tests::files::{copy, files};
use tests::hex::{hex, unhex};
use tests::scenario::{
    ANA, BEN, CUSTOMER, EXPERT, SAM, Who, call_completed, call_connected, call_ended,
    conference_dissolved, conference_started, consult_ended, consult_requested, consult_started,
    control, control_vacated, held, joined, left, monitoring_ended, monitoring_moved,
    monitoring_started, released, start, supervisor_barged_in, wrap_up_applied,
    wrap_up_assist_entered, wrap_up_owed, wrap_up_suggested_noting,
};
use uuid::Uuid;

/// A folder that is not there yet, in one that goes when the test ends.
fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/new/store");
    (folder, path)
}

fn every(checkpoint_every: u64) -> Options {
    Options {
        checkpoint_every,
        ..Options::default()
    }
}

fn call(name: &str) -> CallId {
    name.parse().expect("a call")
}

async fn append_all(store: &SledStore, batches: &[Batch]) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    for batch in batches {
        events.extend(store.append(batch.clone()).await.expect("kept"));
    }
    events
}

async fn all_events(store: &SledStore) -> Vec<StoredEvent> {
    let events = store.read_all(Position::START, usize::MAX).await;
    events.expect("readable")
}

// What lies where.

/// An event of each type, in the order in which they are numbered.
fn one_of_each() -> Vec<Event> {
    vec![
        call_connected(ANA),
        consult_requested(ANA, BEN),
        consult_started(ANA, BEN),
        consult_ended(ANA, BEN, ConsultEnd::Merged),
        joined(BEN),
        conference_started(ANA),
        held(CUSTOMER, ANA),
        released(CUSTOMER),
        left(CUSTOMER, LeaveReason::HungUp),
        control(ANA, BEN),
        control_vacated(BEN),
        conference_dissolved(),
        wrap_up_assist_entered(),
        call_ended(EndCause::OnePartyLeft),
        call_completed(),
        wrap_up_owed(ANA),
        wrap_up_applied(ANA, "billing"),
        wrap_up_suggested_noting(BEN, "billing", "note"),
        monitoring_started(SAM, ANA),
        supervisor_barged_in(SAM),
        monitoring_moved(SAM, ANA, BEN),
        monitoring_ended(SAM, MonitoringEnd::CallEnded),
    ]
}

fn cause(name: &str, by: Option<Who>) -> Cause {
    Cause {
        call: call(name),
        command: CommandId(Uuid::from_bytes([0x11; 16])),
        digest: Digest([0x22; 32]),
        at: start(),
        reported_at: None,
        recorded_at: start().plus_millis(7),
        correlation: None,
        actor: by.map(Who::actor),
    }
}

fn finished(cause: Cause, first: Revision, index: u32, events: Vec<Event>) -> Vec<RecordedEvent> {
    let cause = Arc::new(cause);
    let events = events.into_iter().zip(0_u32..);
    let events = events.map(|(event, place)| {
        let text = match &event {
            Event::WrapUpSuggested { .. } => Some("note"),
            _ => None,
        };
        let personal = text.map(|text| PersonalPart {
            key: KeyId(Uuid::from_bytes([0x33; 16])),
            salt: [0x44; 32],
            text: text.into(),
        });
        RecordedEvent {
            cause: Arc::clone(&cause),
            index: index + place,
            revision: first.plus(place as usize),
            payload: stored::encode(&event, personal.as_ref()),
            event,
            personal,
            hash: Hash([u8::try_from(place).expect("few events"); 32]),
        }
    });
    events.collect()
}

/// Three commands: one with an event of each type, two with everything that can surround an event.
fn three_commands() -> Vec<Vec<RecordedEvent>> {
    let late = Cause {
        reported_at: Some(start().minus_millis(1)),
        correlation: Some("w3c".parse().expect("a correlation")),
        ..cause("c2", Some(SAM))
    };
    vec![
        finished(cause("c1", Some(ANA)), Revision(1), 0, one_of_each()),
        finished(late, Revision(300), 2, vec![joined(EXPERT)]),
        finished(cause("c3", None), Revision(1), 0, vec![call_completed()]),
    ]
}

/// 32 bytes a line.
fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| hex(line) + "\n").collect()
}

#[test]
fn a_block_is_written_and_read_as_it_was_frozen() {
    let golden = include_str!("../golden/sled/block-1.hex");
    let commands = three_commands();
    let blocks = layout::blocks_of(Position(41), &commands);
    let [(first, block)] = &blocks[..] else {
        panic!("{} blocks", blocks.len());
    };
    assert_eq!(*first, Position(42));
    assert_eq!(
        hex_lines(block),
        golden,
        "the layout is frozen: give a new one a version"
    );
    let read = layout::events_of(Position(42), &unhex(golden)).expect("readable for ever");
    let positions = read.iter().map(|event| event.position.0);
    assert!(positions.eq(42..42 + 24));
    let events = read.into_iter().map(|event| event.recorded);
    assert_eq!(events.collect::<Vec<_>>(), commands.concat());
}

#[test]
fn every_altered_bit_of_a_block_is_found() {
    let block = unhex(include_str!("../golden/sled/block-1.hex"));
    for place in 0..block.len() * 8 {
        let mut altered = block.clone();
        altered[place / 8] ^= 1 << (place % 8);
        let read = layout::events_of(Position(42), &altered);
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "bit {place}");
    }
    for length in 0..block.len() {
        assert!(layout::events_of(Position(42), &block[..length]).is_err());
    }
    assert!(
        layout::events_of(Position(43), &block).is_err(),
        "it lies elsewhere"
    );
}

#[test]
fn blocks_are_never_so_long_that_sled_would_put_them_aside() {
    let events: Vec<_> = (0..40).flat_map(|_| one_of_each()).collect();
    let mut cause = cause(&"c".repeat(128), Some(SAM));
    cause.correlation = Some("界".repeat(256).parse().expect("a correlation"));
    let events = finished_many(&cause, &events);
    let blocks = layout::blocks_of(Position(0), &[events.clone(), events.clone()]);
    assert!(blocks.len() > 4);
    assert!(blocks.iter().all(|(_, block)| block.len() <= 16 * 1024));
    let read = blocks
        .iter()
        .flat_map(|(first, block)| layout::events_of(*first, block).expect("readable"));
    let read: Vec<_> = read.map(|event| event.recorded).collect();
    assert_eq!(read, [events.clone(), events].concat());
}

fn finished_many(cause: &Cause, events: &[Event]) -> Vec<RecordedEvent> {
    let chunks: Vec<_> = events.chunks(100).map(<[Event]>::to_vec).collect();
    let mut all = Vec::new();
    for chunk in chunks {
        let index = u32::try_from(all.len()).expect("few events");
        let first = Revision(0).plus(all.len() + 1);
        all.extend(finished(cause.clone(), first, index, chunk));
    }
    all
}

// What may be opened.

#[tokio::test]
async fn a_store_that_another_process_has_is_busy() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    let here = SledStore::open(&path).err().expect("busy");
    assert!(matches!(here, OpenError::Busy { .. }), "{here}");
    let there = read_by_another_process(&path);
    assert_eq!(there.status.code(), Some(1));
    let said = String::from_utf8_lossy(&there.stdout).into_owned();
    assert!(said.contains("another process has the store"), "{said}");
    append_all(&store, &batches(&call("c"), chatter(2)).await).await;
    store.close().await.expect("closed");
    let store = SledStore::open(&path).expect("free again");
    assert_eq!(all_events(&store).await.len(), 2);
}

#[tokio::test]
async fn a_newer_programs_store_is_left_exactly_as_it_is() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &batches(&call("c"), chatter(3)).await).await;
    store.close().await.expect("closed");
    let marker = path.join("kaigi-store");
    let said = fs::read_to_string(&marker).expect("a text");
    assert!(said.starts_with("kaigi store, format 2\n"), "{said}");
    let newer = "kaigi store, format 3\nanything\n";
    let check = crc32fast::hash(newer.as_bytes());
    fs::write(&marker, format!("{newer}check {check:08x}\n")).expect("written");
    let before = files(&path);
    let refused = SledStore::open(&path).err().expect("too new");
    let newer = matches!(refused, OpenError::NewerFormat { found: 3, known: 2 });
    assert!(newer, "{refused}");
    assert!(files(&path) == before);
    fs::write(&marker, said.replace("format 2", "format 3")).expect("written");
    let refused = SledStore::open(&path).err().expect("damaged");
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
}

#[test]
fn a_file_is_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "notes").expect("written");
    for path in [path.clone(), path.join("below/it")] {
        let refused = SledStore::open(&path).err().expect("a file");
        assert!(matches!(refused, OpenError::NotAFolder { .. }), "{refused}");
    }
    assert_eq!(fs::read(&path).expect("there still"), b"notes");
}

#[test]
fn a_folder_with_other_things_is_no_store_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("letter.txt"), "dear").expect("written");
    let refused = SledStore::open(folder.path()).err().expect("no store");
    let named = matches!(&refused, OpenError::NotAStore { what, .. } if what == "letter.txt");
    assert!(named, "{refused}");
    assert_eq!(files(folder.path()).len(), 1);
}

/// Root may write anywhere but there, and others may not either.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let refused = SledStore::open(Path::new("/sys/kaigi"))
        .err()
        .expect("not there");
    assert!(
        matches!(refused, OpenError::NotWritable { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_the_program_keeps_beside_the_events_is_left_alone() {
    let (_folder, path) = new_path();
    fs::create_dir_all(path.join("read-models")).expect("a folder");
    fs::write(path.join("read-models/active-calls"), "rows").expect("written");
    let store = SledStore::open(&path).expect("a store");
    store.close().await.expect("closed");
    let kept = fs::read(path.join("read-models/active-calls"));
    assert_eq!(kept.expect("there still"), b"rows");
}

/// The marker is written last, so a process can die before it is.
#[tokio::test]
async fn a_store_that_was_not_finished_being_made_is_finished() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    let id = store.id();
    drop(store);
    fs::remove_file(path.join("kaigi-store")).expect("it was there");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.id(), id);
    drop(store);
    assert!(path.join("kaigi-store").exists());
    fs::remove_dir_all(path.join("log")).expect("it was there");
    let lost = SledStore::open(&path).err().expect("no events");
    assert!(matches!(lost, OpenError::Corrupt { .. }), "{lost}");
    assert!(!path.join("log").exists(), "nothing is made in its place");
}

/// Sled would take it for a damaged snapshot and refuse to open.
#[tokio::test]
async fn a_snapshot_that_sled_did_not_finish_is_no_damage() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    let events = append_all(&store, &batches(&call("c"), chatter(3)).await).await;
    drop(store);
    let half = path.join("index/1/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(half, "half").expect("written");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(all_events(&store).await, events);
}

/// Events, calls and digest of the store in the fixtures.
const FORMAT_2: (u64, u64, &str) = (
    11,
    2,
    "6084682fc22f68a1651d50794a0e37275b1d92e23008cf421c18195cbb87d6c6",
);

/// The folder in the fixtures was written when the format was new, and holds no index. It is read for ever.
#[tokio::test]
async fn a_store_of_todays_format_is_read_as_it_was_frozen() {
    let (_folder, path) = new_path();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-format-2");
    copy(&files(&old), &old, &path);
    let checked = check(&path, &Options::default(), |_, _| {}).expect("whole");
    assert_eq!((checked.events, checked.calls), (FORMAT_2.0, FORMAT_2.1));
    assert_eq!(checked.digest.to_string(), FORMAT_2.2);
    let store = SledStore::open(&path).expect("a store");
    let events = all_events(&store).await;
    let frames = fs::read(path.join("log/00000000000000000001.log")).expect("a log");
    // One commit as it would be written today: the header of the file stands before it.
    let last = events
        .last()
        .expect("there are some")
        .recorded
        .cause
        .command;
    let of_last = events
        .iter()
        .filter(|event| event.recorded.cause.command == last);
    let of_last: Vec<_> = of_last.map(|event| event.recorded.clone()).collect();
    let before = Position(events.len() as u64 - of_last.len() as u64);
    assert!(frames.ends_with(&layout::frames_of(before, &[of_last])));
}

/// The folder in the fixtures was written by the program of that format.
#[tokio::test]
async fn a_store_of_the_first_format_is_brought_to_todays_and_keeps_every_event() {
    let (_folder, path) = new_path();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-format-1");
    copy(&files(&old), &old, &path);
    // A process that died while it did so left half of it.
    fs::create_dir(path.join("log.new")).expect("a folder");
    fs::write(path.join("log.new/00000000000000000001.log"), "half").expect("written");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(
        store.id().to_string(),
        "8c04ba2f-f626-4a18-a6e5-7e426b18c974"
    );
    let all = all_events(&store).await;
    let of_c1 = store
        .read_call(&call("c1"), Revision(0))
        .await
        .expect("there");
    let recorded = of_c1.iter().map(|event| &event.recorded);
    let head = verify(Head::NONE, recorded).expect("an unaltered chain");
    assert_eq!(head.revision, Revision(7));
    assert_eq!(
        head.hash.to_string(),
        "a4f6de5b4e417e1a7de1d0373f2f55f2e30755496d04e832bd8a28f693d50ec0"
    );
    let positions = of_c1.iter().map(|event| event.position.0);
    assert!(positions.eq([1, 3, 4, 5, 6, 7, 8]));
    assert_eq!(all.len(), 8);
    store.close().await.expect("closed");
    assert!(!path.join("events").exists());
    check(&path, &Options::default(), |_, _| {}).expect("whole");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(all_events(&store).await, all);
}

// Writing, closing and the index.

#[tokio::test]
async fn each_commit_is_synced_once() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    let history = batches(&call("c"), chatter(30)).await;
    append_all(&store, &history).await;
    append_all(&store, &history).await;
    let stats = store.stats();
    assert_eq!(
        (stats.commits, stats.syncs),
        (30, 30),
        "repeating writes nothing"
    );
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_closed() {
    let (_folder, path) = new_path();
    let store = Arc::new(SledStore::open(&path).expect("a store"));
    let history = batches(&call("c"), chatter(2)).await;
    append_all(&store, &history[..1]).await;
    let waiter = Arc::clone(&store);
    let waiting = tokio::spawn(async move { waiter.wait_past(Position(1)).await });
    store.close().await.expect("closed");
    let woken = in_time(waiting).await.expect("no panic");
    assert!(
        matches!(woken, Err(StoreError::Unavailable(_))),
        "{woken:?}"
    );
    let append = store.append(history[1].clone()).await;
    let unavailable = matches!(append, Err(AppendError::Store(StoreError::Unavailable(_))));
    assert!(unavailable, "{append:?}");
    let read = store.read_call(&call("c"), Revision(0)).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(store.info().await.is_err());
    assert_eq!(store.close().await, Ok(()), "closing twice does nothing");
}

#[tokio::test]
async fn a_store_can_be_opened_again_at_once() {
    let (_folder, path) = new_path();
    let history = batches(&call("c"), chatter(40)).await;
    for (number, batch) in history.iter().enumerate() {
        let store = SledStore::open(&path).expect("free");
        assert_eq!(all_events(&store).await.len(), number);
        append_all(&store, std::slice::from_ref(batch)).await;
        if number % 2 == 0 {
            store.close().await.expect("closed");
        }
    }
}

#[tokio::test]
async fn after_closing_nothing_is_replayed_and_after_dropping_what_is_behind_the_mark() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &batches(&call("c"), chatter(50)).await).await;
    store.close().await.expect("closed");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.stats().replayed, 0);
    append_all(&store, &batches(&call("d"), chatter(20)).await).await;
    drop(store);
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.stats().replayed, 20);
    assert_eq!(store.info().await.expect("it tells").calls, Some(2));
    store.close().await.expect("closed");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.stats().replayed, 0);
    assert_eq!(all_events(&store).await.len(), 70);
}

/// Completed calls are on disk, and are read from there; opening reads none of them.
#[tokio::test]
async fn memory_follows_the_calls_that_go_on() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &batches(&call("goes-on"), chatter(7)).await).await;
    for number in 0..400 {
        let name = format!("completed-{number}");
        append_all(&store, &batches(&call(&name), a_whole_call()).await).await;
    }
    // Another thread takes them out, many at a time; fewer than that stay until others are completed.
    in_time(async {
        while store.stats().calls_in_memory > 1 + 128 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.close().await.expect("closed");
    let store = SledStore::open(&path).expect("a store");
    assert_eq!(store.stats().calls_in_memory, 1);
    assert_eq!(store.info().await.expect("it tells").calls, Some(401));
    let whole = batches(&call("completed-7"), a_whole_call()).await;
    let expected: usize = whole.iter().map(|batch| batch.events().len()).sum();
    let events = store.read_call(&call("completed-7"), Revision(0)).await;
    assert_eq!(events.expect("readable").len(), expected);
    assert_eq!(store.stats().calls_in_memory, 1, "reading keeps nothing");
}

/// Whether the rows of its calls were newer than the index's mark or not.
#[tokio::test]
async fn a_store_counts_its_calls_after_a_kill_as_before() {
    let (_folder, path) = new_path();
    let store = SledStore::open_with(&path, &every(100_000)).expect("a store");
    for number in 0..400 {
        let name = format!("c{number}");
        append_all(&store, &batches(&call(&name), a_whole_call()).await).await;
    }
    drop(store);
    for _ in 0..2 {
        let store = SledStore::open(&path).expect("a store");
        assert_eq!(store.info().await.expect("it tells").calls, Some(400));
        store.close().await.expect("closed");
    }
}

/// A full disk leaves one when the next file of the log is begun.
#[tokio::test]
async fn a_file_of_the_log_that_was_only_begun_is_in_nobodys_way() {
    let (_folder, path) = new_path();
    let history = batches(&call("c"), chatter(30)).await;
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &history[..5]).await;
    drop(store);
    for (bytes, until) in [(0, 12), (20, 20), (48, 30)] {
        let begun = path.join(format!("log/{until:020}.log"));
        fs::write(&begun, vec![0; bytes]).expect("written");
        let store = SledStore::open(&path).expect("a store");
        append_all(&store, &history[..until]).await;
        drop(store);
        let store = SledStore::open(&path).expect("a store");
        assert_eq!(all_events(&store).await.len(), until);
    }
}

/// Who was shown an event relies on it, whether or not it had been acknowledged when the process died.
#[tokio::test]
async fn what_opening_shows_is_noted_as_acknowledged() {
    let (_folder, path) = new_path();
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &batches(&call("c"), chatter(5)).await).await;
    drop(store);
    let note = path.join("acknowledged");
    let noted = fs::read(&note).expect("a note");
    fs::remove_file(&note).expect("it was there");
    drop(SledStore::open(&path).expect("a store"));
    assert_eq!(fs::read(&note).expect("a note"), noted);
}

/// Nothing the rules allow follows a completed call, but the store does not rely on it.
#[tokio::test]
async fn a_completed_call_that_is_written_to_again_goes_on() {
    let (_folder, path) = new_path();
    let name = call("again");
    let whole = batches(&name, a_whole_call()).await;
    let expected: usize = whole.iter().map(|batch| batch.events().len()).sum();
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &whole).await;
    store.close().await.expect("closed");
    for more in 0..3 {
        let store = SledStore::open(&path).expect("a store");
        let events = store.read_call(&name, Revision(0)).await.expect("readable");
        let last = &events.last().expect("there are some").recorded;
        let head = last.head();
        let mut next = last.clone();
        next.revision = head.revision.plus(1);
        next.index += 1;
        next.hash = next.hash_after(head.hash);
        let batch = Batch::new(head, vec![next]).expect("it continues the call");
        append_all(&store, &[batch]).await;
        if more % 2 == 0 {
            store.close().await.expect("closed");
        }
        drop(store);
        let store = SledStore::open(&path).expect("a store");
        let events = store.read_call(&name, Revision(0)).await.expect("readable");
        assert_eq!(events.len(), expected + more + 1);
        assert_eq!(all_events(&store).await.len(), expected + more + 1);
    }
    check(&path, &Options::default(), |_, _| {}).expect("whole");
}

/// Whatever the distance of checkpoints, and wherever between two of them the store is dropped.
#[tokio::test]
async fn the_index_is_brought_in_while_writing_goes_on() {
    for checkpoint_every in [1, 2, 7, 64] {
        let (_folder, path) = new_path();
        let mut all = Vec::new();
        let mut rows = 0;
        for session in 0..8 {
            let store = SledStore::open_with(&path, &every(checkpoint_every)).expect("a store");
            assert_eq!(all_events(&store).await, all);
            for number in 0..3 {
                let name = format!("{session}-{number}");
                let history = batches(&call(&name), chatter(17 + session)).await;
                all.extend(append_all(&store, &history).await);
            }
            rows += store.stats().index_rows;
        }
        assert!(rows > 0);
        let store = SledStore::open(&path).expect("a store");
        assert_eq!(all_events(&store).await, all);
        for session in 0..8 {
            let events = store
                .read_call(&call(&format!("{session}-1")), Revision(0))
                .await;
            assert_eq!(events.expect("readable").len(), 17 + session);
        }
    }
}

// Kills and damage.

fn child(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_store-child"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// What the process said; one that never ends is no answer.
fn read_by_another_process(path: &Path) -> Output {
    let child = child(&["read", path.to_str().expect("a text")]);
    let (said, output) = mpsc::channel();
    std::thread::spawn(move || said.send(child.wait_with_output()));
    let output = output.recv_timeout(Duration::from_mins(2));
    output.expect("it ends").expect("it ran")
}

/// Starts a process that appends, kills it once it has said so many lines, and answers all it said.
fn append_until_killed(path: &Path, lines: usize) -> Vec<String> {
    let mut child = child(&["append", path.to_str().expect("a text"), "256"]);
    let said = child.stdout.take().expect("it is piped");
    let mut said = BufReader::new(said).lines().map_while(Result::ok);
    let mut heard: Vec<_> = said.by_ref().take(lines).collect();
    child.kill().expect("it runs");
    heard.extend(said);
    child.wait().expect("it ended");
    heard
}

#[tokio::test]
async fn whatever_was_acknowledged_before_a_kill_is_there_after_it() {
    let (_folder, path) = new_path();
    let mut acknowledged: HashMap<CallId, u64> = HashMap::new();
    for (round, lines) in [1, 200, 0, 3000, 20, 1, 6000, 500].into_iter().enumerate() {
        for line in append_until_killed(&path, lines) {
            let Some((call, revision)) = line.split_once(' ') else {
                assert_eq!(line, "open");
                continue;
            };
            // The kill may have cut the last line.
            let Ok(revision) = revision.parse::<u64>() else {
                continue;
            };
            let known = acknowledged.entry(self::call(call)).or_default();
            *known = revision.max(*known);
        }
        let store = SledStore::open_with(&path, &every(256)).expect("it opens after a kill");
        verify_everything(&store, &acknowledged).await;
        if round % 2 == 0 {
            store.close().await.expect("closed");
        }
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
}

async fn verify_everything(store: &SledStore, acknowledged: &HashMap<CallId, u64>) {
    let all = all_events(store).await;
    assert!(
        all.iter()
            .map(|event| event.position.0)
            .eq(1..=all.len() as u64)
    );
    let mut calls: HashMap<&CallId, Vec<&StoredEvent>> = HashMap::new();
    for event in &all {
        let call = &event.recorded.cause.call;
        calls.entry(call).or_default().push(event);
    }
    for (call, events) in &calls {
        let recorded = events.iter().map(|event| &event.recorded);
        verify(Head::NONE, recorded).expect("an unaltered chain");
        let read = store.read_call(call, Revision(0)).await.expect("readable");
        assert!(read.iter().eq(events.iter().copied()));
        if call.as_str().contains("-long-") {
            assert_eq!(events.len(), 500, "a batch is whole");
        }
    }
    for (call, revision) in acknowledged {
        let there = calls.get(call).map_or(0, |events| events.len() as u64);
        assert!(there >= *revision, "{call} is at {there}, not {revision}");
    }
}

/// A small store with several calls, either closed and opened and closed again, or only dropped.
async fn small_store(path: &Path, closed: bool) {
    let store = SledStore::open_with(path, &every(64)).expect("a store");
    for number in 0..6 {
        append_all(
            &store,
            &batches(&call(&format!("c{number}")), a_whole_call()).await,
        )
        .await;
        append_all(
            &store,
            &batches(&call(&format!("d{number}")), chatter(20)).await,
        )
        .await;
    }
    if closed {
        store.close().await.expect("closed");
        // Opening makes sled write a snapshot.
        let store = SledStore::open(path).expect("a store");
        store.close().await.expect("closed");
    }
}

/// Damages the store's files in one way after the other; each is found, by a clear answer and nothing else said, or
/// all events are there still.
async fn found_or_harmless(closed: bool, damages: impl Fn(&Path, &[u8]) -> Vec<Vec<u8>>) {
    let (folder, path) = new_path();
    small_store(&path, closed).await;
    let whole = files(&path);
    let expected = read_by_another_process(&path);
    assert!(expected.status.success());
    let mut found = 0;
    for (file, bytes) in &whole {
        for damaged in damages(file, bytes) {
            let tried = folder.path().join("tried");
            let _ = fs::remove_dir_all(&tried);
            copy(&whole, &path, &tried);
            let name = file.strip_prefix(&path).expect("below it");
            fs::write(tried.join(name), damaged).expect("written");
            let output = read_by_another_process(&tried);
            let said = String::from_utf8_lossy(&output.stdout);
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert_eq!(complaint, "", "{}", name.display());
            match output.status.code() {
                Some(0) => assert!(output.stdout == expected.stdout, "{}", name.display()),
                Some(1) => {
                    assert!(said.contains("damaged"), "{}: {said}", name.display());
                    found += 1;
                }
                other => panic!("{}: {other:?} {said}", name.display()),
            }
        }
    }
    assert!(found > 0);
}

/// So many places, spread over what is not the zeros at the end.
fn flips(bytes: &[u8], most: usize) -> Vec<Vec<u8>> {
    let length = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let places = (0..most.min(length)).map(|number| number * length / most.min(length));
    let flipped = places.enumerate().map(|(number, place)| {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << (number % 8);
        flipped
    });
    flipped.collect()
}

fn most_of(file: &Path) -> usize {
    if file.ends_with("db") { 60 } else { 12 }
}

#[tokio::test]
async fn a_flipped_bit_in_a_closed_store_is_found_or_harmless() {
    found_or_harmless(true, |file, bytes| flips(bytes, most_of(file))).await;
}

#[tokio::test]
async fn a_flipped_bit_in_a_store_that_was_not_closed_is_found_or_harmless() {
    found_or_harmless(false, |file, bytes| flips(bytes, most_of(file))).await;
}

#[tokio::test]
async fn a_truncated_file_is_found_or_harmless() {
    let cuts = |_: &Path, bytes: &[u8]| {
        let cut = (0..8).map(|eighths| bytes[..bytes.len() * eighths / 8].to_vec());
        cut.collect()
    };
    found_or_harmless(true, cuts).await;
    found_or_harmless(false, cuts).await;
}

/// A log cut at the end of a commit looks whole; the last acknowledged position stands beside it.
#[tokio::test]
async fn a_log_that_lost_its_end_is_found() {
    let (_folder, path) = new_path();
    let log = path.join("log/00000000000000000001.log");
    let store = SledStore::open(&path).expect("a store");
    append_all(&store, &batches(&call("c"), chatter(5)).await).await;
    let earlier = fs::metadata(&log).expect("a file").len();
    append_all(&store, &batches(&call("d"), chatter(5)).await).await;
    drop(store);
    let file = File::options().write(true).open(log).expect("a file");
    file.set_len(earlier).expect("shorter");
    let found = SledStore::open(&path).err().expect("its end is lost");
    let said = found.to_string();
    assert!(
        said.contains("end at position 5, and 10 was acknowledged"),
        "{said}"
    );
}
