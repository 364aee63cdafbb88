//! Writing: groups of events, and the blocks and frames they stand in.

use super::format::{
    ACTOR_SHIFT, CORRELATED, GROUP_COUNTS, HEADER_BYTES, LATER_PART, LAYOUT, MAX_BLOCK_BYTES,
    PERSONAL, REPORTED, checksum,
};
use super::frame;
use crate::bytes::{write_counted, write_short_text, write_varint};
use domain::{Actor, Party, RecordedEvent};
use std::sync::Arc;

/// The blocks of one commit while they are written, each in a frame of the log.
pub(crate) struct Blocks {
    /// Finished frames, and at the end one that is being written.
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    first: u64,
    next: u64,
}

/// A frame that is written but for its header, which tells how much of the commit is behind it.
struct Frame {
    start: usize,
    end: usize,
    first: u64,
    next: u64,
}

/// One commit's bytes, to be written at once.
#[derive(Default)]
pub(crate) struct Sealed {
    /// The frames, one behind the other.
    pub(crate) bytes: Vec<u8>,
    /// The position of the last event.
    pub(crate) last: u64,
}

impl Blocks {
    /// Begins after that position.
    pub(crate) fn after(last: u64) -> Self {
        Self {
            bytes: Vec::with_capacity(MAX_BLOCK_BYTES),
            frames: vec![Frame::begin(0, last + 1)],
            first: last + 1,
            next: last + 1,
        }
    }

    /// The position the next event gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a group, which is never longer than a block.
    pub(crate) fn push(&mut self, group: &[u8]) {
        if self.block_bytes() + group.len() > MAX_BLOCK_BYTES {
            self.seal();
        }
        self.begin_block();
        self.bytes.extend_from_slice(group);
        self.next += u64::from(events_of_group(group, 0));
    }

    pub(crate) fn finish(mut self) -> Sealed {
        self.seal();
        self.frames.pop();
        for frame in &self.frames {
            let header = frame.header(self.first, self.next);
            header.write(&mut self.bytes[frame.start..]);
        }
        Sealed {
            bytes: self.bytes,
            last: self.next - 1,
        }
    }

    fn frame(&self) -> &Frame {
        self.frames.last().expect("one is always being written")
    }

    /// How long the block that is being written is, its header included.
    fn block_bytes(&self) -> usize {
        let block = self.frame().start + frame::HEADER_BYTES;
        self.bytes.len().saturating_sub(block)
    }

    /// Leaves room for what stands before the groups.
    fn begin_block(&mut self) {
        let start = self.frame().start;
        if self.bytes.len() == start {
            let room = frame::HEADER_BYTES + HEADER_BYTES;
            self.bytes.resize(start + room, 0);
        }
    }

    fn seal(&mut self) {
        let (end, next) = (self.bytes.len(), self.next);
        let frame = self.frames.last_mut().expect("one is always being written");
        if frame.start == end {
            return;
        }
        (frame.end, frame.next) = (end, next);
        let block = &mut self.bytes[frame.start + frame::HEADER_BYTES..];
        let checksum = checksum(frame.first, &block[HEADER_BYTES..]);
        block[0] = LAYOUT;
        block[1..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        self.frames.push(Frame::begin(end, next));
    }
}

impl Frame {
    fn begin(start: usize, first: u64) -> Self {
        let (end, next) = (start, first);
        Self {
            start,
            end,
            first,
            next,
        }
    }

    fn header(&self, commit: u64, after_commit: u64) -> frame::Header {
        let number = |events| u32::try_from(events).expect("a commit is a few megabytes");
        frame::Header {
            length: number((self.end - self.start - frame::HEADER_BYTES) as u64),
            first: self.first,
            events: number(self.next - self.first),
            before: number(self.first - commit),
            behind: number(after_commit - self.next),
        }
    }
}

impl Sealed {
    /// The blocks without their frames, by the position of their first event.
    pub(crate) fn blocks(&self) -> Vec<(u64, Vec<u8>)> {
        let mut rest = &self.bytes[..];
        let mut blocks = Vec::new();
        while let Some(header) = frame::Header::read(rest) {
            let (block, behind) = rest[frame::HEADER_BYTES..].split_at(header.length());
            blocks.push((header.first, block.to_vec()));
            rest = behind;
        }
        blocks
    }
}

/// The groups that events of one call make, one behind the other, each short enough for a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupBytes {
    bytes: Vec<u8>,
    pub(crate) groups: usize,
}

impl GroupBytes {
    pub(crate) fn of(events: &[RecordedEvent]) -> Self {
        let mut groups = Self {
            bytes: Vec::with_capacity(256),
            groups: 0,
        };
        let mut last: Option<(usize, &RecordedEvent)> = None;
        for event in events {
            let group = match last {
                Some((group, before)) if continues(before, event) => groups.add(group, event),
                Some(_) | None => groups.begin(event),
            };
            last = Some((group, event));
        }
        groups
    }

    /// Adds the event to the group that begins there, or to a new one; answers where that begins.
    fn add(&mut self, group: usize, event: &RecordedEvent) -> usize {
        let length = self.bytes.len();
        write_event(&mut self.bytes, event);
        if HEADER_BYTES + self.bytes.len() - group <= MAX_BLOCK_BYTES {
            grow_group(&mut self.bytes, group);
            return group;
        }
        self.bytes.truncate(length);
        self.begin(event)
    }

    fn begin(&mut self, event: &RecordedEvent) -> usize {
        let group = self.bytes.len();
        write_group_header(&mut self.bytes, event);
        write_event(&mut self.bytes, event);
        grow_group(&mut self.bytes, group);
        self.groups += 1;
        group
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (length, _) = rest.split_first_chunk()?;
            let length = GROUP_COUNTS + usize::from(u16::from_be_bytes(*length));
            let (group, behind) = rest.split_at(length);
            rest = behind;
            Some(group)
        })
    }
}

fn continues(before: &RecordedEvent, event: &RecordedEvent) -> bool {
    let same_cause = Arc::ptr_eq(&before.cause, &event.cause) || before.cause == event.cause;
    same_cause && before.index + 1 == event.index
}

fn write_group_header(into: &mut Vec<u8>, event: &RecordedEvent) {
    let cause = &*event.cause;
    into.extend_from_slice(&[0; GROUP_COUNTS]);
    write_short_text(into, cause.call.as_str());
    into.push(flags(event));
    into.extend_from_slice(cause.command.0.as_bytes());
    into.extend_from_slice(&cause.digest.0);
    write_varint(into, event.revision.0);
    if event.index > 0 {
        write_varint(into, event.index.into());
    }
    write_varint(into, cause.at.as_millis());
    write_varint(into, cause.recorded_at.as_millis());
    if let Some(reported_at) = cause.reported_at {
        write_varint(into, reported_at.as_millis());
    }
    if let Some(correlation) = &cause.correlation {
        write_counted(into, correlation.as_str().as_bytes());
    }
    if let Some(id) = cause.actor.as_ref().and_then(actor_id) {
        write_short_text(into, id);
    }
}

fn flags(event: &RecordedEvent) -> u8 {
    let cause = &*event.cause;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    flag(cause.reported_at.is_some(), REPORTED)
        | flag(cause.correlation.is_some(), CORRELATED)
        | flag(event.index > 0, LATER_PART)
        | actor_code(cause.actor.as_ref()) << ACTOR_SHIFT
}

fn actor_code(actor: Option<&Actor>) -> u8 {
    match actor {
        None => 0,
        Some(Actor::Party(Party::Customer)) => 1,
        Some(Actor::Party(Party::Agent(_))) => 2,
        Some(Actor::Party(Party::Dial(_))) => 3,
        Some(Actor::Supervisor(_)) => 4,
    }
}

fn actor_id(actor: &Actor) -> Option<&str> {
    match actor {
        Actor::Party(Party::Customer) => None,
        Actor::Party(Party::Agent(agent)) => Some(agent.as_str()),
        Actor::Party(Party::Dial(number)) => Some(number.as_str()),
        Actor::Supervisor(supervisor) => Some(supervisor.as_str()),
    }
}

fn write_event(into: &mut Vec<u8>, event: &RecordedEvent) {
    let personal = if event.personal.is_some() {
        PERSONAL
    } else {
        0
    };
    into.push(event.payload.event_type.number() | personal);
    write_varint(into, event.payload.version);
    if let Some(part) = &event.personal {
        into.extend_from_slice(part.key.0.as_bytes());
        into.extend_from_slice(&part.salt);
        write_counted(into, part.text.as_bytes());
    }
    write_counted(into, &event.payload.bytes);
    into.extend_from_slice(&event.hash.0);
}

/// Notes that the group reaches to the end of the block now and has one event more.
fn grow_group(block: &mut [u8], group: usize) {
    let length = block.len() - group - GROUP_COUNTS;
    let length = u16::try_from(length).expect("a block is at most 16 KiB, and an event 12");
    let events = events_of_group(block, group) + 1;
    block[group..group + 2].copy_from_slice(&length.to_be_bytes());
    block[group + 2..group + GROUP_COUNTS].copy_from_slice(&events.to_be_bytes());
}

fn events_of_group(block: &[u8], group: usize) -> u16 {
    u16::from_be_bytes([block[group + 2], block[group + 3]])
}

/// How long an event can at most become here, what it shares with others included.
pub(crate) fn longest(event: &RecordedEvent) -> usize {
    let text = event.personal.as_ref().map_or(0, |part| part.text.len());
    event.payload.bytes.len() + text
}

/// The group without its call's name.
pub(crate) fn write_part(into: &mut Vec<u8>, group: &[u8]) {
    let call = GROUP_COUNTS + 1 + usize::from(group[GROUP_COUNTS]);
    let length = group.len() - call;
    let length = u16::try_from(length).expect("shorter than the group");
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&group[2..GROUP_COUNTS]);
    into.extend_from_slice(&group[call..]);
}
