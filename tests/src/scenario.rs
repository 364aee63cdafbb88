//! The language of the rule tests: given what was asked of a call before, when one thing more is asked, then these
//! events follow or that rule refuses. Each step consumes the last, so steps out of order do not compile.

use domain::call::Seat;
use domain::command::{HoldScope, Origin};
use domain::event::{ConsultEnd, EndCause, LeaveReason, MonitoringEnd, Personal};
use domain::{
    Actor, AgentId, Call, Command, Event, Party, Rejection, SupervisorId, Target, Timestamp,
    decide, evolve,
};
use std::fmt::Debug;
use std::str::FromStr;

/// Somebody in a story, by their text in the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who(pub &'static str);

/// Who calls.
pub const CUSTOMER: Who = Who("customer");
/// Answers the customer in most stories, and so is primary.
pub const ANA: Who = Who("agent:ana");
/// Is mostly merged first.
pub const BEN: Who = Who("agent:ben");
/// Is mostly merged second.
pub const DAN: Who = Who("agent:dan");
/// An agent.
pub const EVA: Who = Who("agent:eva");
/// An agent.
pub const FAY: Who = Who("agent:fay");
/// An agent.
pub const GUS: Who = Who("agent:gus");
/// An agent.
pub const HAL: Who = Who("agent:hal");
/// An agent outside most stories.
pub const IDA: Who = Who("agent:ida");
/// Reached by number.
pub const EXPERT: Who = Who("dial:+39061234");
/// Reached by number too.
pub const COURIER: Who = Who("dial:*77#");
/// A supervisor.
pub const SAM: Who = Who("supervisor:sam");
/// Another supervisor.
pub const SUE: Who = Who("supervisor:sue");

impl Who {
    /// As `by` of a command.
    pub fn actor(self) -> Actor {
        self.read()
    }

    /// As a party of the call.
    pub fn party(self) -> Party {
        self.read()
    }

    /// As somebody to consult.
    pub fn target(self) -> Target {
        self.read()
    }

    /// As an agent.
    pub fn agent(self) -> AgentId {
        let party = self.party();
        party.agent().expect("the story names an agent").clone()
    }

    /// As a supervisor.
    pub fn supervisor(self) -> SupervisorId {
        match self.actor() {
            Actor::Supervisor(supervisor) => supervisor,
            Actor::Party(party) => panic!("the story names {party} where a supervisor belongs"),
        }
    }

    fn read<T: FromStr<Err: Debug>>(self) -> T {
        self.0.parse().expect("the story names somebody who fits")
    }
}

impl PartialEq<Who> for Party {
    fn eq(&self, who: &Who) -> bool {
        who.0.parse().as_ref() == Ok(self)
    }
}

impl PartialEq<Who> for AgentId {
    fn eq(&self, who: &Who) -> bool {
        *self == who.agent()
    }
}

/// A call with a past made from commands, so that only what can really come about is given.
#[must_use]
pub struct Given {
    call: Call,
    now: Timestamp,
    pace_ms: u64,
}

/// One command was asked of a call.
#[must_use]
pub struct When {
    before: Given,
    command: Command,
    outcome: Result<Vec<Event>, Rejection>,
}

/// The command was accepted with the events that were expected.
pub struct Then(Given);

/// The command was refused by the rule that was expected.
pub struct Refused {
    unchanged: Given,
    message: String,
}

/// A call of which all this was asked, a second apart.
#[track_caller]
pub fn given(story: impl Into<Story>) -> Given {
    let beginning = Given {
        call: Call::default(),
        now: start(),
        pace_ms: 1000,
    };
    beginning.and(story)
}

/// A call of which all this was asked within the same millisecond.
#[track_caller]
pub fn given_in_one_instant(story: impl Into<Story>) -> Given {
    let beginning = Given {
        call: Call::default(),
        now: start(),
        pace_ms: 0,
    };
    beginning.and(story)
}

/// When every story begins.
pub fn start() -> Timestamp {
    let time = "2026-11-22T09:00:00.000Z".parse();
    time.expect("a time as the interface writes it")
}

/// What was asked of a call, in order.
pub struct Story(Vec<Command>);

impl From<Command> for Story {
    fn from(command: Command) -> Self {
        Self(vec![command])
    }
}

impl From<Vec<Command>> for Story {
    fn from(commands: Vec<Command>) -> Self {
        Self(commands)
    }
}

impl Given {
    /// More was asked; a command that is refused is no past.
    #[track_caller]
    pub fn and(mut self, story: impl Into<Story>) -> Self {
        for command in story.into().0 {
            let events = decide(&self.call, &command)
                .unwrap_or_else(|no| panic!("not a past: {command:?} was refused: {no:?}"));
            self = self.after(&events);
        }
        self
    }

    /// Time passed in which nothing was asked.
    pub fn later(mut self, ms: u64) -> Self {
        self.now = self.now.plus_millis(ms);
        self
    }

    /// One thing is asked.
    pub fn when(self, command: Command) -> When {
        let outcome = decide(&self.call, &command);
        When {
            before: self,
            command,
            outcome,
        }
    }

    /// The call as its past left it.
    pub fn call(self) -> Call {
        self.call
    }

    fn after(mut self, events: &[Event]) -> Self {
        self.now = self.now.plus_millis(self.pace_ms);
        let at = self.now;
        let fold = |call, event| evolve(call, event, at);
        self.call = events.iter().fold(self.call, fold);
        self
    }
}

impl When {
    /// Exactly these events follow, in this order.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = Event>) -> Then {
        let (before, events) = self.accepted();
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>());
        Then(before.after(&events))
    }

    /// These rules explain what follows, event by event.
    #[track_caller]
    pub fn then_explained(self, rules: impl IntoIterator<Item = u8>) {
        let (_, events) = self.accepted();
        let explained: Vec<u8> = events.iter().map(|event| event.rule(&events).0).collect();
        let expected: Vec<u8> = rules.into_iter().collect();
        assert_eq!(explained, expected, "{events:#?}");
    }

    /// It is accepted, and the call is as the check wants it.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&Call)) -> Then {
        let (before, events) = self.accepted();
        Then(before.after(&events)).then_state(check)
    }

    /// It is refused, with the code and by the rule as the interface names them.
    #[track_caller]
    pub fn then_refused(self, code: &str, rule: &str) -> Refused {
        let rejection = match self.outcome {
            Err(rejection) => rejection,
            Ok(events) => panic!("{:?} was accepted: {events:?}", self.command),
        };
        let refused = (rejection.code.name(), rejection.rule.to_string());
        assert_eq!(refused, (code, rule.to_owned()), "{:?}", self.command);
        Refused {
            unchanged: self.before,
            message: rejection.message,
        }
    }

    #[track_caller]
    fn accepted(self) -> (Given, Vec<Event>) {
        match self.outcome {
            Ok(events) => (self.before, events),
            Err(rejection) => panic!("{:?} was refused: {rejection:?}", self.command),
        }
    }
}

#[allow(
    clippy::return_self_not_must_use,
    reason = "a story may end with any step"
)]
impl Then {
    /// The call is as the check wants it.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&Call)) -> Self {
        check(&self.0.call);
        self
    }

    /// The story goes on.
    pub fn when(self, command: Command) -> When {
        self.0.when(command)
    }
}

#[allow(
    clippy::return_self_not_must_use,
    reason = "a story may end with any step"
)]
impl Refused {
    /// The message tells what to do instead.
    #[track_caller]
    pub fn saying(self, advice: &str) -> Self {
        assert!(self.message.contains(advice), "{}", self.message);
        self
    }

    /// Nothing changed, and something else is asked.
    pub fn when(self, command: Command) -> When {
        self.unchanged.when(command)
    }
}

/// Nobody has called yet.
pub fn no_call() -> Vec<Command> {
    Vec::new()
}

/// An agent answered a customer.
pub fn a_call(agent: Who) -> Vec<Command> {
    vec![connect_call(agent)]
}

/// The agent consults the target on an answered leg, everybody else held.
pub fn consulting(by: Who, target: Who) -> Vec<Command> {
    vec![start_consult(by, target), accept_consult(target)]
}

/// The agent consults the target and merges them in.
pub fn merging(by: Who, target: Who) -> Vec<Command> {
    let mut story = consulting(by, target);
    story.push(start_conference(by));
    story
}

/// The first answered the customer, and then merged the others in, in this order.
pub fn a_conference(parties: impl IntoIterator<Item = Who>) -> Vec<Command> {
    let mut parties = parties.into_iter();
    let first = parties.next().expect("somebody answers");
    let others = parties.flat_map(|other| merging(first, other));
    a_call(first).into_iter().chain(others).collect()
}

/// The customer has left that conference.
pub fn wrap_up_assist(parties: impl IntoIterator<Item = Who>) -> Vec<Command> {
    let mut story = a_conference(parties);
    story.push(hang_up(CUSTOMER));
    story
}

/// All eight seats are taken; `IDA` is outside.
pub fn a_full_call() -> Vec<Command> {
    a_conference([ANA, BEN, DAN, EVA, FAY, GUS, HAL])
}

/// Every command for which the interface has an agent as `by`.
pub fn call_controls(by: Who) -> Vec<Command> {
    vec![
        start_consult(by, IDA),
        end_consult(by),
        start_conference(by),
        hold(by, ANA),
        resume(by, ANA),
        transfer_call(by),
        exit_conference(by),
        end_call(by),
        press_end(by),
        apply_wrap_up(by, "billing"),
        suggest_wrap_up(by, "billing"),
    ]
}

/// Who is in the main call, longest tenure first.
pub fn seated(call: &Call) -> Vec<Party> {
    let seats = call.seats().iter();
    seats.map(|seat| seat.party.clone()).collect()
}

/// Who is held, longest tenure first.
pub fn on_hold(call: &Call) -> Vec<Party> {
    let held = call.seats().iter().filter(|seat| seat.hold.is_some());
    held.map(|seat| seat.party.clone()).collect()
}

/// The party's place in the call.
pub fn seat_of(call: &Call, who: Who) -> &Seat {
    let mut seats = call.seats().iter();
    seats
        .find(|seat| seat.party == who)
        .expect("the story seats them")
}

/// Who controls the call.
pub fn primary(call: &Call) -> Option<Party> {
    call.primary().cloned().map(Party::Agent)
}

/// Who owes wrap-up, in the order in which it arose.
pub fn owing(call: &Call) -> Vec<AgentId> {
    let open = call.open_wrap_ups();
    open.map(|wrap_up| wrap_up.agent.clone()).collect()
}

/// `connect_call`
pub fn connect_call(agent: Who) -> Command {
    Command::ConnectCall {
        agent: agent.party(),
        customer: None,
        queue: None,
    }
}

/// `start_consult` with everybody else held.
pub fn start_consult(by: Who, target: Who) -> Command {
    Command::StartConsult {
        by: by.actor(),
        target: target.target(),
        hold: HoldScope::Others,
    }
}

/// `start_consult` while the others talk on.
pub fn start_consult_holding_nobody(by: Who, target: Who) -> Command {
    Command::StartConsult {
        by: by.actor(),
        target: target.target(),
        hold: HoldScope::None,
    }
}

/// `accept_consult`
pub fn accept_consult(by: Who) -> Command {
    Command::AcceptConsult { by: by.actor() }
}

/// `decline_consult`
pub fn decline_consult(by: Who) -> Command {
    Command::DeclineConsult { by: by.actor() }
}

/// `consult_unanswered`
pub fn consult_unanswered() -> Command {
    Command::ConsultUnanswered
}

/// `end_consult`
pub fn end_consult(by: Who) -> Command {
    Command::EndConsult { by: by.actor() }
}

/// `start_conference`
pub fn start_conference(by: Who) -> Command {
    Command::StartConference {
        by: by.actor(),
        origin: Origin::Desktop,
    }
}

/// `start_conference` from a hard or soft phone.
pub fn start_conference_from_a_phone(by: Who) -> Command {
    Command::StartConference {
        by: by.actor(),
        origin: Origin::Device,
    }
}

/// `hold`
pub fn hold(by: Who, party: Who) -> Command {
    Command::Hold {
        by: by.actor(),
        party: party.party(),
    }
}

/// `resume`
pub fn resume(by: Who, party: Who) -> Command {
    Command::Resume {
        by: by.actor(),
        party: party.party(),
    }
}

/// `transfer_call`
pub fn transfer_call(by: Who) -> Command {
    Command::TransferCall { by: by.actor() }
}

/// `exit_conference`
pub fn exit_conference(by: Who) -> Command {
    Command::ExitConference { by: by.actor() }
}

/// `end_call`
pub fn end_call(by: Who) -> Command {
    Command::EndCall { by: by.actor() }
}

/// `press_end`
pub fn press_end(by: Who) -> Command {
    Command::PressEnd { by: by.actor() }
}

/// `hang_up`
pub fn hang_up(party: Who) -> Command {
    Command::HangUp {
        party: party.party(),
    }
}

/// `lose_connection`
pub fn lose_connection(party: Who) -> Command {
    Command::LoseConnection {
        party: party.party(),
    }
}

/// `apply_wrap_up`
pub fn apply_wrap_up(by: Who, reason: &str) -> Command {
    Command::ApplyWrapUp {
        by: by.actor(),
        reason: reason.parse().expect("short enough"),
    }
}

/// `suggest_wrap_up` without a note.
pub fn suggest_wrap_up(by: Who, reason: &str) -> Command {
    Command::SuggestWrapUp {
        by: by.actor(),
        reason: reason.parse().expect("short enough"),
        note: None,
    }
}

/// `suggest_wrap_up` with a note.
pub fn suggest_wrap_up_noting(by: Who, reason: &str, note: &str) -> Command {
    Command::SuggestWrapUp {
        by: by.actor(),
        reason: reason.parse().expect("short enough"),
        note: Some(note.parse().expect("short enough")),
    }
}

/// `start_monitoring`
pub fn start_monitoring(by: Who, agent: Who) -> Command {
    Command::StartMonitoring {
        by: by.actor(),
        agent: agent.party(),
    }
}

/// `barge_in`
pub fn barge_in(by: Who) -> Command {
    Command::BargeIn { by: by.actor() }
}

/// `stop_monitoring`
pub fn stop_monitoring(by: Who) -> Command {
    Command::StopMonitoring { by: by.actor() }
}

/// `call_connected`, of an unknown customer through no queue.
pub fn call_connected(agent: Who) -> Event {
    Event::CallConnected {
        agent: agent.agent(),
        customer: None,
        queue: None,
    }
}

/// `consult_requested`, everybody else held.
pub fn consult_requested(by: Who, target: Who) -> Event {
    Event::ConsultRequested {
        by: by.agent(),
        target: target.target(),
        hold: HoldScope::Others,
    }
}

/// `consult_requested`, while the others talk on.
pub fn consult_requested_holding_nobody(by: Who, target: Who) -> Event {
    Event::ConsultRequested {
        by: by.agent(),
        target: target.target(),
        hold: HoldScope::None,
    }
}

/// `consult_started`
pub fn consult_started(by: Who, target: Who) -> Event {
    Event::ConsultStarted {
        by: by.agent(),
        target: target.target(),
    }
}

/// `consult_ended`
pub fn consult_ended(by: Who, target: Who, cause: ConsultEnd) -> Event {
    Event::ConsultEnded {
        by: by.agent(),
        target: target.target(),
        cause,
    }
}

/// `party_joined`
pub fn joined(party: Who) -> Event {
    Event::PartyJoined {
        party: party.target(),
    }
}

/// `conference_started`
pub fn conference_started(primary: Who) -> Event {
    Event::ConferenceStarted {
        primary: primary.agent(),
    }
}

/// `party_held`
pub fn held(party: Who, by: Who) -> Event {
    Event::PartyHeld {
        party: party.party(),
        by: by.agent(),
    }
}

/// `party_released`
pub fn released(party: Who) -> Event {
    Event::PartyReleased {
        party: party.party(),
    }
}

/// `party_left`
pub fn left(party: Who, reason: LeaveReason) -> Event {
    Event::PartyLeft {
        party: party.party(),
        reason,
    }
}

/// `control_transferred`
pub fn control(from: Who, to: Who) -> Event {
    Event::ControlTransferred {
        from: from.agent(),
        to: to.agent(),
    }
}

/// `control_vacated`
pub fn control_vacated(from: Who) -> Event {
    Event::ControlVacated { from: from.agent() }
}

/// `conference_dissolved`
pub fn conference_dissolved() -> Event {
    Event::ConferenceDissolved
}

/// `wrap_up_assist_entered`
pub fn wrap_up_assist_entered() -> Event {
    Event::WrapUpAssistEntered
}

/// `call_ended`
pub fn call_ended(cause: EndCause) -> Event {
    Event::CallEnded { cause }
}

/// `call_completed`
pub fn call_completed() -> Event {
    Event::CallCompleted
}

/// `wrap_up_owed`
pub fn wrap_up_owed(agent: Who) -> Event {
    Event::WrapUpOwed {
        agent: agent.agent(),
    }
}

/// `wrap_up_applied`
pub fn wrap_up_applied(agent: Who, reason: &str) -> Event {
    Event::WrapUpApplied {
        agent: agent.agent(),
        reason: reason.parse().expect("not blank"),
    }
}

/// `wrap_up_suggested` without a note.
pub fn wrap_up_suggested(by: Who, reason: &str) -> Event {
    Event::WrapUpSuggested {
        by: by.agent(),
        reason: reason.parse().expect("not blank"),
        note: None,
    }
}

/// `wrap_up_suggested` with a note.
pub fn wrap_up_suggested_noting(by: Who, reason: &str, note: &str) -> Event {
    Event::WrapUpSuggested {
        by: by.agent(),
        reason: reason.parse().expect("not blank"),
        note: Some(Personal::Clear(note.parse().expect("short enough"))),
    }
}

/// `monitoring_started`
pub fn monitoring_started(supervisor: Who, agent: Who) -> Event {
    Event::MonitoringStarted {
        supervisor: supervisor.supervisor(),
        agent: agent.agent(),
    }
}

/// `supervisor_barged_in`
pub fn supervisor_barged_in(supervisor: Who) -> Event {
    Event::SupervisorBargedIn {
        supervisor: supervisor.supervisor(),
    }
}

/// `monitoring_moved`
pub fn monitoring_moved(supervisor: Who, from: Who, to: Who) -> Event {
    Event::MonitoringMoved {
        supervisor: supervisor.supervisor(),
        from: from.agent(),
        to: to.agent(),
    }
}

/// `monitoring_ended`
pub fn monitoring_ended(supervisor: Who, cause: MonitoringEnd) -> Event {
    Event::MonitoringEnded {
        supervisor: supervisor.supervisor(),
        cause,
    }
}
