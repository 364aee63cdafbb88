//! The end of the log against the digest that was noted of it: what opening verifies of events before the index's mark.
//!
//! `head` has the digest of all events up to its position, and the one of a position shortly before. Rolling the hashes
//! between the two finds events that were replaced or hashed again, and an altered digest. An event that does not match
//! its own hash is found where it is read, and then only its call cannot be read.

use crate::block::Groups;
use crate::log::{Log, LogError};
use crate::notes::NotedHead;
use crate::rows::Mark;
use domain::envelope::{Hash, roll};

/// How many events, at most, are between the two digests in `head`.
const TAIL_EVENTS: u64 = 1_024;

/// How the log's end compares with what was noted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// It leads to the digest in `head`.
    Verified,
    /// It leads to another digest.
    Differs,
    /// Nothing was noted, or a frame of it is damaged or in an archive that is not there.
    Unknown,
}

/// A digest, and one of a position shortly before.
pub(crate) struct Rolled {
    pub(crate) digest: Hash,
    pub(crate) before: Option<(u64, Hash)>,
}

/// The digest of all events up to an address, from that of the mark, and one of at most [`TAIL_EVENTS`] events before.
pub(crate) fn roll_over(log: &Log, from: &Mark, to: (u64, u64)) -> Result<Rolled, LogError> {
    let (position, address) = to;
    let mut rolling = Rolling::from(log, (from.position, from.address, from.digest), address);
    let mut before = None;
    loop {
        let begun = (rolling.position, rolling.digest);
        if !rolling.next_frame()? {
            let digest = rolling.digest;
            return Ok(Rolled { digest, before });
        }
        if before.is_none() && position - begun.0 <= TAIL_EVENTS {
            before = Some(begun);
        }
    }
}

/// The digest at an address of a log whose digest is zero at another.
pub(crate) fn roll_between(
    log: &Log,
    (position, address): (u64, u64),
    until: u64,
) -> Result<Hash, LogError> {
    let mut rolling = Rolling::from(log, (position, address, Hash([0; 32])), until);
    while rolling.next_frame()? {}
    Ok(rolling.digest)
}

/// Compares the events up to the noted head with its digest. The log ends at that address.
pub(crate) fn compare(log: &Log, head: &NotedHead, end: u64) -> Tail {
    let Some((before, digest)) = head.before else {
        return Tail::Unknown;
    };
    match reaches(log, head, (before, digest), end) {
        Ok(Some(reached)) if reached == head.digest => Tail::Verified,
        Ok(_) => Tail::Differs,
        // An event that cannot be read stops no other call; reading it returns the error.
        Err(_) => Tail::Unknown,
    }
}

/// The digest at the head's position; `None` if no frame ends there.
fn reaches(
    log: &Log,
    head: &NotedHead,
    (before, digest): (u64, Hash),
    end: u64,
) -> Result<Option<Hash>, LogError> {
    let (first, address) = log.locate(before + 1, end)?;
    if first != before + 1 {
        // The frame is damaged, or no frame begins where one did.
        log.frames(address, end).next(first)?;
        return Ok(None);
    }
    let mut rolling = Rolling::from(log, (before, address, digest), end);
    while rolling.position < head.position && rolling.next_frame()? {}
    Ok((rolling.position == head.position).then_some(rolling.digest))
}

/// The digest of all events up to a position, frame by frame.
struct Rolling<'a> {
    frames: crate::log::Frames<'a>,
    position: u64,
    digest: Hash,
}

impl<'a> Rolling<'a> {
    fn from(log: &'a Log, (position, address, digest): (u64, u64, Hash), until: u64) -> Self {
        Self {
            frames: log.frames(address, until),
            position,
            digest,
        }
    }

    /// Whether there was another frame.
    fn next_frame(&mut self) -> Result<bool, LogError> {
        let Some(read) = self.frames.next(self.position + 1)? else {
            return Ok(false);
        };
        let mut groups = Groups::new(self.position + 1, read.block)?;
        while let Some(group) = groups.next()? {
            let digest = &mut self.digest;
            group.raw()?.hashes(|hash| *digest = roll(*digest, hash))?;
        }
        self.position = read.header.next() - 1;
        Ok(true)
    }
}

/// What is wrong with a store whose log does not lead to the digest in its head.
pub(crate) fn differs(head: &NotedHead) -> String {
    let (position, before) = (head.position, head.before.map_or(0, |(before, _)| before));
    format!(
        "its file head has another digest for position {position} than the events {} to {position} lead to, so events or \
         that file were altered",
        before + 1
    )
}

#[cfg(test)]
mod tests {
    use crate::new_log::NewLog;
    use crate::notes::{HeadFile, NotedHead};
    use crate::testing::{a_call, block_on};
    use crate::{OpenError, SledStore, block::GroupBytes};
    use domain::envelope::Hash;
    use domain::{EventStore as _, StoreId};
    use std::fs;
    use std::path::Path;

    /// A closed store with one commit.
    fn a_store(path: &Path) -> StoreId {
        block_on(async {
            let store = SledStore::open(path).expect("a store");
            let batch = a_call("c1").await.swap_remove(0);
            store.append(batch).await.expect("kept");
            store.close().await.expect("closed");
            store.id()
        })
    }

    fn must_refuse(path: &Path) {
        let refused = SledStore::open(path).err();
        assert!(
            matches!(refused, Some(OpenError::Altered { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn events_that_were_hashed_again_do_not_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let id = a_store(path);
        drop(SledStore::open(path).expect("it opens"));
        let log = path.join("log");
        fs::remove_dir_all(&log).expect("removed");
        fs::create_dir(&log).expect("made");
        let mut new = NewLog::begin(&log, id).expect("a log");
        // As many events of the same length, in a chain that is whole.
        let batch = block_on(a_call("c1")).swap_remove(0);
        for group in GroupBytes::of(batch.events()).each() {
            new.push(group).expect("written");
        }
        new.finish().expect("written");
        must_refuse(path);
    }

    #[test]
    fn a_head_with_another_digest_does_not_open_and_without_it_the_store_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        a_store(path);
        let file = HeadFile::of(path);
        let head = file.read().expect("readable").expect("there");
        assert!(head.before.is_some());
        let digest = Hash([7; 32]);
        file.write(&NotedHead { digest, ..head }).expect("written");
        must_refuse(path);
        // As an earlier version wrote it, it is compared with the index.
        let before = None;
        file.write(&NotedHead {
            digest,
            before,
            ..head
        })
        .expect("written");
        must_refuse(path);
        fs::remove_file(path.join("head")).expect("removed");
        drop(SledStore::open(path).expect("it opens"));
        file.write(&NotedHead { before, ..head }).expect("written");
        drop(SledStore::open(path).expect("an earlier version's opens"));
    }
}
