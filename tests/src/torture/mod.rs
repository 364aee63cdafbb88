//! The program put to faults, round after round on one store: killed, cut off from power, with a disk that fails.
//!
//! A round starts `kaigi run -` with commands that have ids, hears what it acknowledges, and ends it somehow
//! ([`mod@session`]); power and failing syncs are modelled by a shared object preloaded into it ([`powercut`]). Then the
//! store is looked at in a copy ([`acknowledged`]), so that it is the next round's program that recovers it. Nothing
//! here knows a file of the store.
//!
//! After each round: every acknowledged event is there as it was told, nothing is there twice or in parts, positions
//! are dense, every chain verifies, no call's time runs backwards. What was not acknowledged is asked again, and some
//! of what was. Now and then the read models resumed from their checkpoints are compared with those built anew.
//!
//! `KAIGI_TORTURE_KILLS` and `KAIGI_TORTURE_CUTS` say how many rounds (12 of each unless said otherwise; the other
//! faults go with the cuts), `KAIGI_TORTURE_SEED` which: what is asked, when the program is killed and what a cut takes
//! follow from it, as far as a machine's timing can be repeated.

pub mod acknowledged;
pub mod chance;
pub mod commands;
pub mod powercut;
pub mod session;
pub mod table;

use crate::program::{Run, on};
use acknowledged::{Acknowledged, Answer, examine};
use chance::Chance;
use commands::{Commands, Line, Times};
use powercut::{Disk, Loss};
use serde_json::Value;
use session::{End, Ended, Meanwhile, session};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store_sled::SledStore;
use table::Row;
use tempfile::TempDir;

/// After so many rounds the store gives way to a new one: what is acknowledged is looked for after each round.
const ROUNDS_OF_A_STORE: usize = 50;

/// How many sessions there are between two comparisons of read models.
const BETWEEN_READ_MODELS: usize = 6;

/// The four, as they are asked for.
const READ_MODELS: [&str; 4] = [
    "active-calls",
    "wrap-up-queue",
    "handle-times",
    "monitoring",
];

/// How often a fault is brought about: as the variable says, or 12 times.
pub fn rounds(variable: &str) -> usize {
    match std::env::var(variable) {
        Ok(rounds) => rounds
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
        Err(_) => 12,
    }
}

/// A store that a fault is brought about on, and all that is known of it.
pub struct Torture {
    /// What was found so far.
    pub row: Row,
    /// What happens next.
    pub chance: Chance,
    /// What is asked next.
    pub commands: Commands,
    /// Where the store is.
    pub disk: Disk,
    acknowledged: Acknowledged,
    shim: Option<&'static Path>,
    looks: Option<u32>,
    sync_us: u64,
    rounds: usize,
    sessions: usize,
    folder: TempDir,
}

impl Torture {
    /// A new store, and no fault yet.
    pub fn new(fault: &'static str, times: Times) -> Self {
        let seed = Chance::seed();
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            row: Row::new(fault, seed),
            chance: Chance::of(seed),
            commands: Commands::of(seed, times),
            disk: Disk::new(folder.path()).expect("an empty folder"),
            acknowledged: Acknowledged::default(),
            shim: None,
            looks: None,
            sync_us: 0,
            rounds: 0,
            sessions: 0,
            folder,
        }
    }

    /// The program is on a disk whose power can be cut from now on.
    #[must_use]
    pub fn on_a_modelled_disk(mut self, shim: &'static Path) -> Self {
        self.shim = Some(shim);
        self
    }

    /// The clock that the program looks at goes back an hour after so many looks, and forth after as many more.
    #[must_use]
    pub fn with_a_clock_that_jumps(mut self, looks: u32) -> Self {
        self.looks = Some(looks);
        self
    }

    /// The program with those arguments, on this store.
    pub fn program(&self, args: &[&str]) -> Run {
        let mut run = on(&self.disk.store(), args);
        let environment = self.shim.map(|shim| self.disk.environment(shim));
        for (name, value) in environment.into_iter().flatten() {
            run = run.env(name, value);
        }
        run = run.env("POWERCUT_SYNC_US", self.sync_us.to_string());
        match self.looks {
            Some(looks) => run.env("POWERCUT_CLOCK", looks.to_string()),
            None => run,
        }
    }

    /// Asks some commands, so many at once, until that end; keeps what was acknowledged.
    pub fn session(
        &mut self,
        in_flight: usize,
        end: End,
        meanwhile: Option<Meanwhile<'_>>,
    ) -> Ended {
        let again = usize::try_from(self.chance.below(16)).expect("it is small");
        // As many as are answered one by one in the time there is.
        let most = if in_flight == 1 { 150 } else { 1500 };
        let count = usize::try_from(self.chance.within(most / 10..=most)).expect("it is small");
        let lines = self.commands.next(again, count);
        self.sync_us = self.chance.one_of(&[0, 500, 3000]);
        let input: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
        let ended = session(
            self.program(&["run", "-"]),
            &input,
            in_flight,
            end,
            meanwhile,
        );
        self.hear(lines, &ended.answers);
        self.sessions += 1;
        ended
    }

    /// A session with as many at once as chance says.
    pub fn session_until(&mut self, end: End) -> Ended {
        let in_flight = self.chance.one_of(&[1, 8, 64, 1024]);
        self.session(in_flight, end, None)
    }

    /// A session that nothing disturbs, until all is answered.
    pub fn undisturbed(&mut self) {
        let ended = self.session_until(End::ByItself);
        self.must_end_with(&ended, 0);
    }

    /// Takes the answers to the lines in.
    pub fn hear(&mut self, lines: Vec<Line>, answers: &[String]) {
        let mut lines = lines.into_iter().enumerate();
        for (text, (number, line)) in answers.iter().zip(lines.by_ref()) {
            match serde_json::from_str::<Answer>(text) {
                Ok(answer) if answer.line == number + 1 => self.take_in(line, answer),
                _ => self
                    .row
                    .found(format!("no answer to line {}: {text}", number + 1)),
            }
        }
        for (_, line) in lines {
            self.commands.not_answered(line);
        }
    }

    fn take_in(&mut self, line: Line, answer: Answer) {
        match (answer.accepted, answer.rejection) {
            (Some(true), _) => {
                if let Some(what) = self.acknowledged.tell(answer.events) {
                    self.row.found(what);
                }
                self.commands.accepted(line);
            }
            (Some(false), Some(rejection)) if is_fair(&rejection.code, &line) => {}
            (None, _) if answer.error.is_some() => self.commands.not_answered(line),
            (_, rejection) => self.row.found(format!("{rejection:?} to {}", line.text)),
        }
    }

    /// It ended itself, and in that way.
    pub fn must_end_with(&mut self, ended: &Ended, code: i32) {
        if ended.code != Some(code) {
            let (found, err) = (ended.code, &ended.err);
            self.row
                .found(format!("ended with {found:?}, not {code}: {err}"));
        }
    }

    /// A program that was to be killed can have ended before, but not because of what it found.
    pub fn must_be_killed_or_done(&mut self, ended: &Ended) {
        if ended.code.is_none_or(|code| code == 0) {
            return;
        }
        if ended.answers.is_empty() {
            self.row.failed_openings += 1;
        }
        let (code, err) = (ended.code, &ended.err);
        self.row
            .found(format!("ended by itself with {code:?}: {err}"));
    }

    /// A store whose sync failed has stopped for good: it says so, and nothing is accepted behind what was not decided.
    pub fn must_have_stopped(&mut self, in_flight: usize, ended: &Ended) {
        self.must_end_with(ended, 75);
        self.must_have_failed(ended);
        let answers = ended.answers.iter();
        let answers = answers.filter_map(|text| serde_json::from_str::<Answer>(text).ok());
        let mut after = answers.skip_while(|answer| answer.error.is_none());
        // Side by side, one that was committed before can be answered after.
        if in_flight == 1 && after.any(|answer| answer.accepted == Some(true)) {
            self.row.found("a store that failed goes on accepting");
        }
    }

    /// It has said that something failed, and its exit code says it, too.
    pub fn must_have_failed(&mut self, ended: &Ended) {
        let (code, err) = (ended.code, &ended.err);
        if code.is_none_or(|code| code == 0) || err.is_empty() {
            self.row.found(format!(
                "does not say that it failed, but {code:?} and {err:?}"
            ));
        }
    }

    /// Looks at what the round has left, in a copy, and begins a new store where this one is not good any more.
    pub async fn end_of_round(&mut self) {
        self.row.rounds += 1;
        self.rounds += 1;
        let before = self.row.findings();
        let copy = self.copy();
        self.examine(&copy).await;
        if self.sessions >= BETWEEN_READ_MODELS && self.row.findings() == before {
            self.sessions = 0;
            self.compare_read_models(&copy);
        }
        if self.row.findings() > before {
            self.begin_anew();
        } else if self.rounds == ROUNDS_OF_A_STORE {
            self.undisturbed();
            self.end_of_store().await;
            self.begin_anew();
        }
    }

    /// Looks at that copy of the store.
    pub async fn examine(&mut self, copy: &Path) {
        match examine(copy, &self.acknowledged, self.commands.asked()).await {
            Ok(found) => {
                self.report_losses(&found.losses);
                for what in found.defects {
                    self.row.found(what);
                }
            }
            Err(error) => {
                self.row.failed_openings += 1;
                self.row.losses += self.acknowledged.len();
                self.row.found(error);
            }
        }
    }

    fn report_losses(&mut self, losses: &[String]) {
        self.row.losses += losses.len();
        if let Some(first) = losses.first() {
            let count = losses.len();
            self.row.found(format!(
                "{count} events are not as they were told; the first: {first}"
            ));
        }
    }

    /// Compares the read models that the copy resumes from its checkpoints with those it builds anew, and brings the
    /// store's own checkpoints up to now, for the next time.
    fn compare_read_models(&mut self, copy: &Path) {
        if !SledStore::is_at(copy) {
            return;
        }
        let resumed = READ_MODELS.map(|name| shown(on(copy, show(name))));
        // None yet, if nobody asked for one.
        let _ = fs::remove_dir_all(copy.join("read-models"));
        let anew = READ_MODELS.map(|name| shown(on(copy, show(name))));
        let now = READ_MODELS.map(|name| shown(self.program(&show(name))));
        for (name, rows) in READ_MODELS.into_iter().zip(&anew) {
            if !rows.is_array() {
                self.row.found(format!("{name} is not shown: {rows}"));
            }
        }
        for (what, rows) in [("resumed", resumed), ("shown by the store", now)] {
            if rows != anew {
                self.row.found(format!("{what}: {rows:?}, anew: {anew:?}"));
            }
        }
    }

    /// The program itself tells the same of the store at its end.
    async fn end_of_store(&mut self) {
        let copy = self.copy();
        self.examine(&copy).await;
        self.compare_read_models(&copy);
        let told = on(&copy, ["events"]).run();
        let events = told
            .out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let missing = self.acknowledged.missing_in(events);
        self.report_losses(&missing);
    }

    fn begin_anew(&mut self) {
        self.row.checked += self.acknowledged.len();
        self.acknowledged = Acknowledged::default();
        self.rounds = 0;
        self.sessions = 0;
        self.commands.forget();
        let folder = tempfile::tempdir().expect("a folder");
        self.disk = Disk::new(folder.path()).expect("an empty folder");
        self.folder = folder;
    }

    /// Answers what is still to be answered, looks at everything once more, and adds the row to the table.
    pub async fn done(mut self) {
        self.undisturbed();
        self.end_of_store().await;
        self.row.checked += self.acknowledged.len();
        self.row.done();
    }

    fn copy(&self) -> PathBuf {
        let copy = self.disk.beside("copy");
        // None yet in the first round.
        let _ = fs::remove_dir_all(&copy);
        if self.disk.store().exists() {
            copy_folder(&self.disk.store(), &copy);
        }
        copy
    }

    /// The power goes off; what the programs on the disk left unsafe is lost in that way.
    pub fn cut(&mut self, loss: Loss) {
        let cut = self.disk.cut(loss, &mut self.chance);
        cut.expect("the files of a dead program can be changed");
    }

    /// A moment to be killed at: often in the first milliseconds, often while it is busy, sometimes while it closes.
    pub fn a_moment(&mut self) -> End {
        let ms = |chance: &mut Chance, most: u64| {
            let us = chance.below(most * 1000);
            Duration::from_micros(us)
        };
        match self.chance.below(10) {
            0..=3 => End::KilledAfter(ms(&mut self.chance, 60)),
            4..=7 => {
                let answers = self.chance.within(1..=1000);
                End::KilledAtAnswer(usize::try_from(answers).expect("it is small"))
            }
            8 => End::KilledWhileClosing(ms(&mut self.chance, 30)),
            _ => End::KilledAfter(ms(&mut self.chance, 400)),
        }
    }

    /// All that the program acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }
}

/// No id is used for two commands here, and nothing conflicts but what expects a revision.
fn is_fair(code: &str, line: &Line) -> bool {
    match code {
        "command_id_reused" => false,
        "conflict" => line.text.contains(r#""expect":"#),
        _ => true,
    }
}

fn show(read_model: &str) -> [&str; 4] {
    ["show", read_model, "--output", "json"]
}

/// The rows of a read model; what else the program says, where it has none.
fn shown(program: Run) -> Value {
    let shown = program.run();
    match serde_json::from_str::<Value>(&shown.out) {
        Ok(mut model) if shown.code == Some(0) => model["rows"].take(),
        _ => Value::String(shown.err),
    }
}

/// Copies all files below a folder.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("it is known").is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}
