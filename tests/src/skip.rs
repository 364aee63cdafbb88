//! Checks that need more than Rust: left out aloud where it is missing, never where `CI` is set.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Notes that a check was left out and why; the closing table names it. Fails where `CI` is set.
pub fn skip(check: &str, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{check} must not be left out here: {reason}"
    );
    let mut notes = OpenOptions::new()
        .create(true)
        .append(true)
        .open(notes())
        .expect("the folder of the tests can be written to");
    // One write, so that tests that end at once do not mix their lines.
    let note = format!("{check}\t{reason}\n");
    notes
        .write_all(note.as_bytes())
        .expect("a line can be noted");
}

/// What was left out since the last table, and the table's end of it.
pub fn take_skipped() -> Vec<(String, String)> {
    let text = fs::read_to_string(notes()).unwrap_or_default();
    // Nothing was left out if there is no file.
    let _ = fs::remove_file(notes());
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(check, reason)| (check.to_owned(), reason.to_owned()))
        .collect()
}

/// Beside the test programs, which all lie in one folder.
fn notes() -> PathBuf {
    let program = std::env::current_exe().expect("a test knows where it runs");
    program.with_file_name("kaigi-skipped-checks")
}
