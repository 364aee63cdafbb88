//! What was acknowledged outlives kills, power cuts and bad disks. `just torture` runs more rounds.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::disk::with_disk;
use tests::program::on;
use tests::skip::skip;
use tests::torture::chance::Chance;
use tests::torture::commands::{Line, Times};
use tests::torture::powercut::{Disk, Loss, shim};
use tests::torture::session::End;
use tests::torture::{Torture, copy_folder, rounds};

const KILLS: &str = "KAIGI_TORTURE_KILLS";
const CUTS: &str = "KAIGI_TORTURE_CUTS";

/// Those that a cut is modelled with, one after the other.
const LOSSES: [Loss; 3] = [Loss::Everything, Loss::Pages, Loss::Sectors];

/// How often the rarer faults are brought about: once in the ordinary tests.
fn few() -> usize {
    rounds(CUTS).div_ceil(12)
}

/// What is preloaded into the program; where it cannot be made, the check is left out.
fn shim_for(check: &str) -> Option<&'static Path> {
    shim().map_err(|reason| skip(check, reason)).ok()
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let mut torture = Torture::new("kill -9", Times::Simulated);
    for _ in 0..rounds(KILLS) {
        let moment = torture.a_moment();
        let ended = torture.session_until(moment);
        torture.must_be_killed_or_done(&ended);
        torture.end_of_round().await;
    }
    torture.done().await;
}

/// Up to three programs are killed before the power goes: what a dead one left unsafe, the next one must not build on.
#[tokio::test]
async fn what_was_acknowledged_outlives_a_power_cut() {
    let Some(shim) = shim_for("power cuts") else {
        return;
    };
    let mut torture = Torture::new("power cut", Times::Simulated).on_a_modelled_disk(shim);
    for loss in LOSSES.into_iter().cycle().take(rounds(CUTS)) {
        for _ in 0..torture.chance.within(1..=3) {
            let moment = torture.a_moment();
            let ended = torture.session_until(moment);
            torture.must_be_killed_or_done(&ended);
        }
        torture.cut(loss);
        torture.end_of_round().await;
    }
    torture.done().await;
}

/// The model itself, put to a shell: what a script leaves if all is lost that no sync made safe.
#[test]
fn a_power_cut_takes_exactly_what_no_sync_made_safe() {
    let Some(shim) = shim_for("what a power cut takes") else {
        return;
    };
    for (script, left) in [
        ("printf one > a", &[][..]),
        ("printf one > a; sync a", &[]),
        ("printf one > a; sync .", &[("a", "")]),
        ("printf one > a; sync a .", &[("a", "one")]),
        ("printf two >> old", &[]),
        ("printf two >> old; sync -d old", &[("old", "onetwo")]),
        ("printf two > old; sync .", &[]),
        ("printf two > new; sync new; mv new old", &[]),
        (
            "printf two > new; sync new; mv new old; sync .",
            &[("old", "two")],
        ),
        ("rm old; printf two > old", &[]),
        ("mkdir f; printf one > f/a; sync f/a f", &[]),
        ("mkdir f; printf one > f/a; sync f/a .", &[]),
        ("mkdir f; printf one > f/a; sync f/a f .", &[("f/a", "one")]),
        // The second sync has nothing to write any more, unless the page is changed once more.
        (FAILED_SYNC, &[]),
        (FAILED_SYNC_AND_MORE, &[("old", "onetwothree")]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path()).unwrap();
        fs::create_dir(disk.store()).unwrap();
        fs::write(disk.store().join("old"), "one").unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).current_dir(disk.store());
        let ran = sh.envs(disk.environment(shim)).output().unwrap();
        disk.cut(Loss::Everything, &mut Chance::of(1)).unwrap();
        let mut expected = BTreeMap::from([("old".into(), b"one".to_vec())]);
        expected.extend(
            left.iter()
                .map(|(file, text)| (file.into(), text.as_bytes().to_vec())),
        );
        assert_eq!(files(&disk.store()), expected, "{script}: {ran:?}");
    }
}

const FAILED_SYNC: &str =
    "printf two >> old; : > $POWERCUT_FAIL_SYNC; sync old; rm $POWERCUT_FAIL_SYNC; sync old";

const FAILED_SYNC_AND_MORE: &str = "printf two >> old; : > $POWERCUT_FAIL_SYNC; sync old; rm $POWERCUT_FAIL_SYNC; \
     printf three >> old; sync old";

/// The notes of a cut are whole: with all of them taken back, safe or not, the disk is as it was at the cut before.
#[tokio::test]
async fn a_power_cut_sees_every_change_that_the_program_makes() {
    let Some(shim) = shim_for("the notes of a power cut") else {
        return;
    };
    let mut torture =
        Torture::new("power cut, all of it taken back", Times::Simulated).on_a_modelled_disk(shim);
    let (store, after) = (torture.disk.store(), torture.disk.beside("after"));
    for _ in 0..4 {
        let before = files(&store);
        let moment = torture.a_moment();
        torture.session_until(moment);
        torture.undisturbed();
        let shown = torture.program(&["show", "active-calls"]).run();
        let _ = shown.ended_with(0);
        copy_folder(&store, &after);
        torture.cut(Loss::EvenWhatIsSafe);
        assert_same(&files(&store), &before);
        // And what was done stands again, without a note of it.
        fs::remove_dir_all(&store).or_else(none_yet).unwrap();
        fs::rename(&after, &store).unwrap();
        torture.row.rounds += 1;
    }
    torture.done().await;
}

fn none_yet(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound {
        return Ok(());
    }
    Err(error)
}

fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    assert!(
        found.keys().eq(expected.keys()),
        "{:?} {:?}",
        found.keys(),
        expected.keys()
    );
    for (file, bytes) in found {
        let differs = bytes
            .iter()
            .zip(&expected[file])
            .position(|(one, other)| one != other);
        let lengths = (bytes.len(), expected[file].len());
        assert!(
            *bytes == expected[file],
            "{} at {differs:?} of {lengths:?}",
            file.display()
        );
    }
}

/// Every file below the folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return all;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            all.extend(below.map(|(file, bytes)| (Path::new(&name).join(file), bytes)));
        } else {
            all.insert(name.into(), fs::read(&path).unwrap());
        }
    }
    all
}

/// The disk gives up what the sync was asked for, and says so once. Then, in every other round after the store was
/// opened once more, which finds in the page cache what the disk lacks, the power goes, and the store is opened.
#[tokio::test]
async fn a_failed_sync_stops_the_store_and_nothing_acknowledged_is_lost() {
    let Some(shim) = shim_for("failed syncs") else {
        return;
    };
    let mut torture = Torture::new("failed sync", Times::Simulated).on_a_modelled_disk(shim);
    for (round, in_flight) in [1, 16, 1024].repeat(few()).into_iter().enumerate() {
        torture.undisturbed();
        // An opening that fails is another test's.
        let answers = usize::try_from(torture.chance.within(1..=15)).unwrap();
        let fail_sync = torture.disk.fail_sync();
        let mut fail = || fs::write(&fail_sync, []).unwrap();
        let ended = torture.session(in_flight, End::ByItself, Some((answers, &mut fail)));
        if torture.disk.failed_a_sync().unwrap() {
            torture.must_have_stopped(in_flight, &ended);
        } else {
            torture.must_end_with(&ended, 0);
        }
        fs::remove_file(&fail_sync).unwrap();
        if round % 2 == 0 {
            torture.undisturbed();
        }
        torture.cut(Loss::Everything);
        torture.end_of_round().await;
    }
    torture.done().await;
}

#[tokio::test]
async fn a_sync_that_fails_while_a_store_is_opened_is_told() {
    let Some(shim) = shim_for("failed syncs of an opening") else {
        return;
    };
    let mut torture =
        Torture::new("failed sync of an opening", Times::Simulated).on_a_modelled_disk(shim);
    for _ in 0..few() {
        let moment = torture.a_moment();
        torture.session_until(moment);
        fs::write(torture.disk.fail_sync(), []).unwrap();
        let ended = torture.session(1, End::ByItself, None);
        assert!(torture.disk.failed_a_sync().unwrap());
        torture.must_have_failed(&ended);
        fs::remove_file(torture.disk.fail_sync()).unwrap();
        torture.cut(Loss::Everything);
        torture.end_of_round().await;
    }
    torture.done().await;
}

#[tokio::test]
async fn a_second_process_is_turned_away_and_the_first_goes_on() {
    let mut torture = Torture::new("a second process", Times::Simulated);
    for _ in 0..few() {
        let store = torture.disk.store();
        let mut seconds = Vec::new();
        let mut second = || {
            for args in [&["run", "-"][..], &["events"], &["store", "info"]] {
                seconds.push(on(&store, args).run());
            }
        };
        let ended = torture.session(64, End::ByItself, Some((1, &mut second)));
        torture.must_end_with(&ended, 0);
        assert!(!seconds.is_empty());
        for ran in seconds {
            let ran = ran.ended_with(75);
            assert!(
                ran.err.contains("another process has the store"),
                "{ran:#?}"
            );
            assert_eq!(ran.out, "");
        }
        torture.end_of_round().await;
    }
    torture.done().await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_turns_no_call_around() {
    let Some(shim) = shim_for("a clock that jumps back") else {
        return;
    };
    let mut torture = Torture::new("a clock that jumps back", Times::Unsaid)
        .on_a_modelled_disk(shim)
        .with_a_clock_that_jumps(10);
    for _ in 0..few() {
        torture.undisturbed();
        let moment = torture.a_moment();
        let ended = torture.session_until(moment);
        torture.must_be_killed_or_done(&ended);
        torture.end_of_round().await;
    }
    let events = torture.program(&["events"]).run().ended_with(0).lines();
    let recorded: Vec<_> = events
        .iter()
        .map(|event| event["recorded_at"].as_str())
        .collect();
    assert!(!recorded.is_sorted(), "the clock never jumped");
    torture.done().await;
}

/// The disk is full, then read-only, then has room: each time nothing is acknowledged that is not kept.
#[tokio::test]
async fn a_full_and_a_read_only_disk_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut torture = Torture::new("a full and a read-only disk", Times::Simulated);
    let day: Vec<Line> = torture.commands.next(0, 20_000);
    let text: Vec<_> = day.iter().map(|line| line.text.as_str()).collect();
    fs::write(folder.path().join("day"), text.join("\n")).unwrap();
    let script = r#"
        "$KAIGI" run day > full; echo "full $?"
        cp -r "$DISK/calls" calls-full
        mount -o remount,ro "$DISK"
        "$KAIGI" run day > read-only; echo "read-only $?"
        mount -o remount,rw,size=500m "$DISK"
        "$KAIGI" run day > room; echo "room $?"
        cp -r "$DISK/calls" calls-room
    "#;
    let Some(ran) = with_disk("a full and a read-only disk", 5, folder.path(), script) else {
        return;
    };
    assert_eq!(ran.out, "full 75\nread-only 1\nroom 0\n", "{ran:#?}");
    let answers = |name: &str| -> Vec<String> {
        let answers = fs::read_to_string(folder.path().join(name)).unwrap();
        answers.lines().map(str::to_owned).collect()
    };
    assert_eq!(answers("read-only"), Vec::<String>::new());
    for name in ["full", "room"] {
        torture.hear(day.clone(), &answers(name));
        torture.row.rounds += 1;
        torture
            .examine(&folder.path().join(format!("calls-{name}")))
            .await;
    }
    assert!(torture.acknowledged() > 1000);
    torture.row.checked = torture.acknowledged();
    torture.row.done();
}
