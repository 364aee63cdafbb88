//! The real program as a service, in a process of its own, and what processor time it takes.

use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::service_program::{Started, started};

/// A running service on a new embedded store.
pub struct Service {
    /// Host and port.
    pub address: String,
    /// The telephone system's key.
    pub telephony: String,
    /// An auditor's key.
    pub auditor: String,
    program: Started,
}

impl Service {
    /// On a new store in that folder.
    pub fn start(folder: &Path) -> Self {
        let program = started(folder);
        Self {
            address: program.address.clone(),
            telephony: program.key("telephony"),
            auditor: program.key("auditor"),
            program,
        }
    }

    /// The processor time it has taken so far.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.program.pid().to_string())
    }

    /// Stops it as an operator would.
    pub fn stop(self) {
        self.program.stop();
    }
}

/// The processor time this process has taken so far.
pub fn own_cpu() -> Duration {
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
