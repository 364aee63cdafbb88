//! Handle times by another way: spans from what events announce, added up at the end (R61).

use domain::{AgentId, Event, Party, StoredEvent};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What can go on for a while in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Phase(&'static str),
    Held(Party),
    Seated(AgentId),
    Leg,
    LegOf(AgentId),
    Owing(AgentId),
}

/// Something that went on from one millisecond to another.
struct Span {
    what: What,
    from: u64,
    to: Option<u64>,
}

/// Everything that went on in one call.
#[derive(Default)]
pub(crate) struct Oracle {
    spans: Vec<Span>,
    agents: BTreeSet<AgentId>,
    ended: bool,
}

impl Oracle {
    pub(crate) fn of(history: &[StoredEvent]) -> Self {
        let mut oracle = Self::default();
        for event in history {
            let at = event.recorded.cause.at.as_millis();
            oracle.take_in(&event.recorded.event, at);
        }
        oracle
    }

    /// The parts of the call's row, once it has ended.
    pub(crate) fn call(&self) -> Option<Value> {
        let phase = |name| self.total(&What::Phase(name));
        self.ended.then(|| {
            json!({
                "talking_ms": phase("talking"),
                "conference_ms": phase("conference"),
                "wrap_up_assist_ms": phase("wrap_up_assist"),
                "handle_ms": phase("talking") + phase("conference") + phase("wrap_up_assist"),
                "customer_held_ms": self.total(&What::Held(Party::Customer)),
                "consult_ms": self.total(&What::Leg),
            })
        })
    }

    /// Who has a row in a call that ended, and its parts.
    pub(crate) fn agents(&self) -> Vec<(String, Value)> {
        if !self.ended {
            return Vec::new();
        }
        let agents = self.agents.iter();
        agents
            .map(|agent| (format!("agent:{agent}"), self.agent(agent)))
            .collect()
    }

    fn agent(&self, agent: &AgentId) -> Value {
        let seated = What::Seated(agent.clone());
        let held = self.total(&What::Held(Party::Agent(agent.clone())));
        let owing = What::Owing(agent.clone());
        let wrap_up = self.total(&owing) - self.overlap(&owing, &seated);
        json!({
            "engaged_ms": self.total(&seated) - held,
            "held_ms": held,
            "wrap_up_ms": wrap_up,
            "handle_ms": self.total(&seated) + wrap_up,
            "conference_ms": self.overlap(&seated, &What::Phase("conference")),
            "consult_ms": self.total(&What::LegOf(agent.clone())),
            "wrap_up_assist_ms": self.overlap(&seated, &What::Phase("wrap_up_assist")),
        })
    }

    fn take_in(&mut self, event: &Event, at: u64) {
        match event {
            Event::CallConnected { agent, .. } => {
                self.begin(What::Phase("talking"), at);
                self.joins(agent, at);
            }
            Event::PartyJoined { party } => {
                if let Some(agent) = party.agent() {
                    self.joins(agent, at);
                }
            }
            Event::ConsultStarted { by, target } => {
                self.begin(What::Leg, at);
                for agent in [Some(by), target.agent()].into_iter().flatten() {
                    self.agents.insert(agent.clone());
                    self.begin(What::LegOf(agent.clone()), at);
                }
            }
            Event::ConsultEnded { by, target, .. } => {
                self.end(&What::Leg, at);
                for agent in [Some(by), target.agent()].into_iter().flatten() {
                    self.end(&What::LegOf(agent.clone()), at);
                }
            }
            Event::ConferenceStarted { .. } => self.phase(Some("conference"), at),
            Event::ConferenceDissolved => self.phase(Some("talking"), at),
            Event::WrapUpAssistEntered => self.phase(Some("wrap_up_assist"), at),
            Event::PartyHeld { party, .. } => self.begin(What::Held(party.clone()), at),
            Event::PartyReleased { party } => self.end(&What::Held(party.clone()), at),
            Event::PartyLeft { party, .. } => {
                self.end(&What::Held(party.clone()), at);
                if let Some(agent) = party.agent() {
                    self.end(&What::Seated(agent.clone()), at);
                }
            }
            Event::CallEnded { .. } => {
                self.phase(None, at);
                self.ended = true;
            }
            Event::WrapUpOwed { agent } => self.begin(What::Owing(agent.clone()), at),
            Event::WrapUpApplied { agent, .. } => self.end(&What::Owing(agent.clone()), at),
            // Every other begins and ends nothing; of the fold, the build asks it of each event.
            _ => {}
        }
    }

    fn joins(&mut self, agent: &AgentId, at: u64) {
        self.agents.insert(agent.clone());
        self.begin(What::Seated(agent.clone()), at);
    }

    fn phase(&mut self, next: Option<&'static str>, at: u64) {
        for phase in ["talking", "conference", "wrap_up_assist"] {
            self.end(&What::Phase(phase), at);
        }
        if let Some(next) = next {
            self.begin(What::Phase(next), at);
        }
    }

    fn begin(&mut self, what: What, from: u64) {
        self.spans.push(Span {
            what,
            from,
            to: None,
        });
    }

    fn end(&mut self, what: &What, at: u64) {
        let mut open = self.spans.iter_mut().filter(|span| span.to.is_none());
        if let Some(span) = open.find(|span| span.what == *what) {
            span.to = Some(at);
        }
    }

    /// Beginning and end of all such spans that are over.
    fn over<'a>(&'a self, what: &'a What) -> impl Iterator<Item = (u64, u64)> + 'a {
        let spans = self.spans.iter().filter(move |span| span.what == *what);
        spans.filter_map(|span| Some((span.from, span.to?)))
    }

    fn total(&self, what: &What) -> u64 {
        self.over(what).map(|(from, to)| to - from).sum()
    }

    fn overlap(&self, one: &What, other: &What) -> u64 {
        let pairs = self
            .over(one)
            .flat_map(|one| self.over(other).map(move |other| (one, other)));
        let both = pairs.map(|(one, other)| one.1.min(other.1).saturating_sub(one.0.max(other.0)));
        both.sum()
    }
}
