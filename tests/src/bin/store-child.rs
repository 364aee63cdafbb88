//! Another process at a store, for the tests of what a kill or damaged files leave:
//! `append PATH CHECKPOINT_EVERY` appends for ever and prints what was acknowledged, `read PATH` prints what is there,
//! `examine PATH` checks the store, and prints what is there unless an event is damaged.

use domain::{Batch, EventStore, Handler, Head, Revision, StoreError};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use store_sled::check::{CheckError, check};
use store_sled::{Options, SledStore};
use tests::contract::{batches, chatter, request};
use tests::past_damage::read_everything;

const WRITERS: usize = 16;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["append", path, every] => append(Path::new(path), every).await,
        ["read", path] => read(Path::new(path)).await,
        ["examine", path] => examine(Path::new(path)).await,
        _ => Err("append PATH CHECKPOINT_EVERY, read PATH or examine PATH".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("refused: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn append(path: &Path, every: &str) -> Result<(), Box<dyn Error>> {
    let options = Options {
        checkpoint_every: every.parse()?,
        ..Options::default()
    };
    let store = Arc::new(SledStore::open_with(path, &options)?);
    println!("open");
    for writer in 0..WRITERS {
        tokio::spawn(append_calls(Arc::clone(&store), writer));
    }
    append_long_batches(store).await
}

/// One call after the other, twenty commands each.
async fn append_calls(store: Arc<SledStore>, writer: usize) {
    let handler = Handler::new(store);
    for number in 0.. {
        let call = format!("{}-{writer}-{number}", std::process::id());
        let call = call.parse().expect("a call");
        for command in chatter(20) {
            let request = request(&call, command);
            let taken = handler.handle(&request, handler.random_id(), handler.now());
            let answer = taken.await.expect("accepted");
            println!("{call} {}", answer.revision());
        }
    }
}

/// Batches that take several blocks.
async fn append_long_batches(store: Arc<SledStore>) -> Result<(), Box<dyn Error>> {
    let turns = chatter(500);
    for number in 0.. {
        let call = format!("{}-long-{number}", std::process::id()).parse()?;
        let history = batches(&call, turns.clone()).await;
        let events = history.iter().flat_map(Batch::events).cloned().collect();
        let stored = store.append(Batch::new(Head::NONE, events)?).await?;
        println!("{call} {}", stored.len());
    }
    Ok(())
}

async fn examine(path: &Path) -> Result<(), Box<dyn Error>> {
    match check(path, &Options::default(), |_, _| {}) {
        Ok(_) => println!("whole"),
        Err(CheckError::Index(damage)) => {
            println!("index: {damage}");
            // As the check advises.
            std::fs::remove_dir_all(path.join("index"))?;
        }
        Err(error) => return Err(error.into()),
    }
    read(path).await
}

async fn read(path: &Path) -> Result<(), Box<dyn Error>> {
    let store = SledStore::open(path)?;
    let all = read_everything(&store).await?;
    let mut lines = String::new();
    for event in &all {
        let call = &event.recorded.cause.call;
        if event.recorded.revision == Revision(1) {
            let events = store.read_call(call, Revision(0)).await?;
            let of_call = all
                .iter()
                .filter(|event| event.recorded.cause.call == *call);
            if !of_call.eq(&events) {
                return Err(StoreError::Corrupt("two answers".to_owned()).into());
            }
        }
        writeln!(lines, "{event:?}")?;
    }
    print!("{lines}");
    Ok(())
}
