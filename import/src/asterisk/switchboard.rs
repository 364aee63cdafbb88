//! The switchboard as the events draw it: which legs there are, which call each belongs to, and who hears whom.

use super::reading::{Capture, Queueing, Seen, Sighting, What};
use domain::Timestamp;
use std::collections::{HashMap, HashSet};

/// All legs of a capture and what happened between them.
#[derive(Default)]
pub(super) struct Switchboard {
    legs: Vec<Leg>,
    by_id: HashMap<String, LegNo>,
    /// The halves of each internal pipe, both ways.
    pipes: HashMap<LegNo, LegNo>,
    bridges: HashMap<String, Vec<LegNo>>,
    lines: Lines,
    met: HashSet<[LegNo; 2]>,
    meetings: Vec<Meeting>,
    transfers: Vec<Transfer>,
}

/// A leg of a switchboard, by its place in the order of appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LegNo(usize);

/// One channel.
pub(super) struct Leg {
    /// The `Uniqueid`.
    id: String,
    /// The `Linkedid` it began with; a transfer changes it later.
    pub(super) call: String,
    pub(super) channel: String,
    pub(super) end: End,
    /// The number it shows, until it talks to somebody: later ones belong to whoever it is connected to.
    pub(super) number: Option<String>,
    pub(super) queue: Option<Queueing>,
    pub(super) created: Moment,
    pub(super) origin: Origin,
    /// How its last ringing ended.
    pub(super) rang: Option<String>,
    /// Where its telephone sent the call instead of ringing.
    pub(super) forwarded_to: Option<String>,
    talked: bool,
    bridge: Option<String>,
    /// When it last left a bridge for no other, or was hung up.
    pub(super) gone: Option<Moment>,
    pub(super) hung_up: bool,
}

/// What is at the far end of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// A telephone of the contact centre, by its account code.
    Inside(String),
    /// A line to the outside.
    Outside,
    /// The other half of an internal pipe: nobody's telephone.
    Pipe,
    /// The capture begins after the leg did, so nobody can tell.
    Unknown,
}

/// How a leg came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its telephone called.
    Called,
    /// Another leg called it.
    Dialled,
    /// The telephone system called it by itself: click-to-dial.
    Originated,
    /// It called to take over what rang elsewhere.
    PickedUp,
}

/// The place of an event in the capture, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    event: usize,
    pub(super) at: Timestamp,
}

/// The first time two telephones heard each other.
pub(super) struct Meeting {
    pub(super) pair: [LegNo; 2],
    pub(super) when: Moment,
}

/// Somebody passed a call on.
pub(super) struct Transfer {
    /// The legs of whoever did it.
    pub(super) by: Vec<LegNo>,
    pub(super) kind: TransferKind,
    pub(super) succeeded: bool,
    pub(super) when: Moment,
}

/// How a call was passed on.
pub(super) enum TransferKind {
    /// To somebody who was talked to before.
    Answered,
    /// Into the dialling of somebody who had not answered.
    Ringing,
    /// To an extension, without talking to anybody there.
    Blind(String),
    /// In a way that no capture so far shows.
    Other(String),
}

/// One call: the legs whose `Linkedid` is or became the same.
pub(super) struct Call<'a> {
    board: &'a Switchboard,
    pub(super) legs: Vec<LegNo>,
    pub(super) meetings: Vec<&'a Meeting>,
    pub(super) transfers: Vec<&'a Transfer>,
}

impl Switchboard {
    pub(super) fn draw(capture: &Capture) -> Self {
        let mut board = Self::default();
        for (event, Sighting { at, what }) in capture.sightings.iter().enumerate() {
            board.see(what, Moment { event, at: *at });
        }
        board
    }

    /// The calls, in the order in which they appear.
    pub(super) fn calls(&self) -> Vec<Call<'_>> {
        let mut calls: Vec<Call> = Vec::new();
        let mut places = HashMap::new();
        for no in (0..self.legs.len()).map(LegNo) {
            let place = *places.entry(self.line_of(no)).or_insert_with(|| {
                calls.push(Call {
                    board: self,
                    legs: vec![],
                    meetings: vec![],
                    transfers: vec![],
                });
                calls.len() - 1
            });
            calls[place].legs.push(no);
        }
        for meeting in &self.meetings {
            calls[places[&self.line_of(meeting.pair[0])]]
                .meetings
                .push(meeting);
        }
        for transfer in &self.transfers {
            calls[places[&self.line_of(transfer.by[0])]]
                .transfers
                .push(transfer);
        }
        calls
    }

    fn line_of(&self, leg: LegNo) -> usize {
        self.lines.root(self.lines.by_id[&self.legs[leg.0].call])
    }

    fn see(&mut self, what: &What, now: Moment) {
        match what {
            What::Created {
                leg,
                account,
                number,
            } => self.create(leg, account, number, now),
            What::Numbered { leg, number } => {
                let leg = self.leg(leg, now);
                self.show_number(leg, number);
            }
            What::Piped { one, two } => self.pipe(one, two, now),
            What::Dialled { by, to } => self.dial(by.as_ref(), to, now),
            What::DialEnded {
                to,
                status,
                forward,
            } => {
                let leg = self.leg(to, now);
                self.legs[leg.0].rang = Some(status.clone());
                self.legs[leg.0].forwarded_to.clone_from(forward);
            }
            What::Entered {
                leg,
                bridge,
                instead_of,
            } => {
                self.make_room(instead_of.as_deref(), now);
                self.enter(leg, bridge, now);
            }
            What::Left { leg, bridge } => self.leave(leg, bridge, now),
            What::HungUp { leg } => self.hang_up(leg, now),
            What::TransferredAttended {
                first,
                second,
                into,
                result,
            } => {
                let kind = match into.as_str() {
                    "Bridge" | "Link" => TransferKind::Answered,
                    "App" => TransferKind::Ringing,
                    other => TransferKind::Other(other.to_owned()),
                };
                self.transfer(&[first, second], kind, result, now);
            }
            What::TransferredBlindly { by, to, result } => {
                self.transfer(&[by], TransferKind::Blind(to.clone()), result, now);
            }
            What::PickedUp { by } => {
                let leg = self.leg(by, now);
                self.legs[leg.0].origin = Origin::PickedUp;
            }
            What::Mentioned { leg } => {
                leg.as_ref().map(|leg| self.leg(leg, now));
            }
        }
    }

    /// The leg an event shows, with what every event tells about it.
    fn leg(&mut self, seen: &Seen, now: Moment) -> LegNo {
        let no = *self.by_id.entry(seen.leg.clone()).or_insert_with(|| {
            self.legs.push(Leg::first_seen(seen, now));
            LegNo(self.legs.len() - 1)
        });
        let leg = &mut self.legs[no.0];
        self.lines.join(&leg.call, &seen.call);
        if !matches!(leg.queue, Some(Queueing::Named(_))) && seen.queue.is_some() {
            leg.queue.clone_from(&seen.queue);
        }
        no
    }

    fn create(&mut self, seen: &Seen, account: &str, number: &str, now: Moment) {
        let leg = self.leg(seen, now);
        if self.legs[leg.0].end == End::Unknown {
            self.legs[leg.0].end = match account {
                "" => End::Outside,
                account => End::Inside(account.to_owned()),
            };
        }
        self.legs[leg.0].created = now;
        self.show_number(leg, number);
    }

    fn show_number(&mut self, leg: LegNo, number: &str) {
        let leg = &mut self.legs[leg.0];
        if !leg.talked {
            leg.number = Some(number.to_owned());
        }
    }

    fn pipe(&mut self, one: &Seen, two: &Seen, now: Moment) {
        let (one, two) = (self.leg(one, now), self.leg(two, now));
        self.pipes.insert(one, two);
        self.pipes.insert(two, one);
        self.note_meetings(one, now);
    }

    fn dial(&mut self, by: Option<&Seen>, to: &Seen, now: Moment) {
        let by = by.map(|by| self.leg(by, now));
        let to = self.leg(to, now);
        if let Some(by) = by {
            self.join_calls(by, to);
        }
        let leg = &mut self.legs[to.0];
        leg.origin = match (leg.origin, by) {
            (Origin::Called, None) => Origin::Originated,
            // Only a pick-up makes a telephone that called by itself the target of a dial.
            (Origin::Called, Some(_)) if leg.is_telephone() && leg.began_a_call() => {
                Origin::PickedUp
            }
            (Origin::Called, Some(_)) => Origin::Dialled,
            (known, _) => known,
        };
    }

    fn enter(&mut self, seen: &Seen, bridge: &str, now: Moment) {
        let no = self.leg(seen, now);
        self.leave_bridge(no);
        self.legs[no.0].bridge = Some(bridge.to_owned());
        self.legs[no.0].gone = None;
        self.bridges.entry(bridge.to_owned()).or_default().push(no);
        self.note_meetings(no, now);
    }

    /// Whoever is swapped out of a bridge does not hear who comes in instead.
    fn make_room(&mut self, instead_of: Option<&str>, now: Moment) {
        let Some(&swapped) = instead_of.and_then(|id| self.by_id.get(id)) else {
            return;
        };
        if self.legs[swapped.0].bridge.is_some() {
            self.leave_bridge(swapped);
            self.legs[swapped.0].gone = Some(now);
        }
    }

    /// A leg that is already in the next bridge has not left.
    fn leave(&mut self, seen: &Seen, bridge: &str, now: Moment) {
        let no = self.leg(seen, now);
        if self.legs[no.0].bridge.as_deref() == Some(bridge) {
            self.leave_bridge(no);
            self.legs[no.0].gone = Some(now);
        }
    }

    fn hang_up(&mut self, seen: &Seen, now: Moment) {
        let no = self.leg(seen, now);
        self.leave_bridge(no);
        self.legs[no.0].gone.get_or_insert(now);
        self.legs[no.0].hung_up = true;
    }

    fn leave_bridge(&mut self, no: LegNo) {
        let Some(bridge) = self.legs[no.0].bridge.take() else {
            return;
        };
        if let Some(there) = self.bridges.get_mut(&bridge) {
            there.retain(|&other| other != no);
        }
    }

    fn transfer(&mut self, by: &[&Seen], kind: TransferKind, result: &str, now: Moment) {
        let by: Vec<LegNo> = by.iter().map(|leg| self.leg(leg, now)).collect();
        for pair in by.windows(2) {
            self.join_calls(pair[0], pair[1]);
        }
        self.transfers.push(Transfer {
            by,
            kind,
            succeeded: result == "Success",
            when: now,
        });
    }

    fn note_meetings(&mut self, about: LegNo, now: Moment) {
        let hearing = self.hearing(about);
        for (place, &one) in hearing.iter().enumerate() {
            for &other in &hearing[place + 1..] {
                self.note_meeting(one, other, now);
            }
        }
    }

    fn note_meeting(&mut self, one: LegNo, other: LegNo, now: Moment) {
        let pair = [one.min(other), one.max(other)];
        if self.met.insert(pair) {
            self.meetings.push(Meeting { pair, when: now });
            self.join_calls(one, other);
            for no in pair {
                self.legs[no.0].talked = true;
            }
        }
    }

    fn join_calls(&mut self, one: LegNo, other: LegNo) {
        self.lines
            .join(&self.legs[one.0].call, &self.legs[other.0].call);
    }

    /// The telephones that hear each other through the bridge this leg is in and the pipes that lead on from it.
    fn hearing(&self, from: LegNo) -> Vec<LegNo> {
        let mut reached = HashSet::from([from]);
        let mut ahead = vec![from];
        let mut telephones = Vec::new();
        while let Some(no) = ahead.pop() {
            let Some(bridge) = &self.legs[no.0].bridge else {
                continue;
            };
            if self.legs[no.0].is_telephone() {
                telephones.push(no);
            }
            let others = self.bridges[bridge].iter().chain(self.pipes.get(&no));
            ahead.extend(others.copied().filter(|&other| reached.insert(other)));
        }
        telephones
    }
}

impl Leg {
    fn first_seen(seen: &Seen, now: Moment) -> Self {
        let pipe = seen.channel.starts_with("Local/");
        Self {
            id: seen.leg.clone(),
            call: seen.call.clone(),
            channel: seen.channel.clone(),
            end: if pipe { End::Pipe } else { End::Unknown },
            number: None,
            queue: None,
            created: now,
            origin: Origin::Called,
            rang: None,
            forwarded_to: None,
            talked: false,
            bridge: None,
            gone: None,
            hung_up: false,
        }
    }

    pub(super) fn is_telephone(&self) -> bool {
        self.end != End::Pipe
    }

    fn began_a_call(&self) -> bool {
        self.id == self.call
    }
}

impl Call<'_> {
    pub(super) fn leg(&self, no: LegNo) -> &Leg {
        &self.board.legs[no.0]
    }

    /// The `Linkedid` it is known by as long as nobody knows who the customer is.
    pub(super) fn linkedid(&self) -> &str {
        &self.leg(self.legs[0]).call
    }

    pub(super) fn telephones(&self) -> impl Iterator<Item = &Leg> {
        self.legs
            .iter()
            .map(|&no| self.leg(no))
            .filter(|leg| leg.is_telephone())
    }

    /// Click-to-dial: the telephone system called the first telephone by itself.
    pub(super) fn is_originated(&self) -> bool {
        self.legs
            .iter()
            .any(|&no| self.leg(no).origin == Origin::Originated)
    }

    /// Who took over what rang elsewhere.
    pub(super) fn picked_up_by(&self) -> Option<&Leg> {
        self.telephones().find(|leg| leg.origin == Origin::PickedUp)
    }

    /// When these two first heard each other.
    pub(super) fn meeting_of(&self, one: LegNo, other: LegNo) -> Option<&Meeting> {
        let pair = [one.min(other), one.max(other)];
        self.meetings
            .iter()
            .find(|meeting| meeting.pair == pair)
            .copied()
    }
}

impl Meeting {
    /// Whom that leg met, if it was one of the two.
    pub(super) fn other_than(&self, leg: LegNo) -> Option<LegNo> {
        match self.pair {
            [one, other] if one == leg => Some(other),
            [one, other] if other == leg => Some(one),
            _ => None,
        }
    }
}

/// `Linkedid`s that turned out to be one call.
#[derive(Default)]
struct Lines {
    by_id: HashMap<String, usize>,
    /// For each the one it was joined to; itself if it stands for all that were joined to it.
    joined_to: Vec<usize>,
}

impl Lines {
    fn number(&mut self, call: &str) -> usize {
        if let Some(&known) = self.by_id.get(call) {
            return known;
        }
        let new = self.joined_to.len();
        self.joined_to.push(new);
        self.by_id.insert(call.to_owned(), new);
        new
    }

    fn root(&self, mut line: usize) -> usize {
        while self.joined_to[line] != line {
            line = self.joined_to[line];
        }
        line
    }

    fn join(&mut self, one: &str, other: &str) {
        let (one, other) = (self.number(one), self.number(other));
        let (one, other) = (self.root(one), self.root(other));
        self.joined_to[one.max(other)] = one.min(other);
    }
}
