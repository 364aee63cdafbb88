//! How many bytes does an event take, and how many syncs a commit?

use crate::Run;
use crate::calls::EVENTS_OF_CALL;
use crate::figures::{figure, shown};
use crate::fill::{fill, play};
use crate::folders::bytes_on_disk;
use crate::goals::Goals;
use crate::sides::{BareFile, CqrsEs, Kaigi, LayoutD, Side, Sqlite, move_log};
use crate::table::Table;
use std::path::Path;
use std::sync::Arc;

/// Cqrs-es writes slowly even when it is not durable; its rows are alike.
const MOST_CALLS_OF_CQRS_ES: u64 = 500;

pub(crate) fn compare(run: &Run, goals: &mut Goals) {
    println!("\n## Bytes an event\n");
    println!(
        "What the folder takes once it is closed, 64 calls at once; SQLite without its log.\n"
    );
    let mut table = Table::new(["side", "1 event a command", "3 events a command"]);
    let calls = run.events / EVENTS_OF_CALL;
    // One event a command takes three times as long, and a part of it tells as much.
    let loads = [(1, calls.div_ceil(5)), (3, calls)];
    let weigh = |weigh: fn(&Run, u64, usize) -> f64| loads.map(|(k, calls)| weigh(run, calls, k));
    let kaigi = weigh(weigh_side::<Kaigi>);
    for (bytes, events) in kaigi.iter().zip([1, 3]) {
        goals.at_most(350.0, *bytes, format!("bytes an event, {events} a command"));
    }
    for (name, [one, three]) in [
        (Kaigi::NAME, kaigi),
        (BareFile::NAME, weigh(weigh_side::<BareFile>)),
        (LayoutD::NAME, weigh(weigh_side::<LayoutD>)),
        (Sqlite::NAME, weigh(weigh_sqlite)),
        (CqrsEs::NAME, weigh(weigh_cqrs_es)),
    ] {
        table.row([name.to_owned(), shown(one), shown(three)]);
    }
    table.print();
}

fn weigh_side<S: Side>(run: &Run, calls: u64, events_of_command: usize) -> f64 {
    weighed(run, calls, |folder| {
        run.runtime
            .block_on(fill::<S>(folder, calls, events_of_command));
    })
}

fn weigh_sqlite(run: &Run, calls: u64, events_of_command: usize) -> f64 {
    weighed(run, calls, |folder| {
        run.runtime
            .block_on(fill::<Sqlite>(folder, calls, events_of_command));
        move_log(folder);
    })
}

fn weigh_cqrs_es(run: &Run, calls: u64, events_of_command: usize) -> f64 {
    let calls = calls.min(MOST_CALLS_OF_CQRS_ES);
    weighed(run, calls, |folder| {
        run.runtime.block_on(async {
            let side = Arc::new(CqrsEs::open_not_durable(folder).await);
            play(&side, 0..calls, events_of_command).await;
            let side = Arc::into_inner(side).expect("the writers are done");
            side.close().await;
        });
    })
}

fn weighed(run: &Run, calls: u64, fill: impl FnOnce(&Path)) -> f64 {
    let folder = tempfile::tempdir_in(run.folder).expect("a folder can be made");
    fill(folder.path());
    figure(bytes_on_disk(folder.path())) / figure(calls * EVENTS_OF_CALL)
}
