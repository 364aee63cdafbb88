//! The parts of handle time (R61), added up from the times on events (R62).

use domain::call::{ConsultState, Phase, Seat};
use domain::{AgentId, Call, Event, Party, Timestamp};
use serde::{Deserialize, Serialize};

/// The parts of one call's handle time, and of each agent's in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub(super) call: CallParts,
    /// In the order they first appeared.
    pub(super) agents: Vec<AgentParts>,
}

/// A call's handle time is the sum of its three phases; the rest is contained in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the unit stands last")]
pub(super) struct CallParts {
    pub(super) talking_ms: u64,
    pub(super) conference_ms: u64,
    pub(super) wrap_up_assist_ms: u64,
    pub(super) customer_held_ms: u64,
    pub(super) consult_ms: u64,
}

/// An agent's handle time is engaged, held and wrap-up; the rest is contained in them, but for the consult time of
/// whoever was consulted, which lies outside the main call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentParts {
    pub(super) agent: AgentId,
    standing: Standing,
    pub(super) engaged_ms: u64,
    pub(super) held_ms: u64,
    pub(super) wrap_up_ms: u64,
    /// Of the wrap-up that is still owed; no part of anything until it is settled.
    unsettled_ms: u64,
    pub(super) conference_ms: u64,
    pub(super) consult_ms: u64,
    pub(super) wrap_up_assist_ms: u64,
}

/// Whether an agent has handle time in a call, or was only asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    /// Never was in the main call.
    Consulted,
    /// Is or was in the main call.
    Joined,
}

impl CallParts {
    pub(super) const METRICS: [&'static str; 6] = [
        "talking",
        "conference",
        "wrap_up_assist",
        "handle",
        "customer_held",
        "consult",
    ];

    pub(super) fn handle_ms(&self) -> u64 {
        self.talking_ms + self.conference_ms + self.wrap_up_assist_ms
    }

    /// What the call adds to each metric, also where that is nothing, so that sums add up.
    pub(super) fn metrics(&self) -> [Option<u64>; 6] {
        [
            self.talking_ms,
            self.conference_ms,
            self.wrap_up_assist_ms,
            self.handle_ms(),
            self.customer_held_ms,
            self.consult_ms,
        ]
        .map(Some)
    }
}

impl AgentParts {
    pub(super) const METRICS: [&'static str; 7] = [
        "engaged",
        "held",
        "wrap_up",
        "handle",
        "conference",
        "consult",
        "wrap_up_assist",
    ];

    fn new(agent: &AgentId) -> Self {
        Self {
            agent: agent.clone(),
            standing: Standing::Consulted,
            engaged_ms: 0,
            held_ms: 0,
            wrap_up_ms: 0,
            unsettled_ms: 0,
            conference_ms: 0,
            consult_ms: 0,
            wrap_up_assist_ms: 0,
        }
    }

    pub(super) fn handle_ms(&self) -> u64 {
        self.engaged_ms + self.held_ms + self.wrap_up_ms
    }

    /// What the agent's part adds to each metric; who was only consulted adds to no other than that.
    pub(super) fn metrics(&self) -> [Option<u64>; 7] {
        let of_joined = |ms| match self.standing {
            Standing::Joined => Some(ms),
            Standing::Consulted => None,
        };
        [
            of_joined(self.engaged_ms),
            of_joined(self.held_ms),
            of_joined(self.wrap_up_ms),
            of_joined(self.handle_ms()),
            of_joined(self.conference_ms),
            Some(self.consult_ms),
            of_joined(self.wrap_up_assist_ms),
        ]
    }

    /// Whether the agent's part adds to that metric.
    pub(super) fn has(&self, metric: &str) -> bool {
        let mut metrics = Self::METRICS.into_iter().zip(self.metrics());
        metrics.any(|(name, ms)| name == metric && ms.is_some())
    }

    /// R61: a held party is in the call, but not engaged.
    fn seated(&mut self, seat: &Seat, phase: Phase, ms: u64) {
        match seat.hold {
            Some(_) => self.held_ms += ms,
            None => self.engaged_ms += ms,
        }
        match phase {
            Phase::Conference => self.conference_ms += ms,
            Phase::WrapUpAssist => self.wrap_up_assist_ms += ms,
            Phase::Talking | Phase::Ended => {}
        }
    }

    fn settled(&mut self) {
        self.wrap_up_ms += std::mem::take(&mut self.unsettled_ms);
    }
}

impl AsRef<Parts> for Parts {
    fn as_ref(&self) -> &Parts {
        self
    }
}

impl Parts {
    /// Takes in an event at `at` of a call that was as it is before: first the time that passed, then who is new.
    pub(super) fn take_in(&mut self, before: &Call, event: &Event, at: Timestamp) {
        let ms = at.millis_since(before.last_at());
        if ms > 0 {
            self.pass(before, ms);
        }
        match event {
            Event::CallConnected { agent, .. } => self.agent(agent).standing = Standing::Joined,
            Event::PartyJoined { party } => {
                if let Some(agent) = party.agent() {
                    self.agent(agent).standing = Standing::Joined;
                }
            }
            Event::ConsultStarted { target, .. } => {
                if let Some(agent) = target.agent() {
                    self.agent(agent);
                }
            }
            Event::WrapUpApplied { agent, .. } => self.agent(agent).settled(),
            Event::ConsultRequested { .. }
            | Event::ConsultEnded { .. }
            | Event::ConferenceStarted { .. }
            | Event::PartyHeld { .. }
            | Event::PartyReleased { .. }
            | Event::PartyLeft { .. }
            | Event::ControlTransferred { .. }
            | Event::ControlVacated { .. }
            | Event::ConferenceDissolved
            | Event::WrapUpAssistEntered
            | Event::CallEnded { .. }
            | Event::CallCompleted
            | Event::WrapUpOwed { .. }
            | Event::WrapUpSuggested { .. }
            | Event::MonitoringStarted { .. }
            | Event::SupervisorBargedIn { .. }
            | Event::MonitoringMoved { .. }
            | Event::MonitoringEnded { .. } => {}
        }
    }

    /// Adds time to wherever everybody was while it passed.
    fn pass(&mut self, call: &Call, ms: u64) {
        if let Some(phase) = call.phase() {
            self.call_passes(call, phase, ms);
            for seat in call.seats() {
                if let Some(agent) = seat.party.agent() {
                    self.agent(agent).seated(seat, phase, ms);
                }
            }
        }
        self.consult_passes(call, ms);
        self.wrap_up_passes(call, ms);
    }

    fn call_passes(&mut self, call: &Call, phase: Phase, ms: u64) {
        match phase {
            Phase::Talking => self.call.talking_ms += ms,
            Phase::Conference => self.call.conference_ms += ms,
            Phase::WrapUpAssist => self.call.wrap_up_assist_ms += ms,
            Phase::Ended => {}
        }
        if call.seats().iter().any(is_held_customer) {
            self.call.customer_held_ms += ms;
        }
    }

    /// R61: the answered leg, for both its ends; ringing is nothing.
    fn consult_passes(&mut self, call: &Call, ms: u64) {
        let Some(consult) = call.consult() else {
            return;
        };
        match consult.state {
            ConsultState::Answered => {}
            ConsultState::Ringing => return,
        }
        self.call.consult_ms += ms;
        self.agent(&consult.by).consult_ms += ms;
        if let Some(agent) = consult.target.agent() {
            self.agent(agent).consult_ms += ms;
        }
    }

    /// R61: work after the call. Who came back into it is engaged or held, and no time is counted twice.
    fn wrap_up_passes(&mut self, call: &Call, ms: u64) {
        for wrap_up in call.open_wrap_ups() {
            let mut seats = call.seats().iter();
            if !seats.any(|seat| seat.party.is_agent(&wrap_up.agent)) {
                self.agent(&wrap_up.agent).unsettled_ms += ms;
            }
        }
    }

    fn agent(&mut self, agent: &AgentId) -> &mut AgentParts {
        let found = self.agents.iter().position(|parts| parts.agent == *agent);
        let index = found.unwrap_or_else(|| {
            // Most calls have one agent, and what is kept of them is kept for long.
            self.agents.reserve_exact(1);
            self.agents.push(AgentParts::new(agent));
            self.agents.len() - 1
        });
        &mut self.agents[index]
    }
}

fn is_held_customer(seat: &Seat) -> bool {
    seat.party == Party::Customer && seat.hold.is_some()
}
