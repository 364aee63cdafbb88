//! A call's events together, as the index keeps them: for each commit that brought some the position of the first, how
//! many groups they make, and the groups as they lie in the log, without the call's name.

use crate::block::{Group, Groups, read_part, write_part};
use crate::bytes::{Cursor, write_varint};
use crate::damage::Damage;
use crate::log::{Log, LogError};
use domain::{CallId, Head, Revision, StoredEvent};

/// Where a call stands, and its events so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) head: Head,
    pub(crate) bytes: Vec<u8>,
}

impl History {
    /// Of a call without events.
    pub(crate) const NONE: History = History {
        head: Head::NONE,
        bytes: Vec::new(),
    };

    /// Adds what one commit brought, from that position on.
    pub(crate) fn push<'a>(
        &mut self,
        first: u64,
        groups: usize,
        bytes: impl Iterator<Item = &'a [u8]>,
        head: Head,
    ) {
        write_varint(&mut self.bytes, first);
        write_varint(&mut self.bytes, groups as u64);
        for group in bytes {
            write_part(&mut self.bytes, group);
        }
        self.head = head;
    }

    /// At most `wanted` events after that revision.
    pub(crate) fn events(
        &self,
        call: &CallId,
        after: Revision,
        wanted: usize,
    ) -> Result<Vec<StoredEvent>, Damage> {
        let revisions = after.0 + 1..after.plus(wanted + 1).0;
        let mut events = Vec::with_capacity(wanted);
        let mut next = 1;
        self.each_group(call, |group| {
            let group_events = u64::from(group.events);
            let opened = group.open()?;
            if opened.first_revision() != next {
                return Err(missing(next));
            }
            next += group_events;
            if next <= revisions.start || revisions.end < opened.first_revision() {
                return Ok(());
            }
            let wanted = |_, revision: Revision| revisions.contains(&revision.0);
            opened.each(wanted, |event| events.push(event))
        })
        .map_err(|damage| damage.or_of(call.as_str(), next))?;
        if next == self.head.revision.0 + 1 {
            return Ok(events);
        }
        Err(missing(next).of(call.as_str(), next))
    }

    fn each_group<'a>(
        &'a self,
        call: &'a CallId,
        mut take: impl FnMut(Group<'a>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let damaged = || Damage::new("its events in the index are damaged");
        let mut left = Cursor::new(&self.bytes);
        while !left.is_empty() {
            let mut position = left.varint().ok_or_else(damaged)?;
            let groups = left.varint().ok_or_else(damaged)?;
            for _ in 0..groups {
                let group = read_part(&mut left, position, call.as_str()).ok_or_else(damaged)?;
                position += u64::from(group.events);
                take(group)?;
            }
        }
        Ok(())
    }

    /// The position of its last event.
    pub(crate) fn last_position(&self, call: &CallId) -> Result<u64, Damage> {
        let mut last = 0;
        self.each_group(call, |group| {
            last = group
                .first
                .saturating_add(u64::from(group.events).saturating_sub(1));
            Ok(())
        })?;
        Ok(last)
    }

    /// Where its events lie: positions of the first of each group, and how many follow it.
    pub(crate) fn places(&self, call: &CallId) -> Result<Vec<(u64, u64)>, Damage> {
        let mut places = Vec::new();
        self.each_group(call, |group| {
            places.push((group.first, u64::from(group.events)));
            Ok(())
        })?;
        Ok(places)
    }
}

/// A call's events from where they lie in the log.
pub(crate) fn gather(
    log: &Log,
    until: u64,
    call: &CallId,
    head: Head,
    places: &[(u64, u64)],
) -> Result<History, LogError> {
    let mut history = History::NONE;
    for (first, _) in places {
        let (frame, address) = log.locate(*first, until)?;
        let mut frames = log.frames(address, until).at_once(0);
        let gone = || Damage::new("the events from there on are missing").at(*first);
        let read = frames.next(frame)?.ok_or_else(gone)?;
        let mut groups = Groups::new(frame, read.block)?;
        while let Some(group) = groups.next()? {
            if group.first == *first && group.call == call.as_str() {
                history.push(*first, 1, [group.bytes].into_iter(), head);
            }
        }
    }
    Ok(history)
}

fn missing(revision: u64) -> Damage {
    Damage::new(format!("the index has not its event {revision}"))
}
