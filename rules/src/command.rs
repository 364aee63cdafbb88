//! What may be asked of a call: imperatives, with what `decide` needs.

use crate::ids::{
    Actor, CallId, CommandId, Correlation, CustomerNumber, GivenReason, Note, Party, Queue,
    Revision, Target,
};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One command for one call, with what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The call it is for.
    pub call: CallId,
    /// Makes the command idempotent; without one it gets a random id and cannot be retried safely.
    pub id: Option<CommandId>,
    /// When it happened, if not now.
    pub at: Option<Timestamp>,
    /// Text to find related work by.
    pub correlation: Option<Correlation>,
    /// Refuse as a conflict unless the call is at this revision.
    pub expect: Option<Revision>,
    /// What is asked.
    pub command: Command,
}

/// What is asked of a call. `by` is whoever asks, whether or not they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The telephone system reports that an agent answered a customer: opens the call (R1).
    ConnectCall {
        /// Who answered, and so becomes primary.
        agent: Party,
        /// The customer's number, if it is known.
        customer: Option<CustomerNumber>,
        /// The queue or skill the call came through.
        queue: Option<Queue>,
    },
    /// An agent calls somebody outside the call on a private leg (R12).
    StartConsult {
        /// The agent who consults.
        by: Actor,
        /// Whom to consult.
        target: Target,
        /// Whom the consult holds.
        hold: HoldScope,
    },
    /// The target answers the consult (R5).
    AcceptConsult {
        /// The target.
        by: Actor,
    },
    /// The target turns the consult down (R15).
    DeclineConsult {
        /// The target.
        by: Actor,
    },
    /// The telephone system reports that the target did not answer (R15).
    ConsultUnanswered,
    /// Ends the consult, or stops its ringing (R15).
    EndConsult {
        /// Its initiator, or the consulted agent.
        by: Actor,
    },
    /// Merges the answered consult into the call (R5 to R11).
    StartConference {
        /// The agent who started the consult.
        by: Actor,
        /// Where it was asked: a phone device cannot (R6).
        origin: Origin,
    },
    /// Holds a party (R16).
    Hold {
        /// The primary.
        by: Actor,
        /// Whom to hold.
        party: Party,
    },
    /// Releases a held party (R17).
    Resume {
        /// The primary, or whoever held the party.
        by: Actor,
        /// Whom to release.
        party: Party,
    },
    /// In a two-party call: leaves and puts the answered consult in one's place (R21).
    TransferCall {
        /// The primary.
        by: Actor,
    },
    /// Leaves a conference; the others talk on (R23).
    ExitConference {
        /// The agent who leaves.
        by: Actor,
    },
    /// Ends the call for everybody (R28).
    EndCall {
        /// The primary.
        by: Actor,
    },
    /// The End button: ends the call for a primary (R28), leaves for a conferenced agent (R30).
    PressEnd {
        /// Whoever pressed it.
        by: Actor,
    },
    /// A fact: the party's device went on hook (R29, R31, R41).
    HangUp {
        /// Whose device it was.
        party: Party,
    },
    /// A fact: the party's connection broke (R29, R41).
    LoseConnection {
        /// Whose connection it was.
        party: Party,
    },
    /// Settles the agent's wrap-up with a reason (R51).
    ApplyWrapUp {
        /// The agent who owes it.
        by: Actor,
        /// Why the customer had called.
        reason: GivenReason,
    },
    /// Suggests a reason to the others who owe wrap-up (R49).
    SuggestWrapUp {
        /// The agent who assists.
        by: Actor,
        /// The suggested reason.
        reason: GivenReason,
        /// A note beside it; personal.
        note: Option<Note>,
    },
    /// A supervisor begins to listen through an agent (R53).
    StartMonitoring {
        /// The supervisor.
        by: Actor,
        /// The agent to listen to.
        agent: Party,
    },
    /// A listening supervisor begins to speak (R54, R59).
    BargeIn {
        /// The supervisor.
        by: Actor,
    },
    /// A supervisor ends the session.
    StopMonitoring {
        /// The supervisor.
        by: Actor,
    },
}

/// Whom a consult holds (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HoldScope {
    /// Everybody else in the call.
    #[default]
    Others,
    /// Nobody: they talk on.
    None,
}

/// Where a conference was asked for (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Origin {
    /// The agent desktop.
    #[default]
    Desktop,
    /// A hard or soft phone.
    Device,
}

impl Command {
    /// The command's name in the interface.
    pub fn name(&self) -> &'static str {
        match self {
            Command::ConnectCall { .. } => "connect_call",
            Command::StartConsult { .. } => "start_consult",
            Command::AcceptConsult { .. } => "accept_consult",
            Command::DeclineConsult { .. } => "decline_consult",
            Command::ConsultUnanswered => "consult_unanswered",
            Command::EndConsult { .. } => "end_consult",
            Command::StartConference { .. } => "start_conference",
            Command::Hold { .. } => "hold",
            Command::Resume { .. } => "resume",
            Command::TransferCall { .. } => "transfer_call",
            Command::ExitConference { .. } => "exit_conference",
            Command::EndCall { .. } => "end_call",
            Command::PressEnd { .. } => "press_end",
            Command::HangUp { .. } => "hang_up",
            Command::LoseConnection { .. } => "lose_connection",
            Command::ApplyWrapUp { .. } => "apply_wrap_up",
            Command::SuggestWrapUp { .. } => "suggest_wrap_up",
            Command::StartMonitoring { .. } => "start_monitoring",
            Command::BargeIn { .. } => "barge_in",
            Command::StopMonitoring { .. } => "stop_monitoring",
        }
    }

    /// Who asked: `by`; for a fact the party; nobody for what the telephone system reports.
    pub fn actor(&self) -> Option<Actor> {
        match self {
            Command::HangUp { party } | Command::LoseConnection { party } => {
                Some(Actor::Party(party.clone()))
            }
            command => command.by().cloned(),
        }
    }

    /// Who asks for it; nobody for what the telephone system reports, facts among it.
    pub fn by(&self) -> Option<&Actor> {
        match self {
            Command::ConnectCall { .. }
            | Command::ConsultUnanswered
            | Command::HangUp { .. }
            | Command::LoseConnection { .. } => None,
            Command::StartConsult { by, .. }
            | Command::AcceptConsult { by }
            | Command::DeclineConsult { by }
            | Command::EndConsult { by }
            | Command::StartConference { by, .. }
            | Command::Hold { by, .. }
            | Command::Resume { by, .. }
            | Command::TransferCall { by }
            | Command::ExitConference { by }
            | Command::EndCall { by }
            | Command::PressEnd { by }
            | Command::ApplyWrapUp { by, .. }
            | Command::SuggestWrapUp { by, .. }
            | Command::StartMonitoring { by, .. }
            | Command::BargeIn { by }
            | Command::StopMonitoring { by } => Some(by),
        }
    }
}
