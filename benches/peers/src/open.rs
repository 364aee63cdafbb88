//! How long until a killed store takes commands again, and in how much memory?

use crate::Run;
use crate::child::{self, Opened};
use crate::figures::{Spread, figure, shown};
use crate::folders::{copy, drop_from_page_cache, read_into_page_cache};
use crate::goals::Goals;
use crate::sides::{Kaigi, Side, Sqlite};
use crate::table::Table;
use std::path::Path;

/// Each round copies a whole store.
const MOST_ROUNDS: usize = 3;

/// What is done with the folder before it is opened.
type Prepare = fn(&Path);

const PAGE_CACHES: [(&str, Prepare); 2] = [
    ("full", read_into_page_cache),
    ("empty", drop_from_page_cache),
];

pub(crate) fn compare(run: &Run, goals: &mut Goals) {
    println!("\n## Opening after a kill\n");
    println!(
        "A process was killed while it wrote, after {} events; then one that opens a copy of the store, and adds to it. \
         Milliseconds and mebibytes.\n",
        run.events
    );
    let mut table = Table::new([
        "side",
        "page cache",
        "open",
        "and first command",
        "peak memory",
        "peak while writing",
    ]);
    for side in [Kaigi::NAME, Sqlite::NAME] {
        let folder = tempfile::tempdir_in(run.folder).expect("a folder can be made");
        let while_writing = child::write_and_kill(side, folder.path(), run.events);
        for (page_cache, prepare) in PAGE_CACHES {
            let rounds: Vec<Opened> = (0..run.rounds.min(MOST_ROUNDS))
                .map(|_| open_copy(run, side, folder.path(), prepare))
                .collect();
            let ready = Spread::of(rounds.iter().map(|opened| opened.ready_ms));
            table.row([
                side.to_owned(),
                page_cache.to_owned(),
                Spread::of(rounds.iter().map(|opened| opened.open_ms)).to_string(),
                ready.to_string(),
                shown(Spread::of(rounds.iter().map(|opened| opened.peak_mib)).median),
                shown(figure(while_writing)),
            ]);
            if side == Kaigi::NAME {
                let what =
                    format!("ms until the first command after a kill, page cache {page_cache}");
                goals.at_most(1_000.0, ready.median, what);
            }
        }
    }
    table.print();
}

fn open_copy(run: &Run, side: &str, killed: &Path, prepare: Prepare) -> Opened {
    let folder = tempfile::tempdir_in(run.folder).expect("a folder can be made");
    copy(killed, folder.path());
    prepare(folder.path());
    child::open(side, folder.path(), run.events)
}
