//! Who and what a call is about. One type per identifier, none interchangeable; each has one door in, which checks.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A text that is not the identifier it was given as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidText {
    /// The text as given, cut after 80 characters.
    pub text: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl InvalidText {
    fn new(text: &str, expected: &'static str) -> Self {
        let mut shown: String = text.chars().take(80).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self {
            text: shown,
            expected,
        }
    }
}

/// Declares a text newtype whose only way in is `FromStr`, serde included.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = InvalidText;

            fn try_from(text: SmolStr) -> Result<Self, InvalidText> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidText::new(&text, $expected))
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::try_from(SmolStr::new(text))
            }
        }

        impl From<$name> for SmolStr {
            fn from(value: $name) -> SmolStr {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text!(
    /// A call's identifier as the telephone system gives it: 1 to 128 visible ASCII characters.
    CallId,
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
        && text != "."
        && text != "..",
    "a call identifier: 1 to 128 visible ASCII characters without space or \"/\" (send %2F), not \".\" or \"..\""
);

text!(
    /// An agent of the contact centre; written `agent:ID`.
    AgentId,
    is_person_id,
    "an agent's ID: 1 to 64 of A-Z a-z 0-9 . _ @ -"
);

text!(
    /// A supervisor of the contact centre; written `supervisor:ID`, unrelated to an agent of the same ID (R60).
    SupervisorId,
    is_person_id,
    "a supervisor's ID: 1 to 64 of A-Z a-z 0-9 . _ @ -"
);

text!(
    /// A party reached by number, without a desktop; written `dial:NUMBER`.
    DialNumber,
    |text| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        (1..=32).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'#')
    },
    "a dial number: an optional +, then 1 to 32 of 0-9 * #"
);

text!(
    /// The queue or skill a call came through: 1 to 64 characters.
    Queue,
    |text| char_count_within(text, 1, 64),
    "a queue: 1 to 64 characters"
);

text!(
    /// The customer's number: 1 to 128 characters. Personal; see `docs/spec/envelope.md`.
    CustomerNumber,
    |text| char_count_within(text, 1, 128),
    "a customer's number: 1 to 128 characters"
);

text!(
    /// Text to find related work by: at most 256 characters.
    Correlation,
    |text| char_count_within(text, 0, 256),
    "a correlation: at most 256 characters"
);

text!(
    /// A wrap-up reason as a command brings it: at most 128 characters, perhaps blank, which R51 refuses.
    GivenReason,
    |text| char_count_within(text, 0, 128),
    "a wrap-up reason: 1 to 128 characters"
);

text!(
    /// A wrap-up reason: 1 to 128 characters, not blank (R51).
    Reason,
    |text| char_count_within(text, 1, 128) && !text.trim().is_empty(),
    "a wrap-up reason: 1 to 128 characters, not blank"
);

text!(
    /// A note beside a suggested reason: at most 1,000 characters (R49). Personal.
    Note,
    |text| char_count_within(text, 0, 1000),
    "a note: at most 1,000 characters"
);

fn is_person_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b))
}

fn char_count_within(text: &str, least: usize, most: usize) -> bool {
    // A character is at most four bytes, so a text too long is refused without being counted.
    text.len() <= most * 4 && (least..=most).contains(&text.chars().count())
}

/// Somebody who can be connected to a call; never a supervisor (R60).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Party {
    /// The contact's customer; a call has one.
    Customer,
    /// An agent, with a desktop.
    Agent(AgentId),
    /// A party reached by number, without a desktop.
    Dial(DialNumber),
}

/// Whom an agent can consult: never the customer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// Another agent.
    Agent(AgentId),
    /// An outside expert, by number.
    Dial(DialNumber),
}

/// Who asked for something: a party or a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Actor {
    /// Somebody who can be connected to the call.
    Party(Party),
    /// A supervisor, who never is a party (R60).
    Supervisor(SupervisorId),
}

const ACTOR: &str = "a party or supervisor: customer, agent:ID, dial:NUMBER or supervisor:ID";

impl Party {
    /// The agent, if it is one.
    pub fn agent(&self) -> Option<&AgentId> {
        match self {
            Party::Agent(agent) => Some(agent),
            Party::Customer | Party::Dial(_) => None,
        }
    }

    /// Whether this party is that agent.
    pub fn is_agent(&self, agent: &AgentId) -> bool {
        self.agent() == Some(agent)
    }
}

impl Target {
    /// The agent, if it is one.
    pub fn agent(&self) -> Option<&AgentId> {
        match self {
            Target::Agent(agent) => Some(agent),
            Target::Dial(_) => None,
        }
    }

    /// The party the target is once it joins the call.
    pub fn to_party(&self) -> Party {
        match self {
            Target::Agent(agent) => Party::Agent(agent.clone()),
            Target::Dial(number) => Party::Dial(number.clone()),
        }
    }

    /// Whether this target is that party.
    pub fn is(&self, party: &Party) -> bool {
        match (self, party) {
            (Target::Agent(a), Party::Agent(b)) => a == b,
            (Target::Dial(a), Party::Dial(b)) => a == b,
            (Target::Agent(_) | Target::Dial(_), _) => false,
        }
    }
}

impl From<Target> for Party {
    fn from(target: Target) -> Party {
        match target {
            Target::Agent(agent) => Party::Agent(agent),
            Target::Dial(number) => Party::Dial(number),
        }
    }
}

impl From<AgentId> for Party {
    fn from(agent: AgentId) -> Party {
        Party::Agent(agent)
    }
}

impl From<Party> for Actor {
    fn from(party: Party) -> Actor {
        Actor::Party(party)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Customer => f.write_str("customer"),
            Party::Agent(agent) => write!(f, "agent:{agent}"),
            Party::Dial(number) => write!(f, "dial:{number}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Agent(agent) => write!(f, "agent:{agent}"),
            Target::Dial(number) => write!(f, "dial:{number}"),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Party(party) => party.fmt(f),
            Actor::Supervisor(supervisor) => write!(f, "supervisor:{supervisor}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if let Some(id) = text.strip_prefix("agent:") {
            return Ok(Actor::Party(Party::Agent(id.parse()?)));
        }
        if let Some(number) = text.strip_prefix("dial:") {
            return Ok(Actor::Party(Party::Dial(number.parse()?)));
        }
        if let Some(id) = text.strip_prefix("supervisor:") {
            return Ok(Actor::Supervisor(id.parse()?));
        }
        match text {
            "customer" => Ok(Actor::Party(Party::Customer)),
            _ => Err(InvalidText::new(text, ACTOR)),
        }
    }
}

impl FromStr for Party {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text.parse()? {
            Actor::Party(party) => Ok(party),
            Actor::Supervisor(_) => Err(InvalidText::new(
                text,
                "a party: customer, agent:ID or dial:NUMBER (a supervisor never is one)",
            )),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text.parse()? {
            Actor::Party(Party::Agent(agent)) => Ok(Target::Agent(agent)),
            Actor::Party(Party::Dial(number)) => Ok(Target::Dial(number)),
            Actor::Party(Party::Customer) | Actor::Supervisor(_) => Err(InvalidText::new(
                text,
                "somebody to consult: agent:ID or dial:NUMBER",
            )),
        }
    }
}

/// How many events a call has: 0 for a call nobody wrote to, 1 after its first event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision `events` further on.
    #[must_use]
    pub fn plus(self, events: usize) -> Revision {
        Revision(self.0 + events as u64)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an event in the order of all events of one store: ascending, otherwise opaque; 0 is before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event of any store.
    pub const START: Position = Position(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What makes a command idempotent within its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandId(pub Uuid);

/// An event's identity: UUID version 5 of its command's id and its place, so that a retry makes the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

/// A store's random identity; a checkpoint of another store is refused by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub Uuid);

/// Which key a personal text is, or later will be, encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyId(pub Uuid);

macro_rules! shown_as_uuid {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
shown_as_uuid!(CommandId, EventId, StoreId, KeyId);
