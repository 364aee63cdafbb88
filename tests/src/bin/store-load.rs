//! Another process that loads a store, for the tests of what several at once come to: connects, sends commands for so
//! many seconds, and writes what was acknowledged to a file as JSON.

use domain::Position;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store_eventstoredb::ClusterStore;
use tests::load::{Load, drive};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match load(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn load(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [url, prefix, calls, at_once, seconds, file] = arguments else {
        return Err("URL PREFIX CALLS AT_ONCE SECONDS FILE".into());
    };
    let load = Load {
        prefix: prefix.clone(),
        calls: calls.parse()?,
        at_once: at_once.parse()?,
        lasting: Duration::from_secs(seconds.parse()?),
        since: Position::START,
    };
    let store = Arc::new(ClusterStore::open(url).await?);
    let outcome = drive(store, &load).await;
    Ok(std::fs::write(file, serde_json::to_vec(&outcome)?)?)
}
