//! Version 1 of every payload. Nothing here may change: not a field, not its order, not a variant.
//! What JSON calls these things is another set of types (`json`).

use super::bytes::{Damaged, read, write};
use crate::command::HoldScope;
use crate::event::{self, Event, EventType, Personal};
use crate::ids::{self, InvalidText};
use crate::personal::{Commitment, PersonalPart};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

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

/// What a value of today is kept as in this version.
pub(super) trait Kept: Sized {
    type Form<'a>
    where
        Self: 'a;

    /// Its form; of a personal text, the commitment.
    fn form(&self, part: Option<&PersonalPart>) -> Self::Form<'_>;

    /// The value of that form; of a personal text, the part's, or that it was erased.
    fn value(form: Self::Form<'_>, part: Option<&PersonalPart>) -> Result<Self, Damaged>;
}

/// Declares the struct of each event in this version, and converts today's event of the same name to it and back, field
/// by field. An event that gains a field or a type keeps its struct here: it is then converted by hand.
macro_rules! payloads {
    ($(
        $name:ident $(<$life:lifetime>)? { $($(#[$meta:meta])* $field:ident: $form:ty),* $(,)? }
    )*) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name $(<$life>)? { $($(#[$meta])* $field: $form),* }
        )*

        pub(super) fn encode<'b>(
            event: &Event,
            part: Option<&PersonalPart>,
            buffer: &'b mut [u8],
        ) -> &'b [u8] {
            match event {
                $(Event::$name { $($field),* } => {
                    write(&$name { $($field: $field.form(part)),* }, buffer)
                })*
            }
        }

        pub(super) fn decode(
            event_type: EventType,
            bytes: &[u8],
            part: Option<&PersonalPart>,
        ) -> Result<Event, Damaged> {
            Ok(match event_type {
                $(EventType::$name => {
                    let $name { $($field),* } = read(bytes)?;
                    Event::$name { $($field: Kept::value($field, part)?),* }
                })*
            })
        }
    };
}

payloads! {
    CallConnected<'a> {
        agent: &'a str,
        customer: Option<Commitment>,
        queue: Option<&'a str>,
    }
    ConsultRequested<'a> {
        by: &'a str,
        #[serde(borrow)]
        target: Target<'a>,
        hold: Hold,
    }
    ConsultStarted<'a> {
        by: &'a str,
        #[serde(borrow)]
        target: Target<'a>,
    }
    ConsultEnded<'a> {
        by: &'a str,
        #[serde(borrow)]
        target: Target<'a>,
        cause: ConsultEnd,
    }
    PartyJoined<'a> {
        #[serde(borrow)]
        party: Target<'a>,
    }
    ConferenceStarted<'a> {
        primary: &'a str,
    }
    PartyHeld<'a> {
        #[serde(borrow)]
        party: Party<'a>,
        by: &'a str,
    }
    PartyReleased<'a> {
        #[serde(borrow)]
        party: Party<'a>,
    }
    PartyLeft<'a> {
        #[serde(borrow)]
        party: Party<'a>,
        reason: LeaveReason,
    }
    ControlTransferred<'a> {
        from: &'a str,
        to: &'a str,
    }
    ControlVacated<'a> {
        from: &'a str,
    }
    ConferenceDissolved {}
    WrapUpAssistEntered {}
    CallEnded {
        cause: EndCause,
    }
    CallCompleted {}
    WrapUpOwed<'a> {
        agent: &'a str,
    }
    WrapUpApplied<'a> {
        agent: &'a str,
        reason: &'a str,
    }
    WrapUpSuggested<'a> {
        by: &'a str,
        reason: &'a str,
        note: Option<Commitment>,
    }
    MonitoringStarted<'a> {
        supervisor: &'a str,
        agent: &'a str,
    }
    SupervisorBargedIn<'a> {
        supervisor: &'a str,
    }
    MonitoringMoved<'a> {
        supervisor: &'a str,
        from: &'a str,
        to: &'a str,
    }
    MonitoringEnded<'a> {
        supervisor: &'a str,
        cause: MonitoringEnd,
    }
}

pub(super) fn commitment(event_type: EventType, bytes: &[u8]) -> Option<Commitment> {
    match event_type {
        EventType::CallConnected => read::<CallConnected<'_>>(bytes).ok()?.customer,
        EventType::WrapUpSuggested => read::<WrapUpSuggested<'_>>(bytes).ok()?.note,
        _ => None,
    }
}

/// Declares types that are kept as their text.
macro_rules! kept_as_text {
    ($($name:ident),*) => {$(
        impl Kept for ids::$name {
            type Form<'a> = &'a str;

            fn form(&self, _: Option<&PersonalPart>) -> &str {
                self.as_str()
            }

            fn value(form: &str, _: Option<&PersonalPart>) -> Result<Self, Damaged> {
                Ok(form.parse()?)
            }
        }
    )*};
}
kept_as_text!(AgentId, SupervisorId, Reason);

impl Kept for Option<ids::Queue> {
    type Form<'a> = Option<&'a str>;

    fn form(&self, _: Option<&PersonalPart>) -> Option<&str> {
        self.as_ref().map(ids::Queue::as_str)
    }

    fn value(form: Option<&str>, _: Option<&PersonalPart>) -> Result<Self, Damaged> {
        Ok(form.map(str::parse).transpose()?)
    }
}

impl<T: FromStr<Err = InvalidText>> Kept for Option<Personal<T>> {
    type Form<'a>
        = Option<Commitment>
    where
        T: 'a;

    fn form(&self, part: Option<&PersonalPart>) -> Option<Commitment> {
        self.as_ref().and(part).map(PersonalPart::commitment)
    }

    fn value(form: Option<Commitment>, part: Option<&PersonalPart>) -> Result<Self, Damaged> {
        match (form, part) {
            (None, _) => Ok(None),
            (Some(_), None) => Ok(Some(Personal::Erased)),
            (Some(_), Some(part)) => Ok(Some(Personal::Clear(part.text.parse()?))),
        }
    }
}

impl Kept for ids::Party {
    type Form<'a> = Party<'a>;

    fn form(&self, _: Option<&PersonalPart>) -> Party<'_> {
        match self {
            ids::Party::Customer => Party::Customer,
            ids::Party::Agent(agent) => Party::Agent(agent.as_str()),
            ids::Party::Dial(number) => Party::Dial(number.as_str()),
        }
    }

    fn value(form: Party<'_>, _: Option<&PersonalPart>) -> Result<Self, Damaged> {
        Ok(match form {
            Party::Customer => ids::Party::Customer,
            Party::Agent(id) => ids::Party::Agent(id.parse()?),
            Party::Dial(number) => ids::Party::Dial(number.parse()?),
        })
    }
}

impl Kept for ids::Target {
    type Form<'a> = Target<'a>;

    fn form(&self, _: Option<&PersonalPart>) -> Target<'_> {
        match self {
            ids::Target::Agent(agent) => Target::Agent(agent.as_str()),
            ids::Target::Dial(number) => Target::Dial(number.as_str()),
        }
    }

    fn value(form: Target<'_>, _: Option<&PersonalPart>) -> Result<Self, Damaged> {
        Ok(match form {
            Target::Agent(id) => ids::Target::Agent(id.parse()?),
            Target::Dial(number) => ids::Target::Dial(number.parse()?),
        })
    }
}

/// Declares the enums of this version, and converts today's of the same values to them and back. A value that is new
/// today is added at the end.
macro_rules! choices {
    ($($name:ident of $today:path { $($value:ident),* $(,)? })*) => {$(
        #[derive(Serialize, Deserialize)]
        pub(super) enum $name { $($value),* }

        impl Kept for $today {
            type Form<'a> = $name;

            fn form(&self, _: Option<&PersonalPart>) -> $name {
                use $today as Today;
                match self {
                    $(Today::$value => $name::$value),*
                }
            }

            fn value(form: $name, _: Option<&PersonalPart>) -> Result<Self, Damaged> {
                use $today as Today;
                Ok(match form {
                    $($name::$value => Today::$value),*
                })
            }
        }
    )*};
}

choices! {
    Hold of HoldScope { Others, None }
    ConsultEnd of event::ConsultEnd { Ended, Declined, NotAnswered, Cancelled, Merged, Transferred }
    LeaveReason of event::LeaveReason { Exited, HungUp, ConnectionLost, Transferred, CallEnded }
    EndCause of event::EndCause { OnePartyLeft, CustomerAndAgentsLeft, EndedByPrimary }
    MonitoringEnd of event::MonitoringEnd { Requested, NoAgentLeft, CallEnded }
}
