//! Version 1 of every payload. Nothing here may change: not a field, not its order, not a variant.
//! What JSON calls these things is another set of types (`json`).

use super::{Commitment, Damaged, personal, read, write};
use crate::command::HoldScope;
use crate::envelope::PersonalPart;
use crate::event::{self, Event, EventType};
use crate::ids;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) enum Party<'a> {
    Customer,
    Agent(&'a str),
    Dial(&'a str),
}

#[derive(Serialize, Deserialize)]
pub(super) enum Target<'a> {
    Agent(&'a str),
    Dial(&'a str),
}

#[derive(Serialize, Deserialize)]
pub(super) enum Hold {
    Others,
    None,
}

#[derive(Serialize, Deserialize)]
enum ConsultEnd {
    Ended,
    Declined,
    NotAnswered,
    Cancelled,
    Merged,
    Transferred,
}

#[derive(Serialize, Deserialize)]
enum LeaveReason {
    Exited,
    HungUp,
    ConnectionLost,
    Transferred,
    CallEnded,
}

#[derive(Serialize, Deserialize)]
enum EndCause {
    OnePartyLeft,
    CustomerAndAgentsLeft,
    EndedByPrimary,
}

#[derive(Serialize, Deserialize)]
enum MonitoringEnd {
    Requested,
    NoAgentLeft,
    CallEnded,
}

#[derive(Serialize, Deserialize)]
struct CallConnected<'a> {
    agent: &'a str,
    customer: Option<Commitment>,
    queue: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct ConsultRequested<'a> {
    by: &'a str,
    #[serde(borrow)]
    target: Target<'a>,
    hold: Hold,
}

#[derive(Serialize, Deserialize)]
struct ConsultStarted<'a> {
    by: &'a str,
    #[serde(borrow)]
    target: Target<'a>,
}

#[derive(Serialize, Deserialize)]
struct ConsultEnded<'a> {
    by: &'a str,
    #[serde(borrow)]
    target: Target<'a>,
    cause: ConsultEnd,
}

#[derive(Serialize, Deserialize)]
struct PartyJoined<'a> {
    #[serde(borrow)]
    party: Target<'a>,
}

#[derive(Serialize, Deserialize)]
struct ConferenceStarted<'a> {
    primary: &'a str,
}

#[derive(Serialize, Deserialize)]
struct PartyHeld<'a> {
    #[serde(borrow)]
    party: Party<'a>,
    by: &'a str,
}

#[derive(Serialize, Deserialize)]
struct PartyReleased<'a> {
    #[serde(borrow)]
    party: Party<'a>,
}

#[derive(Serialize, Deserialize)]
struct PartyLeft<'a> {
    #[serde(borrow)]
    party: Party<'a>,
    reason: LeaveReason,
}

#[derive(Serialize, Deserialize)]
struct ControlTransferred<'a> {
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize, Deserialize)]
struct ControlVacated<'a> {
    from: &'a str,
}

#[derive(Serialize, Deserialize)]
struct CallEnded {
    cause: EndCause,
}

#[derive(Serialize, Deserialize)]
struct WrapUpOwed<'a> {
    agent: &'a str,
}

#[derive(Serialize, Deserialize)]
struct WrapUpApplied<'a> {
    agent: &'a str,
    reason: &'a str,
}

#[derive(Serialize, Deserialize)]
struct WrapUpSuggested<'a> {
    by: &'a str,
    reason: &'a str,
    note: Option<Commitment>,
}

#[derive(Serialize, Deserialize)]
struct MonitoringStarted<'a> {
    supervisor: &'a str,
    agent: &'a str,
}

#[derive(Serialize, Deserialize)]
struct SupervisorBargedIn<'a> {
    supervisor: &'a str,
}

#[derive(Serialize, Deserialize)]
struct MonitoringMoved<'a> {
    supervisor: &'a str,
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize, Deserialize)]
struct MonitoringEnded<'a> {
    supervisor: &'a str,
    cause: MonitoringEnd,
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for every event, and nothing else"
)]
pub(super) fn encode<'b>(
    event: &Event,
    personal: Option<&PersonalPart>,
    buffer: &'b mut [u8],
) -> &'b [u8] {
    match event {
        Event::CallConnected {
            agent,
            customer,
            queue,
        } => write(
            &CallConnected {
                agent: agent.as_str(),
                customer: customer
                    .as_ref()
                    .and(personal)
                    .map(PersonalPart::commitment),
                queue: queue.as_ref().map(ids::Queue::as_str),
            },
            buffer,
        ),
        Event::ConsultRequested { by, target, hold } => write(
            &ConsultRequested {
                by: by.as_str(),
                target: target.into(),
                hold: (*hold).into(),
            },
            buffer,
        ),
        Event::ConsultStarted { by, target } => write(
            &ConsultStarted {
                by: by.as_str(),
                target: target.into(),
            },
            buffer,
        ),
        Event::ConsultEnded { by, target, cause } => write(
            &ConsultEnded {
                by: by.as_str(),
                target: target.into(),
                cause: (*cause).into(),
            },
            buffer,
        ),
        Event::PartyJoined { party } => write(
            &PartyJoined {
                party: party.into(),
            },
            buffer,
        ),
        Event::ConferenceStarted { primary } => write(
            &ConferenceStarted {
                primary: primary.as_str(),
            },
            buffer,
        ),
        Event::PartyHeld { party, by } => write(
            &PartyHeld {
                party: party.into(),
                by: by.as_str(),
            },
            buffer,
        ),
        Event::PartyReleased { party } => write(
            &PartyReleased {
                party: party.into(),
            },
            buffer,
        ),
        Event::PartyLeft { party, reason } => write(
            &PartyLeft {
                party: party.into(),
                reason: (*reason).into(),
            },
            buffer,
        ),
        Event::ControlTransferred { from, to } => write(
            &ControlTransferred {
                from: from.as_str(),
                to: to.as_str(),
            },
            buffer,
        ),
        Event::ControlVacated { from } => write(
            &ControlVacated {
                from: from.as_str(),
            },
            buffer,
        ),
        Event::CallEnded { cause } => write(
            &CallEnded {
                cause: (*cause).into(),
            },
            buffer,
        ),
        Event::WrapUpOwed { agent } => write(
            &WrapUpOwed {
                agent: agent.as_str(),
            },
            buffer,
        ),
        Event::WrapUpApplied { agent, reason } => write(
            &WrapUpApplied {
                agent: agent.as_str(),
                reason: reason.as_str(),
            },
            buffer,
        ),
        Event::WrapUpSuggested { by, reason, note } => write(
            &WrapUpSuggested {
                by: by.as_str(),
                reason: reason.as_str(),
                note: note.as_ref().and(personal).map(PersonalPart::commitment),
            },
            buffer,
        ),
        Event::MonitoringStarted { supervisor, agent } => write(
            &MonitoringStarted {
                supervisor: supervisor.as_str(),
                agent: agent.as_str(),
            },
            buffer,
        ),
        Event::SupervisorBargedIn { supervisor } => write(
            &SupervisorBargedIn {
                supervisor: supervisor.as_str(),
            },
            buffer,
        ),
        Event::MonitoringMoved {
            supervisor,
            from,
            to,
        } => write(
            &MonitoringMoved {
                supervisor: supervisor.as_str(),
                from: from.as_str(),
                to: to.as_str(),
            },
            buffer,
        ),
        Event::MonitoringEnded { supervisor, cause } => write(
            &MonitoringEnded {
                supervisor: supervisor.as_str(),
                cause: (*cause).into(),
            },
            buffer,
        ),
        Event::ConferenceDissolved | Event::WrapUpAssistEntered | Event::CallCompleted => &[],
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for every event, and nothing else"
)]
pub(super) fn decode(
    event_type: EventType,
    bytes: &[u8],
    part: Option<&PersonalPart>,
) -> Result<Event, Damaged> {
    Ok(match event_type {
        EventType::CallConnected => {
            let stored: CallConnected<'_> = read(bytes)?;
            Event::CallConnected {
                agent: stored.agent.parse()?,
                customer: personal(stored.customer, part)?,
                queue: stored.queue.map(str::parse).transpose()?,
            }
        }
        EventType::ConsultRequested => {
            let stored: ConsultRequested<'_> = read(bytes)?;
            Event::ConsultRequested {
                by: stored.by.parse()?,
                target: stored.target.try_into()?,
                hold: stored.hold.into(),
            }
        }
        EventType::ConsultStarted => {
            let stored: ConsultStarted<'_> = read(bytes)?;
            Event::ConsultStarted {
                by: stored.by.parse()?,
                target: stored.target.try_into()?,
            }
        }
        EventType::ConsultEnded => {
            let stored: ConsultEnded<'_> = read(bytes)?;
            Event::ConsultEnded {
                by: stored.by.parse()?,
                target: stored.target.try_into()?,
                cause: stored.cause.into(),
            }
        }
        EventType::PartyJoined => {
            let stored: PartyJoined<'_> = read(bytes)?;
            Event::PartyJoined {
                party: stored.party.try_into()?,
            }
        }
        EventType::ConferenceStarted => {
            let stored: ConferenceStarted<'_> = read(bytes)?;
            Event::ConferenceStarted {
                primary: stored.primary.parse()?,
            }
        }
        EventType::PartyHeld => {
            let stored: PartyHeld<'_> = read(bytes)?;
            Event::PartyHeld {
                party: stored.party.try_into()?,
                by: stored.by.parse()?,
            }
        }
        EventType::PartyReleased => {
            let stored: PartyReleased<'_> = read(bytes)?;
            Event::PartyReleased {
                party: stored.party.try_into()?,
            }
        }
        EventType::PartyLeft => {
            let stored: PartyLeft<'_> = read(bytes)?;
            Event::PartyLeft {
                party: stored.party.try_into()?,
                reason: stored.reason.into(),
            }
        }
        EventType::ControlTransferred => {
            let stored: ControlTransferred<'_> = read(bytes)?;
            Event::ControlTransferred {
                from: stored.from.parse()?,
                to: stored.to.parse()?,
            }
        }
        EventType::ControlVacated => {
            let stored: ControlVacated<'_> = read(bytes)?;
            Event::ControlVacated {
                from: stored.from.parse()?,
            }
        }
        EventType::ConferenceDissolved => nothing(bytes, Event::ConferenceDissolved)?,
        EventType::WrapUpAssistEntered => nothing(bytes, Event::WrapUpAssistEntered)?,
        EventType::CallEnded => {
            let stored: CallEnded = read(bytes)?;
            Event::CallEnded {
                cause: stored.cause.into(),
            }
        }
        EventType::CallCompleted => nothing(bytes, Event::CallCompleted)?,
        EventType::WrapUpOwed => {
            let stored: WrapUpOwed<'_> = read(bytes)?;
            Event::WrapUpOwed {
                agent: stored.agent.parse()?,
            }
        }
        EventType::WrapUpApplied => {
            let stored: WrapUpApplied<'_> = read(bytes)?;
            Event::WrapUpApplied {
                agent: stored.agent.parse()?,
                reason: stored.reason.parse()?,
            }
        }
        EventType::WrapUpSuggested => {
            let stored: WrapUpSuggested<'_> = read(bytes)?;
            Event::WrapUpSuggested {
                by: stored.by.parse()?,
                reason: stored.reason.parse()?,
                note: personal(stored.note, part)?,
            }
        }
        EventType::MonitoringStarted => {
            let stored: MonitoringStarted<'_> = read(bytes)?;
            Event::MonitoringStarted {
                supervisor: stored.supervisor.parse()?,
                agent: stored.agent.parse()?,
            }
        }
        EventType::SupervisorBargedIn => {
            let stored: SupervisorBargedIn<'_> = read(bytes)?;
            Event::SupervisorBargedIn {
                supervisor: stored.supervisor.parse()?,
            }
        }
        EventType::MonitoringMoved => {
            let stored: MonitoringMoved<'_> = read(bytes)?;
            Event::MonitoringMoved {
                supervisor: stored.supervisor.parse()?,
                from: stored.from.parse()?,
                to: stored.to.parse()?,
            }
        }
        EventType::MonitoringEnded => {
            let stored: MonitoringEnded<'_> = read(bytes)?;
            Event::MonitoringEnded {
                supervisor: stored.supervisor.parse()?,
                cause: stored.cause.into(),
            }
        }
    })
}

pub(super) fn commitment(event_type: EventType, bytes: &[u8]) -> Option<Commitment> {
    match event_type {
        EventType::CallConnected => read::<CallConnected<'_>>(bytes).ok()?.customer,
        EventType::WrapUpSuggested => read::<WrapUpSuggested<'_>>(bytes).ok()?.note,
        _ => None,
    }
}

fn nothing(bytes: &[u8], event: Event) -> Result<Event, Damaged> {
    if bytes.is_empty() {
        Ok(event)
    } else {
        Err(Damaged)
    }
}

impl<'a> From<&'a ids::Party> for Party<'a> {
    fn from(party: &'a ids::Party) -> Self {
        match party {
            ids::Party::Customer => Party::Customer,
            ids::Party::Agent(agent) => Party::Agent(agent.as_str()),
            ids::Party::Dial(number) => Party::Dial(number.as_str()),
        }
    }
}

impl TryFrom<Party<'_>> for ids::Party {
    type Error = Damaged;

    fn try_from(stored: Party<'_>) -> Result<Self, Damaged> {
        Ok(match stored {
            Party::Customer => ids::Party::Customer,
            Party::Agent(id) => ids::Party::Agent(id.parse()?),
            Party::Dial(number) => ids::Party::Dial(number.parse()?),
        })
    }
}

impl<'a> From<&'a ids::Target> for Target<'a> {
    fn from(target: &'a ids::Target) -> Self {
        match target {
            ids::Target::Agent(agent) => Target::Agent(agent.as_str()),
            ids::Target::Dial(number) => Target::Dial(number.as_str()),
        }
    }
}

impl TryFrom<Target<'_>> for ids::Target {
    type Error = Damaged;

    fn try_from(stored: Target<'_>) -> Result<Self, Damaged> {
        Ok(match stored {
            Target::Agent(id) => ids::Target::Agent(id.parse()?),
            Target::Dial(number) => ids::Target::Dial(number.parse()?),
        })
    }
}

/// Pairs the values of a stored enum with those of the domain, both ways; a new one on either side must be added here.
macro_rules! pairs {
    ($stored:ident, $domain:path { $($variant:ident),* }) => {
        impl From<$domain> for $stored {
            fn from(value: $domain) -> Self {
                use $domain as Domain;
                match value {
                    $(Domain::$variant => $stored::$variant),*
                }
            }
        }

        impl From<$stored> for $domain {
            fn from(value: $stored) -> Self {
                use $domain as Domain;
                match value {
                    $($stored::$variant => Domain::$variant),*
                }
            }
        }
    };
}

pairs!(Hold, HoldScope { Others, None });
pairs!(
    ConsultEnd,
    event::ConsultEnd {
        Ended,
        Declined,
        NotAnswered,
        Cancelled,
        Merged,
        Transferred
    }
);
pairs!(
    LeaveReason,
    event::LeaveReason {
        Exited,
        HungUp,
        ConnectionLost,
        Transferred,
        CallEnded
    }
);
pairs!(
    EndCause,
    event::EndCause {
        OnePartyLeft,
        CustomerAndAgentsLeft,
        EndedByPrimary
    }
);
pairs!(
    MonitoringEnd,
    event::MonitoringEnd {
        Requested,
        NoAgentLeft,
        CallEnded
    }
);
