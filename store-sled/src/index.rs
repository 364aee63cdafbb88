//! Where each call stands and which blocks hold its events: in memory, and every so often in the tree, so that opening
//! reads the index and only the log behind it.

use crate::block::Place;
use crate::bytes::{Cursor, write_short_text, write_varint};
use crate::damage::Damage;
use crate::keys;
use domain::envelope::Hash;
use domain::{CallId, Head, Revision};
use foldhash::fast::RandomState;
use smol_str::SmolStr;
use std::collections::HashMap;

/// The version of the rows' layout, the first byte of every value.
const LAYOUT: u8 = 1;

/// What precedes the rows: layout and checksum.
const HEADER_BYTES: usize = 5;

/// Longer values would end up in files of their own that sled never syncs.
const MAX_ROWS_BYTES: usize = 16 * 1024;

/// So many places keep a row shorter than that, whatever their numbers.
const MAX_PLACES_OF_ROW: usize = 512;

/// All calls of the store.
#[derive(Default)]
pub(crate) struct Index {
    calls: HashMap<CallId, Entry, RandomState>,
}

/// A call: where it stands, and its places. All but the last place are packed, since most calls have a dozen of them
/// and there are millions of calls.
pub(crate) struct Entry {
    head: Head,
    first_block: u64,
    /// How many events the first block holds, how far it is to the next block, and so on.
    packed: Vec<u8>,
    last: Place,
    places: u32,
    /// How many of them are in the tree already.
    saved: u32,
    /// The checkpoint for which the call is noted as changed already.
    noted: u64,
}

impl Index {
    pub(crate) fn calls(&self) -> u64 {
        self.calls.len() as u64
    }

    pub(crate) fn get(&self, call: &CallId) -> Option<&Entry> {
        self.calls.get(call)
    }

    pub(crate) fn head(&self, call: &CallId) -> Head {
        self.get(call).map_or(Head::NONE, |entry| entry.head)
    }

    /// The blocks that hold the call's events after that revision.
    pub(crate) fn blocks_after(&self, call: &CallId, after: Revision) -> Vec<u64> {
        match self.get(call) {
            Some(entry) if entry.head.revision > after => entry.blocks_after(after),
            Some(_) | None => Vec::new(),
        }
    }

    /// Notes events that are durable now. Answers whether the call had not changed since that checkpoint began.
    pub(crate) fn grow(
        &mut self,
        call: &CallId,
        head: Head,
        places: &[Place],
        checkpoint: u64,
    ) -> bool {
        if let Some(entry) = self.calls.get_mut(call) {
            entry.extend(places);
            entry.head = head;
            return std::mem::replace(&mut entry.noted, checkpoint) != checkpoint;
        }
        let Some((first, others)) = places.split_first() else {
            return false;
        };
        let mut entry = Entry::new(head, *first);
        entry.extend(others);
        entry.noted = checkpoint;
        self.calls.insert(call.clone(), entry);
        true
    }

    /// Notes what the log holds behind the index's mark. A row may be newer than the mark; what it knows is skipped.
    /// Answers the call if it had not changed since that checkpoint began.
    pub(crate) fn replay(
        &mut self,
        call: &str,
        first_revision: u64,
        head: Head,
        place: Place,
        checkpoint: u64,
    ) -> Result<Option<CallId>, Damage> {
        let damage = |what: &str| Damage::new(what).at(place.block).of(call, first_revision);
        let call = CallId::try_from(SmolStr::new(call))
            .map_err(|_| damage("the call's identifier is damaged"))?;
        let known = self.head(&call);
        if head.revision < known.revision || head == known {
            return Ok(None);
        }
        if first_revision != known.revision.0 + 1 {
            return Err(damage(
                "the index and the log do not agree where the call stands",
            ));
        }
        let changed = self.grow(&call, head, &[place], checkpoint);
        Ok(changed.then_some(call))
    }

    /// Reads the rows that were written under that number.
    pub(crate) fn read_rows(&mut self, number: u64, rows: &[u8]) -> Result<(), Damage> {
        let damage = || {
            Damage::new(format!(
                "the rows of the index under number {number} are damaged"
            ))
        };
        let mut rows = verified(number, rows).ok_or_else(damage)?;
        while !rows.is_empty() {
            self.read_row(&mut rows).ok_or_else(damage)?;
        }
        Ok(())
    }

    fn read_row(&mut self, row: &mut Cursor<'_>) -> Option<()> {
        let call = CallId::try_from(SmolStr::new(row.short_text()?)).ok()?;
        let head = Head {
            revision: Revision(row.varint()?),
            hash: Hash(row.array()?),
        };
        let saved = row.varint()?;
        let places = row.varint()?;
        let mut block = 0_u64;
        for _ in 0..places {
            block = block.checked_add(row.varint()?)?;
            let events = row.varint()?;
            let place = Place { block, events };
            match self.calls.get_mut(&call) {
                Some(entry) => entry.add(place),
                None => {
                    self.calls.insert(call.clone(), Entry::new(head, place));
                }
            }
        }
        let entry = self.calls.get_mut(&call)?;
        if u64::from(entry.saved) != saved {
            return None;
        }
        entry.head = head;
        entry.saved = entry.places;
        Some(())
    }

    /// Adds what is not in the tree yet of a call.
    pub(crate) fn write_row(&mut self, call: &CallId, rows: &mut Rows) {
        if let Some(entry) = self.calls.get_mut(call) {
            entry.write_row(call, rows);
        }
    }

    /// Whether the index is of this log: no call reaches beyond its end, and together they have all its events.
    pub(crate) fn agrees_with(&self, last: u64) -> Result<(), Damage> {
        let mut events = 0;
        for (call, entry) in &self.calls {
            let revision = entry.head.revision.0;
            if entry.last.block > last || entry.events() != revision {
                let what =
                    format!("the index knows more of the call than the log, which ends at {last}");
                return Err(Damage::new(what).of(call.as_str(), revision));
            }
            events += revision;
        }
        if events == last {
            return Ok(());
        }
        let what = format!("the index knows {events} events and the log {last}");
        Err(Damage::new(what))
    }
}

impl Entry {
    fn new(head: Head, first: Place) -> Self {
        Self {
            head,
            first_block: first.block,
            packed: Vec::new(),
            last: first,
            places: 1,
            saved: 0,
            noted: 0,
        }
    }

    fn extend(&mut self, places: &[Place]) {
        for place in places {
            self.add(*place);
        }
    }

    fn add(&mut self, place: Place) {
        if place.block == self.last.block {
            self.last.events += place.events;
            return;
        }
        write_varint(&mut self.packed, self.last.events);
        write_varint(
            &mut self.packed,
            place.block.saturating_sub(self.last.block),
        );
        self.last = place;
        self.places += 1;
    }

    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let mut packed = Cursor::new(&self.packed);
        let mut block = self.first_block;
        let earlier = std::iter::from_fn(move || {
            let events = packed.varint()?;
            let place = Place { block, events };
            block += packed.varint()?;
            Some(place)
        });
        earlier.chain([self.last])
    }

    fn blocks_after(&self, after: Revision) -> Vec<u64> {
        let mut revision = 0;
        let reaches = |place: &Place| {
            revision += place.events;
            revision > after.0
        };
        let places = self.places().filter(reaches);
        places.map(|place| place.block).collect()
    }

    fn events(&self) -> u64 {
        self.places().map(|place| place.events).sum()
    }

    fn write_row(&mut self, call: &CallId, rows: &mut Rows) {
        let saved = usize::try_from(self.saved).expect("at least 32 bits");
        let places: Vec<_> = self.places().skip(saved).collect();
        for places in places.chunks(MAX_PLACES_OF_ROW) {
            rows.push(call, self.head, self.saved, places);
            self.saved += u32::try_from(places.len()).expect("a few hundred");
        }
    }
}

/// Rows on their way into the tree. A row says where a call stands and which places it has got since its last one, so
/// that rows together are about as long as what they tell, and are only ever added.
pub(crate) struct Rows {
    next: u64,
    value: Vec<u8>,
    row: Vec<u8>,
    sealed: Vec<(u64, sled::IVec)>,
    written: u64,
}

impl Rows {
    pub(crate) fn from(next: u64) -> Self {
        Self {
            next,
            value: Vec::new(),
            row: Vec::new(),
            sealed: Vec::new(),
            written: 0,
        }
    }

    fn push(&mut self, call: &CallId, head: Head, saved: u32, places: &[Place]) {
        self.row.clear();
        let row = &mut self.row;
        write_short_text(row, call.as_str());
        write_varint(row, head.revision.0);
        row.extend_from_slice(&head.hash.0);
        write_varint(row, saved.into());
        write_varint(row, places.len() as u64);
        let mut before = 0;
        for place in places {
            write_varint(row, place.block - before);
            write_varint(row, place.events);
            before = place.block;
        }
        if self.value.len() + self.row.len() > MAX_ROWS_BYTES {
            self.seal();
        }
        if self.value.is_empty() {
            self.value.resize(HEADER_BYTES, 0);
        }
        self.value.extend_from_slice(&self.row);
        self.written += 1;
    }

    fn seal(&mut self) {
        if self.value.is_empty() {
            return;
        }
        let checksum = checksum(self.next, &self.value[HEADER_BYTES..]);
        self.value[0] = LAYOUT;
        self.value[1..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        self.sealed.push((self.next, self.value.as_slice().into()));
        self.value.clear();
        self.next += 1;
    }

    /// Adds them to what a commit applies; answers how many there are and the number of the next.
    pub(crate) fn finish(mut self, batch: &mut sled::Batch) -> (u64, u64) {
        self.seal();
        for (number, rows) in self.sealed {
            batch.insert(&keys::some_rows(number)[..], rows);
        }
        (self.written, self.next)
    }
}

fn verified(number: u64, rows: &[u8]) -> Option<Cursor<'_>> {
    let mut rows = Cursor::new(rows);
    let layout = rows.byte()?;
    let stored = u32::from_be_bytes(rows.array()?);
    let holds = layout == LAYOUT && stored == checksum(number, rows.rest());
    holds.then_some(rows)
}

fn checksum(number: u64, rows: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(rows);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CallId {
        "c1".parse().expect("a call")
    }

    fn head(revision: u64) -> Head {
        Head {
            revision: Revision(revision),
            hash: Hash([7; 32]),
        }
    }

    /// A call with three events in each of that many blocks.
    fn index_with_blocks(blocks: u64) -> Index {
        let mut index = Index::default();
        for block in 1..=blocks {
            let place = Place {
                block: block * 100,
                events: 3,
            };
            index.grow(&call(), head(block * 3), &[place], 1);
        }
        index
    }

    #[test]
    fn a_call_is_found_in_the_blocks_that_reach_past_a_revision() {
        let index = index_with_blocks(4);
        let after = |revision| index.blocks_after(&call(), Revision(revision));
        assert_eq!(after(0), [100, 200, 300, 400]);
        assert_eq!(after(3), [200, 300, 400]);
        assert_eq!(after(4), [200, 300, 400]);
        assert_eq!(after(11), [400]);
        assert_eq!(after(12), [0; 0]);
    }

    #[test]
    fn a_call_is_noted_once_for_each_checkpoint() {
        let mut index = index_with_blocks(1);
        let place = Place {
            block: 900,
            events: 1,
        };
        assert!(!index.grow(&call(), head(4), &[place], 1));
        assert!(index.grow(&call(), head(5), &[place], 2));
    }

    fn written(index: &mut Index, next: u64) -> Vec<(u64, sled::IVec)> {
        let mut rows = Rows::from(next);
        index.write_row(&call(), &mut rows);
        rows.seal();
        rows.sealed
    }

    #[test]
    fn rows_tell_a_call_however_many_blocks_it_is_in() {
        for blocks in [1, 2, 512, 513, 20_000] {
            let mut index = index_with_blocks(blocks);
            let mut read = Index::default();
            for (number, rows) in written(&mut index, 1) {
                assert!(rows.len() <= 16 * 1024);
                read.read_rows(number, &rows).expect("what was written");
            }
            let (entry, again) = (&index.calls[&call()], &read.calls[&call()]);
            assert_eq!(again.head, entry.head);
            assert!(again.places().eq(entry.places()));
        }
    }

    #[test]
    fn a_later_row_tells_only_what_is_new() {
        let mut index = index_with_blocks(1000);
        let first = written(&mut index, 1);
        let place = Place {
            block: 200_000,
            events: 1,
        };
        index.grow(&call(), head(3001), &[place], 2);
        let next = written(&mut index, 1 + first.len() as u64);
        assert_eq!(next.len(), 1);
        assert!(next[0].1.len() < 100);
        let mut read = Index::default();
        for (number, rows) in first.iter().chain(&next) {
            read.read_rows(*number, rows).expect("what was written");
        }
        assert_eq!(read.head(&call()), head(3001));
        assert!(
            read.calls[&call()]
                .places()
                .eq(index.calls[&call()].places())
        );
        let mut gap = Index::default();
        assert!(gap.read_rows(next[0].0, &next[0].1).is_err());
    }

    #[test]
    fn rows_under_another_number_are_damaged() {
        let rows = written(&mut index_with_blocks(1), 1);
        assert!(Index::default().read_rows(2, &rows[0].1).is_err());
    }

    #[test]
    fn replaying_what_a_row_knows_already_changes_nothing() {
        let mut index = index_with_blocks(2);
        let place = |block| Place { block, events: 3 };
        let known = index.replay("c1", 1, head(3), place(100), 2);
        assert_eq!(known, Ok(None));
        let new = index.replay("c1", 7, head(9), place(300), 2);
        assert_eq!(new, Ok(Some(call())));
        let gap = index.replay("c1", 13, head(15), place(500), 2);
        assert!(gap.is_err());
        assert_eq!(index.head(&call()).revision, Revision(9));
    }
}
