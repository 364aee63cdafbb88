//! Which events somebody asks for.

use domain::event::EventType;
use domain::table::Value;
use domain::{AgentId, CallId, Entry, RecordedEvent};

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
        let names = |agent: &AgentId| agents(event).any(|named| named == agent);
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
pub(crate) fn agents(event: &RecordedEvent) -> impl Iterator<Item = &AgentId> {
    let actor = event.cause.actor.as_ref();
    let values = event.event.fields().filter_map(|(_, value)| value);
    let values = actor.map(Value::Actor).into_iter().chain(values);
    values.filter_map(Value::agent)
}
