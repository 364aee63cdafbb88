//! Real file systems, small ones, that a test mounts for itself. They need Linux and the right to mount.

use crate::program::{Ran, kaigi};
use crate::skip::skip;
use std::path::Path;
use std::process::Command;

/// Runs a script that has a file system of so many megabytes at `$DISK` and the program as `$KAIGI`, if that is allowed.
pub fn with_disk(check: &str, megabytes: u32, folder: &Path, script: &str) -> Option<Ran> {
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script =
        format!("mount -t tmpfs -o size={megabytes}m tmpfs \"$DISK\" || exit 99\n{script}");
    let unshared = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-u", "-c", &script]);
        command
            .current_dir(folder)
            .env("DISK", &disk)
            .env("KAIGI", kaigi());
        command.env("KAIGI_STORE", format!("sled:{}/calls", disk.display()));
        let ran = Ran::from(command.output().ok()?);
        // 99: the mount is not allowed; 1 with unshare's own words: the name space is not.
        let allowed = ran.code != Some(99) && !ran.err.starts_with("unshare:");
        allowed.then_some(ran)
    };
    let ran = unshared(&["--mount"]).or_else(|| unshared(&["--mount", "--map-root-user"]));
    if ran.is_none() {
        skip(
            check,
            "no file system can be mounted here (unshare --mount)",
        );
    }
    ran
}
