//! Who works that day: agents in shifts, and supervisors. Everybody works on one call at a time.

use super::day::{HALF_HOUR_MS, midnight};
use super::random::Random;
use domain::{AgentId, SupervisorId, Timestamp};
use std::collections::VecDeque;

/// The half hour in which each shift begins, and its agents for 10,000 calls a day; with an agent more than the curve
/// of arrivals asks for, rather than one less.
pub(super) const SHIFTS: [(u64, u64); 8] = [
    (0, 11),
    (12, 32),
    (15, 34),
    (17, 46),
    (18, 36),
    (26, 42),
    (28, 32),
    (32, 16),
];

const HALF_HOURS_A_SHIFT: u64 = 16;

/// Even the smallest day has somebody to ask.
const LEAST_AGENTS_A_SHIFT: u64 = 2;

/// One supervisor for so many calls a day, which is about fifteen agents.
const CALLS_A_SUPERVISOR: u64 = 600;

const NAMES: [&str; 24] = [
    "ana", "ben", "dan", "eva", "finn", "gita", "hugo", "ines", "jon", "kei", "lea", "max", "nora",
    "omar", "pia", "quinn", "rosa", "sven", "tess", "uma", "vera", "will", "yuki", "zoe",
];

/// An agent of the day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Agent {
    /// Who it is.
    pub(super) id: AgentId,
    /// When the shift ends; a call that runs then is finished.
    pub(super) until: Timestamp,
}

/// Who is free.
pub(super) struct Staff {
    calls: u64,
    agents: u64,
    supervisors: u64,
    /// Who has waited longest comes first, as telephone systems deal out calls.
    free_agents: VecDeque<Agent>,
    free_supervisors: VecDeque<SupervisorId>,
}

impl Staff {
    pub(super) fn new(calls: u64) -> Self {
        let supervisors = 2 + calls / CALLS_A_SUPERVISOR;
        Self {
            calls,
            agents: 0,
            supervisors,
            free_agents: VecDeque::new(),
            free_supervisors: (1..=supervisors).map(supervisor).collect(),
        }
    }

    /// The agents of a shift, which begins now.
    pub(super) fn shift(&mut self, agents_for_10_000: u64, now: Timestamp) -> Vec<Agent> {
        let until = now.plus_millis(HALF_HOURS_A_SHIFT * HALF_HOUR_MS);
        let count = (self.calls * agents_for_10_000).div_ceil(10_000);
        let count = count.max(LEAST_AGENTS_A_SHIFT);
        let first = self.agents + 1;
        self.agents += count;
        let ids = (first..=self.agents).map(agent);
        ids.map(|id| Agent { id, until }).collect()
    }

    /// The agent has nothing to do; whose shift is over goes home.
    pub(super) fn idle(&mut self, agent: Agent, now: Timestamp) {
        if now < agent.until {
            self.free_agents.push_back(agent);
        }
    }

    /// The agent who has been free for longest.
    pub(super) fn take_agent(&mut self, now: Timestamp) -> Option<Agent> {
        while let Some(agent) = self.free_agents.pop_front() {
            if now < agent.until {
                return Some(agent);
            }
        }
        None
    }

    pub(super) fn take_supervisor(&mut self) -> Option<SupervisorId> {
        self.free_supervisors.pop_front()
    }

    pub(super) fn supervisor_is_free(&mut self, supervisor: SupervisorId) {
        self.free_supervisors.push_back(supervisor);
    }

    /// Somebody who supervises, busy or not.
    pub(super) fn any_supervisor(&self, random: &mut Random) -> SupervisorId {
        supervisor(random.between(1, self.supervisors))
    }
}

/// When a shift begins.
pub(super) fn beginning(half_hour: u64) -> Timestamp {
    midnight().plus_millis(half_hour * HALF_HOUR_MS)
}

fn agent(number: u64) -> AgentId {
    let id = format!("sim-{}-{number}", name(number));
    id.parse().expect("letters, digits and hyphens")
}

fn supervisor(number: u64) -> SupervisorId {
    let id = format!("sim-lead-{}-{number}", name(number));
    id.parse().expect("letters, digits and hyphens")
}

fn name(number: u64) -> &'static str {
    let index = usize::try_from(number % NAMES.len() as u64).expect("below a length");
    NAMES[index]
}
