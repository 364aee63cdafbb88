//! What may be asked of a call: imperatives, with what `decide` needs.

use crate::ids::{
    Actor, CallId, CommandId, Correlation, CustomerNumber, GivenReason, Note, Party, Queue,
    Revision, Target,
};
use crate::json::{Fields, InvalidCommand, given};
use crate::table::{Value, choices, named, table};
use crate::time::Timestamp;

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

/// Declares the commands by [`table!`], and how each is read from the fields of a JSON object.
macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        $name:ident = $key:tt $({ $($(#[$field_doc:meta])* $field:ident: $field_type:ty),* $(,)? })?
    ),* $(,)?) => {
        table!(
            /// What is asked of a call. `by` is whoever asks, whether or not they may.
            Command,
            /// The type of a command; its number and its fields are in the digest.
            CommandType from command_type,
            { $($(#[$doc])* $name = $key $({ $($(#[$field_doc])* $field: $field_type),* })?),* },
        );

        impl Command {
            /// Takes the fields of that type's commands.
            pub(crate) fn take(of: CommandType, fields: &mut Fields<'_>) -> Result<Self, InvalidCommand> {
                Ok(match of {
                    $(CommandType::$name => Command::$name $({
                        $($field: given(of.name(), stringify!($field), fields.$field.take())?),*
                    })?),*
                })
            }
        }
    };
}

commands! {
    /// The telephone system reports that an agent answered a customer: opens the call (R1).
    ConnectCall = (0, "connect_call") {
        /// Who answered, and so becomes primary.
        agent: Party,
        /// The customer's number, if it is known.
        customer: Option<CustomerNumber>,
        /// The queue or skill the call came through.
        queue: Option<Queue>,
    },
    /// An agent calls somebody outside the call on a private leg (R12).
    StartConsult = (1, "start_consult") {
        /// The agent who consults.
        by: Actor,
        /// Whom to consult.
        target: Target,
        /// Whom the consult holds.
        hold: HoldScope,
    },
    /// The target answers the consult (R5).
    AcceptConsult = (2, "accept_consult") {
        /// The target.
        by: Actor,
    },
    /// The target turns the consult down (R15).
    DeclineConsult = (3, "decline_consult") {
        /// The target.
        by: Actor,
    },
    /// The telephone system reports that the target did not answer (R15).
    ConsultUnanswered = (4, "consult_unanswered"),
    /// Ends the consult, or stops its ringing (R15).
    EndConsult = (5, "end_consult") {
        /// Its initiator, or the consulted agent.
        by: Actor,
    },
    /// Merges the answered consult into the call (R5 to R11).
    StartConference = (6, "start_conference") {
        /// The agent who started the consult.
        by: Actor,
        /// Where it was asked: a phone device cannot (R6).
        origin: Origin,
    },
    /// Holds a party (R16).
    Hold = (7, "hold") {
        /// The primary.
        by: Actor,
        /// Whom to hold.
        party: Party,
    },
    /// Releases a held party (R17).
    Resume = (8, "resume") {
        /// The primary, or whoever held the party.
        by: Actor,
        /// Whom to release.
        party: Party,
    },
    /// In a two-party call: leaves and puts the answered consult in one's place (R21).
    TransferCall = (9, "transfer_call") {
        /// The primary.
        by: Actor,
    },
    /// Leaves a conference; the others talk on (R23).
    ExitConference = (10, "exit_conference") {
        /// The agent who leaves.
        by: Actor,
    },
    /// Ends the call for everybody (R28).
    EndCall = (11, "end_call") {
        /// The primary.
        by: Actor,
    },
    /// The End button: ends the call for a primary (R28), leaves for a conferenced agent (R30).
    PressEnd = (12, "press_end") {
        /// Whoever pressed it.
        by: Actor,
    },
    /// A fact: the party's device went on hook (R29, R31, R41).
    HangUp = (13, "hang_up") {
        /// Whose device it was.
        party: Party,
    },
    /// A fact: the party's connection broke (R29, R41).
    LoseConnection = (14, "lose_connection") {
        /// Whose connection it was.
        party: Party,
    },
    /// Settles the agent's wrap-up with a reason (R51).
    ApplyWrapUp = (15, "apply_wrap_up") {
        /// The agent who owes it.
        by: Actor,
        /// Why the customer had called.
        reason: GivenReason,
    },
    /// Suggests a reason to the others who owe wrap-up (R49).
    SuggestWrapUp = (16, "suggest_wrap_up") {
        /// The agent who assists.
        by: Actor,
        /// The suggested reason.
        reason: GivenReason,
        /// A note beside it; personal.
        note: Option<Note>,
    },
    /// A supervisor begins to listen through an agent (R53).
    StartMonitoring = (17, "start_monitoring") {
        /// The supervisor.
        by: Actor,
        /// The agent to listen to.
        agent: Party,
    },
    /// A listening supervisor begins to speak (R54, R59).
    BargeIn = (18, "barge_in") {
        /// The supervisor.
        by: Actor,
    },
    /// A supervisor ends the session.
    StopMonitoring = (19, "stop_monitoring") {
        /// The supervisor.
        by: Actor,
    },
}

named!(
    /// Whom a consult holds (R12).
    HoldScope {
        /// Everybody else in the call.
        Others = "others",
        /// Nobody: they talk on.
        None = "none",
    }
);

named!(
    /// Where a conference was asked for (R6).
    Origin {
        /// The agent desktop.
        Desktop = "desktop",
        /// A hard or soft phone.
        Device = "device",
    }
);

choices!(HoldScope or Others, Origin or Desktop);

impl Command {
    /// The command's name in the interface.
    pub fn name(&self) -> &'static str {
        self.command_type().name()
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
        self.fields().find_map(|(_, value)| match value {
            Some(Value::Actor(actor)) => Some(actor),
            _ => None,
        })
    }

    /// The personal text, if it has one.
    pub fn personal_text(&self) -> Option<&str> {
        self.fields().find_map(|(_, value)| match value {
            Some(Value::Personal(text)) => Some(text),
            _ => None,
        })
    }
}
