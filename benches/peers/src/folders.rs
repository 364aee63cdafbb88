//! Folders of the stores that are measured: where they are, what they weigh, and what the page cache holds of them.

use anyhow::{Context, bail};
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Blocks are counted in these, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// A new folder in the given one, or beside the program; removed once it is dropped.
pub(crate) fn make(within: Option<&Path>) -> anyhow::Result<TempDir> {
    let within = match within {
        Some(given) => given.to_owned(),
        None => beside_the_program()?,
    };
    fs::create_dir_all(&within).with_context(|| format!("cannot make {}", within.display()))?;
    let system = file_system(&within)?;
    if ["tmpfs", "ramfs"].contains(&system.as_str()) {
        bail!(
            "{} is in memory ({system}), where a sync costs nothing; name another folder with --folder",
            within.display()
        );
    }
    let made = tempfile::Builder::new().prefix("peers-").tempdir_in(within);
    made.context("cannot make a folder for the stores")
}

/// Cargo's target folder, which nobody keeps in memory.
fn beside_the_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2);
    Ok(target.context("the program lies in no folder")?.to_owned())
}

/// The file system's kind, as the longest mount point above the folder has it.
pub(crate) fn file_system(folder: &Path) -> anyhow::Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let above = mounts.lines().filter_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(at).then_some((at.len(), kind))
    });
    // Of equal mount points the later one hides the earlier.
    let nearest = above.max_by_key(|(length, _)| *length);
    Ok(nearest
        .context("the folder is mounted nowhere")?
        .1
        .to_owned())
}

/// What the folder takes on the disk.
pub(crate) fn bytes_on_disk(folder: &Path) -> u64 {
    let files = files(folder);
    let sizes = files
        .iter()
        .map(|file| file.metadata().expect("it is there"));
    sizes.map(|file| file.blocks() * BLOCK_BYTES).sum()
}

/// Makes the next read of each byte one of the disk.
pub(crate) fn drop_from_page_cache(folder: &Path) {
    for file in files(folder) {
        let file = File::open(file).expect("it is there");
        file.sync_all().expect("the disk keeps it");
        fadvise(&file, 0, None, Advice::DontNeed).expect("Linux takes advice");
    }
}

/// Makes the next read of each byte one of memory, if there is enough.
pub(crate) fn read_into_page_cache(folder: &Path) {
    for file in files(folder) {
        let mut file = File::open(file).expect("it is there");
        std::io::copy(&mut file, &mut std::io::sink()).expect("it can be read");
    }
}

/// Copies the folder as a backup would, onto the disk.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copied = to.join(file.strip_prefix(from).expect("it lies there"));
        fs::create_dir_all(copied.parent().expect("it lies in a folder")).expect("a folder");
        fs::copy(&file, &copied).expect("the disk takes it");
        let copied = File::open(copied).expect("it is there");
        copied.sync_all().expect("the disk keeps it");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}
