//! The JSON of `docs/spec/interface.md`: which lines are commands, what is said of those that are not, and how events
//! and answers look.

use domain::command::{CommandType, HoldScope, Origin};
use domain::event::EventType;
use domain::json::{
    AnswerJson, CallJson, EventJson, InvalidCommand, RejectionJson, parse_command,
    parse_command_for, write_command,
};
use domain::table::{Presence, ValueType};
use domain::{
    Actor, AgentId, Answer, CallId, Command, CommandId, DialNumber, HandleError, Handler,
    MemoryStore, Party, Request, Revision, StoreError, StoredEvent, SupervisorId, Target,
    Timestamp, evolve,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use tests::arbitrary::everything_anybody_can_ask;
use uuid::Uuid;

const SPECIFICATION: &str = include_str!("../../docs/spec/interface.md");

/// Every command of the specification: its type, the fields it needs, and those it may have.
type Listed = (&'static str, Vec<&'static str>, Vec<&'static str>);

fn commands() -> Vec<Listed> {
    let listed = rows("## Commands").map(|(kind, fields)| {
        let optional = |field: &&str| field.trim_start().starts_with("optional");
        let (optional, needed): (Vec<_>, Vec<_>) = fields.split([',', ';']).partition(optional);
        let named = |fields: Vec<&'static str>| fields.into_iter().filter_map(name).collect();
        (kind, named(needed), named(optional))
    });
    listed.collect()
}

/// What `data` has for every event of the specification.
fn data() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let listed = rows("## Events");
    listed
        .map(|(kind, fields)| (kind, fields.split(',').filter_map(name).collect()))
        .collect()
}

/// The rows of the table under a heading, one for each type that a row names, with the fields of all of them.
fn rows(heading: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, section) = SPECIFICATION.split_once(heading).expect("it is there");
    let lines = section.lines().skip_while(|line| !line.starts_with("| `"));
    let lines = lines.take_while(|line| line.starts_with("| "));
    lines.skip(2).flat_map(|line| {
        let mut cells = line.split(" | ");
        let kinds = cells.next().expect("a type").split(',');
        let fields = cells.next().expect("the fields");
        kinds.filter_map(name).map(move |kind| (kind, fields))
    })
}

/// The first name in backticks, unless it stands in parentheses.
fn name(text: &'static str) -> Option<&'static str> {
    let text = text.split('(').next().unwrap_or_default();
    text.split('`').nth(1)
}

/// A value for every field but those all commands have.
const FIELDS: [(&str, &str); 10] = [
    ("by", "agent:ana"),
    ("agent", "agent:ana"),
    ("customer", "+39061234567"),
    ("queue", "sales"),
    ("target", "agent:ben"),
    ("hold", "none"),
    ("origin", "device"),
    ("party", "customer"),
    ("reason", "billing"),
    ("note", "call back at noon"),
];

/// A value for every field that all commands may have.
const COMMON: [(&str, &str); 3] = [
    ("id", "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11"),
    ("at", "2026-11-22T09:00:00.000Z"),
    ("correlation", "crm-7"),
];

fn value(field: &str) -> &'static str {
    let mut fields = FIELDS.iter().chain(&COMMON);
    let found = fields.find(|(name, _)| *name == field);
    found.expect("the table has every field").1
}

/// A command of that type with those fields.
fn command(kind: &str, fields: &[&str]) -> Value {
    let mut command = json!({"call": "c1", "type": kind});
    for field in fields {
        command[*field] = json!(value(field));
    }
    command
}

fn parse(command: &Value) -> Result<Request, InvalidCommand> {
    parse_command(&command.to_string())
}

/// A command that is valid but for that field's value.
fn with(field: &str, given: impl Into<Value>) -> Value {
    let takes =
        |(_, needed, optional): &&Listed| needed.contains(&field) || optional.contains(&field);
    let commands = commands();
    let found = commands.iter().find(takes);
    let (kind, needed, _) = found.unwrap_or(&commands[2]);
    let mut command = command(kind, needed);
    command[field] = given.into();
    command
}

/// That this value of that field is refused, and that the message says where.
#[track_caller]
fn refused(field: &str, given: impl Into<Value>) -> String {
    let command = with(field, given);
    let error = parse(&command).expect_err("no such command");
    let message = error.to_string();
    let named = matches!(&error, InvalidCommand::BadValue { field: named, .. } if *named == field);
    assert!(named, "{command}: {message}");
    assert!(message.starts_with(&format!("`{field}`: ")), "{message}");
    message
}

#[track_caller]
fn accepted(field: &str, given: impl Into<Value>) -> Request {
    let command = with(field, given);
    parse(&command).unwrap_or_else(|error| panic!("{command}: {error}"))
}

#[track_caller]
fn not_json(line: &str) -> (String, usize) {
    match parse_command(line) {
        Err(InvalidCommand::NotJson { what, column }) => (what, column),
        other => panic!("{line}: {other:?}"),
    }
}

fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the tests give valid texts")
}

// Which fields a command has.

#[test]
fn every_command_needs_its_fields_and_may_have_the_others() {
    for (kind, needed, optional) in commands() {
        let least = parse(&command(kind, &needed));
        assert_eq!(least.unwrap().command.name(), kind);
        let common = ["id", "at", "correlation"];
        let most = [&needed[..], &optional, &common].concat();
        let most = parse(&command(kind, &most)).unwrap();
        assert_eq!(most.command.name(), kind);
        assert!(most.id.is_some() && most.at.is_some() && most.correlation.is_some());
    }
}

#[test]
fn a_missing_field_is_named() {
    for (kind, needed, _) in commands() {
        for field in needed.iter().chain(&["call"]) {
            let mut command = command(kind, &needed);
            command[*field] = Value::Null;
            let null = parse(&command).unwrap_err();
            command.as_object_mut().expect("an object").remove(*field);
            let absent = parse(&command).unwrap_err();
            assert_eq!(absent, null);
            assert_eq!(
                absent.to_string(),
                format!("`{kind}` needs the field `{field}`")
            );
        }
    }
}

#[test]
fn a_command_without_a_type_is_refused() {
    for line in [
        "{}",
        r#"{"call":"c1","by":"agent:ana"}"#,
        r#"{"call":"c1","type":null}"#,
    ] {
        let error = parse_command(line).unwrap_err();
        assert_eq!(error.to_string(), "`command` needs the field `type`");
    }
}

#[test]
fn a_field_of_another_command_is_refused_by_name() {
    for (kind, needed, optional) in commands() {
        let own = [&needed[..], &optional].concat();
        for (foreign, value) in FIELDS.iter().filter(|(field, _)| !own.contains(field)) {
            let mut command = command(kind, &needed);
            command[*foreign] = json!(value);
            let message = parse(&command).unwrap_err().to_string();
            assert_eq!(message, format!("`{kind}` has no field `{foreign}`"));
        }
    }
}

#[test]
fn a_field_that_is_null_is_absent() {
    for (kind, needed, _) in commands() {
        let least = command(kind, &needed);
        let mut nulls = least.clone();
        for (field, _) in FIELDS.iter().chain(&COMMON) {
            if !needed.contains(field) {
                nulls[*field] = Value::Null;
            }
        }
        nulls["expect"] = Value::Null;
        assert_eq!(parse(&nulls), parse(&least), "{nulls}");
    }
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    for unknown in [
        "foo",
        "Call",
        "by ",
        "",
        "b\u{0443}",
        "agents",
        "x at line 7",
    ] {
        let mut command = command("end_call", &["by"]);
        command[unknown] = json!("agent:ana");
        let (what, _) = not_json(&command.to_string());
        let named = format!("unknown field `{unknown}`, expected one of `call`, `type`, ");
        assert!(what.starts_with(&named), "{what}");
    }
}

#[test]
fn a_field_that_is_there_twice_is_refused_by_name() {
    for (kind, needed, optional) in commands() {
        for field in needed
            .iter()
            .chain(&optional)
            .chain(&["call", "type", "id", "expect"])
        {
            let once = format!(r#"{{"call":"c1","type":"{kind}""#);
            let twice = format!(r#"{once},"{field}":null,"{field}":null}}"#);
            let (what, _) = not_json(&twice);
            assert_eq!(what, format!("duplicate field `{field}`"));
        }
    }
}

#[test]
fn a_value_of_another_type_is_refused_where_it_stands() {
    let texts = FIELDS.iter().chain(&COMMON).map(|(field, _)| *field);
    for field in texts.chain(["call", "type"]) {
        for wrong in ["5", "true", "1.5", "[]", "{}", r#"["agent:ana"]"#] {
            let before = format!(r#"{{"{field}":"#);
            let (what, column) = not_json(&format!("{before}{wrong}}}"));
            assert!(what.contains("expected a string"), "{what}");
            let wrong = before.len()..=before.len() + wrong.len();
            assert!(wrong.contains(&column), "{field}: {column}");
        }
    }
}

#[test]
fn an_expected_revision_is_a_whole_number() {
    let given =
        |given: &str| format!(r#"{{"call":"c1","type":"consult_unanswered","expect":{given}}}"#);
    for (text, revision) in [("0", 0), ("7", 7), ("18446744073709551615", u64::MAX)] {
        let request = parse_command(&given(text)).unwrap();
        assert_eq!(request.expect, Some(Revision(revision)));
    }
    for wrong in [
        "-1",
        "1.0",
        "1e3",
        "18446744073709551616",
        r#""7""#,
        "true",
        "[]",
    ] {
        let (_, column) = not_json(&given(wrong));
        assert!(column >= given("").len() - 1, "{wrong}");
    }
}

#[test]
fn an_unknown_type_is_refused_by_name() {
    for kind in [
        "",
        "nope",
        "Connect_Call",
        "connect_call ",
        "call_connected",
    ] {
        let error = parse(&json!({"call": "c1", "type": kind, "by": "agent:ana"})).unwrap_err();
        let message = format!("`type`: {kind:?} is no command");
        assert_eq!(error.to_string(), message);
    }
}

// Which lines are no commands at all.

#[test]
fn a_line_that_is_no_json_object_is_refused_with_the_column() {
    for (line, column) in [
        ("", 1),
        ("null", 4),
        ("5", 1),
        (r#""end_call""#, 10),
        ("[]", 1),
        ("  [{}]", 3),
        ("end_call c1", 1),
        (r#"{"call":"c1","#, 13),
        (r#"{"call":"c1",}"#, 14),
        (r"{'call':'c1'}", 2),
        ("\u{feff}{}", 1),
    ] {
        assert_eq!(not_json(line).1, column, "{line}");
        let message = parse_command(line).unwrap_err().to_string();
        assert!(
            message.ends_with(&format!(" at column {column}")),
            "{message}"
        );
    }
}

#[test]
fn a_message_about_json_has_no_word_of_the_parser() {
    for line in [
        "nope",
        "end_call c1",
        "c1",
        "{",
        "{}x",
        "{nope}",
        "{'call':1}",
        r#"{"call"}"#,
        r#"{"call":}"#,
        r#"{"call":"c1",}"#,
        r#"{"call":"c1" "type":"end_call"}"#,
        r#"{"call":nope}"#,
        r#"{"call":01}"#,
        r#"{"call":1e999}"#,
        r#"{"call":"\x"}"#,
        r#"{"call":"\ud83d"}"#,
        "{\"call\":\"\t\"}",
        r#"{"call":5}"#,
        r#"{"call":{}}"#,
        r#"{"call":[]}"#,
        r#"{"call":"c1","expect":-1}"#,
        r#"{"call":"c1","expect":1.5}"#,
    ] {
        let (what, _) = not_json(line);
        for word in [
            "ident", "EOF", "u64", "map", "sequence", "trailing", "variant", "invalid",
        ] {
            let words = what.split(|letter: char| !letter.is_alphanumeric());
            assert!(!words.clone().any(|found| found == word), "{line}: {what}");
        }
    }
}

/// The order of fields is no name for them.
#[test]
fn an_array_of_values_is_no_command() {
    let mut values = vec![Value::Null; 16];
    values[0] = json!("c1");
    values[1] = json!("consult_unanswered");
    let (what, column) = not_json(&Value::Array(values).to_string());
    assert_eq!((&*what, column), ("an array, expected a JSON object", 1));
}

#[test]
fn only_one_command_stands_on_a_line() {
    let line = command("consult_unanswered", &[]).to_string();
    assert!(parse_command(&format!(" \t{line}\r\n")).is_ok());
    for more in ["x", ",", "{}", &line] {
        let (what, column) = not_json(&format!("{line}{more}"));
        assert_eq!(
            (&*what, column),
            ("something follows after its end", line.len() + 1)
        );
    }
}

#[test]
fn names_and_texts_may_be_escaped_as_in_any_json() {
    let escaped = r#"{"\u0063all":"c\u0031","type":"end_call","by":"agent:\u0061na"}"#;
    assert_eq!(parse_command(escaped), parse(&command("end_call", &["by"])));
    let half = r#"{"call":"c1","type":"apply_wrap_up","by":"agent:ana","reason":"\ud83d"}"#;
    not_json(half);
}

/// Whoever reads the answer wants to know what is wrong, not to read the line again.
#[test]
fn a_message_stays_short_whatever_the_line() {
    let long = "x".repeat(100_000);
    let field = |field: &str, value: &str| format!(r#"{{"call":"c1","{field}":{value}}}"#);
    let quoted = format!("{long:?}");
    let mut lines = vec![
        long.clone(),
        quoted.clone(),
        field(&long, "1"),
        field("expect", &quoted),
        field("type", &quoted),
        format!(r#"{{"type":{quoted}}}"#),
        "[".repeat(100_000),
        r#"{"call":"#.repeat(100_000),
        field("by", &"[".repeat(100_000)),
    ];
    let fraction = format!("1969-12-31T23:59:59.{}Z", "9".repeat(100_000));
    lines.push(with("at", fraction).to_string());
    for (name, _) in FIELDS.iter().chain(&COMMON) {
        lines.push(with(name, &*long).to_string());
    }
    for line in lines {
        let message = parse_command(&line).unwrap_err().to_string();
        let length = message.chars().count();
        assert!(length < 350, "{length}: {message}");
    }
}

// Which values a field can have.

#[test]
fn a_call_identifier_is_visible_ascii_without_a_slash() {
    let longest = "c".repeat(128);
    for call in [
        "1",
        "...",
        ".c",
        "a.b",
        "~!\"#$%&'()*+,-:;<=>?@[\\]^_`{|}",
        &longest,
    ] {
        assert_eq!(accepted("call", call).call.as_str(), call);
    }
    let too_long = "c".repeat(129);
    for call in [
        "", ".", "..", "a/b", "/", "a b", " c", "c\n", "c\u{7f}", "ü", "会議", &too_long,
    ] {
        refused("call", call);
    }
}

#[test]
fn an_agents_id_has_1_to_64_of_few_characters() {
    let longest = format!("agent:{}", "a".repeat(64));
    for agent in ["agent:a", "agent:A.b_c@d-9", "agent:-", &longest] {
        assert_eq!(accepted("by", agent).command.actor(), Some(read(agent)));
        accepted("agent", agent);
        accepted("target", agent);
        accepted("party", agent);
    }
    let too_long = format!("agent:{}", "a".repeat(65));
    for agent in [
        "agent:",
        "agent: a",
        "agent:a b",
        "agent:ü",
        "agent:a:b",
        "Agent:a",
        "ana",
        "",
        &too_long,
    ] {
        for field in ["by", "agent", "target", "party"] {
            refused(field, agent);
        }
    }
}

#[test]
fn a_dialled_number_has_1_to_32_digits_and_perhaps_a_plus() {
    let longest = format!("dial:+{}", "1".repeat(32));
    for number in ["dial:1", "dial:+1", "dial:*77#", "dial:#", &longest] {
        accepted("target", number);
        accepted("party", number);
    }
    let too_long = format!("dial:{}", "1".repeat(33));
    for number in [
        "dial:", "dial:+", "dial:++1", "dial:1+", "dial:1 2", "dial:1-2", "dial:１", "dial:a",
        &too_long,
    ] {
        refused("target", number);
        refused("party", number);
        refused("by", number);
    }
}

/// R60: a supervisor is never a party, and the customer is nobody to consult.
#[test]
fn r60_who_never_fits_a_field_is_malformed() {
    for field in ["party", "target", "agent"] {
        refused(field, "supervisor:sam");
    }
    refused("target", "customer");
    for by in ["customer", "dial:1", "supervisor:sam", "agent:ana"] {
        for (kind, needed, _) in commands()
            .into_iter()
            .filter(|(_, needed, _)| needed.contains(&"by"))
        {
            let mut command = command(kind, &needed);
            command["by"] = json!(by);
            let request = parse(&command).unwrap();
            assert_eq!(request.command.actor(), Some(read(by)), "{command}");
        }
    }
    for agent in ["customer", "dial:1"] {
        accepted("agent", agent);
    }
}

#[test]
fn a_command_sent_to_a_call_need_not_name_it_and_may_name_no_other() {
    let sent_to = read("c1");
    let sent = |call: Option<&str>| {
        let mut command = with("reason", "billing");
        command["call"] = json!(call);
        parse_command_for(&sent_to, &command.to_string())
    };
    for call in [None, Some("c1")] {
        assert_eq!(sent(call).unwrap().call, sent_to);
    }
    let other = InvalidCommand::OtherCall {
        named: read("c2"),
        sent_to: read("c1"),
    };
    assert_eq!(sent(Some("c2")), Err(other));
    assert!(matches!(
        sent(Some("c/2")),
        Err(InvalidCommand::BadValue { field: "call", .. })
    ));
}

/// Characters of four bytes each, so that bytes taken for characters would show.
#[test]
fn lengths_count_characters_not_bytes() {
    for (field, most) in [
        ("queue", 64),
        ("customer", 128),
        ("correlation", 256),
        ("reason", 128),
        ("note", 1000),
    ] {
        for character in ["𠮷", "議", "é", "a"] {
            accepted(field, character.repeat(most));
            refused(field, character.repeat(most + 1));
        }
    }
}

#[test]
fn what_may_be_empty_and_what_may_not() {
    for field in ["correlation", "note", "reason"] {
        accepted(field, "");
    }
    for field in ["queue", "customer", "hold", "origin", "id", "at"] {
        refused(field, "");
    }
}

/// R51 refuses it: the command is a whole one, and its sender is told by the rule.
#[test]
fn r51_a_blank_reason_is_no_malformed_one() {
    let longest = "\u{3000}".repeat(128);
    for blank in ["", " ", "\u{3000}", "\t\n", "\u{85}\u{2028}", &longest] {
        let request = accepted("reason", blank);
        let kept = match request.command {
            Command::ApplyWrapUp { reason, .. } | Command::SuggestWrapUp { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(kept.as_str(), blank);
    }
    refused("reason", "\u{3000}".repeat(129));
    let missing = parse(&command("apply_wrap_up", &["by"])).unwrap_err();
    assert!(matches!(
        missing,
        InvalidCommand::Missing {
            field: "reason",
            ..
        }
    ));
}

#[test]
fn hold_and_origin_have_the_interfaces_words() {
    let hold = |request: Request| match request.command {
        Command::StartConsult { hold, .. } => hold,
        other => panic!("{other:?}"),
    };
    assert_eq!(hold(accepted("hold", "others")), HoldScope::Others);
    assert_eq!(hold(accepted("hold", "none")), HoldScope::None);
    assert_eq!(hold(accepted("hold", Value::Null)), HoldScope::Others);
    let origin = |request: Request| match request.command {
        Command::StartConference { origin, .. } => origin,
        other => panic!("{other:?}"),
    };
    assert_eq!(origin(accepted("origin", "desktop")), Origin::Desktop);
    assert_eq!(origin(accepted("origin", "device")), Origin::Device);
    assert_eq!(origin(accepted("origin", Value::Null)), Origin::Desktop);
    for wrong in ["Others", "all", "none ", "phone"] {
        refused("hold", wrong);
        refused("origin", wrong);
    }
}

#[test]
fn a_time_lies_between_1970_and_9999() {
    for (text, ms) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0019999Z", 1),
        ("9999-12-31T23:59:59.999Z", Timestamp::MAX.as_millis()),
    ] {
        let at = accepted("at", text).at.map(Timestamp::as_millis);
        assert_eq!(at, Some(ms), "{text}");
    }
    for text in [
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00Z",
    ] {
        let message = refused("at", text);
        assert!(
            message.ends_with("is not between the years 1970 and 9999"),
            "{message}"
        );
    }
    for text in [
        "now",
        "2026-11-22",
        "2026-11-22T09:00:00",
        "2026-11-22 09:00:00Z",
        "2026-02-29T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1795338000000",
    ] {
        let message = refused("at", text);
        assert!(
            message.ends_with("2026-11-22T09:00:00.000Z, between the years 1970 and 9999"),
            "{message}"
        );
    }
}

#[test]
fn an_id_is_a_uuid() {
    let id = accepted("id", "2F1C9C0E-8f7b-4f35-9d53-5a0f5d3c8a11").id;
    assert_eq!(id, accepted("id", value("id")).id);
    for wrong in [
        "1",
        "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a1",
        "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a1g",
        "c1",
    ] {
        let message = refused("id", wrong);
        assert_eq!(
            message,
            "`id`: not a UUID like 2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11"
        );
    }
}

#[test]
fn texts_are_kept_as_given() {
    let text = " \u{0}\"\\\n🎧\u{202e}é ";
    let connected = match accepted("queue", text).command {
        Command::ConnectCall { queue, .. } => queue.map(|queue| queue.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(connected.as_deref(), Some(text));
}

// Whatever comes.

fn text(least: usize, most: usize) -> impl Strategy<Value = String> {
    let characters = prop::collection::vec(any::<char>(), least..=most);
    characters.prop_map(|characters| characters.into_iter().collect())
}

/// A text newtype of the domain from texts that are valid for it.
fn texts<T: FromStr<Err: Debug> + Debug>(least: usize, most: usize) -> impl Strategy<Value = T> {
    text(least, most).prop_map(|text| read(&text))
}

fn agent() -> impl Strategy<Value = AgentId> {
    "[A-Za-z0-9._@-]{1,64}".prop_map(|id| read(&id))
}

fn supervisor() -> impl Strategy<Value = SupervisorId> {
    "[A-Za-z0-9._@-]{1,64}".prop_map(|id| read(&id))
}

fn number() -> impl Strategy<Value = DialNumber> {
    r"\+?[0-9*#]{1,32}".prop_map(|number| read(&number))
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        agent().prop_map(Target::Agent),
        number().prop_map(Target::Dial)
    ]
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::Customer), target().prop_map(Party::from)]
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        party().prop_map(Actor::Party),
        supervisor().prop_map(Actor::Supervisor)
    ]
}

fn maybe<T: Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(value)
}

/// Any text of that type.
fn value_of(value_type: ValueType) -> BoxedStrategy<String> {
    match value_type {
        ValueType::Actor => actor().prop_map(|actor| actor.to_string()).boxed(),
        ValueType::Party => party().prop_map(|party| party.to_string()).boxed(),
        ValueType::Target => target().prop_map(|target| target.to_string()).boxed(),
        ValueType::Queue => text(1, 64).boxed(),
        ValueType::CustomerNumber => text(1, 128).boxed(),
        ValueType::GivenReason => text(0, 128).boxed(),
        ValueType::Note => text(0, 1000).boxed(),
        ValueType::Choice(names) => prop::sample::select(names).prop_map(str::to_owned).boxed(),
        ValueType::Agent | ValueType::Supervisor | ValueType::Reason => {
            panic!("no command has a field of {value_type:?}")
        }
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let kinds = prop::sample::select(CommandType::ALL);
    kinds.prop_flat_map(|kind| {
        let fields = kind.fields().iter().map(|field| {
            let value = value_of(field.value_type).prop_map(Value::from);
            match field.presence {
                Presence::Required => value.boxed(),
                _ => maybe(value).prop_map(Value::from).boxed(),
            }
        });
        fields.collect::<Vec<_>>().prop_map(move |values| {
            let mut command = json!({"call": "c1", "type": kind.name()});
            for (field, value) in kind.fields().iter().zip(values) {
                command[field.name] = value;
            }
            parse(&command).expect("each value is valid").command
        })
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let call = "[!-.0-~]{1,128}".prop_filter("a path would not keep it", |call| {
        call != "." && call != ".."
    });
    let at = (0..=Timestamp::MAX.as_millis())
        .prop_map(|ms| Timestamp::from_millis(ms).expect("in range"));
    let id = any::<u128>().prop_map(|id| CommandId(Uuid::from_u128(id)));
    let expect = any::<u64>().prop_map(Revision);
    let around = (
        call,
        maybe(id),
        maybe(at),
        maybe(texts(0, 256)),
        maybe(expect),
    );
    (around, any_command()).prop_map(|((call, id, at, correlation, expect), command)| Request {
        call: read(&call),
        id,
        at,
        correlation,
        expect,
        command,
    })
}

/// What may happen to a line on its way, at some place of it.
fn mangled(line: &str, place: usize, noise: char) -> Vec<String> {
    let characters: Vec<_> = line.chars().collect();
    let (before, after) = characters.split_at(place % characters.len());
    let (before, after) = (String::from_iter(before), String::from_iter(after));
    let next = after.chars().next().map_or(0, char::len_utf8);
    vec![
        format!("{before}{noise}{after}"),
        format!("{before}{noise}{}", &after[next..]),
        format!("{before}{}", &after[next..]),
        before.clone(),
        after.clone(),
        format!("{after}{before}"),
        format!("{before}{after}{before}"),
    ]
}

/// That a line is a command or is refused by a message that says where; never anything else.
fn is_answered(line: &str) -> Result<(), TestCaseError> {
    match parse_command(line) {
        Ok(request) => {
            let again = parse_command(&write_command(&request));
            prop_assert_eq!(again, Ok(request));
        }
        Err(error) => {
            let message = error.to_string();
            let says_where = message.contains(" at column ") || message.contains('`');
            prop_assert!(says_where, "{}", message);
            prop_assert!(message.chars().count() < 1000, "{}", message);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_command_is_read_as_it_was_written(request in any_request()) {
        let line = write_command(&request);
        prop_assert!(!line.contains(['\n', '\r']), "a command is one line");
        prop_assert_eq!(parse_command(&line), Ok(request));
    }

    #[test]
    fn any_text_is_answered(line in text(0, 200)) {
        is_answered(&line)?;
    }

    #[test]
    fn text_that_looks_like_json_is_answered(line in r#"[\[\]{}":,a-z0-9\\ \t.eE+-]{0,200}"#) {
        is_answered(&line)?;
    }

    #[test]
    fn a_mangled_command_is_answered(request in any_request(), place: usize, noise: char) {
        let line = write_command(&request);
        for mangled in mangled(&line, place, noise) {
            is_answered(&mangled)?;
        }
        for mangled in mangled(&line, place, '"') {
            is_answered(&mangled)?;
        }
    }
}

#[test]
fn the_specification_lists_every_command_and_every_event_with_their_fields() {
    let known = CommandType::ALL.iter().map(|kind| {
        let named = |is_needed: bool| {
            let fields = kind.fields().iter();
            let fields = fields.filter(|field| (field.presence == Presence::Required) == is_needed);
            fields.map(|field| field.name).collect()
        };
        (kind.name(), named(true), named(false))
    });
    assert_eq!(commands(), known.collect::<Vec<_>>());
    let known = EventType::ALL.iter().map(|kind| {
        let fields = kind.fields().iter().map(|field| field.name);
        (kind.name(), fields.collect())
    });
    assert_eq!(data(), known.collect());
}

// Events.

/// What every event has around `data`, in this order.
const ENVELOPE: [&str; 14] = [
    "position",
    "call",
    "revision",
    "id",
    "type",
    "at",
    "recorded_at",
    "command",
    "correlation",
    "actor",
    "version",
    "digest",
    "hash",
    "data",
];

/// Calls in which everything happens that can: one line each.
const STORIES: [&[&str]; 3] = [
    &[
        r#"{"call":"c1","type":"connect_call","correlation":"crm-7","agent":"agent:ana","customer":"+39061234567"}"#,
        r#"{"call":"c1","type":"start_monitoring","by":"supervisor:sam","agent":"agent:ana"}"#,
        r#"{"call":"c1","type":"barge_in","by":"supervisor:sam"}"#,
        r#"{"call":"c1","type":"start_consult","by":"agent:ana","target":"agent:ben"}"#,
        r#"{"call":"c1","type":"accept_consult","by":"agent:ben","at":"2026-11-22T08:00:00Z"}"#,
        r#"{"call":"c1","type":"start_conference","by":"agent:ana"}"#,
        r#"{"call":"c1","type":"exit_conference","by":"agent:ana"}"#,
        r#"{"call":"c1","type":"suggest_wrap_up","by":"agent:ben","reason":"請求"}"#,
        r#"{"call":"c1","type":"end_call","by":"agent:ben"}"#,
        r#"{"call":"c1","type":"apply_wrap_up","by":"agent:ana","reason":"billing"}"#,
        r#"{"call":"c1","type":"apply_wrap_up","by":"agent:ben","reason":"billing"}"#,
    ],
    &[
        r#"{"call":"c2","type":"connect_call","agent":"agent:ana","queue":"sales"}"#,
        r#"{"call":"c2","type":"start_consult","by":"agent:ana","target":"dial:1"}"#,
        r#"{"call":"c2","type":"accept_consult","by":"dial:1"}"#,
        r#"{"call":"c2","type":"start_conference","by":"agent:ana"}"#,
        r#"{"call":"c2","type":"exit_conference","by":"agent:ana"}"#,
    ],
    &[
        r#"{"call":"c3","type":"connect_call","agent":"agent:ana"}"#,
        r#"{"call":"c3","type":"start_consult","by":"agent:ana","target":"agent:ben","hold":"none"}"#,
        r#"{"call":"c3","type":"accept_consult","by":"agent:ben"}"#,
        r#"{"call":"c3","type":"start_conference","by":"agent:ana"}"#,
        r#"{"call":"c3","type":"hang_up","party":"customer"}"#,
    ],
];

fn desk() -> Handler {
    Handler::new(Arc::new(MemoryStore::new())).with_clock(|| read("2026-11-22T09:00:00.250Z"))
}

async fn ask(desk: &Handler, line: &str) -> Result<Answer, HandleError> {
    let request = parse_command(line).expect("the stories are commands");
    let id = request.id.unwrap_or_else(|| desk.random_id());
    desk.handle(&request, id, desk.now()).await
}

async fn told(story: &[&str]) -> Vec<StoredEvent> {
    told_by(&desk(), story).await
}

async fn told_by(desk: &Handler, story: &[&str]) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    for line in story {
        let answer = ask(desk, line).await;
        events.extend(
            answer
                .unwrap_or_else(|error| panic!("{line}: {error}"))
                .events,
        );
    }
    events
}

fn json_of(event: &StoredEvent) -> Value {
    serde_json::to_value(EventJson(event)).expect("an event is JSON")
}

fn names(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

async fn all_told() -> Vec<StoredEvent> {
    let mut events = Vec::new();
    for story in STORIES {
        let desk = desk();
        events.extend(told_by(&desk, story).await);
        let call = events.last().expect("a story has events");
        let call = call.recorded.cause.call.clone();
        events.extend(asked_next(&desk, &call, &events).await);
    }
    events
}

/// Events of types that are not there yet, of whatever the call accepts next: a new event needs no story of its own.
async fn asked_next(desk: &Handler, call: &CallId, told: &[StoredEvent]) -> Vec<StoredEvent> {
    let mut types: Vec<_> = told.iter().map(event_type).collect();
    let mut events = Vec::new();
    for command in everything_anybody_can_ask() {
        let request = Request {
            call: call.clone(),
            id: None,
            at: None,
            correlation: None,
            expect: None,
            command,
        };
        let answer = desk.handle(&request, desk.random_id(), desk.now()).await;
        for event in answer.into_iter().flat_map(|answer| answer.events) {
            if !types.contains(&event_type(&event)) {
                types.push(event_type(&event));
                events.push(event);
            }
        }
    }
    events
}

fn event_type(event: &StoredEvent) -> EventType {
    event.recorded.payload.event_type
}

#[tokio::test]
async fn every_event_has_exactly_the_interfaces_names() {
    let data = data();
    let mut types = BTreeSet::new();
    for event in all_told().await {
        let json = json_of(&event);
        let event_type = event.recorded.payload.event_type.name();
        types.insert(event_type);
        assert_eq!(json["type"], event_type);
        assert_eq!(names(&json["data"]), data[event_type]);
        let mut envelope: BTreeSet<_> = ENVELOPE.into_iter().collect();
        if event.recorded.cause.reported_at.is_some() {
            envelope.insert("reported_at");
        }
        assert_eq!(names(&json), envelope);
    }
    let all = EventType::ALL.iter().map(|event| event.name());
    assert_eq!(types, all.collect());
}

#[tokio::test]
async fn an_event_is_written_in_the_order_of_the_interface() {
    let events = told(&STORIES[0][..1]).await;
    let line = serde_json::to_string(&EventJson(&events[0])).expect("an event is JSON");
    let recorded = &events[0].recorded;
    let (id, command) = (recorded.id(), recorded.cause.command);
    let (digest, hash) = (recorded.cause.digest, recorded.hash);
    let at = "2026-11-22T09:00:00.250Z";
    let expected = format!(
        r#"{{"position":1,"call":"c1","revision":1,"id":"{id}","type":"call_connected","at":"{at}","recorded_at":"{at}","command":"{command}","correlation":"crm-7","actor":null,"version":1,"digest":"{digest}","hash":"{hash}","data":{{"agent":"agent:ana","customer":"+39061234567","queue":null}}}}"#
    );
    assert_eq!(line, expected);
    assert_eq!(digest.to_string().len(), 64);
    assert_eq!(hash.to_string().len(), 64);
}

#[tokio::test]
async fn who_asked_is_the_actor() {
    for event in all_told().await {
        let json = json_of(&event);
        let expected = match json["type"].as_str() {
            Some("call_connected") => Value::Null,
            Some("monitoring_started" | "supervisor_barged_in") => json!("supervisor:sam"),
            Some("wrap_up_suggested") => json["data"]["by"].clone(),
            Some("wrap_up_applied") => json["data"]["agent"].clone(),
            Some("wrap_up_assist_entered") => json!("customer"),
            _ => continue,
        };
        assert_eq!(json["actor"], expected, "{json}");
    }
}

#[tokio::test]
async fn r62_the_reported_time_stands_beside_the_time_it_took() {
    let events = told(&STORIES[0][..5]).await;
    let late = json_of(events.last().expect("events"));
    assert_eq!(late["at"], "2026-11-22T09:00:00.250Z");
    assert_eq!(late["reported_at"], "2026-11-22T08:00:00.000Z");
    assert_eq!(late["recorded_at"], "2026-11-22T09:00:00.250Z");
}

// Answers.

#[tokio::test]
async fn an_accepted_command_is_answered_with_its_events() {
    let answer = ask(&desk(), STORIES[0][0]).await.unwrap();
    let json = serde_json::to_value(AnswerJson::accepted(&answer)).unwrap();
    let expected = json!({
        "call": "c1",
        "id": answer.command.to_string(),
        "accepted": true,
        "revision": 1,
        "events": [json_of(&answer.events[0])],
    });
    assert_eq!(json, expected);
}

fn refusal(error: &HandleError) -> Option<Value> {
    let call = read("c1");
    let id = read_id("2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11");
    let rejection = RejectionJson::of(error)?;
    let answer = AnswerJson::refused(&call, id, rejection);
    Some(serde_json::to_value(answer).expect("an answer is JSON"))
}

fn read_id(text: &str) -> CommandId {
    CommandId(read(text))
}

fn refused_with(code: &str, rule: Option<&str>, error: &HandleError) -> Value {
    let mut refused = json!({
        "call": "c1",
        "id": "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11",
        "accepted": false,
        "rejection": {"code": code, "rule": rule, "message": error.to_string()},
    });
    let revision = match error {
        HandleError::Rejected { revision, .. } => Some(revision),
        HandleError::Expected { actual, .. } => Some(actual),
        _ => None,
    };
    if let Some(revision) = revision {
        refused["rejection"]["revision"] = revision.0.into();
    }
    refused
}

#[tokio::test]
async fn a_refused_command_is_answered_with_the_rule() {
    let desk = desk();
    let error = ask(&desk, STORIES[0][1]).await.unwrap_err();
    let expected = refused_with("call_not_found", Some("R1"), &error);
    assert_eq!(refusal(&error), Some(expected));
}

#[tokio::test]
async fn a_conflict_and_a_reused_id_are_answered_without_a_rule() {
    let desk = desk();
    let unopened = r#"{"call":"c1","type":"consult_unanswered","expect":3}"#;
    let error = ask(&desk, unopened).await.unwrap_err();
    assert_eq!(
        refusal(&error),
        Some(refused_with("conflict", None, &error))
    );
    let connect = |agent: &str| {
        let id = "2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11";
        json!({"call": "c1", "type": "connect_call", "id": id, "agent": agent}).to_string()
    };
    ask(&desk, &connect("agent:ana")).await.unwrap();
    let error = ask(&desk, &connect("agent:ben")).await.unwrap_err();
    let expected = refused_with("command_id_reused", None, &error);
    assert_eq!(refusal(&error), Some(expected));
}

#[test]
fn a_failure_of_ours_is_no_answer() {
    let unavailable = StoreError::Unavailable("it was closed".to_owned());
    let unsettled = HandleError::Unsettled { call: read("c1") };
    assert_eq!(refusal(&unavailable.into()), None);
    assert_eq!(refusal(&unsettled), None);
}

// A call.

fn call_after(events: &[StoredEvent]) -> Value {
    let call = events.iter().fold(domain::Call::default(), |call, stored| {
        evolve(call, &stored.recorded.event, stored.recorded.cause.at)
    });
    serde_json::to_value(CallJson::new(&read("c1"), &call)).expect("a call is JSON")
}

/// Whether all that is expected is there; the interface may add fields.
fn says(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let mut expected = expected.iter();
            expected
                .all(|(field, value)| actual.get(field).is_some_and(|actual| says(actual, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            let mut pairs = actual.iter().zip(expected);
            actual.len() == expected.len() && pairs.all(|(actual, expected)| says(actual, expected))
        }
        _ => actual == expected,
    }
}

#[tokio::test]
async fn a_call_has_the_interfaces_names_while_it_lasts() {
    let at = "2026-11-22T09:00:00.250Z";
    let call = call_after(&told(&STORIES[0][..4]).await);
    let expected = json!({
        "call": "c1", "revision": 5, "phase": "talking", "primary": "agent:ana",
        "parties": [
            {"party": "customer", "joined_at": at, "held_by": "agent:ana"},
            {"party": "agent:ana", "joined_at": at, "held_by": null},
        ],
        "consult": {"by": "agent:ana", "target": "agent:ben", "state": "ringing", "hold": "others"},
        "supervisors": [{"supervisor": "supervisor:sam", "agent": "agent:ana", "mode": "barged_in"}],
        "wrap_ups": [], "answered_at": at, "ended_at": null, "completed": false,
    });
    assert!(says(&call, &expected), "{call}");
}

#[tokio::test]
async fn a_call_has_the_interfaces_names_after_its_end() {
    let at = "2026-11-22T09:00:00.250Z";
    let call = call_after(&told(&STORIES[0][..10]).await);
    let expected = json!({
        "call": "c1", "phase": "ended", "primary": null, "parties": [], "consult": null,
        "supervisors": [],
        "wrap_ups": [
            {"agent": "agent:ana", "state": "applied", "since": at, "reason": "billing"},
            {"agent": "agent:ben", "state": "owed", "since": at, "reason": null},
        ],
        "answered_at": at, "ended_at": at, "completed": false,
    });
    assert!(says(&call, &expected), "{call}");
    let call = call_after(&told(STORIES[0]).await);
    assert_eq!(call["completed"], true);
}
