//! Commands over HTTP, many in a stream.

use super::conversation::Conversation;
use super::watched::Watched;
use super::wire::Wire;
use super::{TRACE, problem};
use domain::json::write_command;
use domain::{AppendError, Handler, MemoryStore, StoreError};
use reqwest::Method;
use serde_json::{Value, json};
use server::Settings;
use simulate::{Day, simulate};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tests::service::{Running, Setup};
use uuid::Uuid;

const NDJSON: &[&str] = &[
    "content-type: application/x-ndjson",
    "transfer-encoding: chunked",
];

fn connect(call: &str) -> String {
    format!(
        "{}\n",
        json!({"call": call, "type": "connect_call", "agent": "agent:ana"})
    )
}

fn hold(call: &str) -> String {
    format!(
        "{}\n",
        json!({"call": call, "type": "hold", "by": "agent:ana", "party": "customer"})
    )
}

fn with_id(line: &str, id: Uuid) -> String {
    let mut command: Value = serde_json::from_str(line).unwrap();
    command["id"] = json!(id.to_string());
    format!("{command}\n")
}

fn error(answer: &Value) -> &str {
    answer["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

fn codes(answers: &[Value]) -> Vec<&Value> {
    answers
        .iter()
        .map(|answer| &answer["rejection"]["code"])
        .collect()
}

/// What of an answer does not depend on when it was given and by which chance.
fn comparable(mut answer: Value) -> Value {
    if let Some(events) = answer["events"].as_array_mut() {
        for event in events {
            for chance in ["position", "recorded_at", "hash", "digest"] {
                event[chance] = Value::Null;
            }
        }
    }
    answer
}

#[tokio::test]
async fn the_answers_are_those_of_the_program_in_the_order_of_the_lines() {
    let day = simulate(&Day { calls: 20, seed: 7 });
    let mut input: Vec<_> = day.map(|request| write_command(&request)).collect();
    input.insert(3, String::new());
    input.insert(5, "no command".to_owned());
    let input = input.join("\n");
    let mut printed = Vec::new();
    let handler = Arc::new(Handler::new(Arc::new(MemoryStore::new())));
    let lines = Box::new(Cursor::new(input.clone().into_bytes()));
    kaigi::run::run(handler, Duration::ZERO, lines, &mut printed, |_| ()).await;
    let printed = String::from_utf8(printed).unwrap();
    let printed = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let service = Running::start().await;
    let conversation = Conversation::begin(&service).await;
    let said = conversation.said();
    let saying = tokio::spawn(async move { said.send(Ok(input)).await.expect("it reads") });
    let answers = conversation.end().await;
    saying.await.unwrap();
    let answers: Vec<_> = answers.into_iter().map(comparable).collect();
    assert!(answers.len() > 100, "{}", answers.len());
    assert_eq!(answers, printed.map(comparable).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_has_the_revision_and_joined_lines_a_hint() {
    let service = Running::start().await;
    let mut conversation = Conversation::begin(&service).await;
    conversation.say(connect("c1")).await;
    let revision = conversation.answer().await["revision"].clone();
    assert!(revision.is_u64());
    conversation.say(connect("c1")).await;
    assert_eq!(
        conversation.answer().await["rejection"]["revision"],
        revision
    );
    let stale = json!({"call": "c1", "type": "press_end", "by": "agent:ana", "expect": 9});
    conversation.say(format!("{stale}\n")).await;
    let conflict = conversation.answer().await;
    assert_eq!(conflict["rejection"]["code"], "conflict");
    assert_eq!(conflict["rejection"]["revision"], revision);
    conversation
        .say(format!("{}{}", connect("c2").trim_end(), connect("c3")))
        .await;
    let joined = conversation.answer().await;
    assert!(error(&joined).contains("--data-binary"), "{joined}");
    service.stop().await;
}

#[tokio::test]
async fn an_answer_comes_while_the_next_line_is_not_even_thought_of() {
    let service = Running::start().await;
    let mut conversation = Conversation::begin(&service).await;
    for round in 1..=50 {
        let line = if round == 1 {
            connect("c1")
        } else {
            hold("c1")
        };
        let (begin, rest) = line.split_at(round % line.len());
        conversation.say(begin).await;
        conversation.say(rest).await;
        assert_eq!(conversation.answer().await["line"], round);
    }
    assert_eq!(conversation.end().await, [] as [Value; 0]);
    service.stop().await;
}

#[tokio::test]
async fn a_line_that_is_no_command_or_not_yours_is_answered_so_and_the_rest_goes_on() {
    let service = Running::start().await;
    let conversation = Conversation::with(&service, &service.keys.ana, &[]).await;
    let press = |by: &str| format!("{}\n", json!({"call": "c1", "type": "press_end", "by": by}));
    let late = json!({"call": "c1", "type": "press_end", "by": "agent:ana", "at": "2999-01-01T00:00:00.000Z"});
    conversation.say("\u{feff}\n \t\n").await;
    conversation.say("{\"call\":\"c1\"}\n").await;
    conversation
        .say(format!("{}\n", "x".repeat(64 * 1024 + 1)))
        .await;
    conversation.say(press("agent:ben")).await;
    conversation.say(connect("c1")).await;
    conversation.say(format!("{late}\n")).await;
    // The last line needs no end.
    conversation.say(press("agent:ana").trim_end()).await;
    let answers = conversation.end().await;
    let lines: Vec<_> = answers.iter().map(|answer| &answer["line"]).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
    assert!(error(&answers[0]).contains("`type`"));
    assert!(error(&answers[1]).contains("65537 bytes"));
    assert_eq!(
        codes(&answers[2..]),
        [
            "not_yours",
            "not_yours",
            "at_in_the_future",
            "call_not_found"
        ]
    );
    assert_eq!(answers[2]["accepted"], false);
    assert_eq!(
        (&answers[2]["call"], &answers[2]["rejection"]["rule"]),
        (&json!("c1"), &Value::Null)
    );
    assert_eq!(answers[5]["rejection"]["rule"], "R1");
    service.stop().await;
}

#[tokio::test]
async fn a_line_that_is_not_utf_8_is_named_and_the_rest_goes_on() {
    let service = Running::start().await;
    let mut wire = Wire::post(&service, "/v1/commands", NDJSON).await;
    wire.send(b"4\r\nab\xff\n\r\n").await;
    wire.chunk(&connect("c1")).await;
    wire.send(b"0\r\n\r\n").await;
    wire.half_close().await;
    let lines = wire.answer().await.lines();
    assert!(error(&lines[0]).contains("byte 3"), "{lines:?}");
    assert_eq!(lines[1]["accepted"], true);
    service.stop().await;
}

#[tokio::test]
async fn of_one_request_at_most_so_many_lines_are_under_way() {
    let (store, service) = Watched::shut().served().await;
    let conversation = Conversation::begin(&service).await;
    let said = conversation.said();
    let saying = tokio::spawn(async move {
        for n in 0..3000 {
            said.send(Ok(connect(&format!("c{n}"))))
                .await
                .expect("it reads");
        }
    });
    // One more has been read and waits for room.
    store.until_waiting(511).await;
    store.let_in();
    let answers = conversation.end().await;
    saying.await.unwrap();
    assert_eq!(answers.len(), 3000);
    assert!(answers.iter().all(|answer| answer["accepted"] == true));
    assert!(store.most_at_once() <= 512, "{}", store.most_at_once());
    service.stop().await;
}

#[tokio::test]
async fn commands_of_one_call_wait_for_each_other_and_for_nobody_else() {
    let (store, service) = Watched::shut().served().await;
    let mut conversation = Conversation::begin(&service).await;
    conversation
        .say([connect("c1"), hold("c1"), connect("c2")].concat())
        .await;
    store.until_waiting(2).await;
    store.let_in();
    let answers = conversation.answers(3).await;
    let calls: Vec<_> = answers
        .iter()
        .map(|answer| (&answer["call"], &answer["revision"]))
        .collect();
    assert_eq!(
        calls,
        [
            (&json!("c1"), &json!(1)),
            (&json!("c1"), &json!(2)),
            (&json!("c2"), &json!(1))
        ]
    );
    assert_eq!(conversation.end().await.len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn behind_a_command_that_was_not_decided_those_of_its_call_are_not_judged() {
    let away = AppendError::Store(StoreError::Unavailable("gone".to_owned()));
    let (_, service) = Watched::open().failing("c1", away).served().await;
    let mut conversation = Conversation::begin(&service).await;
    conversation.say(connect("c1")).await;
    let first = conversation.answer().await;
    assert!(error(&first).contains("gone"), "{first}");
    conversation.say([hold("c1"), connect("c2")].concat()).await;
    let [second, third] = &conversation.end().await[..] else {
        panic!("two answers");
    };
    assert!(
        error(second).contains("earlier command of this call"),
        "{second}"
    );
    assert_eq!(
        (&second["line"], &second["call"]),
        (&json!(2), &json!("c1"))
    );
    assert_eq!(third["accepted"], true);
    service.stop().await;
}

#[tokio::test]
async fn a_command_that_was_not_decided_can_be_sent_again_on_its_stream() {
    let away = AppendError::Store(StoreError::Unavailable("gone".to_owned()));
    let (store, service) = Watched::open().failing("c1", away).served().await;
    let mut conversation = Conversation::begin(&service).await;
    let first = with_id(&connect("c1"), Uuid::new_v4());
    for _ in 0..2 {
        conversation.say(first.clone()).await;
        let answer = conversation.answer().await;
        assert!(error(&answer).contains("gone"), "it is judged: {answer}");
    }
    store.mend();
    conversation.say(hold("c1")).await;
    let behind = conversation.answer().await;
    assert!(error(&behind).contains("earlier command"), "{behind}");
    let again = [first, hold("c1")].concat();
    conversation.say(again).await;
    let answers = conversation.answers(2).await;
    let revisions: Vec<_> = answers.iter().map(|answer| &answer["revision"]).collect();
    assert_eq!(revisions, [1, 2], "{answers:?}");
    assert_eq!(conversation.end().await, [] as [Value; 0]);
    service.stop().await;
}

#[tokio::test]
async fn a_command_that_is_sent_twice_before_it_is_decided_is_judged_twice_if_it_must() {
    let away = AppendError::Store(StoreError::Unavailable("gone".to_owned()));
    let (_, service) = Watched::open().failing("c1", away).served().await;
    let conversation = Conversation::begin(&service).await;
    let first = with_id(&connect("c1"), Uuid::new_v4());
    let lines = [first.as_str(), &hold("c1"), &first, &hold("c1")].concat();
    conversation.say(lines).await;
    let answers = conversation.end().await;
    let judged = answers.iter().map(|answer| error(answer).contains("gone"));
    assert_eq!(judged.collect::<Vec<_>>(), [true, false, true, false]);
    service.stop().await;
}

#[tokio::test]
async fn who_says_nothing_more_and_waits_is_answered() {
    let (store, service) = Watched::shut().served().await;
    let json = ["content-type: application/json"];
    for (path, call, headers) in [
        ("/v1/calls/c1/commands", "c1", &json[..]),
        ("/v1/commands", "c2", NDJSON),
    ] {
        let line = connect(call);
        let length = format!("content-length: {}", line.len());
        let headers = [&headers[..1], &[length.as_str()]].concat();
        let mut wire = Wire::post(&service, path, &headers).await;
        wire.send(line.as_bytes()).await;
        wire.half_close().await;
        store.until_waiting(1).await;
        store.let_in();
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.lines()[0]["accepted"], true);
        store.keep_out();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_sent_again_with_its_ids_is_answered_as_before() {
    let (store, service) = Watched::open().served().await;
    let input: String = (0..100)
        .map(|n| with_id(&connect(&format!("c{n}")), Uuid::new_v4()))
        .collect();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let conversation = Conversation::begin(&service).await;
        conversation.say(input.clone()).await;
        answers.push(conversation.end().await);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(store.events().await, 100);
    service.stop().await;
}

#[tokio::test]
async fn the_trace_of_the_stream_is_the_correlation_of_its_commands() {
    let service = Running::start().await;
    let trace = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [("traceparent", trace.as_str())];
    let conversation = Conversation::with(&service, &service.keys.telephony, &headers).await;
    let own =
        json!({"call": "c2", "type": "connect_call", "agent": "agent:ana", "correlation": ""});
    conversation.say(format!("{}{own}\n", connect("c1"))).await;
    let answers = conversation.end().await;
    let correlations: Vec<_> = answers
        .iter()
        .map(|answer| &answer["events"][0]["correlation"])
        .collect();
    assert_eq!(correlations, [TRACE, ""]);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_that_stops_coming_is_told_from_where_to_send_again() {
    let settings = Settings {
        idle_timeout_ms: 50,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    let conversation = Conversation::begin(&service).await;
    conversation
        .say(format!("{}{{\"call\":", connect("c1")))
        .await;
    let answers = conversation.rest().await;
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["accepted"], true);
    assert_eq!(answers[1]["line"], 2);
    assert!(
        error(&answers[1]).contains("nothing came for 50 ms"),
        "{answers:?}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_stops_answers_what_is_under_way_and_says_from_where_to_send_again() {
    let (store, service) = Watched::shut().served().await;
    let conversation = Conversation::begin(&service).await;
    conversation
        .say([connect("c1"), connect("c2"), connect("c3")].concat())
        .await;
    store.until_waiting(3).await;
    service.service.stop();
    store.let_in();
    let answers = conversation.rest().await;
    assert_eq!(answers.len(), 4);
    assert!(answers[..3].iter().all(|answer| answer["accepted"] == true));
    assert_eq!(answers[3]["line"], 4);
    assert!(error(&answers[3]).contains("stopping"), "{}", answers[3]);
    service.stop().await;
    assert_eq!(store.events().await, 3);
}

#[tokio::test]
async fn of_a_body_that_breaks_off_the_whole_lines_are_judged_and_no_part_of_one() {
    let (store, service) = Watched::open().served().await;
    let mut wire = Wire::post(&service, "/v1/commands", NDJSON).await;
    // What is there of the second line would be a command.
    wire.chunk(&format!("{}{}", connect("c1"), connect("c2").trim_end()))
        .await;
    wire.half_close().await;
    let lines = wire.answer().await.lines();
    assert_eq!(lines[0]["accepted"], true, "{lines:?}");
    assert!(
        error(&lines[1]).contains("ends before its end"),
        "{lines:?}"
    );
    assert_eq!((lines.len(), &lines[1]["line"]), (2, &json!(2)));
    service.stop().await;
    assert_eq!(store.events().await, 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_undo_what_was_read_and_can_send_it_again() {
    let (store, service) = Watched::shut().served().await;
    let input: String = (0..50)
        .map(|n| with_id(&connect(&format!("c{n}")), Uuid::new_v4()))
        .collect();
    let conversation = Conversation::begin(&service).await;
    conversation.say(input.clone()).await;
    store.until_waiting(50).await;
    drop(conversation);
    store.let_in();
    store.until_holding(50).await;
    let again = Conversation::begin(&service).await;
    again.say(input).await;
    let answers = again.end().await;
    assert!(answers.iter().all(|answer| answer["accepted"] == true));
    assert_eq!((answers.len(), store.events().await), (50, 50));
    service.stop().await;
}

/// The limit is a least time: a slow machine takes longer.
#[tokio::test]
async fn a_stream_goes_no_faster_than_its_key_may_and_no_line_of_it_is_refused() {
    let service = Running::with(Setup {
        settings: Settings {
            rate_per_key: 50,
            rate_burst_ms: 1000,
            ..Settings::default()
        },
        ..Setup::default()
    })
    .await;
    let begun = tokio::time::Instant::now();
    let mut conversation = Conversation::begin(&service).await;
    let lines: String = (0..120).map(|call| connect(&format!("c{call}"))).collect();
    conversation.say(lines).await;
    for answered in 0..120 {
        assert_eq!(conversation.answer().await["accepted"], true);
        if answered >= 50 && answered % 5 == 0 {
            let path = "/v1/calls/c0";
            let single = service.get(&service.keys.telephony, path).send().await;
            assert_eq!(
                single.unwrap().status(),
                200,
                "the stream leaves room for it"
            );
        }
    }
    // 50 requests come at once, and 84 more at 50 a second.
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    assert_eq!(conversation.end().await, [] as [Value; 0]);
    service.stop().await;
}

#[tokio::test]
async fn only_ndjson_is_taken_and_only_from_who_may_send_commands() {
    let service = Running::start().await;
    let keys = &service.keys;
    for (key, media_type, status, code) in [
        (&keys.telephony, "application/json", 415, "media_type"),
        (&keys.reader, "application/x-ndjson", 403, "role_missing"),
        (&keys.auditor, "application/x-ndjson", 403, "role_missing"),
        (&keys.operator, "application/x-ndjson", 403, "role_missing"),
    ] {
        let request = service.request(Method::POST, key, "/v1/commands");
        let request = request
            .header("content-type", media_type)
            .body(connect("c1"));
        problem(request.send().await.unwrap(), status, code).await;
    }
    service.stop().await;
}
