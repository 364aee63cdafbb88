//! How far the work has come, and the reports of it.

/// How far the work has come; reported every few thousand events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The kind of work.
    pub work: Work,
    /// How many events it has been done to.
    pub events: u64,
    /// To how many events it will be done, about: a store that is written to grows meanwhile. None where nothing tells.
    pub of: Option<u64>,
}

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Reading what the destination has already.
    Looking,
    /// Reading a dump or a backup, every line and every hash of it.
    Verifying,
    /// Sending events to another store.
    Copying,
    /// Writing events to a file.
    Writing,
    /// Reading a store, every hash of it.
    Comparing,
}

/// Receives the progress of the work.
pub type Report<'r> = &'r mut (dyn FnMut(Progress) + Send);

/// Tells the reporter every few thousand events.
pub(crate) struct Told<'r> {
    report: Report<'r>,
    progress: Progress,
}

/// How many events pass between two reports.
const EVERY: u64 = 4096;

impl<'r> Told<'r> {
    pub(crate) fn new(work: Work, of: Option<u64>, report: Report<'r>) -> Self {
        let progress = Progress {
            work,
            events: 0,
            of,
        };
        report(progress);
        Self { report, progress }
    }

    pub(crate) fn more(&mut self, events: usize) {
        let before = self.progress.events;
        self.progress.events += events as u64;
        if before / EVERY < self.progress.events / EVERY {
            (self.report)(self.progress);
        }
    }

    pub(crate) fn done(self) {
        (self.report)(Progress {
            of: Some(self.progress.events),
            ..self.progress
        });
    }
}
