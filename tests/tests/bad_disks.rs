//! Disks that are full or read-only, each a small file system of its own. They need Linux and the right to mount one.

use serde_json::Value;
use std::path::Path;
use tempfile::tempdir;
use tests::disk::with_disk;
use tests::program::bare;

/// The answers of a file, by line.
fn answers(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    let folder = tempdir().unwrap();
    let day = bare(["simulate", "--calls", "3000"])
        .run()
        .ended_with(0)
        .out;
    std::fs::write(folder.path().join("day"), day).unwrap();
    let script = r#"
        "$KAIGI" run day > first; echo "ran $?"
        "$KAIGI" store info > full; echo "opened $?"
        mount -o remount,size=200m "$DISK"
        "$KAIGI" run day > second; echo "ran again $?"
    "#;
    let Some(ran) = with_disk("a full disk", 5, folder.path(), script) else {
        return;
    };
    assert_eq!(ran.out, "ran 75\nopened 75\nran again 0\n", "{ran:#?}");
    assert!(
        ran.err.contains("the disk is full; make room"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("run the same input again"), "{}", ran.err);
    assert!(
        ran.err.contains("is full; make room and try again"),
        "{}",
        ran.err
    );
    let (first, second) = (
        answers(&folder.path().join("first")),
        answers(&folder.path().join("second")),
    );
    let mut undecided = std::collections::HashSet::new();
    for answer in &first {
        if answer["error"].is_string() {
            undecided.insert(answer["call"].clone());
        } else {
            // A rule must not judge a command as if the one before it had never been sent.
            assert!(!undecided.contains(&answer["call"]), "{answer}");
        }
    }
    assert!(!undecided.is_empty());
    let accepted: Vec<_> = first
        .iter()
        .filter(|answer| answer["accepted"] == true)
        .collect();
    assert!(
        accepted.len() > 100,
        "{} were accepted before the disk was full",
        accepted.len()
    );
    assert!(
        first.len() < second.len(),
        "the disk was too large for this test"
    );
    for answer in accepted {
        let line = usize::try_from(answer["line"].as_u64().unwrap()).unwrap();
        // The same events at the same positions: kept, once, and answered as before.
        assert_eq!(*answer, second[line - 1]);
    }
}

#[test]
fn a_read_only_disk_is_named() {
    let folder = tempdir().unwrap();
    let script = r#"
        "$KAIGI" call c1 connect-call --agent agent:ana > connected
        mount -o remount,ro "$DISK"
        "$KAIGI" show active-calls; echo "old store $?"
        KAIGI_STORE="sled:$DISK/new" "$KAIGI" call c1 connect-call --agent agent:ana; echo "new store $?"
    "#;
    let Some(ran) = with_disk("a read-only disk", 10, folder.path(), script) else {
        return;
    };
    assert_eq!(ran.out, "old store 1\nnew store 1\n", "{ran:#?}");
    assert_eq!(
        ran.err.matches("mounted read-only").count(),
        2,
        "{}",
        ran.err
    );
}
