//! From acknowledgement to feed: a steady stream of commands, a few who follow all of it and many who follow one call or
//! one agent.

use crate::percentile;
use crate::service::Service;
use crate::wire::{Chunks, Connection};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Who follows everything.
const UNFILTERED: usize = 10;

/// Who follows one call, and who follows one agent.
const BY_CALL: usize = 95;
const BY_AGENT: usize = 95;

/// How many calls go on at the same time, each with an agent of its own.
const CALLS: usize = 200;

/// How many connections the commands come by.
const SENDERS: usize = 16;

/// When an event of that position was seen or acknowledged.
type Seen = Vec<(u64, Instant)>;

/// Measures, and prints what it came to.
pub(crate) async fn latencies(commands_per_s: u64, seconds: u64) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let service = Service::start(&folder.path().join("feed"));
    let mut subscribers = Vec::new();
    for number in 0..UNFILTERED + BY_CALL + BY_AGENT {
        let path = match number {
            0..UNFILTERED => "/v1/events".to_owned(),
            number if number < UNFILTERED + BY_CALL => {
                format!("/v1/events?call=f{}", number % CALLS)
            }
            number => format!("/v1/events?agent=agent:a{}", number % CALLS),
        };
        let subscribed = Chunks::subscribe(&service.address, &service.key, &path).await;
        subscribers.push(tokio::spawn(follow(subscribed.expect("the feed answers"))));
    }
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (address, key) = (service.address.clone(), service.key.clone());
            tokio::spawn(send(sender, address, key, commands_per_s, seconds))
        })
        .collect();
    let mut acknowledged = HashMap::new();
    for sender in senders {
        acknowledged.extend(sender.await.expect("a sender does not panic"));
    }
    service.stop();
    let (mut unfiltered, mut filtered) = (Vec::new(), Vec::new());
    for (number, subscriber) in subscribers.into_iter().enumerate() {
        let seen = subscriber.await.expect("a subscriber does not panic");
        let times = seen.into_iter().filter_map(|(position, at)| {
            let acknowledged: &Instant = acknowledged.get(&position)?;
            Some(at.saturating_duration_since(*acknowledged))
        });
        if number < UNFILTERED {
            unfiltered.push(times.collect::<Vec<_>>());
        } else {
            filtered.extend(times);
        }
    }
    let events = acknowledged.len();
    let missed = unfiltered
        .iter()
        .filter(|times| times.len() != events)
        .count();
    println!(
        "feed: {commands_per_s} commands/s for {seconds} s, {events} events, {UNFILTERED} unfiltered and {} filtered subscribers",
        BY_CALL + BY_AGENT
    );
    println!("feed: {missed} of the unfiltered have not seen every acknowledged event");
    told("unfiltered", unfiltered.concat());
    told("filtered", filtered);
}

fn told(who: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    println!(
        "feed: {who}, from acknowledgement: {} seen, p50 {} us, p99 {} us, most {} us",
        latencies.len(),
        percentile(&latencies, 50).as_micros(),
        percentile(&latencies, 99).as_micros(),
        percentile(&latencies, 100).as_micros()
    );
}

/// What a stream says of itself, and not of calls.
const OF_ITSELF: [&[u8]; 4] = [b"begin", b"progress", b"stopping", b"cut_off"];

/// Every event's position and when it came, until the service stops.
async fn follow(mut feed: Chunks) -> Seen {
    let mut seen = Vec::new();
    let mut id = 0;
    while let Ok(Ok(Some(line))) = timeout(Duration::from_mins(2), feed.line()).await {
        if let Some(position) = line.strip_prefix(b"id: ") {
            let position = std::str::from_utf8(position).ok();
            id = position.and_then(|text| text.parse().ok()).unwrap_or(0);
        } else if let Some(name) = line.strip_prefix(b"event: ") {
            if OF_ITSELF.contains(&name) {
                id = 0;
            }
        } else if line.starts_with(b"data: ") && id > 0 {
            seen.push((id, Instant::now()));
        }
    }
    seen
}

/// Its share of the commands at an even pace, and when each event was acknowledged.
async fn send(
    sender: usize,
    address: String,
    key: String,
    commands_per_s: u64,
    seconds: u64,
) -> Seen {
    let connection = Connection::open(&address, &key).await;
    let mut connection = connection.expect("the service listens");
    let mut seen = Vec::new();
    let pause =
        Duration::from_secs(SENDERS as u64) / u32::try_from(commands_per_s).expect("few a second");
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let own: Vec<_> = (sender..CALLS).step_by(SENDERS).collect();
    for turn in 0..commands_per_s * seconds / SENDERS as u64 {
        ticks.tick().await;
        let turn = usize::try_from(turn).expect("few turns");
        let (call, round) = (own[turn % own.len()], turn / own.len());
        let command = match round {
            0 => format!(r#"{{"type":"connect_call","agent":"agent:a{call}"}}"#),
            round if round % 2 == 1 => {
                format!(r#"{{"type":"hold","by":"agent:a{call}","party":"customer"}}"#)
            }
            _ => format!(r#"{{"type":"resume","by":"agent:a{call}","party":"customer"}}"#),
        };
        let (status, body) = connection
            .post(&format!("/v1/calls/f{call}/commands"), &command)
            .await
            .expect("an answer");
        let at = Instant::now();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("an answer is JSON");
        let events = answer["events"].as_array().expect("an answer has events");
        seen.extend(
            events
                .iter()
                .filter_map(|event| Some((event["position"].as_u64()?, at))),
        );
    }
    seen
}
