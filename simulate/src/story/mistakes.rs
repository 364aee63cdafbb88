//! What people and telephone systems ask for that a rule refuses.

use super::{Story, by_agent, by_target};
use crate::staff::Staff;
use domain::call::{Phase, SEATS, WrapUpState};
use domain::command::{HoldScope, Origin};
use domain::{Actor, AgentId, Command, GivenReason, Party, Target, decide};

/// How often a step of an ordinary conversation is preceded by a mistake, in a thousand.
const MISTAKES: u64 = 11;
/// With a consult, in a conference and in Wrap-up Assist more can go wrong.
const MISTAKES_WITH_OTHERS: u64 = 35;
/// The telephone system seldom reports on a call before it reports the call.
const MISTAKES_BEFORE_THE_CALL: u64 = 1;
/// Where everybody relevant is there already, somebody often misses one more.
const MISTAKES_IN_A_FULL_CALL: u64 = 300;

/// No reason at all.
const BLANK: &str = "  ";

impl Story {
    /// A command that the call refuses as it is, now and then.
    pub(super) fn mistake(&mut self, staff: &Staff) -> Option<Command> {
        let per_mille = self.mistakes_per_mille();
        if !self.random.chance(per_mille) {
            return None;
        }
        let mut commands = self.plausible(staff);
        commands.retain(|command| decide(&self.call, command).is_err());
        self.random.pick(&commands).cloned()
    }

    fn mistakes_per_mille(&self) -> u64 {
        match self.call.phase() {
            None => MISTAKES_BEFORE_THE_CALL,
            Some(_) if self.is_full() => MISTAKES_IN_A_FULL_CALL,
            Some(Phase::Talking) if self.call.consult().is_none() => MISTAKES,
            Some(Phase::Ended) => MISTAKES,
            Some(Phase::Talking | Phase::Conference | Phase::WrapUpAssist) => MISTAKES_WITH_OTHERS,
        }
    }

    fn is_full(&self) -> bool {
        self.call.seats().len() == SEATS
    }

    /// What somebody might try, some of it rightly.
    fn plausible(&mut self, staff: &Staff) -> Vec<Command> {
        let primary = self.call.primary().cloned();
        if let (true, Some(primary)) = (self.is_full(), &primary) {
            let ninth = Target::Dial(self.expert_number());
            return vec![consult(primary, ninth)];
        }
        let mut commands = vec![Command::HangUp {
            party: Party::Customer,
        }];
        if let Some(primary) = primary {
            self.by_primary(&primary, &mut commands);
        }
        if let Some(agent) = self.conferenced_agent() {
            by_conferenced(&agent, &mut commands);
        }
        self.by_experts(&mut commands);
        self.about_the_consult(&mut commands);
        self.about_wrap_up(&mut commands);
        self.by_who_left(&mut commands);
        self.by_supervisor(staff, &mut commands);
        commands
    }

    fn by_primary(&mut self, primary: &AgentId, commands: &mut Vec<Command>) {
        let expert = Target::Dial(self.expert_number());
        let by = || by_agent(primary);
        let (customer, origin) = (Party::Customer, Origin::Desktop);
        commands.extend([
            Command::ExitConference { by: by() },
            Command::TransferCall { by: by() },
            Command::StartConference { by: by(), origin },
            device_conference(primary),
            hold(primary, customer.clone()),
            hold(primary, Party::Agent(primary.clone())),
            Command::Resume {
                by: by(),
                party: customer,
            },
            consult(primary, expert),
            Command::ConnectCall {
                agent: Party::Agent(primary.clone()),
                customer: None,
                queue: None,
            },
            Command::ApplyWrapUp {
                by: by(),
                reason: self.queue.reason(&mut self.random),
            },
        ]);
        commands.extend(
            self.conferenced_agent()
                .map(|other| consult(primary, Target::Agent(other))),
        );
    }

    /// R44: some experts outside try a desktop they do not have.
    fn by_experts(&self, commands: &mut Vec<Command>) {
        let parties = self.call.seats().iter().map(|seat| &seat.party);
        let experts = parties.filter(|party| matches!(party, Party::Dial(_)));
        commands.extend(experts.map(|expert| Command::PressEnd {
            by: Actor::Party(expert.clone()),
        }));
    }

    fn about_the_consult(&self, commands: &mut Vec<Command>) {
        let Some(consult) = self.call.consult() else {
            return;
        };
        let target = || by_target(&consult.target);
        commands.extend([
            device_conference(&consult.by),
            Command::AcceptConsult {
                by: by_agent(&consult.by),
            },
            Command::EndConsult { by: target() },
            Command::ExitConference { by: target() },
            Command::HangUp {
                party: consult.target.to_party(),
            },
        ]);
        if self.consult_is_answered() {
            commands.push(Command::AcceptConsult { by: target() });
        }
    }

    /// R51: a blank reason, and a second one.
    fn about_wrap_up(&mut self, commands: &mut Vec<Command>) {
        for wrap_up in self.call.wrap_ups() {
            let reason = match wrap_up.state {
                WrapUpState::Owed => BLANK.parse::<GivenReason>().ok(),
                WrapUpState::Applied { .. } => Some(self.queue.reason(&mut self.random)),
            };
            let by = by_agent(&wrap_up.agent);
            commands.extend(reason.map(|reason| Command::ApplyWrapUp { by, reason }));
        }
    }

    fn by_who_left(&mut self, commands: &mut Vec<Command>) {
        let left = self
            .call
            .departures()
            .iter()
            .map(|departure| &departure.party);
        let agents: Vec<AgentId> = left.filter_map(Party::agent).cloned().collect();
        for agent in agents {
            let reason = self.queue.reason(&mut self.random);
            commands.push(Command::PressEnd {
                by: by_agent(&agent),
            });
            commands.push(Command::SuggestWrapUp {
                by: by_agent(&agent),
                reason,
                note: None,
            });
        }
    }

    fn by_supervisor(&mut self, staff: &Staff, commands: &mut Vec<Command>) {
        let by = Actor::Supervisor(staff.any_supervisor(&mut self.random));
        commands.push(Command::BargeIn { by: by.clone() });
        if let Some(primary) = self.call.primary() {
            let agent = Party::Agent(primary.clone());
            commands.push(Command::StartMonitoring {
                by,
                agent: agent.clone(),
            });
            commands.extend(
                self.call
                    .sessions()
                    .iter()
                    .map(|session| Command::StartMonitoring {
                        by: Actor::Supervisor(session.supervisor.clone()),
                        agent: agent.clone(),
                    }),
            );
        }
    }
}

/// R43: what only a primary can.
fn by_conferenced(agent: &AgentId, commands: &mut Vec<Command>) {
    let by = || by_agent(agent);
    let origin = Origin::Desktop;
    commands.extend([
        Command::TransferCall { by: by() },
        hold(agent, Party::Customer),
        Command::EndCall { by: by() },
        Command::StartConference { by: by(), origin },
    ]);
}

fn hold(by: &AgentId, party: Party) -> Command {
    let by = by_agent(by);
    Command::Hold { by, party }
}

fn consult(by: &AgentId, target: Target) -> Command {
    let hold = HoldScope::Others;
    let by = by_agent(by);
    Command::StartConsult { by, target, hold }
}

/// R6: a phone device cannot start a conference.
fn device_conference(by: &AgentId) -> Command {
    let origin = Origin::Device;
    let by = by_agent(by);
    Command::StartConference { by, origin }
}
