//! The envelope: what a command's events are called, the chain of their hashes, the digest that tells a retry from
//! another command, and what is left once a personal text was made unreadable.

use async_trait::async_trait;
use domain::envelope::{Altered, Digest, Hash, InvalidBatch, PersonalPart, verify};
use domain::event::{EventType, Personal};
use domain::json::{EventJson, parse_command};
use domain::stored::{self, Payload};
use domain::{
    AppendError, Batch, CallId, Cause, CommandId, Event, EventStore, HandleError, Handler, Head,
    KeyId, MemoryStore, Position, RecordedEvent, RejectionCode, Request, Revision, StoreError,
    StoreId, StoreInfo, StoredEvent, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::process::{Command, Output};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use tests::hex::hex;
use tests::page::{blocks, page, runs};
use uuid::Uuid;

/// A system over a store in memory, with a clock that the test sets.
struct Desk {
    store: Arc<MemoryStore>,
    handler: Handler,
    clock_ms: Arc<AtomicU64>,
}

fn desk() -> Desk {
    let store = Arc::new(MemoryStore::new());
    let clock_ms = Arc::new(AtomicU64::new(time("2026-11-22T09:00:00Z").as_millis()));
    let handler = Handler::new(store.clone());
    let handler = with_clock(handler, &clock_ms);
    Desk {
        store,
        handler,
        clock_ms,
    }
}

fn with_clock(handler: Handler, clock_ms: &Arc<AtomicU64>) -> Handler {
    let clock_ms = clock_ms.clone();
    handler.with_clock(move || {
        let shown = clock_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(shown).expect("the tests stay in this century")
    })
}

impl Desk {
    /// The same store after a restart: nothing is remembered but what is stored.
    fn restarted(self) -> Desk {
        let handler = with_clock(Handler::new(self.store.clone()), &self.clock_ms);
        Desk { handler, ..self }
    }

    /// The same store after its personal texts were made unreadable.
    fn after_erasure(self) -> Desk {
        let store = Arc::new(Unreadable(self.store.clone()));
        let handler = with_clock(Handler::new(store), &self.clock_ms);
        Desk { handler, ..self }
    }

    fn shows(&self, clock: &str) {
        let shown = time(clock).as_millis();
        self.clock_ms.store(shown, Ordering::Relaxed);
    }

    /// What the system answers to a command, a second after the one before.
    async fn ask(&self, command: &str) -> Result<Vec<StoredEvent>, HandleError> {
        self.clock_ms.fetch_add(1000, Ordering::Relaxed);
        let request = request(command);
        let id = request.id.unwrap_or_else(|| self.handler.random_id());
        let answer = self.handler.handle(&request, id, self.handler.now());
        answer.await.map(|answer| answer.events)
    }

    /// The events of a command that the rules allow.
    async fn told(&self, command: &str) -> Vec<StoredEvent> {
        let answer = self.ask(command).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    async fn size(&self) -> u64 {
        let events = self.store.info().await.expect("memory").events;
        events.expect("memory counts them")
    }
}

/// A store whose personal texts were made unreadable after they were written.
struct Unreadable(Arc<MemoryStore>);

fn erased(recorded: &RecordedEvent) -> RecordedEvent {
    let event = stored::decode(&recorded.payload, None).expect("the payload is whole");
    RecordedEvent {
        event,
        personal: None,
        ..recorded.clone()
    }
}

fn all_erased(events: Vec<StoredEvent>) -> Vec<StoredEvent> {
    let erased = |stored: StoredEvent| StoredEvent {
        recorded: erased(&stored.recorded),
        ..stored
    };
    events.into_iter().map(erased).collect()
}

#[async_trait]
impl EventStore for Unreadable {
    fn id(&self) -> StoreId {
        self.0.id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.0.append(batch).await
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.read_call(call, after).await.map(all_erased)
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.read_all(after, max).await.map(all_erased)
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.0.wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.0.info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the tests give valid texts")
}

fn time(text: &str) -> Timestamp {
    read(text)
}

fn request(command: &str) -> Request {
    parse_command(command).unwrap_or_else(|error| panic!("{command}: {error}"))
}

const CONNECT: &str = r#"{"call":"c1","type":"connect_call","id":"2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11","agent":"agent:ana","customer":"+39061234567"}"#;
const CONSULT: &str = r#"{"call":"c1","type":"start_consult","id":"2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a12","by":"agent:ana","target":"agent:ben"}"#;

/// A command as another sender would write it: the same object with these fields instead.
fn with(command: &str, fields: Value) -> String {
    let mut command: Value = serde_json::from_str(command).expect("JSON");
    let Value::Object(fields) = fields else {
        panic!("the tests give fields");
    };
    for (field, value) in fields {
        command[field] = value;
    }
    command.to_string()
}

fn json_of(event: &StoredEvent) -> Value {
    serde_json::to_value(EventJson(event)).expect("an event is JSON")
}

// Names.

#[tokio::test]
async fn an_event_id_is_the_uuid_of_its_call_and_place_within_its_command() {
    let desk = desk();
    desk.told(CONNECT).await;
    let events = desk.told(CONSULT).await;
    let command = "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a12".parse().unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.recorded.id().0).collect();
    let expected = ["c1/0", "c1/1"].map(|name| Uuid::new_v5(&command, name.as_bytes()));
    assert_eq!(ids, expected);
    assert_eq!(json_of(&events[1])["id"], expected[1].to_string());
}

#[tokio::test]
async fn the_same_command_id_names_other_events_in_another_call() {
    let desk = desk();
    let first = desk.told(CONNECT).await;
    let second = desk.told(&with(CONNECT, json!({"call": "c2"}))).await;
    assert_ne!(first[0].recorded.id(), second[0].recorded.id());
    assert_eq!(desk.size().await, 2);
}

#[tokio::test]
async fn a_command_without_an_id_gets_a_random_one_and_is_never_taken_for_a_retry() {
    let desk = desk();
    let connect = with(CONNECT, json!({"id": null}));
    let first = desk.told(&connect).await;
    let second = desk.told(&with(&connect, json!({"call": "c2"}))).await;
    assert_ne!(
        first[0].recorded.cause.command,
        second[0].recorded.cause.command
    );
    let again = desk.ask(&connect).await.unwrap_err();
    assert_eq!(code(&again), Some(RejectionCode::CallExists));
}

fn code(error: &HandleError) -> Option<RejectionCode> {
    match error {
        HandleError::Rejected { rejection, .. } => Some(rejection.code),
        _ => None,
    }
}

// The chain.

/// A call in which every field of the envelope is there at least once, and absent at least once.
const STORY: [&str; 9] = [
    r#"{"call":"c1","type":"connect_call","agent":"agent:ana","customer":"+39061234567","queue":"sales"}"#,
    r#"{"call":"c1","type":"start_monitoring","by":"supervisor:sam","agent":"agent:ana"}"#,
    r#"{"call":"c1","type":"start_consult","by":"agent:ana","target":"agent:ben"}"#,
    r#"{"call":"c1","type":"accept_consult","at":"2026-11-22T08:59:00Z","correlation":"crm-7","by":"agent:ben"}"#,
    r#"{"call":"c1","type":"start_conference","correlation":"","by":"agent:ana"}"#,
    r#"{"call":"c1","type":"exit_conference","by":"agent:ana"}"#,
    r#"{"call":"c1","type":"suggest_wrap_up","by":"agent:ben","reason":"billing","note":"call back at noon"}"#,
    r#"{"call":"c1","type":"hang_up","party":"customer"}"#,
    r#"{"call":"c1","type":"apply_wrap_up","by":"agent:ana","reason":"billing"}"#,
];

static HISTORY: LazyLock<Vec<RecordedEvent>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime starts");
    runtime.block_on(async {
        let desk = desk();
        let mut events = Vec::new();
        for command in STORY {
            events.extend(desk.told(command).await);
        }
        events.into_iter().map(|event| event.recorded).collect()
    })
});

fn head_of(events: &[RecordedEvent]) -> Head {
    events.last().map_or(Head::NONE, RecordedEvent::head)
}

fn altered_at(event: &RecordedEvent) -> (CallId, Revision) {
    (event.cause.call.clone(), event.revision)
}

fn found(altered: Altered) -> (CallId, Revision) {
    (altered.call, altered.revision)
}

/// Every field that can be altered in an event.
#[derive(Debug, Clone, Copy)]
enum Field {
    Call,
    Command,
    Digest,
    At,
    ReportedAt,
    RecordedAt,
    Correlation,
    Actor,
    Index,
    Revision,
    EventType,
    Version,
    Payload,
    PayloadEnd,
    PersonalText,
    PersonalSalt,
    PersonalPart,
    Hash,
}

const FIELDS: [Field; 18] = [
    Field::Call,
    Field::Command,
    Field::Digest,
    Field::At,
    Field::ReportedAt,
    Field::RecordedAt,
    Field::Correlation,
    Field::Actor,
    Field::Index,
    Field::Revision,
    Field::EventType,
    Field::Version,
    Field::Payload,
    Field::PayloadEnd,
    Field::PersonalText,
    Field::PersonalSalt,
    Field::PersonalPart,
    Field::Hash,
];

/// Alters that field; which way says `noise`.
fn alter(event: &mut RecordedEvent, field: Field, noise: u64) {
    let place = usize::try_from(noise % 32).expect("small");
    match field {
        Field::Index => event.index += 1 + u32::try_from(noise % 100).expect("small"),
        Field::Revision => event.revision = event.revision.plus(1 + place),
        Field::EventType => event.payload.event_type = other_type(event, place),
        Field::Version => event.payload.version += 1 + noise % 100,
        Field::Payload => flip(&mut event.payload, place),
        Field::PayloadEnd => {
            event.payload.bytes = [&event.payload.bytes[..], b"!"].concat().into();
        }
        Field::PersonalText | Field::PersonalSalt | Field::PersonalPart => {
            event.personal = Some(other_part(event.personal.take(), field, place));
        }
        Field::Hash => event.hash.0[place] ^= 1 << (noise % 8),
        _ => alter_cause(Arc::make_mut(&mut event.cause), field, noise),
    }
}

fn alter_cause(cause: &mut Cause, field: Field, noise: u64) {
    let later = 1 + noise % 1_000_000;
    match field {
        Field::Call => cause.call = read("another"),
        Field::Command => cause.command = CommandId(Uuid::from_u128(u128::from(noise))),
        Field::Digest => cause.digest.0[0] ^= 1 << (noise % 8),
        Field::At => cause.at = cause.at.plus_millis(later),
        Field::ReportedAt => change(&mut cause.reported_at, cause.at, noise),
        Field::RecordedAt => cause.recorded_at = cause.recorded_at.plus_millis(later),
        Field::Correlation => change(&mut cause.correlation, read("forged"), noise),
        Field::Actor => change(&mut cause.actor, read("agent:eve"), noise),
        _ => unreachable!("{field:?} is no field of a cause"),
    }
}

/// Something else than before: what is there goes or changes, what is not comes.
fn change<T>(field: &mut Option<T>, other: T, noise: u64) {
    *field = match field {
        Some(_) if noise.is_multiple_of(2) => None,
        Some(_) | None => Some(other),
    };
}

fn other_type(event: &RecordedEvent, place: usize) -> EventType {
    let others = EventType::ALL.iter().copied();
    let mut others = others.filter(|other| *other != event.payload.event_type);
    others.nth(place % 21).expect("there are 22 types")
}

fn flip(payload: &mut Payload, place: usize) {
    match payload.bytes.len() {
        0 => payload.bytes = [0].into(),
        length => payload.bytes[place % length] ^= 1 << (place % 8),
    }
}

/// Another part than before, also where there was none.
fn other_part(part: Option<PersonalPart>, field: Field, place: usize) -> PersonalPart {
    let mut part = part.unwrap_or(PersonalPart {
        key: KeyId(Uuid::nil()),
        salt: [7; 32],
        text: "somebody".into(),
    });
    match field {
        Field::PersonalText => part.text = format!("{}!", part.text).into(),
        Field::PersonalSalt => part.salt[place] ^= 1,
        _ => part.text = "somebody else".into(),
    }
    part
}

#[test]
fn a_call_verifies_from_its_first_event_or_from_any_head_that_was_kept() {
    let events = &HISTORY[..];
    assert_eq!(verify(Head::NONE, events), Ok(head_of(events)));
    for place in 0..events.len() {
        let (before, after) = events.split_at(place);
        assert_eq!(verify(head_of(before), after), Ok(head_of(events)));
    }
}

#[test]
fn the_history_under_test_has_and_lacks_every_optional_field() {
    let both = |has: fn(&RecordedEvent) -> bool| {
        let having = HISTORY.iter().filter(|event| has(event)).count();
        assert!((1..HISTORY.len()).contains(&having));
    };
    both(|event| event.cause.correlation.is_some());
    both(|event| event.cause.reported_at.is_some());
    both(|event| event.cause.actor.is_some());
    both(|event| event.personal.is_some());
    both(|event| event.payload.bytes.is_empty());
    both(|event| event.index > 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_altered_field_is_found_where_it_was_altered(
        place in 0..HISTORY.len(),
        field in prop::sample::select(&FIELDS[..]),
        noise: u64,
    ) {
        let mut events = HISTORY.clone();
        alter(&mut events[place], field, noise);
        let altered = verify(Head::NONE, &events).expect_err("an altered event does not verify");
        let message = altered.to_string();
        prop_assert_eq!(found(altered), altered_at(&events[place]));
        let revision = format!("revision {}", events[place].revision);
        prop_assert!(message.contains(events[place].cause.call.as_str()), "{}", message);
        prop_assert!(message.contains(&revision), "{}", message);
    }
}

#[test]
fn events_out_of_order_are_found() {
    for second in 1..HISTORY.len() {
        for first in 0..second {
            let mut events = HISTORY.clone();
            events.swap(first, second);
            let altered = verify(Head::NONE, &events).expect_err("the order is altered");
            assert_eq!(found(altered), altered_at(&events[first]));
        }
    }
}

#[test]
fn a_missing_event_is_found_at_the_next_one() {
    for gap in 0..HISTORY.len() - 1 {
        let mut events = HISTORY.clone();
        events.remove(gap);
        let altered = verify(Head::NONE, &events).expect_err("an event is missing");
        assert_eq!(altered.what, "events are missing before it");
        assert_eq!(found(altered), altered_at(&events[gap]));
    }
}

#[test]
fn an_event_that_is_there_twice_is_found() {
    for place in 0..HISTORY.len() {
        let mut events = HISTORY.clone();
        events.insert(place, events[place].clone());
        let altered = verify(Head::NONE, &events).expect_err("an event too many");
        assert_eq!(found(altered), altered_at(&events[place + 1]));
    }
}

/// Renumbered events look whole; only the hash of the one before the gap tells.
#[test]
fn a_missing_event_is_found_even_if_the_others_are_renumbered() {
    let mut events = HISTORY.clone();
    events.remove(3);
    for (event, revision) in events.iter_mut().zip(1..) {
        event.revision = Revision(revision);
    }
    let altered = verify(Head::NONE, &events).expect_err("an event is missing");
    assert_eq!(altered.revision, Revision(4));
}

/// A chain cannot know that it goes on: who kept the head sees it.
#[test]
fn missing_last_events_are_told_by_the_head_alone() {
    let all = head_of(&HISTORY);
    let (kept, lost) = HISTORY.split_at(HISTORY.len() - 2);
    assert_eq!(lost.len(), 2);
    let head = verify(Head::NONE, kept).expect("what is left is whole");
    assert_ne!(head, all);
    assert_eq!(head.revision.plus(2), all.revision);
}

#[test]
fn the_end_of_another_history_does_not_continue_this_one() {
    let mut forged = HISTORY.clone();
    let mut head = Head::NONE;
    for event in &mut forged {
        Arc::make_mut(&mut event.cause).correlation = Some(read("forged"));
        event.hash = event.hash_after(head.hash);
        head = event.head();
    }
    assert_eq!(verify(Head::NONE, &forged), Ok(head));
    let (before, _) = HISTORY.split_at(4);
    let altered = verify(head_of(before), &forged[4..]).expect_err("another history");
    assert_eq!(altered.revision, Revision(5));
}

/// Neither is covered: a copy of a store numbers anew, and a text may be encrypted anew under another key.
#[test]
fn a_position_and_a_key_may_change() {
    let mut events = HISTORY.clone();
    for event in &mut events {
        if let Some(part) = &mut event.personal {
            part.key = KeyId(Uuid::nil());
        }
    }
    assert_eq!(verify(Head::NONE, &events), Ok(head_of(&HISTORY)));
    let recorded = events[0].clone();
    let at = |position| StoredEvent {
        position: Position(position),
        recorded: recorded.clone(),
    };
    assert_eq!(json_of(&at(1))["hash"], json_of(&at(99))["hash"]);
}

/// The interface adds `reported_at` only where R62 changed the time.
#[tokio::test]
async fn r62_a_time_never_runs_backwards_and_the_reported_one_is_kept() {
    let desk = desk();
    desk.told(CONNECT).await;
    let consult = with(CONSULT, json!({"at": "2026-11-22T08:00:00Z"}));
    let events = desk.told(&consult).await;
    for event in &events {
        let cause = &event.recorded.cause;
        assert_eq!(cause.at, time("2026-11-22T09:00:01Z"));
        assert_eq!(cause.reported_at, Some(time("2026-11-22T08:00:00Z")));
        assert_eq!(cause.recorded_at, time("2026-11-22T09:00:02Z"));
        assert_eq!(json_of(event)["reported_at"], "2026-11-22T08:00:00.000Z");
    }
    let accept = r#"{"call":"c1","type":"accept_consult","by":"agent:ben"}"#;
    let accepted = desk.told(accept).await;
    assert_eq!(accepted[0].recorded.cause.reported_at, None);
    assert_eq!(json_of(&accepted[0]).get("reported_at"), None);
}

/// R62 holds for a clock that was set back as for a sender that is late.
#[tokio::test]
async fn r62_a_clock_that_was_set_back_is_kept_as_the_reported_time() {
    let desk = desk();
    desk.told(CONNECT).await;
    desk.shows("2026-11-22T07:00:00Z");
    let events = desk.told(CONSULT).await;
    let cause = &events[0].recorded.cause;
    assert_eq!(cause.at, time("2026-11-22T09:00:01Z"));
    assert_eq!(cause.reported_at, Some(time("2026-11-22T07:00:01Z")));
    assert_eq!(cause.recorded_at, time("2026-11-22T07:00:01Z"));
}

#[test]
fn a_batch_has_events_of_one_call_that_continue_its_head() {
    let batch = |head, events: &[RecordedEvent]| Batch::new(head, events.to_vec());
    let (first, rest) = HISTORY.split_at(1);
    assert_eq!(batch(Head::NONE, &[]), Err(InvalidBatch::Empty));
    assert!(batch(head_of(first), rest).is_ok());
    let stray = |event: &RecordedEvent| {
        let (call, revision) = altered_at(event);
        Err(InvalidBatch::NotConsecutive { call, revision })
    };
    assert_eq!(batch(Head::NONE, rest), stray(&rest[0]));
    let mut mixed = HISTORY.clone();
    alter(&mut mixed[2], Field::Call, 0);
    assert_eq!(batch(Head::NONE, &mixed), stray(&mixed[2]));
}

// Personal texts.

#[test]
fn a_call_verifies_after_its_personal_texts_were_made_unreadable() {
    let left: Vec<_> = HISTORY.iter().map(erased).collect();
    assert_eq!(verify(Head::NONE, &left), Ok(head_of(&HISTORY)));
    let customer = |event: &Event| {
        matches!(
            event,
            Event::CallConnected {
                customer: Some(Personal::Erased),
                ..
            }
        )
    };
    let note = |event: &Event| {
        matches!(
            event,
            Event::WrapUpSuggested {
                note: Some(Personal::Erased),
                ..
            }
        )
    };
    assert!(left.iter().any(|left| customer(&left.event)));
    assert!(left.iter().any(|left| note(&left.event)));
}

#[test]
fn an_unreadable_text_is_null_in_json_with_a_mark_beside_it() {
    let mut fields = BTreeSet::new();
    for recorded in HISTORY.iter().filter(|event| event.personal.is_some()) {
        let at = |recorded| {
            json_of(&StoredEvent {
                position: Position(1),
                recorded,
            })
        };
        let (before, after) = (at(recorded.clone()), at(erased(recorded)));
        let field = if before["data"]["note"].is_null() {
            "customer"
        } else {
            "note"
        };
        fields.insert(field);
        assert!(before["data"][field].is_string());
        assert_eq!(before["data"].get("erased"), None);
        let mut expected = before;
        expected["data"][field] = Value::Null;
        expected["data"]["erased"] = json!(true);
        assert_eq!(after, expected);
    }
    assert_eq!(fields, BTreeSet::from(["customer", "note"]));
}

#[test]
fn what_was_never_given_is_not_marked_as_unreadable() {
    let events = HISTORY.iter().filter(|event| event.personal.is_none());
    for recorded in events {
        assert_eq!(erased(recorded), *recorded);
        let stored = StoredEvent {
            position: Position(1),
            recorded: recorded.clone(),
        };
        assert_eq!(json_of(&stored)["data"].get("erased"), None);
    }
}

#[test]
fn a_payload_holds_a_commitment_in_the_place_of_a_personal_text() {
    for recorded in HISTORY.iter() {
        let Some(part) = &recorded.personal else {
            continue;
        };
        let payload = &recorded.payload.bytes;
        let mut windows = payload.windows(part.text.len());
        assert!(!windows.any(|window| window == part.text.as_bytes()));
        assert_eq!(
            stored::commitment(&recorded.payload),
            Some(part.commitment())
        );
    }
}

#[tokio::test]
async fn the_same_number_leaves_another_commitment_in_every_call() {
    let desk = desk();
    let first = &desk.told(CONNECT).await[0].recorded;
    let again = with(CONNECT, json!({"call": "c2"}));
    let second = &desk.told(&again).await[0].recorded;
    assert_ne!(first.payload.bytes, second.payload.bytes);
    assert_ne!(first.cause.digest, second.cause.digest);
    let key = |recorded: &RecordedEvent| recorded.personal.as_ref().map(|part| part.key);
    assert_ne!(key(first), key(second));
}

#[test]
fn one_key_serves_all_personal_texts_of_a_call() {
    let parts = HISTORY.iter().filter_map(|event| event.personal.as_ref());
    let (keys, salts): (BTreeSet<_>, BTreeSet<_>) =
        parts.map(|part| (part.key.to_string(), part.salt)).unzip();
    assert_eq!(keys.len(), 1);
    assert_eq!(salts.len(), 2);
}

#[tokio::test]
async fn a_retry_with_a_personal_text_is_known_by_the_stored_salt() {
    let desk = desk();
    let first = desk.told(CONNECT).await;
    assert_eq!(desk.told(CONNECT).await, first);
    let desk = desk.restarted();
    assert_eq!(desk.told(CONNECT).await, first);
    for other in [json!("+39061234568"), json!(null)] {
        let other = with(CONNECT, json!({"customer": other}));
        assert_reused(&desk, &other).await;
    }
    assert_eq!(desk.size().await, 1);
}

#[tokio::test]
async fn a_retry_may_not_add_a_personal_text() {
    let desk = desk();
    let connect = with(CONNECT, json!({"customer": null}));
    desk.told(&connect).await;
    assert_reused(&desk, CONNECT).await;
}

#[tokio::test]
async fn a_retried_note_is_known_by_the_stored_salt() {
    let desk = desk();
    for command in &STORY[..6] {
        desk.told(command).await;
    }
    let id = json!({"id": "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a13"});
    let suggest = with(STORY[6], id);
    let first = desk.told(&suggest).await;
    let desk = desk.restarted();
    assert_eq!(desk.told(&suggest).await, first);
    assert_reused(&desk, &with(&suggest, json!({"note": "never mind"}))).await;
}

/// There is nothing left to compare with: the id is known, and that is the answer.
#[tokio::test]
async fn after_erasure_a_known_id_is_answered_without_comparing() {
    let desk = desk();
    let first = desk.told(CONNECT).await;
    desk.told(CONSULT).await;
    let desk = desk.after_erasure();
    for customer in [json!("+39061234567"), json!("another"), json!(null)] {
        let retry = with(CONNECT, json!({"customer": customer}));
        let answer = desk.told(&retry).await;
        assert_eq!(answer, all_erased(first.clone()));
        assert_eq!(json_of(&answer[0])["data"]["erased"], true);
    }
    assert_eq!(desk.size().await, 3);
}

#[tokio::test]
async fn after_erasure_a_command_without_personal_text_is_still_compared() {
    let desk = desk();
    desk.told(CONNECT).await;
    let consult = desk.told(CONSULT).await;
    let desk = desk.after_erasure();
    assert_eq!(desk.told(CONSULT).await, consult);
    assert_reused(&desk, &with(CONSULT, json!({"hold": "none"}))).await;
}

#[tokio::test]
async fn a_call_goes_on_after_erasure() {
    let desk = desk();
    desk.told(CONNECT).await;
    let desk = desk.after_erasure();
    desk.told(CONSULT).await;
    let events = desk.store.read_call(&read("c1"), Revision(0)).await;
    let events = events.expect("memory").into_iter();
    let events: Vec<_> = events.map(|event| event.recorded).collect();
    assert_eq!(verify(Head::NONE, &events), Ok(head_of(&events)));
}

// Retries.

async fn assert_reused(desk: &Desk, command: &str) {
    let id = request(command).id.expect("the command has an id");
    let size = desk.size().await;
    let answer = desk.ask(command).await;
    assert_eq!(answer, Err(HandleError::CommandIdReused(id)), "{command}");
    assert_eq!(desk.size().await, size);
}

#[tokio::test]
async fn a_retry_is_answered_with_the_same_events_and_writes_nothing() {
    let desk = desk();
    desk.told(CONNECT).await;
    let first = desk.told(CONSULT).await;
    desk.told(r#"{"call":"c1","type":"accept_consult","by":"agent:ben"}"#)
        .await;
    let size = desk.size().await;
    assert_eq!(desk.told(CONSULT).await, first);
    let desk = desk.restarted();
    assert_eq!(desk.told(CONSULT).await, first);
    assert_eq!(desk.size().await, size);
}

#[tokio::test]
async fn other_content_under_a_known_id_is_refused() {
    let desk = desk();
    desk.told(CONNECT).await;
    desk.told(CONSULT).await;
    for other in [
        json!({"target": "agent:dan"}),
        json!({"target": "dial:1"}),
        json!({"by": "agent:ben"}),
        json!({"hold": "none"}),
        json!({"at": "2026-11-22T09:00:02Z"}),
        json!({"type": "end_consult", "target": null}),
    ] {
        assert_reused(&desk, &with(CONSULT, other)).await;
    }
}

#[tokio::test]
async fn a_retry_may_carry_another_correlation_and_expectation() {
    let desk = desk();
    desk.told(CONNECT).await;
    let first = desk.told(CONSULT).await;
    let again = json!({"correlation": "retry", "expect": 99});
    assert_eq!(desk.told(&with(CONSULT, again)).await, first);
    assert_eq!(first[0].recorded.cause.correlation, None);
}

#[tokio::test]
async fn a_retry_with_defaults_written_out_is_the_same_command() {
    let desk = desk();
    desk.told(CONNECT).await;
    let first = desk.told(CONSULT).await;
    for same in [json!({"hold": "others"}), json!({"hold": null, "at": null})] {
        assert_eq!(desk.told(&with(CONSULT, same)).await, first);
    }
}

#[tokio::test]
async fn a_rejected_command_is_decided_anew() {
    let desk = desk();
    let rejected = desk.ask(CONSULT).await.unwrap_err();
    assert_eq!(code(&rejected), Some(RejectionCode::CallNotFound));
    desk.told(CONNECT).await;
    assert_eq!(desk.told(CONSULT).await.len(), 2);
}

// The digest.

fn digest(command: &str) -> Digest {
    stored::digest(&request(command), None)
}

#[test]
fn a_digest_covers_neither_id_nor_expect_nor_correlation() {
    for fields in [
        json!({"id": null}),
        json!({"id": "00000000-0000-4000-8000-000000000000"}),
        json!({"expect": 7}),
        json!({"correlation": "crm-7"}),
    ] {
        assert_eq!(digest(&with(CONSULT, fields)), digest(CONSULT));
    }
}

#[test]
fn a_digest_covers_at_only_if_it_was_given() {
    let at = |at: &str| digest(&with(CONSULT, json!({"at": at})));
    assert_ne!(at("2026-11-22T09:00:00Z"), digest(CONSULT));
    assert_ne!(at("2026-11-22T09:00:00Z"), at("2026-11-22T09:00:00.001Z"));
    let offset = at("2026-11-22T10:00:00.000+01:00");
    assert_eq!(at("2026-11-22T09:00:00Z"), offset);
}

#[test]
fn a_digest_has_the_defaults_filled_in() {
    let others = with(CONSULT, json!({"hold": "others"}));
    assert_eq!(digest(&others), digest(CONSULT));
    let none = with(CONSULT, json!({"hold": "none"}));
    assert_ne!(digest(&none), digest(CONSULT));
    let conference = r#"{"call":"c1","type":"start_conference","by":"agent:ana"}"#;
    let desktop = with(conference, json!({"origin": "desktop"}));
    assert_eq!(digest(&desktop), digest(conference));
    let device = with(conference, json!({"origin": "device"}));
    assert_ne!(digest(&device), digest(conference));
}

/// Commands that hold the same fields, so that nothing but their type tells them apart.
#[test]
fn a_digest_covers_the_call_and_the_type() {
    let kinds = [
        "accept_consult",
        "decline_consult",
        "end_consult",
        "transfer_call",
        "exit_conference",
        "end_call",
        "press_end",
        "barge_in",
        "stop_monitoring",
    ];
    let command = |call: &str, kind: &str| {
        digest(&json!({"call": call, "type": kind, "by": "agent:ana"}).to_string()).0
    };
    let calls = ["c1", "c2"].into_iter();
    let digests = calls.flat_map(|call| kinds.map(|kind| command(call, kind)));
    assert_eq!(digests.collect::<BTreeSet<_>>().len(), 2 * kinds.len());
}

#[test]
fn a_digest_tells_who_asks_from_whom_it_is_about() {
    let hold = |by: &str, party: &str| {
        digest(&json!({"call": "c1", "type": "hold", "by": by, "party": party}).to_string())
    };
    assert_ne!(
        hold("agent:ana", "agent:ben"),
        hold("agent:ben", "agent:ana")
    );
    assert_ne!(
        hold("supervisor:ana", "customer"),
        hold("agent:ana", "customer")
    );
    assert_ne!(hold("dial:1", "customer"), hold("agent:1", "customer"));
}

// The order of the questions.

fn expected(expected: u64, actual: u64) -> Result<Vec<StoredEvent>, HandleError> {
    Err(HandleError::Expected {
        expected: Revision(expected),
        actual: Revision(actual),
    })
}

#[tokio::test]
async fn an_expectation_comes_before_every_rule() {
    let desk = desk();
    let unopened = with(CONSULT, json!({"expect": 5}));
    assert_eq!(desk.ask(&unopened).await, expected(5, 0));
    desk.told(&with(CONNECT, json!({"expect": 0}))).await;
    let impossible = with(CONNECT, json!({"id": null, "expect": 0}));
    assert_eq!(desk.ask(&impossible).await, expected(0, 1));
    let met = with(CONNECT, json!({"id": null, "expect": 1}));
    let refused = desk.ask(&met).await.unwrap_err();
    assert_eq!(code(&refused), Some(RejectionCode::CallExists));
    assert_eq!(desk.size().await, 1);
}

#[tokio::test]
async fn a_known_id_comes_before_the_expectation() {
    let desk = desk();
    desk.told(CONNECT).await;
    let consult = with(CONSULT, json!({"expect": 1}));
    let first = desk.told(&consult).await;
    assert_eq!(desk.told(&consult).await, first);
    let other = json!({"expect": 1, "target": "agent:dan"});
    assert_reused(&desk, &with(CONSULT, other)).await;
}

// The page that works the chain by hand.

/// The events that the page's commands bring about, by its clock and its salt.
async fn events_of_the_page(page: &str) -> Vec<RecordedEvent> {
    let desk = desk();
    let salt = std::array::from_fn(|place| u8::try_from(place).expect("32 places"));
    let handler = Handler::new(desk.store.clone()).with_random(move || salt);
    let handler = with_clock(handler, &desk.clock_ms);
    let desk = Desk { handler, ..desk };
    let commands = blocks(page, "json").concat();
    let clock = ["08:59:59.250", "09:00:04.000", "09:00:06.500"];
    let mut events = Vec::new();
    for (command, shown) in commands.lines().zip(clock) {
        desk.shows(&format!("2026-11-22T{shown}Z"));
        events.extend(desk.told(command).await);
    }
    events.into_iter().map(|event| event.recorded).collect()
}

fn without_correlation(event: &RecordedEvent) -> RecordedEvent {
    let mut event = event.clone();
    Arc::make_mut(&mut event.cause).correlation = None;
    event
}

/// What the page's blocks must print, by the program.
fn hashes_of_the_page(events: &[RecordedEvent]) -> Vec<String> {
    let [first, second, third] = events else {
        panic!("each of the three commands brings about one event");
    };
    let commitment = first.personal.as_ref().expect("a number").commitment();
    let mut hashes = vec![Hash(commitment).to_string()];
    for event in [first, second, third] {
        hashes.push(event.cause.digest.to_string());
        hashes.push(event.hash.to_string());
    }
    let last = without_correlation(third).hash_after(second.hash);
    hashes.push(last.to_string());
    hashes
}

fn first_words(text: &str) -> Vec<String> {
    let words = text.lines().filter_map(|line| line.split(' ').next());
    words.map(str::to_owned).collect()
}

/// What the blocks print, or nothing where they cannot be run.
fn printed(script: &str) -> Option<Output> {
    if runs("sh") && runs("sha256sum") {
        let output = Command::new("sh").args(["-eu", "-c", script]).output();
        return Some(output.expect("a shell starts"));
    }
    tests::skip::skip(
        "docs/hash-chain.md is followed in a shell",
        "there is no sh or no sha256sum",
    );
    None
}

#[tokio::test]
async fn the_page_on_the_hash_chain_prints_what_the_program_computes() {
    let page = page("hash-chain.md");
    let events = events_of_the_page(&page).await;
    verify(Head::NONE, &events).expect("the page's call verifies");
    let hashes = hashes_of_the_page(&events);
    assert_eq!(first_words(&blocks(&page, "text").concat()), hashes);
    let Some(output) = printed(&blocks(&page, "sh").concat()) else {
        return;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    let stdout = String::from_utf8(output.stdout).expect("hexadecimal digits");
    assert_eq!(first_words(&stdout), hashes);
}

/// A reader who follows the page by hand sees the same names for things.
#[tokio::test]
async fn the_page_on_the_hash_chain_names_every_id_and_payload() {
    let page = page("hash-chain.md");
    for event in events_of_the_page(&page).await {
        assert!(page.contains(&hex(event.id().0.as_bytes())));
        assert!(page.contains(&hex(&event.payload.bytes)));
        assert!(page.contains(&event.cause.digest.to_string()));
    }
}
