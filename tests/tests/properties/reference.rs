//! A few rules a second time, written from the specification and told by nothing but the events.

use domain::call::Phase;
use domain::event::{ConsultEnd, EndCause, LeaveReason, MonitoringEnd};
use domain::{AgentId, Event, Party, SupervisorId, Target};
use std::collections::{BTreeMap, BTreeSet};

/// What a reader who knows the events and the rules, but none of our code, makes of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reference {
    events: usize,
    /// Who is in the main call, and since which event.
    joined: BTreeMap<Party, usize>,
    leg: Option<Leg>,
    /// As the events tell it, not as R24 finds it.
    pub(crate) primary: Option<AgentId>,
    pub(crate) ended: bool,
    /// Who owes by R50, whatever the events say of it.
    pub(crate) owing: BTreeSet<AgentId>,
    /// Where sessions are by R57 and R58, whatever the events say of it.
    pub(crate) sessions: BTreeMap<SupervisorId, AgentId>,
}

#[derive(Debug, Clone)]
struct Leg {
    by: AgentId,
    target: Target,
    answered: bool,
}

impl Reference {
    /// After all that one command brought about.
    pub(crate) fn after(&self, batch: &[Event]) -> Self {
        let mut after = self.clone();
        for event in batch {
            after.take(event);
        }
        after.settle_sessions();
        after
    }

    /// R45 and R4, in the order Ended, Wrap-up Assist, Conference, Talking.
    pub(crate) fn phase(&self) -> Option<Phase> {
        if self.events == 0 {
            None
        } else if self.ended {
            Some(Phase::Ended)
        } else if !self.joined.contains_key(&Party::Customer) {
            Some(Phase::WrapUpAssist)
        } else if self.joined.len() > 2 {
            Some(Phase::Conference)
        } else {
            Some(Phase::Talking)
        }
    }

    /// R34, then R36.
    pub(crate) fn is_over(&self) -> Option<EndCause> {
        let on_leg = self.leg.as_ref().filter(|leg| leg.answered).iter().count();
        if self.joined.len() + on_leg <= 1 {
            Some(EndCause::OnePartyLeft)
        } else if self
            .joined
            .keys()
            .all(|party| matches!(party, Party::Dial(_)))
        {
            Some(EndCause::CustomerAndAgentsLeft)
        } else {
            None
        }
    }

    /// R24: the longest tenure of all agents who are there.
    pub(crate) fn longest_serving_agent(&self) -> Option<AgentId> {
        let agents = self.joined.iter().filter_map(|(party, since)| match party {
            Party::Agent(agent) => Some((since, agent)),
            Party::Customer | Party::Dial(_) => None,
        });
        agents.min().map(|(_, agent)| agent.clone())
    }

    fn is_primary(&self, party: &Party) -> bool {
        party.agent().is_some() && party.agent() == self.primary.as_ref()
    }

    fn take(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::CallConnected { agent, .. } => {
                self.join(Party::Customer);
                self.join(Party::Agent(agent.clone()));
                self.primary = Some(agent.clone());
            }
            Event::ConsultRequested { by, target, .. } => {
                self.leg = Some(Leg {
                    by: by.clone(),
                    target: target.clone(),
                    answered: false,
                });
            }
            Event::ConsultStarted { .. } => {
                self.leg = self.leg.take().map(|leg| Leg {
                    answered: true,
                    ..leg
                });
            }
            Event::ConsultEnded { .. } => self.leg = None,
            Event::PartyJoined { party } => self.join(party.to_party()),
            Event::PartyLeft { party, .. } => self.leave(party),
            Event::ControlTransferred { to, .. } => self.primary = Some(to.clone()),
            Event::CallEnded { .. } => self.ended = true,
            Event::WrapUpApplied { agent, .. } => {
                self.owing.remove(agent);
            }
            Event::MonitoringStarted { supervisor, agent } => {
                self.sessions.insert(supervisor.clone(), agent.clone());
            }
            Event::MonitoringEnded {
                supervisor,
                cause: MonitoringEnd::Requested,
            } => {
                self.sessions.remove(supervisor);
            }
            // Consequences, which this model finds by itself, and what concerns none of its rules.
            _ => {}
        }
    }

    fn join(&mut self, party: Party) {
        self.events += 1;
        self.joined.insert(party, self.events);
    }

    /// A leg goes with its initiator (R34); who leaves as primary owes wrap-up (R50).
    fn leave(&mut self, party: &Party) {
        self.joined.remove(party);
        let Party::Agent(agent) = party else {
            return;
        };
        if self.leg.as_ref().is_some_and(|leg| leg.by == *agent) {
            self.leg = None;
        }
        if self.primary.as_ref() == Some(agent) {
            self.primary = None;
            self.owing.insert(agent.clone());
        }
    }

    /// R55 to R58: where no agent is left no session is; one whose agent left is the primary's.
    fn settle_sessions(&mut self) {
        let Some(primary) = self.primary.clone() else {
            self.sessions.clear();
            return;
        };
        for agent in self.sessions.values_mut() {
            if !self.joined.contains_key(&Party::Agent(agent.clone())) {
                *agent = primary.clone();
            }
        }
    }
}

/// Why the call has to end by what a command first brought about, if it has to.
pub(crate) fn expected_end(before: &Reference, batch: &[Event]) -> Option<EndCause> {
    match batch.first()? {
        Event::PartyLeft { party, reason } => match reason {
            LeaveReason::CallEnded => Some(EndCause::EndedByPrimary),
            LeaveReason::HungUp if before.is_primary(party) => Some(EndCause::EndedByPrimary),
            _ => before.after(&batch[..1]).is_over(),
        },
        Event::ConsultEnded {
            cause: ConsultEnd::Merged | ConsultEnd::Transferred,
            ..
        } => None,
        Event::ConsultEnded { .. } => before.after(&batch[..1]).is_over(),
        _ => None,
    }
}

/// Who has to control the call after a command that did not end it: nobody changes but by the primary's leaving (R22).
pub(crate) fn expected_primary(before: &Reference, batch: &[Event]) -> Option<AgentId> {
    let leg = before.leg.as_ref();
    match batch.first() {
        Some(Event::CallConnected { agent, .. }) => Some(agent.clone()),
        Some(Event::ConsultEnded {
            cause: ConsultEnd::Transferred,
            ..
        }) => leg.and_then(|leg| leg.target.agent().cloned()),
        Some(Event::PartyLeft { party, .. }) if before.is_primary(party) => {
            before.after(&batch[..1]).longest_serving_agent()
        }
        _ => before.primary.clone(),
    }
}
