//! Copies of stores: the line of an event, digests, copies, backups and the way back, while commands go on.

use async_trait::async_trait;
use copies::dump::{DumpReader, Fault};
use copies::line::{InvalidLine, parse_line, write_line};
use copies::{
    Backed, Copied, CopyError, Manifest, Progress, Sha256Text, Source, StoreDigest, Verified,
};
use domain::envelope::verify;
use domain::event::EventType;
use domain::json::{InvalidEvent, parse_command};
use domain::stored::{self, Payload};
use domain::{
    AppendError, Batch, CallId, Command, CommandId, EventStore, Handler, Head, MemoryStore,
    Position, Prefix, RecordedEvent, Revision, StoreError, StoreId, StoreInfo, StoredEvent,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store_sled::SledStore;
use tempfile::{TempDir, tempdir};
use tests::arbitrary::what_is_asked_of_a_call;
use tests::contract::{a_whole_call, batches, batches_after, chatter, in_time, request};
use tests::ledger::{history, interleaved};
use tests::scenario::{ANA, BEN, connect_call, start_consult};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use uuid::Uuid;

type Store = Arc<dyn EventStore>;

/// Nobody looks.
fn quiet(_: Progress) {}

fn memory() -> Store {
    Arc::new(MemoryStore::new())
}

fn sled(folder: &TempDir) -> Store {
    let path = folder.path().join("store");
    Arc::new(SledStore::open(&path).expect("a store"))
}

fn call(name: &str) -> CallId {
    name.parse().expect("a call")
}

/// So many calls, their commands in turns, as they come in.
async fn a_day(calls: usize) -> Vec<Batch> {
    let mut rests = Vec::new();
    for number in 0..calls {
        let story = [a_whole_call(), chatter(1 + number % 7)];
        let story = story[usize::from(number % 3 == 0)].clone();
        let batches = batches(&call(&format!("c{number}")), story).await;
        rests.push(batches.into_iter());
    }
    let mut day = Vec::new();
    while !rests.is_empty() {
        rests.retain_mut(|rest| match rest.next() {
            Some(batch) => {
                day.push(batch);
                true
            }
            None => false,
        });
    }
    day
}

async fn filled(store: Store, day: &[Batch]) -> Store {
    for batch in day {
        store.append(batch.clone()).await.expect("kept");
    }
    store
}

async fn stored(store: &dyn EventStore) -> Vec<StoredEvent> {
    let all = store.read_all(Position::START, usize::MAX).await;
    all.expect("readable")
}

async fn recorded(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let events = stored(store).await;
    events.into_iter().map(|event| event.recorded).collect()
}

async fn digest(store: &dyn EventStore) -> StoreDigest {
    let digest = copies::digest(store, &mut quiet).await;
    digest.expect("it verifies")
}

async fn copy(from: &dyn EventStore, to: &dyn EventStore) -> Result<Copied, CopyError> {
    copies::copy(from, to, &mut quiet).await
}

async fn dumped(store: &dyn EventStore, after: Position) -> String {
    let mut out = Vec::new();
    let dumped = copies::dump(store, after, &mut out, &mut quiet).await;
    dumped.expect("it can be written");
    String::from_utf8(out).expect("UTF-8")
}

fn verified(path: &Path) -> Result<Verified, CopyError> {
    Source::at(path)?.verify(&mut quiet)
}

/// Where its faults are, as the program says it.
fn told(error: &CopyError) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

/// A store with something odd about it.
struct Odd {
    inner: MemoryStore,
    id: StoreId,
    /// Its positions are so many times as far apart, and do not begin at 1.
    stretch: u64,
    /// Its pages are no longer than that, however many events are asked for.
    page: usize,
    /// What somebody writes to it whenever somebody reads it.
    growing: Mutex<VecDeque<Batch>>,
    /// It fails after so many appends.
    appends: AtomicU64,
    /// Appends overtake each other on the way to it.
    overtaking: bool,
    /// How many appends it has room for; the others wait.
    room: Semaphore,
    /// The events of each append, in the order they arrived.
    arrived: Mutex<Vec<Vec<RecordedEvent>>>,
}

impl Odd {
    fn new() -> Self {
        Self {
            inner: MemoryStore::new(),
            id: StoreId(Uuid::new_v4()),
            stretch: 1,
            page: usize::MAX,
            growing: Mutex::default(),
            appends: AtomicU64::new(u64::MAX),
            overtaking: false,
            room: Semaphore::new(Semaphore::MAX_PERMITS),
            arrived: Mutex::default(),
        }
    }

    fn outside(&self, position: Position) -> Position {
        match position.0 {
            0 => Position::START,
            inside => Position(inside * self.stretch + self.stretch - 1),
        }
    }

    fn all_outside(&self, events: Vec<StoredEvent>) -> Vec<StoredEvent> {
        let outside = |event: StoredEvent| StoredEvent {
            position: self.outside(event.position),
            ..event
        };
        events.into_iter().map(outside).collect()
    }
}

#[async_trait]
impl EventStore for Odd {
    fn id(&self) -> StoreId {
        self.id
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let _room = self.room.acquire().await.expect("it is never closed");
        if self.overtaking {
            for _ in 0..batch.expected().revision.0 % 3 * 2 {
                yield_now().await;
            }
        }
        let left = |left: u64| left.checked_sub(1);
        let (order, none) = (
            Ordering::SeqCst,
            StoreError::Unavailable("killed".to_owned()),
        );
        if self.appends.fetch_update(order, order, left).is_err() {
            return Err(none.into());
        }
        let events = batch.events().to_vec();
        let kept = self.inner.append(batch).await?;
        self.arrived.lock().expect("no panic").push(events);
        Ok(self.all_outside(kept))
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.all_outside(self.inner.read_call(call, after).await?))
    }

    /// Only positions that it gave out mean something to it.
    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let inside = Position(((after.0 + 1) / self.stretch).saturating_sub(1));
        assert_eq!(
            self.outside(inside),
            after,
            "a position that is none of its own"
        );
        let more = self.growing.lock().expect("no panic").pop_front();
        if let Some(batch) = more {
            self.inner.append(batch).await.expect("kept");
        }
        let events = self.inner.read_all(inside, max.min(self.page)).await?;
        Ok(self.all_outside(events))
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.inner.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        let info = self.inner.info().await?;
        Ok(StoreInfo {
            id: self.id,
            events: None,
            calls: None,
            last: self.outside(info.last),
            ..info
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

// Lines.

/// The same event, its personal text made unreadable.
fn erased(event: &StoredEvent) -> StoredEvent {
    let mut event = event.clone();
    event.recorded.personal = None;
    let read = stored::decode(&event.recorded.payload, None);
    event.recorded.event = read.expect("the payload is whole");
    event
}

fn value(event: &StoredEvent) -> Value {
    serde_json::from_str(&write_line(event)).expect("a line is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_line_read_back_is_the_very_event(
        one in what_is_asked_of_a_call(),
        other in what_is_asked_of_a_call(),
        picks in proptest::collection::vec(0..2_usize, 1..9),
    ) {
        let histories = [history("one", &one), history("other", &other)];
        for event in interleaved(&histories, &picks) {
            for event in [erased(&event), event] {
                let read = parse_line(&write_line(&event));
                prop_assert_eq!(read.as_ref(), Ok(&event));
            }
        }
    }
}

/// A call with a personal text, a correlation, a time that was clamped, and an actor.
async fn a_telling_call() -> Vec<StoredEvent> {
    let handler = Handler::new(memory());
    let mut events = Vec::new();
    for command in [
        r#"{"call":"c1","type":"connect_call","agent":"agent:ana","customer":"+49 30 \"x\" é","queue":"billing","at":"2026-11-22T09:00:00Z","correlation":"crm-7"}"#,
        r#"{"call":"c1","type":"start_consult","by":"agent:ana","target":"agent:ben","at":"2026-11-22T08:00:00Z"}"#,
    ] {
        let request = parse_command(command).expect("a command");
        let taken = handler.handle(&request, handler.random_id(), handler.now());
        events.extend(taken.await.expect("accepted").events);
    }
    events
}

#[tokio::test]
async fn a_line_with_its_fields_in_another_order_says_the_same() {
    for event in a_telling_call().await {
        let Value::Object(fields) = value(&event) else {
            panic!("a line is an object");
        };
        let turned: serde_json::Map<_, _> = fields.into_iter().rev().collect();
        let line = Value::Object(turned).to_string();
        assert_ne!(line, write_line(&event).trim_end());
        assert_eq!(parse_line(&line), Ok(event));
    }
}

/// Each field of each line, changed alone: the line contradicts itself, or the chain no longer holds.
#[tokio::test]
async fn no_field_of_a_line_can_be_changed_unnoticed() {
    let events = a_telling_call().await;
    let mut contradicted = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let fields = value(event);
        for (field, before) in fields.as_object().expect("an object") {
            // The store's own position is covered by the closing line alone, and what is stored has tests of its own.
            if ["position", "stored"].contains(&field.as_str()) {
                continue;
            }
            let mut changed = fields.clone();
            changed[field] = other(field, before);
            match parse_line(&changed.to_string()) {
                Ok(read) => {
                    let mut chain = events.clone();
                    chain[place] = read;
                    let chain = chain.iter().map(|event| &event.recorded);
                    assert!(verify(Head::NONE, chain).is_err(), "{field} of {fields}");
                }
                Err(InvalidLine::Event(InvalidEvent::Contradiction(field))) => {
                    contradicted.push(field);
                }
                Err(_) => {}
            }
        }
    }
    for field in ["id", "data"] {
        assert!(
            contradicted.iter().any(|named| named == field),
            "{contradicted:?}"
        );
    }
}

/// Another value that could stand there.
fn other(field: &str, value: &Value) -> Value {
    match (field, value) {
        ("at" | "reported_at" | "recorded_at", _) => json!("2026-11-22T07:00:00.000Z"),
        ("actor", _) => json!("agent:ben"),
        ("id" | "command", _) => json!(Uuid::from_u128(7)),
        ("digest" | "hash", _) => json!("00".repeat(32)),
        ("type", _) => json!("call_completed"),
        ("data", Value::Object(data)) => {
            let mut data = data.clone();
            data.insert("queue".to_owned(), json!("sales"));
            Value::Object(data)
        }
        (_, Value::Number(number)) => json!(number.as_u64().unwrap_or(0) + 1),
        _ => json!("other"),
    }
}

#[tokio::test]
async fn what_is_stored_of_a_line_cannot_be_changed_unnoticed() {
    let event = a_telling_call().await.swap_remove(0);
    let line = value(&event);
    for (path, changed) in [
        ("/stored/index", json!(1)),
        ("/stored/payload", json!("00")),
        ("/stored/payload", json!("0")),
        ("/stored/personal/text", json!("+1")),
        ("/stored/personal", json!(null)),
        ("/stored/personal/salt", json!("00".repeat(32))),
    ] {
        let mut line = line.clone();
        *line.pointer_mut(path).expect("it is there") = changed;
        let read = parse_line(&line.to_string());
        let holds = |read: StoredEvent| verify(Head::NONE, [&read.recorded]).is_ok();
        assert!(!read.is_ok_and(holds), "{path}");
    }
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_refused_and_one_that_came_later_may_be_missing() {
    let event = a_telling_call().await.swap_remove(0);
    let mut more = value(&event);
    more["colour"] = json!("blue");
    let unknown = InvalidLine::Event(InvalidEvent::Contradiction("colour".to_owned()));
    assert_eq!(parse_line(&more.to_string()), Err(unknown));
    let mut less = value(&event);
    less.as_object_mut().expect("an object").shift_remove("id");
    assert_eq!(parse_line(&less.to_string()), Ok(event));
}

#[tokio::test]
async fn a_payload_of_an_older_version_stays_as_it_was_written() {
    let mut event = a_telling_call().await.swap_remove(1);
    let bytes = b"\x03ana\x00\x03ben";
    let payload = Payload {
        event_type: EventType::ConsultRequested,
        version: 0,
        bytes: bytes[..].into(),
    };
    event.recorded.event = stored::decode(&payload, None).expect("an older payload");
    event.recorded.payload = payload;
    assert_eq!(value(&event)["version"], 0);
    assert_eq!(parse_line(&write_line(&event)), Ok(event));
}

#[test]
fn lines_that_are_no_events_are_refused() {
    for line in [
        "",
        "{}",
        "null",
        "[1,\"c1\"]",
        "{\"position\":1}",
        "\u{0}",
        "{\"position\":1e99}",
    ] {
        assert!(
            matches!(
                parse_line(line),
                Err(InvalidLine::Event(InvalidEvent::NotAnEvent(_)))
            ),
            "{line}"
        );
    }
}

// Dumps.

fn faults(dump: &str) -> Result<Vec<StoredEvent>, Fault> {
    let mut reader = DumpReader::open(dump.as_bytes())?;
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push(event);
    }
    Ok(events)
}

#[tokio::test]
async fn a_dump_read_back_is_what_the_store_holds() {
    let store = filled(memory(), &a_day(5).await).await;
    let all = stored(&*store).await;
    assert_eq!(
        faults(&dumped(&*store, Position::START).await),
        Ok(all.clone())
    );
    let last = dumped(&*store, Position(7)).await;
    assert_eq!(faults(&last), Ok(all[7..].to_vec()));
    let none = dumped(&*store, all[all.len() - 1].position).await;
    assert_eq!(faults(&none), Ok(Vec::new()));
}

#[tokio::test]
async fn a_dump_cut_short_anywhere_is_noticed() {
    let store = filled(memory(), &a_day(2).await).await;
    let dump = dumped(&*store, Position::START).await;
    for length in (0..dump.len()).step_by(31).chain([dump.len() - 1]) {
        assert!(faults(&dump[..length]).is_err(), "{length}");
    }
    let without_closing = dump.lines().count() - 1;
    let lines: Vec<_> = dump.lines().take(without_closing).collect();
    let fault = faults(&(lines.join("\n") + "\n")).unwrap_err();
    assert_eq!(fault.what, InvalidLine::Truncated);
    assert_eq!(fault.line, without_closing as u64 + 1);
}

#[tokio::test]
async fn a_dump_that_lost_gained_or_mixed_lines_is_refused_with_the_line() {
    let store = filled(memory(), &a_day(2).await).await;
    let dump = dumped(&*store, Position::START).await;
    let lines: Vec<_> = dump.lines().collect();
    let with = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        faults(&(lines.join("\n") + "\n")).unwrap_err()
    };
    let mixed = with(&|lines| lines.swap(2, 3));
    assert_eq!(
        (
            mixed.line,
            matches!(mixed.what, InvalidLine::OutOfOrder { .. })
        ),
        (4, true)
    );
    let lost = with(&|lines| {
        lines.remove(2);
    });
    assert_eq!(lost.line, lines.len() as u64 - 1);
    assert!(
        matches!(lost.what, InvalidLine::Miscounted { .. }),
        "{lost:?}"
    );
    let gained = with(&|lines| lines.push("{}"));
    assert_eq!(gained.what, InvalidLine::Trailing);
    let long: &'static str = " ".repeat(100_000).leak();
    let long = with(&|lines| lines[2] = long);
    assert_eq!((long.line, long.what), (3, InvalidLine::TooLong));
}

#[tokio::test]
async fn a_dump_of_a_newer_format_is_refused_with_what_to_do() {
    let dump = dumped(&*memory(), Position::START).await;
    let newer = dump.replacen(
        "\"kaigi_dump\":1",
        "\"kaigi_dump\":2,\"colour\":\"blue\"",
        1,
    );
    let fault = faults(&newer).unwrap_err();
    assert_eq!(fault.what, InvalidLine::NewerFormat { found: 2 });
    assert!(
        fault
            .what
            .to_string()
            .contains("use the kaigi that wrote it, or a newer one")
    );
    assert_eq!(faults("hello\n").unwrap_err().what, InvalidLine::NoHeader);
}

/// What the page and the golden file show: calls whose every id, time and salt is settled. The customer of the second
/// was made unreadable.
async fn a_settled_store() -> Odd {
    let id = StoreId(Uuid::from_u128(0x5f1d_2c77_1a0b_4c55_8a3e_77d1_90ab_cdef));
    let written = memory();
    let clock = Arc::new(AtomicU64::new(1_795_338_000_250));
    let now = move || {
        let ms = clock.fetch_add(4000, Ordering::SeqCst);
        domain::Timestamp::from_millis(ms).expect("a time")
    };
    let salt = std::array::from_fn(|place| u8::try_from(place).expect("32 places"));
    let handler = Handler::new(Arc::clone(&written))
        .with_clock(now)
        .with_random(move || salt);
    let commands = [
        r#"{"call":"c1","type":"connect_call","agent":"agent:ana","customer":"+15550100","queue":"billing","at":"2026-11-22T09:00:00Z","correlation":"crm-7"}"#,
        r#"{"call":"c1","type":"start_consult","by":"agent:ana","target":"agent:ben","at":"2026-11-22T08:59:59Z"}"#,
        r#"{"call":"c1","type":"accept_consult","by":"agent:ben","at":"2026-11-22T09:00:09Z"}"#,
        r#"{"call":"c2","type":"connect_call","agent":"agent:dan","customer":"+15550101"}"#,
    ];
    for (command, number) in commands.into_iter().zip(1..) {
        let request = parse_command(command).expect("a command");
        let id = CommandId(Uuid::from_u128(number));
        let taken = handler.handle(&request, id, handler.now()).await;
        taken.expect("accepted");
    }
    let store = Odd { id, ..Odd::new() };
    let mut events = recorded(&*written).await;
    let second = events.pop().expect("the second call");
    let second = StoredEvent {
        position: Position::START,
        recorded: second,
    };
    let one_by_one = events.into_iter().chain([erased(&second).recorded]);
    let mut head = Head::NONE;
    for event in one_by_one {
        let before = if event.revision == Revision(1) {
            Head::NONE
        } else {
            head
        };
        head = event.head();
        let batch = Batch::new(before, vec![event]).expect("in order");
        store.append(batch).await.expect("kept");
    }
    store
}

#[tokio::test]
async fn the_page_of_the_format_shows_a_dump_as_it_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dump-format.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let shown = page
        .split("```ndjson\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let dump = dumped(&a_settled_store().await, Position::START).await;
    let lines: Vec<_> = dump.lines().collect();
    let example = [lines[0], lines[1], lines[lines.len() - 1]].join("\n") + "\n";
    assert_eq!(
        shown,
        Some(example.as_str()),
        "the page must show:\n{example}"
    );
}

/// `KAIGI_GOLDEN=add` writes the file if it is not there.
#[tokio::test]
async fn a_dump_of_format_1_is_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/dumps/v1.ndjson");
    let store = a_settled_store().await;
    if std::env::var_os("KAIGI_GOLDEN").is_some_and(|what| what == "add") && !path.exists() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let dump = dumped(&store, Position::START).await;
        let mut file = fs::File::create_new(&path).expect("a golden file is never overwritten");
        file.write_all(dump.as_bytes()).expect("written");
    }
    let kept = fs::read_to_string(&path).expect("the golden file is there");
    assert_eq!(faults(&kept), Ok(stored(&store).await));
    let restored = memory();
    let golden = verified(&path).expect("it verifies");
    golden
        .restore(&*restored, &mut quiet)
        .await
        .expect("restored");
    assert_eq!(digest(&*restored).await.sha256, digest(&store).await.sha256);
}

// Digests.

#[tokio::test]
async fn a_digest_is_sha256_over_one_sorted_line_a_call() {
    let store = filled(memory(), &a_day(12).await).await;
    let mut lines = BTreeMap::new();
    for event in recorded(&*store).await {
        let line = format!("{}\t{}\t{}\n", event.cause.call, event.revision, event.hash);
        lines.insert(event.cause.call.as_str().to_owned(), line);
    }
    let text: String = lines.into_values().collect();
    assert!(text.starts_with("c0\t"), "{text}");
    let found = digest(&*store).await;
    assert_eq!(found.sha256, Sha256Text(Sha256::digest(text).into()));
    assert_eq!(found.calls, 12);
    assert_eq!(found.events, stored(&*store).await.len() as u64);
}

/// A store that has a call whose second event was altered after it was recorded.
async fn an_altered_store() -> Store {
    let day = batches(&call("c1"), chatter(4)).await;
    let store = filled(memory(), &day[..1]).await;
    let mut events = day[1].events().to_vec();
    let cause = Arc::make_mut(&mut events[0].cause);
    cause.actor = Some(BEN.actor());
    let altered = Batch::new(day[1].expected(), events).expect("in order");
    store
        .append(altered)
        .await
        .expect("a store does not verify");
    filled(store, &day[2..]).await
}

#[tokio::test]
async fn an_altered_history_has_no_digest_is_not_backed_up_and_not_copied() {
    let store = an_altered_store().await;
    let folder = tempdir().expect("a folder");
    let (to, backup) = (memory(), folder.path().join("backup"));
    let digest = copies::digest(&*store, &mut quiet).await.unwrap_err();
    let copied = copy(&*store, &*to).await.unwrap_err();
    let backed = copies::backup(&*store, &backup, &mut quiet)
        .await
        .unwrap_err();
    for error in [digest, copied, backed] {
        let CopyError::Altered { altered, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (altered.call.as_str(), altered.revision),
            ("c1", Revision(2))
        );
        assert!(error.is_unverified());
        assert!(
            told(&error).contains("call c1 was altered at revision 2"),
            "{}",
            told(&error)
        );
    }
    let dump = folder.path().join("dump");
    fs::write(&dump, dumped(&*store, Position::START).await).expect("written");
    let error = told(&verified(&dump).unwrap_err());
    assert!(
        error.contains("dump, line 3: call c1 was altered at revision 2"),
        "{error}"
    );
}

// Damage.

/// A day with those events damaged: by position, from 1 to the number of events.
async fn damaged_day(calls: usize, damaged: &[u64]) -> (Arc<MemoryStore>, Vec<StoredEvent>) {
    let store = Arc::new(MemoryStore::new());
    filled(store.clone(), &a_day(calls).await).await;
    let events = stored(&*store).await;
    for position in damaged {
        store.damage(Position(*position), "altered");
    }
    (store, events)
}

fn calls_at(events: &[StoredEvent], positions: &[u64]) -> BTreeSet<CallId> {
    let at = events
        .iter()
        .filter(|event| positions.contains(&event.position.0));
    at.map(|event| event.recorded.cause.call.clone()).collect()
}

#[tokio::test]
async fn all_damaged_calls_are_named_not_only_the_first() {
    let (store, events) = damaged_day(12, &[3, 4, 50]).await;
    let calls = calls_at(&events, &[3, 4, 50]);
    assert!(calls.len() > 1);
    let mut faults = 0;
    let survey = copies::survey(&*store, &mut quiet, &mut |_| faults += 1).await;
    let survey = survey.expect("it can be read");
    assert_eq!((faults, survey.damaged.calls()), (3, calls.len() as u64));
    assert_eq!(survey.prefix.count, events.len() as u64);
    let digest = copies::digest(&*store, &mut quiet).await.unwrap_err();
    let copied = copy(&*store, &*memory()).await.unwrap_err();
    for error in [digest, copied] {
        assert!(error.is_damage() && !error.is_unverified(), "{error:?}");
        for call in &calls {
            assert!(
                told(&error).contains(&format!("call {call}: ")),
                "{}",
                told(&error)
            );
        }
    }
}

/// A history that does not continue is listed once, at the first event that does not.
#[tokio::test]
async fn a_broken_history_is_a_fault_of_its_call() {
    let store = an_altered_store().await;
    let mut faults = Vec::new();
    let survey = copies::survey(&*store, &mut quiet, &mut |fault| faults.push(fault.clone())).await;
    assert!(survey.expect("it can be read").damaged.holds(&call("c1")));
    let [fault] = &faults[..] else {
        panic!("{faults:?}");
    };
    assert_eq!(
        (fault.call(), fault.position()),
        (Some(&call("c1")), Position(2))
    );
    let (copied, left_out) = copies::copy_whole_calls(&*store, &*memory(), &mut quiet)
        .await
        .expect("copied");
    assert_eq!((copied.sent, left_out.calls()), (0, 1));
}

#[tokio::test]
async fn a_damaged_event_counts_in_every_prefix() {
    let (store, events) = damaged_day(2, &[3]).await;
    let mut expected = Prefix::NONE;
    for (count, event) in (1..).zip(&events) {
        expected = match store.read_all(expected.position, 1).await {
            Err(StoreError::DamagedEvent(damaged)) => expected.plus_damaged(&damaged),
            _ => expected.plus(event),
        };
        let prefix = copies::prefix(&*store, count, &mut quiet).await;
        assert_eq!(prefix, Ok(expected));
    }
    let beyond = copies::prefix(&*store, 10_000, &mut quiet).await;
    assert_eq!(beyond, Ok(expected));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of a damaged call nothing is copied, of the others everything; once it is whole again, the rest follows.
    #[test]
    fn a_copy_without_damaged_calls_holds_the_others(
        damaged in proptest::collection::vec(1..160_u64, 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let (store, events) = damaged_day(9, &damaged).await;
            let calls = calls_at(&events, &damaged);
            let to = memory();
            let (copied, left_out) = copies::copy_whole_calls(&*store, &*to, &mut quiet).await.expect("copied");
            let whole = events.iter().filter(|event| !calls.contains(&event.recorded.cause.call));
            let whole: Vec<_> = whole.map(|event| event.recorded.clone()).collect();
            assert_eq!(recorded(&*to).await, whole);
            assert_eq!(copied.source.sha256, digest(&*to).await.sha256);
            assert_eq!(left_out.calls(), calls.len() as u64);
            for position in damaged {
                store.mend(Position(position));
            }
            copy(&*store, &*to).await.expect("copied");
            assert_eq!(digest(&*to).await.sha256, digest(&*store).await.sha256);
        });
    }
}

// Copies.

#[tokio::test]
async fn a_copy_holds_every_event_unchanged_and_in_order_in_any_store() {
    let day = a_day(40).await;
    let folders = [(); 3].map(|()| tempdir().expect("a folder"));
    let source = filled(sled(&folders[0]), &day).await;
    let [to_sled, to_memory] = [sled(&folders[1]), memory()];
    let chain = [
        (&source, &to_sled),
        (&to_sled, &to_memory),
        (&to_memory, &sled(&folders[2])),
    ];
    for (from, to) in chain {
        let copied = copy(&**from, &**to).await.expect("copied");
        assert_eq!(copied.source.sha256, copied.destination.sha256);
        assert_eq!(copied.sent, copied.source.events);
        assert_eq!(stored(&**to).await, stored(&*source).await);
    }
}

#[tokio::test]
async fn a_command_stays_one_batch_wherever_pages_end() {
    let day = a_day(30).await;
    let sent: Vec<_> = day.iter().map(|batch| batch.events().to_vec()).collect();
    for page in [1, 2, 3, 7, usize::MAX] {
        let source = Odd { page, ..Odd::new() };
        for batch in &day {
            source.append(batch.clone()).await.expect("kept");
        }
        let to = Odd::new();
        copy(&source, &to).await.expect("copied");
        assert!(*to.arrived.lock().expect("no panic") == sent, "{page}");

        let folder = tempdir().expect("a folder");
        backup(&source, folder.path()).await;
        let (to, verified) = (Odd::new(), verified(folder.path()).expect("it verifies"));
        verified.restore(&to, &mut quiet).await.expect("restored");
        assert!(*to.arrived.lock().expect("no panic") == sent, "{page}");
    }
}

/// What is copied is the store as it was when that began: one that grows as fast as it is read has no end.
#[tokio::test]
async fn a_store_that_grows_as_fast_as_it_is_read_is_copied_to_where_it_was() {
    let (day, later) = (a_day(2).await, batches(&call("later"), chatter(2000)).await);
    let source = Odd {
        page: 1,
        growing: Mutex::new(later.into()),
        ..Odd::new()
    };
    for batch in &day {
        source.inner.append(batch.clone()).await.expect("kept");
    }
    let folder = tempdir().expect("a folder");
    let was = |from: &Odd| futures_now(from.info()).expect("told").last;
    let (last, to) = (was(&source), memory());
    let copied = copy(&source, &*to).await.expect("copied");
    assert_eq!(copied.source.last, last);
    assert_eq!(Position(copied.source.events), last);
    let last = was(&source);
    assert_eq!(backup(&source, folder.path()).await.manifest.last, last);
    let last = was(&source);
    let covered = digest(&source).await;
    assert_eq!((covered.last, Position(covered.events)), (last, last));
    let last = was(&source);
    let dump = faults(&dumped(&source, Position::START).await).expect("whole");
    assert_eq!(dump.last().map(|event| event.position), Some(last));
    assert!(
        !source.growing.lock().expect("no panic").is_empty(),
        "it grew to the end"
    );
}

#[tokio::test]
async fn positions_may_stand_apart() {
    let source = Odd {
        stretch: 1000,
        ..Odd::new()
    };
    for batch in a_day(300).await {
        source.append(batch).await.expect("kept");
    }
    let events = stored(&source).await;
    assert_eq!(events[1].position, Position(2999));
    let to = Odd {
        stretch: 10,
        ..Odd::new()
    };
    let copied = copy(&source, &to).await.expect("copied");
    assert_eq!(recorded(&to).await, recorded(&source).await);
    assert_eq!(copied.source.last, events[events.len() - 1].position);
    let folder = tempdir().expect("a folder");
    let backed = backup(&source, folder.path()).await;
    assert_eq!(backed.manifest.last, copied.source.last);
    let more = batches(&call("more"), chatter(3)).await;
    for batch in &more {
        source.append(batch.clone()).await.expect("kept");
    }
    let added = backup(&source, folder.path()).await.added.expect("a piece");
    assert_eq!((added.events, added.after), (3, copied.source.last));
    assert_restores(folder.path(), &source).await;
}

#[tokio::test]
async fn an_interrupted_copy_goes_on_where_it_stopped() {
    let source = filled(memory(), &a_day(30).await).await;
    let to = Odd::new();
    let mut sent = 0;
    for appends in [0, 1, 7, 50, 3, u64::MAX] {
        to.appends.store(appends, Ordering::SeqCst);
        let before = stored(&to.inner).await.len() as u64;
        match copy(&*source, &to).await {
            Ok(copied) => sent = before + copied.sent,
            Err(CopyError::Store(StoreError::Unavailable(_))) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(
        sent,
        stored(&*source).await.len() as u64,
        "nothing was sent again"
    );
    assert_eq!(recorded(&to).await, recorded(&*source).await);
    assert_eq!(copy(&*source, &to).await.expect("copied").sent, 0);
}

/// Also where an append waits for something before it reaches the store.
#[tokio::test]
async fn batches_that_overtake_each_other_are_sent_again() {
    let source = filled(memory(), &a_day(30).await).await;
    let to = Odd {
        overtaking: true,
        ..Odd::new()
    };
    copy(&*source, &to).await.expect("copied");
    assert_eq!(digest(&to).await.sha256, digest(&*source).await.sha256);
}

/// A cluster lets so many calls be under way at once: what waits for its turn must get it, whoever is sent again.
#[tokio::test]
async fn a_batch_that_is_sent_again_does_not_wait_for_those_that_wait_for_it() {
    let source = filled(memory(), &a_day(30).await).await;
    let to = Odd {
        overtaking: true,
        room: Semaphore::new(4),
        ..Odd::new()
    };
    let copying = tokio::time::timeout(Duration::from_secs(20), copy(&*source, &to));
    copying.await.expect("it ends").expect("copied");
    assert_eq!(digest(&to).await.sha256, digest(&*source).await.sha256);
}

/// The runtime lets a task do only so much at a time: what is not sent in one turn must not be overtaken in the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_batches_of_one_call_arrive_in_order() {
    let source = filled(memory(), &batches(&call("c1"), chatter(3000)).await).await;
    let folder = tempdir().expect("a folder");
    let to = sled(&folder);
    copy(&*source, &*to).await.expect("copied");
    assert_eq!(stored(&*to).await, stored(&*source).await);
}

#[tokio::test]
async fn calls_of_its_own_that_a_destination_has_are_left_alone() {
    let source = filled(memory(), &a_day(3).await).await;
    let own = batches(&call("own"), chatter(5)).await;
    let to = filled(memory(), &own).await;
    let copied = copy(&*source, &*to).await.expect("copied");
    assert_eq!(copied.destination.calls, 3);
    let kept = to
        .read_call(&call("own"), Revision(0))
        .await
        .expect("readable");
    assert_eq!(kept.len(), 5);
}

#[tokio::test]
async fn a_destination_that_holds_another_history_is_refused_and_left_as_it_is() {
    let source = filled(memory(), &a_day(3).await).await;
    let others = batches(&call("c1"), chatter(60)).await;
    let first = source
        .read_call(&call("c1"), Revision(0))
        .await
        .expect("readable");
    assert!(first.len() < 60);
    for length in [1, 2, first.len(), 60] {
        let to = filled(memory(), &others[..length]).await;
        let error = copy(&*source, &*to).await.unwrap_err();
        assert!(
            matches!(&error, CopyError::Diverged { call, .. } if call.as_str() == "c1"),
            "{length}: {error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("copy into a store that nobody wrote to")
        );
        let there = to
            .read_call(&call("c1"), Revision(0))
            .await
            .expect("readable");
        assert_eq!(there.len(), length);
    }
}

/// Somebody writes to the same call at the destination while the copy runs.
#[tokio::test]
async fn a_call_that_others_write_to_meanwhile_is_named() {
    let day = batches(&call("c1"), chatter(20)).await;
    let source = filled(memory(), &day).await;
    let to = filled(memory(), &day[..3]).await;
    let consult = [start_consult(ANA, BEN)];
    let consult = batches_after(&day[..3], &call("c1"), consult).await;
    let mut copying = false;
    let mut report = |progress: Progress| {
        if progress.work == copies::Work::Copying && !std::mem::replace(&mut copying, true) {
            let append = to.append(consult[0].clone());
            let kept = futures_now(append);
            kept.expect("kept");
        }
    };
    let error = copies::copy(&*source, &*to, &mut report).await.unwrap_err();
    let CopyError::Diverged { call, revision } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((call.as_str(), *revision), ("c1", Revision(4)));
}

/// A store in memory answers at once.
fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn a_store_is_not_copied_into_itself() {
    let store = filled(memory(), &a_day(1).await).await;
    let error = copy(&*store, &*store).await.unwrap_err();
    assert!(matches!(error, CopyError::SameStore(id) if id == store.id()));
}

/// Tasks that send commands to calls of their own, as many calls as they are allowed.
struct Traffic {
    tasks: JoinSet<()>,
    calls: Arc<Semaphore>,
}

impl Traffic {
    fn on(store: &Store) -> Self {
        let handler = Arc::new(Handler::new(Arc::clone(store)));
        let calls = Arc::new(Semaphore::new(0));
        let mut tasks = JoinSet::new();
        for writer in 0..8 {
            let (handler, calls) = (Arc::clone(&handler), Arc::clone(&calls));
            tasks.spawn(async move {
                let mut number = 0;
                while let Ok(allowed) = calls.acquire().await {
                    allowed.forget();
                    number += 1;
                    let call = call(&format!("w{writer}-{number}"));
                    for command in a_whole_call() {
                        send(&handler, &call, command).await;
                        yield_now().await;
                    }
                }
            });
        }
        Self { tasks, calls }
    }

    /// Answers while there is still more to come.
    async fn begins(&self, store: &dyn EventStore) {
        let before = store.info().await.expect("told").last;
        self.calls.add_permits(60);
        while store.info().await.expect("told").last.0 < before.0 + 100 {
            yield_now().await;
        }
    }

    async fn ends(self) {
        self.calls.close();
        self.tasks.join_all().await;
    }
}

async fn send(handler: &Handler, call: &CallId, command: Command) {
    let request = request(call, command);
    let taken = handler.handle(&request, handler.random_id(), handler.now());
    taken.await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copies_in_passes_catch_up_with_a_store_that_is_written_to() {
    in_time(async {
        let folders = [(); 2].map(|()| tempdir().expect("a folder"));
        for (source, to) in [(memory(), memory()), (sled(&folders[0]), sled(&folders[1]))] {
            let traffic = Traffic::on(&source);
            for _ in 0..4 {
                traffic.begins(&*source).await;
                let copied = copy(&*source, &*to).await.expect("copied");
                let until = copied.source.last;
                let there = recorded(&*to).await;
                let mut prefix = stored(&*source).await;
                prefix.retain(|event| event.position <= until);
                assert!(prefix.into_iter().map(|event| event.recorded).eq(there));
            }
            traffic.ends().await;
            copy(&*source, &*to).await.expect("copied");
            assert_eq!(digest(&*to).await, digest(&*source).await);
        }
    })
    .await;
}

// Backups.

async fn backup(store: &dyn EventStore, folder: &Path) -> Backed {
    let backed = copies::backup(store, folder, &mut quiet).await;
    backed.expect("backed up")
}

async fn assert_restores(folder: &Path, store: &dyn EventStore) {
    let restored = memory();
    let verified = verified(folder).expect("it verifies");
    verified
        .restore(&*restored, &mut quiet)
        .await
        .expect("restored");
    assert_eq!(recorded(&*restored).await, recorded(store).await);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("readable").file_name();
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_grows_by_what_is_new_and_restores_to_the_same() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("a/new/folder");
    let day = a_day(30).await;
    let store = memory();
    assert_eq!(backup(&*store, &path).await.added, None);
    assert_restores(&path, &*store).await;
    for part in day.chunks(day.len() / 3) {
        filled(Arc::clone(&store), part).await;
        let backed = backup(&*store, &path).await;
        assert_eq!(backed.manifest.events, stored(&*store).await.len() as u64);
        assert_eq!(backed.manifest, Manifest::read(&path).expect("readable"));
        assert_restores(&path, &*store).await;
    }
    let pieces = names(&path);
    assert!(pieces.len() > 3, "{pieces:?}");
    assert_eq!(backup(&*store, &path).await.added, None);
    assert_eq!(names(&path), pieces);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_taken_while_commands_go_on_is_the_store_as_it_was() {
    in_time(async {
        let folder = tempdir().expect("a folder");
        let backups = tempdir().expect("a folder");
        for (place, source) in [("memory", memory()), ("sled", sled(&folder))] {
            let traffic = Traffic::on(&source);
            let path = backups.path().join(place);
            for _ in 0..4 {
                traffic.begins(&*source).await;
                let (store, folder) = (Arc::clone(&source), path.clone());
                let backing = async move { backup(&*store, &folder).await };
                let backed = tokio::spawn(backing).await.expect("no panic");
                let restored = memory();
                let verified = verified(&path).expect("it verifies");
                verified
                    .restore(&*restored, &mut quiet)
                    .await
                    .expect("restored");
                let mut prefix = stored(&*source).await;
                prefix.retain(|event| event.position <= backed.manifest.last);
                let prefix = prefix.into_iter().map(|event| event.recorded);
                assert!(prefix.eq(recorded(&*restored).await));
            }
            traffic.ends().await;
        }
    })
    .await;
}

/// A backup of three pieces in a folder of its own, and the store it is of.
async fn a_backup() -> (TempDir, Store) {
    let folder = tempdir().expect("a folder");
    let day = a_day(9).await;
    let store = memory();
    for part in day.chunks(day.len().div_ceil(3)) {
        filled(Arc::clone(&store), part).await;
        backup(&*store, folder.path()).await;
    }
    assert_eq!(names(folder.path()).len(), 4);
    (folder, store)
}

/// Whatever a kill leaves: pieces half written, a piece the manifest does not know yet, a manifest not in place yet.
#[tokio::test]
async fn what_a_kill_leaves_does_no_harm() {
    let (folder, store) = a_backup().await;
    let path = |name: &str| folder.path().join(name);
    let before = names(folder.path());
    let piece = fs::read(path(&before[0])).expect("readable");
    let manifest = fs::read(path("backup.json")).expect("readable");
    filled(
        Arc::clone(&store),
        &batches(&call("late"), chatter(5)).await,
    )
    .await;
    let unknown = "00000000000000000900-00000000000000000999.ndjson";
    fs::write(path("piece.new"), &piece[..piece.len() / 2]).expect("written");
    fs::write(path(unknown), &piece).expect("written");
    fs::write(path("backup.json.new"), &manifest[..manifest.len() / 2]).expect("written");
    let former = verified(folder.path()).expect("the former backup is whole");
    assert_eq!(former.digest().calls, 9);
    let added = backup(&*store, folder.path()).await.added.expect("a piece");
    assert_eq!(added.events, 5);
    let mut expected = before.clone();
    expected.push(added.file);
    expected.sort();
    assert_eq!(names(folder.path()), expected);
    assert_restores(folder.path(), &*store).await;
}

async fn refused(store: &dyn EventStore, folder: &Path) -> String {
    let error = copies::backup(store, folder, &mut quiet).await.unwrap_err();
    assert!(matches!(error, CopyError::Backup { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_folder_that_is_not_this_stores_backup_is_refused_and_left_as_it_is() {
    let (folder, store) = a_backup().await;
    let other = filled(memory(), &a_day(1).await).await;
    let error = refused(&*other, folder.path()).await;
    assert!(error.contains("it is a backup of the store"), "{error}");

    let busy = fs::File::open(folder.path()).expect("a folder");
    busy.lock().expect("locked");
    let error = refused(&*store, folder.path()).await;
    assert!(error.contains("another backup is being written"), "{error}");
    drop(busy);

    let manifest = folder.path().join("backup.json");
    let kept = fs::read(&manifest).expect("readable");
    fs::remove_file(&manifest).expect("removed");
    let before = names(folder.path());
    let error = refused(&*store, folder.path()).await;
    assert!(error.contains("no backup.json"), "{error}");
    assert_eq!(names(folder.path()), before);
    fs::write(&manifest, kept).expect("written");

    fs::write(folder.path().join("holiday.jpg"), "x").expect("written");
    let error = refused(&*store, folder.path()).await;
    assert!(error.contains("\"holiday.jpg\" lies there"), "{error}");
}

#[tokio::test]
async fn a_store_that_lost_where_the_backup_ended_is_refused() {
    let day = a_day(9).await;
    let (folder, id) = (tempdir().expect("a folder"), StoreId(Uuid::new_v4()));
    let store = Odd { id, ..Odd::new() };
    for batch in &day {
        store.append(batch.clone()).await.expect("kept");
    }
    backup(&store, folder.path()).await;
    let lost = Odd { id, ..Odd::new() };
    for batch in &day[..day.len() / 2] {
        lost.append(batch.clone()).await.expect("kept");
    }
    let error = refused(&lost, folder.path()).await;
    assert!(
        error.contains("no longer has the event at position"),
        "{error}"
    );
    let moved = Odd {
        id,
        stretch: 2,
        ..Odd::new()
    };
    for batch in &day {
        moved.append(batch.clone()).await.expect("kept");
    }
    refused(&moved, folder.path()).await;
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

/// One byte of one piece, anywhere: restoring is refused before anything is written, with the piece and the line.
#[tokio::test]
async fn a_flipped_byte_in_a_piece_is_found_with_its_piece_and_line() {
    let (folder, _) = a_backup().await;
    let piece: PathBuf = folder.path().join(&names(folder.path())[1]);
    let name = names(folder.path())[1].clone();
    let whole = fs::read(&piece).expect("readable");
    for place in (0..whole.len()).step_by(157) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x01;
        fs::write(&piece, &flipped).expect("written");
        let error = verified(folder.path()).unwrap_err();
        let line = 1 + lines_in(&whole[..place]);
        let told = told(&error);
        let exchanged = told.contains(&format!("the piece {name} is another dump"));
        assert!(
            told.contains(&format!("{name}, line ")) || exchanged,
            "{place}: {told}"
        );
        assert!(error.is_unverified(), "{told}");
        // What only the SHA-256 covers is found where the piece is closed.
        let lines = lines_in(&whole);
        let named = |line| told.contains(&format!("{name}, line {line}"));
        assert!(
            exchanged || (line..=lines).any(named),
            "{place}, line {line}: {told}"
        );
    }
    fs::write(&piece, &whole[..whole.len() / 2]).expect("written");
    let error = told(&verified(folder.path()).unwrap_err());
    assert!(
        error.contains(&name) && error.contains("it was cut short"),
        "{error}"
    );
    fs::remove_file(&piece).expect("removed");
    assert!(verified(folder.path()).is_err());
}

#[tokio::test]
async fn a_backup_that_lost_a_piece_is_not_continued() {
    let (folder, store) = a_backup().await;
    let names = names(folder.path());
    let path = |name: &str| folder.path().join(name);
    let (one, other) = (path(&names[0]), path(&names[1]));
    let whole = fs::read(&one).expect("readable");
    fs::copy(&other, &one).expect("copied");
    let error = verified(folder.path()).unwrap_err();
    assert!(
        told(&error).contains("is another dump than backup.json says"),
        "{error}"
    );
    fs::remove_file(&one).expect("removed");
    let error = refused(&*store, folder.path()).await;
    assert!(error.contains("is missing or not"), "{error}");
    fs::write(&one, whole).expect("written");
    assert_restores(folder.path(), &*store).await;
}

#[tokio::test]
async fn a_manifest_that_is_damaged_or_newer_is_refused() {
    let (folder, store) = a_backup().await;
    let manifest = folder.path().join("backup.json");
    let kept = fs::read_to_string(&manifest).expect("readable");
    let evil = kept.replace("00000000000000000001-", "../../../../../../../1-");
    for (text, part) in [
        ("{", "is damaged"),
        (
            &kept.replace("\"kaigi_backup\": 1", "\"kaigi_backup\": 2"),
            "use a newer kaigi",
        ),
        (
            &kept.replacen("\"after\": 0", "\"after\": 1", 1),
            "do not follow one another",
        ),
        (&evil, "do not follow one another"),
    ] {
        assert_ne!(text, kept);
        fs::write(&manifest, text).expect("written");
        assert!(
            told(&verified(folder.path()).unwrap_err()).contains(part),
            "{part}"
        );
        assert!(
            refused(&*store, folder.path()).await.contains(part),
            "{part}"
        );
    }
}

#[tokio::test]
async fn an_interrupted_restore_goes_on_and_a_store_in_use_is_refused() {
    let (folder, store) = a_backup().await;
    let verified = verified(folder.path()).expect("it verifies");
    let to = Odd::new();
    for appends in [0, 1, 20, 7] {
        to.appends.store(appends, Ordering::SeqCst);
        assert!(verified.restore(&to, &mut quiet).await.is_err());
    }
    to.appends.store(u64::MAX, Ordering::SeqCst);
    verified.restore(&to, &mut quiet).await.expect("restored");
    assert_eq!(recorded(&to).await, recorded(&*store).await);
    assert_eq!(
        verified
            .restore(&to, &mut quiet)
            .await
            .expect("restored")
            .sent,
        0
    );

    let used = filled(
        memory(),
        &batches(&call("other"), [connect_call(ANA)]).await,
    )
    .await;
    let error = verified.restore(&*used, &mut quiet).await.unwrap_err();
    assert!(matches!(&error, CopyError::NotNew { call } if call.as_str() == "other"));
    let further = batches(&call("c0"), chatter(50)).await;
    let further = filled(memory(), &further).await;
    let error = verified.restore(&*further, &mut quiet).await.unwrap_err();
    assert!(matches!(error, CopyError::NotNew { .. }), "{error:?}");
}

#[tokio::test]
async fn a_dump_that_does_not_begin_at_the_beginning_is_not_restored() {
    let store = filled(memory(), &a_day(2).await).await;
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("late.ndjson");
    fs::write(&path, dumped(&*store, Position(5)).await).expect("written");
    let error = verified(&path).unwrap_err();
    assert!(
        error.to_string().contains("begins after position 5"),
        "{error}"
    );
}
