//! The service killed, starved and flooded.

use futures_util::future::join_all;
use reqwest::{Body, Client, Response};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;
use tests::program::on;
use tests::service_program::Serving;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// How many clients send at the same time.
const CLIENTS: usize = 64;

/// How many commands each of them sends, for a call of its own.
const COMMANDS: usize = 24;

/// How often the service is killed meanwhile.
const KILLS: usize = 5;

/// How long what must come is waited for, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// A port that is free, which the service comes back to after each kill. It is none that the system gives to those who
/// connect: while nobody listens there, one of them could be connected to itself.
pub(super) fn address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

pub(super) fn serving(folder: &Path, address: &str, more: &[&str]) -> Serving {
    let serve = [
        "serve",
        "--without-keys",
        "--log",
        "none",
        "--listen",
        address,
    ];
    Serving::start(on(folder, serve.iter().chain(more)))
}

/// The command of that number for a client's call; each is accepted after the one before.
fn command(client: usize, number: usize) -> Value {
    let mut command = match number {
        0 => json!({"type": "connect_call", "agent": "agent:ana"}),
        number if number % 2 == 1 => {
            json!({"type": "hold", "by": "agent:ana", "party": "customer"})
        }
        _ => json!({"type": "resume", "by": "agent:ana", "party": "customer"}),
    };
    command["call"] = format!("f{client}").into();
    command["id"] = id(client, number).into();
    command
}

fn id(client: usize, number: usize) -> String {
    Uuid::from_u128((client as u128) << 64 | number as u128 | 1 << 127).to_string()
}

/// Sends it again until there is an answer: whoever was killed comes back.
async fn answered(client: &Client, url: &str, command: &Value) -> Value {
    loop {
        let path = format!(
            "{url}/v1/calls/{}/commands",
            command["call"].as_str().unwrap()
        );
        let sent = client.post(path).header("content-type", "application/json");
        let sent = sent.body(command.to_string()).send().await;
        let answer = match sent {
            Ok(answer) if answer.status() == 503 => None,
            Ok(answer) => body(answer).await,
            Err(_) => None,
        };
        match answer {
            Some(answer) => return answer,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The body, if the connection lasted as long.
async fn body(answer: Response) -> Option<Value> {
    let status = answer.status();
    let text = answer.text().await.ok()?;
    assert_eq!(status, 200, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

/// Every event of the store, once the service has left it.
fn stored(folder: &Path) -> Vec<Value> {
    on(folder, ["events"]).run().ended_with(0).lines()
}

/// What was answered is in the store as it was answered; and every command that was sent is there once.
fn hold_against(stored: &[Value], answers: &[Value], sent: &HashSet<String>) {
    let mut by_command: HashMap<&str, Vec<&Value>> = HashMap::new();
    for event in stored {
        let command = event["command"].as_str().unwrap();
        by_command.entry(command).or_default().push(event);
    }
    for answer in answers {
        let kept = &by_command[answer["id"].as_str().unwrap()];
        let told: Vec<_> = answer["events"].as_array().unwrap().iter().collect();
        assert_eq!(*kept, told, "what was answered is not what is kept");
    }
    let kept: HashSet<_> = by_command.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(kept, *sent);
    on_each_call_revisions_are_consecutive(stored);
}

fn on_each_call_revisions_are_consecutive(stored: &[Value]) {
    let mut revisions: HashMap<&str, u64> = HashMap::new();
    for event in stored {
        let revision = revisions
            .entry(event["call"].as_str().unwrap())
            .or_default();
        *revision += 1;
        assert_eq!(event["revision"], *revision, "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_kills_and_nothing_is_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let address = address();
    let url = format!("http://{address}");
    let done = Arc::new(AtomicUsize::new(0));
    let mut service = serving(folder.path(), &address, &[]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (url, done) = (url.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let http = Client::new();
                let mut answers = Vec::new();
                for number in 0..COMMANDS {
                    answers.push(answered(&http, &url, &command(client, number)).await);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                answers
            })
        })
        .collect();
    for kill in 1..=KILLS {
        while done.load(Ordering::Relaxed) < CLIENTS * COMMANDS * kill / (KILLS + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.kill();
        service = serving(folder.path(), &address, &[]);
    }
    let mut answers = Vec::new();
    for client in join_all(clients).await {
        answers.extend(client.unwrap());
    }
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let sent = (0..CLIENTS).flat_map(|client| (0..COMMANDS).map(move |number| id(client, number)));
    hold_against(&stored(folder.path()), &answers, &sent.collect());
    let checked = on(folder.path(), ["store", "check"]).run().ended_with(0);
    assert_eq!(checked.json()["damaged"], false);
}

/// Streams the lines from that one on; answers what came until the connection broke.
async fn stream(url: &str, lines: &[String]) -> Vec<Value> {
    let sent = Client::new()
        .post(format!("{url}/v1/commands"))
        .header("content-type", "application/x-ndjson")
        .body(Body::from(lines.concat()))
        .send()
        .await;
    let Ok(mut answer) = sent else {
        return Vec::new();
    };
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let answers = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    // The last line may say that the service stops or that it gave up.
    answers
        .take_while(|answer: &Value| answer["accepted"] == true)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_cut_by_kills_go_on_at_the_first_unanswered_line() {
    const STREAMS: usize = 8;
    const LINES: usize = 600;
    let folder = tempfile::tempdir().unwrap();
    let address = address();
    let url = format!("http://{address}");
    let done = Arc::new(AtomicUsize::new(0));
    let mut service = serving(folder.path(), &address, &[]);
    let streams: Vec<_> = (0..STREAMS)
        .map(|client| {
            let (url, done) = (url.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let line = |number| format!("{}\n", command(client, number));
                let lines: Vec<_> = (0..LINES).map(line).collect();
                let mut answers = Vec::new();
                while answers.len() < LINES {
                    // A slice at a time, so that kills come between and within streams.
                    let next = &lines[answers.len()..LINES.min(answers.len() + 100)];
                    let came = stream(&url, next).await;
                    done.fetch_add(came.len(), Ordering::Relaxed);
                    if came.is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    answers.extend(came);
                }
                answers
            })
        })
        .collect();
    for kill in 1..=KILLS {
        while done.load(Ordering::Relaxed) < STREAMS * LINES * kill / (KILLS + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.kill();
        service = serving(folder.path(), &address, &[]);
    }
    let mut answers = Vec::new();
    for stream in join_all(streams).await {
        answers.extend(stream.unwrap());
    }
    assert_eq!(service.stop().code, Some(0));
    let sent = (0..STREAMS).flat_map(|client| (0..LINES).map(move |number| id(client, number)));
    hold_against(&stored(folder.path()), &answers, &sent.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_under_load_it_answers_what_it_has_taken_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let address = address();
    let service = serving(folder.path(), &address, &[]);
    let (stopped, _) = watch::channel(false);
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let (url, done) = (format!("http://{address}"), Arc::clone(&done));
            let stopped = stopped.subscribe();
            tokio::spawn(async move {
                let http = Client::new();
                let mut answers = Vec::new();
                for number in 0.. {
                    let command = command(client, number);
                    let path = format!("{url}/v1/calls/f{client}/commands");
                    let sent = http.post(path).header("content-type", "application/json");
                    match sent.body(command.to_string()).send().await {
                        Ok(answer) if answer.status() == 200 => {
                            // An answer that has begun is not cut off.
                            answers.push(body(answer).await.expect("the answer is whole"));
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => {
                            assert_eq!(answer.status(), 503);
                            break;
                        }
                        Err(error) => {
                            assert!(*stopped.borrow(), "{error}");
                            break;
                        }
                    }
                }
                answers
            })
        })
        .collect();
    while done.load(Ordering::Relaxed) < 200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stopped.send_replace(true);
    let ended = tokio::task::spawn_blocking(|| service.stop())
        .await
        .unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let kept = stored(folder.path());
    let kept: HashSet<_> = kept
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    for client in join_all(clients).await {
        for answer in client.unwrap() {
            for event in answer["events"].as_array().unwrap() {
                assert!(kept.contains(event["id"].as_str().unwrap()), "{event}");
            }
        }
    }
}

/// Sends those bytes, closes its side if told to, and reads until the service closes or has answered.
async fn raw(address: &str, bytes: &[u8], half_close: bool) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may close before all is sent.
    let _ = stream.write_all(bytes).await;
    if half_close {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        if text.contains("\r\n\r\n{") && text.ends_with('}') {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/calls/c1/commands HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn whatever_is_sent_is_answered_or_cut_off_and_the_service_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let address = address();
    let more = ["--idle-timeout", "300ms", "--header-timeout", "300ms"];
    let service = serving(folder.path(), &address, &more);
    let json = "Content-Type: application/json\r\n";
    let length = |length: usize| format!("{json}Content-Length: {length}\r\n");
    let long = "x".repeat(100_000);
    let cases: Vec<(&str, Vec<u8>, bool, &str)> = vec![
        (
            "no HTTP",
            b"\x16\x03\x01\x02\x00nonsense\r\n\r\n".to_vec(),
            false,
            "400",
        ),
        ("malformed JSON", post(&length(5), "{\"a\":"), false, "400"),
        ("an empty body", post(&length(0), ""), false, "400"),
        (
            "a body of another type",
            post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}"),
            false,
            "415",
        ),
        (
            "an oversized body",
            post(&length(long.len()), &long),
            false,
            "413",
        ),
        (
            "a truncated body, closed",
            post(&length(500), "{\"type\":"),
            true,
            "400",
        ),
        (
            "a truncated body, left open",
            post(&length(500), "{\"type\":"),
            false,
            "408",
        ),
        (
            "an oversized header",
            post(&format!("X: {long}\r\n"), ""),
            false,
            "431",
        ),
        (
            "headers that never end",
            b"GET /healthz HTTP/1.1\r\nHost: l".to_vec(),
            false,
            // There is no request to be answered.
            "",
        ),
        (
            "a length that is none",
            post(&format!("{json}Content-Length: many\r\n"), "{}"),
            false,
            "400",
        ),
        (
            "two lengths",
            post(&format!("{}Content-Length: 9\r\n", length(2)), "{}"),
            false,
            "400",
        ),
    ];
    for (what, bytes, half_close, expected) in cases {
        let answer = raw(&address, &bytes, half_close).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, expected, "{what}: {answer:?}");
        // Nothing of it was taken for a command, and the next who asks is answered.
        let command = command(1, 0);
        let answer = answered(&Client::new(), &format!("http://{address}"), &command).await;
        assert_eq!(answer["revision"], 1, "{what}");
    }
    assert_eq!(service.stop().code, Some(0));
}

#[tokio::test]
async fn those_who_never_finish_their_headers_keep_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let address = address();
    let service = serving(folder.path(), &address, &["--header-timeout", "1s"]);
    let slow = (0..200).map(|_| async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: l")
            .await
            .unwrap();
        stream
    });
    let slow = join_all(slow).await;
    let answer = answered(&Client::new(), &format!("http://{address}"), &command(1, 0)).await;
    assert_eq!(answer["revision"], 1);
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        let ended = ended.expect("it is closed");
        assert!(rest.is_empty(), "there was no request to be answered");
        assert!(
            ended.is_ok_and(|read| read == 0),
            "it is closed in good order"
        );
    }
    assert_eq!(service.stop().code, Some(0));
}
