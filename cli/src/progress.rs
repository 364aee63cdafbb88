//! Progress of long work, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};

/// How far long work has come. Shown on standard error, and only where nothing else scrolls there.
pub struct Progress {
    bar: ProgressBar,
}

/// Counts lines that were answered, whose number nobody knows beforehand.
pub fn lines() -> Progress {
    let style = "{spinner} {human_pos} lines, {per_sec}, {elapsed}";
    Progress::new(ProgressBar::new_spinner(), style)
}

/// Counts events that were read, of a store that holds so many.
pub fn events(total: u64) -> Progress {
    let style = "{bar:30} {human_pos} of {human_len} events, {per_sec}";
    Progress::new(ProgressBar::new(total), style)
}

impl Progress {
    fn new(bar: ProgressBar, style: &str) -> Self {
        let shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let bar = if shown { bar } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
        Self { bar }
    }

    /// So much is done.
    pub fn at(&mut self, done: u64) {
        self.bar.set_position(done);
    }

    /// All is done; the line goes away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}
