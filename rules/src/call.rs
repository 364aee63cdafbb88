//! A call as its history tells it: who is there, who controls, who owes what.

use crate::event::{EndCause, LeaveReason};
use crate::ids::{AgentId, Party, Queue, Reason, Revision, SupervisorId, Target};
use crate::table::named;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// R2: how many parties a call seats, customer and starting agent included.
pub const SEATS: usize = 8;

/// One customer contact, rebuilt from its events; a default one is a call nobody wrote to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Call {
    pub(crate) revision: Revision,
    pub(crate) last_at: Timestamp,
    pub(crate) record: Record,
    pub(crate) stage: Stage,
}

/// What stays known of a call whether it goes on or is over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) answered_at: Timestamp,
    pub(crate) phase_since: Timestamp,
    pub(crate) queue: Option<Queue>,
    pub(crate) departures: Vec<Departure>,
    pub(crate) wrap_ups: Vec<WrapUp>,
}

/// What a call can be: only a live one has parties, a consult or supervisors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Stage {
    #[default]
    Unopened,
    Live(Live),
    Ended(Ended),
}

/// A call that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) roster: Roster,
    /// R14: there is room for one.
    pub(crate) consult: Option<Consult>,
    pub(crate) sessions: Vec<Session>,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) cause: EndCause,
    pub(crate) completed_at: Option<Timestamp>,
}

/// A party's last leaving of the main call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Who left.
    pub party: Party,
    /// How.
    pub reason: LeaveReason,
    /// When.
    pub at: Timestamp,
}

/// A party's place in the main call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Who sits there.
    pub party: Party,
    /// Since when: tenure counts from here.
    pub joined_at: Timestamp,
    /// The hold the party is on, if any; a held party keeps its seat (R19).
    pub hold: Option<Hold>,
}

/// A hold; only agents place one (R18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who placed it.
    pub by: AgentId,
    /// Since when.
    pub since: Timestamp,
}

/// A private leg between an agent of the call and somebody outside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consult {
    /// The agent who started it.
    pub by: AgentId,
    /// Who is consulted.
    pub target: Target,
    /// Whom it held when it was requested.
    pub hold: crate::command::HoldScope,
    /// Since when it rings, or was answered.
    pub since: Timestamp,
    /// Whether it was answered.
    pub state: ConsultState,
}

named!(
    /// Whether a consult was answered.
    ConsultState {
        /// It rings; the target counts for nothing yet (R34).
        Ringing = "ringing",
        /// It was answered; the target counts as a party (R34).
        Answered = "answered",
    }
);

/// A supervisor's session on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub supervisor: SupervisorId,
    /// Through which agent.
    pub agent: AgentId,
    /// Listening or speaking.
    pub mode: Mode,
    /// When it began.
    pub since: Timestamp,
}

named!(
    /// What a supervisor does on a call.
    Mode {
        /// Listens.
        Monitoring = "monitoring",
        /// Speaks too.
        BargedIn = "barged_in",
    }
);

/// Work after the call that an agent owes, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapUp {
    /// Who owes it.
    pub agent: AgentId,
    /// Since when.
    pub since: Timestamp,
    /// How the agent had left.
    pub why: LeaveReason,
    /// Owed, or settled with what.
    pub state: WrapUpState,
}

/// Where a wrap-up stands: settled once and for good (R51).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrapUpState {
    /// No reason was applied yet.
    Owed,
    /// Settled.
    Applied {
        /// With this reason.
        reason: Reason,
        /// At this time.
        at: Timestamp,
    },
}

named!(
    /// What a call is in; derived from who is there.
    Phase {
        /// Two parties talk.
        Talking = "talking",
        /// The customer and two or more others (R4).
        Conference = "conference",
        /// The customer is gone, two or more talk on (R45).
        WrapUpAssist = "wrap_up_assist",
        /// The call is over.
        Ended = "ended",
    }
);

impl Call {
    /// How many events it has.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The time of its last event.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// When the first agent answered.
    pub fn answered_at(&self) -> Timestamp {
        self.record.answered_at
    }

    /// Since when it is in its phase.
    pub fn phase_since(&self) -> Timestamp {
        self.record.phase_since
    }

    /// The queue or skill it came through.
    pub fn queue(&self) -> Option<&Queue> {
        self.record.queue.as_ref()
    }

    /// What it is in, in the order Ended, `WrapUpAssist`, Conference, Talking; `None` if nobody opened it.
    pub fn phase(&self) -> Option<Phase> {
        match &self.stage {
            Stage::Unopened => None,
            Stage::Live(live) => Some(live.phase()),
            Stage::Ended(_) => Some(Phase::Ended),
        }
    }

    /// The parties in the main call, longest tenure first.
    pub fn seats(&self) -> &[Seat] {
        self.live().map_or(&[], |live| live.roster.seats())
    }

    /// The agent who controls the call.
    pub fn primary(&self) -> Option<&AgentId> {
        self.live()?.roster.primary()
    }

    /// The consult that rings or was answered.
    pub fn consult(&self) -> Option<&Consult> {
        self.live()?.consult.as_ref()
    }

    /// The supervisors on the call, in the order their sessions began.
    pub fn sessions(&self) -> &[Session] {
        self.live().map_or(&[], |live| &live.sessions)
    }

    /// All wrap-ups, owed and settled, in the order they arose.
    pub fn wrap_ups(&self) -> &[WrapUp] {
        &self.record.wrap_ups
    }

    /// Who has left the main call, each with the last time they did.
    pub fn departures(&self) -> &[Departure] {
        &self.record.departures
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ended().map(|ended| ended.at)
    }

    /// Why it ended.
    pub fn end_cause(&self) -> Option<EndCause> {
        self.ended().map(|ended| ended.cause)
    }

    /// When it had ended and every wrap-up was settled (R52).
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.ended().and_then(|ended| ended.completed_at)
    }

    /// Whether it goes on.
    pub fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// The agent's wrap-up that no reason was applied to; there is at most one (R50).
    pub fn open_wrap_up(&self, agent: &AgentId) -> Option<&WrapUp> {
        self.open_wrap_ups().find(|wrap_up| wrap_up.agent == *agent)
    }

    /// Every wrap-up that no reason was applied to.
    pub fn open_wrap_ups(&self) -> impl Iterator<Item = &WrapUp> {
        let owed = |wrap_up: &&WrapUp| wrap_up.state == WrapUpState::Owed;
        self.record.wrap_ups.iter().filter(owed)
    }

    /// Whether the party is in the main call; one on a consult leg is not.
    pub fn has(&self, party: &Party) -> bool {
        self.live().is_some_and(|live| live.roster.has(party))
    }

    /// Whether the party was in the main call and has left it at least once.
    pub fn had(&self, party: &Party) -> bool {
        let departures = &self.record.departures;
        departures.iter().any(|departure| departure.party == *party)
    }

    pub(crate) fn live(&self) -> Option<&Live> {
        match &self.stage {
            Stage::Live(live) => Some(live),
            Stage::Unopened | Stage::Ended(_) => None,
        }
    }

    fn ended(&self) -> Option<&Ended> {
        match &self.stage {
            Stage::Ended(ended) => Some(ended),
            Stage::Unopened | Stage::Live(_) => None,
        }
    }
}

impl Live {
    /// R4, R45: derived from who is there, an answered leg counted once the customer is gone.
    pub(crate) fn phase(&self) -> Phase {
        if !self.roster.has(&Party::Customer) {
            Phase::WrapUpAssist
        } else if self.roster.seats.len() >= 3 {
            Phase::Conference
        } else {
            Phase::Talking
        }
    }

    /// The answered leg, whose target counts as a party (R34).
    pub(crate) fn answered_leg(&self) -> Option<&Consult> {
        let consult = self.consult.as_ref()?;
        (consult.state == ConsultState::Answered).then_some(consult)
    }

    pub(crate) fn session(&self, supervisor: &SupervisorId) -> Option<&Session> {
        let mut sessions = self.sessions.iter();
        sessions.find(|session| session.supervisor == *supervisor)
    }
}

/// The seats of a live call in the order of tenure. The primary is one of the seats, so it cannot be somebody outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Roster {
    seats: Vec<Seat>,
    primary: Option<usize>,
}

impl Roster {
    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(crate) fn seat(&self, party: &Party) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.party == *party)
    }

    pub(crate) fn has(&self, party: &Party) -> bool {
        self.seat(party).is_some()
    }

    pub(crate) fn primary(&self) -> Option<&AgentId> {
        self.seats.get(self.primary?)?.party.agent()
    }

    /// R13 and R24 count on it: who joins sits last, and rejoining starts tenure anew.
    pub(crate) fn join(&mut self, party: Party, at: Timestamp) {
        self.seats.push(Seat {
            party,
            joined_at: at,
            hold: None,
        });
    }

    pub(crate) fn leave(&mut self, party: &Party) {
        let Some(left) = self.seats.iter().position(|seat| seat.party == *party) else {
            return;
        };
        self.seats.remove(left);
        self.primary = match self.primary {
            Some(index) if index == left => None,
            Some(index) if index > left => Some(index - 1),
            unmoved => unmoved,
        };
    }

    /// Only an agent in the call can take control; anybody else leaves it with nobody.
    pub(crate) fn take_control(&mut self, agent: &AgentId) {
        self.primary = self
            .seats
            .iter()
            .position(|seat| seat.party.is_agent(agent));
    }

    pub(crate) fn set_hold(&mut self, party: &Party, hold: Option<Hold>) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.party == *party) {
            seat.hold = hold;
        }
    }
}
