//! Clients without a key hold every connection there is. The telephone system must be answered all the same.

use super::{Attack, Outcome};
use crate::service_program::Serving;
use anyhow::{Context as _, ensure};
use engine::keys::{Grant, Key, KeyFile};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The attack.
pub const ATTACK: Attack = Attack {
    name: "connections",
    goal: "with 4,096 connections of clients without a key, each command of the telephone system is answered within 1 s",
    run,
};

/// As many as the program serves by default.
const HELD: usize = 4096;

/// Commands that are measured in each round, each on a connection of its own.
const COMMANDS: usize = 50;

const WITHIN: Duration = Duration::from_secs(1);

/// How long an answer may take before the attack has succeeded.
const PATIENCE: Duration = Duration::from_secs(10);

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: kaigi\r\n\r\n";

/// What the clients without a key do with their connections.
const ROUNDS: [(&str, &str); 4] = [
    ("silent", ""),
    ("kept alive", HEALTH),
    ("slow headers", "GET /healthz HTTP/1.1\r\nhost: ka"),
    ("slow handshake", "\x16\x03\x01\x02"),
];

fn run() -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("keys.json");
    let (key, text) = Key::create("acd", vec![Grant::Telephony]);
    KeyFile::at(&keys).add(key)?;
    // As if the clients came from many addresses.
    let args = ["--max-anonymous-per-address", "0", "--log", "none"];
    let serving = Serving::with(folder.path(), args);
    let address = serving.address().parse()?;
    let (mut measured, mut held) = (Vec::new(), true);
    for (round, (name, said)) in ROUNDS.into_iter().enumerate() {
        let holding = hold(address, said)?;
        let slowest = slowest(address, &text, round)?;
        held &= slowest <= WITHIN;
        measured.push(format!("{name}: at most {} ms", slowest.as_millis()));
        drop(holding);
    }
    let _ = serving.stop();
    Ok(Outcome {
        measured: measured.join(", "),
        held,
    })
}

/// Connections that begin like that and go no further.
fn hold(address: SocketAddr, said: &str) -> anyhow::Result<Vec<TcpStream>> {
    let connect = || -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(said.as_bytes())?;
        Ok(stream)
    };
    let held: anyhow::Result<Vec<_>> = (0..HELD).map(|_| connect()).collect();
    held.context("the connections cannot be held; raise the limit of open files")
}

/// The longest that a command took, from the connection to the answer.
fn slowest(address: SocketAddr, key: &str, round: usize) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    for number in 0..COMMANDS {
        let begun = Instant::now();
        let answer = command(address, key, &format!("r{round}-c{number}"));
        slowest = slowest.max(begun.elapsed());
        match answer {
            Ok(answer) => ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}"),
            // The attack has succeeded.
            Err(_) => return Ok(Duration::MAX.min(PATIENCE)),
        }
    }
    Ok(slowest)
}

fn command(address: SocketAddr, key: &str, call: &str) -> anyhow::Result<String> {
    let body = r#"{"type":"connect_call","agent":"agent:ana"}"#;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/calls/{call}/commands HTTP/1.1\r\nhost: kaigi\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 "), "the connection was closed");
    Ok(answer)
}
