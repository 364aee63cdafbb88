//! The end of the log against the digest that was noted of it: what opening verifies of events before the index's mark.
//!
//! `head` has the digest of all events up to its position, and the one of a position shortly before. Rolling the hashes
//! between the two finds events that were replaced or hashed again, and an altered digest. An event that does not match
//! its own hash is found where it is read, and then only its call cannot be read.

use crate::block::Groups;
use crate::log::{End, Frames, Log, LogError};
use crate::mark::Mark;
use crate::notes::NotedHead;
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
pub(crate) fn roll_over(log: &Log, from: &Mark, to: End) -> Result<Rolled, LogError> {
    let mut rolling = Rolling::from(log, from.end(), from.digest, to.address);
    let mut before = None;
    loop {
        let begun = (rolling.position, rolling.digest);
        if !rolling.next_frame()? {
            let digest = rolling.digest;
            return Ok(Rolled { digest, before });
        }
        // The first frame that begins within reach of the end: its digest is the one from which opening rolls.
        if before.is_none() && to.position - begun.0 <= TAIL_EVENTS {
            before = Some(begun);
        }
    }
}

/// The digest at an address of a log whose digest is zero at another.
pub(crate) fn roll_between(log: &Log, from: End, until: u64) -> Result<Hash, LogError> {
    let mut rolling = Rolling::from(log, from, Hash([0; 32]), until);
    while rolling.next_frame()? {}
    Ok(rolling.digest)
}

/// Compares the events up to the noted head with its digest. The log ends at that address.
pub(crate) fn compare(log: &Log, head: &NotedHead, end: u64) -> Tail {
    // An earlier version wrote no second digest.
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
        // The frame is damaged, or no frame begins where one did: the second digest is always of the end of a frame.
        log.frames(address, end).next(first)?;
        return Ok(None);
    }
    let from = End {
        position: before,
        address,
    };
    // By whole frames: a frame that ends beyond the position was not there when *head* was written.
    let mut rolling = Rolling::from(log, from, digest, end);
    while rolling.position < head.position && rolling.next_frame()? {}
    Ok((rolling.position == head.position).then_some(rolling.digest))
}

/// The digest of all events up to a position, frame by frame.
struct Rolling<'a> {
    frames: Frames<'a>,
    position: u64,
    digest: Hash,
}

impl<'a> Rolling<'a> {
    fn from(log: &'a Log, from: End, digest: Hash, until: u64) -> Self {
        Self {
            frames: log.frames(from.address, until),
            position: from.position,
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
