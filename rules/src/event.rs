//! What has happened to a call: past tense, immutable, with what `evolve` or a reader needs.

use crate::command::HoldScope;
use crate::ids::{AgentId, CustomerNumber, Note, Party, Queue, Reason, SupervisorId, Target};
use crate::rejection::Rule;
use serde::{Deserialize, Serialize};

/// One thing that happened to a call. When it happened stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An agent answered a customer; both are seated, the agent as primary.
    CallConnected {
        /// Who answered.
        agent: AgentId,
        /// The customer's number.
        customer: Option<Personal<CustomerNumber>>,
        /// The queue or skill the call came through.
        queue: Option<Queue>,
    },
    /// A consult rings (R12).
    ConsultRequested {
        /// Its initiator.
        by: AgentId,
        /// Whom it rings.
        target: Target,
        /// Whom it holds.
        hold: HoldScope,
    },
    /// A consult was answered (R5).
    ConsultStarted {
        /// Its initiator.
        by: AgentId,
        /// Who answered.
        target: Target,
    },
    /// A consult is over (R15).
    ConsultEnded {
        /// Its initiator.
        by: AgentId,
        /// Who was consulted.
        target: Target,
        /// How it ended.
        cause: ConsultEnd,
    },
    /// A consulted party joined the main call; the customer never comes back (R47).
    PartyJoined {
        /// Who joined.
        party: Target,
    },
    /// The call became a conference (R4).
    ConferenceStarted {
        /// Its primary agent (R8).
        primary: AgentId,
    },
    /// A party was put on hold.
    PartyHeld {
        /// Who is held.
        party: Party,
        /// Who holds.
        by: AgentId,
    },
    /// A held party hears the call again.
    PartyReleased {
        /// Who was held.
        party: Party,
    },
    /// A party left the main call.
    PartyLeft {
        /// Who left.
        party: Party,
        /// How.
        reason: LeaveReason,
    },
    /// Another agent is primary now (R24).
    ControlTransferred {
        /// The former primary.
        from: AgentId,
        /// The new one.
        to: AgentId,
    },
    /// Nobody is primary any more: no agent remains (R26).
    ControlVacated {
        /// The former primary.
        from: AgentId,
    },
    /// The conference is an ordinary two-party call again (R39).
    ConferenceDissolved,
    /// The customer left and the others talk on (R45).
    WrapUpAssistEntered,
    /// The call is over (R34, R36, R28).
    CallEnded {
        /// Why.
        cause: EndCause,
    },
    /// The call is over and all its wrap-ups are settled (R52).
    CallCompleted,
    /// An agent owes wrap-up (R50).
    WrapUpOwed {
        /// Who owes it.
        agent: AgentId,
    },
    /// An agent settled the wrap-up (R51).
    WrapUpApplied {
        /// Who owed it.
        agent: AgentId,
        /// With what reason.
        reason: Reason,
    },
    /// An agent suggested a reason to the others who owe wrap-up (R49).
    WrapUpSuggested {
        /// Who suggests.
        by: AgentId,
        /// The reason.
        reason: Reason,
        /// A note beside it.
        note: Option<Personal<Note>>,
    },
    /// A supervisor listens through an agent (R53).
    MonitoringStarted {
        /// Who listens.
        supervisor: SupervisorId,
        /// Through whom.
        agent: AgentId,
    },
    /// A listening supervisor speaks too (R59).
    SupervisorBargedIn {
        /// Who speaks.
        supervisor: SupervisorId,
    },
    /// A session went over to the primary because its agent left (R57).
    MonitoringMoved {
        /// Whose session.
        supervisor: SupervisorId,
        /// The agent who left.
        from: AgentId,
        /// The primary.
        to: AgentId,
    },
    /// A supervisor's session is over (R55, R58).
    MonitoringEnded {
        /// Whose session.
        supervisor: SupervisorId,
        /// Why.
        cause: MonitoringEnd,
    },
}

/// A text that identifies a customer, and can be made unreadable without touching history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// The text.
    Clear(T),
    /// The text was made unreadable; all else still verifies.
    Erased,
}

impl<T> Personal<T> {
    /// The text, unless it was erased.
    pub fn clear(&self) -> Option<&T> {
        match self {
            Personal::Clear(text) => Some(text),
            Personal::Erased => None,
        }
    }
}

/// Declares an enum of the interface together with its names there.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl $name {
            /// Every value, in the order it was defined.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name in the interface.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }
        }
    };
}
pub(crate) use named;

named!(
    /// How a consult ended.
    ConsultEnd {
        /// After it was answered: by either end, or with the call or its initiator.
        Ended = "ended",
        /// Its target turned it down.
        Declined = "declined",
        /// Nobody answered.
        NotAnswered = "not_answered",
        /// It was stopped while it rang.
        Cancelled = "cancelled",
        /// It became part of a conference.
        Merged = "merged",
        /// Its target took the place of its initiator.
        Transferred = "transferred",
    }
);

named!(
    /// How a party left the call.
    LeaveReason {
        /// By Exit, or as a conferenced agent by End.
        Exited = "exited",
        /// The device went on hook.
        HungUp = "hung_up",
        /// The connection broke.
        ConnectionLost = "connection_lost",
        /// Handed its place to the consulted party.
        Transferred = "transferred",
        /// The call was over.
        CallEnded = "call_ended",
    }
);

named!(
    /// Why a call ended.
    EndCause {
        /// At most one party was left (R34).
        OnePartyLeft = "one_party_left",
        /// The customer and every agent had left (R36).
        CustomerAndAgentsLeft = "customer_and_agents_left",
        /// The primary ended it for everybody (R28, R29).
        EndedByPrimary = "ended_by_primary",
    }
);

named!(
    /// Why a supervisor's session ended.
    MonitoringEnd {
        /// The supervisor stopped.
        Requested = "requested",
        /// No agent was left in the call (R55, R58).
        NoAgentLeft = "no_agent_left",
        /// The call ended (R58).
        CallEnded = "call_ended",
    }
);

named!(
    /// The type of an event.
    EventType {
        /// See [`Event::CallConnected`].
        CallConnected = "call_connected",
        /// See [`Event::ConsultRequested`].
        ConsultRequested = "consult_requested",
        /// See [`Event::ConsultStarted`].
        ConsultStarted = "consult_started",
        /// See [`Event::ConsultEnded`].
        ConsultEnded = "consult_ended",
        /// See [`Event::PartyJoined`].
        PartyJoined = "party_joined",
        /// See [`Event::ConferenceStarted`].
        ConferenceStarted = "conference_started",
        /// See [`Event::PartyHeld`].
        PartyHeld = "party_held",
        /// See [`Event::PartyReleased`].
        PartyReleased = "party_released",
        /// See [`Event::PartyLeft`].
        PartyLeft = "party_left",
        /// See [`Event::ControlTransferred`].
        ControlTransferred = "control_transferred",
        /// See [`Event::ControlVacated`].
        ControlVacated = "control_vacated",
        /// See [`Event::ConferenceDissolved`].
        ConferenceDissolved = "conference_dissolved",
        /// See [`Event::WrapUpAssistEntered`].
        WrapUpAssistEntered = "wrap_up_assist_entered",
        /// See [`Event::CallEnded`].
        CallEnded = "call_ended",
        /// See [`Event::CallCompleted`].
        CallCompleted = "call_completed",
        /// See [`Event::WrapUpOwed`].
        WrapUpOwed = "wrap_up_owed",
        /// See [`Event::WrapUpApplied`].
        WrapUpApplied = "wrap_up_applied",
        /// See [`Event::WrapUpSuggested`].
        WrapUpSuggested = "wrap_up_suggested",
        /// See [`Event::MonitoringStarted`].
        MonitoringStarted = "monitoring_started",
        /// See [`Event::SupervisorBargedIn`].
        SupervisorBargedIn = "supervisor_barged_in",
        /// See [`Event::MonitoringMoved`].
        MonitoringMoved = "monitoring_moved",
        /// See [`Event::MonitoringEnded`].
        MonitoringEnded = "monitoring_ended",
    }
);

impl Event {
    /// The event's type.
    pub fn event_type(&self) -> EventType {
        match self {
            Event::CallConnected { .. } => EventType::CallConnected,
            Event::ConsultRequested { .. } => EventType::ConsultRequested,
            Event::ConsultStarted { .. } => EventType::ConsultStarted,
            Event::ConsultEnded { .. } => EventType::ConsultEnded,
            Event::PartyJoined { .. } => EventType::PartyJoined,
            Event::ConferenceStarted { .. } => EventType::ConferenceStarted,
            Event::PartyHeld { .. } => EventType::PartyHeld,
            Event::PartyReleased { .. } => EventType::PartyReleased,
            Event::PartyLeft { .. } => EventType::PartyLeft,
            Event::ControlTransferred { .. } => EventType::ControlTransferred,
            Event::ControlVacated { .. } => EventType::ControlVacated,
            Event::ConferenceDissolved => EventType::ConferenceDissolved,
            Event::WrapUpAssistEntered => EventType::WrapUpAssistEntered,
            Event::CallEnded { .. } => EventType::CallEnded,
            Event::CallCompleted => EventType::CallCompleted,
            Event::WrapUpOwed { .. } => EventType::WrapUpOwed,
            Event::WrapUpApplied { .. } => EventType::WrapUpApplied,
            Event::WrapUpSuggested { .. } => EventType::WrapUpSuggested,
            Event::MonitoringStarted { .. } => EventType::MonitoringStarted,
            Event::SupervisorBargedIn { .. } => EventType::SupervisorBargedIn,
            Event::MonitoringMoved { .. } => EventType::MonitoringMoved,
            Event::MonitoringEnded { .. } => EventType::MonitoringEnded,
        }
    }

    /// The rule by which it happened, for whoever explains a call; `batch` is all that one command brought about.
    pub fn rule(&self, batch: &[Event]) -> Rule {
        Rule(match self {
            Event::CallConnected { .. } => 1,
            Event::ConsultRequested { .. } => 12,
            Event::ConsultStarted { .. } => 5,
            Event::ConsultEnded { by, cause, .. } => rule_of_consult_end(by, *cause, batch),
            Event::PartyJoined { .. } => {
                if is_transfer(batch) {
                    21
                } else {
                    42
                }
            }
            Event::ConferenceStarted { .. } => 8,
            Event::PartyHeld { .. } => {
                if is_consult(batch) {
                    12
                } else {
                    16
                }
            }
            Event::PartyReleased { .. } => rule_of_release(batch),
            Event::PartyLeft { reason, .. } => rule_of_leaving(*reason, batch),
            Event::ControlTransferred { .. } => {
                if is_transfer(batch) {
                    21
                } else {
                    24
                }
            }
            Event::ControlVacated { .. } => 26,
            Event::ConferenceDissolved => 39,
            Event::WrapUpAssistEntered => 45,
            Event::CallEnded { cause } => rule_of_end(*cause),
            Event::CallCompleted => 52,
            Event::WrapUpOwed { .. } => 50,
            Event::WrapUpApplied { .. } => 51,
            Event::WrapUpSuggested { .. } => 49,
            Event::MonitoringStarted { .. } => 53,
            Event::SupervisorBargedIn { .. } => 59,
            Event::MonitoringMoved { .. } => 57,
            Event::MonitoringEnded { cause, .. } => match cause {
                MonitoringEnd::Requested => 59,
                MonitoringEnd::NoAgentLeft => 55,
                MonitoringEnd::CallEnded => 58,
            },
        })
    }
}

fn is_consult(batch: &[Event]) -> bool {
    let requested = |event: &Event| matches!(event, Event::ConsultRequested { .. });
    batch.iter().any(requested)
}

fn is_merge(batch: &[Event]) -> bool {
    batch
        .iter()
        .any(|event| ends_consult(event, ConsultEnd::Merged))
}

fn is_transfer(batch: &[Event]) -> bool {
    batch
        .iter()
        .any(|event| ends_consult(event, ConsultEnd::Transferred))
}

fn ends_consult(event: &Event, how: ConsultEnd) -> bool {
    matches!(event, Event::ConsultEnded { cause, .. } if *cause == how)
}

fn end_of(batch: &[Event]) -> Option<EndCause> {
    batch.iter().find_map(|event| match event {
        Event::CallEnded { cause } => Some(*cause),
        _ => None,
    })
}

/// A leg goes with its initiator (R34), a ringing one with the customer (R47), and every one with the call.
fn rule_of_consult_end(by: &AgentId, cause: ConsultEnd, batch: &[Event]) -> u8 {
    match cause {
        ConsultEnd::Merged => 9,
        ConsultEnd::Transferred => 21,
        ConsultEnd::Declined | ConsultEnd::NotAnswered => 15,
        ConsultEnd::Ended | ConsultEnd::Cancelled => match batch.first() {
            Some(Event::PartyLeft { party, .. }) if party.is_agent(by) => 34,
            Some(Event::PartyLeft { .. }) => end_of(batch).map_or(47, rule_of_end),
            _ => 15,
        },
    }
}

fn rule_of_release(batch: &[Event]) -> u8 {
    if is_merge(batch) {
        7
    } else if batch.len() > 1 {
        20
    } else {
        17
    }
}

fn rule_of_leaving(reason: LeaveReason, batch: &[Event]) -> u8 {
    match (reason, end_of(batch)) {
        (LeaveReason::HungUp, Some(EndCause::EndedByPrimary)) => 29,
        (LeaveReason::HungUp | LeaveReason::ConnectionLost, _) => 41,
        (LeaveReason::Exited, _) => 30,
        (LeaveReason::Transferred, _) => 21,
        (LeaveReason::CallEnded, cause) => cause.map_or(34, rule_of_end),
    }
}

fn rule_of_end(cause: EndCause) -> u8 {
    match cause {
        EndCause::OnePartyLeft => 34,
        EndCause::CustomerAndAgentsLeft => 36,
        EndCause::EndedByPrimary => 28,
    }
}
