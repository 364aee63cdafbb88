//! A version that no release ever wrote, kept to prove that older payloads stay readable: consults before the agent
//! could choose whom to hold.

use super::bytes::{Damaged, read};
use crate::command::HoldScope;
use crate::event::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct ConsultRequested<'a> {
    by: &'a str,
    #[serde(borrow)]
    target: Target<'a>,
}

#[derive(Serialize, Deserialize)]
enum Target<'a> {
    Agent(&'a str),
    Dial(&'a str),
}

/// Everybody else was held then.
pub(super) fn consult_requested(bytes: &[u8]) -> Result<Event, Damaged> {
    let stored: ConsultRequested<'_> = read(bytes)?;
    Ok(Event::ConsultRequested {
        by: stored.by.parse()?,
        target: match stored.target {
            Target::Agent(id) => crate::ids::Target::Agent(id.parse()?),
            Target::Dial(number) => crate::ids::Target::Dial(number.parse()?),
        },
        hold: HoldScope::Others,
    })
}
