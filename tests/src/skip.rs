//! Checks that need more than Rust: left out aloud where it is missing, never where `CI` is set. Others are run only for
//! whoever asks for them, and named for all others.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Why a check was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Something that it needs is missing.
    Skipped,
    /// Nobody asked for it, and nothing can by itself: it needs a server of somebody's.
    NotRun,
}

/// Notes that a check was left out and why; the closing table names it. Fails where `CI` is set.
pub fn skip(check: &str, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{check} must not be left out here: {reason}"
    );
    note(LeftOut::Skipped, check, reason);
}

/// Notes that nobody asked for a check, and how one does; the closing table names it, wherever that is.
pub fn not_asked_for(check: &str, how: &str) {
    note(LeftOut::NotRun, check, how);
}

/// What was left out since the last table, each once as it is shown there, and the table's end of it.
pub fn take(left_out: LeftOut) -> Vec<String> {
    let notes = notes(left_out);
    let text = fs::read_to_string(&notes).unwrap_or_default();
    // Nothing was left out if there is no file.
    let _ = fs::remove_file(notes);
    let lines: BTreeSet<_> = text.lines().map(str::to_owned).collect();
    lines.into_iter().collect()
}

fn note(left_out: LeftOut, check: &str, reason: &str) {
    let mut notes = OpenOptions::new()
        .create(true)
        .append(true)
        .open(notes(left_out))
        .expect("the folder of the tests can be written to");
    // One write, so that tests that end at once do not mix their lines.
    let note = format!("{check}: {reason}\n");
    notes
        .write_all(note.as_bytes())
        .expect("a line can be noted");
}

/// Beside the test programs, which all lie in one folder.
fn notes(left_out: LeftOut) -> PathBuf {
    let program = std::env::current_exe().expect("a test knows where it runs");
    program.with_file_name(match left_out {
        LeftOut::Skipped => "kaigi-skipped-checks",
        LeftOut::NotRun => "kaigi-checks-not-run",
    })
}
