//! Pages of the documentation that tests follow to the letter.

use std::path::{Path, PathBuf};

/// The page of that name in `docs`.
pub fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join(name)).expect("the page is there")
}

/// The fenced blocks of that kind, in order.
pub fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("\n```{kind}\n");
    let blocks = page.split(&fence).skip(1);
    let inside = blocks.map(|block| block.split("\n```\n").next().unwrap_or(block));
    inside.map(|block| block.to_owned() + "\n").collect()
}

/// Whether a program is there to be run.
pub fn runs(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&folders);
    folders.any(|folder: PathBuf| folder.join(program).is_file())
}
