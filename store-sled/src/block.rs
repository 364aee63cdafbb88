//! How events lie in the log: blocks of at most 16 KiB, one or more for each commit, each in a frame.
//!
//! A block is its layout's version (1 byte), a checksum (4), then groups. A group is what one command brought about:
//! what its events share stands once, then event after event. Ids, indexes and previous hashes follow from that and are
//! not stored. This layout is frozen: a new one gets a version of its own, and this one stays readable.

use crate::bytes::{Cursor, write_counted, write_short_text, write_varint};
use crate::damage::Damage;
use crate::log::frame;
use domain::envelope::{Digest, Hash, PersonalPart};
use domain::event::EventType;
use domain::stored::{self, Payload};
use domain::{
    Actor, CallId, Cause, CommandId, KeyId, Party, Position, RecordedEvent, Revision, StoredEvent,
    Timestamp,
};
use smol_str::SmolStr;
use std::sync::Arc;
use uuid::Uuid;

/// The version of the layout, the first byte of every block.
const LAYOUT: u8 = 1;

/// What precedes the groups: layout and checksum.
const HEADER_BYTES: usize = 5;

/// Short enough to be read for a single call, long enough for one read of the disk.
pub(crate) const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// The longest event the domain makes takes half of this, so nothing it makes is refused.
pub(crate) const MAX_EVENT_BYTES: usize = 12 * 1024;

const REPORTED: u8 = 1;
const CORRELATED: u8 = 2;
const LATER_PART: u8 = 4;
const RESERVED: u8 = 8;
const ACTOR_SHIFT: u8 = 4;

const PERSONAL: u8 = 0x80;

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

/// Covers the position, too, so that a block under another's key is found.
fn checksum(first: u64, groups: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&first.to_be_bytes());
    hasher.update(groups);
    hasher.finalize()
}

fn continues(before: &RecordedEvent, event: &RecordedEvent) -> bool {
    let same_cause = Arc::ptr_eq(&before.cause, &event.cause) || before.cause == event.cause;
    same_cause && before.index + 1 == event.index
}

/// Room for the group's length and its number of events, which are known once it is written.
const GROUP_COUNTS: usize = 4;

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
    into.push(type_code(event.payload.event_type) | personal);
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

/// The groups of a block, its checksum verified.
pub(crate) struct Groups<'a> {
    left: Cursor<'a>,
    next: u64,
}

/// What one command brought about, or a part of it, not decoded yet.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    /// The position of the first event.
    pub(crate) first: u64,
    pub(crate) events: u16,
    pub(crate) call: &'a str,
    /// All of it, as it was written.
    pub(crate) bytes: &'a [u8],
    left: Cursor<'a>,
}

/// A group of which all events share what is decoded.
pub(crate) struct Opened<'a> {
    cause: Arc<Cause>,
    first: u64,
    first_revision: u64,
    first_index: u32,
    events: u16,
    left: Cursor<'a>,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(first: u64, block: &'a [u8]) -> Result<Self, Damage> {
        let damage = |what: String| Damage::new(what).at(first);
        let Some((header, groups)) = block.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damage("the block is cut off".to_owned()));
        };
        let [layout, stored @ ..] = *header;
        if layout != LAYOUT {
            let what = format!("the block is of layout {layout}, which this program does not know");
            return Err(damage(what));
        }
        if u32::from_be_bytes(stored) != checksum(first, groups) {
            return Err(damage("the block's checksum does not hold".to_owned()));
        }
        Ok(Self {
            left: Cursor::new(groups),
            next: first,
        })
    }

    /// The position after the groups so far.
    pub(crate) fn next_position(&self) -> u64 {
        self.next
    }

    /// All events of the block.
    pub(crate) fn events(mut self) -> Result<Vec<StoredEvent>, Damage> {
        let mut events = Vec::new();
        while let Some(group) = self.next()? {
            group
                .open()?
                .each(|_, _| true, |event| events.push(event))?;
        }
        Ok(events)
    }

    pub(crate) fn next(&mut self) -> Result<Option<Group<'a>>, Damage> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let first = self.next;
        let group = read_group(&mut self.left, first)
            .ok_or_else(|| Damage::new("the block's groups are damaged").at(first))?;
        self.next = self.next.saturating_add(group.events.into());
        Ok(Some(group))
    }
}

/// The events of a block as far as they can be read, whether or not its checksum holds. Whoever asks verifies each
/// by its hash.
pub(crate) fn intact_events(first: u64, block: &[u8]) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    let mut left = Cursor::new(block.get(HEADER_BYTES..).unwrap_or_default());
    let mut next = first;
    while let Some(group) = read_group(&mut left, next) {
        next = next.saturating_add(group.events.into());
        let read = group.open();
        // What stands before the damage in a group was handed over.
        let _ = read.and_then(|group| group.each(|_, _| true, |event| events.push(event)));
    }
    events
}

fn read_group<'a>(left: &mut Cursor<'a>, first: u64) -> Option<Group<'a>> {
    let mut group = read_part(left, first, "")?;
    group.call = group.left.short_text()?;
    Some(group)
}

/// A group without its call's name, as a call's history holds it.
pub(crate) fn read_part<'a>(left: &mut Cursor<'a>, first: u64, call: &'a str) -> Option<Group<'a>> {
    let all = left.rest();
    let length = left.u16()?;
    let events = left.u16()?;
    let rest = left.bytes(length.into())?;
    (events > 0).then_some(Group {
        first,
        events,
        call,
        bytes: &all[..GROUP_COUNTS + rest.len()],
        left: Cursor::new(rest),
    })
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

impl<'a> Group<'a> {
    pub(crate) fn open(self) -> Result<Opened<'a>, Damage> {
        let shared = self.raw()?;
        let cause = shared.cause(self.call);
        Ok(Opened {
            cause: Arc::new(cause.ok_or_else(|| self.damage())?),
            first: self.first,
            first_revision: shared.first_revision,
            first_index: shared.first_index,
            events: self.events,
            left: shared.left,
        })
    }

    /// What its events share, where it lies.
    pub(crate) fn raw(&self) -> Result<RawGroup<'a>, Damage> {
        read_header(self).ok_or_else(|| self.damage())
    }

    fn damage(&self) -> Damage {
        let call = self.call;
        Damage::new(format!("what the events of call {call} share is damaged")).at(self.first)
    }
}

/// What a group's events share, not made sense of yet.
pub(crate) struct RawGroup<'a> {
    pub(crate) first_revision: u64,
    first: u64,
    events: u16,
    command: [u8; 16],
    digest: [u8; 32],
    first_index: u32,
    at: u64,
    recorded_at: u64,
    reported_at: Option<u64>,
    correlation: Option<&'a str>,
    actor: RawActor<'a>,
    left: Cursor<'a>,
}

type RawActor<'a> = (u8, Option<&'a str>);

fn read_header<'a>(group: &Group<'a>) -> Option<RawGroup<'a>> {
    let mut left = group.left;
    let flags = left.byte()?;
    let has = |flag| flags & flag != 0;
    if has(RESERVED) {
        return None;
    }
    let command = left.array()?;
    let digest = left.array()?;
    let first_revision = left.varint()?;
    let first_index = if has(LATER_PART) {
        u32::try_from(left.varint()?).ok()?
    } else {
        0
    };
    let at = left.varint()?;
    let recorded_at = left.varint()?;
    let reported_at = if has(REPORTED) {
        Some(left.varint()?)
    } else {
        None
    };
    let correlation = if has(CORRELATED) {
        Some(left.text()?)
    } else {
        None
    };
    let code = flags >> ACTOR_SHIFT;
    let actor = match code {
        0 | 1 => None,
        2..=4 => Some(left.short_text()?),
        _ => return None,
    };
    Some(RawGroup {
        first_revision,
        first: group.first,
        events: group.events,
        command,
        digest,
        first_index,
        at,
        recorded_at,
        reported_at,
        correlation,
        actor: (code, actor),
        left,
    })
}

impl RawGroup<'_> {
    fn cause(&self, call: &str) -> Option<Cause> {
        let time = |millis| Timestamp::from_millis(millis).ok();
        let reported_at = match self.reported_at {
            Some(millis) => Some(time(millis)?),
            None => None,
        };
        let correlation = match self.correlation {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Cause {
            call: CallId::try_from(SmolStr::new(call)).ok()?,
            command: CommandId(Uuid::from_bytes(self.command)),
            digest: Digest(self.digest),
            at: time(self.at)?,
            reported_at,
            recorded_at: time(self.recorded_at)?,
            correlation,
            actor: actor(self.actor)?,
        })
    }

    pub(crate) fn recorded_at(&self) -> Option<Timestamp> {
        Timestamp::from_millis(self.recorded_at).ok()
    }

    /// Hands the hash of each event to `take`.
    pub(crate) fn hashes(&self, mut take: impl FnMut(Hash)) -> Result<(), Damage> {
        self.each_raw(|event| take(event.hash))
    }

    /// The type and the hash of the last event.
    pub(crate) fn last(&self) -> Result<(EventType, Hash), Damage> {
        let mut last = None;
        self.each_raw(|event| last = Some((event.code, event.hash)))?;
        let known = last.and_then(|(code, hash)| Some((event_type(code & !PERSONAL)?, hash)));
        known.ok_or_else(|| Damage::new("the event is damaged").at(self.first))
    }

    fn each_raw(&self, mut take: impl FnMut(RawEvent<'_>)) -> Result<(), Damage> {
        let mut left = self.left;
        for _ in 0..self.events {
            let event = read_event(&mut left);
            take(event.ok_or_else(|| Damage::new("the event is damaged").at(self.first))?);
        }
        if left.is_empty() {
            return Ok(());
        }
        let damage = Damage::new("something stands behind the command's last event");
        Err(damage.at(self.first))
    }
}

#[expect(
    clippy::option_option,
    reason = "nobody asked, or the bytes name nobody there can be"
)]
fn actor((code, id): RawActor<'_>) -> Option<Option<Actor>> {
    Some(match (code, id) {
        (0, None) => None,
        (1, None) => Some(Actor::Party(Party::Customer)),
        (2, Some(id)) => Some(Actor::Party(Party::Agent(id.parse().ok()?))),
        (3, Some(id)) => Some(Actor::Party(Party::Dial(id.parse().ok()?))),
        (4, Some(id)) => Some(Actor::Supervisor(id.parse().ok()?)),
        _ => return None,
    })
}

/// An event's fields where they lie.
struct RawEvent<'a> {
    code: u8,
    version: u64,
    personal: Option<RawPersonal<'a>>,
    payload: &'a [u8],
    hash: Hash,
}

struct RawPersonal<'a> {
    key: [u8; 16],
    salt: [u8; 32],
    text: &'a str,
}

impl Opened<'_> {
    pub(crate) fn first_revision(&self) -> u64 {
        self.first_revision
    }

    /// Hands each event that is wanted by its position and revision to `take`.
    pub(crate) fn each(
        mut self,
        mut wanted: impl FnMut(u64, Revision) -> bool,
        mut take: impl FnMut(StoredEvent),
    ) -> Result<(), Damage> {
        for offset in 0..self.events {
            let position = self.first.saturating_add(offset.into());
            let revision = self.first_revision.saturating_add(offset.into());
            let damage = |what: String| {
                Damage::new(what)
                    .at(position)
                    .of(self.cause.call.as_str(), revision)
            };
            let raw = read_event(&mut self.left)
                .ok_or_else(|| damage("the event is damaged".to_owned()))?;
            if !wanted(position, Revision(revision)) {
                continue;
            }
            let index = self.first_index.saturating_add(offset.into());
            let recorded = self
                .recorded(raw, index, Revision(revision))
                .map_err(damage)?;
            let position = Position(position);
            take(StoredEvent { position, recorded });
        }
        self.ends()
    }

    fn ends(&self) -> Result<(), Damage> {
        if self.left.is_empty() {
            return Ok(());
        }
        let damage = Damage::new("something stands behind the command's last event");
        Err(damage
            .at(self.first)
            .of(self.cause.call.as_str(), self.first_revision))
    }

    fn recorded(
        &self,
        raw: RawEvent<'_>,
        index: u32,
        revision: Revision,
    ) -> Result<RecordedEvent, String> {
        let event_type = event_type(raw.code & !PERSONAL)
            .ok_or_else(|| format!("type {} is unknown to this program", raw.code & !PERSONAL))?;
        let payload = Payload {
            event_type,
            version: raw.version,
            bytes: raw.payload.into(),
        };
        let personal = raw.personal.map(|part| PersonalPart {
            key: KeyId(Uuid::from_bytes(part.key)),
            salt: part.salt,
            text: part.text.into(),
        });
        let event =
            stored::decode(&payload, personal.as_ref()).map_err(|error| error.to_string())?;
        Ok(RecordedEvent {
            cause: Arc::clone(&self.cause),
            index,
            revision,
            event,
            payload,
            personal,
            hash: raw.hash,
        })
    }
}

fn read_event<'a>(left: &mut Cursor<'a>) -> Option<RawEvent<'a>> {
    let code = left.byte()?;
    let version = left.varint()?;
    let personal = match code & PERSONAL {
        0 => None,
        _ => Some(RawPersonal {
            key: left.array()?,
            salt: left.array()?,
            text: left.text()?,
        }),
    };
    Some(RawEvent {
        code,
        version,
        personal,
        payload: left.counted()?,
        hash: Hash(left.array()?),
    })
}

/// The numbers under which types are stored. Frozen: a new type gets the next one, and none is ever used again.
macro_rules! type_codes {
    ($($code:literal = $name:ident,)*) => {
        fn type_code(event_type: EventType) -> u8 {
            match event_type {
                $(EventType::$name => $code,)*
            }
        }

        fn event_type(code: u8) -> Option<EventType> {
            match code {
                $($code => Some(EventType::$name),)*
                _ => None,
            }
        }
    };
}
type_codes! {
    1 = CallConnected,
    2 = ConsultRequested,
    3 = ConsultStarted,
    4 = ConsultEnded,
    5 = PartyJoined,
    6 = ConferenceStarted,
    7 = PartyHeld,
    8 = PartyReleased,
    9 = PartyLeft,
    10 = ControlTransferred,
    11 = ControlVacated,
    12 = ConferenceDissolved,
    13 = WrapUpAssistEntered,
    14 = CallEnded,
    15 = CallCompleted,
    16 = WrapUpOwed,
    17 = WrapUpApplied,
    18 = WrapUpSuggested,
    19 = MonitoringStarted,
    20 = SupervisorBargedIn,
    21 = MonitoringMoved,
    22 = MonitoringEnded,
}
