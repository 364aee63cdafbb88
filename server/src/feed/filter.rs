//! Which events somebody asks for.

use domain::event::{Event, EventType};
use domain::{Actor, AgentId, CallId, Entry, RecordedEvent};

/// Events of a call, events that name an agent, events of a type: all that fit whatever is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) call: Option<CallId>,
    pub(super) agent: Option<AgentId>,
    pub(super) event_type: Option<EventType>,
}

impl Filter {
    /// Whether everything is asked for.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// A damaged event passes unless it is known to be another call's: its agents and its type cannot be read.
    pub(super) fn lets_through(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Event(event) => self.fits(&event.recorded),
            Entry::Damaged(event) => {
                let asked = self.call.as_ref().zip(event.call.as_ref());
                asked.is_none_or(|(asked, call)| asked == call)
            }
        }
    }

    fn fits(&self, event: &RecordedEvent) -> bool {
        let names = |agent: &AgentId| agents(event).contains(&Some(agent));
        self.call
            .as_ref()
            .is_none_or(|call| *call == event.cause.call)
            && self
                .event_type
                .is_none_or(|event_type| event_type == event.payload.event_type)
            && self.agent.as_ref().is_none_or(names)
    }
}

/// The agents that an event names: who asked for it, and those in it. One may be there twice.
pub(crate) fn agents(event: &RecordedEvent) -> [Option<&AgentId>; 3] {
    let [first, second] = agents_within(&event.event);
    let actor = match &event.cause.actor {
        Some(Actor::Party(party)) => party.agent(),
        Some(Actor::Supervisor(_)) | None => None,
    };
    [actor, first, second]
}

fn agents_within(event: &Event) -> [Option<&AgentId>; 2] {
    match event {
        Event::ConsultRequested { by, target, .. }
        | Event::ConsultStarted { by, target }
        | Event::ConsultEnded { by, target, .. } => [Some(by), target.agent()],
        Event::PartyHeld { party, by } => [Some(by), party.agent()],
        Event::ControlTransferred { from, to } | Event::MonitoringMoved { from, to, .. } => {
            [Some(from), Some(to)]
        }
        Event::PartyJoined { party } => [party.agent(), None],
        Event::PartyReleased { party } | Event::PartyLeft { party, .. } => [party.agent(), None],
        Event::CallConnected { agent, .. }
        | Event::ConferenceStarted { primary: agent }
        | Event::ControlVacated { from: agent }
        | Event::WrapUpOwed { agent }
        | Event::WrapUpApplied { agent, .. }
        | Event::WrapUpSuggested { by: agent, .. }
        | Event::MonitoringStarted { agent, .. } => [Some(agent), None],
        Event::ConferenceDissolved
        | Event::WrapUpAssistEntered
        | Event::CallEnded { .. }
        | Event::CallCompleted
        | Event::SupervisorBargedIn { .. }
        | Event::MonitoringEnded { .. } => [None, None],
    }
}
