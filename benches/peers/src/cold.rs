//! How long does a call take that no process has in memory?

use crate::Run;
use crate::calls::{EVENTS_OF_CALL, Random, id_of};
use crate::figures::{Spread, percentiles, shown};
use crate::fill::Filled;
use crate::folders::{drop_from_page_cache, read_into_page_cache};
use crate::goals::Goals;
use crate::sides::{KaigiReader, LayoutDReader, Readable, SqliteReader};
use crate::table::Table;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

/// How many calls are read, each once.
const CALLS: usize = 1_000;

type Measure = fn(&Filled, Prepare, u64) -> [f64; 2];

/// What is done with the folder once the store is open.
type Prepare = fn(&Path);

/// Kaigi first: the others are compared with it.
const SIDES: [(&str, Measure); 3] = [
    (KaigiReader::NAME, measure::<KaigiReader>),
    (LayoutDReader::NAME, measure::<LayoutDReader>),
    (SqliteReader::NAME, measure::<SqliteReader>),
];

const PAGE_CACHES: [(&str, Prepare); 2] = [
    ("full", read_into_page_cache),
    ("empty", drop_from_page_cache),
];

pub(crate) fn compare(run: &Run, filled: &Filled, goals: &mut Goals) {
    println!("\n## A call that is not in memory\n");
    println!(
        "Microseconds for a call of {EVENTS_OF_CALL} events, decoded; {} of {} calls, each read once after opening.\n",
        CALLS.min(half(filled)),
        filled.calls
    );
    let mut table = Table::new(["side", "page cache", "p50", "p99", "kaigi takes, times"]);
    for (page_cache, prepare) in PAGE_CACHES {
        let rounds = SIDES.map(|(_, measure)| {
            let rounds = (0..run.rounds as u64).map(|round| measure(filled, prepare, round));
            rounds.collect::<Vec<_>>()
        });
        let p50s = |side: usize| rounds[side].iter().map(|[p50, _]| *p50).collect::<Vec<_>>();
        for (side, (name, _)) in SIDES.iter().enumerate() {
            let p99 = Spread::of(rounds[side].iter().map(|[_, p99]| *p99));
            table.row([
                (*name).to_owned(),
                page_cache.to_owned(),
                Spread::of(p50s(side)).to_string(),
                shown(p99.median),
                Spread::of_ratios(&p50s(0), &p50s(side)).to_string(),
            ]);
        }
        if page_cache == "full" {
            let p50 = Spread::of(p50s(0)).median;
            goals.at_most(50.0, p50, "us for a call not in memory, page cache full");
        }
    }
    table.print();
}

fn measure<R: Readable>(filled: &Filled, prepare: Prepare, round: u64) -> [f64; 2] {
    let reader = R::open(filled.folder());
    prepare(filled.folder());
    let latencies = some_calls(filled, round).into_iter().map(|number| {
        let call = id_of(number);
        let started = Instant::now();
        let events = reader.call(&call);
        let took = started.elapsed();
        assert_eq!(events.len() as u64, EVENTS_OF_CALL, "the call is whole");
        took
    });
    percentiles(latencies.collect())
}

/// Different ones each round, and the same for each side.
fn some_calls(filled: &Filled, round: u64) -> HashSet<u64> {
    let mut chosen = HashSet::new();
    let mut numbers = (0..).map(|index| Random(round).number(index) % filled.calls);
    while chosen.len() < CALLS.min(half(filled)) {
        chosen.extend(numbers.next());
    }
    chosen
}

fn half(filled: &Filled) -> usize {
    usize::try_from(filled.calls / 2).expect("they are in memory")
}
