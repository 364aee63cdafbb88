//! One call, from its answer until nobody owes wrap-up: each step looks at the state the call is in, and asks for what
//! may come next.

mod mistakes;
mod moves;
mod plan;

use super::agenda::{Agenda, Due, Step};
use super::queues::QueueMix;
use super::random::Random;
use super::staff::{Agent, Staff};
use domain::call::{ConsultState, Phase};
use domain::event::ConsultEnd;
use domain::{
    Actor, AgentId, Call, CallId, Command, Correlation, Event, GivenReason, Party, Request,
    SupervisorId, Target, Timestamp, barge_in_allowed, decide, evolve, monitoring_allowed,
};
use plan::{Answer, Chapter};

const SECOND_MS: u64 = 1000;

/// How long a conversation of its kind lasts, at the median.
const HOLD_MS: u64 = 40 * SECOND_MS;
const CONSULT_MS: u64 = 45 * SECOND_MS;
const CONFERENCE_MS: u64 = 55 * SECOND_MS;
const WRAP_UP_ASSIST_MS: u64 = 20 * SECOND_MS;
const LISTENING_MS: u64 = 70 * SECOND_MS;
const SPEAKING_MS: u64 = 50 * SECOND_MS;

/// How often things happen, in a thousand.
const MONITORED: u64 = 50;
const CONFERENCE_MONITORED: u64 = 180;
const LISTENS_TO_ANOTHER: u64 = 200;
const BARGES_IN: u64 = 350;
const CONSULTS_AGAIN: u64 = 850;
const SUGGESTION_TAKEN: u64 = 700;
const NEVER_WRAPPED_UP: u64 = 4;

/// A call that is being told.
pub(super) struct Story {
    number: u64,
    id: CallId,
    correlation: Correlation,
    queue: &'static QueueMix,
    random: Random,
    /// What the rules have made of the commands so far.
    call: Call,
    /// The agents whom the call keeps busy.
    cast: Vec<Agent>,
    /// What is still to happen, the next one last.
    chapters: Vec<Chapter>,
    /// What is happening.
    chapter: Chapter,
    /// What becomes of the consult that rings.
    answer: Answer,
    /// How long is talked between two chapters, about.
    talk_ms: u64,
    suggested: Option<GivenReason>,
    steps_due: u32,
}

impl Story {
    /// Tells the call with this number, which the agent answers.
    pub(super) fn new(seed: u64, number: u64, agent: Agent) -> Self {
        let mut random = Random::new(seed, number);
        let queue = QueueMix::any(&mut random);
        let chapters = plan::chapters(queue, &mut random);
        let talk_ms = random.spread(queue.talk_ms) / (chapters.len() as u64 + 1);
        Self {
            number,
            id: text(&format!("sim-{seed}-{number:06}")),
            correlation: text(&format!("synthetic-day-{seed}")),
            queue,
            random,
            call: Call::default(),
            cast: vec![agent],
            chapters,
            chapter: Chapter::Hold,
            answer: Answer::Accepted,
            talk_ms,
            suggested: None,
            steps_due: 0,
        }
    }

    pub(super) fn plan(&mut self, agenda: &mut Agenda, at: Timestamp, step: Step) {
        self.steps_due += 1;
        agenda.plan(at, Due::Step(self.number, step));
    }

    /// Whether nothing more happens in it.
    pub(super) fn is_told(&self) -> bool {
        self.steps_due == 0
    }

    /// Takes the step, or makes a mistake first and takes it a little later.
    pub(super) fn play(
        &mut self,
        step: Step,
        at: Timestamp,
        staff: &mut Staff,
        agenda: &mut Agenda,
    ) -> Option<Request> {
        self.steps_due -= 1;
        if let Some(mistake) = self.mistake(staff) {
            let later = at.plus_millis(self.random.between(SECOND_MS, 5 * SECOND_MS));
            self.plan(agenda, later, step);
            // A refused command is decided anew whenever it is sent. With the revision its sender saw, a day that was
            // cut off can be applied again from its beginning without a mistake coming true later.
            let expect = Some(self.call.revision());
            let request = self.request(mistake, at);
            return Some(Request { expect, ..request });
        }
        let command = self.command(&step, at, staff);
        if let Step::WrapUp(agent) = &step {
            self.free(agent, at, agenda);
        }
        let command = command?;
        let events = self.happen(&command, at);
        self.plan_after(&step, &command, at, agenda);
        for event in &events {
            self.follow_up(event, &events, at, staff, agenda);
        }
        Some(self.request(command, at))
    }

    fn command(&mut self, step: &Step, at: Timestamp, staff: &mut Staff) -> Option<Command> {
        match step {
            Step::Next => Some(self.goes_on(at, staff)),
            Step::Listen => self.listens(staff),
            Step::Supervise(supervisor) => self.supervises(supervisor),
            Step::WrapUp(agent) => self.wraps_up(agent),
        }
    }

    fn happen(&mut self, command: &Command, at: Timestamp) -> Vec<Event> {
        let decided = decide(&self.call, command);
        debug_assert!(decided.is_ok(), "{:?}: {command:?}: {decided:?}", self.id);
        let events = decided.unwrap_or_default();
        for event in &events {
            self.call = evolve(std::mem::take(&mut self.call), event, at);
        }
        events
    }

    /// Facts of the telephone network know nothing of the correlation, only what people ask for and the call's opening.
    fn request(&mut self, command: Command, at: Timestamp) -> Request {
        let correlation = match command {
            Command::HangUp { .. }
            | Command::LoseConnection { .. }
            | Command::ConsultUnanswered => None,
            _ => Some(self.correlation.clone()),
        };
        Request {
            call: self.id.clone(),
            id: Some(self.random.command_id()),
            at: Some(at),
            correlation,
            expect: None,
            command,
        }
    }

    /// A supervisor begins to listen, mostly to the primary.
    fn listens(&mut self, staff: &mut Staff) -> Option<Command> {
        monitoring_allowed(&self.call).ok()?;
        let primary = self.call.primary()?.clone();
        let supervisor = staff.take_supervisor()?;
        let agent = match self.conferenced_agent() {
            Some(another) if self.random.chance(LISTENS_TO_ANOTHER) => another,
            Some(_) | None => primary,
        };
        Some(Command::StartMonitoring {
            by: Actor::Supervisor(supervisor),
            agent: agent.into(),
        })
    }

    /// Speaks in, or stops; nothing, if the session went with the call.
    fn supervises(&mut self, supervisor: &SupervisorId) -> Option<Command> {
        let mut sessions = self.call.sessions().iter();
        let session = sessions.find(|session| session.supervisor == *supervisor)?;
        let may_speak = barge_in_allowed(&self.call, session).is_ok();
        let by = Actor::Supervisor(supervisor.clone());
        Some(if may_speak && self.random.chance(BARGES_IN) {
            Command::BargeIn { by }
        } else {
            Command::StopMonitoring { by }
        })
    }

    /// Some reasons are never given.
    fn wraps_up(&mut self, agent: &AgentId) -> Option<Command> {
        self.call.open_wrap_up(agent)?;
        if self.random.chance(NEVER_WRAPPED_UP) {
            return None;
        }
        Some(Command::ApplyWrapUp {
            by: by_agent(agent),
            reason: self.reason(),
        })
    }

    fn reason(&mut self) -> GivenReason {
        match &self.suggested {
            Some(suggested) if self.random.chance(SUGGESTION_TAKEN) => suggested.clone(),
            Some(_) | None => self.queue.reason(&mut self.random),
        }
    }

    /// What was begun goes on later; a wrap-up and the end of a session are the last of their line.
    fn plan_after(&mut self, step: &Step, command: &Command, at: Timestamp, agenda: &mut Agenda) {
        match command {
            Command::StartMonitoring { by, .. } => {
                self.plan_supervision(by, LISTENING_MS, at, agenda);
            }
            Command::BargeIn { by } => self.plan_supervision(by, SPEAKING_MS, at, agenda),
            _ if *step == Step::Next && self.call.is_live() => {
                let pause_ms = self.pause_ms(command);
                self.plan(agenda, at.plus_millis(pause_ms), Step::Next);
            }
            _ => {}
        }
    }

    fn plan_supervision(&mut self, by: &Actor, median_ms: u64, at: Timestamp, agenda: &mut Agenda) {
        if let Actor::Supervisor(supervisor) = by {
            let until = at.plus_millis(self.random.spread(median_ms));
            self.plan(agenda, until, Step::Supervise(supervisor.clone()));
        }
    }

    /// How long until the conversation goes on, by what was just done and the state it led to.
    fn pause_ms(&mut self, command: &Command) -> u64 {
        let anybody_held = self.call.seats().iter().any(|seat| seat.hold.is_some());
        match command {
            Command::StartConsult { .. } => self.ringing_ms(),
            Command::AcceptConsult { .. } => self.random.spread(CONSULT_MS),
            Command::Hold { .. } => self.random.spread(HOLD_MS),
            Command::SuggestWrapUp { .. } => self.random.between(3 * SECOND_MS, 15 * SECOND_MS),
            _ if anybody_held => self.random.between(SECOND_MS, 4 * SECOND_MS),
            _ => self.talking_ms(),
        }
    }

    fn ringing_ms(&mut self) -> u64 {
        let (least, most) = match self.answer {
            Answer::Accepted => (3, 14),
            Answer::Declined => (2, 12),
            Answer::Unanswered => (20, 30),
            Answer::Cancelled => (5, 25),
        };
        self.random.between(least * SECOND_MS, most * SECOND_MS)
    }

    fn talking_ms(&mut self) -> u64 {
        match self.call.phase() {
            Some(Phase::Conference) => self.random.spread(CONFERENCE_MS),
            Some(Phase::WrapUpAssist) => self.random.spread(WRAP_UP_ASSIST_MS),
            Some(Phase::Talking | Phase::Ended) | None => {
                self.talk_ms * self.random.between(500, 1500) / 1000
            }
        }
    }

    /// What an event means for the people of the contact centre.
    fn follow_up(
        &mut self,
        event: &Event,
        batch: &[Event],
        at: Timestamp,
        staff: &mut Staff,
        agenda: &mut Agenda,
    ) {
        match event {
            Event::CallConnected { .. } => self.plan_listening(MONITORED, at, agenda),
            Event::ConferenceStarted { .. } => {
                self.plan_listening(CONFERENCE_MONITORED, at, agenda);
            }
            Event::ConsultEnded { target, cause, .. } => {
                self.consult_over(target, *cause, at, agenda);
            }
            Event::PartyLeft {
                party: Party::Agent(agent),
                ..
            } => self.agent_left(agent, batch, at, agenda),
            Event::MonitoringEnded { supervisor, .. } => {
                staff.supervisor_is_free(supervisor.clone());
            }
            // By nothing else does anybody become free or curious.
            _ => {}
        }
    }

    fn plan_listening(&mut self, per_mille: u64, at: Timestamp, agenda: &mut Agenda) {
        if self.random.chance(per_mille) {
            let after_ms = self.random.between(10 * SECOND_MS, 150 * SECOND_MS);
            self.plan(agenda, at.plus_millis(after_ms), Step::Listen);
        }
    }

    /// Who was consulted in vain is free again, and perhaps somebody else is asked; a conference may grow on.
    fn consult_over(
        &mut self,
        target: &Target,
        cause: ConsultEnd,
        at: Timestamp,
        agenda: &mut Agenda,
    ) {
        let joined = matches!(cause, ConsultEnd::Merged | ConsultEnd::Transferred);
        if let (false, Some(agent)) = (joined, target.agent()) {
            self.free(agent, at, agenda);
        }
        let again = match (cause, self.chapter) {
            (ConsultEnd::Merged, Chapter::Conference(size)) => self.call.seats().len() < size,
            (ConsultEnd::Declined | ConsultEnd::NotAnswered, _) => {
                self.random.chance(CONSULTS_AGAIN)
            }
            _ => false,
        };
        if again {
            self.chapters.push(self.chapter);
        }
    }

    /// Who left as primary has work to do; anybody else is free.
    fn agent_left(&mut self, agent: &AgentId, batch: &[Event], at: Timestamp, agenda: &mut Agenda) {
        let owed =
            |event: &Event| matches!(event, Event::WrapUpOwed { agent: owing } if owing == agent);
        if batch.iter().any(owed) {
            let done = at.plus_millis(self.random.spread(self.queue.after_call_ms));
            self.plan(agenda, done, Step::WrapUp(agent.clone()));
        } else {
            self.free(agent, at, agenda);
        }
    }

    /// The agent takes the next call in a moment.
    fn free(&mut self, agent: &AgentId, at: Timestamp, agenda: &mut Agenda) {
        let Some(index) = self.cast.iter().position(|busy| busy.id == *agent) else {
            return;
        };
        let ready = at.plus_millis(self.random.between(SECOND_MS, 8 * SECOND_MS));
        agenda.plan(ready, Due::Ready(self.cast.swap_remove(index)));
    }

    /// Any agent in the main call but the primary.
    fn conferenced_agent(&mut self) -> Option<AgentId> {
        let primary = self.call.primary();
        let agents = self
            .call
            .seats()
            .iter()
            .filter_map(|seat| seat.party.agent());
        let others: Vec<AgentId> = agents
            .filter(|agent| Some(*agent) != primary)
            .cloned()
            .collect();
        self.random.pick(&others).cloned()
    }

    fn consult_is_answered(&self) -> bool {
        self.call
            .consult()
            .is_some_and(|consult| consult.state == ConsultState::Answered)
    }
}

fn by_agent(agent: &AgentId) -> Actor {
    Actor::Party(Party::Agent(agent.clone()))
}

fn by_target(target: &Target) -> Actor {
    Actor::Party(target.to_party())
}

/// A text of our own making, which is valid.
fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a text of our own making is valid")
}
