//! What was tried and what came of it, as a table.

use std::fmt;
use std::io::Write as _;
use std::sync::Once;

/// How many findings a row shows; the rest is counted.
const SHOWN: usize = 6;

/// One fault, and what it came to.
#[derive(Debug)]
pub struct Row {
    fault: &'static str,
    seed: u64,
    /// How often the fault was brought about.
    pub rounds: usize,
    /// How many events were acknowledged and looked for.
    pub checked: usize,
    /// How many of them were not there.
    pub losses: usize,
    /// How often the store could not be opened.
    pub failed_openings: usize,
    findings: Vec<String>,
}

impl Row {
    /// Nothing tried yet.
    pub fn new(fault: &'static str, seed: u64) -> Self {
        Self {
            fault,
            seed,
            rounds: 0,
            checked: 0,
            losses: 0,
            failed_openings: 0,
            findings: Vec::new(),
        }
    }

    /// Something that should not be, in the present round.
    pub fn found(&mut self, what: impl fmt::Display) {
        let (fault, round, seed) = (self.fault, self.rounds, self.seed);
        self.findings
            .push(format!("{fault}, round {round} of seed {seed}: {what}"));
    }

    /// How many findings there are.
    pub fn findings(&self) -> usize {
        self.findings.len()
    }

    /// Adds the row to the table and fails the test if anything was found.
    pub fn done(self) {
        print(&self);
        let shown = self.findings.len().min(SHOWN);
        let more = self.findings.len() - shown;
        assert!(
            self.findings.is_empty() && self.losses == 0 && self.failed_openings == 0,
            "{}\n... and {more} more",
            self.findings[..shown].join("\n"),
        );
    }
}

/// Past the capture of a test's output: the table is for whoever runs the tests, whether they fail or not.
fn print(row: &Row) {
    static HEADER: Once = Once::new();
    let mut lines = Vec::new();
    HEADER.call_once(|| {
        lines.push(format!(
            "\n{:<32} {:>6} {:>12} {:>7} {:>8} {:>8}  seed",
            "fault", "rounds", "acknowledged", "losses", "unopened", "findings"
        ));
    });
    lines.push(format!(
        "{:<32} {:>6} {:>12} {:>7} {:>8} {:>8}  {}\n",
        row.fault,
        row.rounds,
        row.checked,
        row.losses,
        row.failed_openings,
        row.findings(),
        row.seed
    ));
    // Nobody may be reading.
    let _ = std::io::stdout().write_all(lines.join("\n").as_bytes());
}
