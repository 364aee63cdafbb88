//! The real program as a service, in a process of its own, and what processor time it takes.

use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::program::on;
use tests::service_program::Serving;

/// A running service on a new embedded store.
pub(crate) struct Service {
    /// Host and port.
    pub(crate) address: String,
    /// A key that may do everything.
    pub(crate) key: String,
    program: Serving,
}

impl Service {
    /// On a new store in that folder.
    pub(crate) fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder can be made");
        let keys = folder.with_extension("keys.json");
        let keys = keys.to_str().expect("the folder has a plain name");
        let roles = [
            "--role",
            "telephony",
            "--role",
            "auditor",
            "--role",
            "reader",
        ];
        let create = [
            "keys", "create", "--name", "load", "--keys", keys, "--output", "json",
        ];
        let created = on(folder, create.iter().chain(&roles)).run().ended_with(0);
        let key = created.json()["key"]
            .as_str()
            .expect("its text is told")
            .to_owned();
        // What it can do is measured, not what an operator lets a key do.
        let args = ["--keys", keys, "--log", "none", "--rate-per-key", "0"];
        let program = Serving::with(folder, args);
        let address = program.address().to_owned();
        Self {
            address,
            key,
            program,
        }
    }

    /// The processor time it has taken so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.program.pid().to_string())
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(self) {
        let _ = self.program.stop().ended_with(0);
    }
}

/// The processor time this process has taken so far.
pub(crate) fn own_cpu() -> Duration {
    cpu_of("self")
}

/// User and system time, which Linux counts in hundredths of a second.
fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program stands in brackets and may hold anything.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = after_name.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
