//! What needs a process of its own, because it is killed or its memory is looked at: the program calls itself.

use crate::calls::{EVENTS_OF_CALL, commands_of};
use crate::fill::{EVENTS_OF_COMMAND, play};
use crate::machine::peak_memory_mib;
use crate::sides::{Kaigi, Side, Sqlite};
use domain::{Command, EventStore, Handler, Request};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{self, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_sled::SledStore;

/// A call that nobody else writes.
const NEW_CALL: u64 = 1 << 40;

/// What a process that opened a store said.
pub(crate) struct Opened {
    /// Until it was open.
    pub(crate) open_ms: f64,
    /// Until the first command was durable.
    pub(crate) ready_ms: f64,
    pub(crate) peak_mib: f64,
}

/// Lets a process write so many events and kills it while it writes on; answers the most memory it had, in mebibytes.
pub(crate) fn write_and_kill(side: &str, folder: &Path, events: u64) -> u64 {
    let mut child = started(&format!("write {side}"), folder, events);
    let mut said = String::new();
    let output = child.stdout.take().expect("it is piped");
    BufReader::new(output)
        .read_line(&mut said)
        .expect("it says when it has");
    child.kill().expect("it still runs");
    child.wait().expect("it was started here");
    said.trim().parse().expect("it says a number")
}

/// Lets a process open the store and write one command.
pub(crate) fn open(side: &str, folder: &Path, events: u64) -> Opened {
    let mut child = started(&format!("open {side}"), folder, events);
    let mut said = String::new();
    let output = child.stdout.as_mut().expect("it is piped");
    output.read_to_string(&mut said).expect("it can be read");
    assert!(child.wait().is_ok_and(|status| status.success()), "{side}");
    let figures: Vec<f64> = said
        .split_whitespace()
        .map(|figure| figure.parse().expect("it says numbers"))
        .collect();
    let [open_ms, ready_ms, peak_mib] = figures[..] else {
        panic!("it says three numbers, not {said:?}");
    };
    Opened {
        open_ms,
        ready_ms,
        peak_mib,
    }
}

fn started(task: &str, folder: &Path, events: u64) -> process::Child {
    let program = std::env::current_exe().expect("this program has a file");
    process::Command::new(program)
        .args(["--child", task])
        .arg(folder)
        .arg(events.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started")
}

/// What the process is there for: a task, a folder, and how many events.
pub(crate) async fn perform(task: &[String]) {
    let [task, folder, events] = task else {
        panic!("clap takes three");
    };
    let folder = Path::new(folder);
    let events = events.parse().expect("a number");
    match task.as_str() {
        "write kaigi" => write::<Kaigi>(folder, events).await,
        "write SQLite" => write::<Sqlite>(folder, events).await,
        "open kaigi" => open_kaigi(folder, events).await,
        "open SQLite" => open_sqlite(folder).await,
        _ => panic!("nobody asks for {task:?}"),
    }
}

/// Never ends by itself.
async fn write<S: Side>(folder: &Path, events: u64) {
    let side = Arc::new(S::open(folder).await);
    let calls = events / EVENTS_OF_CALL;
    play(&side, 0..calls, EVENTS_OF_COMMAND).await;
    println!("{}", peak_memory_mib());
    play(&side, calls..u64::MAX, EVENTS_OF_COMMAND).await;
}

async fn open_kaigi(folder: &Path, events: u64) {
    let started = Instant::now();
    let store = SledStore::open(&folder.join("calls")).expect("it opens after a kill");
    let open = started.elapsed();
    let store = Arc::new(store);
    let handler = Handler::new(Arc::clone(&store) as Arc<dyn EventStore>);
    let answer = handler
        .handle(&connect(), handler.random_id(), handler.now())
        .await;
    say(open, started.elapsed());
    answer.expect("a new call is accepted");
    let there = store.info().await.expect("it can be asked").events;
    assert!(
        there > Some(events / EVENTS_OF_CALL * EVENTS_OF_CALL),
        "nothing acknowledged is lost"
    );
}

async fn open_sqlite(folder: &Path) {
    let command = Sqlite::command(&commands_of(NEW_CALL, 1)[0]);
    let started = Instant::now();
    let side = Sqlite::open(folder).await;
    let open = started.elapsed();
    side.append(command).await;
    say(open, started.elapsed());
    side.close().await;
}

fn connect() -> Request {
    Request {
        call: crate::calls::id_of(NEW_CALL),
        id: None,
        at: None,
        correlation: None,
        expect: None,
        command: Command::ConnectCall {
            agent: "agent:ana".parse().expect("an agent"),
            customer: None,
            queue: None,
        },
    }
}

fn say(open: Duration, ready: Duration) {
    let [open_ms, ready_ms] = [open, ready].map(|took| took.as_secs_f64() * 1e3);
    println!("{open_ms} {ready_ms} {}", peak_memory_mib());
}
