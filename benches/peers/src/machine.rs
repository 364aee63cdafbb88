//! What the figures were measured on, and against.

use crate::Run;
use crate::figures::percentiles;
use crate::folders::file_system;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Instant;

const LOCK: &str = include_str!("../Cargo.lock");

/// What is named in the header where stores are compared, as cargo names it.
pub(crate) const STORES: [&str; 6] = ["sled", "rusqlite", "cqrs-es", "sqlite-es", "sqlx", "tokio"];

/// The same where services are.
#[cfg(feature = "umadb")]
pub(crate) const SERVICES: [&str; 4] = ["umadb", "umadb-client", "tonic", "tokio"];

pub(crate) fn print(title: &str, run: &Run, peers: &[&str]) {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = file_system(run.folder).unwrap_or_else(|_| "unknown".to_owned());
    let [p50, p99] = syncs(run.folder);
    println!("# {title}\n");
    println!("- {}, {cores} cores, Linux {}", processor(), kernel.trim());
    println!("- {system}; 4 KiB and a sync take {p50:.0} us (p99 {p99:.0})");
    println!("- {}", domain::now());
    println!("- {}", versions(peers).join(", "));
    if peers.contains(&"rusqlite") {
        println!("- SQLite {}", rusqlite::version());
    }
    println!(
        "- {} rounds, sides in turn; median (least..most)",
        run.rounds
    );
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("model name"));
    let model = lines.next().and_then(|line| line.split_once(": "));
    model
        .map_or("an unknown processor", |(_, model)| model)
        .to_owned()
}

/// How long it takes the disk to keep four kilobytes more.
fn syncs(folder: &Path) -> [f64; 2] {
    let path = folder.join("sync");
    let mut file = File::create(&path).expect("a file can be made");
    let latencies = (0..500).map(|_| {
        let started = Instant::now();
        file.write_all(&[7; 4096]).expect("the disk takes it");
        file.sync_data().expect("the disk keeps it");
        started.elapsed()
    });
    let percentiles = percentiles(latencies.collect());
    fs::remove_file(path).expect("it is there");
    percentiles
}

fn versions(peers: &[&str]) -> Vec<String> {
    let locked = LOCK.split("[[package]]").filter_map(|package| {
        let field = |name: &str| {
            let mut lines = package.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            value.map(|value| value.trim_matches('"'))
        };
        let (name, version) = (field("name")?, field("version")?);
        peers.contains(&name).then(|| format!("{name} {version}"))
    });
    locked.collect()
}

/// The most memory this process has had at once, in mebibytes.
pub(crate) fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
