//! Reading: the groups of a block, and their events.

use super::format::{
    ACTOR_SHIFT, CORRELATED, GROUP_COUNTS, HEADER_BYTES, LATER_PART, LAYOUT, PERSONAL, REPORTED,
    RESERVED, checksum,
};
use crate::bytes::Cursor;
use crate::damage::Damage;
use domain::envelope::{Digest, Hash, PersonalPart};
use domain::event::EventType;
use domain::stored::{self, Payload};
use domain::{
    Actor, CallId, Cause, CommandId, KeyId, Party, Position, RecordedEvent, Revision, StoredEvent,
    Timestamp,
};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

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
        if let Ok(group) = group.open() {
            group.each_intact(|event| events.push(event));
        }
    }
    events
}

/// Decodes the events of a damaged block that can still be read, wherever they stand: the caller compares each event
/// with what is known of it.
#[derive(Default)]
pub(crate) struct Fragments {
    pub(crate) events: Vec<RecordedEvent>,
    /// The calls that are named there. An altered name may be that of another call.
    pub(crate) calls: HashSet<CallId>,
}

impl Fragments {
    /// Takes in what a block holds. Where a group's counts are damaged, the next group is looked for byte by byte.
    pub(crate) fn take(&mut self, block: &[u8]) {
        let mut left = Cursor::new(block.get(HEADER_BYTES..).unwrap_or_default());
        while !left.is_empty() {
            let here = left;
            let group = read_group(&mut left, 0);
            if !group.is_some_and(|group| self.take_group(group)) {
                left = here;
                left.byte();
            }
        }
    }

    /// Whether the group ends with its last event, so that the next one begins there.
    fn take_group(&mut self, group: Group<'_>) -> bool {
        let Ok(raw) = group.raw() else {
            return false;
        };
        self.calls.extend(group.call_id());
        if let Ok(opened) = group.open() {
            opened.each_intact(|event| self.events.push(event.recorded));
        }
        raw.each_raw(|_| ()).is_ok()
    }
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

    /// Its call, if what stands there is a call's identifier.
    pub(crate) fn call_id(&self) -> Option<CallId> {
        call_id(self.call)
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

fn call_id(text: &str) -> Option<CallId> {
    CallId::try_from(SmolStr::new(text)).ok()
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
            call: call_id(call)?,
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
        let known =
            last.and_then(|(code, hash)| Some((EventType::numbered(code & !PERSONAL)?, hash)));
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
            let (position, revision) = self.place(offset);
            let damage = |what: String| {
                let call = self.cause.call.as_str();
                Damage::new(what).at(position.0).of(call, revision.0)
            };
            let raw = read_event(&mut self.left);
            let raw = raw.ok_or_else(|| damage("the event is damaged".to_owned()))?;
            if wanted(position.0, revision) {
                take(self.stored(raw, offset).map_err(damage)?);
            }
        }
        self.ends()
    }

    /// Hands each event that can be decoded to `take`, also those after one that cannot.
    fn each_intact(mut self, mut take: impl FnMut(StoredEvent)) {
        for offset in 0..self.events {
            let Some(raw) = read_event(&mut self.left) else {
                return;
            };
            if let Ok(event) = self.stored(raw, offset) {
                take(event);
            }
        }
    }

    fn place(&self, offset: u16) -> (Position, Revision) {
        let position = self.first.saturating_add(offset.into());
        let revision = self.first_revision.saturating_add(offset.into());
        (Position(position), Revision(revision))
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

    fn stored(&self, raw: RawEvent<'_>, offset: u16) -> Result<StoredEvent, String> {
        let (position, revision) = self.place(offset);
        let event_type = EventType::numbered(raw.code & !PERSONAL)
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
        let recorded = RecordedEvent {
            cause: Arc::clone(&self.cause),
            index: self.first_index.saturating_add(offset.into()),
            revision,
            event,
            payload,
            personal,
            hash: raw.hash,
        };
        Ok(StoredEvent { position, recorded })
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
