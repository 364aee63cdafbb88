//! `kaigi import asterisk` on captures of a running telephone system: VoIPGRID/cacofonisk, MIT, its licence beside them.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tests::program::{Ran, bare, on};

/// A capture of the fixtures, or one made from it.
struct Capture {
    file: PathBuf,
    /// Keeps a made one until the test is over.
    _folder: Option<tempfile::TempDir>,
}

/// What an import wrote.
struct Imported {
    commands: Vec<Value>,
    notes: Vec<String>,
}

fn capture(name: &str) -> Capture {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/asterisk-ami");
    Capture {
        file: fixtures.join(name),
        _folder: None,
    }
}

fn made(bytes: &[u8]) -> Capture {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.json");
    std::fs::write(&file, bytes).unwrap();
    Capture {
        file,
        _folder: Some(folder),
    }
}

impl Capture {
    fn events(&self) -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(&self.file).unwrap()).unwrap()
    }

    /// The same capture with other events.
    fn with(&self, change: impl FnOnce(&mut Vec<Value>)) -> Capture {
        let mut events = self.events();
        change(&mut events);
        made(&serde_json::to_vec(&events).unwrap())
    }

    fn import(&self) -> Ran {
        bare([
            "import".as_ref(),
            "asterisk".as_ref(),
            self.file.as_os_str(),
        ])
        .run()
    }

    fn imported(&self) -> Imported {
        let ran = self.import().ended_with(0);
        Imported {
            commands: ran.lines(),
            notes: ran.err.lines().map(str::to_owned).collect(),
        }
    }

    /// What is said when it is no capture.
    fn refused(&self) -> String {
        let ran = self.import().ended_with(65);
        assert_eq!(ran.out, "", "half a capture is none");
        ran.err
    }
}

impl Imported {
    /// The commands of that call as sentences: time of day, type, and the fields of the type.
    fn story_of(&self, call: &str) -> Vec<String> {
        let of_call = self
            .commands
            .iter()
            .filter(|command| command["call"] == call);
        of_call.map(sentence).collect()
    }

    fn has_note(&self, part: &str) -> bool {
        self.notes.iter().any(|note| note.contains(part))
    }
}

fn sentence(command: &Value) -> String {
    let field = |name: &str| command[name].as_str().unwrap();
    let of_type = |name: &&String| !["call", "id", "at", "type"].contains(&name.as_str());
    let mut names: Vec<&String> = command
        .as_object()
        .unwrap()
        .keys()
        .filter(of_type)
        .collect();
    names.sort();
    let fields = names.iter().map(|name| format!(" {name}={}", field(name)));
    let (time, fields) = (&field("at")[11..19], fields.collect::<String>());
    format!("{time} {}{fields}", field("type"))
}

/// Nothing is told of the call, and the reason is.
fn assert_untold(name: &str, call: &str, reason: &str) {
    let imported = capture(name).imported();
    assert_eq!(imported.commands, Vec::<Value>::new());
    assert!(
        imported.has_note(&format!("{name}: call {call}: {reason}")),
        "{:?}",
        imported.notes
    );
}

#[test]
fn a_plain_call_the_caller_hangs_up() {
    let imported = capture("simple/ab_success_a_hangup.json").imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529936170.42"),
        [
            "14:16:10 connect_call agent=agent:150010002 customer=201",
            "14:16:10 hang_up party=customer"
        ]
    );
    assert!(imported.has_note("durations are lower bounds"));
}

#[test]
fn a_plain_call_the_agent_hangs_up() {
    let imported = capture("simple/ab_success_b_hangup.json").imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529936710.252"),
        [
            "14:25:10 connect_call agent=agent:150010002 customer=201",
            "14:25:10 hang_up party=agent:150010002"
        ]
    );
}

#[test]
fn a_queue_call_from_outside_is_answered_by_the_one_of_two_who_picks_up() {
    let imported = capture("queue/queue_simple.json").imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529939196.518"),
        [
            "15:06:38 connect_call agent=agent:150010002 customer=+31150010001",
            "15:06:38 hang_up party=agent:150010002"
        ]
    );
    assert!(imported.has_note("a queue that the capture does not name"));
}

#[test]
fn a_queue_is_named_if_an_event_names_it() {
    let named = capture("queue/queue_simple.json").with(|events| {
        let mut join = events[3].clone();
        join["Event"] = json!("QueueCallerJoin");
        join["Queue"] = json!("support");
        events.insert(9, join);
    });
    let imported = named.imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529939196.518")[0],
        "15:06:38 connect_call agent=agent:150010002 customer=+31150010001 queue=support"
    );
    assert!(!imported.has_note("queue"));
}

#[test]
fn an_answered_attended_transfer_is_a_consult_and_a_transfer() {
    let imported = capture("xfer_attended/xfer_abbcac.json").imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529941338.663"),
        [
            "15:42:18 connect_call agent=agent:150010002 customer=201",
            "15:42:22 start_consult by=agent:150010002 hold=others target=agent:150010003",
            "15:42:23 accept_consult by=agent:150010003",
            "15:42:23 transfer_call by=agent:150010002",
            "15:42:23 hang_up party=agent:150010003",
        ]
    );
    assert_eq!(
        imported.commands.len(),
        5,
        "the second Linkedid is the consult, not a call"
    );
}

#[test]
fn a_caller_who_transfers_is_reported() {
    let reason = "150010001, who is the customer, transferred";
    assert_untold(
        "xfer_attended/xfer_abacbc.json",
        "195176c06ab8-1529941216.590",
        reason,
    );
}

#[test]
fn in_click_to_dial_the_customer_is_who_was_dialled_second() {
    let imported = capture("originate/ctd-account-account.json").imported();
    assert_eq!(
        imported.story_of("c4061ca6474c-1531990397.86"),
        [
            "08:53:18 connect_call agent=agent:150010001 customer=202",
            "08:53:18 hang_up party=customer"
        ]
    );
}

#[test]
fn a_blind_transfer_is_reported_and_not_even_its_beginning_told() {
    let reason = "150010002 transferred blindly to 203";
    assert_untold(
        "xfer_blind/xfer_blind_b_no_answer.json",
        "07b796be1962-1530000295.403",
        reason,
    );
}

#[test]
fn a_transfer_to_a_ringing_telephone_is_reported() {
    let reason = "150010001 transferred before the target had answered";
    assert_untold(
        "xfer_blonde/xfer_blonde_reject.json",
        "f29ea68048f6-1530025486.2901",
        reason,
    );
}

#[test]
fn a_call_nobody_answered_is_reported() {
    let reason = "150010002 BUSY: no agent ever talked with a customer";
    assert_untold("simple/ab_dnd.json", "195176c06ab8-1529936189.77", reason);
}

#[test]
fn a_capture_that_ends_early_leaves_the_call_open() {
    let cut = capture("simple/ab_success_a_hangup.json").with(|events| events.truncate(40));
    let imported = cut.imported();
    assert_eq!(
        imported.story_of("195176c06ab8-1529936170.42"),
        ["14:16:10 connect_call agent=agent:150010002 customer=201"]
    );
    assert!(imported.has_note("the capture ends before anybody hangs up"));
}

#[test]
fn a_telephone_between_two_bridges_has_not_hung_up() {
    let cut = capture("simple/ab_success_a_hangup.json").with(|events| events.truncate(36));
    assert_eq!(cut.imported().commands.len(), 1);
}

#[test]
fn a_capture_that_begins_late_tells_nothing() {
    let cut = capture("simple/ab_success_a_hangup.json").with(|events| drop(events.drain(..20)));
    let imported = cut.imported();
    assert_eq!(imported.commands, Vec::<Value>::new());
    assert!(imported.has_note("it went on before the capture begins"));
}

#[test]
fn a_withheld_number_is_no_number() {
    let withheld = capture("simple/ab_success_a_hangup.json").with(|events| {
        for event in events
            .iter_mut()
            .filter(|event| event["CallerIDNum"] == "201")
        {
            event["CallerIDNum"] = json!("anonymous");
        }
    });
    assert_eq!(
        withheld.imported().story_of("195176c06ab8-1529936170.42")[0],
        "14:16:10 connect_call agent=agent:150010002"
    );
}

#[test]
fn events_nobody_knows_are_counted() {
    let strange = capture("simple/ab_dnd.json").with(|events| {
        events.extend([json!({"Event": "Sneeze"}), json!({"Event": "Sneeze"})]);
    });
    assert!(
        strange
            .imported()
            .has_note("events of unknown kinds were skipped: Sneeze (2)")
    );
}

#[test]
fn an_empty_capture_is_said_to_be_empty() {
    let imported = made(b"[]").imported();
    assert_eq!(imported.commands, Vec::<Value>::new());
    assert!(imported.has_note("there is no call in it"));
}

#[test]
fn identifiers_come_from_the_content_and_not_from_the_file() {
    let capture = capture("xfer_attended/xfer_abbcac.json");
    let first = capture.import();
    assert_eq!(first.out, capture.import().out);
    assert_eq!(first.out, capture.with(|_| ()).import().out);
    assert_eq!(
        first.lines()[0]["id"],
        "b8e93e54-ceaf-572b-965e-9e6d29b29422",
        "with another id, what was imported before would be imported again"
    );
}

#[test]
fn what_is_no_capture_is_refused_with_file_and_place() {
    let whole = std::fs::read(capture("simple/ab_dnd.json").file).unwrap();
    let without = |field: &str| {
        let incomplete = capture("simple/ab_dnd.json").with(|events| {
            events[2].as_object_mut().unwrap().remove(field);
        });
        incomplete.refused()
    };
    let cases = [
        (made(b"hello").refused(), "line 1 column 1"),
        (made(b"{}").refused(), "not a JSON array of events"),
        (
            made(b"[\n1]").refused(),
            "event 1 of the array: it is not an object",
        ),
        (
            made(b"[{}]").refused(),
            "event 1 of the array: it has no Event",
        ),
        (made(&whole[..whole.len() / 2]).refused(), "EOF"),
        (made(b"[\n\xff]").refused(), "line 2 is not UTF-8"),
        (
            without("Uniqueid"),
            "event 3 of the array: Newchannel has no Uniqueid",
        ),
        (
            without("AccountCode"),
            "event 3 of the array: Newchannel has no AccountCode",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.contains("made.json") && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = capture("simple/no_such.json").import().ended_with(2);
    assert!(missing.err.contains("no_such.json"), "{missing:?}");
}

#[test]
fn every_imported_command_is_accepted_and_the_second_time_writes_nothing() {
    let names = [
        "simple/ab_success_a_hangup.json",
        "originate/ctd-account-account.json",
        "xfer_attended/xfer_abbcac.json",
        "queue/queue_simple.json",
    ];
    let commands: String = names.map(|name| capture(name).import().out).concat();
    let store = tempfile::tempdir().unwrap();
    let run = || {
        on(store.path(), ["run", "--strict", "-"])
            .input(commands.as_str())
            .run()
            .ended_with(0)
    };
    let first = run();
    assert_eq!(first.lines().len(), 11);
    assert_eq!(run().out, first.out);
    let events = on(store.path(), ["events"]).run().ended_with(0);
    assert_eq!(
        events
            .lines()
            .iter()
            .filter(|event| event["type"] == "call_connected")
            .count(),
        4
    );
}
