//! Only the owner may read the files that the program writes, under any umask. Only Unix has such rights.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::{TempDir, tempdir};
use tests::program::{Ran, bare, kaigi, on};
use tests::service_program::Serving;

/// The program started with that umask, on the store `store` in the folder.
fn under(umask: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
    command.arg(kaigi()).args(args).current_dir(folder);
    for name in ["KAIGI_SERVER", "KAIGI_KEY", "KAIGI_KEYS"] {
        command.env_remove(name);
    }
    command.env("KAIGI_STORE", "sled:store");
    command
}

fn run(umask: &str, folder: &Path, args: &[&str]) -> Ran {
    let ran = under(umask, folder, args).stdin(Stdio::null()).output();
    Ran::from(ran.unwrap()).ended_with(0)
}

/// Everything below a folder, with its rights; the folder itself is the test's.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut modes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::metadata(&path).unwrap();
        modes.push((path.clone(), about.permissions().mode() & 0o777));
        if about.is_dir() {
            modes.extend(self::modes(&path));
        }
    }
    modes
}

fn must_be_private(folder: &Path) {
    let modes = modes(folder);
    assert!(modes.len() > 20, "{modes:?}");
    for (path, mode) in modes {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{mode:o} {}", path.display());
    }
}

/// A folder in which the program has made all that it makes.
fn made_under(umask: &str) -> TempDir {
    let folder = tempdir().unwrap();
    let path = folder.path();
    fs::write(
        path.join("day"),
        bare(["simulate", "--calls", "60"]).run().ended_with(0).out,
    )
    .unwrap();
    run(
        umask,
        path,
        &[
            "keys",
            "create",
            "--name",
            "x",
            "--role",
            "reader",
            "--keys",
            "keys/keys.json",
        ],
    );
    run(umask, path, &["store", "create"]);
    run(
        umask,
        path,
        &["keys", "create", "--name", "x", "--role", "reader"],
    );
    run(umask, path, &["run", "day"]);
    run(umask, path, &["show", "active-calls"]);
    run(umask, path, &["store", "backup", "backup"]);
    run(
        umask,
        path,
        &["store", "restore", "backup", "--store", "sled:restored"],
    );
    run(
        umask,
        path,
        &[
            "store",
            "archive",
            "--before",
            "2999-01-01",
            "--to",
            "archive",
        ],
    );
    run(umask, path, &["store", "repair", "repaired"]);
    serve_and_follow(umask, path);
    fs::remove_file(path.join("day")).unwrap();
    folder
}

fn serve_and_follow(umask: &str, folder: &Path) {
    let mut serve = under(
        umask,
        folder,
        &["serve", "--without-keys", "--listen", "127.0.0.1:0"],
    );
    let piped = serve
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let serving = Serving::of(piped.spawn().unwrap());
    let follow = [
        "--server",
        &serving.url,
        "follow",
        "--until-caught-up",
        "--quiet",
    ];
    run(
        umask,
        folder,
        &[&follow[..], &["--checkpoint", "followed.json"]].concat(),
    );
    let _ = serving.stop().ended_with(0);
}

#[test]
fn whatever_the_umask_only_the_owner_may_read_what_the_program_makes() {
    for umask in ["022", "000"] {
        let folder = made_under(umask);
        must_be_private(folder.path());
    }
}

#[test]
fn a_store_and_a_backup_that_others_may_read_become_private_once_with_a_notice() {
    let folder = made_under("022");
    let (store, backup) = (folder.path().join("store"), folder.path().join("backup"));
    for path in [&store, &backup] {
        for (path, mode) in modes(path) {
            let opened = if path.is_dir() {
                mode | 0o055
            } else {
                mode | 0o044
            };
            fs::set_permissions(path, Permissions::from_mode(opened)).unwrap();
        }
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let notice = "other users had rights to";
    let first = on(&store, ["store", "info"]).run().ended_with(0);
    assert!(first.err.contains(notice), "{first:#?}");
    let again = on(&store, ["store", "info"]).run().ended_with(0);
    assert!(!again.err.contains(notice), "{again:#?}");
    let args = ["store", "backup", backup.to_str().unwrap()];
    let backed = on(&store, args).run().ended_with(0);
    assert!(backed.err.contains(notice), "{backed:#?}");
    must_be_private(folder.path());
}
