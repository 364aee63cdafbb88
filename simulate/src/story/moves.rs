//! How a conversation goes on: the next command, by the state the call is in.

use super::plan::{self, Answer, Chapter};
use super::{Story, by_agent, by_target, text};
use crate::staff::Staff;
use domain::call::{Consult, ConsultState, Phase, SEATS};
use domain::command::{HoldScope, Origin};
use domain::{
    Actor, AgentId, Command, CustomerNumber, DialNumber, Note, Party, Target, Timestamp,
    suggestion_recipients,
};

/// How often things happen, in a thousand.
const NUMBER_WITHHELD: u64 = 40;
const ANSWERED_WITHOUT_QUEUE: u64 = 15;
const CONNECTION_LOST: u64 = 3;
const CUSTOMER_GIVES_UP: u64 = 12;
const CUSTOMER_LEAVES_FIRST: u64 = 450;
const ANOTHER_CONSULTS: u64 = 250;
const EXPERT_CONSULTED: u64 = 250;
const OTHERS_TALK_ON: u64 = 200;
const SUGGESTS: u64 = 450;
const SUGGESTS_AGAIN: u64 = 80;
const NOTE_BESIDE_SUGGESTION: u64 = 400;

const NOTES: [&str; 5] = [
    "Agreed with the customer, nothing else is open.",
    "The customer will send the papers tomorrow.",
    "See the last three contacts: the same question.",
    "I take care of the rest.",
    "The expert recommends this reason.",
];

/// How a party leaves.
#[derive(Debug, Clone, Copy)]
enum Way {
    Exit,
    PressEnd,
    EndCall,
    HangUp,
}

const PRIMARY_OF_TWO: [(u64, Way); 3] = [(50, Way::EndCall), (42, Way::PressEnd), (8, Way::HangUp)];
const PRIMARY_OF_MORE: [(u64, Way); 4] = [
    (60, Way::Exit),
    (18, Way::EndCall),
    (16, Way::PressEnd),
    (6, Way::HangUp),
];
const CONFERENCED: [(u64, Way); 3] = [(55, Way::Exit), (25, Way::PressEnd), (20, Way::HangUp)];

impl Story {
    /// The next command of a call that is not over; the rules accept it.
    pub(super) fn goes_on(&mut self, at: Timestamp, staff: &mut Staff) -> Command {
        let Some(phase) = self.call.phase() else {
            return self.connects();
        };
        if self.random.chance(CONNECTION_LOST) {
            let party = self.anybody();
            return Command::LoseConnection { party };
        }
        if let Some(consult) = self.call.consult().cloned() {
            return self.consults(&consult, phase);
        }
        self.resumes()
            .or_else(|| self.begins(phase, at, staff))
            .unwrap_or_else(|| self.parts(phase))
    }

    fn connects(&mut self) -> Command {
        let agent = self.cast[0].id.clone();
        let known = !self.random.chance(NUMBER_WITHHELD);
        let queued = !self.random.chance(ANSWERED_WITHOUT_QUEUE);
        Command::ConnectCall {
            agent: agent.into(),
            customer: known.then(|| self.customer_number()),
            queue: queued.then(|| text(self.queue.name)),
        }
    }

    /// `555-0100` to `555-0199` belong to nobody in any area. The area is neither a service code (`.11`) nor toll-free.
    fn customer_number(&mut self) -> CustomerNumber {
        let area =
            100 * self.random.between(2, 7) + 10 * self.random.below(9) + self.random.between(2, 9);
        let line = self.random.below(100);
        text(&format!("+1{area}55501{line:02}"))
    }

    /// `020 7946 0000` to `0999` belong to nobody.
    pub(super) fn expert_number(&mut self) -> DialNumber {
        let line = self.random.below(1000);
        text(&format!("+442079460{line:03}"))
    }

    fn consults(&mut self, consult: &Consult, phase: Phase) -> Command {
        if phase != Phase::WrapUpAssist && self.random.chance(CUSTOMER_GIVES_UP) {
            return hang_up(Party::Customer);
        }
        match consult.state {
            ConsultState::Ringing => self.rings(consult),
            ConsultState::Answered => self.has_consulted(consult, phase),
        }
    }

    fn rings(&mut self, consult: &Consult) -> Command {
        let by = by_target(&consult.target);
        match self.answer {
            Answer::Accepted => Command::AcceptConsult { by },
            Answer::Declined => Command::DeclineConsult { by },
            Answer::Unanswered => Command::ConsultUnanswered,
            Answer::Cancelled => Command::EndConsult {
                by: by_agent(&consult.by),
            },
        }
    }

    fn has_consulted(&mut self, consult: &Consult, phase: Phase) -> Command {
        let by = by_agent(&consult.by);
        match (self.chapter, phase) {
            (Chapter::Conference(_), Phase::Talking | Phase::Conference) => {
                let origin = Origin::Desktop;
                Command::StartConference { by, origin }
            }
            (Chapter::Transfer, Phase::Talking) => Command::TransferCall { by },
            _ => self.ends_consult(consult),
        }
    }

    /// Mostly its initiator ends it, else the consulted party, by button or by phone.
    fn ends_consult(&mut self, consult: &Consult) -> Command {
        let by_phone = self.random.chance(300);
        if self.random.chance(600) {
            let by = by_agent(&consult.by);
            return Command::EndConsult { by };
        }
        match &consult.target {
            Target::Agent(agent) if !by_phone => Command::EndConsult {
                by: by_agent(agent),
            },
            target => hang_up(target.to_party()),
        }
    }

    /// Whoever holds somebody without need takes them back.
    fn resumes(&self) -> Option<Command> {
        self.call.seats().iter().find_map(|seat| {
            let hold = seat.hold.as_ref()?;
            Some(Command::Resume {
                by: by_agent(&hold.by),
                party: seat.party.clone(),
            })
        })
    }

    /// The next chapter that the call lets happen.
    fn begins(&mut self, phase: Phase, at: Timestamp, staff: &mut Staff) -> Option<Command> {
        let primary = self.call.primary()?.clone();
        while let Some(chapter) = self.chapters.pop() {
            self.chapter = chapter;
            let seats = self.call.seats().len();
            match (chapter, phase) {
                (_, Phase::WrapUpAssist | Phase::Ended)
                | (Chapter::Transfer, Phase::Conference) => {}
                (Chapter::Hold, _) => return Some(self.holds(&primary)),
                (Chapter::Conference(size), _) if seats >= size => {}
                _ if seats < SEATS => return Some(self.starts_consult(primary, at, staff)),
                _ => {}
            }
        }
        None
    }

    fn holds(&mut self, primary: &AgentId) -> Command {
        let seats = self.call.seats().iter().map(|seat| &seat.party);
        let others: Vec<Party> = seats
            .filter(|party| !party.is_agent(primary))
            .cloned()
            .collect();
        let party = self.random.pick(&others).cloned();
        Command::Hold {
            by: by_agent(primary),
            party: party.unwrap_or(Party::Customer),
        }
    }

    fn starts_consult(&mut self, primary: AgentId, at: Timestamp, staff: &mut Staff) -> Command {
        let by = match self.conferenced_agent() {
            Some(another) if self.random.chance(ANOTHER_CONSULTS) => another,
            Some(_) | None => primary,
        };
        self.answer = plan::answer(&mut self.random);
        let hold = if self.random.chance(OTHERS_TALK_ON) {
            HoldScope::None
        } else {
            HoldScope::Others
        };
        Command::StartConsult {
            by: by_agent(&by),
            target: self.target(at, staff),
            hold,
        }
    }

    /// A free agent, or an expert outside; if nobody is free, always an expert.
    fn target(&mut self, at: Timestamp, staff: &mut Staff) -> Target {
        if !self.random.chance(EXPERT_CONSULTED)
            && let Some(agent) = staff.take_agent(at)
        {
            let id = agent.id.clone();
            self.cast.push(agent);
            return Target::Agent(id);
        }
        loop {
            let number = self.expert_number();
            if !self.call.has(&Party::Dial(number.clone())) {
                return Target::Dial(number);
            }
        }
    }

    /// Somebody leaves, or suggests a reason first.
    fn parts(&mut self, phase: Phase) -> Command {
        if let Some(suggestion) = self.suggests() {
            return suggestion;
        }
        match self.leaver() {
            Party::Agent(agent) => self.agent_leaves(&agent, phase),
            party @ (Party::Customer | Party::Dial(_)) => hang_up(party),
        }
    }

    /// R49: an agent assists those who owe wrap-up, or will.
    fn suggests(&mut self) -> Option<Command> {
        let per_mille = self.suggested.as_ref().map_or(SUGGESTS, |_| SUGGESTS_AGAIN);
        let helper = self.helper().filter(|_| self.random.chance(per_mille))?;
        let reason = self.queue.reason(&mut self.random);
        self.suggested = Some(reason.clone());
        let noted = self.random.chance(NOTE_BESIDE_SUGGESTION);
        let note = self.random.pick(&NOTES).filter(|_| noted);
        Some(Command::SuggestWrapUp {
            by: by_agent(&helper),
            reason,
            note: note.map(|note| text::<Note>(note)),
        })
    }

    /// The first agent in the call whose suggestion would reach somebody.
    fn helper(&self) -> Option<AgentId> {
        let mut agents = self
            .call
            .seats()
            .iter()
            .filter_map(|seat| seat.party.agent());
        let reaches = |agent: &&AgentId| suggestion_recipients(&self.call, agent).next().is_some();
        agents.find(reaches).cloned()
    }

    fn leaver(&mut self) -> Party {
        if self.call.has(&Party::Customer) && self.random.chance(CUSTOMER_LEAVES_FIRST) {
            return Party::Customer;
        }
        let seats = self.call.seats().iter().map(|seat| &seat.party);
        let others: Vec<Party> = seats
            .filter(|party| **party != Party::Customer)
            .cloned()
            .collect();
        self.random
            .pick(&others)
            .cloned()
            .unwrap_or(Party::Customer)
    }

    fn agent_leaves(&mut self, agent: &AgentId, phase: Phase) -> Command {
        let primary = self.call.primary() == Some(agent);
        let way = match phase {
            Phase::Talking | Phase::Ended => self.random.weighted(&PRIMARY_OF_TWO),
            _ if primary => self.random.weighted(&PRIMARY_OF_MORE),
            Phase::Conference | Phase::WrapUpAssist => self.random.weighted(&CONFERENCED),
        };
        let by: Actor = by_agent(agent);
        match way {
            Way::Exit => Command::ExitConference { by },
            Way::PressEnd => Command::PressEnd { by },
            Way::EndCall => Command::EndCall { by },
            Way::HangUp => hang_up(Party::Agent(agent.clone())),
        }
    }

    /// Anybody connected, a consulted party too.
    fn anybody(&mut self) -> Party {
        let seats = self.call.seats().iter().map(|seat| seat.party.clone());
        let mut parties: Vec<Party> = seats.collect();
        if self.consult_is_answered() {
            parties.extend(self.call.consult().map(|consult| consult.target.to_party()));
        }
        self.random
            .pick(&parties)
            .cloned()
            .unwrap_or(Party::Customer)
    }
}

fn hang_up(party: Party) -> Command {
    Command::HangUp { party }
}
