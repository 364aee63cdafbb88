//! What has happened to a call: past tense, immutable, with what `evolve` or a reader needs.

use crate::command::HoldScope;
use crate::ids::{AgentId, CustomerNumber, Note, Party, Queue, Reason, SupervisorId, Target};
use crate::rejection::Rule;
use crate::table::{FieldType, Value, ValueType, choices, named, table};

table!(
    /// One thing that happened to a call. When it happened stands beside it.
    Event,
    /// The type of an event; the embedded store keeps its number.
    EventType from event_type,
    {
        /// An agent answered a customer; both are seated, the agent as primary.
        CallConnected = (1, "call_connected") {
            /// Who answered.
            agent: AgentId,
            /// The customer's number.
            customer: Option<Personal<CustomerNumber>>,
            /// The queue or skill the call came through.
            queue: Option<Queue>,
        },
        /// A consult rings (R12).
        ConsultRequested = (2, "consult_requested") {
            /// Its initiator.
            by: AgentId,
            /// Whom it rings.
            target: Target,
            /// Whom it holds.
            hold: HoldScope,
        },
        /// A consult was answered (R5).
        ConsultStarted = (3, "consult_started") {
            /// Its initiator.
            by: AgentId,
            /// Who answered.
            target: Target,
        },
        /// A consult is over (R15).
        ConsultEnded = (4, "consult_ended") {
            /// Its initiator.
            by: AgentId,
            /// Who was consulted.
            target: Target,
            /// How it ended.
            cause: ConsultEnd,
        },
        /// A consulted party joined the main call; the customer never comes back (R47).
        PartyJoined = (5, "party_joined") {
            /// Who joined.
            party: Target,
        },
        /// The call became a conference (R4).
        ConferenceStarted = (6, "conference_started") {
            /// Its primary agent (R8).
            primary: AgentId,
        },
        /// A party was put on hold.
        PartyHeld = (7, "party_held") {
            /// Who is held.
            party: Party,
            /// Who holds.
            by: AgentId,
        },
        /// A held party hears the call again.
        PartyReleased = (8, "party_released") {
            /// Who was held.
            party: Party,
        },
        /// A party left the main call.
        PartyLeft = (9, "party_left") {
            /// Who left.
            party: Party,
            /// How.
            reason: LeaveReason,
        },
        /// Another agent is primary now (R24).
        ControlTransferred = (10, "control_transferred") {
            /// The former primary.
            from: AgentId,
            /// The new one.
            to: AgentId,
        },
        /// Nobody is primary any more: no agent remains (R26).
        ControlVacated = (11, "control_vacated") {
            /// The former primary.
            from: AgentId,
        },
        /// The conference is an ordinary two-party call again (R39).
        ConferenceDissolved = (12, "conference_dissolved"),
        /// The customer left and the others talk on (R45).
        WrapUpAssistEntered = (13, "wrap_up_assist_entered"),
        /// The call is over (R34, R36, R28).
        CallEnded = (14, "call_ended") {
            /// Why.
            cause: EndCause,
        },
        /// The call is over and all its wrap-ups are settled (R52).
        CallCompleted = (15, "call_completed"),
        /// An agent owes wrap-up (R50).
        WrapUpOwed = (16, "wrap_up_owed") {
            /// Who owes it.
            agent: AgentId,
        },
        /// An agent settled the wrap-up (R51).
        WrapUpApplied = (17, "wrap_up_applied") {
            /// Who owed it.
            agent: AgentId,
            /// With what reason.
            reason: Reason,
        },
        /// An agent suggested a reason to the others who owe wrap-up (R49).
        WrapUpSuggested = (18, "wrap_up_suggested") {
            /// Who suggests.
            by: AgentId,
            /// The reason.
            reason: Reason,
            /// A note beside it.
            note: Option<Personal<Note>>,
        },
        /// A supervisor listens through an agent (R53).
        MonitoringStarted = (19, "monitoring_started") {
            /// Who listens.
            supervisor: SupervisorId,
            /// Through whom.
            agent: AgentId,
        },
        /// A listening supervisor speaks too (R59).
        SupervisorBargedIn = (20, "supervisor_barged_in") {
            /// Who speaks.
            supervisor: SupervisorId,
        },
        /// A session went over to the primary because its agent left (R57).
        MonitoringMoved = (21, "monitoring_moved") {
            /// Whose session.
            supervisor: SupervisorId,
            /// The agent who left.
            from: AgentId,
            /// The primary.
            to: AgentId,
        },
        /// A supervisor's session is over (R55, R58).
        MonitoringEnded = (22, "monitoring_ended") {
            /// Whose session.
            supervisor: SupervisorId,
            /// Why.
            cause: MonitoringEnd,
        },
    },
);

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

impl<T: FieldType> FieldType for Personal<T> {
    const TYPE: ValueType = T::TYPE;

    fn value(&self) -> Option<Value<'_>> {
        match self {
            Personal::Clear(text) => text.value(),
            Personal::Erased => Some(Value::Erased),
        }
    }
}

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

choices!(ConsultEnd, LeaveReason, EndCause, MonitoringEnd);

impl Event {
    /// Whether it has a personal text, erased or not.
    pub fn has_personal_text(&self) -> bool {
        let mut fields = self.fields();
        fields.any(|(_, value)| matches!(value, Some(Value::Personal(_) | Value::Erased)))
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
