//! A service in a process of its own, and what processor time it takes.

use anyhow::{Context, bail};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

/// A running service. It is killed when nobody needs it any more: what it answered is durable.
pub(super) struct Service {
    /// Host and port.
    pub(super) address: String,
    child: Child,
}

impl Service {
    /// Starts it; the address is what it names behind these words when it is ready.
    pub(super) fn start<O: Read + Send + 'static>(
        command: &mut Command,
        output: fn(&mut Child) -> Option<O>,
        ready: &str,
    ) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        // From here on it is killed, whatever happens.
        let mut service = Self {
            address: String::new(),
            child,
        };
        let says = output(&mut service.child).context("its output is not piped")?;
        let mut says = BufReader::new(says);
        service.address = address_behind(ready, &mut says)?;
        // Read to its end, or the service would wait for a full pipe.
        thread::spawn(move || io::copy(&mut says, &mut io::sink()));
        Ok(service)
    }

    /// The processor time it has taken so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_behind(ready: &str, says: &mut impl BufRead) -> anyhow::Result<String> {
    let mut said = String::new();
    while says.read_line(&mut said)? > 0 {
        let address = said
            .split_once(ready)
            .and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(address) = address {
            return Ok(address.trim_start_matches("http://").to_owned());
        }
    }
    bail!("it ended before it was ready, and said: {said}")
}

/// The processor time this process has taken so far.
pub(super) fn own_cpu() -> Duration {
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
