//! How fast are all events read, and folded into the read models?

use crate::Run;
use crate::figures::{Spread, rate};
use crate::fill::Filled;
use crate::folders::drop_from_page_cache;
use crate::goals::Goals;
use crate::sides::{KaigiReader, LayoutDReader, Readable, SqliteReader};
use crate::table::Table;
use domain::StoreId;
use projections::{AllFour, Checkpointed};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

/// Nothing is kept, so whose checkpoint it would be does not matter.
const NO_STORE: StoreId = StoreId(Uuid::nil());

/// Events a second: first after opening, with nothing in the page cache, then again.
type Passes = [f64; 2];

type Measure = fn(&Filled) -> Passes;

const REPLAY: &str = "kaigi, folded into the four read models";

/// Kaigi first: the others are compared with it.
const WAYS: [(&str, Measure); 5] = [
    ("kaigi", scan::<KaigiReader>),
    ("sled, layout D", scan::<LayoutDReader>),
    ("SQLite", scan::<SqliteReader>),
    ("SQLite, nothing decoded", blobs),
    (REPLAY, replay),
];

pub(crate) fn compare(run: &Run, filled: &Filled, goals: &mut Goals) {
    println!("\n## Reading everything\n");
    println!("Events/s on one core, of {} events.\n", filled.events());
    let mut rounds = WAYS.map(|_| Vec::new());
    for _ in 0..run.rounds {
        for (rounds, (_, measure)) in rounds.iter_mut().zip(WAYS) {
            rounds.push(measure(filled));
        }
    }
    let of = |way: usize, pass: usize| -> Vec<f64> {
        rounds[way].iter().map(|passes| passes[pass]).collect()
    };
    let mut table = Table::new(["", "first", "second", "kaigi is, times (second)"]);
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let [first, second] = [0, 1].map(|pass| Spread::of(of(way, pass)));
        let ratio = Spread::of_ratios(&of(0, 1), &of(way, 1));
        table.row([
            (*name).to_owned(),
            first.to_string(),
            second.to_string(),
            ratio.to_string(),
        ]);
        if *name == REPLAY {
            goals.at_least(2.5e6, second.median, "events/s replayed, second time");
            goals.at_least(1.5e6, first.median, "events/s replayed, cold");
        }
    }
    table.print();
}

fn scan<R: Readable>(filled: &Filled) -> Passes {
    passes(filled, |reader: &R| {
        let mut events = 0;
        reader.scan(|page| events += black_box(page).len() as u64);
        events
    })
}

fn blobs(filled: &Filled) -> Passes {
    passes(filled, |reader: &SqliteReader| {
        let mut events = 0;
        reader.blobs(|bytes| events += u64::from(!black_box(bytes).is_empty()));
        events
    })
}

fn replay(filled: &Filled) -> Passes {
    passes(filled, |reader: &KaigiReader| {
        let mut models = Checkpointed::<AllFour>::new(NO_STORE);
        reader.scan(|page| models.fold(page));
        black_box(&models).position().0
    })
}

/// Two passes that answer how many events there were.
fn passes<R: Readable>(filled: &Filled, mut pass: impl FnMut(&R) -> u64) -> Passes {
    let reader = opened_cold::<R>(filled.folder());
    [(); 2].map(|()| {
        let started = Instant::now();
        let events = pass(&reader);
        let took = started.elapsed();
        assert_eq!(events, filled.events(), "all that was written is read");
        rate(events, took)
    })
}

fn opened_cold<R: Readable>(folder: &Path) -> R {
    let reader = R::open(folder);
    drop_from_page_cache(folder);
    reader
}
