//! Whom the calls are written to.

mod bare_file;
mod cqrs_es;
mod kaigi;
mod layout_d;
mod sqlite;

pub(crate) use bare_file::{BareFile, EncodingFile};
pub(crate) use cqrs_es::CqrsEs;
pub(crate) use kaigi::{Kaigi, KaigiReader};
pub(crate) use layout_d::{LayoutD, LayoutDReader};
pub(crate) use sqlite::{Sqlite, SqliteReader, move_log};

use domain::{Batch, CallId, Position, RecordedEvent, StoredEvent};
use std::path::Path;
use store_sled::layout;

/// Somebody who keeps events and answers once they are durable.
pub(crate) trait Side: Sized + Send + Sync + 'static {
    /// Its name in the tables.
    const NAME: &'static str;

    /// It is given this share of the work that is prepared: one in so many calls. The slow ones need less of it.
    const ONE_CALL_IN: usize = 1;

    /// A command in the form it takes, made before the clock starts.
    type Command: Send + 'static;

    /// The command in that form.
    fn command(batch: &Batch) -> Self::Command;

    /// The commands in the order in which a writer gives them.
    fn played(script: Vec<Self::Command>) -> impl Iterator<Item = Self::Command> + Send {
        script.into_iter()
    }

    /// Opens what is in that folder; begins anew if there is nothing.
    fn open(folder: &Path) -> impl Future<Output = Self> + Send;

    /// Answers once the command is durable.
    fn append(&self, command: Self::Command) -> impl Future<Output = ()> + Send;

    /// What it has done since it was opened.
    fn counts(&self) -> Counts;

    /// Lets go of the folder.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A side that can be asked for what it has.
pub(crate) trait Readable: Sized {
    /// Its name in the tables.
    const NAME: &'static str;

    /// Opens what is in that folder, with nothing of it in memory but what it needs to find events.
    fn open(folder: &Path) -> Self;

    /// Hands out all events, page by page, in order.
    fn scan(&self, page: impl FnMut(&[StoredEvent]));

    /// The call's events.
    fn call(&self, call: &CallId) -> Vec<StoredEvent>;
}

/// What a side has done since it was opened, where that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) commits: Option<u64>,
    pub(crate) syncs: Option<u64>,
}

impl Counts {
    pub(crate) fn since(self, before: Counts) -> Counts {
        let less = |now: Option<u64>, before: Option<u64>| Some(now? - before?);
        Counts {
            commits: less(self.commits, before.commits),
            syncs: less(self.syncs, before.syncs),
        }
    }
}

/// The one block in which these events of one command lie, as the store would write it were they alone.
pub(crate) fn block_of(events: &[RecordedEvent]) -> Box<[u8]> {
    let blocks = layout::blocks_of(Position::START, &[events.to_vec()]);
    let [(_, block)] = <[_; 1]>::try_from(blocks).expect("a command's events fit into a block");
    block.into()
}

/// The events of such a block; their positions count from 1.
fn events_of(block: &[u8]) -> Vec<StoredEvent> {
    layout::events_of(Position(1), block).expect("it is as it was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{EVENTS_OF_CALL, commands_of, id_of};
    use crate::fill::fill;

    const CALLS: u64 = 100;

    fn gives_back_what_it_took<S: Side, R: Readable>() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(fill::<S>(folder.path(), CALLS, 3));
        let reader = R::open(folder.path());
        let mut events = 0;
        reader.scan(|page| events += page.len() as u64);
        assert_eq!(events, CALLS * EVENTS_OF_CALL, "{}", R::NAME);
        for number in 0..CALLS {
            let taken = commands_of(number, 3);
            let taken = taken.into_iter().flat_map(Batch::into_events);
            let given = reader.call(&id_of(number));
            let given = given.into_iter().map(|event| event.recorded);
            assert!(given.eq(taken), "{}: call {number}", R::NAME);
        }
    }

    #[test]
    fn every_side_that_is_read_gives_back_what_it_took() {
        gives_back_what_it_took::<Kaigi, KaigiReader>();
        gives_back_what_it_took::<LayoutD, LayoutDReader>();
        gives_back_what_it_took::<Sqlite, SqliteReader>();
    }
}
