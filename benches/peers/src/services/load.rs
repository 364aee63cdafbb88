//! What each connection sends: whole calls, one command after the other, as a telephone system would.

use crate::Run;
use crate::figures::figure;
use anyhow::{Context, ensure};
use domain::json::parse_command;
use domain::{CallId, EventStore, Handler, MemoryStore, RecordedEvent, Request};
use std::collections::HashMap;
use std::path::Path;
use std::process;
use std::sync::Arc;

/// A command and the events that it brings about.
pub(super) struct Sent {
    pub(super) request: Request,
    pub(super) events: Vec<RecordedEvent>,
}

/// What one connection sends.
pub(super) type Script = Vec<Sent>;

/// What all connections send.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) scripts: Vec<Script>,
}

/// A call that is held and released: each command brings about one event.
const HELD: [&str; 15] = [
    CONNECT, HOLD, RESUME, HOLD, RESUME, HOLD, RESUME, HOLD, RESUME, HOLD, RESUME, HOLD, RESUME,
    HOLD, RESUME,
];

/// A conference from its beginning to the wrap-up: a command brings about three events on average.
const CONFERENCE: [&str; 7] = [CONNECT, CONSULT, ACCEPT, MERGE, ASK, END, WRAP_UP];

const CONNECT: &str = r##""type":"connect_call","agent":"agent:ana-#","queue":"billing-en""##;
const HOLD: &str = r##""type":"hold","by":"agent:ana-#","party":"customer""##;
const RESUME: &str = r##""type":"resume","by":"agent:ana-#","party":"customer""##;
const CONSULT: &str = r##""type":"start_consult","by":"agent:ana-#","target":"agent:ben-#""##;
const ACCEPT: &str = r##""type":"accept_consult","by":"agent:ben-#""##;
const MERGE: &str = r##""type":"start_conference","by":"agent:ana-#""##;
const ASK: &str = r##""type":"start_consult","by":"agent:ana-#","target":"dial:+442079460123""##;
const END: &str = r##""type":"end_call","by":"agent:ana-#""##;
const WRAP_UP: &str = r##""type":"apply_wrap_up","by":"agent:ana-#","reason":"billing""##;

impl Load {
    /// Three loads of about as many commands: a simulated day, one event a command, and three.
    pub(super) fn all(
        run: &Run,
        kaigi: &Path,
        connections: usize,
        calls: u64,
    ) -> anyhow::Result<[Self; 3]> {
        let made = |name, lines: Vec<String>| -> anyhow::Result<Self> {
            let requests: Result<Vec<_>, _> =
                lines.iter().map(|line| parse_command(line)).collect();
            let accepted = run.runtime.block_on(accepted(requests?));
            let scripts = by_connection(accepted, connections);
            Ok(Self { name, scripts })
        };
        let day = made("the day", simulated(kaigi, calls)?)?;
        let commands = day.commands();
        Ok([
            day,
            made("held calls", repeated(&HELD, commands))?,
            made("conferences", repeated(&CONFERENCE, commands))?,
        ])
    }

    pub(super) fn commands(&self) -> usize {
        self.scripts.iter().map(Vec::len).sum()
    }

    pub(super) fn events_of_command(&self) -> f64 {
        let sent = self.scripts.iter().flatten();
        let events: usize = sent.map(|sent| sent.events.len()).sum();
        figure(events as u64) / figure(self.commands() as u64)
    }
}

/// The commands of a day, as lines.
fn simulated(kaigi: &Path, calls: u64) -> anyhow::Result<Vec<String>> {
    let simulated = process::Command::new(kaigi)
        .args(["simulate", "--calls", &calls.to_string()])
        .output();
    let simulated = simulated.with_context(|| format!("cannot run {}", kaigi.display()))?;
    ensure!(simulated.status.success(), "no day is simulated");
    let day = String::from_utf8(simulated.stdout)?;
    Ok(day.lines().map(str::to_owned).collect())
}

/// The same call again and again, each time with other agents, until there are so many commands; many go on at once.
fn repeated(call: &[&str], commands: usize) -> Vec<String> {
    let calls = commands / call.len() + 1;
    let steps = call.iter().flat_map(|step| {
        (0..calls).map(move |number| {
            let step = step.replace('#', &number.to_string());
            format!(r#"{{"call":"1772409600.{number}",{step}}}"#)
        })
    });
    steps.collect()
}

/// Plays the commands on a store in memory, to know what each brings about. Those that a rule refuses are left out.
async fn accepted(requests: Vec<Request>) -> Vec<Sent> {
    let handler = Handler::new(Arc::new(MemoryStore::new()) as Arc<dyn EventStore>);
    let mut all = Vec::with_capacity(requests.len());
    for mut request in requests {
        // Taken now, so that no service thinks they come from the future.
        request.at = None;
        let id = request.id.unwrap_or_else(|| handler.random_id());
        if let Ok(answer) = handler.handle(&request, id, handler.now()).await {
            let events = answer.events.into_iter().map(|stored| stored.recorded);
            let events = events.collect();
            all.push(Sent { request, events });
        }
    }
    all
}

fn by_connection(all: Vec<Sent>, connections: usize) -> Vec<Script> {
    let mut scripts: Vec<Script> = (0..connections).map(|_| Vec::new()).collect();
    let mut connection_of = HashMap::new();
    for sent in all {
        let next = connection_of.len() % connections;
        let connection = *connection_of.entry(sent.call().clone()).or_insert(next);
        scripts[connection].push(sent);
    }
    scripts
}

impl Sent {
    pub(super) fn call(&self) -> &CallId {
        &self.request.call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(call: &[&str], calls: usize) -> Vec<Sent> {
        let lines = repeated(call, call.len() * calls - 1);
        let requests = lines.iter().map(|line| parse_command(line));
        let requests: Result<Vec<_>, _> = requests.collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(accepted(requests.expect("they are commands")))
    }

    #[test]
    fn every_command_of_the_made_calls_is_accepted_and_brings_about_as_much_as_is_said() {
        for (call, events) in [(HELD.as_slice(), 1), (CONFERENCE.as_slice(), 3)] {
            let sent = played(call, 4);
            assert_eq!(sent.len(), call.len() * 4);
            let brought_about: usize = sent.iter().map(|sent| sent.events.len()).sum();
            assert_eq!(brought_about, sent.len() * events);
        }
    }

    #[test]
    fn a_call_goes_by_one_connection_and_every_connection_has_some() {
        let scripts = by_connection(played(&HELD, 10), 4);
        let mut connection_of = HashMap::new();
        for (connection, script) in scripts.iter().enumerate() {
            assert!(!script.is_empty(), "connection {connection}");
            for sent in script {
                let known = *connection_of.entry(sent.call()).or_insert(connection);
                assert_eq!(known, connection, "{}", sent.call());
            }
        }
    }
}
