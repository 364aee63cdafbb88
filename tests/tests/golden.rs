//! What is stored for ever, held against files that are never edited: every payload, the digest of every command, and a
//! whole call with its ids and hashes. `KAIGI_GOLDEN=add cargo test -p tests --test golden` writes the files that
//! are missing; what is there it never touches.

use domain::call::Phase;
use domain::command::{CommandType, HoldScope};
use domain::envelope::{Digest, PersonalPart, verify};
use domain::event::{ConsultEnd, EndCause, EventType, LeaveReason, MonitoringEnd, Personal};
use domain::handle::rebuild;
use domain::json::{EventJson, parse_command, write_command};
use domain::stored::{self, DecodeError, Payload};
use domain::{
    Batch, Cause, CommandId, Event, EventStore, Handler, Head, KeyId, MemoryStore, Position,
    RecordedEvent, Request, Revision, StoredEvent, Timestamp,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::hex::{hex, unhex};
use uuid::Uuid;

/// An event to be written, and what its golden file is called.
struct Sample {
    name: String,
    event: Event,
    part: Option<PersonalPart>,
    /// Whether its golden is read without the personal part.
    erased: bool,
}

/// A command whose digest is golden.
struct Asked {
    name: String,
    request: Request,
    part: Option<PersonalPart>,
}

/// A golden file: comment lines with JSON, then hexadecimal digits.
struct Golden {
    name: String,
    said: Value,
    part: Option<PersonalPart>,
    bytes: Vec<u8>,
}

/// What the files have to say, collected so that one run names everything.
#[derive(Default)]
struct Findings {
    missing: Vec<String>,
    changed: Vec<String>,
}

// Every event in every shape.

fn samples() -> Vec<Sample> {
    let groups = [
        connecting(),
        consulting(),
        consults_ending(),
        conferences(),
        holding(),
        leaving(),
        control(),
        ending(),
        wrapping_up(),
        monitoring(),
        longest(),
    ];
    groups.into_iter().flatten().collect()
}

fn sample(variant: &str, event: Event) -> Sample {
    let event_type = event.event_type().name();
    let name = match variant {
        "" => event_type.to_owned(),
        variant => format!("{event_type}.{variant}"),
    };
    Sample {
        name,
        event,
        part: None,
        erased: false,
    }
}

impl Sample {
    fn with_part(self, text: &str) -> Self {
        let part = Some(part(text));
        Self { part, ..self }
    }

    fn erased(self) -> Self {
        let erased = true;
        Self { erased, ..self }
    }

    /// The event as its golden is read.
    fn read(&self) -> Event {
        match (self.erased, self.event.clone()) {
            (true, Event::CallConnected { agent, queue, .. }) => Event::CallConnected {
                agent,
                customer: Some(Personal::Erased),
                queue,
            },
            (true, Event::WrapUpSuggested { by, reason, .. }) => Event::WrapUpSuggested {
                by,
                reason,
                note: Some(Personal::Erased),
            },
            (_, event) => event,
        }
    }

    fn file(&self) -> String {
        format!("{}/{}.hex", current(), self.name)
    }
}

fn connected(customer: Option<&str>, queue: Option<&str>) -> Event {
    Event::CallConnected {
        agent: read("ana"),
        customer: customer.map(|text| Personal::Clear(read(text))),
        queue: queue.map(read),
    }
}

fn connecting() -> Vec<Sample> {
    let (number, queue) = ("+39 06 1234567", "お客様サポート");
    let known = || connected(Some(number), Some(queue));
    vec![
        sample("bare", connected(None, None)),
        sample("queue", connected(None, Some(queue))),
        sample("customer", connected(Some(number), None)).with_part(number),
        sample("customer_queue", known()).with_part(number),
        sample("customer_queue.erased", known())
            .with_part(number)
            .erased(),
    ]
}

/// Whom an agent can consult, and what a file is called after it.
const TARGETS: [(&str, &str); 2] = [("agent", "agent:ben"), ("dial", "dial:+39061*#")];

/// Who can be in a call.
const PARTIES: [(&str, &str); 3] = [("customer", "customer"), TARGETS[0], TARGETS[1]];

fn consulting() -> Vec<Sample> {
    let requested = |(kind, target), hold: HoldScope| {
        let (by, target) = (read("ana"), read(target));
        let event = Event::ConsultRequested { by, target, hold };
        sample(&format!("{kind}.{}", hold.name()), event)
    };
    let started = |(kind, target)| {
        let (by, target) = (read("ana"), read(target));
        sample(kind, Event::ConsultStarted { by, target })
    };
    let requested = TARGETS.into_iter().flat_map(|target| {
        HoldScope::ALL
            .iter()
            .map(move |hold| requested(target, *hold))
    });
    requested.chain(TARGETS.map(started)).collect()
}

fn consults_ending() -> Vec<Sample> {
    let ended = |(kind, target), cause: ConsultEnd| {
        let (by, target) = (read("ana"), read(target));
        let event = Event::ConsultEnded { by, target, cause };
        sample(&format!("{kind}.{}", cause.name()), event)
    };
    let causes = ConsultEnd::ALL.iter();
    causes
        .flat_map(|cause| TARGETS.map(|target| ended(target, *cause)))
        .collect()
}

fn conferences() -> Vec<Sample> {
    let joined = |(kind, party)| {
        let party = read(party);
        sample(kind, Event::PartyJoined { party })
    };
    let primary = read("ana");
    let others = [
        sample("", Event::ConferenceStarted { primary }),
        sample("", Event::ConferenceDissolved),
        sample("", Event::WrapUpAssistEntered),
    ];
    TARGETS.map(joined).into_iter().chain(others).collect()
}

fn holding() -> Vec<Sample> {
    let held = |(kind, party)| {
        let (party, by) = (read(party), read("ana"));
        sample(kind, Event::PartyHeld { party, by })
    };
    let released = |(kind, party)| {
        let party = read(party);
        sample(kind, Event::PartyReleased { party })
    };
    let held = PARTIES.into_iter().map(held);
    held.chain(PARTIES.map(released)).collect()
}

fn leaving() -> Vec<Sample> {
    let left = |(kind, party), reason: LeaveReason| {
        let party = read(party);
        let event = Event::PartyLeft { party, reason };
        sample(&format!("{kind}.{}", reason.name()), event)
    };
    let reasons = LeaveReason::ALL.iter();
    reasons
        .flat_map(|reason| PARTIES.map(|party| left(party, *reason)))
        .collect()
}

fn control() -> Vec<Sample> {
    let (from, to) = (read("ana"), read("ben"));
    vec![
        sample("", Event::ControlTransferred { from, to }),
        sample("", Event::ControlVacated { from: read("ana") }),
    ]
}

fn ending() -> Vec<Sample> {
    let ended = |cause: &EndCause| sample(cause.name(), Event::CallEnded { cause: *cause });
    let causes = EndCause::ALL.iter();
    let completed = sample("", Event::CallCompleted);
    causes.map(ended).chain([completed]).collect()
}

fn suggested(note: Option<&str>) -> Event {
    Event::WrapUpSuggested {
        by: read("ben"),
        reason: read("請求"),
        note: note.map(|text| Personal::Clear(read(text))),
    }
}

fn wrapping_up() -> Vec<Sample> {
    let agent = || read("ana");
    let reason = read("billing");
    let note = "call back at noon";
    let noted = || suggested(Some(note));
    vec![
        sample("", Event::WrapUpOwed { agent: agent() }),
        sample(
            "",
            Event::WrapUpApplied {
                agent: agent(),
                reason,
            },
        ),
        sample("bare", suggested(None)),
        sample("note", noted()).with_part(note),
        sample("note.empty", suggested(Some(""))).with_part(""),
        sample("note.erased", noted()).with_part(note).erased(),
    ]
}

fn monitoring() -> Vec<Sample> {
    let supervisor = || read("sam");
    let ended = |cause: &MonitoringEnd| Event::MonitoringEnded {
        supervisor: supervisor(),
        cause: *cause,
    };
    let started = Event::MonitoringStarted {
        supervisor: supervisor(),
        agent: read("ana"),
    };
    let moved = Event::MonitoringMoved {
        supervisor: supervisor(),
        from: read("ana"),
        to: read("ben"),
    };
    let barged_in = Event::SupervisorBargedIn {
        supervisor: supervisor(),
    };
    let causes = MonitoringEnd::ALL.iter();
    let endings = causes.map(|cause| sample(cause.name(), ended(cause)));
    let others = [started, barged_in, moved].map(|event| sample("", event));
    others.into_iter().chain(endings).collect()
}

/// Texts as long as they may be: their lengths take two bytes.
fn longest() -> Vec<Sample> {
    let number = "0".repeat(128);
    let connected = Event::CallConnected {
        agent: read(&"a".repeat(64)),
        customer: Some(Personal::Clear(read(&number))),
        queue: Some(read(&widest(64))),
    };
    let note = widest(1000);
    let suggested = Event::WrapUpSuggested {
        by: read(&"b".repeat(64)),
        reason: read(&widest(128)),
        note: Some(Personal::Clear(read(&note))),
    };
    let requested = Event::ConsultRequested {
        by: read(&"c".repeat(64)),
        target: read(&format!("dial:+{}", "1".repeat(32))),
        hold: HoldScope::None,
    };
    vec![
        sample("longest", connected).with_part(&number),
        sample("longest", suggested).with_part(&note),
        sample("longest", requested),
    ]
}

/// A text of characters that take four bytes each.
fn widest(chars: usize) -> String {
    "𠮷".repeat(chars)
}

fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the samples are valid")
}

fn part(text: &str) -> PersonalPart {
    PersonalPart {
        key: KeyId(Uuid::from_u128(0x0fd1_c0b2_7f3f_4d0b_9a53_0e6a_0f6e_4cff)),
        salt: std::array::from_fn(|place| u8::try_from(0xa0 + place).expect("32 places")),
        text: text.into(),
    }
}

/// The one made-up envelope in which all goldens stand.
fn cause() -> Cause {
    Cause {
        call: read("golden"),
        command: CommandId(Uuid::from_u128(0x0fd1_c0b2_7f3f_4d0b_9a53_0e6a_0f6e_4c00)),
        digest: Digest(std::array::from_fn(|place| {
            u8::try_from(place).expect("32 places")
        })),
        at: read("2026-11-22T09:00:00.000Z"),
        reported_at: None,
        recorded_at: read("2026-11-22T09:00:00.250Z"),
        correlation: Some(read("crm-7")),
        actor: None,
    }
}

fn first_event(payload: Payload, personal: Option<PersonalPart>) -> RecordedEvent {
    let event = stored::decode(&payload, personal.as_ref()).expect("the payload is whole");
    next_event(Head::NONE, event, payload, personal)
}

/// An event as a program of its time finished it.
fn next_event(
    head: Head,
    event: Event,
    payload: Payload,
    personal: Option<PersonalPart>,
) -> RecordedEvent {
    let mut recorded = RecordedEvent {
        cause: Arc::new(cause()),
        index: u32::try_from(head.revision.0).expect("a short call"),
        revision: head.revision.plus(1),
        event,
        payload,
        personal,
        hash: head.hash,
    };
    recorded.hash = recorded.hash_after(head.hash);
    recorded
}

fn json_of(recorded: RecordedEvent) -> String {
    let position = Position(recorded.revision.0);
    json_line(&StoredEvent { position, recorded })
}

fn json_line(event: &StoredEvent) -> String {
    serde_json::to_string(&EventJson(event)).expect("an event is JSON")
}

// The files.

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn file_text(said: &str, part: Option<&PersonalPart>, bytes: &[u8]) -> String {
    let mut text = format!("# {said}\n");
    if let Some(part) = part {
        let salt = hex(&part.salt);
        let part = json!({"key": part.key.to_string(), "salt": salt, "text": part.text.as_str()});
        let _ = writeln!(text, "# personal {part}");
    }
    for line in bytes.chunks(32) {
        let _ = writeln!(text, "{}", hex(line));
    }
    text
}

fn parsed(name: String, text: &str) -> Golden {
    let lines = || text.lines();
    let comments: Vec<_> = lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let part = comments.get(1).map(|line| {
        let part = line.strip_prefix("personal ").expect("a personal part");
        parsed_part(&serde_json::from_str(part).expect("JSON"))
    });
    Golden {
        name,
        said: serde_json::from_str(comments[0]).expect("JSON"),
        part,
        bytes: unhex(&hex_digits(text)),
    }
}

fn parsed_part(part: &Value) -> PersonalPart {
    let text = |field: &str| part[field].as_str().expect("a text");
    PersonalPart {
        key: KeyId(text("key").parse().unwrap()),
        salt: unhex(text("salt")).try_into().expect("32 bytes"),
        text: text("text").into(),
    }
}

fn hex_digits(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Where the payloads of today's version stand.
fn current() -> String {
    format!("events/v{}", stored::VERSION)
}

/// The golden payloads of all versions there ever were.
fn goldens_of_all_versions() -> impl Iterator<Item = Golden> {
    (0..=stored::VERSION).flat_map(|version| goldens(&format!("events/v{version}")))
}

/// All golden files of a folder, by name.
fn goldens(within: &str) -> Vec<Golden> {
    let mut files: Vec<_> = fs::read_dir(folder().join(within))
        .unwrap_or_else(|error| panic!("{within}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let golden = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        parsed(name, &fs::read_to_string(file).unwrap())
    };
    files.iter().map(golden).collect()
}

impl Golden {
    fn payload(&self) -> Payload {
        let event_type = self.said["type"].as_str().expect("a type");
        let named = |known: &&EventType| known.name() == event_type;
        Payload {
            event_type: *EventType::ALL.iter().find(named).expect("a known type"),
            version: self.said["version"].as_u64().expect("a version"),
            bytes: self.bytes.clone().into(),
        }
    }
}

impl Findings {
    /// Holds what is made today against the file; what does not count for ever may differ.
    fn compare(&mut self, file: &str, made: &str, counts: impl Fn(&str) -> String) {
        let Some(kept) = kept_or_added(file, made) else {
            self.missing.push(format!("{file}\n{made}"));
            return;
        };
        let (kept, made) = (counts(&kept), counts(made));
        if kept != made {
            self.changed.push(format!(
                "{file}\n  stored as     {kept}\n  made today as {made}"
            ));
        }
    }

    #[track_caller]
    fn report(self) {
        let Self { missing, changed } = self;
        let changed = paragraph(
            "a stored shape changed: add a new version, never edit",
            &changed,
        );
        let missing = paragraph(
            "golden files are missing; if they shall look like this for ever, run with KAIGI_GOLDEN=add",
            &missing,
        );
        assert!(
            changed.is_empty() && missing.is_empty(),
            "{changed}{missing}"
        );
    }
}

/// What to do, and for which files; nothing where there is none.
fn paragraph(what: &str, files: &[String]) -> String {
    match files {
        [] => String::new(),
        files => format!("{what}\n{}\n", files.join("\n")),
    }
}

/// The file's text; a file that is missing is written only if that was asked for.
fn kept_or_added(file: &str, made: &str) -> Option<String> {
    let path = folder().join(file);
    if path.exists() {
        return Some(fs::read_to_string(path).unwrap());
    }
    let asked = std::env::var("KAIGI_GOLDEN").is_ok_and(|value| value == "add");
    asked.then(|| {
        add(&path, made);
        made.to_owned()
    })
}

fn add(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).unwrap();
    let mut file = fs::File::create_new(path).expect("a golden file is never overwritten");
    file.write_all(text.as_bytes()).unwrap();
}

/// Whether everything the file says is said today; the interface may add fields, never change them.
fn still_says(today: &Value, kept: &Value) -> bool {
    match (today, kept) {
        (Value::Object(today), Value::Object(kept)) => kept.iter().all(|(field, kept)| {
            let today = today.get(field);
            today.is_some_and(|today| still_says(today, kept))
        }),
        _ => today == kept,
    }
}

// Payloads.

#[test]
fn every_event_is_written_as_its_golden_file_holds_it() {
    let mut findings = Findings::default();
    for sample in samples() {
        let payload = stored::encode(&sample.event, sample.part.as_ref());
        assert_eq!(payload.version, stored::VERSION);
        let part = sample.part.clone().filter(|_| !sample.erased);
        let bytes = payload.bytes.clone();
        let said = json_of(first_event(payload, part.clone()));
        let text = file_text(&said, part.as_ref(), &bytes);
        findings.compare(&sample.file(), &text, hex_digits);
    }
    findings.report();
}

#[test]
fn every_golden_file_is_read_as_the_event_it_was_written_from() {
    for sample in samples() {
        let Ok(text) = fs::read_to_string(folder().join(sample.file())) else {
            continue; // the test above names what is missing
        };
        let golden = parsed(sample.name.clone(), &text);
        let event = stored::decode(&golden.payload(), golden.part.as_ref());
        assert_eq!(event, Ok(sample.read()), "{}", sample.name);
    }
}

#[test]
fn every_golden_file_still_says_in_json_what_it_said() {
    for golden in goldens_of_all_versions() {
        let today = json_of(first_event(golden.payload(), golden.part));
        assert!(
            still_says(&read(&today), &golden.said),
            "{}: the interface changed, or the hash\n  said       {}\n  says today {today}",
            golden.name,
            golden.said,
        );
    }
}

#[test]
fn no_golden_file_is_forgotten() {
    let made: BTreeSet<_> = samples().into_iter().map(|sample| sample.name).collect();
    let kept = goldens(&current()).into_iter().map(|golden| golden.name);
    let forgotten: Vec<_> = kept.filter(|name| !made.contains(name)).collect();
    assert_eq!(
        forgotten,
        Vec::<String>::new(),
        "stores hold these, and no test writes them any more"
    );
}

/// The commands from number 0 on; digests cover the numbers.
const NUMBERED_COMMANDS: &str = "connect_call start_consult accept_consult decline_consult consult_unanswered end_consult \
    start_conference hold resume transfer_call exit_conference end_call press_end hang_up lose_connection apply_wrap_up \
    suggest_wrap_up start_monitoring barge_in stop_monitoring";

/// The events from number 1 on; the embedded store keeps the numbers.
const NUMBERED_EVENTS: &str = "call_connected consult_requested consult_started consult_ended party_joined conference_started \
    party_held party_released party_left control_transferred control_vacated conference_dissolved \
    wrap_up_assist_entered call_ended call_completed wrap_up_owed wrap_up_applied wrap_up_suggested monitoring_started \
    supervisor_barged_in monitoring_moved monitoring_ended";

#[test]
fn every_command_and_every_event_keeps_its_number() {
    for (number, name) in (0..).zip(NUMBERED_COMMANDS.split(' ')) {
        let kind = CommandType::numbered(number).expect("a command has it");
        assert_eq!((kind.name(), kind.number()), (name, number));
    }
    for (number, name) in (1..).zip(NUMBERED_EVENTS.split(' ')) {
        let kind = EventType::numbered(number).expect("an event has it");
        assert_eq!((kind.name(), kind.number()), (name, number));
    }
    assert_eq!(NUMBERED_COMMANDS.split(' ').count(), CommandType::ALL.len());
    assert_eq!(NUMBERED_EVENTS.split(' ').count(), EventType::ALL.len());
}

/// What every field of every event can hold; each must be in a golden file, and nothing else may be.
const SHAPES: &str = "
    call_connected agent: agent
    call_connected customer: null text
    call_connected erased: true
    call_connected queue: null text
    consult_requested by: agent
    consult_requested target: agent dial
    consult_requested hold: none others
    consult_started by: agent
    consult_started target: agent dial
    consult_ended by: agent
    consult_ended target: agent dial
    consult_ended cause: cancelled declined ended merged not_answered transferred
    party_joined party: agent dial
    conference_started primary: agent
    party_held party: agent customer dial
    party_held by: agent
    party_released party: agent customer dial
    party_left party: agent customer dial
    party_left reason: call_ended connection_lost exited hung_up transferred
    control_transferred from: agent
    control_transferred to: agent
    control_vacated from: agent
    call_ended cause: customer_and_agents_left ended_by_primary one_party_left
    wrap_up_owed agent: agent
    wrap_up_applied agent: agent
    wrap_up_applied reason: text
    wrap_up_suggested by: agent
    wrap_up_suggested reason: text
    wrap_up_suggested note: null text
    wrap_up_suggested erased: true
    monitoring_started supervisor: supervisor
    monitoring_started agent: agent
    supervisor_barged_in supervisor: supervisor
    monitoring_moved supervisor: supervisor
    monitoring_moved from: agent
    monitoring_moved to: agent
    monitoring_ended supervisor: supervisor
    monitoring_ended cause: call_ended no_agent_left requested
";

type Shapes = BTreeMap<String, BTreeSet<String>>;

fn expected_shapes() -> Shapes {
    let lines = SHAPES.trim().lines();
    let shapes = lines.map(|line| {
        let (field, shapes) = line
            .trim()
            .split_once(": ")
            .expect("a field and its shapes");
        let shapes = shapes.split(' ').map(str::to_owned);
        (field.to_owned(), shapes.collect())
    });
    shapes.collect()
}

fn shape(event_type: &str, field: &str, value: &Value) -> String {
    let one_of_few = matches!(field, "cause" | "hold" | "erased")
        || (event_type, field) == ("party_left", "reason");
    match value.as_str() {
        Some(text) if one_of_few || text == "customer" => text.to_owned(),
        Some(text) => match text.split_once(':') {
            Some((kind, _)) => kind.to_owned(),
            None => "text".to_owned(),
        },
        None => value.to_string(),
    }
}

#[test]
fn every_event_and_every_shape_of_every_field_has_a_golden_file() {
    let mut shapes = Shapes::new();
    let mut types = BTreeSet::new();
    for golden in goldens(&current()) {
        let event_type = golden.payload().event_type.name();
        types.insert(event_type);
        for (field, value) in golden.said["data"].as_object().expect("an object") {
            let shape = shape(event_type, field, value);
            let field = format!("{event_type} {field}");
            shapes.entry(field).or_default().insert(shape);
        }
    }
    let all: BTreeSet<_> = EventType::ALL.iter().map(|known| known.name()).collect();
    assert_eq!(types, all);
    for (field, expected) in expected_shapes() {
        assert_eq!(shapes.remove(&field), Some(expected), "{field}");
    }
    assert_eq!(shapes, Shapes::new(), "the table has every field");
}

/// Two fields that held the same would hide that they were swapped.
#[test]
fn in_a_golden_file_no_two_fields_hold_the_same() {
    for golden in goldens_of_all_versions() {
        let data = golden.said["data"].as_object().expect("an object");
        let texts = data.values().filter_map(Value::as_str);
        let stored = texts.map(|text| text.split_once(':').map_or(text, |(_, id)| id));
        let stored: Vec<_> = stored.collect();
        let different: BTreeSet<_> = stored.iter().collect();
        assert_eq!(different.len(), stored.len(), "{}", golden.name);
    }
}

/// The same bytes made without the program's own structs: texts after their lengths, variants by their numbers.
#[test]
fn a_payload_can_be_written_by_hand() {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("short");
        [&[length][..], text.as_bytes()].concat()
    };
    let requested = [text("ana"), vec![1], text("+39061*#"), vec![1]].concat();
    let connected = [text("ana"), vec![0], vec![1], text("お客様サポート")].concat();
    let moved = [text("sam"), text("ana"), text("ben")].concat();
    let number = part("+39 06 1234567").commitment();
    let customer = [text("ana"), vec![1], number.to_vec(), vec![0]].concat();
    for (name, bytes) in [
        ("consult_requested.dial.none", requested),
        ("call_connected.queue", connected),
        ("call_connected.customer", customer),
        ("monitoring_moved", moved),
        ("call_completed", vec![]),
    ] {
        let sample = samples().into_iter().find(|sample| sample.name == name);
        let sample = sample.unwrap_or_else(|| panic!("no sample {name}"));
        let payload = stored::encode(&sample.event, sample.part.as_ref());
        assert_eq!(hex(&payload.bytes), hex(&bytes), "{name}");
    }
}

// Older, newer and damaged payloads.

fn requested_before_holds_were_chosen(target: (u8, &str)) -> Payload {
    let (kind, id) = target;
    let length = u8::try_from(id.len()).expect("short");
    Payload {
        event_type: EventType::ConsultRequested,
        version: 0,
        bytes: [b"\x03ana", &[kind, length][..], id.as_bytes()]
            .concat()
            .into(),
    }
}

#[test]
fn version_0_is_read_as_todays_event() {
    let mut findings = Findings::default();
    for (name, target) in [("agent", (0, "ben")), ("dial", (1, "+39061*#"))] {
        let payload = requested_before_holds_were_chosen(target);
        let bytes = payload.bytes.clone();
        let said = json_of(first_event(payload, None));
        let file = format!("events/v0/consult_requested.{name}.hex");
        let text = file_text(&said, None, &bytes);
        findings.compare(&file, &text, hex_digits);
    }
    findings.report();
}

#[test]
fn a_hash_covers_an_older_payload_as_it_was_written() {
    let payload = requested_before_holds_were_chosen((0, "ben"));
    let recorded = first_event(payload, None);
    verify(Head::NONE, [&recorded]).expect("the bytes as written verify");
    let upcast = RecordedEvent {
        payload: stored::encode(&recorded.event, None),
        ..recorded.clone()
    };
    assert_ne!(upcast.payload.bytes, recorded.payload.bytes);
    let altered = verify(Head::NONE, [&upcast]).expect_err("upcast bytes are others");
    assert_eq!(altered.revision, Revision(1));
}

/// The events of a call that an older program left behind: an agent consults, and the customer is held.
fn left_by_an_older_program() -> Vec<RecordedEvent> {
    let connected = connected(Some("+39 06 1234567"), None);
    let personal = part("+39 06 1234567");
    let payload = stored::encode(&connected, Some(&personal));
    let first = next_event(Head::NONE, connected, payload, Some(personal));
    let payload = requested_before_holds_were_chosen((0, "ben"));
    let requested = stored::decode(&payload, None).unwrap();
    let second = next_event(first.head(), requested, payload, None);
    let held = Event::PartyHeld {
        party: read("customer"),
        by: read("ana"),
    };
    let payload = stored::encode(&held, None);
    let third = next_event(second.head(), held, payload, None);
    vec![first, second, third]
}

#[tokio::test]
async fn a_call_that_an_older_program_began_goes_on() {
    let store = Arc::new(MemoryStore::new());
    let begun = Batch::new(Head::NONE, left_by_an_older_program()).unwrap();
    let call = begun.call().clone();
    store.append(begun).await.unwrap();
    let handler = Handler::new(store.clone());
    for line in [
        r#"{"call":"golden","type":"accept_consult","by":"agent:ben"}"#,
        r#"{"call":"golden","type":"start_conference","by":"agent:ana"}"#,
        r#"{"call":"golden","type":"hang_up","party":"customer"}"#,
    ] {
        let request = parse_command(line).unwrap();
        let answer = handler.handle(&request, handler.random_id(), handler.now());
        answer.await.unwrap();
    }
    let events = store.read_call(&call, Revision(0)).await.unwrap();
    let versions = events.iter().map(|event| event.recorded.payload.version);
    assert_eq!(versions.take(4).collect::<Vec<_>>(), [1, 0, 1, 1]);
    let (call, head) = rebuild(&events).expect("old and new events verify");
    assert_eq!(head, events.last().unwrap().recorded.head());
    assert_eq!(call.phase().map(Phase::name), Some("wrap_up_assist"));
}

#[test]
fn a_payload_of_a_newer_program_is_refused_by_name() {
    for golden in goldens(&current()) {
        for version in [stored::VERSION + 1, u64::MAX] {
            let payload = golden.payload();
            let payload = Payload { version, ..payload };
            let event_type = payload.event_type.name();
            let error = stored::decode(&payload, golden.part.as_ref()).unwrap_err();
            let unknown = DecodeError::UnknownVersion {
                event_type,
                version,
            };
            assert_eq!(error, unknown);
            let message = format!(
                "{event_type} in version {version} is unknown to this program; a newer one must read it"
            );
            assert_eq!(error.to_string(), message);
            assert_eq!(stored::commitment(&payload), None);
        }
    }
}

/// Every golden payload, whatever its version.
fn payloads() -> impl Iterator<Item = (Payload, Option<PersonalPart>)> {
    goldens_of_all_versions().map(|golden| (golden.payload(), golden.part))
}

fn damaged(payload: &Payload) -> DecodeError {
    DecodeError::Damaged {
        event_type: payload.event_type.name(),
        version: payload.version,
    }
}

#[test]
fn a_truncated_payload_is_damaged() {
    for (payload, part) in payloads() {
        for length in 0..payload.bytes.len() {
            let bytes = payload.bytes[..length].into();
            let short = Payload {
                bytes,
                ..payload.clone()
            };
            let event = stored::decode(&short, part.as_ref());
            assert_eq!(event, Err(damaged(&payload)));
            assert_eq!(stored::commitment(&short), None);
        }
    }
}

#[test]
fn a_payload_with_more_behind_it_is_damaged() {
    for (payload, part) in payloads() {
        for more in [&[0][..], &[0xff], &[0; 100], &payload.bytes] {
            let bytes = [&payload.bytes, more].concat().into();
            let long = Payload {
                bytes,
                ..payload.clone()
            };
            if !more.is_empty() {
                let event = stored::decode(&long, part.as_ref());
                assert_eq!(event, Err(damaged(&payload)));
            }
        }
    }
}

/// Some changes are read as another event: that it is another one, nothing but the hash can tell.
#[test]
fn no_changed_byte_stops_the_program_or_verifies() {
    for (payload, part) in payloads() {
        let whole = first_event(payload.clone(), part.clone());
        for place in 0..payload.bytes.len() {
            for flip in 1..=u8::MAX {
                let mut bytes = payload.bytes.clone();
                bytes[place] ^= flip;
                let changed = Payload {
                    bytes,
                    ..payload.clone()
                };
                let _ = stored::decode(&changed, part.as_ref());
                let _ = stored::commitment(&changed);
                if flip.is_power_of_two() {
                    let payload = changed;
                    let altered = RecordedEvent {
                        payload,
                        ..whole.clone()
                    };
                    assert!(verify(Head::NONE, [&altered]).is_err());
                }
            }
        }
    }
}

// The digests of commands.

/// Every command with every choice it has, all of one call.
const COMMANDS: [(&str, &str); 35] = [
    ("bare", r#""type":"connect_call","agent":"agent:ana""#),
    (
        "customer",
        r#""type":"connect_call","agent":"agent:ana","customer":"+39 06 1234567""#,
    ),
    (
        "queue",
        r#""type":"connect_call","agent":"agent:ana","queue":"sales""#,
    ),
    (
        "customer_queue",
        r#""type":"connect_call","agent":"agent:ana","customer":"+39 06 1234567","queue":"sales""#,
    ),
    (
        "agent.others",
        r#""type":"start_consult","by":"agent:ana","target":"agent:ben""#,
    ),
    (
        "agent.none",
        r#""type":"start_consult","by":"agent:ana","target":"agent:ben","hold":"none""#,
    ),
    (
        "dial.others",
        r#""type":"start_consult","by":"agent:ana","target":"dial:+39061*#""#,
    ),
    ("", r#""type":"accept_consult","by":"agent:ana""#),
    ("dial", r#""type":"accept_consult","by":"dial:+39061*#""#),
    ("", r#""type":"decline_consult","by":"agent:ana""#),
    ("", r#""type":"consult_unanswered""#),
    (
        "at",
        r#""type":"consult_unanswered","at":"2026-11-22T09:00:00.000Z""#,
    ),
    ("", r#""type":"end_consult","by":"agent:ana""#),
    ("desktop", r#""type":"start_conference","by":"agent:ana""#),
    (
        "device",
        r#""type":"start_conference","by":"agent:ana","origin":"device""#,
    ),
    (
        "customer",
        r#""type":"hold","by":"agent:ana","party":"customer""#,
    ),
    (
        "agent",
        r#""type":"hold","by":"agent:ana","party":"agent:ben""#,
    ),
    (
        "customer",
        r#""type":"resume","by":"agent:ana","party":"customer""#,
    ),
    (
        "agent",
        r#""type":"resume","by":"agent:ana","party":"agent:ben""#,
    ),
    ("", r#""type":"transfer_call","by":"agent:ana""#),
    ("", r#""type":"exit_conference","by":"agent:ana""#),
    ("", r#""type":"end_call","by":"agent:ana""#),
    ("customer", r#""type":"end_call","by":"customer""#),
    ("", r#""type":"press_end","by":"agent:ana""#),
    ("customer", r#""type":"hang_up","party":"customer""#),
    ("dial", r#""type":"hang_up","party":"dial:+39061*#""#),
    ("agent", r#""type":"lose_connection","party":"agent:ben""#),
    (
        "",
        r#""type":"apply_wrap_up","by":"agent:ana","reason":"billing""#,
    ),
    (
        "blank",
        r#""type":"apply_wrap_up","by":"agent:ana","reason":"""#,
    ),
    (
        "bare",
        r#""type":"suggest_wrap_up","by":"agent:ben","reason":"請求""#,
    ),
    (
        "note",
        r#""type":"suggest_wrap_up","by":"agent:ben","reason":"請求","note":"call back at noon""#,
    ),
    (
        "note.empty",
        r#""type":"suggest_wrap_up","by":"agent:ben","reason":"請求","note":"""#,
    ),
    (
        "",
        r#""type":"start_monitoring","by":"supervisor:sam","agent":"agent:ben""#,
    ),
    ("", r#""type":"barge_in","by":"supervisor:sam""#),
    ("", r#""type":"stop_monitoring","by":"supervisor:sam""#),
];

fn longest_suggestion() -> String {
    let (by, reason, note) = ("b".repeat(64), widest(128), widest(1000));
    format!(r#""type":"suggest_wrap_up","by":"agent:{by}","reason":"{reason}","note":"{note}""#)
}

fn asked(variant: &str, fields: &str) -> Asked {
    let request = parse_command(&format!(r#"{{"call":"golden",{fields}}}"#));
    let request = request.expect("the table has commands");
    let name = match variant {
        "" => request.command.name().to_owned(),
        variant => format!("{}.{variant}", request.command.name()),
    };
    let part = request.command.personal_text().map(part);
    Asked {
        name,
        request,
        part,
    }
}

fn all_asked() -> impl Iterator<Item = Asked> {
    let commands = COMMANDS.into_iter();
    let asked_of_table = commands.map(|(variant, fields)| asked(variant, fields));
    asked_of_table.chain([asked("longest", &longest_suggestion())])
}

#[test]
fn every_command_has_the_digest_its_golden_file_holds() {
    let mut findings = Findings::default();
    for Asked {
        name,
        request,
        part,
    } in all_asked()
    {
        let digest = stored::digest(&request, part.as_ref());
        let text = file_text(&write_command(&request), part.as_ref(), &digest.0);
        findings.compare(&format!("digests/{name}.hex"), &text, hex_digits);
    }
    findings.report();
}

#[test]
fn every_golden_digest_is_that_of_the_command_beside_it() {
    let goldens = goldens("digests");
    for golden in &goldens {
        let request = parse_command(&golden.said.to_string()).unwrap();
        let digest = stored::digest(&request, golden.part.as_ref());
        assert_eq!(hex(&digest.0), hex(&golden.bytes), "{}", golden.name);
    }
    let kinds: BTreeSet<_> = goldens
        .iter()
        .map(|golden| golden.said["type"].as_str())
        .collect();
    let all = CommandType::NAMES.len();
    assert_eq!(kinds.len(), all, "every command has a golden digest");
    let different: BTreeSet<_> = goldens.iter().map(|golden| &golden.bytes).collect();
    assert_eq!(
        different.len(),
        goldens.len(),
        "every command has a digest of its own"
    );
}

// A whole call.

/// Runs the golden commands by a clock and randomness that depend on nothing but the command's line.
async fn golden_call() -> Vec<StoredEvent> {
    let start: Timestamp = read("2026-11-22T09:00:00.500Z");
    let line = Arc::new(AtomicU64::new(0));
    let (of_clock, of_random) = (line.clone(), line.clone());
    let handler = Handler::new(Arc::new(MemoryStore::new()))
        .with_clock(move || start.plus_millis(10_000 * of_clock.load(Ordering::Relaxed)))
        .with_random(move || [u8::try_from(of_random.load(Ordering::Relaxed)).unwrap(); 32]);
    let commands = fs::read_to_string(folder().join("call/commands.ndjson")).unwrap();
    let mut events = Vec::new();
    for command in commands.lines() {
        let request = parse_command(command).unwrap();
        let id = request.id.unwrap_or_else(|| handler.random_id());
        let answer = handler.handle(&request, id, handler.now()).await;
        events.extend(answer.expect("the rules allow it").events);
        line.fetch_add(1, Ordering::Relaxed);
    }
    events
}

#[tokio::test]
async fn a_call_has_the_ids_digests_and_hashes_its_golden_file_holds() {
    let events = golden_call().await;
    verify(Head::NONE, events.iter().map(|event| &event.recorded)).unwrap();
    let made: Vec<_> = events.iter().map(json_line).collect();
    let text = made.join("\n") + "\n";
    let kept = kept_or_added("call/events.ndjson", &text).expect("the golden file is there");
    assert_eq!(made.len(), kept.lines().count());
    for (made, kept) in made.iter().zip(kept.lines()) {
        assert!(
            still_says(&read(made), &read(kept)),
            "what is stored changed: add a new version, never edit\n  stored as     {kept}\n  made today as {made}"
        );
    }
}
